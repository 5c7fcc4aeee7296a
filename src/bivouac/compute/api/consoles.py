"""Tickets to consoles (`remote-consoles`, `os-get*Console`) and the console log. Tickets lead to `console_proxy`."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from msgspec import Meta

from bivouac.core.errors import BadRequest
from bivouac.core.http import Request, Response

from ..consoles import KINDS, ask_console_log, create_ticket, show_ticket
from ..service.servers import get_server
from .fields import Body, operation

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
    """A new ticket as the address to open in a browser. Raises BadRequest for a kind that no guest has here."""
    if kind not in KINDS:
        raise BadRequest(f"Unavailable console type {kind}.")
    token = await request.write(create_ticket, server_id, KINDS[kind])
    origin = request.application.origin(request)
    if kind == "novnc":
        return f"{origin}/console/vnc_lite.html?path={quote(f'console/vnc?token={token}', safe='')}"
    return f"{origin}/console/serial?token={token}"


async def create(request: Request, server_id: str) -> dict[str, Any]:
    asked: RemoteConsole = request.body
    if PROTOCOL_OF.get(asked.type, asked.protocol) != asked.protocol:
        raise BadRequest(f"Console type {asked.type} does not speak {asked.protocol}.")
    url = await _url(request, server_id, asked.type)
    return {"remote_console": {"protocol": asked.protocol, "type": asked.type, "url": url}}


async def old_console(request: Request, server_id: str, body: ConsoleType) -> Response:
    """os-getVNCConsole and os-getSerialConsole, until 2.5.

    Programs that attach a terminal to the serial line ask here, and hand the address to a WebSocket library as it is;
    so here it begins with ws. It is the same address: only a browser needs the http that `remote-consoles` gives.
    """
    url = await _url(request, server_id, body.type)
    if body.type == "serial":
        url = url.replace("http", "ws", 1)
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

