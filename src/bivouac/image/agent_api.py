"""Bytes of images for agents, on control's internal listener: what disks are cloned from, and snapshots coming back.

This mount is never on a public listener: who reaches it is an agent (the socket's owner, or a client certificate).
"""

from bivouac.core.http import PUBLIC, Mount, Request, Response, Route

from . import for_compute
from .transfer import ImageService


async def download(request: Request, image_id: str) -> Response:
    """What a server boots from."""
    blob = await for_compute.open_image(request.mount.service, image_id)
    return Response(None, 200, media_type="application/octet-stream", file=blob.part())


async def upload(request: Request, image_id: str) -> None:
    """The bytes of a snapshot."""
    await for_compute.receive_image(request.mount.service, image_id, request.stream())


ROUTES = [
    Route(method="GET", path="/{image_id}", handler=download, rule=PUBLIC),
    Route(method="PUT", path="/{image_id}", handler=upload, rule=PUBLIC, status=204),
]


def mount(service: ImageService) -> Mount:
    """The agents' side, for the internal listener only."""
    return Mount(prefix="/agent/v1/images", service_type="agent", routes=ROUTES, service=service)
