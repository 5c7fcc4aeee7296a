"""A disk that fails on purpose, beneath both the store's files and SQLite.

Every side effect (each write, sync, truncation, link and removal) is one numbered event. At the chosen event the
machine *crashes*: the
process ends at once, after the writes that no sync has covered were each kept, lost or torn by chance, as a power
cut may leave them. Or the
event *fails*: with a full disk, or with an error of the medium.
"""

from __future__ import annotations

import os
import random
from typing import Any

import apsw

from bivouac.objects.store.disk import Disk
from bivouac.objects.store.errors import StoreFull


class Plan:
    """What happens at which event. Events are counted from 1; 0 means never."""

    def __init__(self, crash_at: int = 0, full_from: int = 0, sync_fails_at: int = 0, seed: int = 0) -> None:
        self.crash_at, self.full_from, self.sync_fails_at = crash_at, full_from, sync_fails_at
        self.events = self.syncs = 0
        self.random = random.Random(seed)
        self.files: list[FaultyFile] = []
        self.unsynced: dict[int, int] = {}  # descriptor of an own copy -> synced size
        self.full = self.no_syncs = False

    def event(self) -> None:
        """Called before each side effect."""
        self.events += 1
        if self.events == self.crash_at:
            self.crash()
        if self.full_from and self.events >= self.full_from:
            self.full = True

    def sync(self) -> bool:
        """Called before each sync; True when it is to fail."""
        self.event()
        self.syncs += 1
        return self.syncs == self.sync_fails_at

    def crash(self) -> None:
        for file in self.files:
            file.lose_power(self.random)
        for fd, synced in self.unsynced.items():
            size = os.fstat(fd).st_size
            os.ftruncate(fd, self.random.randint(min(synced, size), size))
        os._exit(77)


class FaultyDisk(Disk):
    def __init__(self, directory: str, plan: Plan) -> None:
        super().__init__(directory)
        self.plan = plan

    def _check(self) -> None:
        self.plan.event()
        if self.plan.full:
            raise StoreFull("injected")

    def create(self, data: int) -> int:
        self._check()
        fd = super().create(data)
        self.plan.unsynced[os.dup(fd)] = 0
        return fd

    def write(self, fd: int, buffers: Any) -> None:
        self._check()
        super().write(fd, buffers)

    def publish(self, fd: int, data: int) -> None:
        """As the original does it, an event before each step."""
        self._check()
        os.link(f"/proc/self/fd/{fd}", self.path(data), src_dir_fd=fd)
        self._check()
        os.fsync(fd)
        inode = os.fstat(fd).st_ino
        self.plan.unsynced = {copy: size for copy, size in self.plan.unsynced.items() if os.fstat(copy).st_ino != inode}
        self._check()
        self.sync_folder(data)

    def remove(self, data: int) -> None:
        self.plan.event()
        super().remove(data)


class FaultyVfs(apsw.VFS):
    """Stands beneath SQLite."""

    def __init__(self, name: str, plan: Plan) -> None:
        super().__init__(name, "")
        self.plan = plan

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's names
        return FaultyFile(name, flags, self.plan)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.plan.event()
        super().xDelete(filename, syncdir)


class FaultyFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], plan: Plan) -> None:
        super().__init__("", name, flags)
        self.plan = plan
        self.undo: list[tuple[int, bytes, int]] = []  # offset, bytes before, length written
        self.synced_size: int | None = None
        plan.files.append(self)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.plan.event()
        if self.plan.full:
            raise apsw.FullError("injected")
        size = super().xFileSize()
        if self.synced_size is None:
            self.synced_size = size
        before = super().xRead(min(len(data), size - offset), offset) if offset < size else b""
        self.undo.append((offset, before, len(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.plan.event()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self.plan.sync():
            raise apsw.IOError("injected")
        if self.plan.no_syncs:
            return
        super().xSync(flags)
        self.undo.clear()
        self.synced_size = None

    def lose_power(self, chance: random.Random) -> None:
        """Each unsynced write is kept, lost or torn; the file may have grown or not. Newest first, so that overlaps
        come out right."""
        for offset, before, length in reversed(self.undo):
            fate = chance.randrange(3)
            if fate == 0:
                continue
            begin = 0 if fate == 1 else chance.randrange(0, length + 1, 512) if length >= 512 else 0
            restored = before[begin:length].ljust(length - begin, b"\0")
            if restored:
                super().xWrite(restored, offset + begin)
        self.undo.clear()

    def xClose(self) -> None:  # noqa: N802
        if self in self.plan.files:
            self.plan.files.remove(self)
        super().xClose()
