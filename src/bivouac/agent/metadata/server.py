"""HTTP for guests: one listening socket per network, small requests, hard limits.

Guests are not trusted: the head, the body, the time and the number of connections are bounded, and whatever cannot be
parsed is answered 400 and closed. HTTP/1.1 (RFC 9112); httptools parses.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

import httptools

from .service import MetadataService, Reply

log = logging.getLogger(__name__)
MAX_HEAD_BYTES = 16 << 10
MAX_BODY_BYTES = 16 << 10
IDLE_S = 20.0
MAX_CONNECTIONS = 128
"""Of one network, whose guests may well all boot at once; more wait in the backlog of nobody and are closed."""

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict"}
_REASONS |= {413: "Content Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error"}


class _Connection(asyncio.Protocol):
    """One connection of a guest."""

    def __init__(self, network_id: str, service: MetadataService, open_connections: set["_Connection"]):
        self._network_id = network_id
        self._service = service
        self._open = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._body = b""
        self._size = 0
        self._in_body = False

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own are of no common class
        if len(self._open) >= MAX_CONNECTIONS:
            self._transport.abort()
            return
        self._open.add(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # it was answered without one, as a server may
            if self._transport is not None:
                self._transport.close()
        except httptools.HttpParserError:
            self._refuse(400)
        if not self._in_body:
            self._size += len(data)
            if self._size > MAX_HEAD_BYTES:
                self._refuse(431)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self.close)

    # --- the parser

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > MAX_HEAD_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            self._refuse(413)

    def on_message_complete(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        method = self._parser.get_method().decode("ascii")
        try:
            source = self._transport.get_extra_info("peername")[0].removeprefix("::ffff:")
            path = self._target.decode("latin-1")
            reply = self._service.answer(self._network_id, source, method, path, self._body)
        except Exception:
            log.exception("metadata request failed", extra={"network_id": self._network_id})
            reply = Reply(500)
        keep = self._parser.should_keep_alive()
        self._reset()
        self._write(reply, method == "HEAD", keep)
        self._wait()

    # --- writing

    def _refuse(self, status: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._write(Reply(status), False, False)

    def _write(self, reply: Reply, head_only: bool, keep: bool) -> None:
        assert self._transport is not None
        lines = [
            f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, '')}",
            f"Content-Type: {reply.media_type}",
            f"Content-Length: {len(reply.body)}",
            *([] if keep else ["Connection: close"]),
        ]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self._transport.write(head if head_only else head + reply.body)
        if not keep:
            self._transport.close()


class MetadataServers:
    """The listening sockets of this host's networks."""

    def __init__(self, service: MetadataService):
        self._service = service
        self._servers: dict[str, tuple[socket.socket, asyncio.Server]] = {}
        self._open: dict[str, set[_Connection]] = {}
        self._lock = asyncio.Lock()

    async def serve(self, network_id: str, listening: socket.socket) -> None:
        """Answer on a socket that listens already; nothing if that is done. A new socket takes an old one's place."""
        async with self._lock:
            held = self._servers.get(network_id)
            if held is not None and held[0] is listening:
                return
            await self._forget(network_id)
            connections = self._open.setdefault(network_id, set())
            listening.setblocking(False)
            # a duplicate: the driver keeps its own, and asyncio closes what it was given
            server = await asyncio.get_running_loop().create_server(
                self._maker(network_id, connections), sock=listening.dup()
            )
            self._servers[network_id] = (listening, server)

    def _maker(self, network_id: str, connections: set[_Connection]) -> Callable[[], _Connection]:
        return lambda: _Connection(network_id, self._service, connections)

    async def forget(self, network_id: str) -> None:
        """Stop answering on a network; nothing if nobody does."""
        async with self._lock:
            await self._forget(network_id)

    async def _forget(self, network_id: str) -> None:
        held = self._servers.pop(network_id, None)
        for connection in list(self._open.pop(network_id, ())):
            connection.close()
        if held is not None:
            held[1].close()

    async def close(self) -> None:
        """Stop answering everywhere."""
        for network_id in list(self._servers):
            await self.forget(network_id)
