"""The QMP link to one QEMU process: commands with deadlines, events to a listener, file descriptors."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .protocol import Conversation, Event, Greeting, ProtocolError, Reply

ANSWER_TIMEOUT_S = 20.0
"""QEMU answers in milliseconds; on a crowded host a stopped main loop may take seconds."""


class MonitorError(Exception):
    """QEMU refused a command, or is not there any more."""

    def __init__(self, message: str, error_class: str = ""):
        super().__init__(message)
        self.error_class = error_class


class MonitorClosed(MonitorError):
    """The link is gone: the process ended, or somebody closed it."""


def connect_unix(path: Path) -> socket.socket:
    """A connected, non-blocking Unix socket; works for paths longer than the 107 bytes that a socket address holds.

    Raises OSError.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    folder = -1
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    except OSError:
        connection.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return connection


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket for QEMU to inherit, which only we can connect to; replaces a stale one."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o600)
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener


class Monitor:
    """An open QMP link. `on_event` is called for each event, `on_close` once, both from the event loop."""

    def __init__(self, on_event: Callable[[Event], None], on_close: Callable[[], None] = lambda: None):
        self._on_event = on_event
        self._on_close = on_close
        self._conversation = Conversation()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._greeting: asyncio.Future[Greeting] | None = None
        self._socket: socket.socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._listeners: list[tuple[Callable[[Event], bool], asyncio.Future[Event]]] = []

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    async def connect(self, path: Path, timeout_s: float = ANSWER_TIMEOUT_S) -> Greeting:
        """Connect and negotiate. Raises MonitorError, OSError."""
        self._socket = connect_unix(path)
        self._greeting = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(self._socket), name=f"qmp {path.parent.name}")
        try:
            async with asyncio.timeout(timeout_s):
                greeting = await asyncio.shield(self._greeting)
            await self.execute("qmp_capabilities", timeout_s=timeout_s)
        except TimeoutError as error:
            self.close()
            raise MonitorError("no greeting in time") from error
        return greeting

    async def execute(self, name: str, /, *, timeout_s: float = ANSWER_TIMEOUT_S, **arguments: Any) -> Any:
        """Run a command; underscores of argument names stand for dashes. Raises MonitorError."""
        return await self.call(name, {key.replace("_", "-"): value for key, value in arguments.items()}, timeout_s)

    async def call(
        self, name: str, arguments: dict[str, Any], timeout_s: float = ANSWER_TIMEOUT_S, fds: Sequence[int] = ()
    ) -> Any:
        """Run a command with arguments as QMP names them, passing file descriptors along. Raises MonitorError."""
        if self._socket is None:
            raise MonitorClosed("not connected")
        number, data = self._conversation.command(name, arguments)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            if fds:
                socket.send_fds(self._socket, [data], list(fds))
            else:
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as error:
            raise MonitorError(f"{name}: no answer in {timeout_s} s") from error
        except OSError as error:
            raise MonitorClosed(f"{name}: {error}") from error
        finally:
            self._waiting.pop(number, None)

    def expect(self, matches: Callable[[Event], bool]) -> asyncio.Future[Event]:
        """A future of the next event that matches; ask for it before the command that causes the event."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        if self._socket is None:
            future.set_exception(MonitorClosed("not connected"))
        else:
            self._listeners.append((matches, future))
        return future

    def close(self) -> None:
        """Close the link; the guest runs on."""
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        self._ended()

    async def _read(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, ProtocolError):
            while data := await loop.sock_recv(connection, 65536):
                for message in self._conversation.feed(data):
                    self._take(message)
        self._reader = None
        self._ended()

    def _take(self, message: Greeting | Event | Reply) -> None:
        if isinstance(message, Reply):
            answer = self._waiting.get(message.id or 0)
            if answer is not None and not answer.done():
                if message.error:
                    answer.set_exception(MonitorError(message.error, message.error_class))
                else:
                    answer.set_result(message.value)
        elif isinstance(message, Event):
            self._on_event(message)
            for listener in list(self._listeners):
                matches, future = listener
                if future.done():
                    self._listeners.remove(listener)
                elif matches(message):
                    future.set_result(message)
                    self._listeners.remove(listener)
        elif self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(message)

    def _ended(self) -> None:
        if self._socket is None:
            return
        self._socket.close()
        self._socket = None
        pending: list[asyncio.Future[Any]] = [*self._waiting.values(), *(future for _, future in self._listeners)]
        if self._greeting is not None:
            pending.append(self._greeting)
        for future in pending:
            if not future.done():
                future.set_exception(MonitorClosed("the process closed the link"))
                future.exception()  # seen: nobody may be waiting any more
        self._listeners.clear()
        self._on_close()
