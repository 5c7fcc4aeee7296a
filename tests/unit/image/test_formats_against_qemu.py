"""What the parsers let pass is what QEMU then opens: the same size, and no other file, however the header was changed.

The fields of a header are set to values at their limits and to each other's, not to noise, which the parsers refuse at
once. QEMU only reads the header here (`qemu-img info`), under an explicit driver and with a bounded address space.
"""

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disk_images import GOOD_DESCRIPTOR, all_patched, make, patched, vmdk_with_descriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bivouac.image.conversion import DRIVERS
from bivouac.image.formats import BytesSource, Refused, check

QCOW2_FIELDS = [(8, 8), (16, 4), (20, 4), (24, 8), (32, 4), (36, 4), (40, 8), (48, 8), (56, 4), (60, 4), (64, 8),
                (72, 8), (80, 8), (88, 8), (96, 4), (100, 4), (104, 8), (112, 4), (116, 4), (120, 8)]  # fmt: skip
VDI_FIELDS = [(0x48, 4), (0x4C, 4), (0x154, 4), (0x158, 4), (0x170, 8), (0x178, 4), (0x17C, 4), (0x180, 4), (0x184, 4),
              (0x188, 8), (0x1A8, 8), (0x1B8, 8)]  # fmt: skip
VMDK_FIELDS = [(4, 4), (8, 4), (12, 8), (20, 8), (28, 8), (36, 8), (44, 4), (48, 8), (56, 8), (64, 8), (77, 2)]
VALUES = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 9, 16, 20, 21, 64, 72, 104, 112, 128, 512, 513, 4096, 65536, 1 << 20,
                          (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63,
                          (1 << 64) - 1])  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("qemu")


def good(folder: Path, kind: str) -> bytes:
    """A whole image, made once."""
    path = folder / f"image.{kind}"
    return path.read_bytes() if path.exists() else make(folder, kind)


def opened_by_qemu(folder: Path, disk_format: str, data: bytes) -> dict[str, Any] | None:
    """What QEMU says of it; None when it cannot open it."""
    path = folder / "image"
    path.write_bytes(data)
    driver = DRIVERS.get(disk_format, disk_format)
    command = ["prlimit", f"--as={1 << 30}", "qemu-img", "info", "--output=json", "-f", driver, str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def agree(folder: Path, disk_format: str, data: bytes) -> None:
    try:
        found = check(disk_format, "bare", BytesSource(data))
    except Refused:
        return
    seen = opened_by_qemu(folder, disk_format, data)
    if seen is None:
        return
    assert abs(seen["virtual-size"] - found.virtual_size) < 512  # QEMU counts sectors
    assert not {"backing-filename", "full-backing-filename", "encrypted"} & seen.keys()
    specific = seen.get("format-specific", {}).get("data", {})
    assert "data-file" not in specific
    assert [extent["filename"] for extent in specific.get("extents", [])] in ([], [str(folder / "image")])


def changed(data: bytes, changes: list[tuple[tuple[int, int], int]], order: str) -> bytes:
    for (offset, size), value in changes:
        data = patched(data, offset, value.to_bytes(8, "big")[-size:][:: 1 if order == "big" else -1])
    return data


def changes_of(fields: list[tuple[int, int]]) -> st.SearchStrategy[list[tuple[tuple[int, int], int]]]:
    return st.lists(st.tuples(st.sampled_from(fields), VALUES), min_size=1, max_size=3)


BOUNDED: Callable[..., Any] = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@BOUNDED
@given(changes=changes_of(QCOW2_FIELDS))
def test_qcow2(folder: Path, changes: list[tuple[tuple[int, int], int]]) -> None:
    agree(folder, "qcow2", changed(good(folder, "qcow2"), changes, "big"))


@BOUNDED
@given(changes=changes_of(VDI_FIELDS))
def test_vdi(folder: Path, changes: list[tuple[tuple[int, int], int]]) -> None:
    agree(folder, "vdi", changed(good(folder, "vdi"), changes, "little"))


@BOUNDED
@given(changes=changes_of(VMDK_FIELDS), kind=st.sampled_from(["vmdk", "vmdk-stream"]))
def test_vmdk_headers(folder: Path, kind: str, changes: list[tuple[tuple[int, int], int]]) -> None:
    agree(folder, "vmdk", changed(good(folder, kind), changes, "little"))


LINES = st.sampled_from([
    'createType="monolithicFlat"', 'createType="monolithicSparse"', 'CREATETYPE="vmfs"', "# createType=\"custom\"",
    'RW 8192 FLAT "SECRET" 0', 'RW 8192 SPARSE "SECRET"', 'rw 1 zero', 'RDONLY 8192 VMFS "SECRET"',
    "parentCID=00000001", 'parentFileNameHint="SECRET"', '#parentFileNameHint="SECRET"',
    'xparentFileNameHint="SECRET"', "\r", "\0",
    "", " \t", 'ddb.uuid="parentFileNameHint=SECRET"', "version=1", "CID=1", "=", '"',
])  # fmt: skip


@BOUNDED
@given(lines=st.lists(LINES, max_size=5), where=st.sampled_from(["front", "end"]), moved=st.booleans())
def test_vmdk_descriptors(folder: Path, lines: list[str], where: str, moved: bool) -> None:
    secret = folder / "secret.vmdk"
    if not secret.exists():
        secret.write_bytes(good(folder, "vmdk"))
    extra = "\n".join(lines).replace("SECRET", str(secret)) + "\n"
    text = extra + GOOD_DESCRIPTOR if where == "front" else GOOD_DESCRIPTOR + extra
    data = vmdk_with_descriptor(text)
    if moved:
        data = patched(data, 28, struct.pack("<Q", len(data) // 512)) + GOOD_DESCRIPTOR.encode().ljust(20 * 512, b"\0")
    agree(folder, "vmdk", data)


@BOUNDED
@given(flags=st.integers(0, 3), kind=st.sampled_from([0, 2, 3, 4, 5]), size=VALUES)
def test_vhd_and_vhdx(folder: Path, flags: int, kind: int, size: int) -> None:
    vhd = good(folder, "vhd")
    footer = bytearray(vhd[:512])
    footer[60:64] = struct.pack(">I", kind)
    footer[48:56] = struct.pack(">Q", size)
    footer[64:68] = bytes(4)
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    agree(folder, "vhd", bytes(footer) + vhd[512:-512] + bytes(footer))
    vhdx = good(folder, "vhdx")
    metadata = vhdx.index(b"metadata")
    parameters = metadata + struct.unpack_from("<I", vhdx, metadata + 32 + 16)[0]
    agree(folder, "vhdx", all_patched(vhdx, [parameters + 4], struct.pack("<I", flags)))


def test_qemu_opens_what_is_good(folder: Path) -> None:
    """Otherwise nothing above would say anything."""
    for kind, disk_format in (("qcow2", "qcow2"), ("vdi", "vdi"), ("vmdk", "vmdk"), ("vhdx", "vhdx"), ("vhd", "vhd")):
        assert opened_by_qemu(folder, disk_format, good(folder, kind)) is not None
    hidden = vmdk_with_descriptor(GOOD_DESCRIPTOR + f'#parentFileNameHint="{folder}/x"\n')
    seen = opened_by_qemu(folder, "vmdk", hidden)
    assert seen is None or "full-backing-filename" in seen
