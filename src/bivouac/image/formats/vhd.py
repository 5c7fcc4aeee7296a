"""vhd (Virtual PC, Hyper-V generation 1, Azure): a footer of 512 bytes, repeated in front when the disk is dynamic."""

import struct

from .source import Inspection, Refused, Source, take, unpack

COOKIE = b"conectix"
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_SECTOR = 512


def parse(source: Source) -> Inspection:
    """The virtual size. Raises Refused."""
    at_front = source.read(0, 8) == COOKIE
    footer = take(source, 0 if at_front else source.size - _SECTOR, _SECTOR, "vhd footer")
    size, kind, checksum, header_at = _footer(footer)
    if at_front:
        last = take(source, source.size - _SECTOR, _SECTOR, "vhd footer")
        if last[:8] != COOKIE or _footer(last)[:2] != (size, kind):
            raise Refused("Its footer is missing or contradicts the copy in front.")
    if checksum != _checksum(footer, 64):
        raise Refused("The checksum of its footer is wrong.")
    if kind == _DIFFERENCING:
        raise Refused("It is a differencing disk, which has a parent: merge it first.")
    if kind == _FIXED:
        if at_front or size != source.size - _SECTOR:
            raise Refused("Its size does not fit the file.")
    elif kind == _DYNAMIC and at_front:
        _check_dynamic(source, header_at, size)
    else:
        raise Refused(f"Its disk type {kind} is not valid.")
    return Inspection(format="vhd", virtual_size=size)


def _footer(footer: bytes) -> tuple[int, int, int, int]:
    """(current size, disk type, checksum, offset of the dynamic header)"""
    header_at = struct.unpack_from(">Q", footer, 16)[0]
    size, kind, checksum = struct.unpack_from(">Q4xII", footer, 48)
    if not 0 < size < 1 << 48 or size % _SECTOR:
        raise Refused("Its size is not valid.")
    return size, kind, checksum, header_at


def _check_dynamic(source: Source, offset: int, size: int) -> None:
    header = take(source, offset, 1024, "vhd dynamic disk header")
    cookie, _, table_at, _, entries, block, checksum = struct.unpack_from(">8sQQIIII", header)
    if cookie != b"cxsparse" or checksum != _checksum(header, 36):
        raise Refused("Its dynamic disk header is not valid.")
    if any(header[40:56]) or any(header[576:768]):
        raise Refused("It names a parent: only an image that is whole in itself is taken.")
    if not _SECTOR <= block <= 1 << 30 or block & (block - 1) or entries * block < size or entries > 1 << 25:
        raise Refused("Its block table does not fit its size.")
    if table_at + 4 * entries > source.size:
        raise Refused("Its block table lies outside of the file.")


def _checksum(data: bytes, at: int) -> int:
    """One's complement of the sum of all bytes, with the checksum's own field left out."""
    return ~(sum(data) - sum(data[at : at + 4])) & 0xFFFFFFFF


def is_fixed(source: Source) -> bool:
    """A fixed disk shows itself only at its end."""
    return source.size > _SECTOR and unpack("8s", source, source.size - _SECTOR, "vhd footer")[0] == COOKIE
