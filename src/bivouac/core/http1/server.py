"""The listener: accepts, closes idle connections, and ends without dropping an answer."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bivouac.core.errors import Error
from bivouac.core.http1.connection import Connection
from bivouac.core.http1.message import Request, Response
from bivouac.core.http1.sending import DateHeader
from bivouac.core.http1.websocket import Handler as WebSocketHandler
from bivouac.core.http1.websocket import WebSocket

IDLE_S = 75  # a kept connection without a request, or a request that sends nothing
SWEEP_S = 5
SCRATCH = 256 * 1024  # bytes read at once while no large body is being received
BACKLOG = 2048  # connections that wait to be accepted
GOING_AWAY = 1001  # close code of a server that ends (RFC 6455, section 7.4.1)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AddressTaken(Error):
    """Somebody else listens there."""


class Server:
    """Serves one handler on one address, and WebSockets where there is a handler for them."""

    def __init__(self, handle: Handler, websocket: WebSocketHandler | None = None, idle_s: float = IDLE_S) -> None:
        self.handle = handle
        self.websocket = websocket
        self.connections: set[Connection] = set()
        self.websockets: set[WebSocket] = set()
        self.threads = ThreadPoolExecutor(8, thread_name_prefix="send")
        self.scratch = memoryview(bytearray(SCRATCH))
        self.date = DateHeader()
        self.now = time.monotonic()
        self._idle_s = idle_s
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; gives the port (useful when 0 was asked for). Raises AddressTaken."""
        listener = tcp_socket(host, port)
        await self.listen(listener, tls)
        return listener.getsockname()[1]

    async def listen(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a socket that is bound, TCP or Unix."""
        loop = asyncio.get_running_loop()
        listen = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
        self._listener = await listen(lambda: Connection(self), sock=listener, ssl=tls, backlog=BACKLOG)
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, patience_s: float = 10) -> None:
        """No new connections; answers under way may end within `patience_s`."""
        if self._listener is not None:
            self._listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.close()
        for one in list(self.websockets):
            await one.close(GOING_AWAY, "going away")
        deadline = time.monotonic() + patience_s
        while (self.connections or self.websockets) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for connection in [*self.connections, *self.websockets]:
            connection.abort()
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.now = time.monotonic()
            for connection in list(self.connections):
                if connection.idle and self.now - connection.active > self._idle_s:
                    connection.close()
                elif self.now - connection.active > 10 * self._idle_s:
                    connection.abort()


def tcp_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket. Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressTaken(f"cannot listen on {host}:{port}: {error.strerror}. Choose a free one in the settings."
                           ) from error  # fmt: skip
    return listener


def unix_socket(path: Path) -> socket.socket:
    """A bound Unix socket that only this user (and root) can open; a stale one is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    old = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old)
    return listener
