"""Sockets that the APIs are served on: uvicorn inside our own event loop, on TCP and on Unix sockets."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bivouac.core.errors import Error

MAX_REQUEST_HEAD_BYTES = 256 << 10
"""What is read of a request line and its header fields before the connection is refused: well above what the kernel
answers with a proper 431, so that only a flood meets this."""
CORK_BYTES = 64 << 10


class AddressTaken(Error):
    """Somebody else listens there."""


class CorkedTransport:
    """Gathers what is written within one turn of the event loop, so that head and body leave in one system call:
    a send on loopback costs as much as the whole routing of a request."""

    __slots__ = ("_loop", "_parts", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > CORK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what waits."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts, self._size = [], 0
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        if name in ("set_protocol", "write_eof"):
            self.flush()
        return getattr(self._transport, name)


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's parser with a bound on the request head, which httptools alone would buffer for ever."""

    head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(CorkedTransport(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        self.head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > MAX_REQUEST_HEAD_BYTES:
            raise ValueError("request head too large")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to one of its listeners."""
        yield


def tcp_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket. Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressTaken(f"cannot listen on {host}:{port}: {error.strerror}. Set http.port to a free one.") from error
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


async def serve(application: Any, listener: socket.socket, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set; then let running requests end for a few seconds."""
    config = uvicorn.Config(
        application,
        loop="none",
        http=BoundedHttpProtocol,
        ws="websockets-sansio",
        ws_max_size=64 << 20,
        ws_ping_interval=None,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
        backlog=2048,
    )
    server = _Server(config)

    async def watch() -> None:
        await stopping.wait()
        server.should_exit = True

    watcher = asyncio.create_task(watch())
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
