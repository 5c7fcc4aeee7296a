"""What bytes are, by their signatures. Each signature leads to one parser; what has none is raw."""

from . import iso, ova, qcow2, vdi, vhd, vhdx, vmdk
from .source import Inspection, Refused, Source

_FOREIGN = {
    b"QED\0": "qed",
    b"COWD": "vmdk of ESX 2 (COWD)",
    b"WithoutFreeSpace": "Parallels",
    b"WithouFreSpacExt": "Parallels",
    b"Bochs Virtual HD": "Bochs",
    b"OOOM": "User-mode Linux COW",
    b"#!/bin/sh\n#V2.0 F": "cloop",
}
"""Formats that QEMU would open and we do not: as raw they would be a lie."""
_TRAILER = 512


def _foreign(name: str) -> Refused:
    return Refused(f"It is in the format {name}, which is not taken: convert it to qcow2 or raw.")


def inspect(source: Source) -> Inspection:
    """What the bytes are. Raises Refused for what is broken, foreign or points outside of itself."""
    head = source.read(0, 1024)
    if head.startswith(qcow2.MAGIC):
        return qcow2.parse(source)
    if head.startswith(vmdk.MAGIC):
        return vmdk.parse(source)
    if vmdk.is_descriptor(head):
        return vmdk.refuse_descriptor(source)
    if head.startswith(vhdx.MAGIC):
        return vhdx.parse(source)
    if head.startswith(vhd.COOKIE) or vhd.is_fixed(source):
        return vhd.parse(source)
    if head[vdi.SIGNATURE_AT : vdi.SIGNATURE_AT + 4] == vdi.SIGNATURE:
        return vdi.parse(source)
    for signature, name in _FOREIGN.items():
        if head.startswith(signature):
            raise _foreign(name)
    if source.size >= _TRAILER and source.read(source.size - _TRAILER, 4) == b"koly":
        raise _foreign("dmg")
    if iso.is_iso(source):
        return iso.parse(source)
    if ova.is_tar(head) and head[:100].split(b"\0", 1)[0].lower().endswith(b".ovf"):
        return ova.parse(source)
    return Inspection(format="raw", virtual_size=source.size)
