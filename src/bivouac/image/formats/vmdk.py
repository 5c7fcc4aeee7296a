"""vmdk, VMware's format. Only sparse files that are whole in themselves: monolithicSparse and streamOptimized.

A descriptor may name any file as an extent, and QEMU follows it: a descriptor by itself (monolithicFlat,
twoGbMaxExtent...) is refused, and so is a sparse header of capacity 0, which makes QEMU read the descriptor within
as if it stood alone.
"""

import re

from .source import MAX_READ, Inspection, Refused, Source, take, unpack

MAGIC = b"KDMV"
OLD_MAGIC = b"COWD"
_AT_END = 0xFFFFFFFFFFFFFFFF
_SECTOR = 512
_CREATE_TYPE = re.compile(rb'^\s*createType\s*=\s*"([^"]*)"\s*$', re.IGNORECASE | re.MULTILINE)
_EXTENT = re.compile(rb"^\s*(RW|RDONLY|NOACCESS)\s+(\S+)\s+(\S+)(.*)$", re.IGNORECASE | re.MULTILINE)
_PARENT = re.compile(rb"^\s*parentCID\s*=\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE)
_HINT = re.compile(rb"^\s*parentFileNameHint\s*=", re.IGNORECASE | re.MULTILINE)
_TYPES = (b"monolithicsparse", b"streamoptimized")


def is_descriptor(head: bytes) -> bool:
    """A text descriptor without the disk."""
    return b"# disk descriptorfile" in head[:512].lower()


def refuse_descriptor(source: Source) -> Inspection:
    """A descriptor by itself only points at other files. Always raises Refused."""
    raise Refused(
        "It is only a vmdk's descriptor, which points at other files: send the disk itself as monolithicSparse or "
        "streamOptimized (qemu-img convert -O vmdk)."
    )


def parse(source: Source) -> Inspection:
    """The virtual size. Raises Refused."""
    capacity, descriptor_at, descriptor_sectors, directory = _header(source, 0)
    if directory == _AT_END:
        if source.size < 4 * _SECTOR:
            raise Refused("The file ends within the vmdk footer.")
        footer = source.size - 2 * _SECTOR
        if _header(source, footer)[0] != capacity:
            raise Refused("Its footer contradicts its header.")
    if not descriptor_at or not descriptor_sectors:
        raise Refused("It has no descriptor.")
    length = descriptor_sectors * _SECTOR
    if length > MAX_READ:
        raise Refused("Its descriptor is too long.")
    _check_descriptor(take(source, descriptor_at * _SECTOR, length, "vmdk descriptor"))
    return Inspection(format="vmdk", virtual_size=capacity * _SECTOR)


def _header(source: Source, offset: int) -> tuple[int, int, int, int]:
    """(capacity, descriptor's first sector, its sectors, grain directory) of a sparse extent's header or footer."""
    form = "<4sIIQQQQIQQQ"
    magic, version, _, capacity, grain, descriptor_at, descriptor_sectors, entries, _, directory, _ = unpack(
        form, source, offset, "vmdk header"
    )
    if magic != MAGIC or version not in (1, 2, 3):
        raise Refused("Its header is not valid.")
    if not 0 < capacity < 1 << 54:
        raise Refused("Its capacity is not valid.")
    if grain & (grain - 1) or not 1 <= grain <= 1 << 17 or not 0 < entries <= 512:
        raise Refused("Its grain size is not valid.")
    return capacity, descriptor_at, descriptor_sectors, directory


def _check_descriptor(text: bytes) -> None:
    text = text.split(b"\0", 1)[0].replace(b"\r", b"\n")
    kinds = [kind.lower() for kind in _CREATE_TYPE.findall(text)]
    if len(kinds) != 1 or kinds[0] not in _TYPES:
        shown = ", ".join(kind.decode("ascii", "replace") for kind in kinds) or "none"
        raise Refused(f"Its type is {shown}; only monolithicSparse and streamOptimized are taken.")
    extents = _EXTENT.findall(text)
    if len(extents) != 1 or extents[0][2].upper() != b"SPARSE":
        raise Refused("Its descriptor names other extents than the file itself.")
    name = re.match(rb'\s*"([^"]*)"\s*$', extents[0][3])
    if name is None or b"/" in name.group(1) or b"\\" in name.group(1) or b":" in name.group(1):
        raise Refused("Its descriptor names other extents than the file itself.")
    if _HINT.search(text) or any(parent.lower() != b"ffffffff" for parent in _PARENT.findall(text)):
        raise Refused("It has a parent: only an image that is whole in itself is taken.")
