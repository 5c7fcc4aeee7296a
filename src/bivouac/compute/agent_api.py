"""What agents reach on control's internal listener: their link, bytes of images, and the far end of consoles.

This mount is never on a public listener: who reaches it is an agent (the socket's owner, or a client certificate).
"""

from collections.abc import AsyncIterator

from bivouac.core.http import PUBLIC, Mount, Request, Response, Route, WebSocket

from . import neighbours
from .compute import Compute


async def link(socket: WebSocket) -> None:
    """The agent's link: see `hostspec.link`."""
    await socket.accept()
    await socket.request.mount.service.hosts.serve(socket)


async def download(request: Request, image_id: str) -> Response:
    size, chunks = await neighbours.image().open_image(request.application.store, image_id)
    return Response(None, 200, {"Content-Length": str(size)}, "application/octet-stream", stream=chunks)


async def upload(request: Request, image_id: str) -> Response:
    chunks: AsyncIterator[bytes] = request.stream()
    await neighbours.image().receive_image(request.application.store, image_id, chunks)
    return Response(None, 204)


async def console(socket: WebSocket, session: str) -> None:
    """The device end of a console that `open_console` asked for."""
    await socket.accept()
    await socket.request.mount.service.consoles.serve_agent(session, socket)


ROUTES = [
    Route(method="WEBSOCKET", path="/link", handler=link, rule=PUBLIC),
    Route(method="GET", path="/images/{image_id}", handler=download, rule=PUBLIC),
    Route(method="PUT", path="/images/{image_id}", handler=upload, rule=PUBLIC),
    Route(method="WEBSOCKET", path="/consoles/{session}", handler=console, rule=PUBLIC),
]


def mount(compute: Compute) -> Mount:
    """The agents' side, for the internal listener only."""
    return Mount(prefix="/agent/v1", service_type="agent", routes=ROUTES, service=compute)
