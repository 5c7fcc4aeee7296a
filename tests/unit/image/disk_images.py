"""Disk images for tests: good ones made by qemu-img, hostile ones made by hand."""

import io
import struct
import subprocess
import tarfile
from pathlib import Path

SECTOR = 512
QEMU_FORMATS = {
    "raw": ("raw", ""),
    "qcow2": ("qcow2", ""),
    "vmdk": ("vmdk", "subformat=monolithicSparse"),
    "vmdk-stream": ("vmdk", "subformat=streamOptimized"),
    "vhd": ("vpc", "subformat=dynamic,force_size=on"),
    "vhd-fixed": ("vpc", "subformat=fixed,force_size=on"),
    "vhdx": ("vhdx", ""),
    "vdi": ("vdi", ""),
    "vdi-fixed": ("vdi", "static=on"),
}


def contents(size: int = 3 << 20) -> bytes:
    """A small disk with a partition table and something in it."""
    data = bytearray(size)
    data[510:512] = b"\x55\xaa"
    data[1 << 20 : (1 << 20) + 26] = b"the contents of this disk."
    return bytes(data)


def make(folder: Path, kind: str, data: bytes | None = None) -> bytes:
    """A whole image of `QEMU_FORMATS` by qemu-img."""
    driver, options = QEMU_FORMATS[kind]
    source, target = folder / "source.raw", folder / f"image.{kind}"
    source.write_bytes(contents() if data is None else data)
    command = ["qemu-img", "convert", "-f", "raw", "-O", driver, *(["-o", options] if options else [])]
    subprocess.run([*command, str(source), str(target)], check=True, capture_output=True)
    return target.read_bytes()


def ova(members: list[tuple[str, bytes]]) -> bytes:
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def iso(hybrid: bool = False) -> bytes:
    """The smallest thing that calls itself ISO 9660."""
    data = bytearray(0x9000)
    data[0x8000:0x8006] = b"\x01CD001"
    if hybrid:
        data[510:512] = b"\x55\xaa"
    return bytes(data)


def all_patched(data: bytes, offsets: list[int], value: bytes) -> bytes:
    for offset in offsets:
        data = patched(data, offset, value)
    return data


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def vmdk_with_descriptor(text: str, capacity: int = 8192, sectors: int = 20) -> bytes:
    """A sparse vmdk header in front of any descriptor."""
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, capacity, 128, 1, sectors, 512, 21, 26, 128)
    return header.ljust(SECTOR, b"\0") + text.encode().ljust(sectors * SECTOR, b"\0") + bytes(200 * SECTOR)


