"""Receiving bodies. Small ones stay in memory and go into the index with the commit; larger ones become a file
while they arrive.

Each hash and the writing are a lane of their own: jobs in order, on threads beside the event loop (hashlib and
write(2) let go of the interpreter). A lane that has work goes on with it without asking the loop, so a body takes
hardly longer than its slowest hash; the file is made durable while the last pieces are still being hashed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from bivouac.objects.store.clock import Ticks
from bivouac.objects.store.disk import Disk
from bivouac.objects.store.interface import Extent, Media, Staged

# bytes: above, a file of its own is faster than bytes written to the log and copied (docs/decisions/0010)
SMALL = 64 * 1024
HASH_INLINE = 32 * 1024  # bytes: hashing less takes less than a thread's start
AHEAD = 2  # pieces that may be under way when `write` returns


class Lane:
    """Jobs done one after the other by threads that are shared with other lanes. After one failed, the others are
    not begun, but for those that `end` it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._jobs: deque[tuple[Future[None], Callable[[], object]]] = deque()
        self._last: deque[tuple[Future[None], Callable[[], object]]] = deque()
        self._lock = threading.Lock()
        self._busy = self._failed = False

    def run(self, job: Callable[..., object], *arguments: Any) -> Future[None]:
        return self._add(self._jobs, partial(job, *arguments))

    def end(self, job: Callable[..., object], *arguments: Any) -> None:
        """Do this when the one under way is done, in place of those that wait."""
        with self._lock:
            self._failed = True
        self._add(self._last, partial(job, *arguments))

    def _add(self, jobs: deque[tuple[Future[None], Callable[[], object]]], job: Callable[[], object]) -> Future[None]:
        future: Future[None] = Future()
        with self._lock:
            jobs.append((future, job))
            begin, self._busy = not self._busy, True
        if begin:
            self._threads.submit(self._work)
        return future

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._failed:
                    for future, _ in self._jobs:
                        future.set_exception(RuntimeError("an earlier piece was not taken"))
                    self._jobs.clear()
                waiting = self._jobs or self._last
                if not waiting:
                    self._busy = False
                    return
                future, job = waiting.popleft()
            try:
                job()
            except Exception as error:
                self._failed = True
                future.set_exception(error)
            else:
                future.set_result(None)


async def _done(jobs: list[Future[None]]) -> None:
    """Wait for all. Raises what the first that failed raised."""
    for job in jobs:
        if not job.done():
            # Shielded: who waits may be cancelled, but what a thread is doing goes on.
            await asyncio.shield(asyncio.wrap_future(job))
        job.result()


class EmbeddedUpload:
    """See `interface.Upload`."""

    def __init__(self, disk: Disk, clock: Ticks, threads: ThreadPoolExecutor, digests: tuple[Any, ...]) -> None:
        self._disk, self._clock, self._threads = disk, clock, threads
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hashes = (self._md5, *digests)
        self._held: list[bytes] = []
        self._fd = -1
        self._data = 0
        self._writing = Lane(threads)
        self._hashing: list[Lane] = []
        self._under_way: deque[list[Future[None]]] = deque()
        self.size = 0

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        self.size += len(data)
        if self._fd < 0 and self.size <= SMALL:
            self._held.append(bytes(data))
            for digest in self._hashes:
                if len(data) <= HASH_INLINE:
                    digest.update(data)
                else:
                    await asyncio.to_thread(digest.update, data)
            return
        buffers = [data]
        if self._fd < 0:
            self._data = self._clock.next()
            self._fd = await asyncio.get_running_loop().run_in_executor(self._threads, self._disk.create, self._data)
            self._hashing = [Lane(self._threads) for _ in self._hashes]
            buffers, self._held = [*self._held, data], []
        jobs = [lane.run(one.update, data) for lane, one in zip(self._hashing, self._hashes, strict=True)]
        self._under_way.append([*jobs, self._writing.run(self._disk.write, self._fd, buffers)])
        if len(self._under_way) > AHEAD:
            await _done(self._under_way.popleft())

    async def finish(self) -> Staged:
        if self._fd < 0:
            return Staged(self.size, self._md5.hexdigest(), small=b"".join(self._held))
        published = self._writing.run(self._disk.publish, self._fd, self._data)
        try:
            while self._under_way:
                await _done(self._under_way.popleft())
            await _done([published])
        except BaseException:
            self._writing.end(self._disk.remove, self._data)
            raise
        os.close(self._fd)
        self._fd = -1
        return Staged(self.size, self._md5.hexdigest(), (Extent(Media.FILE, self._data, 0, self.size),))

    def abort(self) -> None:
        self._held = []
        if self._fd >= 0:
            self._writing.end(os.close, self._fd)
            self._fd = -1
