"""The boot disk of an image that hosts cannot take as it is: a qcow2 made by an unprivileged, bounded `qemu-img`.

The header has passed `formats` before. `qemu-img` gets open files instead of paths (`/proc/self/fd/N`), an explicit
driver, at most 1 GiB of address space, and CPU time and output in proportion to the disk.
"""

import json
import os
from typing import Any

from bivouac.core.blobs import Blob, BlobWriter
from bivouac.core.errors import UnsupportedMediaType
from bivouac.core.run import CommandError, Limits, run_async

from .formats import Inspection

DRIVERS = {"vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}
"""Our names of formats that need a boot disk -> QEMU's."""
BOOT_FORMAT = "qcow2"
_NOBODY = 65534
_GIB, _MIB = 1 << 30, 1 << 20


def needs_boot_disk(found: Inspection) -> bool:
    """Whether hosts cannot take it as it is."""
    return (found.disk_format or found.format) in DRIVERS


async def convert(source: Blob, found: Inspection, target: BlobWriter) -> None:
    """Write the disk in `source` as qcow2 into `target`. Raises UnsupportedMediaType with qemu-img's words."""
    user = None
    if os.geteuid() == 0:
        user = (_NOBODY, _NOBODY)
        os.fchmod(source.fileno(), 0o644)
        os.fchown(target.fileno(), *user)
    limits = Limits(
        address_space_bytes=_GIB,
        cpu_seconds=120 + found.virtual_size // (20 * _MIB),
        file_bytes=found.virtual_size + found.virtual_size // 8 + 64 * _MIB,
        user=user,
    )
    description = json.dumps(_description(found, f"/proc/self/fd/{source.fileno()}"))
    command = ["qemu-img", "convert", "-O", BOOT_FORMAT, f"json:{description}", f"/proc/self/fd/{target.fileno()}"]
    try:
        await run_async(
            command,
            limits=limits,
            timeout_s=4.0 * limits.cpu_seconds,
            pass_fds=(source.fileno(), target.fileno()),
            env={"LC_ALL": "C"},
        )
    except CommandError as error:
        raise UnsupportedMediaType(f"The image could not be read: {_words(error)}") from error
    finally:
        if user is not None:
            os.fchown(target.fileno(), 0, 0)


def _description(found: Inspection, path: str) -> dict[str, Any]:
    """The disk as QEMU shall open it: nothing is guessed, and no parent is opened, whatever the file says."""
    file: dict[str, Any] = {"driver": "file", "filename": path, "locking": "off"}
    if found.length:
        file = {"driver": "raw", "offset": found.offset, "size": found.length, "file": file}
    driver = DRIVERS[found.disk_format or found.format]
    return {"driver": driver, "read-only": True, "backing": None, "file": file}


def _words(error: CommandError) -> str:
    """qemu-img's last words, without our file names."""
    lines = [line for line in error.output.strip().splitlines() if line.strip()]
    last = lines[-1] if lines else "it took too long or too much room"
    return last.rpartition("/proc/self/fd/")[2].partition(":")[2].strip() or last.removeprefix("qemu-img: ")
