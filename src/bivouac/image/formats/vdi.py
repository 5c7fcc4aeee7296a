"""vdi (VirtualBox), header version 1.1."""

from .source import Inspection, Refused, Source, unpack

SIGNATURE = b"\x7f\x10\xda\xbe"
SIGNATURE_AT = 0x40
_DYNAMIC, _FIXED = 1, 2


def parse(source: Source) -> Inspection:
    """The virtual size. Raises Refused."""
    version, header_size, kind = unpack("<III", source, 0x44, "vdi header")
    if version != 0x00010001 or header_size < 0x180:
        raise Refused("Its version is not known.")
    if kind not in (_DYNAMIC, _FIXED):
        raise Refused("It is a differencing or undo disk, which has a parent: merge it first.")
    blocks_at, data_at = unpack("<II", source, 0x154, "vdi header")
    size, block, extra, blocks, used = unpack("<QIIII", source, 0x170, "vdi header")
    link, parent = unpack("<16s16s", source, 0x1A8, "vdi header")
    if link != bytes(16) or parent != bytes(16):
        raise Refused("It names a parent: only an image that is whole in itself is taken.")
    if block != 1 << 20 or extra or used > blocks or size > blocks * block or not 0 < size < 1 << 52:
        raise Refused("Its block table does not fit its size.")
    if blocks_at % 512 or data_at % 512 or blocks_at + 4 * blocks > source.size or data_at > source.size:
        raise Refused("Its block table lies outside of the file.")
    return Inspection(format="vdi", virtual_size=size)
