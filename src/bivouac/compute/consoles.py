"""The way to a guest's screen and serial line: tickets, and the pipe between two WebSockets.

A client with a ticket opens `/console/vnc` or `/console/serial`. Control asks the server's host to `open_console`
under a session id; the host's agent dials back to `/agent/v1/consoles/{session}`, and the two sockets are piped
together. RFB passes unread: the guest's VNC server asks for no password, the ticket was the password.
"""

import asyncio
import hashlib
import secrets
from typing import Protocol

from bivouac.core.call import Call
from bivouac.core.errors import Conflict, Error, NotFound, Unavailable
from bivouac.core.ids import new_uuid
from bivouac.core.store import Store, Tx

from .hosts import HostLinks
from .records import ConsoleSession
from .service.servers import get_server

TICKET_S = 600.0
"""A ticket opens consoles for so long (Nova's token_ttl)."""
DIAL_BACK_S = 15.0
KINDS = {"novnc": "vnc", "serial": "serial"}


class Socket(Protocol):
    """Either end of the pipe."""

    async def receive(self) -> bytes | str | None: ...

    async def send(self, data: bytes | str) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...


def _hash(token: str) -> str:
    return hashlib.blake2b(token.encode(), digest_size=32).hexdigest()


def create_ticket(tx: Tx, call: Call, server_id: str, kind: str) -> str:
    """A token for a server's console. Raises NotFound, Conflict (it has no console now)."""
    server = get_server(tx, call, server_id)
    if not server.host or server.phase in ("building", "shelved_offloaded", "deleted"):
        raise Conflict(f"Instance {server_id} is not ready")
    token = secrets.token_urlsafe(32)
    tx.insert(
        ConsoleSession(token_hash=_hash(token), server_id=server.id, host=server.host, kind=kind,
                       expires_at=call.now + TICKET_S)
    )  # fmt: skip
    return token


def read_ticket(tx: Tx, token: str, now: float) -> ConsoleSession | None:
    """What a token opens, or None."""
    session = tx.get(ConsoleSession, _hash(token))
    if session is None or session.expires_at <= now:
        return None
    host = tx.value("SELECT host FROM servers WHERE id = ? AND deleted_at IS NULL", session.server_id)
    return session if host == session.host else None


def show_ticket(tx: Tx, call: Call, token: str) -> ConsoleSession:
    """What a token opens, for operators. Raises NotFound."""
    session = read_ticket(tx, token, call.now)
    if session is None:
        raise NotFound("Token not found")
    return session


class Consoles:
    """The pipes of this control process."""

    def __init__(self, store: Store, hosts: HostLinks):
        self.store = store
        self.hosts = hosts
        self._expected: dict[str, asyncio.Future[tuple[Socket, asyncio.Event]]] = {}

    async def admit(self, kind: str, token: str) -> ConsoleSession:
        """Raises NotFound for a ticket that opens nothing of this kind."""
        session = await self.store.read(read_ticket, token, self.hosts.clock.now())
        if session is None or session.kind != kind:
            raise NotFound("This console ticket is not valid, or not any more.")
        return session

    async def serve_client(self, session: ConsoleSession, client: Socket) -> None:
        """Pipe an accepted client to its guest until either end closes."""
        id = new_uuid()
        arrival: asyncio.Future[tuple[Socket, asyncio.Event]] = asyncio.get_running_loop().create_future()
        self._expected[id] = arrival
        try:
            wish = {"server_id": session.server_id, "session": id, "console": session.kind}
            await self.hosts.ask(session.host, "open_console", wish)
            async with asyncio.timeout(DIAL_BACK_S):
                device, over = await arrival
        except (Error, TimeoutError) as error:
            words = error.message if isinstance(error, Error) else "The host did not open the console in time."
            await client.close(1011, words[:120])
            return
        finally:
            self._expected.pop(id, None)
        try:
            await pipe(client, device)
        finally:
            over.set()

    async def serve_agent(self, id: str, device: Socket) -> None:
        """The host's end of a pipe. Returns when the pipe is over."""
        arrival = self._expected.get(id)
        if arrival is None or arrival.done():
            await device.close(4404, "nobody waits for this console")
            return
        over = asyncio.Event()
        arrival.set_result((device, over))
        await over.wait()
        await device.close()


async def pipe(one: Socket, other: Socket) -> None:
    """Carry messages both ways until either end closes; then close the other."""

    async def carry(source: Socket, target: Socket) -> None:
        while (data := await source.receive()) is not None:
            await target.send(data.encode() if isinstance(data, str) else data)

    ways = [asyncio.create_task(carry(one, other)), asyncio.create_task(carry(other, one))]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    gone = ways[0].done()
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)
    if not gone:
        await one.close()


async def ask_console_log(hosts: HostLinks, host: str, server_id: str, max_bytes: int) -> str:
    """The end of a server's console log; empty when there is none yet. Raises Unavailable."""
    if not host:
        return ""
    answer = await hosts.ask(host, "console_log", {"server_id": server_id, "max_bytes": max_bytes})
    text = answer.get("text", "")
    if not isinstance(text, str):
        raise Unavailable("The host sent no console log.")
    return text
