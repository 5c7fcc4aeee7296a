"""Blobs: the bytes of images as files of one directory, written once and never changed.

A blob is written beside its final name (`KEY.part`), hashed on the way, made durable and then renamed, so that a key
either names the whole blob or nothing. A writer holds a lock on its part file: what lies about unlocked was left by a
process that died, and `clean` removes it. Several processes may share a directory.

Bytes travel in blocks of `BLOCK_BYTES`, at most two of them per stream in memory; reading, writing and hashing happen
in threads (hashlib and the system calls drop the interpreter's lock), MD5 and SHA-512 side by side.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from .crash import side_effect
from .errors import NotFound, TooLarge

BLOCK_BYTES = 1 << 20
"""What is handed to a thread at a time: large against a thread hop (50 µs), small against memory."""
FLUSH_BYTES = 64 << 20
"""So much is sent to the disk at a time while more arrives: otherwise a large blob's commit waits for all of it."""
_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$")
_PART = ".part"
_pool = ThreadPoolExecutor(16, thread_name_prefix="blobs")
_hashers = ThreadPoolExecutor(16, thread_name_prefix="blobs-hash")
_flushers = ThreadPoolExecutor(4, thread_name_prefix="blobs-flush")


class Digests(Struct, frozen=True):
    """What was written: size in bytes and hexadecimal digests."""

    size: int
    md5: str
    sha512: str


