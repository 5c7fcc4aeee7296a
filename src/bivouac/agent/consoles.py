"""Consoles: control names a session, the agent dials it and pipes the guest's device through.

A serial line has one end only, so whoever comes last has it: an older session of the same server is closed. Data is
passed on with backpressure both ways.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from pathlib import Path

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bivouac.drivers.hypervisor import DriverError, Hypervisor
from bivouac.drivers.hypervisor.guest_user import guest_user
from bivouac.drivers.hypervisor.qemu.monitor import connect_unix

from .http_client import Endpoint
from .link import dial

log = logging.getLogger(__name__)
CHUNK = 64 << 10
UNREACHABLE = "The server's console cannot be reached."


class Consoles:
    """Open sessions of this host."""

    def __init__(self, endpoint: Endpoint, hypervisor: Hypervisor):
        self._endpoint = endpoint
        self._hypervisor = hypervisor
        self._sessions: set[asyncio.Task[None]] = set()
        self._serial: dict[str, asyncio.Task[None]] = {}

    async def open(self, server_id: str, session: str, console: str) -> None:
        """Connect a guest's console with a session of control. Raises DriverError."""
        if console not in ("vnc", "serial") or not session.replace("-", "").isalnum():
            raise DriverError("There is no such console.", f"{console!r} {session!r}")
        path = await self._hypervisor.console_socket(server_id, console)  # type: ignore[arg-type]
        if console == "serial" and (older := self._serial.pop(server_id, None)) is not None:
            older.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await older
        try:
            device = connect_unix(Path(path))
        except OSError as error:
            raise DriverError(UNREACHABLE, str(error)) from error
        if console == "vnc" and not _belongs_to(device, guest_user(server_id)):
            device.close()
            raise DriverError(UNREACHABLE, f"{path} is not of the guest")
        reader, writer = await asyncio.open_unix_connection(sock=device, limit=CHUNK)
        try:
            far = await dial(self._endpoint, f"/agent/v1/consoles/{session}", CHUNK * 16)
        except (OSError, InvalidHandshake, TimeoutError) as error:
            writer.close()
            raise DriverError(UNREACHABLE, f"control: {error}") from error
        task = asyncio.create_task(_pipe(reader, writer, far))
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)
        if console == "serial":
            self._serial[server_id] = task

    async def close(self) -> None:
        """End all sessions."""
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)


def _belongs_to(device: socket.socket, user: int) -> bool:
    """Whether the other end is the guest's own process: the socket's name lies where a broken-out guest may write."""
    credentials = device.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1] == user


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far: ClientConnection) -> None:
    """Until either end hangs up."""

    async def up() -> None:
        while data := await reader.read(CHUNK):
            await far.send(data)

    async def down() -> None:
        async for message in far:
            writer.write(message.encode() if isinstance(message, str) else message)
            await writer.drain()

    ways = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionClosed, OSError):
            await far.close()
