"""The command line as a function of the machine."""

import json

import msgspec

from bivouac.drivers.hypervisor import AttachedDisk
from bivouac.drivers.hypervisor.qemu.machine import (
    MAX_SLOTS,
    Inherited,
    Machine,
    command_line,
    device_id,
    free_slot,
    place,
)
from bivouac.hostspec.server import PortSpec

ID = "6a2f41a3-c54c-fce8-32d2-0324e1c32e22"
PORT = PortSpec("port-1", "net-1", "fa:16:3e:00:00:01", 1442)
ROOT = AttachedDisk("root", "/disks/root.qcow2", "qcow2", boot_index=0)


def machine(**changes: object) -> Machine:
    values = {"id": ID, "vcpus": 2, "memory_mib": 256, "accelerator": "tcg"} | place([ROOT], [PORT]) | changes
    return msgspec.convert(msgspec.to_builtins(values), Machine)


def line(of: Machine, **inherited: int) -> list[str]:
    return command_line(of, Inherited(10, 11, 12, {"port-1": 13}, **inherited), "qemu")


def devices(command: list[str]) -> list[dict[str, object]]:
    values = [command[at + 1] for at, word in enumerate(command) if word in ("-device", "-blockdev")]
    return [json.loads(value) for value in values if value.startswith("{")]


def test_formats_are_always_said_and_devices_have_their_slots() -> None:
    node, disk, card = devices(line(machine()))
    assert node["driver"] == "qcow2" and node["node-name"] == disk["drive"] == device_id("disk", "root")
    assert (disk["bus"], disk["bootindex"], card["bus"], card["host_mtu"]) == ("slot0", 1, "slot1", 1442)


def test_hostile_names_never_reach_an_option_parser() -> None:
    hostile = AttachedDisk("x,file=/etc/shadow", '/d/a,b"c.raw', "raw", serial="1,bus=pci.0")
    command = line(machine(**place([hostile], [PORT])))
    around = [word for word in command if "/etc/shadow" in word or "pci.0" in word and "serial" in word]
    assert all(json.loads(word) for word in around)
    node = devices(command)[0]
    assert node["file"] == {"driver": "file", "filename": '/d/a,b"c.raw', "discard": "unmap"}
    assert len(str(node["node-name"])) <= 31


def test_kvm_and_tcg_differ_only_in_accelerator_and_processor() -> None:
    slow, fast = line(machine()), line(machine(accelerator="kvm"))
    changed = {(a, b) for a, b in zip(slow, fast, strict=True) if a != b}
    assert changed == {("tcg,thread=multi,tb-size=64", "kvm"), ("Nehalem,+rdrand", "host")}


def test_a_kernel_boots_directly_and_saved_memory_waits() -> None:
    command = line(machine(kernel="/k", ramdisk="/r", kernel_command_line="quiet"), memory=20)
    assert command[command.index("-kernel") + 1] == "/k" and command[command.index("-append") + 1] == "quiet"
    assert command[-3:] == ["-S", "-incoming", "fd:20"]
    assert "-kernel" not in line(machine())


def test_free_slots_end() -> None:
    full = machine(**place([], [PORT], spare=0))
    assert free_slot(machine()) == 2 and free_slot(full) is None
    many = [msgspec.structs.replace(PORT, id=str(number)) for number in range(70)]
    assert place([], many)["slots"] == MAX_SLOTS


def test_sata_disks_take_no_slot_and_scsi_brings_its_controller() -> None:
    disks = [ROOT, AttachedDisk("a", "/a", "raw", bus="sata", cdrom=True), AttachedDisk("b", "/b", "raw", bus="scsi")]
    command = line(machine(**place(disks, [PORT])))
    by_driver = {device.get("driver"): device for device in devices(command) if "drive" in device}
    assert by_driver["ide-cd"]["bus"] == "ide.0" and by_driver["scsi-hd"]["bus"] == "scsi.0"
    assert "virtio-scsi-pci,id=scsi" in command
