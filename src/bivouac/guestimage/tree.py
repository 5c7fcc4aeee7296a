"""A file tree held in memory, which becomes a cpio archive or an ext4 file system.

Keeping owner, mode and device numbers beside the bytes is what lets an unprivileged user build a root file system:
nothing has to be root's, or set-user-id, on the machine that builds.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One file, folder, link or device: `mode` holds type and permissions as in stat(2), `data` a link's target too."""

    mode: int
    data: bytes = b""
    owner: int = 0
    device: tuple[int, int] = (0, 0)


class FileTree:
    """Paths (without a leading slash) and what stands there. Folders above a path are made as needed."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self._entries

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        """Every path with its entry, parents before children."""
        return iter(sorted(self._entries.items()))

    def add_directory(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        """A folder; adding it again changes its mode and owner."""
        self._put(path, Entry(stat.S_IFDIR | mode, owner=owner))

    def add_file(self, path: str, data: bytes | str, mode: int = 0o644, owner: int = 0) -> None:
        """A plain file with this content; text is encoded as UTF-8."""
        content = data.encode() if isinstance(data, str) else data
        self._put(path, Entry(stat.S_IFREG | mode, content, owner))

    def add_link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._put(path, Entry(stat.S_IFLNK | 0o777, target.encode()))

    def add_character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        """A character device node."""
        self._put(path, Entry(stat.S_IFCHR | mode, device=(major, minor)))

    def copy(self, source: str | Path, path: str | None = None) -> None:
        """A file of the building machine with its permissions, at `path` or at the same place. Raises OSError."""
        source = Path(source)
        mode = stat.S_IMODE(source.stat().st_mode)
        self.add_file(path or str(source), source.read_bytes(), mode)

    def _put(self, path: str, entry: Entry) -> None:
        path = path.strip("/")
        parent = posixpath.dirname(path)
        if parent and parent not in self._entries:
            self.add_directory(parent)
        self._entries[path] = entry

    def write_to(self, directory: Path) -> None:
        """Lay folders, files and links out below `directory` with the caller's ownership; devices are left out."""
        for path, entry in self:
            target = directory / path
            if stat.S_ISDIR(entry.mode):
                target.mkdir(parents=True, exist_ok=True)
            elif stat.S_ISREG(entry.mode):
                target.write_bytes(entry.data)
            elif stat.S_ISLNK(entry.mode):
                os.symlink(entry.data.decode(), target)
