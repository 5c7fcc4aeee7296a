"""What agents reach on control's internal listener: their link, and the far end of consoles.

This mount is never on a public listener: who reaches it is an agent (the socket's owner, or a client certificate).
"""

from bivouac.core.http import PUBLIC, Mount, Route, WebSocket

from .compute import Compute


async def link(socket: WebSocket) -> None:
    """The agent's link: see `hostspec.link`."""
    await socket.accept()
    # On one machine the socket's owner is trusted with every name; from elsewhere a certificate says the only one.
    await socket.request.mount.service.hosts.serve(socket, socket.request.message.peer)


async def console(socket: WebSocket, session: str) -> None:
    """The device end of a console that `open_console` asked for."""
    await socket.accept()
    await socket.request.mount.service.consoles.serve_agent(session, socket)


ROUTES = [
    Route(method="WEBSOCKET", path="/link", handler=link, rule=PUBLIC),
    Route(method="WEBSOCKET", path="/consoles/{session}", handler=console, rule=PUBLIC),
]


def mount(compute: Compute) -> Mount:
    """The agents' side, for the internal listener only."""
    return Mount(prefix="/agent/v1", service_type="agent", routes=ROUTES, service=compute)
