"""One connection: reads requests, asks the handler, writes answers, keeps the order.

Handlers are driven without a task until they first wait: most GETs never do, and a task costs a tenth of their budget.
So before its first wait a handler has no current task, which `asyncio.timeout` asks for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import types
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from bivouac.core.http1.body import NO_BODY, Body
from bivouac.core.http1.message import Disconnected, Request, Response
from bivouac.core.http1.parsing import HEAD_LIMIT, BadRequest, Head
from bivouac.core.http1.sending import one_line, send_file, status_line
from bivouac.core.http1.websocket import WebSocket, asks_for_websocket, serve
from bivouac.core.tls import common_name

if TYPE_CHECKING:
    from bivouac.core.http1.server import Server

log = logging.getLogger(__name__)
DRAINED = 1024 * 1024  # bytes of an unread body that are read away rather than closing the connection
STREAMED = 16 * 1024  # bytes of a stream that are gathered before they are written
LINGER_S = 2.0  # what a client goes on sending after an error is read past for so long
COPIED = 256 * 1024  # bytes: pieces below are joined and written, above sent with sendfile


class Connection(asyncio.BufferedProtocol):
    """See module. Requests of one connection are answered one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._held = b""  # received and not yet used
        self._body: Body | None = None
        self._head: Head | None = None
        self._answering = False
        self._direct = False
        self._writable: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.active = time.monotonic()

    # transport's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        self._peer = common_name(transport.get_extra_info("peercert")) or address
        self._secure = transport.get_extra_info("sslcontext") is not None
        raw = transport.get_extra_info("socket")
        self._socket = raw.fileno()
        if raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._server.connections.discard(self)
        if self._body is not None:
            self._body.fail(Disconnected("connection lost"))
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(Disconnected("connection lost"))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._body is not None and not self._held:
            buffer = self._body.buffer()
            if buffer is not None:
                self._direct = True
                return buffer
        self._direct = False
        return self._server.scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.active = self._server.now
        if self._refused:
            return
        if self._direct:
            assert self._body is not None
            self._body.received(nbytes)
            return
        data = bytes(self._server.scratch[:nbytes])
        self._held = self._held + data if self._held else data
        self._advance()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        if self._held and not self._answering:
            self._advance()

    @property
    def idle(self) -> bool:
        """No request is being answered."""
        return not self._answering

    def close(self) -> None:
        """When no request is being answered, at once; else after the answer."""
        self._closing = True
        if not self._answering:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # requests

    def _advance(self) -> None:
        """Use what is held: the body of the present request, or the head of the next."""
        while self._held:
            if self._body is not None and not self._body.complete:
                try:
                    taken = self._body.feed(self._held)
                except ValueError:
                    self._held, self._closing = b"", True
                    return
                self._held = self._held[taken:]
                if not self._body.complete or not self._pending_start():
                    return
                continue
            if self._answering or self._closing or self._writable is not None:
                return
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                if len(self._held) > HEAD_LIMIT:
                    self._refuse(431, "request head too large")
                elif self._held[:2] == b"\r\n":
                    self._held = self._held[2:]
                    continue
                return
            if end > HEAD_LIMIT:
                self._refuse(431, "request head too large")
                return
            data, self._held = self._held[: end + 4], self._held[end + 4 :]
            self._receive_head(data)
            if self._held and not self._answering:
                # From the loop, not at once: nobody's pipeline may keep the others waiting.
                asyncio.get_running_loop().call_soon(self._advance)
                return

    def _pending_start(self) -> bool:
        """A gathered body is complete: ask the door now."""
        if self._head is not None and not self._answering:
            self._start()
        return bool(self._held)

    def _receive_head(self, data: bytes) -> None:
        try:
            head = Head(data)
        except BadRequest as error:
            self._refuse(400, str(error))
            return
        self._head = head
        if head.length is None and not head.chunked:
            self._body = NO_BODY
            if self._server.websocket is not None and asks_for_websocket(head):
                self._become_websocket(head, data)
            else:
                self._start()
            return
        self._body = body = Body(head.length, head.chunked, self._pause, self._want_body)
        if self._held and not body.complete:
            try:
                taken = body.feed(self._held)
            except ValueError:
                self._refuse(400, "malformed chunked body")
                return
            self._held = self._held[taken:]
        if body.small:
            if head.expects_continue:
                self._want_body()
            return
        self._start()

    def _become_websocket(self, head: Head, data: bytes) -> None:
        server, handle = self._server, self._server.websocket
        assert handle is not None
        request = Request(head.method, head.target, head.query, head.headers, self._peer, self._secure, NO_BODY)
        opening, self._held, self._closing = data + self._held, b"", True
        socket = WebSocket(server, self._transport, request, opening)
        server.connections.discard(self)
        server.websockets.add(socket)
        self._transport.set_protocol(socket)
        self._task = asyncio.get_running_loop().create_task(serve(socket, handle))

    def _start(self) -> None:
        head, body = self._head, self._body
        assert head is not None and body is not None
        self._answering = True
        request = Request(head.method, head.target, head.query, head.headers, self._peer, self._secure, body)
        handler = self._server.handle(request)
        try:
            waiting = handler.send(None)
        except StopIteration as done:
            response = done.value
        except Exception:
            log.exception("unhandled error in %s %s", head.method, head.target)
            response = Response(500, [("Content-Type", "text/plain")], b"Internal Server Error\n")
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer_later(_resume(handler, waiting)))
            return
        if type(response.body) is bytes and body.complete:
            self._write(head, response, response.body)
            self._answered(head.keep_alive)
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer(response))

    async def _answer_later(self, handler: Any) -> None:
        try:
            response = await handler
        except Disconnected:
            self._transport.abort()
            return
        except Exception:
            assert self._head is not None
            log.exception("unhandled error in %s %s", self._head.method, self._head.target)
            response = Response(500, [("Content-Type", "text/plain")], b"Internal Server Error\n")
        await self._answer(response)

    async def _answer(self, response: Response) -> None:
        """Send an answer that may wait for the client."""
        head, body = self._head, self._body
        assert head is not None and body is not None
        if self._transport.is_closing():
            return
        keep = False
        try:
            keep = head.keep_alive and await self._drained(head, body)
            if not keep:
                head.keep_alive = False
            if isinstance(response.body, bytes):
                self._write(head, response, response.body)
            elif isinstance(response.body, list):
                await self._send_pieces(head, response)
            else:
                await self._send_stream(head, response)
            if not keep and not body.complete:
                await self._linger()
        except (Disconnected, OSError, EOFError) as error:
            log.debug("answer cut short: %s", error)
            self._transport.abort()
        except Exception:
            # The head is out: an answer cut short is the only honest end.
            log.exception("answer to %s %s failed", head.method, head.target)
            self._transport.abort()
        self._answered(keep if not self._transport.is_closing() else False)
        self._advance()

    async def _drained(self, head: Head, body: Body) -> bool:
        """Read away what the door left of a small body. False: the connection must end with this answer."""
        if body.complete:
            return True
        if head.expects_continue and not self._continued:
            return False
        if head.length is None or head.length > DRAINED:
            return False
        async for _ in body.chunks():
            pass
        return True

    async def _linger(self) -> None:
        """A client that still sends would lose the answer to a reset: take in a little more before closing."""
        assert self._body is not None
        if self._head is not None and self._head.expects_continue and not self._continued:
            return
        try:
            async with asyncio.timeout(LINGER_S):
                async for _ in self._body.chunks():
                    pass
        except (TimeoutError, Disconnected):
            pass

    def _answered(self, keep: bool) -> None:
        self._answering = False
        if self._body is not None:
            self._body.answered()
        self._head = self._body = self._task = None
        self._continued = False
        if self._closing or not keep:
            self._closing = True
            self._transport.close()

    _continued = False
    _refused = False

    def _want_body(self) -> None:
        """The body is wanted: tell a client that waits to be told."""
        if self._head is not None and self._head.expects_continue and not self._continued:
            self._continued = True
            if self._body is not None and not self._body.complete:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pause(self, pause: bool) -> None:
        if self._transport.is_closing():
            return
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _refuse(self, status: int, reason: str) -> None:
        """An answer without a handler: what came is not HTTP. What else comes is read past for a moment, because a
        client that still sends would lose the answer to a reset."""
        self._held, self._closing, self._refused = b"", True, True
        text = reason.encode() + b"\n"
        head = f"{status_line(status, '')}{self._server.date.line()}Content-Type: text/plain\r\nConnection: close\r\n"
        self._transport.write(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.close)

    # answers

    def _head_bytes(self, head: Head, response: Response, length: int | None) -> bytes:
        lines = [status_line(response.status, response.reason), self._server.date.line()]
        fields = "".join([f"{name}: {value}\r\n" for name, value in response.headers])
        if fields.count("\n") != len(response.headers) or fields.count("\r") != len(response.headers):
            fields = "".join([f"{one_line(name)}: {one_line(value)}\r\n" for name, value in response.headers])
        lines.append(fields)
        if length is not None:
            if response.status != 204 and response.status >= 200:
                lines.append(f"Content-Length: {length}\r\n")
        elif response.status != 304:
            lines.append("Transfer-Encoding: chunked\r\n")
        lines.append("\r\n" if head.keep_alive else "Connection: close\r\n\r\n")
        return "".join(lines).encode("utf-8", "surrogateescape")

    def _write(self, head: Head, response: Response, body: bytes) -> None:
        if response.status in (204, 304) or head.method == "HEAD":
            length = response.length if response.length is not None else len(body)
            if response.status == 304:
                length = None
            self._transport.write(self._head_bytes(head, response, length))
            return
        data = self._head_bytes(head, response, len(body))
        if len(body) < COPIED:
            self._transport.write(data + body)
        else:
            self._transport.writelines([data, body])

    async def _send_pieces(self, head: Head, response: Response) -> None:
        pieces: Any = response.body
        length = sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces)
        data = self._head_bytes(head, response, length)
        if head.method == "HEAD":
            self._transport.write(data)
            return
        for piece in pieces:
            if isinstance(piece, bytes):
                data += piece
            elif piece.length < COPIED:
                with piece:
                    data += await asyncio.get_running_loop().run_in_executor(self._server.threads, _read_part, piece, 0)
            else:
                await self._flush(data)
                data = b""
                with piece:
                    await self._send_range(piece)
            if len(data) >= COPIED:
                await self._flush(data)
                data = b""
        await self._flush(data)

    async def _flush(self, data: bytes, empty: bool = False) -> None:
        """Write and wait while the client is behind; with `empty`, until all of it has left for the kernel."""
        if self._transport.is_closing():
            raise Disconnected("connection lost")
        if empty:
            self._transport.set_write_buffer_limits(high=0)
        if data:
            self._transport.write(data)
        while self._writable is not None:
            await self._writable
        if empty:
            self._transport.set_write_buffer_limits()
        self.active = self._server.now

    async def _send_stream(self, head: Head, response: Response) -> None:
        stream: Any = response.body
        data = self._head_bytes(head, response, response.length)
        chunked = response.length is None
        if head.method == "HEAD":
            self._transport.write(data)
            return
        sent = 0
        async for part in stream:
            if not isinstance(part, bytes):
                await self._flush(data)
                data = b""
                sent += part.length
                with part:
                    await self._send_range(part)
            elif part:
                data += b"%x\r\n%s\r\n" % (len(part), part) if chunked else part
                sent += len(part)
            if len(data) >= STREAMED:
                await self._flush(data)
                data = b""
        if chunked:
            data += b"0\r\n\r\n"
        elif sent != response.length:
            raise EOFError("stream of another length than promised")
        await self._flush(data)

    async def _send_range(self, piece: Any) -> None:
        """A piece of a file, the head being out already."""
        if piece.length >= COPIED and not self._secure:
            await self._flush(b"", empty=True)
            await send_file(self._server.threads, self._socket, piece)
            self.active = self._server.now
            return
        loop = asyncio.get_running_loop()
        for offset in range(0, piece.length, COPIED):
            await self._flush(await loop.run_in_executor(self._server.threads, _read_part, piece, offset))


def _read_part(piece: Any, offset: int) -> bytes:
    part = os.pread(piece.fd, min(COPIED, piece.length - offset), piece.offset + offset)
    if not part:
        raise EOFError("file shorter than recorded")
    return part


@types.coroutine
def _resume(handler: Any, waiting: Any) -> Generator[Any, Any, Response]:
    """Go on with a coroutine that was begun outside a task and waits for `waiting`, now inside one."""
    while True:
        try:
            result = yield waiting
        except BaseException as error:
            step = lambda error=error: handler.throw(error)  # noqa: E731
        else:
            step = lambda result=result: handler.send(result)  # noqa: E731
        try:
            waiting = step()
        except StopIteration as done:
            return done.value
