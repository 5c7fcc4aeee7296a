"""From a folder or a file tree to a disk that a PC starts: ext4 by mke2fs, GRUB in the gap, an MBR, qcow2.

Neither root nor a loop device is needed: mke2fs fills the file system from a folder, debugfs puts owners and modes
right afterwards, and GRUB's core is placed by hand in the megabyte before the first partition.
"""

from __future__ import annotations

import shutil
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from .tools import ImageBuildError, run_tool
from .tree import FileTree

GRUB_FOLDER = Path("/usr/lib/grub/i386-pc")
TOOLS = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "grub-mkimage": "grub-common",
    str(GRUB_FOLDER / "boot.img"): "grub-pc-bin",
}

GAP_MIB = 1
"""What the disk is larger than its file system: boot sector and GRUB's core lie there."""

MOST_BLOCKS = 1 << 30
"""What a file system can grow to online, at 4 KiB each."""
JOURNAL_MIB = 8
"""Growing is one transaction with a block of it for each of the 256 blocks that the block table may take, and a
transaction may fill a quarter of a journal."""

_SECTOR = 512
_FIRST_SECTOR = (GAP_MIB << 20) // _SECTOR
_PARTITION_TABLE = 446
_LINUX_PARTITION = 0x83


def make_file_system(
    folder: Path,
    image: Path,
    label: str,
    size_mib: int,
    commands: Iterable[str] = (),
) -> None:
    """An ext4 file system of this size and label holding what is in `folder`; `commands` are debugfs lines run after.

    It has no checksums, so that GRUB of every version reads it. Room for the block table is kept (a mebibyte of it) so
    that it can grow online to 4 TiB; without a journal, small as it is, a guest cut off while it grows would be lost.
    """
    with image.open("wb") as file:
        file.truncate(size_mib << 20)
    options = ["-b", "4096", "-m", "0", "-J", f"size={JOURNAL_MIB}", "-O", "^metadata_csum,^64bit,resize_inode"]
    options += ["-E", f"resize={MOST_BLOCKS},lazy_itable_init=1"]
    run_tool(["mke2fs", "-q", "-t", "ext4", "-L", label, *options, "-d", folder, image], timeout_s=600)
    lines = "".join(f"{command}\n" for command in commands)
    if lines:
        run_tool(["debugfs", "-w", "-f", "/dev/stdin", image], input=lines.encode())


def ownership_commands(tree: FileTree) -> Iterable[str]:
    """debugfs lines that give every path of the tree its owner and mode, whoever built it."""
    for path, entry in tree:
        if not (stat.S_ISDIR(entry.mode) or stat.S_ISREG(entry.mode) or stat.S_ISLNK(entry.mode)):
            continue
        if not stat.S_ISLNK(entry.mode):
            yield f"set_inode_field /{path} mode 0{entry.mode:o}"
        yield f"set_inode_field /{path} uid {entry.owner}"
        yield f"set_inode_field /{path} gid {entry.owner}"


def _boot_sector(size_sectors: int) -> bytes:
    sector = bytearray((GRUB_FOLDER / "boot.img").read_bytes())
    entry = struct.pack(
        "<B3sB3sII", 0x80, b"\x20\x21\x00", _LINUX_PARTITION, b"\xfe\xff\xff", _FIRST_SECTOR, size_sectors
    )
    # boot.img keeps code for floppies where entries 2 to 4 belong; GRUB would then see no partition at all.
    sector[_PARTITION_TABLE : _PARTITION_TABLE + 64] = entry + bytes(48)
    sector[510:512] = b"\x55\xaa"
    return bytes(sector)


def _grub_core(folder: Path, kernel: str, ramdisk: str, command_line: str) -> bytes:
    configuration = folder / "grub.cfg"
    configuration.write_text(
        f"set root=(hd0,msdos1)\nlinux {kernel} {command_line}\ninitrd {ramdisk}\nboot\n", encoding="ascii"
    )
    core = folder / "core.img"
    run_tool(
        ["grub-mkimage", "-O", "i386-pc", "-o", core, "-c", configuration, "-p", "(hd0,msdos1)/boot/grub"]
        + ["biosdisk", "part_msdos", "ext2", "linux", "normal", "boot"]
    )
    content = core.read_bytes()
    if len(content) > (_FIRST_SECTOR - 1) * _SECTOR:
        raise ImageBuildError("GRUB's core does not fit before the first partition")
    return content


def make_disk(file_system: Path, disk: Path, kernel: str, ramdisk: str, command_line: str) -> None:
    """A qcow2 disk with one partition holding `file_system`, which boots this kernel and ramdisk of it by BIOS.

    `kernel` and `ramdisk` are absolute paths inside the file system.
    """
    size_sectors = file_system.stat().st_size // _SECTOR
    raw = disk.with_suffix(".raw")
    try:
        core = _grub_core(disk.parent, kernel, ramdisk, command_line)
        with raw.open("wb") as out, file_system.open("rb") as content:
            out.write(_boot_sector(size_sectors) + core)
            out.seek(_FIRST_SECTOR * _SECTOR)
            shutil.copyfileobj(content, out, 1 << 20)
        run_tool(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk], timeout_s=600)
    finally:
        for leftover in (raw, disk.parent / "grub.cfg", disk.parent / "core.img"):
            leftover.unlink(missing_ok=True)
