"""qcow2, QEMU's own format (docs/interop/qcow2.txt). What may point outside: backing file, data file, encryption."""

import struct

from .source import Inspection, Refused, Source, take, unpack

MAGIC = b"QFI\xfb"
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_KNOWN_INCOMPATIBLE = _DIRTY | _COMPRESSION | _EXTENDED_L2
_MAX_L1_BYTES = 32 << 20
"""QEMU's own limit of the table that it reads into memory."""
_MAX_REFCOUNT_BYTES = 8 << 20
_MAX_SNAPSHOTS = 65536
"""QEMU's own limits."""
_EXTENSION_DATA_FILE = 0x44415441
_EXTENSION_ENCRYPTION = 0x0537BE77
_MAX_EXTENSIONS = 64


def parse(source: Source) -> Inspection:
    """The virtual size. Raises Refused."""
    head = unpack(">4sIQIIQIIQQIIQ", source, 0, "qcow2 header")
    _, version, backing, _, cluster_bits, size, encryption, l1_size, l1_offset, refcounts, *rest = head
    refcount_clusters, snapshots, snapshots_at = rest
    if version not in (2, 3):
        raise Refused(f"It is qcow version {version}; only versions 2 and 3 are taken.")
    if backing:
        raise Refused("It has a backing file: only an image that is whole in itself is taken (qemu-img convert it).")
    if encryption:
        raise Refused("It is encrypted.")
    if not 9 <= cluster_bits <= 21:
        raise Refused(f"Its clusters of 2^{cluster_bits} bytes are not valid.")
    header_length = 72
    if version == 3:
        incompatible, _, _, refcount_order, header_length = unpack(">QQQII", source, 72, "qcow2 header")
        if incompatible & _DATA_FILE:
            raise Refused("It keeps its data in another file.")
        if incompatible & _CORRUPT:
            raise Refused("It is marked corrupt (qemu-img check -r all may mend it).")
        if incompatible & ~(_KNOWN_INCOMPATIBLE | _DATA_FILE | _CORRUPT):
            raise Refused(f"It needs features that are not known (bits {incompatible:#x}).")
        if refcount_order > 6 or not 104 <= header_length <= (1 << cluster_bits) or header_length % 8:
            raise Refused("Its header is not valid.")
    _check_extensions(source, header_length, 1 << cluster_bits)
    cluster = 1 << cluster_bits
    covered = cluster * (cluster // 8)
    if l1_size * 8 > _MAX_L1_BYTES or size > l1_size * covered or size >= 1 << 63:
        raise Refused("Its size does not fit its tables.")
    for offset in (l1_offset, refcounts):
        if offset % cluster or offset >= source.size or (offset == 0 and size):
            raise Refused("Its tables lie outside of the file.")
    if l1_offset + l1_size * 8 > source.size:
        raise Refused("Its tables lie outside of the file.")
    if refcount_clusters * cluster > _MAX_REFCOUNT_BYTES:
        raise Refused("Its tables are too large.")
    if snapshots > _MAX_SNAPSHOTS or (snapshots and not 0 < snapshots_at < source.size):
        raise Refused("Its snapshots lie outside of the file, or are too many.")
    return Inspection(format="qcow2", virtual_size=size)


def _check_extensions(source: Source, offset: int, end: int) -> None:
    """Header extensions lie between the header and the end of the first cluster."""
    for _ in range(_MAX_EXTENSIONS):
        if offset + 8 > min(end, source.size):
            return
        kind, length = struct.unpack(">II", take(source, offset, 8, "qcow2 header extension"))
        if kind == 0:
            return
        if kind == _EXTENSION_DATA_FILE:
            raise Refused("It keeps its data in another file.")
        if kind == _EXTENSION_ENCRYPTION:
            raise Refused("It is encrypted.")
        offset += 8 + (length + 7) // 8 * 8
    raise Refused("It has too many header extensions.")
