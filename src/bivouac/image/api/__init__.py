"""Routes of the Image API v2: one table, made of one part per resource."""

from bivouac.core.http import Route

from . import data, images, members, schemas, versions

ROUTES: list[Route] = [*versions.ROUTES, *images.ROUTES, *data.ROUTES, *members.ROUTES, *schemas.ROUTES]
