"""Receiving bodies. Small ones stay in memory and go into the index with the commit; larger ones become a file
while they arrive.

Hashing and writing run in threads beside each other and beside the event loop: hashlib and write(2) let go of the
interpreter.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bivouac.objects.store.clock import Ticks
from bivouac.objects.store.disk import Disk
from bivouac.objects.store.interface import Extent, Media, Staged

# bytes: above, a file of its own is faster than bytes written to the log and copied (docs/decisions/0010)
SMALL = 64 * 1024
HASH_INLINE = 32 * 1024  # bytes: hashing less takes less than a thread's start


class EmbeddedUpload:
    """See `interface.Upload`."""

    def __init__(self, disk: Disk, clock: Ticks, threads: ThreadPoolExecutor, digests: tuple[Any, ...]) -> None:
        self._disk, self._clock, self._threads = disk, clock, threads
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hashes = (self._md5, *digests)
        self._held: list[bytes] = []
        self._fd = -1
        self._data = 0
        self.size = 0

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        self.size += len(data)
        if self._fd < 0:
            if self.size <= SMALL:
                self._held.append(bytes(data))
                if len(data) <= HASH_INLINE:
                    self._hash(data)
                else:
                    await self._run(self._hash, data)
                return
            self._data = self._clock.next()
            self._fd = await self._run(self._disk.create, self._data)
            held, self._held = self._held, []
            await asyncio.gather(self._run(self._hash, data), self._run(self._disk.write, self._fd, [*held, data]))
            return
        await asyncio.gather(self._run(self._hash, data), self._run(self._disk.write, self._fd, [data]))

    async def finish(self) -> Staged:
        md5 = self._md5.hexdigest()
        if self._fd < 0:
            return Staged(self.size, md5, small=b"".join(self._held))
        try:
            await self._run(self._disk.publish, self._fd, self._data)
        except BaseException:
            self._disk.remove(self._data)
            raise
        os.close(self._fd)
        self._fd = -1
        return Staged(self.size, md5, (Extent(Media.FILE, self._data, 0, self.size),))

    def abort(self) -> None:
        self._held = []
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _hash(self, data: bytes | bytearray | memoryview) -> None:
        for digest in self._hashes:
            digest.update(data)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
