"""Which kernel modules the guest carries, and the order in which they must be loaded."""

from __future__ import annotations

import gzip
import lzma
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .kernel import Kernel
from .tools import run_tool

BOOT = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "sd_mod", "ext4")
"""Needed to find the root disk, so they are loaded before it is mounted."""

NETWORK = ("virtio_net", "af_packet", "ipv6")
"""Needed for the first address; loaded as soon as the root is there."""

LATER = (
    *("sr_mod", "isofs", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"),  # config drives
    *("virtio_balloon", "virtio_console", "virtio_rng", "ata_piix"),
    *("button", "evdev"),  # the power button: without these `openstack server stop` waits for its time-out
)
"""Wanted once the network is up."""


@dataclass(frozen=True)
class ModuleSet:
    """Modules ready to be stored: bytes by file name, and the three lists in loading order."""

    content: dict[str, bytes]
    boot: tuple[str, ...]
    network: tuple[str, ...]
    later: tuple[str, ...]


def loading_order(dependencies: dict[str, list[str]], wanted: tuple[str, ...], loaded: set[str]) -> list[str]:
    """`wanted` with all they depend on, dependencies first, leaving out those in `loaded`, which grows.

    Names that `dependencies` does not know are built into the kernel, or absent from it: both need no loading.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        if name in loaded or name not in dependencies:
            return
        loaded.add(name)
        for dependency in dependencies[name]:
            visit(dependency)
        order.append(name)

    for name in wanted:
        visit(name)
    return order


def _module_name(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")


def read_dependencies(text: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """modules.dep as (name -> names it needs, nearest first; name -> path below the kernel's folder)."""
    needs: dict[str, list[str]] = {}
    paths: dict[str, str] = {}
    for line in text.splitlines():
        path, _, rest = line.partition(":")
        name = _module_name(path)
        paths[name] = path
        needs[name] = [_module_name(word) for word in rest.split()]
    return needs, paths


def _plain(path: Path) -> bytes:
    """The module's ELF bytes: Ubuntu and newer Debian kernels store them packed, busybox's insmod wants them plain."""
    content = path.read_bytes()
    if path.suffix == ".zst":
        return run_tool(["zstd", "-dcq", str(path)])
    if path.suffix == ".xz":
        return lzma.decompress(content)
    if path.suffix == ".gz":
        return gzip.decompress(content)
    return content


def collect(kernel: Kernel) -> ModuleSet:
    """Read, unpack and strip every module the guest wants. Raises OSError or ImageBuildError."""
    needs, paths = read_dependencies((kernel.modules / "modules.dep").read_text())
    loaded: set[str] = set()
    boot = loading_order(needs, BOOT, loaded)
    network = loading_order(needs, NETWORK, loaded)
    later = loading_order(needs, LATER, loaded)
    content: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="bivouac-modules-") as folder:
        files = []
        for name in (*boot, *network, *later):
            file = Path(folder) / f"{name}.ko"
            file.write_bytes(_plain(kernel.modules / paths[name]))
            files.append(str(file))
        if files:
            run_tool(["strip", "--strip-debug", *files])
        for file in files:
            content[Path(file).stem] = Path(file).read_bytes()
    return ModuleSet(content, tuple(boot), tuple(network), tuple(later))
