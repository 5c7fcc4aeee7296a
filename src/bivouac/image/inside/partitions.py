"""Partition tables (MBR, GPT), boot code, and what lies in the partitions by its signature."""

import struct
import uuid

from msgspec import Struct

from .disk import Disk, Part, Unreadable

SECTOR = 512
_EFI = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
_BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649").bytes_le
_MAX_PARTITIONS = 128
_EXTENDED = (0x05, 0x0F, 0x85)


class Partition(Struct, frozen=True):
    """`content`: ext4, ntfs, xfs, btrfs, lvm, vfat, luks, swap, or empty when it is not known."""

    offset: int
    size: int
    content: str
    is_efi: bool = False
    is_bios_boot: bool = False


class Layout(Struct, frozen=True):
    """How a disk is cut up. `scheme`: gpt, mbr, or none (a file system fills it)."""

    scheme: str
    has_boot_code: bool
    partitions: tuple[Partition, ...]


def read_layout(disk: Disk) -> Layout:
    """Raises Unreadable when there is neither a table nor a file system."""
    first = disk.read(0, SECTOR)
    if len(first) < SECTOR:
        raise Unreadable("it is smaller than a sector")
    content = content_of(disk)
    if content and first[510:512] != b"\x55\xaa":
        return Layout("none", False, (Partition(0, disk.size, content),))
    if first[510:512] != b"\x55\xaa":
        raise Unreadable("it has no partition table")
    has_code = any(first[:440])
    entries = [struct.unpack_from("<B3xB3xII", first, 446 + 16 * i) for i in range(4)]
    if any(kind == 0xEE for _, kind, _, _ in entries):
        return Layout("gpt", has_code, _gpt(disk))
    if content in ("ntfs", "vfat") and not any(kind for _, kind, _, _ in entries):
        return Layout("none", True, (Partition(0, disk.size, content),))
    found = [
        _partition(disk, start * SECTOR, count * SECTOR, is_efi=kind == 0xEF)
        for _, kind, start, count in entries
        if kind and kind not in _EXTENDED and count
    ]
    if not found:
        raise Unreadable("its partition table is empty")
    return Layout("mbr", has_code, tuple(found))


def _gpt(disk: Disk) -> tuple[Partition, ...]:
    header = disk.read(SECTOR, 92)
    if header[:8] != b"EFI PART":
        raise Unreadable("its GPT is damaged")
    table_at, count, size = struct.unpack_from("<QII", header, 72)
    if count > _MAX_PARTITIONS or not 128 <= size <= 4096:
        raise Unreadable("its GPT is damaged")
    table = disk.read(table_at * SECTOR, count * size)
    found = []
    for i in range(len(table) // size):
        kind, start, end = struct.unpack_from("<16s16xQQ", table, i * size)
        if any(kind) and end >= start:
            offset, length = start * SECTOR, (end - start + 1) * SECTOR
            found.append(_partition(disk, offset, length, is_efi=kind == _EFI, is_bios_boot=kind == _BIOS_BOOT))
    return tuple(found)


def _partition(disk: Disk, offset: int, size: int, is_efi: bool = False, is_bios_boot: bool = False) -> Partition:
    return Partition(offset, size, content_of(Part(disk, offset, size)), is_efi, is_bios_boot)


def content_of(disk: Disk) -> str:
    """What a partition holds."""
    head = disk.read(0, 4096)
    if head[1080:1082] == b"\x53\xef":
        return "ext4"
    if head[3:11] == b"NTFS    ":
        return "ntfs"
    if head[:4] == b"XFSB":
        return "xfs"
    if head[:6] == b"LUKS\xba\xbe":
        return "luks"
    if head[512:520] == b"LABELONE":
        return "lvm"
    if head[4086:4096] == b"SWAPSPACE2":
        return "swap"
    if head[54:59] == b"FAT16" or head[82:87] == b"FAT32" or head[54:59] == b"FAT12":
        return "vfat"
    if disk.read(65536 + 64, 8) == b"_BHRfS_M":
        return "btrfs"
    return ""
