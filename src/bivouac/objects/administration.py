"""What an operator may ask of the process that serves the store, on a Unix socket of its own in the store's folder.

Only the cloud's user and root can open it. One line of JSON asks, lines of JSON answer until the connection ends; the
last one has `done`, or `error`. A client that goes away ends what it asked for. What only reads needs no asking: see
`store.read_only`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from bivouac.core.http1 import unix_socket
from bivouac.objects import importing
from bivouac.objects.importing.source import SourceError
from bivouac.objects.store import EmbeddedStore, maintenance
from bivouac.objects.store.errors import StoreError

SOCKET = "objects.sock"
MAX_REQUEST_BYTES = 1 << 20


class Compact(msgspec.Struct, frozen=True, tag_field="action", tag="compact"):
    """Give free space back."""


class Import(msgspec.Struct, frozen=True, tag_field="action", tag="import"):
    """Bring objects from elsewhere."""

    job: importing.Job


Request = Compact | Import


class Freed(msgspec.Struct, frozen=True):
    """How much `Compact` gave back."""

    bytes: int
    done: bool = True


class Failure(msgspec.Struct, frozen=True):
    """Why it ended early."""

    error: str


async def perform(store: EmbeddedStore, request: Request) -> AsyncGenerator[msgspec.Struct]:
    """Do it, and say what happens."""
    try:
        if isinstance(request, Compact):
            yield Freed(await maintenance.compact(store))
            return
        async for progress in importing.run(store, request.job):
            yield progress
    except (SourceError, StoreError) as error:
        yield Failure(str(error) or repr(error))


class Administration:
    """Listens for operators."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._server: asyncio.Server | None = None

    async def start(self, directory: Path) -> None:
        """Listen on `SOCKET` in `directory`."""
        listener = unix_socket(directory / SOCKET)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)

    async def stop(self) -> None:
        """No new requests; the loop's end cancels those under way."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            try:
                request = msgspec.json.decode(await reader.readline(), type=Request)
            except (msgspec.DecodeError, ValueError) as error:
                writer.write(msgspec.json.encode(Failure(str(error))) + b"\n")
                return
            async with contextlib.aclosing(perform(self._store, request)) as lines:
                async for line in lines:
                    writer.write(msgspec.json.encode(line) + b"\n")
                    await writer.drain()
