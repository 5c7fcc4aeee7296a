"""One WebSocket (RFC 6455), once a connection has asked for the upgrade: `websockets` speaks the protocol, this
carries the bytes and holds the other side back when messages are not taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Upgrade
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from bivouac.core.http1.message import Disconnected, Request
from bivouac.core.http1.parsing import Head

if TYPE_CHECKING:
    from bivouac.core.http1.server import Server

log = logging.getLogger(__name__)
LONGEST = 64 * 1024 * 1024  # bytes of a message
WAITING = 1024 * 1024  # bytes of messages that wait to be taken before the other side is held back
GOODBYE_S = 10.0
"""So long the other side may take to answer a close."""


def asks_for_websocket(head: Head) -> bool:
    """Whether the request is an opening handshake (RFC 6455, section 4.2.1); its fields are checked later."""
    return b"upgrade" in head.headers and head.method == "GET" and head.headers[b"upgrade"].lower() == b"websocket"


class WebSocket(asyncio.BufferedProtocol):
    """What a handler gets: `accept` (or `refuse`), then `receive` and `send` until `close`."""

    def __init__(self, server: Server, transport: Any, request: Request, opening: bytes) -> None:
        self.request = request
        self.subprotocols = [
            name.strip() for name in request.header("sec-websocket-protocol").split(",") if name.strip()
        ]
        self._server = server
        self._transport = transport
        self._chosen: Subprotocol | None = None
        self._protocol = ServerProtocol(
            select_subprotocol=lambda protocol, offered: self._chosen, max_size=LONGEST, logger=log
        )
        self._upgrade: Upgrade | None = None
        self._messages: deque[bytes | str] = deque()
        self._waiting = 0
        self._parts: list[bytes] = []
        self._kind = Opcode.BINARY
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._gone = False
        self._feed(opening)

    # what a handler does

    async def accept(self, subprotocol: str | None = None) -> None:
        """Answer the handshake. Raises Disconnected when the other side's was wrong (it has been told), or is gone."""
        if self._upgrade is None or self._gone:
            raise Disconnected("connection lost")
        self._chosen = None if subprotocol is None else Subprotocol(subprotocol)
        self._protocol.send_response(self._protocol.accept(self._upgrade))
        self._flush()
        if self._protocol.state is not State.OPEN:
            raise Disconnected("no valid handshake")
        self._drain()

    def refuse(self, status: int, words: str) -> None:
        """Answer the handshake with an error of HTTP. Nothing if it was answered already."""
        if not self._gone and self._protocol.state is State.CONNECTING and not self._protocol.eof_sent:
            self._protocol.send_response(self._protocol.reject(HTTPStatus(status), words + "\n"))
            self._flush()

    async def receive(self) -> bytes | str | None:
        """The next message; None when the other side has closed or is gone."""
        while not self._messages:
            if self._gone or self._protocol.state is not State.OPEN:
                return None
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        message = self._messages.popleft()
        was, self._waiting = self._waiting, self._waiting - len(message)
        if was > WAITING >= self._waiting and not self._gone:
            self._transport.resume_reading()
        return message

    async def send(self, data: bytes | str) -> None:
        """Send one message, as text or as bytes; waits while the other side is behind. Raises Disconnected."""
        if self._gone or self._protocol.state is not State.OPEN:
            raise Disconnected("connection lost")
        if isinstance(data, str):
            self._protocol.send_text(data.encode())
        else:
            self._protocol.send_binary(data)
        self._flush()
        while self._writable is not None:
            await self._writable

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, or refuse what was not accepted. Nothing if it is closed already."""
        if self._gone:
            return
        if self._protocol.state is State.CONNECTING:
            self.refuse(403, reason or "refused")
        elif self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()

    # transport's side

    def connection_made(self, transport: Any) -> None:
        """The transport was handed over by `Connection`, which knew it first."""

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.scratch

    def buffer_updated(self, nbytes: int) -> None:
        self._feed(bytes(self._server.scratch[:nbytes]))

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._drain()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._server.websockets.discard(self)
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(Disconnected("connection lost"))
            self._writable.exception()
        self._wake()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def abort(self) -> None:
        self._transport.abort()

    def _feed(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._drain()
        self._flush()

    def _drain(self) -> None:
        """Take what the protocol has understood."""
        for event in self._protocol.events_received():
            if isinstance(event, Upgrade):
                self._upgrade = event
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._take(event)
        if self._protocol.state is not State.OPEN:
            self._wake()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._kind, self._parts = frame.opcode, []
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        data, self._parts = b"".join(self._parts), []
        try:
            message = data.decode() if self._kind is Opcode.TEXT else data
        except UnicodeDecodeError:
            self._protocol.fail(1007, "text that is not UTF-8")
            return
        was, self._waiting = self._waiting, self._waiting + len(message)
        self._messages.append(message)
        if was <= WAITING < self._waiting:
            self._transport.pause_reading()
        self._wake()

    def _flush(self) -> None:
        """Write what the protocol wants written; end the connection when it says so."""
        if self._gone:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if self._protocol.close_expected():
            asyncio.get_running_loop().call_later(GOODBYE_S, self._transport.abort)

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


Handler = Callable[[WebSocket], Coroutine[Any, Any, None]]


async def serve(socket: WebSocket, handle: Handler) -> None:
    """Run a handler over a WebSocket, and end it with the handler."""
    try:
        await handle(socket)
    except Disconnected as error:
        log.debug("websocket ended: %s", error)
    except Exception:
        log.exception("unhandled error on websocket %s", socket.request.target)
        await socket.close(1011, "internal error")
    finally:
        await socket.close()
