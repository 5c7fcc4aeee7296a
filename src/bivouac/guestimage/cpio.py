"""The "newc" cpio archive that Linux unpacks as its initial file system (kernel documentation, buffer-format)."""

from __future__ import annotations

import io
import stat

from .tree import Entry, FileTree

_TRAILER = "TRAILER!!!"


def _header(number: int, name: str, entry: Entry) -> bytes:
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (
        *(number, entry.mode, entry.owner, entry.owner, links, 0, len(entry.data)),
        *(0, 0, major, minor, len(name.encode()) + 1, 0),
    )
    return b"070701" + "".join(f"{field:08X}" for field in fields).encode()


def archive(tree: FileTree) -> bytes:
    """The tree as one newc archive. Times are zero, so the same tree always gives the same bytes."""
    out = io.BytesIO()

    def pad(boundary: int) -> None:
        out.write(b"\0" * (-out.tell() % boundary))

    def record(number: int, name: str, entry: Entry) -> None:
        out.write(_header(number, name, entry) + name.encode() + b"\0")
        pad(4)
        out.write(entry.data)
        pad(4)

    for number, (path, entry) in enumerate(tree, start=1):
        record(number, path, entry)
    record(0, _TRAILER, Entry(0))
    pad(512)
    return out.getvalue()
