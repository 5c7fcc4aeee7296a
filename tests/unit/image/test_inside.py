"""A look inside: real file systems made by mke2fs, partition tables made by sfdisk, initramfs archives made here."""

import bz2
import gzip
import lzma
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bivouac.image.formats import BytesSource
from bivouac.image.inside import look
from bivouac.image.inside.disk import Budget, Qcow2Disk, RawDisk, Unreadable
from bivouac.image.inside.ext4 import Ext4
from bivouac.image.inside.initramfs import names
from bivouac.image.inside.partitions import read_layout
from bivouac.image.inside.verdict import Findings, decide

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
VERSION = "6.1.0-13-amd64"


def cpio(paths: list[str]) -> bytes:
    """A newc archive of small files."""
    out = b""
    for path in [*paths, "TRAILER!!!"]:
        name = path.encode() + b"\0"
        data = b"" if path == "TRAILER!!!" else b"x" * 7
        header = b"070701" + b"".join(b"%08X" % one for one in (
            1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0))  # fmt: skip
        out += header + name + bytes(-(110 + len(name)) % 4) + data + bytes(-len(data) % 4)
    return out


def module(name: str) -> str:
    return f"usr/lib/modules/{VERSION}/kernel/drivers/x/{name}.ko.xz"


PACKERS = {"plain": lambda data: data, "gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress,
           "zstd": zstd.compress, "lz4": lambda data: b"\x02\x21\x4c\x18" + data}  # fmt: skip


