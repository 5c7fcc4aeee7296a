"""What the parsers read from, and what they say."""

import struct
from typing import Any, Protocol

from msgspec import Struct

MAX_READ = 1 << 20
"""No header needs more at once: a larger field is an attack."""


class Refused(Exception):
    """The bytes are broken, or point outside of themselves. `str(error)` is the reason, for the user."""


class Source(Protocol):
    """Bytes of known size; a `core.blobs.Blob` fits."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, count: int) -> bytes: ...


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes):
        self._data = data
        self.size = len(data)

    def read(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count]


class Slice:
    """A part of another source: a disk within an OVA."""

    def __init__(self, source: Source, offset: int, size: int):
        self._source = source
        self.offset = offset
        self.size = size

    def read(self, offset: int, count: int) -> bytes:
        return self._source.read(self.offset + offset, max(0, min(count, self.size - offset)))


class Inspection(Struct, frozen=True, kw_only=True):
    """What the bytes are. `virtual_size` is what a guest sees, in bytes.

    `also` names formats as which the bytes may be used as well (a hybrid ISO is a raw disk). `offset` and `length`
    say where the disk lies within a container (OVA), and `disk_format` what it is there.
    """

    format: str
    virtual_size: int
    also: tuple[str, ...] = ()
    disk_format: str = ""
    offset: int = 0
    length: int = 0


def take(source: Source, offset: int, count: int, what: str) -> bytes:
    """Exactly `count` bytes. Raises Refused when they are not there or too many."""
    if count > MAX_READ or count < 0 or offset < 0 or offset > source.size:
        raise Refused(f"The {what} lies outside of the file.")
    data = source.read(offset, count)
    if len(data) != count:
        raise Refused(f"The file ends within the {what}.")
    return data


def unpack(form: str, source: Source, offset: int, what: str) -> tuple[Any, ...]:
    """Fields of a header at an offset. Raises Refused."""
    return struct.unpack(form, take(source, offset, struct.calcsize(form), what))
