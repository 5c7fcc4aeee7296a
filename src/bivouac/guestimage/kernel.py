"""The kernel the guest runs: a distribution's own, with the few of its modules that a virtual machine needs.

Kernel images are opened only to take the plain ELF kernel out of them: QEMU starts that one through PVH, which skips
the guest's own unpacking and saves 0.2 s of every boot under emulation.
"""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from .tools import ImageBuildError, run_tool

# Kernel flavours made for virtual machines come first: they are smaller and have all that QEMU offers.
_FLAVOURS = ("-cloud-amd64", "-kvm", "-virtual", "-amd64", "-generic")


class KernelError(ImageBuildError):
    """No kernel of this machine can be used for a guest."""


@dataclass(frozen=True)
class Kernel:
    """An installed kernel: its release name, its bzImage and its folder of modules."""

    release: str
    image: Path
    modules: Path


def find_kernel(root: Path = Path("/")) -> Kernel:
    """The newest installed kernel of the best flavour. Raises KernelError when there is none that can be read."""
    found: list[tuple[int, tuple[int, ...], Kernel]] = []
    for image in sorted((root / "boot").glob("vmlinuz-*")):
        release = image.name.removeprefix("vmlinuz-")
        modules = root / "lib/modules" / release
        flavour = next((rank for rank, suffix in enumerate(_FLAVOURS) if release.endswith(suffix)), len(_FLAVOURS))
        if (modules / "modules.dep").exists() and os.access(image, os.R_OK):
            found.append((-flavour, _version(release), Kernel(release, image, modules)))
    if not found:
        raise KernelError("no readable kernel with modules in /boot and /lib/modules; install linux-image-cloud-amd64")
    return max(found, key=lambda item: item[:2])[2]


def _version(release: str) -> tuple[int, ...]:
    """`6.1.0-56-cloud-amd64` as numbers, so that 56 is newer than 9."""
    words = release.replace("-", ".").split(".")
    return tuple(int(word) for word in words if word.isdigit())


def unpacked(image: bytes) -> bytes:
    """The ELF kernel inside a bzImage (Documentation/arch/x86/boot). Raises KernelError for a packing not known."""
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(setup_sectors + 1) * 512 + offset :][:length]
    kernel = _decompressed(payload)
    if kernel[:4] != b"\x7fELF":
        raise KernelError("the kernel image does not hold an ELF kernel")
    return kernel


def _decompressed(payload: bytes) -> bytes:
    # The kernel's build appends the unpacked size in four bytes (gzip has it anyway); lz4 and zstd call that garbage.
    if payload.startswith(b"\x02\x21\x4c\x18"):
        return run_tool(["lz4", "-dc"], input=payload[:-4])
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return run_tool(["zstd", "-dcq"], input=payload[:-4])
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(payload)
    raise KernelError(f"the kernel image is packed in a way not known here (it begins with {payload[:6].hex()})")
