"""ova: a tar archive of an OVF description and its disks (DMTF DSP0243). Only the archive's index is read.

Taken is an archive with one disk, a vmdk; it stays where it is, and is later read at its offset.
"""

from . import vmdk
from .source import Inspection, Refused, Slice, Source, take

_BLOCK = 512
_MAX_MEMBERS = 64
_REGULAR = (b"0", b"\0")


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def parse(source: Source) -> Inspection:
    """Where the disk lies, what it is and its virtual size. Raises Refused."""
    disks: list[tuple[int, int]] = []
    for position, (name, kind, offset, size) in enumerate(_members(source)):
        if kind not in _REGULAR or "/" in name or "\\" in name or name.startswith("."):
            raise Refused(f"It holds something else than plain files ({name[:60]!r}).")
        if position == 0 and not name.lower().endswith(".ovf"):
            raise Refused("It does not begin with an OVF description.")
        if name.lower().endswith(".vmdk"):
            disks.append((offset, size))
        elif not name.lower().endswith((".ovf", ".mf", ".cert", ".nvram", ".xml")):
            raise Refused(f"It holds a file that is neither description nor vmdk ({name[:60]!r}).")
    if len(disks) != 1:
        raise Refused(f"It holds {len(disks)} disks; import each as an image of its own.")
    offset, size = disks[0]
    disk = Slice(source, offset, size)
    if take(disk, 0, 4, "vmdk header") != vmdk.MAGIC:
        raise Refused("Its disk is not a sparse vmdk.")
    inner = vmdk.parse(disk)
    return Inspection(format="ova", virtual_size=inner.virtual_size, disk_format="vmdk", offset=offset, length=size)


def _members(source: Source) -> list[tuple[str, bytes, int, int]]:
    """(name, kind, offset of the contents, size) of each member."""
    members = []
    offset = 0
    while offset + _BLOCK <= source.size:
        header = take(source, offset, _BLOCK, "tar header")
        if header == bytes(_BLOCK):
            break
        if len(members) == _MAX_MEMBERS:
            raise Refused(f"It holds more than {_MAX_MEMBERS} files.")
        if not is_tar(header):
            raise Refused("Its archive is not valid.")
        size = _number(header[124:136])
        if offset + _BLOCK + size > source.size:
            raise Refused("The file ends within a member of the archive.")
        if header[156:157] not in b"xg":
            name = header[:100].split(b"\0", 1)[0].decode("utf-8", "replace")
            members.append((name, header[156:157], offset + _BLOCK, size))
        offset += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    if not members:
        raise Refused("Its archive is empty.")
    return members


def _number(field: bytes) -> int:
    """Octal, or GNU's base 256 for what is larger."""
    if field[0] & 0x80:
        value = int.from_bytes(field[1:], "big")
        if value >= 1 << 62:
            raise Refused("Its archive is not valid.")
        return value
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise Refused("Its archive is not valid.") from None