class Blob:
    """An open blob. It stays readable after its key is deleted; `close` it, or use it in a `with` block."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes at `offset`; fewer only at the end. Blocks: call it in a thread, or for little."""
        return os.pread(self._descriptor, count, offset)

    async def stream(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of [start, stop), one block read ahead of the consumer; closes the blob at the end."""
        loop = asyncio.get_running_loop()
        stop = self.size if stop is None else min(stop, self.size)
        ahead = None
        try:
            while start < stop or ahead is not None:
                block = await ahead if ahead is not None else b""
                ahead = None
                if start < stop:
                    ahead = loop.run_in_executor(_pool, self.read, start, min(BLOCK_BYTES, stop - start))
                    start += min(BLOCK_BYTES, stop - start)
                if block:
                    yield block
        finally:
            if ahead is not None:
                await asyncio.wait([ahead])
            self.close()

    def part(self, start: int = 0, stop: int | None = None) -> "BlobPart":
        """The bytes of [start, stop) for the HTTP server to send; closing the part closes the blob."""
        return BlobPart(self, start, self.size if stop is None else min(stop, self.size))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        """An answer that a client did not wait for is dropped without being sent."""
        self.close()

    def fileno(self) -> int:
        return self._descriptor

    def __enter__(self) -> "Blob":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlobPart:
    """Bytes of an open blob, as the HTTP server sends files (`http1.FileRange`)."""

    def __init__(self, blob: Blob, start: int, stop: int):
        self._blob = blob
        self.fd = blob.fileno()
        self.offset = start
        self.length = stop - start

    def read(self) -> bytes:
        """All of them. Blocks."""
        return self._blob.read(self.offset, self.length)

    def close(self) -> None:
        self._blob.close()

    def __enter__(self) -> "BlobPart":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlobWriter:
    """A blob on its way: `write` chunks, `seal`, look at it with `reader`, then `commit` or `abort`."""

    def __init__(self, blobs: "Blobs", key: str):
        self._blobs = blobs
        self.key = key
        self._path = blobs.folder / (key + _PART)
        self._descriptor = _create_locked(self._path)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._busy: asyncio.Future[None] | None = None
        self._unflushed = 0
        self._flush: Future[None] | None = None
        self.size = 0
        """Bytes taken so far."""

    async def write(self, chunk: bytes) -> None:
        """Take a chunk. Raises TooLarge when the storage is full."""
        self._chunks.append(chunk)
        self._waiting += len(chunk)
        self.size += len(chunk)
        if self._waiting >= BLOCK_BYTES:
            await self._hand_over()

    async def seal(self) -> Digests:
        """All bytes are written (not yet durable); their digests."""
        await self._hand_over()
        if self._busy is not None:
            await self._busy
            self._busy = None
        return Digests(size=self.size, md5=self._md5.hexdigest(), sha512=self._sha512.hexdigest())

    async def rehash(self) -> Digests:
        """As `seal`, when another program wrote the bytes through `fileno`: they are read back."""
        return await asyncio.get_running_loop().run_in_executor(_pool, self._rehash)

    def fileno(self) -> int:
        return self._descriptor

    def reader(self) -> Blob:
        """The sealed bytes, before anybody else sees them."""
        return Blob(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC))

    async def commit(self) -> None:
        """Make the bytes durable under their key, in place of what was there."""
        await asyncio.get_running_loop().run_in_executor(_pool, self._commit)

    async def abort(self) -> None:
        """Forget the bytes. Nothing happens after a commit."""
        if self._busy is not None:
            with contextlib.suppress(TooLarge):
                await asyncio.shield(self._busy)
        if self._flush is not None:
            await asyncio.gather(asyncio.wrap_future(self._flush), return_exceptions=True)
        self._close(remove=True)

    async def _hand_over(self) -> None:
        """Give what waits to a thread, once it has done with the block before."""
        if self._busy is not None:
            await self._busy
        chunks, self._chunks, self._waiting = self._chunks, [], 0
        if chunks:
            self._busy = asyncio.get_running_loop().run_in_executor(_pool, self._absorb, chunks)

    def _absorb(self, chunks: Sequence[bytes]) -> None:
        other = _hashers.submit(_update, self._md5, chunks)
        try:
            with _storage_errors():
                for chunk in chunks:
                    _write_all(self._descriptor, chunk)
                    self._unflushed += len(chunk)
                if self._unflushed >= FLUSH_BYTES:
                    self._await_flush()
                    self._flush, self._unflushed = _flushers.submit(os.fdatasync, self._descriptor), 0
            _update(self._sha512, chunks)
        finally:
            other.result()

    def _await_flush(self) -> None:
        """A failure to write is told once, to whoever asks first: so each flush must be asked."""
        flush, self._flush = self._flush, None
        if flush is not None:
            flush.result()

    def _rehash(self) -> Digests:
        offset = 0
        while block := os.pread(self._descriptor, BLOCK_BYTES, offset):
            other = _hashers.submit(self._md5.update, block)
            self._sha512.update(block)
            other.result()
            offset += len(block)
        self.size = offset
        return Digests(size=offset, md5=self._md5.hexdigest(), sha512=self._sha512.hexdigest())

    def _commit(self) -> None:
        side_effect("blob commit")
        with _storage_errors():
            self._await_flush()
            os.fchmod(self._descriptor, 0o640)
            os.fsync(self._descriptor)
            os.rename(self._path, self._blobs.path(self.key))
            _sync_folder(self._blobs.folder)
        self._close(remove=False)

    def _close(self, remove: bool) -> None:
        if self._descriptor < 0:
            return
        if remove:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        os.close(self._descriptor)
        self._descriptor = -1


class Blobs:
    """A directory of blobs. Keys are letters, digits, `.`, `_` and `-`."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Where a blob is, or would be. Raises ValueError for what is no key."""
        if not _KEY.match(key) or key.endswith(_PART):
            raise ValueError(f"not a blob's key: {key!r}")
        return self.folder / key

    def create(self, key: str) -> BlobWriter:
        """Begin a blob. Raises BlobBusy while another writer has the key."""
        self.path(key)
        return BlobWriter(self, key)

    def open(self, key: str) -> Blob:
        """Raises NotFound."""
        try:
            return Blob(os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise NotFound("The bytes are not here.") from error

    def adopt(self, other: "Blobs", key: str, new_key: str) -> bool:
        """Give a durable blob of another directory a second name here. False when that is another file system."""
        side_effect("blob adopt")
        try:
            os.link(other.path(key), self.path(new_key))
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                return False
            if error.errno == errno.ENOENT:
                raise NotFound("The bytes are not here.") from error
            if error.errno != errno.EEXIST:
                raise
        _sync_folder(self.folder)
        return True

    def exists(self, key: str) -> bool:
        return self.path(key).exists()

    def delete(self, key: str) -> None:
        """Remove a blob; nothing if there is none."""
        side_effect("blob delete")
        with contextlib.suppress(FileNotFoundError):
            self.path(key).unlink()

    def keys(self) -> Iterator[tuple[str, float]]:
        """(key, moment of the last change) of every whole blob."""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.name.endswith(_PART) and _KEY.match(entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.name, entry.stat().st_mtime

    def clean(self) -> list[str]:
        """Remove the part files that nobody writes any more; returns their keys."""
        gone = []
        for path in self.folder.glob("*" + _PART):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    if _locked(descriptor):
                        path.unlink()
                        gone.append(path.name.removesuffix(_PART))
                finally:
                    os.close(descriptor)
        return gone

    def free_bytes(self) -> int:
        """Room left in the file system."""
        stat = os.statvfs(self.folder)
        return stat.f_bavail * stat.f_frsize


class BlobBusy(Exception):
    """Another writer has the key."""


def _create_locked(path: Path) -> int:
    """A new, empty, locked file at the path. Raises BlobBusy when a living writer holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(descriptor):
            os.close(descriptor)
            raise BlobBusy(path.name)
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                os.truncate(descriptor, 0)
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _update(digest: "hashlib._Hash", chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        digest.update(chunk)


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    """What the file system refuses for want of room, as an error that a client is told."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise TooLarge("The storage of images is full. Delete images, or give it more room.") from error
        raise
