"""The listener: accepts, bounds the number of connections, closes idle ones, and ends without dropping an answer."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bivouac.objects.http.connection import Connection
from bivouac.objects.http.message import Request, Response
from bivouac.objects.http.sending import DateHeader

IDLE_S = 75  # a kept connection without a request, or a request that sends nothing
SWEEP_S = 5
SCRATCH = 256 * 1024  # bytes read at once while no large body is being received

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Server:
    """Serves one door on one address."""

    def __init__(self, handle: Handler, idle_s: float = IDLE_S) -> None:
        self.handle = handle
        self.connections: set[Connection] = set()
        self.threads = ThreadPoolExecutor(8, thread_name_prefix="send")
        self.scratch = memoryview(bytearray(SCRATCH))
        self.date = DateHeader()
        self.now = time.monotonic()
        self._idle_s = idle_s
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; gives the port (useful when 0 was asked for)."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Connection(self), host, port, ssl=tls, backlog=1024, reuse_address=True
        )
        self._sweeper = loop.create_task(self._sweep())
        return self._listener.sockets[0].getsockname()[1]

    async def stop(self, patience_s: float = 10) -> None:
        """No new connections; answers under way may end within `patience_s`."""
        if self._listener is not None:
            self._listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.close()
        deadline = time.monotonic() + patience_s
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
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


async def serve_until(stop: Awaitable[Any], servers: list[Server]) -> None:
    """Run until `stop` ends, then stop all servers."""
    await stop
    await asyncio.gather(*(server.stop() for server in servers))
