"""Receiving bodies in lanes of threads: order, failures, and descriptors that are closed after the last write."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bivouac.objects.store import EmbeddedStore
from bivouac.objects.store.disk import DIRECT, Disk
from bivouac.objects.store.errors import StoreFull
from bivouac.objects.store.interface import PutObject
from bivouac.objects.store.upload import AHEAD, Lane

PIECE = DIRECT
PIECES = [bytes([number]) * PIECE for number in range(5)] + [b"the rest, which is no whole page"]


class SlowDisk(Disk):
    """Writes only when it may; fails at the piece whose number it is told."""

    def __init__(self, directory: str, fails_at: int = -1) -> None:
        super().__init__(directory)
        self.may_write = threading.Event()
        self.fails_at = fails_at
        self.writes = 0

    def write(self, fd: int, buffers: list[bytes]) -> None:
        self.may_write.wait()
        os.fstat(fd)  # raises if the descriptor is closed already
        self.writes += 1
        if self.writes - 1 == self.fails_at:
            raise StoreFull("injected")
        super().write(fd, buffers)


def content(store: EmbeddedStore, pieces: list) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in pieces)


def test_pieces_arrive_in_order_and_each_hash_sees_them_all(tmp_path):
    async def main():
        disk = SlowDisk(str(tmp_path / "s" / "files"))
        disk.may_write.set()
        store = await EmbeddedStore.open(str(tmp_path / "s"), disk=disk)
        container, _ = await store.create_container("p", "c")
        sha = hashlib.sha256()
        upload = store.upload(None, (sha,))
        for piece in PIECES:
            await upload.write(piece)
        staged = await upload.finish()
        whole = b"".join(PIECES)
        assert (staged.size, staged.md5) == (len(whole), hashlib.md5(whole).hexdigest())
        assert sha.digest() == hashlib.sha256(whole).digest()
        await store.put_object(PutObject(container, "o", staged))
        assert content(store, await store.read(await store.get_object(container, "o"))) == whole
        await store.close()

    asyncio.run(main())


def test_a_reused_buffer_is_not_read_after_the_second_write_that_follows(tmp_path):
    """What the interface promises to who receives into a few buffers again and again."""

    async def main():
        disk = SlowDisk(str(tmp_path / "s" / "files"))
        disk.may_write.set()
        store = await EmbeddedStore.open(str(tmp_path / "s"), disk=disk)
        container, _ = await store.create_container("p", "c")
        buffers = [bytearray(PIECE) for _ in range(AHEAD + 1)]
        upload = store.upload()
        for number in range(12):
            buffer = buffers[number % len(buffers)]
            buffer[:] = bytes([number]) * PIECE
            await upload.write(buffer)
        staged = await upload.finish()
        await store.put_object(PutObject(container, "o", staged))
        whole = b"".join(bytes([number]) * PIECE for number in range(12))
        assert staged.md5 == hashlib.md5(whole).hexdigest()
        assert content(store, await store.read(await store.get_object(container, "o"))) == whole
        await store.close()

    asyncio.run(main())


def test_a_failed_write_is_told_and_leaves_nothing(tmp_path):
    async def main():
        disk = SlowDisk(str(tmp_path / "s" / "files"), fails_at=1)
        disk.may_write.set()
        store = await EmbeddedStore.open(str(tmp_path / "s"), disk=disk)
        open_before = len(os.listdir("/proc/self/fd"))
        upload = store.upload()
        with pytest.raises(StoreFull):
            for piece in PIECES:
                await upload.write(piece)
            await upload.finish()
        upload.abort()
        await store.close()
        assert list(disk.names()) == []
        assert disk.writes == 2, "nothing is written after the piece that failed"
        # The store's own descriptors are closed too, so only a leaked one would show.
        assert len(os.listdir("/proc/self/fd")) < open_before

    asyncio.run(main())


def test_an_aborted_upload_keeps_its_descriptor_until_what_was_begun_is_done(tmp_path):
    """Else the number would be another file's by the time the thread writes."""

    async def main():
        disk = SlowDisk(str(tmp_path / "s" / "files"))
        store = await EmbeddedStore.open(str(tmp_path / "s"), disk=disk)
        upload = store.upload()
        await upload.write(PIECES[0])
        await upload.write(PIECES[1])
        upload.abort()
        disk.may_write.set()
        await store.close()
        assert disk.writes <= 1
        assert list(disk.names()) == []

    asyncio.run(main())


def test_what_ends_a_lane_is_done_whatever_came_before():
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def fails() -> None:
        begun.set()
        go_on.wait()
        raise ValueError

    with ThreadPoolExecutor(2) as threads:
        lane = Lane(threads)
        first, second = lane.run(fails), lane.run(done.append, "second")
        begun.wait()
        lane.end(done.append, "remove")
        lane.end(done.append, "close")
        go_on.set()
        with pytest.raises(ValueError):
            first.result(10)
        with pytest.raises(RuntimeError):
            second.result(10)
    assert done == ["remove", "close"]
