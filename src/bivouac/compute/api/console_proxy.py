"""The console proxy at `/console`: the pages that a browser opens, and the WebSockets that they open in turn.

The screen's page is noVNC's; the serial line's is ours, with xterm.js as its terminal. Both are installed with the
system (packages `novnc` and `node-xterm`) or by npm; no copy of either is kept here. The ticket in the address is the
credential. The serial line has one address for everybody: a plain GET is answered with the page, a WebSocket
handshake with the line itself, so a program that was given the page's address needs no other.
"""

import asyncio
import mimetypes
from pathlib import Path
from urllib.parse import urlsplit

from bivouac.core.errors import Forbidden, NotFound
from bivouac.core.http import PUBLIC, Mount, Request, Response, Route, WebSocket, dialects

from ..consoles import Consoles, ConsoleSession
from . import xterm

NOVNC = (Path("/usr/share/novnc"), Path("/usr/local/lib/node_modules/@novnc/novnc"))
PAGE = Path(__file__).parent / "serial_console"
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PAGE_HEADERS = HEADERS | {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data:",
}
"""The terminal measures its font with inline styles; nothing else of the page is inline, or comes from elsewhere."""


def check_origin(request: Request) -> None:
    """Refuse a page of another site that opens a console through its reader's browser. Raises Forbidden.

    Programs send no Origin, or name the address that they dial.
    """
    origin = request.header(b"origin")
    if not origin:
        return
    expected = (request.header(b"host"), urlsplit(request.application.origin(request)).netloc)
    if urlsplit(origin).netloc.lower() not in [host.lower() for host in expected if host]:
        raise Forbidden("Consoles are opened by pages of this cloud only.")


async def _admit(request: Request, kind: str) -> ConsoleSession:
    """What the ticket in the address opens. Raises NotFound."""
    consoles: Consoles = request.mount.service
    return await consoles.admit(kind, request.query_value("token") or "")


async def _pipe(socket: WebSocket, kind: str) -> None:
    check_origin(socket.request)
    session = await _admit(socket.request, kind)
    await socket.accept("binary" if "binary" in socket.subprotocols else None)
    await socket.request.mount.service.serve_client(session, socket)


async def vnc(socket: WebSocket) -> None:
    """RFB, for noVNC."""
    await _pipe(socket, "vnc")


async def serial(socket: WebSocket) -> None:
    """The bytes of the serial line, both ways."""
    await _pipe(socket, "serial")


async def serial_page(request: Request) -> Response:
    """A terminal on the serial line. Raises NotFound for a ticket that opens nothing, and without xterm.js."""
    await _admit(request, "serial")
    await asyncio.to_thread(xterm.stylesheet)
    return await _file(PAGE / "page.html", PAGE_HEADERS)


async def xterm_script(request: Request) -> Response:
    """xterm.js. Raises NotFound."""
    return Response((await asyncio.to_thread(xterm.script)).encode(), 200, HEADERS, "text/javascript")


async def xterm_stylesheet(request: Request) -> Response:
    """xterm.js's stylesheet. Raises NotFound."""
    return Response((await asyncio.to_thread(xterm.stylesheet)).encode(), 200, HEADERS, "text/css")


async def serial_part(request: Request, name: str) -> Response:
    """A file of our own that the serial line's page is made of. Raises NotFound."""
    return await _file(_inside(PAGE, name), HEADERS)


async def novnc(request: Request, rest: str) -> Response:
    """A file of noVNC. Raises NotFound, also for whatever would lead out of its folder."""
    installed = next((folder for folder in NOVNC if folder.is_dir()), None)
    if installed is None:
        raise NotFound("noVNC is not installed on this machine (apt-get install novnc).")
    return await _file(_inside(installed, rest), HEADERS)


def _inside(folder: Path, name: str) -> Path:
    try:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            return path
    except OSError as error:  # a name longer than the filesystem's
        raise NotFound("There is no such file.") from error
    raise NotFound("There is no such file.")


async def _file(path: Path, headers: dict[str, str]) -> Response:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(await asyncio.to_thread(path.read_bytes), 200, headers, kind)


def proxy_mount(consoles: Consoles) -> Mount:
    """Pages and WebSockets of consoles."""
    routes = [
        Route(method="WEBSOCKET", path="/vnc", handler=vnc, rule=PUBLIC),
        Route(method="WEBSOCKET", path="/serial", handler=serial, rule=PUBLIC),
        Route(method="GET", path="/serial", handler=serial_page, rule=PUBLIC),
        Route(method="GET", path="/terminal/xterm.js", handler=xterm_script, rule=PUBLIC),
        Route(method="GET", path="/terminal/xterm.css", handler=xterm_stylesheet, rule=PUBLIC),
        Route(method="GET", path="/terminal/{name}", handler=serial_part, rule=PUBLIC),
        Route(method="GET", path="/{rest:rest}", handler=novnc, rule=PUBLIC),
    ]
    return Mount(prefix="/console", service_type="console", routes=routes, dialect=dialects.NOVA, service=consoles)
