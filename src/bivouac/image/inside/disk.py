"""The disk as its guest sees it: random access to raw and qcow2, within a budget."""

import struct
import zlib
from functools import lru_cache
from typing import Protocol

from ..formats import Source

_PAGE = 4096


class Unreadable(Exception):
    """It does not parse, is of a kind that is not read here, or would cost too much. `str(error)` says which."""


class Disk(Protocol):
    """Bytes at an offset; zeros where nothing was written."""

    size: int

    def read(self, offset: int, count: int) -> bytes: ...


class Budget:
    """How many bytes may still be read: a malicious image makes readers run in circles."""

    def __init__(self, limit: int):
        self.left = limit

    def spend(self, count: int) -> None:
        if count < 0 or count > self.left:
            raise Unreadable("it would take too much reading")
        self.left -= count


class RawDisk:
    """The bytes as they are."""

    def __init__(self, source: Source, budget: Budget):
        self._source = source
        self._budget = budget
        self.size = source.size

    def read(self, offset: int, count: int) -> bytes:
        self._budget.spend(count)
        return self._source.read(offset, count)


class Qcow2Disk:
    """A qcow2 that `formats.qcow2` has passed: no backing file, no data file, not encrypted."""

    def __init__(self, source: Source, budget: Budget):
        self._source = source
        self._budget = budget
        head = source.read(0, 112).ljust(112, b"\0")
        version, bits, self.size = struct.unpack_from(">I12xIQ", head, 4)
        self._bits = bits
        self._cluster = 1 << bits
        l1_entries, l1_at = struct.unpack_from(">IQ", head, 36)
        incompatible = struct.unpack_from(">Q", head, 72)[0] if version == 3 else 0
        if incompatible & 16:
            raise Unreadable("a qcow2 with extended L2 entries is not read")
        if incompatible & 8 and head[104]:
            raise Unreadable("a qcow2 packed with zstd is not read")
        self._l1_at, self._l1_entries = l1_at, l1_entries
        self._page = lru_cache(maxsize=256)(self._read_page)
        self._unpacked = lru_cache(maxsize=16)(self._unpack)

    def _read_page(self, offset: int) -> bytes:
        self._budget.spend(_PAGE)
        return self._source.read(offset, _PAGE)

    def _entry(self, table: int, index: int) -> int:
        """An entry of a table, of which only the page around it is read: a table can have 32 MiB."""
        page, inside = divmod(index * 8, _PAGE)
        return int.from_bytes(self._page(table + page * _PAGE)[inside : inside + 8], "big")

    def read(self, offset: int, count: int) -> bytes:
        self._budget.spend(count)
        out = []
        while count > 0 and offset < self.size:
            inside = offset % self._cluster
            step = min(count, self._cluster - inside, self.size - offset)
            out.append(self._piece(offset >> self._bits, inside, step))
            offset += step
            count -= step
        return b"".join(out)

    def _piece(self, cluster: int, inside: int, count: int) -> bytes:
        """Part of one guest cluster."""
        per_table = self._cluster // 8
        first, second = divmod(cluster, per_table)
        table = self._entry(self._l1_at, first) & 0x00FFFFFFFFFFFE00 if first < self._l1_entries else 0
        entry = self._entry(table, second) if table else 0
        if entry & (1 << 62):
            return self._unpacked(entry)[inside : inside + count].ljust(count, b"\0")
        at = entry & 0x00FFFFFFFFFFFE00
        if not at or entry & 1:
            return bytes(count)
        return self._source.read(at + inside, count).ljust(count, b"\0")

    def _unpack(self, entry: int) -> bytes:
        """A compressed cluster (docs/interop/qcow2.txt, "Compressed Clusters Descriptor")."""
        split = 62 - (self._bits - 8)
        at = entry & ((1 << split) - 1)
        sectors = (entry >> split) & ((1 << (self._bits - 8)) - 1)
        size = (sectors + 1) * 512 - at % 512
        self._budget.spend(size + self._cluster)
        try:
            return zlib.decompressobj(-12).decompress(self._source.read(at, size), self._cluster)
        except zlib.error as error:
            raise Unreadable("a compressed cluster is damaged") from error


class Part:
    """A stretch of a disk: a partition."""

    def __init__(self, disk: Disk, offset: int, size: int):
        self._disk = disk
        self._offset = offset
        self.size = max(0, min(size, disk.size - offset))

    def read(self, offset: int, count: int) -> bytes:
        return self._disk.read(self._offset + offset, max(0, min(count, self.size - offset)))
