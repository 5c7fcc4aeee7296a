"""Routes of the Image API v2: one table, made of one part per resource."""

from bivouac.core.http import Mount, Route
from bivouac.core.http.dialects import GLANCE

from ..transfer import ImageService
from . import cache, data, images, imports, members, metadefs, schemas, tasks, versions

ROUTES: list[Route] = [
    *versions.ROUTES,
    *images.ROUTES,
    *data.ROUTES,
    *imports.ROUTES,
    *members.ROUTES,
    *tasks.ROUTES,
    *cache.ROUTES,
    *metadefs.ROUTES,
    *schemas.ROUTES,
]


def mount(service: ImageService, prefix: str = "/image") -> Mount:
    """The Image API under the prefix."""
    return Mount(prefix=prefix, service_type="image", routes=ROUTES, dialect=GLANCE, service=service)