def root(folder: Path, early: list[str], modules: list[str], packed: str = "gzip", kind: str = "ext4") -> bytes:
    """A root file system with one kernel."""
    tree = folder / "tree"
    (tree / "boot").mkdir(parents=True)
    lib = tree / "usr" / "lib" / "modules" / VERSION
    lib.mkdir(parents=True)
    (tree / "lib").symlink_to("usr/lib")
    microcode = cpio(["kernel/x86/microcode/GenuineIntel.bin"])
    archive = PACKERS[packed](cpio([module(name) for name in early]))
    (tree / "boot" / f"initrd.img-{VERSION}").write_bytes(microcode + bytes(512) + archive)
    (tree / "boot" / "initrd.img-5.10.0-9-amd64").write_bytes(b"an old one")
    lines = [f"kernel/drivers/x/{name}.ko: kernel/y.ko" for name in modules]
    (lib / "modules.dep").write_text("\n".join(lines))
    (lib / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    image = folder / "root"
    image.write_bytes(bytes(24 * MIB))
    subprocess.run(["mke2fs", "-q", "-F", "-t", kind, "-d", str(tree), str(image)], check=True, capture_output=True)
    return image.read_bytes()


def disk(folder: Path, layout: str, filesystem: bytes, boot_code: bool = True, first: str = "") -> bytes:
    """A disk with the file system in its last partition."""
    path = folder / "disk"
    path.write_bytes(bytes(48 * MIB))
    script = f"label: {layout}\nstart=2048, size=8192{first}\nstart=16384, size={len(filesystem) // 512}\n"
    subprocess.run(["sfdisk", "-q", str(path)], input=script.encode(), check=True, capture_output=True)
    data = bytearray(path.read_bytes())
    if boot_code:
        data[0:3] = b"\xeb\x63\x90"
    data[16384 * 512 : 16384 * 512 + len(filesystem)] = filesystem
    return bytes(data)


EFI = ", type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


@pytest.mark.parametrize("packed", ["plain", "gzip", "xz", "bzip2", "zstd"])
def test_a_linux_with_virtio(tmp_path: Path, packed: str) -> None:
    filesystem = root(tmp_path, ["virtio_blk", "ahci"], ["virtio_net", "e1000"], packed)
    found = look(BytesSource(disk(tmp_path, "gpt", filesystem, first=EFI)), "raw")
    assert (found["hw_disk_bus"], found["hw_vif_model"], found["hw_firmware_type"]) == ("virtio", "virtio", "bios")
    assert f"virtio_blk is in the initramfs of {VERSION}" in found["bivouac_inspection"]


def test_a_linux_from_elsewhere(tmp_path: Path) -> None:
    """Its kernel has virtio, but its initramfs was made for another machine: the usual way in which a move fails."""
    filesystem = root(tmp_path, ["ahci", "ata_piix", "vmw_pvscsi"], ["virtio_blk", "e1000", "vmxnet3"])
    found = look(BytesSource(disk(tmp_path, "gpt", filesystem, boot_code=False, first=EFI)), "raw")
    assert (found["hw_disk_bus"], found["hw_vif_model"], found["hw_firmware_type"]) == ("sata", "e1000", "uefi")
    assert "virtio_blk and virtio_scsi not" in found["bivouac_inspection"]


def test_an_initramfs_that_is_not_read(tmp_path: Path) -> None:
    filesystem = root(tmp_path, ["virtio_blk"], ["virtio_blk", "virtio_net"], "lz4")
    found = look(BytesSource(disk(tmp_path, "dos", filesystem)), "raw")
    assert found["hw_disk_bus"] == "virtio"
    assert "lz4, which is not read" in found["bivouac_inspection"]


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_a_file_system_by_itself_and_in_qcow2(tmp_path: Path, kind: str) -> None:
    filesystem = root(tmp_path, ["virtio_scsi"], ["8139cp"], kind=kind)
    expected = {"hw_disk_bus": "scsi", "hw_vif_model": "rtl8139"}
    assert expected.items() <= look(BytesSource(filesystem), "raw").items()
    for extra in ([], ["-c"]):
        source, target = tmp_path / "root", tmp_path / "root.qcow2"
        subprocess.run(["qemu-img", "convert", *extra, "-f", "raw", "-O", "qcow2", source, target], check=True)
        packed = target.read_bytes()
        assert expected.items() <= look(BytesSource(packed), "qcow2").items()
        qcow2 = Qcow2Disk(BytesSource(packed), Budget(1 << 30))
        assert b"".join(qcow2.read(at, 1_000_003) for at in range(0, qcow2.size, 1_000_003)) == filesystem


def test_windows(tmp_path: Path) -> None:
    ntfs = b"\xeb\x52\x90NTFS    " + bytes(MIB)
    found = look(BytesSource(disk(tmp_path, "dos", ntfs)), "raw")
    assert (found["hw_disk_bus"], found["hw_vif_model"]) == ("sata", "e1000e")


@pytest.mark.parametrize("data", [b"", b"x" * 100, bytes(MIB), b"\x1f\x8b" + bytes(5000)])
def test_what_says_nothing(data: bytes) -> None:
    assert look(BytesSource(data), "raw") == {}


def test_budget() -> None:
    limited = RawDisk(BytesSource(bytes(100)), Budget(50))
    limited.read(0, 40)
    with pytest.raises(Unreadable):
        limited.read(0, 40)


def test_an_initramfs_that_is_a_bomb() -> None:
    bomb = gzip.compress(cpio([]) + bytes(64 * MIB)) * 20
    assert names(iter([bomb])) == set()
    header = b"070701" + b"00000000" * 6 + b"FFFFFFF0" + b"00000000" * 4 + b"00000002" + b"00000000" + b"a\0"
    with pytest.raises(Unreadable):
        names(iter([gzip.compress(header + bytes(600 * MIB), 1)]))


def test_an_initramfs_of_zeros_and_one_of_many_small_files() -> None:
    """Both end soon: neither byte by byte, nor by copying what is left for each file."""
    assert names(iter([bytes(MIB)] * 256)) == set()
    paths = [f"a/{number}" for number in range(20_000)]
    whole = cpio(paths)
    assert len(names(iter([whole[at : at + MIB] for at in range(0, len(whole), MIB)]))) == len(paths)


def test_a_zstd_that_wants_much_memory_is_not_read() -> None:
    tool = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    greedy = tool.compress(cpio(["a"])) + tool.compress(bytes(2 * MIB)) + tool.flush()
    with pytest.raises(Unreadable):
        names(iter([greedy]))


def test_links_files_and_directories_that_are_too_large(tmp_path: Path) -> None:
    """What a file system says of a file's size costs no memory."""
    tree = tmp_path / "tree"
    (tree / "boot").mkdir(parents=True)
    (tree / "boot" / "long").symlink_to("x" * 200)
    (tree / "boot" / "text").write_bytes(b"y" * 200_000)
    image = tmp_path / "image"
    image.write_bytes(bytes(8 * MIB))
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(image)], check=True, capture_output=True)

    def files(name: str, size: int) -> Ext4:
        change = f"set_inode_field {name} size {size}"
        subprocess.run(["debugfs", "-w", "-R", change, str(image)], check=True, capture_output=True)
        return Ext4(RawDisk(BytesSource(image.read_bytes()), Budget(1 << 30)))

    with pytest.raises(Unreadable, match="no text"):
        list(files("/boot/text", 200_000).lines("/boot/text"))
    with pytest.raises(Unreadable, match="too large"):
        list(files("/boot/text", 1 << 40).lines("/boot/text"))
    with pytest.raises(Unreadable, match="link is too long"):
        list(files("/boot/long", 1 << 40).open("/boot/long/x"))
    with pytest.raises(Unreadable, match="too much reading"):
        files("/boot", 1 << 40).listing("/boot")


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (Findings(), {}),
        (Findings(has_efi=True), {"hw_firmware_type": "uefi"}),
        (Findings(has_efi=True, has_boot_code=True), {"hw_firmware_type": "bios"}),
        (Findings(early_modules=frozenset()), {"hw_disk_bus": "sata"}),
        (Findings(early_modules=frozenset({"ata_piix"})), {"hw_disk_bus": "ide"}),
        (
            Findings(modules=frozenset({"virtio_blk", "virtio_net"})),
            {"hw_disk_bus": "virtio", "hw_vif_model": "virtio"},
        ),
        (Findings(is_windows=True), {"hw_disk_bus": "sata", "hw_vif_model": "e1000e"}),
    ],
)
def test_verdicts(findings: Findings, expected: dict[str, str]) -> None:
    assert {name: value for name, (value, _) in decide(findings).items()} == expected


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("seed")
    return disk(folder, "gpt", root(folder, ["virtio_blk"], ["virtio_net"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.one_of(st.integers(0, 20_000), st.integers(8 * MIB, 9 * MIB)),
                                  st.binary(min_size=1, max_size=12)), max_size=8))  # fmt: skip
def test_damaged_disks_end_in_an_answer(seed: bytes, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(seed)
    for offset, value in changes:
        data[offset : offset + len(value)] = value
    assert set(look(BytesSource(bytes(data)), "raw")) <= {
        "hw_disk_bus", "hw_vif_model", "hw_firmware_type", "bivouac_inspection"}  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=3000), magic=st.sampled_from([b"", b"070701", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"BZh9"]))
def test_rubbish_is_unreadable_and_nothing_worse(data: bytes, magic: bytes) -> None:
    for attempt in (lambda: names(iter([magic + data])), lambda: Ext4(RawDisk(BytesSource(data), Budget(MIB))),
                    lambda: read_layout(RawDisk(BytesSource(magic + data), Budget(MIB)))):  # fmt: skip
        try:
            attempt()
        except Unreadable as error:
            assert str(error)
