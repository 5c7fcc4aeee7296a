"""iso: ECMA-119 (ISO 9660) file systems, with or without a partition table in front (hybrid)."""

from .source import Inspection, Source

_DESCRIPTORS_AT = 0x8000
PARTITION_SIGNATURE = b"\x55\xaa"


def is_iso(source: Source) -> bool:
    return source.read(_DESCRIPTORS_AT + 1, 5) == b"CD001"


def parse(source: Source) -> Inspection:
    """As large as the file. A hybrid one is a raw disk as well."""
    hybrid = source.read(510, 2) == PARTITION_SIGNATURE
    return Inspection(format="iso", virtual_size=source.size, also=("raw",) if hybrid else ())