def _two_descriptors() -> bytes:
    """A good descriptor where the header says, and one with a parent where QEMU looks for one."""
    hidden = vmdk_with_descriptor(GOOD_DESCRIPTOR + 'parentFileNameHint="/etc/shadow"\n')
    moved = patched(hidden, 28, struct.pack("<Q", len(hidden) // SECTOR))
    return moved + GOOD_DESCRIPTOR.encode().ljust(20 * SECTOR, b"\0")


def _bad_footer() -> bytes:
    """A stream whose footer tells another size than its header."""
    good = vmdk_with_descriptor(GOOD_DESCRIPTOR)
    header = patched(good, 56, b"\xff" * 8)
    return header + patched(good[:SECTOR], 12, struct.pack("<Q", 1 << 40)) + bytes(SECTOR)


GOOD_DESCRIPTOR = (
    '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'
    '# Extent description\nRW 8192 SPARSE "disk.vmdk"\n'
)


def hostile(folder: Path) -> dict[str, tuple[str, bytes, str]]:
    """Name -> (claimed format, bytes, what the refusal says): the corpus of attacks."""
    qcow2, vhd, vhdx, vdi = (make(folder, kind) for kind in ("qcow2", "vhd", "vhdx", "vdi"))
    vmdk = make(folder, "vmdk")
    backing = folder / "overlay.qcow2"
    (folder / "secret").write_bytes(bytes(1 << 20))
    subprocess.run(["qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", str(folder / "secret"), str(backing)],
                   check=True, capture_output=True)  # fmt: skip
    outside = folder / "outside.qcow2"
    subprocess.run(["qemu-img", "create", "-f", "qcow2", "-o", f"data_file={folder}/data,data_file_raw=on",
                    str(outside), "1M"], check=True, capture_output=True)  # fmt: skip
    flat = GOOD_DESCRIPTOR.replace("monolithicSparse", "monolithicFlat").replace(
        'SPARSE "disk.vmdk"', 'FLAT "/etc/shadow" 0'
    )
    metadata = vhdx.index(b"metadata")
    file_parameters = metadata + struct.unpack_from("<I", vhdx, metadata + 32 + 16)[0]
    return {
        "qcow2 with a backing file": ("qcow2", backing.read_bytes(), "backing file"),
        "qcow2 with a data file": ("qcow2", outside.read_bytes(), "data in another file"),
        "qcow2 with only the data file's name": (
            "qcow2", patched(qcow2, 0x70, struct.pack(">II", 0x44415441, 8) + b"/etc/pas"), "data in another file"),
        "qcow2 as raw": ("raw", qcow2, "contents are qcow2"),
        "qcow2 as ami": ("ami", qcow2, "contents are qcow2"),
        "qcow2 with a backing file as raw": ("raw", backing.read_bytes(), "backing file"),
        "qcow2 encrypted": ("qcow2", patched(qcow2, 32, struct.pack(">I", 1)), "encrypted"),
        "qcow2 of huge tables": ("qcow2", patched(qcow2, 36, struct.pack(">I", 1 << 31)), "size"),
        "qcow2 of impossible size": ("qcow2", patched(qcow2, 24, struct.pack(">Q", 1 << 62)), "size"),
        "qcow2 of impossible clusters": ("qcow2", patched(qcow2, 20, struct.pack(">I", 60)), "clusters"),
        "qcow2 with unknown features": ("qcow2", patched(qcow2, 72, struct.pack(">Q", 1 << 40)), "not known"),
        "qcow2 marked corrupt": ("qcow2", patched(qcow2, 72, struct.pack(">Q", 2)), "corrupt"),
        "qcow2 of version 1": ("qcow2", patched(qcow2, 4, struct.pack(">I", 1)), "version 1"),
        "qcow2 with its tables at the end": ("qcow2", patched(qcow2, 40, struct.pack(">Q", 1 << 40)), "outside"),
        "qcow2 with tables in the middle of a cluster": ("qcow2", patched(qcow2, 40, struct.pack(">Q", 7)), "outside"),
        "qcow2 with a huge table of references": ("qcow2", patched(qcow2, 56, struct.pack(">I", 1 << 30)), "tables"),
        "qcow2 with snapshots outside": (
            "qcow2", patched(qcow2, 60, struct.pack(">IQ", 3, 1 << 40)), "snapshots"),
        "qcow2 with endless snapshots": ("qcow2", patched(qcow2, 60, struct.pack(">I", 1 << 31)), "snapshots"),
        "qcow2 with an encryption header": (
            "qcow2", patched(qcow2, 0x70, struct.pack(">IIQQ", 0x0537BE77, 16, 65536, 65536)), "encrypted"),
        "qcow2 with endless extensions": (
            "qcow2", patched(qcow2, 0x70, struct.pack(">II", 0x6803F857, 0) * 100), "too many"),
        "qcow2 within an ova": (
            "vmdk", ova([("a.ovf", b""), ("a.vmdk", qcow2)]), "not a sparse vmdk"),
        "qcow2 cut short": ("qcow2", qcow2[:90], "ends within"),
        "vmdk descriptor alone": ("vmdk", flat.encode(), "descriptor"),
        "vmdk descriptor as raw": ("raw", flat.encode(), "descriptor"),
        "vmdk flat within a sparse header": ("vmdk", vmdk_with_descriptor(flat), "monolithicflat"),
        "vmdk of capacity 0": ("vmdk", vmdk_with_descriptor(flat, capacity=0), "capacity"),
        "vmdk with two extents": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR + 'RW 1 FLAT "/etc/shadow" 0\n'), "other extents"),
        "vmdk with a path for an extent": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR.replace("disk.vmdk", "/etc/shadow")), "other extents"),
        "vmdk with a URL for an extent": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR.replace("disk.vmdk", "nbd:10.0.0.1")), "other extents"),
        "vmdk with a parent": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR.replace("ffffffff", "00000001")), "parent"),
        "vmdk with a second type after a carriage return": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR + '\rcreateType="monolithicFlat"\n'), "monolithicflat"),
        "vmdk with a parent's name and no identity": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR + 'parentFileNameHint="/etc/shadow"\n'), "parent"),
        "vmdk with a parent in a comment": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR + '#parentFileNameHint="/etc/shadow"\n'), "parent"),
        "vmdk with a parent within another name": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR + 'xparentFileNameHint="/etc/shadow"\n'), "parent"),
        "vmdk with a parent behind the descriptor's end": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR + '\0parentFileNameHint="/etc/shadow"\n'), "parent"),
        "vmdk with another descriptor where QEMU reads": ("vmdk", _two_descriptors(), "does not follow its header"),
        "vmdk with a descriptor of blank lines": (
            "vmdk", vmdk_with_descriptor("\n" * (60 << 10), sectors=120), "monolithicSparse"),
        "vmdk with a descriptor of one long line": (
            "vmdk", vmdk_with_descriptor("createType=" + " " * (60 << 10), sectors=120), "monolithicSparse"),
        "vmdk with a descriptor without end": (
            "vmdk", vmdk_with_descriptor("\n" * (1 << 20), sectors=2048), "too long"),
        "vmdk with an extent of another kind": (
            "vmdk", vmdk_with_descriptor(GOOD_DESCRIPTOR.replace("SPARSE", "FLAT")), "other extents"),
        "vmdk with a footer that contradicts it": ("vmdk", _bad_footer(), "footer"),
        "vmdk of ESX": ("vmdk", b"COWD" + bytes(4096), "COWD"),
        "vmdk as qcow2": ("qcow2", vmdk, "contents are vmdk"),
        "vhd differencing": ("vhd", _checksummed(patched(vhd, 60, struct.pack(">I", 4))), "parent"),
        "vhd with a parent locator": ("vhd", _vhd_header(vhd, 576, b"W2ku"), "parent"),
        "vhd with a wrong checksum": ("vhd", patched(vhd, 70, b"xxxx"), "checksum"),
        "vhd without its footer": ("vhd", vhd[:-SECTOR], "footer"),
        "vhd of another size than its table": (
            "vhd", _checksummed(patched(vhd, 48, struct.pack(">Q", 1 << 46))), "table"),
        "vhd whose dynamic header is elsewhere": (
            "vhd", _checksummed(patched(vhd, 16, struct.pack(">Q", 1 << 60))), "outside"),
        "vhd as raw": ("raw", vhd, "contents are vhd"),
        "vhdx with a parent": ("vhdx", patched(vhdx, file_parameters + 4, struct.pack("<I", 2)), "parent"),
        "vhdx with a log": ("vhdx", patched(vhdx, 65536 + 48, b"\1"), "not closed cleanly"),
        "vhdx whose tables contradict each other": (
            "vhdx", all_patched(vhdx, [(256 << 10) + 32, (256 << 10) + 64], struct.pack("<Q", 7 << 20)), "contradict"),
        "vhdx without tables": ("vhdx", all_patched(vhdx, [192 << 10, 256 << 10], bytes(4)), "region table"),
        "vhdx without headers": ("vhdx", all_patched(vhdx, [64 << 10, 128 << 10], bytes(4)), "valid header"),
        "vhdx with a log of the older header only": ("vhdx", patched(vhdx, 131072 + 48, b"\1"), "not closed cleanly"),
        "vhdx as raw": ("raw", vhdx, "contents are vhdx"),
        "vdi with a parent": ("vdi", patched(vdi, 0x1B8, b"\1"), "parent"),
        "vdi differencing": ("vdi", patched(vdi, 0x4C, struct.pack("<I", 4)), "parent"),
        "vdi with a table outside": ("vdi", patched(vdi, 0x154, struct.pack("<I", 0x7FFFFE00)), "outside"),
        "vdi of impossible size": ("vdi", patched(vdi, 0x170, struct.pack("<Q", 1 << 60)), "size"),
        "vdi as raw": ("raw", vdi, "contents are vdi"),
        "dmg": ("raw", bytes(8192) + b"koly" + bytes(508), "dmg"),
        "parallels": ("raw", b"WithouFreSpacExt" + bytes(4096), "Parallels"),
        "bochs": ("raw", b"Bochs Virtual HD Image" + bytes(4096), "Bochs"),
        "cloop": ("raw", b"#!/bin/sh\n#V2.0 Format\n" + bytes(4096), "cloop"),
        "qed": ("raw", b"QED\0" + bytes(4096), "qed"),
        "qcow2 in front of an iso": ("iso", patched(iso(), 0, backing.read_bytes()[:512]), "backing file"),
        "vhd footer behind an iso": ("iso", iso() + vhd[-SECTOR:], "disk type 3"),
        "iso as raw": ("raw", iso(), "contents are iso"),
        "raw as iso": ("iso", contents(), "contents are raw"),
        "raw as qcow2": ("qcow2", contents(), "contents are raw"),
        "nothing as qcow2": ("qcow2", b"", "contents are raw"),
    }  # fmt: skip


def _checksummed(vhd: bytes) -> bytes:
    """Both footers of a dynamic vhd made valid again, the one at the end as the one in front."""
    footer = bytearray(vhd[:SECTOR])
    footer[64:68] = bytes(4)
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    return bytes(footer) + vhd[SECTOR:-SECTOR] + bytes(footer)


def _vhd_header(vhd: bytes, offset: int, value: bytes) -> bytes:
    """A dynamic disk header changed and made valid again."""
    header = bytearray(vhd[SECTOR : SECTOR + 1024])
    header[offset : offset + len(value)] = value
    header[36:40] = bytes(4)
    header[36:40] = struct.pack(">I", ~sum(header) & 0xFFFFFFFF)
    return vhd[:SECTOR] + bytes(header) + vhd[SECTOR + 1024 :]
