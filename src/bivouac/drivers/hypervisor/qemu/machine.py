"""What a guest is made of, and the QEMU command line that says so. Pure: no file is touched here.

Everything that can come and go sits behind a PCIe root port of its own, so that it can be plugged while the guest
runs; the place of each device is recorded, since a suspended guest must find the same machine again. Names from
outside (disks, ports) only enter as JSON values, and QEMU's own ids are digests of them: no comma of a hostile name
ever reaches an option parser. Sockets and files of the guest are named relative to its directory, QEMU's working
directory.
"""

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from bivouac.drivers.hypervisor import AttachedDisk
from bivouac.hostspec.server import PortSpec

SPARE_SLOTS = 8
"""Free root ports of a new guest; each costs the guest's firmware and kernel about a millisecond."""
MAX_SLOTS = 64
FIRST_ROOT_PORT = 0x10
DEFAULT_KERNEL_COMMAND_LINE = "root=/dev/vda console=tty0 console=ttyS0"
TRANSLATION_BUFFER_MIB = 64
"""TCG's cache of translated code; the default takes a gigabyte of address space and as much memory as it can fill."""

NETWORK_MODELS = {"virtio": "virtio-net-pci", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139"}

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class PlacedDisk(Struct, frozen=True):
    """A disk and its root port (or the port of the SATA controller)."""

    disk: AttachedDisk
    slot: int


class PlacedPort(Struct, frozen=True):
    """A network card and its root port."""

    port: PortSpec
    slot: int


class Machine(Struct, frozen=True):
    """A guest's hardware."""

    id: str
    vcpus: int
    memory_mib: int
    accelerator: str
    slots: int
    disks: tuple[PlacedDisk, ...] = ()
    ports: tuple[PlacedPort, ...] = ()
    kernel: str = ""
    ramdisk: str = ""
    kernel_command_line: str = ""
    firmware_code: str = ""
    """Path of the UEFI code; the variables are `uefi-variables` in the guest's directory. Empty: BIOS."""


class Inherited(Struct, frozen=True):
    """File descriptors that QEMU inherits."""

    monitor: int
    serial: int
    guest_agent: int
    taps: dict[str, int] = {}
    """Port id -> open tap. A card without one leads nowhere: its port was taken away while the guest slept."""
    memory: int = -1
    """Saved memory to resume from."""


def device_id(kind: str, name: str) -> str:
    """QEMU's id of a device (`disk` or `port`): letters and digits, at most the 31 bytes a node name may have."""
    return f"{kind}-{blake2b(name.encode(), digest_size=8).hexdigest()}"


def on_pci(disk: AttachedDisk) -> bool:
    """Whether the disk is a PCI device of its own (SCSI and USB disks sit on a shared controller)."""
    return disk.bus == "virtio"


def place(disks: Iterable[AttachedDisk], ports: Iterable[PortSpec], spare: int = SPARE_SLOTS) -> dict[str, Any]:
    """The `disks`, `ports` and `slots` of a Machine, in the order given: the guest names its devices by it."""
    slot = 0
    sata = 0
    placed_disks = []
    placed_ports = []
    for disk in disks:
        if on_pci(disk):
            placed_disks.append(PlacedDisk(disk, slot))
            slot += 1
        elif disk.bus in ("sata", "ide"):
            placed_disks.append(PlacedDisk(disk, sata))
            sata += 1
        else:
            placed_disks.append(PlacedDisk(disk, -1))
    for port in ports:
        placed_ports.append(PlacedPort(port, slot))
        slot += 1
    return {"disks": tuple(placed_disks), "ports": tuple(placed_ports), "slots": min(MAX_SLOTS, slot + spare)}


def free_slot(machine: Machine) -> int | None:
    """A root port with nothing behind it."""
    taken = {placed.slot for placed in machine.disks if on_pci(placed.disk)} | {p.slot for p in machine.ports}
    return next((slot for slot in range(machine.slots) if slot not in taken), None)


def block_node(disk: AttachedDisk) -> dict[str, Any]:
    """The block node of a disk. The format is always said, for a guest may write any header into a raw disk."""
    return {
        "driver": disk.format,
        "node-name": device_id("disk", disk.name),
        "read-only": disk.read_only,
        "discard": "unmap",
        "file": {"driver": "file", "filename": disk.path, "discard": "unmap"},
    }


def disk_device(placed: PlacedDisk) -> dict[str, Any]:
    """The device of a disk."""
    disk = placed.disk
    name = device_id("disk", disk.name)
    device: dict[str, Any] = {"id": name, "drive": name}
    if disk.bus == "virtio":
        device |= {"driver": "virtio-blk-pci", "bus": f"slot{placed.slot}"}
    elif disk.bus in ("sata", "ide"):
        device |= {"driver": "ide-cd" if disk.cdrom else "ide-hd", "bus": f"ide.{placed.slot}"}
    elif disk.bus == "usb":
        device |= {"driver": "usb-storage", "bus": "usb.0"}
    else:
        device |= {"driver": "scsi-cd" if disk.cdrom else "scsi-hd", "bus": "scsi.0"}
    if disk.serial:
        device["serial"] = disk.serial[:20]
    if disk.boot_index is not None:
        device["bootindex"] = disk.boot_index + 1  # 0 belongs to a kernel that is booted directly
    return device


def port_device(placed: PlacedPort) -> dict[str, Any]:
    """The network card of a port."""
    port = placed.port
    name = device_id("port", port.id)
    device: dict[str, Any] = {
        "driver": NETWORK_MODELS[port.model],
        "id": name,
        "netdev": f"{name}-tap",
        "mac": port.mac_address,
        "bus": f"slot{placed.slot}",
        "romfile": "",
    }
    if port.model == "virtio" and port.mtu:
        device["host_mtu"] = port.mtu
    return device


def command_line(machine: Machine, inherited: Inherited, binary: str) -> list[str]:
    """All of QEMU's arguments."""
    kvm = machine.accelerator == "kvm"
    command = [binary, "-name", f"guest={machine.id}", "-nodefaults", "-no-user-config", "-no-shutdown"]
    command += ["-sandbox", SANDBOX, "-display", "none", "-rtc", "base=utc", "-boot", "strict=on"]
    flash = ",pflash0=uefi-code,pflash1=uefi-variables" if machine.firmware_code else ""
    command += ["-machine", f"q35,usb=off,vmport=off,dump-guest-core=off{flash}"]
    command += ["-accel", "kvm" if kvm else f"tcg,thread=multi,tb-size={TRANSLATION_BUFFER_MIB}"]
    command += ["-cpu", "host" if kvm else "Nehalem,+rdrand"]
    command += ["-smp", str(machine.vcpus), "-m", f"size={machine.memory_mib}M", "-uuid", machine.id]
    # cloud-init and its kind look for an OpenStack product name before they ask for metadata
    command += ["-smbios", f"type=1,manufacturer=Bivouac,product=OpenStack Compute,serial={machine.id}"]
    command += _characters(inherited)
    command += _fixed_devices(machine)
    for placed in machine.disks:
        command += ["-blockdev", json.dumps(block_node(placed.disk)), "-device", json.dumps(disk_device(placed))]
    for placed_port in machine.ports:
        device = port_device(placed_port)
        tap = inherited.taps.get(placed_port.port.id)
        if tap is None:
            del device["netdev"]
        else:
            command += ["-netdev", f"tap,id={device['netdev']},fd={tap}"]
        command += ["-device", json.dumps(device)]
    if machine.kernel:
        command += ["-kernel", machine.kernel]
        command += ["-append", machine.kernel_command_line or DEFAULT_KERNEL_COMMAND_LINE]
        if machine.ramdisk:
            command += ["-initrd", machine.ramdisk]
    if inherited.memory >= 0:
        command += ["-S", "-incoming", f"fd:{inherited.memory}"]
    return command


def _characters(inherited: Inherited) -> list[str]:
    """Monitor, serial console with its log, guest agent, VNC."""

    def channel(name: str, fd: int, more: str = "") -> list[str]:
        return ["-chardev", f"socket,id={name},fd={fd},server=on,wait=off{more}"]

    return [
        *channel("monitor", inherited.monitor),
        *("-mon", "chardev=monitor,mode=control"),
        *channel("serial", inherited.serial, ",logfile=console.log,logappend=on"),
        *("-serial", "chardev:serial"),
        *("-device", "virtio-serial-pci,id=channels"),
        *channel("guest-agent", inherited.guest_agent),
        *("-device", "virtserialport,bus=channels.0,chardev=guest-agent,name=org.qemu.guest_agent.0"),
        *("-device", "VGA", "-vnc", "unix:vnc,share=force-shared"),
    ]


def _fixed_devices(machine: Machine) -> list[str]:
    """Balloon, random numbers, root ports, shared controllers, flash."""
    devices = ["-device", "virtio-balloon-pci,id=balloon,deflate-on-oom=on"]
    devices += ["-object", "rng-builtin,id=random", "-device", "virtio-rng-pci,rng=random"]
    for slot in range(machine.slots):
        where = f"addr={FIRST_ROOT_PORT + slot // 8:#x}.{slot % 8},multifunction=on"
        devices += ["-device", f"pcie-root-port,id=slot{slot},bus=pcie.0,chassis={slot + 1},{where},io-reserve=0"]
    buses = {placed.disk.bus for placed in machine.disks}
    if "scsi" in buses:
        devices += ["-device", "virtio-scsi-pci,id=scsi"]
    if "usb" in buses:
        devices += ["-device", "qemu-xhci,id=usb"]
    if machine.firmware_code:
        for name, path, read_only in (
            ("uefi-code", machine.firmware_code, True),
            ("uefi-variables", "uefi-variables", False),
        ):
            file = {"driver": "file", "filename": path}
            node = {"driver": "raw", "node-name": name, "read-only": read_only, "file": file}
            devices += ["-blockdev", json.dumps(node)]
    return devices
