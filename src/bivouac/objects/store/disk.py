"""Every side effect of the store on the file system that is not SQLite's, in one class, so that tests can make any
of them fail or die.

Files are immutable and named after their data id: `files/ab/0123456789abcdef`. One appears under its name only when
all its bytes are
written; `publish` then makes bytes and name durable. A file that no row knows is left over from a crash and is
removed (see auditor).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence

from bivouac.objects.store.errors import StoreFull

FOLDERS = 256  # enough that a million files make folders of 4,000
# bytes after which the kernel is asked to begin writing, so that the sync finds little left
WRITEBACK = 8 * 1024 * 1024
DIRECT = 1024 * 1024  # bytes: so much at once goes past the page cache, which saves a copy and leaves the cache alone
PAGE = 4096  # bytes: what such a write is aligned to
FULL = (errno.ENOSPC, errno.EDQUOT)


class Disk:
    """The `files` folder of a store."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        for number in range(FOLDERS):
            os.makedirs(f"{directory}/{number:02x}", exist_ok=True)

    def folder(self, data: int) -> str:
        # Ids are times in steps of ten: the low digits spread evenly.
        return f"{self.directory}/{data // 10 % FOLDERS:02x}"

    def path(self, data: int) -> str:
        return f"{self.folder(data)}/{data:016x}"

    def create(self, data: int) -> int:
        """An anonymous file that will become `data`; it vanishes by itself if never published."""
        try:
            return os.open(self.folder(data), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _full(error) from error

    def write(self, fd: int, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append all of `buffers`. Raises StoreFull."""
        try:
            for buffer in buffers:
                view = memoryview(buffer)
                if len(view) >= DIRECT:
                    view = view[_write_direct(fd, view) :]
                while view:
                    view = view[os.write(fd, view) :]
        except OSError as error:
            raise _full(error) from error
        end = os.lseek(fd, 0, os.SEEK_CUR)
        begin = (end - sum(map(len, buffers))) // WRITEBACK * WRITEBACK
        if end // WRITEBACK > begin // WRITEBACK:
            _begin_writeback(fd, begin, end - begin)

    def publish(self, fd: int, data: int) -> None:
        """Name the file, then sync file and folder: one journal commit carries both on ext4 and xfs, the second
        sync finds nothing to do."""
        try:
            # src_dir_fd makes Python call linkat with AT_SYMLINK_FOLLOW; an absolute path makes the kernel ignore it.
            os.link(f"/proc/self/fd/{fd}", self.path(data), src_dir_fd=fd)
            os.fsync(fd)
            self.sync_folder(data)
        except OSError as error:
            raise _full(error) from error

    def sync_folder(self, data: int) -> None:
        folder = os.open(self.folder(data), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, data: int) -> None:
        """Remove if present."""
        try:
            os.unlink(self.path(data))
        except FileNotFoundError:
            pass

    def open(self, data: int) -> int:
        """A descriptor for reading. Raises FileNotFoundError."""
        return os.open(self.path(data), os.O_RDONLY | os.O_CLOEXEC)

    def names(self) -> Iterator[int]:
        """The ids of all published files, folder by folder."""
        for number in range(FOLDERS):
            with os.scandir(f"{self.directory}/{number:02x}") as entries:
                found = [entry.name for entry in entries]
            for name in found:
                try:
                    yield int(name, 16)
                except ValueError:
                    continue


def _full(error: OSError) -> Exception:
    return StoreFull(str(error)) if error.errno in FULL else error


def _write_direct(fd: int, view: memoryview) -> int:
    """Write as many whole pages of `view` as can be without the page cache; gives the bytes written. 0 where
    offset, memory or file system does not allow it."""
    if os.lseek(fd, 0, os.SEEK_CUR) % PAGE:
        return 0
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
        return os.write(fd, view[: len(view) // PAGE * PAGE])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return 0
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)


SYNC_FILE_RANGE_WRITE = 2
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)


def _begin_writeback(fd: int, offset: int, length: int) -> None:
    """Only a hint: what it cannot begin, the sync will do."""
    if _sync_file_range is not None:
        _sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(length), SYNC_FILE_RANGE_WRITE)
