"""What to do next for one server: a pure function of what is wanted and what is seen.

Order matters, and is the order of the code: a server that must go goes; one-shot operations come before the state
they may change; then power; then devices; then what is left over. None: it is as it should be.
"""

from typing import Literal

from msgspec import Struct

from bivouac.drivers.hypervisor import ObservedServer
from bivouac.hostspec.server import DiskSpec, OperationSpec, PortSpec, ServerSpec

CONFIG = "config"


class Seen(Struct, frozen=True):
    """A server as the host has it: its guest, its disks and its plugged ports."""

    guest: ObservedServer | None = None
    disks: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    finished: frozenset[str] = frozenset()
    """Ids of operations that were executed."""


class Start(Struct, frozen=True):
    """Make disks and ports ready, and start or wake the guest."""


class Power(Struct, frozen=True):
    """Bring a guest to another state than running."""

    to: Literal["stopped", "paused", "suspended"]


class AttachDisk(Struct, frozen=True):
    disk: DiskSpec | None
    """None: the config drive."""


class DetachDisk(Struct, frozen=True):
    name: str


class AttachPort(Struct, frozen=True):
    port: PortSpec


class DetachPort(Struct, frozen=True):
    port_id: str


class Operate(Struct, frozen=True):
    operation: OperationSpec


class RemoveGuest(Struct, frozen=True):
    """End the guest and forget it."""


class RemovePorts(Struct, frozen=True):
    port_ids: tuple[str, ...]


class RemoveDisks(Struct, frozen=True):
    """All of a server that goes."""


class RemoveDisk(Struct, frozen=True):
    name: str


Action = (
    Start | Power | AttachDisk | DetachDisk | AttachPort | DetachPort
    | Operate | RemoveGuest | RemovePorts | RemoveDisks | RemoveDisk
)  # fmt: skip


def plan(spec: ServerSpec | None, seen: Seen) -> Action | None:
    """The next step towards `spec`; a server without one must go."""
    if spec is None or spec.power == "absent":
        return _plan_removal(seen)
    for operation in spec.operations:
        if operation.id not in seen.finished:
            return Operate(operation)
    if spec.power == "stopped":
        return _plan_stop(seen) or _plan_leftovers(spec, seen, ports_wanted=False)
    if rests(spec, seen.guest):
        return _plan_leftovers(spec, seen, ports_wanted=False)
    return _plan_power(spec, seen.guest) or _plan_devices(spec, seen) or _plan_leftovers(spec, seen)


def rests(spec: ServerSpec, guest: ObservedServer | None) -> bool:
    """Whether the guest shut itself down and nobody has wanted anything of it since: then it is not started again."""
    return (
        guest is not None
        and guest.power == "stopped"
        and guest.shut_itself_down
        and guest.generation >= spec.generation
    )


def _plan_removal(seen: Seen) -> Action | None:
    if seen.guest is not None:
        return RemoveGuest()
    if seen.ports:
        return RemovePorts(seen.ports)
    return RemoveDisks() if seen.disks else None


def _plan_stop(seen: Seen) -> Action | None:
    power = seen.guest.power if seen.guest else "stopped"
    return None if power == "stopped" else Power("stopped")


def _plan_power(spec: ServerSpec, guest: ObservedServer | None) -> Action | None:
    power = guest.power if guest else "stopped"
    if spec.power == power:
        return None
    if power in ("stopped", "crashed") or (power == "suspended" and spec.power != "suspended"):
        return Start()
    if spec.power == "running":
        return Start()
    if spec.power == "paused":
        return Power("paused")
    return Power("suspended") if spec.power == "suspended" else None


def _plan_devices(spec: ServerSpec, seen: Seen) -> Action | None:
    """Only a guest that runs is asked to let go of a device; a paused one could not answer."""
    guest = seen.guest
    if guest is None or guest.power not in ("running", "paused"):
        return None
    disks = {disk.name for disk in spec.disks} | ({CONFIG} if spec.config_drive else set())
    ports = {port.id for port in spec.ports}
    if guest.power == "running":
        for name in guest.disks:
            if name not in disks:
                return DetachDisk(name)
        for port_id in guest.ports:
            if port_id not in ports:
                return DetachPort(port_id)
    for disk in spec.disks:
        if disk.name not in guest.disks:
            return AttachDisk(disk)
    for port in spec.ports:
        if port.id not in guest.ports or port.id not in seen.ports:
            return AttachPort(port)
    return None


def _plan_leftovers(spec: ServerSpec, seen: Seen, ports_wanted: bool = True) -> Action | None:
    """Ports and disks that neither the spec nor the guest needs. A stopped server's ports are unplugged, and so shown
    as down. A suspended guest holds no tap: it wakes with a card that leads nowhere if its port was taken away."""
    in_guest = seen.guest
    ports = set(in_guest.ports) if in_guest and in_guest.power != "suspended" else set()
    if ports_wanted:
        ports |= {port.id for port in spec.ports}
    if over := tuple(port_id for port_id in seen.ports if port_id not in ports):
        return RemovePorts(over)
    disks = {disk.name for disk in spec.disks} | ({CONFIG} if spec.config_drive else set())
    disks |= set(in_guest.disks) if in_guest else set()
    return next((RemoveDisk(name) for name in seen.disks if name not in disks), None)
