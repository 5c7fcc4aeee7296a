"""Choosing a kernel, unpacking it, and the order of modules."""

from __future__ import annotations

import gzip
import lzma
import os
import struct
import subprocess
from pathlib import Path

import pytest

from bivouac.guestimage.kernel import KernelError, find_kernel, unpacked
from bivouac.guestimage.modules import loading_order, read_dependencies

ELF = b"\x7fELF" + os.urandom(5000)


def installed(root: Path, *releases: str) -> None:
    for release in releases:
        (root / "boot").mkdir(exist_ok=True)
        (root / "boot" / f"vmlinuz-{release}").write_bytes(b"kernel")
        modules = root / "lib/modules" / release
        modules.mkdir(parents=True)
        (modules / "modules.dep").write_text("")


@pytest.mark.parametrize(
    ("releases", "chosen"),
    [
        (["6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64"], "6.1.0-56-cloud-amd64"),
        (["6.12.0-1-amd64", "6.1.0-9-cloud-amd64"], "6.1.0-9-cloud-amd64"),
        (["6.8.0-40-generic"], "6.8.0-40-generic"),
        (["5.0-custom", "4.0-generic"], "4.0-generic"),
    ],
)
def test_the_newest_kernel_of_the_best_flavour_is_chosen(tmp_path: Path, releases: list[str], chosen: str) -> None:
    installed(tmp_path, *releases)
    assert find_kernel(tmp_path).release == chosen


def test_a_kernel_without_modules_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1.0-9-cloud-amd64").write_bytes(b"")
    with pytest.raises(KernelError, match="linux-image-cloud-amd64"):
        find_kernel(tmp_path)


def bzimage(payload: bytes) -> bytes:
    setup = bytearray(1024)
    setup[0x1F1] = 1
    struct.pack_into("<II", setup, 0x248, 64, len(payload))
    return bytes(setup) + bytes(64) + payload + b"behind the payload"


def size() -> bytes:
    return struct.pack("<I", len(ELF))


@pytest.mark.parametrize("tool", [["lz4", "-l", "-c"], ["zstd", "-c"]])
def test_a_kernel_packed_by_a_program_is_unpacked(tool: list[str]) -> None:
    packed = subprocess.run(tool, input=ELF, capture_output=True, check=True).stdout
    assert unpacked(bzimage(packed + size())) == ELF


def test_kernels_packed_with_gzip_and_xz_are_unpacked() -> None:
    assert unpacked(bzimage(gzip.compress(ELF))) == ELF
    assert unpacked(bzimage(lzma.compress(ELF) + size())) == ELF


def test_what_is_not_a_packed_kernel_is_refused() -> None:
    with pytest.raises(KernelError, match="packed in a way"):
        unpacked(bzimage(b"nothing known"))
    with pytest.raises(KernelError, match="ELF"):
        unpacked(bzimage(gzip.compress(b"not a kernel") + size()))


def test_modules_come_after_what_they_need_and_only_once() -> None:
    needs, paths = read_dependencies(
        "kernel/net/virtio_net.ko.zst: kernel/net/net_failover.ko kernel/net/failover.ko kernel/virtio.ko\n"
        "kernel/net/net_failover.ko: kernel/net/failover.ko\n"
        "kernel/net/failover.ko:\n"
        "kernel/virtio.ko:\n"
        "kernel/char/virtio-rng.ko: kernel/virtio.ko\n"
    )
    assert paths["virtio_rng"] == "kernel/char/virtio-rng.ko"
    loaded: set[str] = set()
    assert loading_order(needs, ("virtio_rng", "built_in"), loaded) == ["virtio", "virtio_rng"]
    assert loading_order(needs, ("virtio_net",), loaded) == ["failover", "net_failover", "virtio_net"]
