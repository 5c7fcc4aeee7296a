"""vhdx (Hyper-V): [MS-VHDX]. The metadata region says the size and whether there is a parent."""

import struct
import uuid

from .source import Inspection, Refused, Source, take, unpack

MAGIC = b"vhdxfile"
_KIB, _MIB = 1 << 10, 1 << 20
_HEADERS = (64 * _KIB, 128 * _KIB)
_REGION_TABLES = (192 * _KIB, 256 * _KIB)
_REGION_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_REGION_BLOCKS = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_HAS_PARENT = 2


def parse(source: Source) -> Inspection:
    """The virtual size. Raises Refused."""
    _check_headers(source)
    metadata = [_metadata_region(source, table) for table in _REGION_TABLES]
    found = [region for region in metadata if region is not None]
    if not found:
        raise Refused("It has no valid region table.")
    if len(set(found)) > 1:
        raise Refused("Its two region tables contradict each other.")
    return Inspection(format="vhdx", virtual_size=_disk_size(source, *found[0]))


def _check_headers(source: Source) -> None:
    """At least one header must be there, and the newest one's log empty."""
    headers = []
    for offset in _HEADERS:
        signature, _, sequence, _, _, log, _, version = unpack("<4sIQ16s16s16sHH", source, offset, "vhdx header")
        if signature == b"head":
            headers.append((sequence, log, version))
    if not headers:
        raise Refused("It has no valid header.")
    if any(log != bytes(16) for _, log, _ in headers):
        raise Refused("It was not closed cleanly (its log is not empty): shut the machine down and copy it again.")
    if any(version != 1 for _, _, version in headers):
        raise Refused("Its version is not known.")


def _metadata_region(source: Source, offset: int) -> tuple[int, int] | None:
    """(offset, length) of the metadata, None for a table that is not valid."""
    signature, _, count = unpack("<4sII4x", source, offset, "vhdx region table")
    if signature != b"regi" or not 2 <= count <= 2047:
        return None
    found = None
    table = take(source, offset + 16, 32 * count, "vhdx region table")
    for i in range(count):
        kind, at, length, required = struct.unpack_from("<16sQII", table, 32 * i)
        if kind == _REGION_METADATA:
            if found is not None:
                raise Refused("It has several metadata regions.")
            found = (at, length)
        elif kind != _REGION_BLOCKS and required & 1:
            raise Refused("It needs a region that is not known.")
    return found


def _disk_size(source: Source, offset: int, length: int) -> int:
    signature, _, count = unpack("<8sHH", source, offset, "vhdx metadata")
    if signature != b"metadata" or count > 2047 or offset < _MIB or offset + length > source.size:
        raise Refused("Its metadata is not valid.")
    table = take(source, offset + 32, 32 * count, "vhdx metadata")
    size = None
    parameters = None
    for i in range(count):
        item, at, item_length, _ = struct.unpack_from("<16sIII", table, 32 * i)
        if item == _PARENT_LOCATOR:
            raise Refused("It has a parent: only an image that is whole in itself is taken.")
        if item in (_FILE_PARAMETERS, _DISK_SIZE) and (item_length != 8 or at < 64 * _KIB or at + 8 > length):
            raise Refused("Its metadata is not valid.")
        if item == _FILE_PARAMETERS:
            parameters = unpack("<II", source, offset + at, "vhdx file parameters")
        elif item == _DISK_SIZE:
            size = unpack("<Q", source, offset + at, "vhdx disk size")[0]
    if parameters is None or size is None:
        raise Refused("Its metadata lacks the size.")
    if parameters[1] & _HAS_PARENT:
        raise Refused("It is a differencing disk, which has a parent: merge it first.")
    block = parameters[0]
    if not _MIB <= block <= 256 * _MIB or block & (block - 1) or not 0 < size <= 64 << 40 or size % 512:
        raise Refused("Its size is not valid.")
    return size
