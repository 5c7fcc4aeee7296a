"""Consoles: tickets (`remote-consoles`, `os-get*Console`), the log, the proxy's WebSockets and noVNC's files."""

import asyncio
import mimetypes
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from msgspec import Meta

from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import PUBLIC, Mount, Request, Response, Route, WebSocket, dialects

from ..consoles import KINDS, Consoles, ask_console_log, create_ticket, show_ticket
from ..service.servers import get_server
from .fields import Body, operation

NOVNC = Path("/usr/share/novnc")
MAX_LOG_BYTES = 100 << 10
"""The most that a console log answers with (Nova's MAX_CONSOLE_BYTES)."""
PROTOCOL_OF = {"novnc": "vnc", "serial": "serial"}


class RemoteConsole(Body):
    protocol: Literal["vnc", "spice", "rdp", "serial", "mks"]
    type: Literal["novnc", "xvpvnc", "spice-html5", "rdp-html5", "serial", "webmks"]


class ConsoleType(Body):
    type: Annotated[str, Meta(max_length=255)]


class ConsoleLog(Body):
    length: int | str | None = None


async def _url(request: Request, server_id: str, kind: str) -> str:
    """A new ticket as the address to open. Raises BadRequest for a kind of console that no guest has here."""
    if kind not in KINDS:
        raise BadRequest(f"Unavailable console type {kind}.")
    token = await request.write(create_ticket, server_id, KINDS[kind])
    origin = request.application.origin(request)
    if kind == "novnc":
        return f"{origin}/console/vnc_lite.html?path={quote(f'console/vnc?token={token}', safe='')}"
    return f"{origin.replace('http', 'ws', 1)}/console/serial?token={token}"


async def create(request: Request, server_id: str) -> dict[str, Any]:
    asked: RemoteConsole = request.body
    if PROTOCOL_OF.get(asked.type, asked.protocol) != asked.protocol:
        raise BadRequest(f"Console type {asked.type} does not speak {asked.protocol}.")
    url = await _url(request, server_id, asked.type)
    return {"remote_console": {"protocol": asked.protocol, "type": asked.type, "url": url}}


async def old_console(request: Request, server_id: str, body: ConsoleType) -> Response:
    """os-getVNCConsole and os-getSerialConsole, until 2.5."""
    url = await _url(request, server_id, body.type)
    return Response({"console": {"type": body.type, "url": url}}, 200)


async def output(request: Request, server_id: str, body: ConsoleLog) -> Response:
    """os-getConsoleOutput: the last `length` lines."""
    server = await request.read(get_server, server_id)
    length = _length(body.length)
    text = await ask_console_log(request.mount.service.hosts, server.host, server.id, MAX_LOG_BYTES)
    if length is not None:
        lines = text.splitlines(keepends=True)
        text = "".join(lines[-length:]) if length else ""
    return Response({"output": text}, 200)


def _length(value: int | str | None) -> int | None:
    """None: all. -1 is all too. Raises BadRequest."""
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except ValueError as error:
        raise BadRequest(f"Invalid input for field/attribute length. Value: {value}. It is not a number.") from error
    if number < -1:
        raise BadRequest(f"Invalid input for field/attribute length. Value: {value}. It is less than -1.")
    return None if number == -1 else number


async def show_token(request: Request, token: str) -> dict[str, Any]:
    session = await request.read(show_ticket, token)
    if request.version < (2, 31) and session.kind != "rdp":
        raise BadRequest("This token is not for an RDP console; microversion 2.31 shows the others.")
    return {
        "console": {
            "instance_uuid": session.server_id, "host": session.host, "port": 0, "internal_access_path": None,
        }
    }  # fmt: skip


_P = "os_compute_api:"
ROUTES = [
    operation("POST", "/servers/{server_id}/remote-consoles", create, _P + "os-remote-consoles", body=RemoteConsole,
              envelope="remote_console", since=(2, 6)),
    operation("GET", "/os-console-auth-tokens/{token}", show_token, _P + "os-console-auth-tokens"),
]  # fmt: skip


# --- the proxy, at /console ----------------------------------------------------------------------------------------


async def _proxy(socket: WebSocket, kind: str) -> None:
    consoles: Consoles = socket.request.mount.service
    session = await consoles.admit(kind, socket.request.query_value("token") or "")
    await socket.accept("binary" if "binary" in socket.subprotocols else None)
    await consoles.serve_client(session, socket)


async def vnc(socket: WebSocket) -> None:
    await _proxy(socket, "vnc")


async def serial(socket: WebSocket) -> None:
    await _proxy(socket, "serial")


async def static(request: Request, rest: str) -> Response:
    """A file of noVNC. Raises NotFound, also for whatever would lead out of its folder."""
    path = (NOVNC / rest).resolve()
    if not path.is_relative_to(NOVNC.resolve()) or not path.is_file():
        raise NotFound("There is no such file, or noVNC (Debian's package novnc) is not installed on this machine.")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    content = await asyncio.to_thread(path.read_bytes)
    return Response(content, 200, {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}, kind)


def proxy_mount(consoles: Consoles) -> Mount:
    """noVNC and the WebSockets that it opens. The ticket in the address is the credential."""
    routes = [
        Route(method="WEBSOCKET", path="/vnc", handler=vnc, rule=PUBLIC),
        Route(method="WEBSOCKET", path="/serial", handler=serial, rule=PUBLIC),
        Route(method="GET", path="/{rest:rest}", handler=static, rule=PUBLIC),
    ]
    return Mount(prefix="/console", service_type="console", routes=routes, dialect=dialects.NOVA, service=consoles)
