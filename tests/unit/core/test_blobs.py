"""Blobs: whole or not there, hashed, readable while deleted, and nothing left by the dead."""

import asyncio
import errno
import hashlib
import os
from pathlib import Path

import pytest

from bivouac.core import crash
from bivouac.core.blobs import BLOCK_BYTES, BlobBusy, Blobs
from bivouac.core.errors import NotFound, TooLarge


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


async def put(blobs: Blobs, key: str, *chunks: bytes) -> object:
    writer = blobs.create(key)
    for chunk in chunks:
        await writer.write(chunk)
    digests = await writer.seal()
    await writer.commit()
    return digests


async def get(blobs: Blobs, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([block async for block in blobs.open(key).stream(start, stop)])


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 17])
def test_what_is_written_is_read_and_hashed(blobs: Blobs, size: int) -> None:
    data = os.urandom(size)
    digests = asyncio.run(put(blobs, "a", *(data[i : i + 70_000] for i in range(0, size, 70_000))))
    assert (digests.size, digests.md5) == (size, hashlib.md5(data).hexdigest())
    assert digests.sha512 == hashlib.sha512(data).hexdigest()
    assert asyncio.run(get(blobs, "a")) == data
    assert asyncio.run(get(blobs, "a", size // 3, size // 2)) == data[size // 3 : size // 2]
    assert [key for key, _ in blobs.keys()] == ["a"]  # noqa: SIM118


def test_nothing_is_seen_before_the_commit_nor_after_an_abort(blobs: Blobs) -> None:
    async def story() -> None:
        writer = blobs.create("a")
        await writer.write(b"x" * BLOCK_BYTES)
        assert not blobs.exists("a")
        with pytest.raises(BlobBusy):
            blobs.create("a")
        assert blobs.clean() == []
        await writer.abort()
        await writer.abort()
        await put(blobs, "a", b"second")
        assert await get(blobs, "a") == b"second"

    asyncio.run(story())
    assert list(os.listdir(blobs.folder)) == ["a"]


def test_a_crash_before_the_commit_leaves_only_what_clean_removes(blobs: Blobs) -> None:
    async def story() -> None:
        writer = blobs.create("a")
        await writer.write(b"x")
        await writer.seal()
        with crash.arm(1), pytest.raises(crash.Crashed):
            await writer.commit()
        os.close(writer._descriptor)  # the process is gone, and its lock with it

    asyncio.run(story())
    assert blobs.clean() == ["a"]
    assert os.listdir(blobs.folder) == []


def test_a_deleted_blob_is_still_read_to_its_end(blobs: Blobs) -> None:
    async def story() -> None:
        await put(blobs, "a", b"y" * (3 * BLOCK_BYTES))
        stream = blobs.open("a").stream()
        first = await anext(stream)
        blobs.delete("a")
        blobs.delete("a")
        rest = [block async for block in stream]
        assert len(first) + sum(map(len, rest)) == 3 * BLOCK_BYTES

    asyncio.run(story())
    with pytest.raises(NotFound):
        blobs.open("a")


def test_a_full_disk_is_said_and_leaves_nothing(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    async def story() -> None:
        writer = blobs.create("a")
        monkeypatch.setattr(os, "write", full)
        await writer.write(b"x" * BLOCK_BYTES)
        with pytest.raises(TooLarge, match="full"):
            await writer.seal()
        await writer.abort()

    asyncio.run(story())
    monkeypatch.undo()
    assert os.listdir(blobs.folder) == []


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_write_that_fails_in_the_background_is_said(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Linux tells such a failure once, to the first that asks: the commit must not take the next answer for its own."""
    monkeypatch.setattr("bivouac.core.blobs.FLUSH_BYTES", BLOCK_BYTES)
    flushes = []

    def flush(descriptor: int) -> None:
        flushes.append(descriptor)
        if len(flushes) == fails_at:
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fdatasync", flush)

    async def story() -> None:
        writer = blobs.create("a")
        with pytest.raises(TooLarge):
            for _ in range(3):
                await writer.write(b"x" * BLOCK_BYTES)
            await writer.seal()
            await writer.commit()
        await writer.abort()

    asyncio.run(story())
    assert len(flushes) >= fails_at
    assert os.listdir(blobs.folder) == []


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "../a", "a\0", "a.part", "-a", "x" * 300])
def test_a_key_is_never_a_path(blobs: Blobs, key: str) -> None:
    with pytest.raises(ValueError):
        blobs.create(key)
