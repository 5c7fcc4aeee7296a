"""ext2, ext3 and ext4, read-only: directories, files, symbolic links (kernel.org, "ext4 Data Structures and
Algorithms"). No journal is replayed: what was written last may be missed, never misread as something else."""

import struct
from collections.abc import Iterator

from msgspec import Struct

from .disk import Budget, Disk, Unreadable

_ROOT = 2
_EXTENTS, _INLINE = 0x80000, 0x10000000
_DIRECTORY, _FILE, _LINK = 0x4, 0x8, 0xA
_IS_64BIT = 0x80
_MAX_DEPTH = 12
_MAX_LINK = 4096
MAX_FILE = 512 << 20
_MAX_LINES = 8 << 20
"""`modules.dep` has less than 1 MiB."""
_MAX_LINE = 64 << 10
_MAX_DIRECTORIES = 32 << 20
"""Bytes of directories in all: their entries are looked at one by one."""


class Inode(Struct, frozen=True):
    """What is needed of an inode."""

    kind: int
    size: int
    flags: int
    blocks: bytes


class Ext4:
    """A file system on a disk or partition. Raises Unreadable, at once or later."""

    def __init__(self, disk: Disk):
        self._disk = disk
        self._directories = Budget(_MAX_DIRECTORIES)
        head = disk.read(1024, 1024)
        if len(head) < 1024 or head[56:58] != b"\x53\xef":
            raise Unreadable("it is no ext4")
        log_size = struct.unpack_from("<I", head, 24)[0]
        if log_size > 6:
            raise Unreadable("its blocks are too large")
        self._block = 1024 << log_size
        self._first = struct.unpack_from("<I", head, 20)[0]
        self._per_group = struct.unpack_from("<I", head, 40)[0]
        self._inode_size = struct.unpack_from("<H", head, 88)[0] or 128
        incompatible = struct.unpack_from("<I", head, 96)[0]
        self._descriptor = struct.unpack_from("<H", head, 254)[0] if incompatible & _IS_64BIT else 32
        if not self._per_group or not 128 <= self._inode_size <= 4096 or not 32 <= self._descriptor <= 1024:
            raise Unreadable("its superblock is damaged")

    def _inode(self, number: int) -> Inode:
        group, index = divmod(number - 1, self._per_group)
        at = (self._first + 1) * self._block + group * self._descriptor
        descriptor = self._disk.read(at, self._descriptor)
        if number < 1 or len(descriptor) < 32:
            raise Unreadable("an inode lies outside")
        table = struct.unpack_from("<I", descriptor, 8)[0]
        if self._descriptor >= 64:
            table |= struct.unpack_from("<I", descriptor, 40)[0] << 32
        raw = self._disk.read(table * self._block + index * self._inode_size, 128)
        if len(raw) < 128:
            raise Unreadable("an inode lies outside")
        mode, size_low = struct.unpack_from("<H2xI", raw, 0)
        flags = struct.unpack_from("<I", raw, 32)[0]
        size_high = struct.unpack_from("<I", raw, 108)[0]
        return Inode(mode >> 12, size_low | size_high << 32, flags, raw[40:100])

    def listing(self, path: str) -> list[str]:
        """Names in a directory, none when there is no such directory."""
        inode = self._find(path)
        return [name for name, _ in self._entries(inode)] if inode and inode.kind == _DIRECTORY else []

    def open(self, path: str, most: int = MAX_FILE) -> Iterator[bytes]:
        """The blocks of a file. Raises Unreadable when there is none, or a larger one."""
        inode = self._find(path)
        if inode is None or inode.kind != _FILE:
            raise Unreadable(f"{path} is not there")
        if inode.size > most:
            raise Unreadable(f"{path} is too large")
        return self._contents(inode)

    def lines(self, path: str) -> Iterator[str]:
        """The lines of a file, of which only one block is in memory. Raises Unreadable."""
        rest = b""
        for block in self.open(path, _MAX_LINES):
            *whole, rest = (rest + block).split(b"\n")
            if len(rest) > _MAX_LINE:
                raise Unreadable(f"{path} is no text")
            yield from (line.decode("utf-8", "replace") for line in whole)
        yield rest.decode("utf-8", "replace")

    def _find(self, path: str, depth: int = 0, base: int = _ROOT) -> Inode | None:
        """The inode at a path, symbolic links followed."""
        if depth > _MAX_DEPTH:
            raise Unreadable("its links go in circles")
        number = base
        parts = [part for part in path.split("/") if part]
        for position, part in enumerate(parts):
            inode = self._inode(number)
            if inode.kind != _DIRECTORY:
                return None
            child = next((found for name, found in self._entries(inode) if name == part), None)
            if child is None:
                return None
            target = self._inode(child)
            if target.kind == _LINK:
                link = self._link(target)
                rest = "/".join([link, *parts[position + 1 :]])
                return self._find(rest, depth + 1, _ROOT if link.startswith("/") else number)
            number = child
        return self._inode(number)

    def _link(self, inode: Inode) -> str:
        if inode.size > _MAX_LINK:
            raise Unreadable("a link is too long")
        data = inode.blocks[: inode.size] if inode.size < 60 else b"".join(self._contents(inode))
        return data.decode("utf-8", "replace")

    def _entries(self, inode: Inode) -> Iterator[tuple[str, int]]:
        self._directories.spend(inode.size)
        for block in self._contents(inode):
            at = 0
            while at + 8 <= len(block):
                number, length, name_length = struct.unpack_from("<IHB", block, at)
                if length < 8 or at + length > len(block):
                    break
                name = block[at + 8 : at + 8 + name_length].decode("utf-8", "replace")
                if number and name not in (".", ".."):
                    yield name, number
                at += length

    def _contents(self, inode: Inode) -> Iterator[bytes]:
        if inode.flags & _INLINE:
            raise Unreadable("data within inodes are not read")
        left = inode.size
        chunks = self._extents(inode.blocks, 0) if inode.flags & _EXTENTS else self._mapped(inode)
        position = 0
        for logical, physical, count in chunks:
            if logical < position or left <= 0:
                raise Unreadable("a file's extents overlap")
            for hole in range(position, logical):
                yield bytes(min(self._block, left))
                left -= self._block
                if left <= 0 or hole - position > 1 << 16:
                    return
            for step in range(count):
                if left <= 0:
                    return
                yield self._disk.read((physical + step) * self._block, min(self._block, left))
                left -= self._block
            position = logical + count

    def _extents(self, node: bytes, depth: int) -> Iterator[tuple[int, int, int]]:
        """(logical block, physical block, count) of an extent tree, in order."""
        magic, entries, _, level = struct.unpack_from("<HHHH", node, 0)
        if magic != 0xF30A or depth > 5 or 12 + entries * 12 > len(node):
            raise Unreadable("an extent tree is damaged")
        for i in range(entries):
            if level == 0:
                logical, count, high, low = struct.unpack_from("<IHHI", node, 12 + 12 * i)
                yield logical, low | high << 32, count if count <= 32768 else count - 32768
            else:
                _, low, high = struct.unpack_from("<IIH", node, 12 + 12 * i)
                yield from self._extents(self._disk.read((low | high << 32) * self._block, self._block), depth + 1)

    def _mapped(self, inode: Inode) -> Iterator[tuple[int, int, int]]:
        """The block map of ext2 and ext3."""
        pointers = struct.unpack("<15I", inode.blocks)
        logical = 0
        for level, pointer in [*((0, one) for one in pointers[:12]), (1, pointers[12]), (2, pointers[13])]:
            for physical in self._indirect(pointer, level):
                if logical * self._block >= inode.size:
                    return
                if physical:
                    yield logical, physical, 1
                logical += 1

    def _indirect(self, pointer: int, level: int) -> Iterator[int]:
        if level == 0:
            yield pointer
            return
        per_block = self._block // 4
        if not pointer:
            for _ in range(per_block**level):
                yield 0
            return
        data = self._disk.read(pointer * self._block, self._block)
        for below in struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4]):
            yield from self._indirect(below, level - 1)
