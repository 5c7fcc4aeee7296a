"""As much of the qcow2 format as a host needs: reading a header with mistrust, and writing an empty overlay.

Writing one takes a tenth of a millisecond and opens nothing, where `qemu-img create` takes 30 ms and opens the base.
Format: https://www.qemu.org/docs/master/interop/qcow2.html
"""

import struct
from pathlib import Path

from msgspec import Struct

MAGIC = 0x514649FB
CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
_BACKING_FORMAT = 0xE2792ACA
_HEADER = struct.Struct(">IIQIIQIIQQIIQQQQII")
_DATA_FILE = 1 << 2
_L2_BYTES = CLUSTER // 8 * CLUSTER
"""What one entry of the first-level table maps: 512 MiB."""


class Qcow2Error(ValueError):
    """Not a qcow2 that we would use as a base."""


class Header(Struct, frozen=True):
    """What matters of a header."""

    version: int
    virtual_bytes: int


def read_base(path: Path) -> Header:
    """The header of an image that stands alone. Raises Qcow2Error for one that names other files or is encrypted."""
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    if len(start) < 72 or struct.unpack_from(">I", start)[0] != MAGIC:
        raise Qcow2Error("not a qcow2 image")
    version, backing_offset, backing_size = struct.unpack_from(">IQI", start, 4)
    virtual_bytes, encryption = struct.unpack_from(">QI", start, 24)
    if version not in (2, 3):
        raise Qcow2Error(f"qcow2 version {version}")
    if backing_offset or backing_size:
        raise Qcow2Error("it names a backing file")
    if encryption:
        raise Qcow2Error("it is encrypted")
    if version == 3 and len(start) >= 80 and struct.unpack_from(">Q", start, 72)[0] & _DATA_FILE:
        raise Qcow2Error("it names a data file")
    return Header(version, virtual_bytes)


def virtual_bytes(path: Path) -> int:
    """The size that a guest sees of a disk of ours. Raises Qcow2Error."""
    with path.open("rb") as file:
        start = file.read(32)
    if len(start) < 32 or struct.unpack_from(">I", start)[0] != MAGIC:
        raise Qcow2Error("not a qcow2 image")
    return struct.unpack_from(">Q", start, 24)[0]


def overlay(virtual_bytes: int, backing_file: str, backing_format: str) -> bytes:
    """The bytes of an empty image of that size on top of `backing_file` (relative to the overlay's directory)."""
    name, kind = backing_file.encode(), backing_format.encode()
    entries = max(1, -(-virtual_bytes // _L2_BYTES))
    table_clusters = -(-entries * 8 // CLUSTER)
    used_clusters = 3 + table_clusters  # header, refcount table, refcount block, first-level table
    if used_clusters > CLUSTER // 2:
        raise Qcow2Error("too large")
    extensions = struct.pack(">II", _BACKING_FORMAT, len(kind)) + kind.ljust(-(-len(kind) // 8) * 8, b"\0") + bytes(8)
    header = _HEADER.pack(
        *(MAGIC, 3, _HEADER.size + len(extensions), len(name), CLUSTER_BITS, virtual_bytes, 0, entries),
        *(3 * CLUSTER, CLUSTER, 1, 0, 0, 0, 0, 0, 4, _HEADER.size),
    )
    image = bytearray(used_clusters * CLUSTER)
    start = header + extensions + name
    image[: len(start)] = start
    struct.pack_into(">Q", image, CLUSTER, 2 * CLUSTER)
    struct.pack_into(f">{used_clusters}H", image, 2 * CLUSTER, *[1] * used_clusters)
    return bytes(image)
