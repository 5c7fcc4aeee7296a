"""Disks and network cards that come and go while the guest runs.

The record names a device before it is plugged and until it is gone, so after a crash it holds at least what the guest
has; `Guest.adopt` drops the rest. The guest has a say in unplugging: it is asked, and may take its time or refuse.
"""

import asyncio
import os
from typing import Any

import msgspec

from bivouac.core.crash import side_effect
from bivouac.drivers.hypervisor import AttachedDisk, DriverError
from bivouac.hostspec.server import PortSpec

from .faults import in_users_words
from .guest import Guest
from .machine import Machine, PlacedDisk, PlacedPort, block_node, device_id, disk_device, free_slot, port_device
from .monitor import Monitor, MonitorError
from .protocol import Event
from .tap import open_tap

UNPLUG_TIMEOUT_S = 10.0
NO_SLOT = "The server has no free slot for another device."


def _machine(guest: Guest) -> Machine:
    if guest.state.machine is None:
        raise DriverError("The server is not running.", f"{guest.id} has no machine")
    return guest.state.machine


async def attach_disk(guest: Guest, disk: AttachedDisk) -> None:
    """Plug a disk into a running guest; nothing if it is there. Raises DriverError."""
    machine = _machine(guest)
    if any(placed.disk.name == disk.name for placed in machine.disks):
        return
    if disk.bus not in ("virtio", "scsi"):
        raise DriverError(f"A disk on the {disk.bus} bus cannot be attached while the server runs.")
    if disk.bus == "scsi" and not any(placed.disk.bus == "scsi" for placed in machine.disks):
        raise DriverError("The running server has no SCSI controller; stop it, then start it again.")
    slot = free_slot(machine) if disk.bus == "virtio" else -1
    if slot is None:
        raise DriverError(NO_SLOT)
    placed = PlacedDisk(disk, slot)
    guest.record(machine=msgspec.structs.replace(machine, disks=(*machine.disks, placed)))
    try:
        side_effect("plug disk")
        await guest.monitor.call("blockdev-add", block_node(disk))
        try:
            await guest.monitor.call("device_add", disk_device(placed))
        except MonitorError:
            await guest.monitor.execute("blockdev-del", node_name=device_id("disk", disk.name))
            raise
    except MonitorError as error:
        _forget(guest, disk=disk.name)
        raise DriverError(in_users_words(str(error), "The disk could not be attached."), str(error)) from error


async def detach_disk(guest: Guest, name: str) -> None:
    """Take a disk from a running guest; nothing if it is not there. Raises DriverError if the guest keeps it."""
    if not any(placed.disk.name == name for placed in _machine(guest).disks):
        return
    device = device_id("disk", name)
    side_effect("unplug disk")
    await _unplug(guest.monitor, device, "The server did not release the disk; it may be mounted or still booting.")
    await _tolerant(guest.monitor.execute("blockdev-del", node_name=device))
    _forget(guest, disk=name)


async def attach_port(guest: Guest, port: PortSpec, tap: str) -> None:
    """Plug a network card into a running guest; nothing if it is there. Raises DriverError."""
    machine = _machine(guest)
    if any(placed.port.id == port.id for placed in machine.ports):
        return
    slot = free_slot(machine)
    if slot is None:
        raise DriverError(NO_SLOT)
    placed = PlacedPort(port, slot)
    queue = await asyncio.to_thread(open_tap, tap)
    name = device_id("port", port.id)
    guest.record(machine=msgspec.structs.replace(machine, ports=(*machine.ports, placed)))
    try:
        side_effect("plug port")
        await guest.monitor.call("getfd", {"fdname": name}, fds=[queue])
        await guest.monitor.call("netdev_add", {"type": "tap", "id": f"{name}-tap", "fd": name})
        try:
            await guest.monitor.call("device_add", port_device(placed))
        except MonitorError:
            await guest.monitor.execute("netdev_del", id=f"{name}-tap")
            raise
    except MonitorError as error:
        _forget(guest, port=port.id)
        raise DriverError(in_users_words(str(error), "The port could not be attached."), str(error)) from error
    finally:
        os.close(queue)


async def detach_port(guest: Guest, port_id: str) -> None:
    """Take a network card from a running guest; nothing if it is not there. Raises DriverError."""
    if not any(placed.port.id == port_id for placed in _machine(guest).ports):
        return
    device = device_id("port", port_id)
    side_effect("unplug port")
    await _unplug(guest.monitor, device, "The server did not release the port; it may still be booting.")
    await _tolerant(guest.monitor.execute("netdev_del", id=f"{device}-tap"))
    _forget(guest, port=port_id)


def _forget(guest: Guest, disk: str = "", port: str = "") -> None:
    machine = _machine(guest)
    disks = tuple(placed for placed in machine.disks if placed.disk.name != disk)
    ports = tuple(placed for placed in machine.ports if placed.port.id != port)
    guest.record(machine=msgspec.structs.replace(machine, disks=disks, ports=ports))


async def _unplug(monitor: Monitor, device: str, refusal: str) -> None:
    """Ask the guest for the device and wait until it has let go."""

    def matches(event: Event) -> bool:
        return event.name in ("DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR") and event.data.get("device") == device

    answered = monitor.expect(matches)
    try:
        try:
            await monitor.execute("device_del", id=device)
        except MonitorError as error:
            if error.error_class == "DeviceNotFound":
                return
            if "already in the process" not in str(error):
                raise DriverError(refusal, str(error)) from error
        async with asyncio.timeout(UNPLUG_TIMEOUT_S):
            answer = await answered
        if answer.name != "DEVICE_DELETED":
            raise DriverError(refusal, "the guest refused to unplug")
    except (TimeoutError, MonitorError) as error:
        raise DriverError(refusal, str(error) or "no answer from the guest") from error
    finally:
        answered.cancel()


async def _tolerant(command: Any) -> None:
    """A removal that may have been done before."""
    try:
        await command
    except MonitorError as error:
        if "not found" not in str(error).lower() and "failed to find" not in str(error).lower():
            raise DriverError("A device of the server could not be removed on the host.", str(error)) from error


