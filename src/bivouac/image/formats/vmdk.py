"""vmdk, VMware's format. Only sparse files that are whole in themselves: monolithicSparse and streamOptimized.

A descriptor may name any file as an extent, and QEMU follows it: a descriptor by itself (monolithicFlat,
twoGbMaxExtent...) is refused, and so is a sparse header of capacity 0, which makes QEMU read the descriptor within
as if it stood alone. Of a sparse file QEMU looks for a parent in the 20 sectors behind the header, wherever the header
says that the descriptor lies and even within a comment: so there it must lie, and the word may not stand there at all.
"""

from .source import Inspection, Refused, Source, take, unpack

MAGIC = b"KDMV"
OLD_MAGIC = b"COWD"
_AT_END = 0xFFFFFFFFFFFFFFFF
_SECTOR = 512
_MAX_DESCRIPTOR = 64 << 10
"""VMware and QEMU write less than 10 KiB."""
_DESCRIPTOR_AT = 1
_LOOKED_THROUGH = 20
"""Sectors in which QEMU looks for a parent."""
_HINT = b"parentfilenamehint"
_ACCESS = (b"rw", b"rdonly", b"noaccess")
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
    if descriptor_at != _DESCRIPTOR_AT:
        raise Refused("Its descriptor does not follow its header.")
    length = descriptor_sectors * _SECTOR
    if length > _MAX_DESCRIPTOR:
        raise Refused("Its descriptor is too long.")
    if _HINT in source.read(_DESCRIPTOR_AT * _SECTOR, max(length, _LOOKED_THROUGH * _SECTOR)).lower():
        raise Refused("It names a parent: only an image that is whole in itself is taken.")
    _check_descriptor(take(source, _DESCRIPTOR_AT * _SECTOR, length, "vmdk descriptor"))
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
    """Line by line, in time proportional to its length: a regular expression would let a text hold us up."""
    kinds, parents, extents = [], [], []
    for line in text.split(b"\0", 1)[0].replace(b"\r", b"\n").split(b"\n"):
        name, equals, value = (part.strip() for part in line.partition(b"="))
        words = line.split(None, 3)
        if words and words[0].lower() in _ACCESS:
            extents.append(words)
        elif equals and name.lower() == b"createtype":
            kinds.append(value.strip(b'"').lower())
        elif equals and name.lower() == b"parentcid":
            parents.append(value.lower())
    if len(kinds) != 1 or kinds[0] not in _TYPES:
        shown = ", ".join(kind.decode("ascii", "replace") for kind in kinds[:4])[:100] or "none"
        raise Refused(f"Its type is {shown}; only monolithicSparse and streamOptimized are taken.")
    if len(extents) != 1 or not _is_the_file_itself(extents[0]):
        raise Refused("Its descriptor names other extents than the file itself.")
    if any(parent != b"ffffffff" for parent in parents):
        raise Refused("It has a parent: only an image that is whole in itself is taken.")


def _is_the_file_itself(extent: list[bytes]) -> bool:
    """`RW 8192 SPARSE "disk.vmdk"`: a plain name, no path and no address."""
    if len(extent) != 4 or extent[2].upper() != b"SPARSE":
        return False
    name = extent[3].strip()
    inner = name[1:-1]
    return len(name) >= 2 and name == b'"%s"' % inner and not any(mark in inner for mark in (b'"', b"/", b"\\", b":"))
