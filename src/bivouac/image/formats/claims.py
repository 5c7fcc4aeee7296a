"""The claim held against the bytes: what an upload says it is must be what it is."""

from .detection import inspect
from .source import Inspection, Refused, Source

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
_RAW_FAMILY = ("raw", "ami", "ari", "aki")
_OPAQUE_CONTAINERS = ("docker", "compressed")
"""No disk by itself: kept as bytes, and no server boots from it."""
_GZIP, _ZSTD, _XZ, _BZIP2, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04"


def check(disk_format: str, container_format: str, source: Source, strict: bool = True) -> Inspection:
    """What the bytes are, if that is what was claimed. Raises Refused.

    Not `strict`: bytes without any signature pass under every claim (Glance's `require_image_format_match` off); the
    inspection then says `raw`, and the image cannot be used as what it claims.
    """
    if container_format in _OPAQUE_CONTAINERS:
        return _opaque(container_format, source, strict)
    found = inspect(source)
    if container_format == "ova":
        if found.format == "ova" or (not strict and found.format == "raw"):
            return found
        raise Refused(f"The container format ova was claimed, and the contents are {found.format}.")
    claimed = "raw" if disk_format in _RAW_FAMILY else disk_format
    if found.format == claimed or claimed in found.also:
        return found if found.format == claimed else Inspection(format=claimed, virtual_size=found.virtual_size)
    if not strict and found.format == "raw":
        return found
    raise Refused(f"The disk format {disk_format} was claimed, and the contents are {found.format}.")


def _opaque(container_format: str, source: Source, strict: bool) -> Inspection:
    head = source.read(0, 512)
    packed = head.startswith((_GZIP, _ZSTD, _XZ, _BZIP2, _ZIP))
    if strict and container_format == "compressed" and not packed:
        raise Refused("The container format compressed was claimed, and the contents are not compressed.")
    if strict and container_format == "docker" and not packed and head[257:262] != b"ustar":
        raise Refused("The container format docker was claimed, and the contents are no archive.")
    return Inspection(format=container_format, virtual_size=source.size)
