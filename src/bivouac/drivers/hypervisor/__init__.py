"""Hypervisor drivers: `qemu` (real) and `sim` (for scale, with failure knobs). Both pass the same contract tests.

Every verb is idempotent: `ensure_` makes if absent, `remove_` takes away if present, `observe_` only looks. A driver
keeps what it needs to find its guests again in a directory of its own, so that a new process adopts what runs.
Drivers know neither API nor database; they get frozen specs and finished paths.
"""

from typing import Any, Literal, Protocol

from msgspec import Struct

from bivouac.hostspec.link import HostFacts
from bivouac.hostspec.server import ObservedPower, PortSpec, ServerSpec


class DriverError(Exception):
    """A driver could not do as asked. `public` may be shown to the server's owner; str(error) is for the log."""

    def __init__(self, public: str, detail: str = ""):
        super().__init__(detail or public)
        self.public = public


class AttachedDisk(Struct, frozen=True):
    """A disk that is ready to be given to a guest: a file and its format, never to be probed."""

    name: str
    path: str
    format: Literal["raw", "qcow2"]
    bus: Literal["virtio", "scsi", "ide", "sata", "usb"] = "virtio"
    serial: str = ""
    boot_index: int | None = None
    read_only: bool = False
    cdrom: bool = False


class GuestDevices(Struct, frozen=True):
    """What the other drivers made ready for a guest: disks on disk, taps plugged (port id -> tap device name),
    kernel and ramdisk files for a direct boot."""

    disks: tuple[AttachedDisk, ...]
    taps: dict[str, str]
    kernel: str = ""
    ramdisk: str = ""


class ObservedServer(Struct, frozen=True):
    """A guest as it is now."""

    id: str
    power: ObservedPower
    ports: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    reason: str = ""
    """Why a `crashed` guest ended, as far as is known."""
    generation: int = 0
    """Of the spec that the guest was last started for."""
    shut_itself_down: bool = False
    """`stopped` by its own user, from inside: nobody should start it again before it is wanted anew."""


class Hypervisor(Protocol):
    async def facts(self) -> HostFacts:
        """What this host offers, accelerator proven by a probe (cached per boot id)."""
        ...

    async def observe_servers(self) -> dict[str, ObservedServer]:
        """Every guest this driver has made and not removed, running or not."""
        ...

    async def ensure_running(self, spec: ServerSpec, devices: GuestDevices) -> None:
        """Start the guest, or wake it from paused/suspended; nothing if it runs. Raises DriverError."""
        ...

    async def ensure_stopped(self, server_id: str, timeout_s: float) -> None:
        """Ask the guest to shut down (ACPI) and cut the power after `timeout_s` (0: at once)."""
        ...

    async def ensure_paused(self, server_id: str) -> None: ...

    async def ensure_suspended(self, server_id: str) -> None:
        """Save the guest's memory to a file and end its process."""
        ...

    async def reboot(self, server_id: str, hard: bool, timeout_s: float) -> None:
        """Soft: ACPI or guest agent; on hard, or when soft does not end in time: reset. The console log goes on."""
        ...

    async def remove_server(self, server_id: str) -> None:
        """End the guest and forget it, with its directory."""
        ...

    async def ensure_disk_attached(self, server_id: str, disk: AttachedDisk) -> None: ...

    async def ensure_disk_detached(self, server_id: str, name: str) -> None: ...

    async def ensure_port_attached(self, server_id: str, port: PortSpec, tap: str) -> None: ...

    async def ensure_port_detached(self, server_id: str, port_id: str) -> None: ...

    async def console_log(self, server_id: str, max_bytes: int) -> bytes:
        """The last `max_bytes` of the serial console, as written by the guest."""
        ...

    async def console_socket(self, server_id: str, console: Literal["vnc", "serial"]) -> str:
        """Path of the Unix socket on which the running guest's console speaks RFB or bytes. Raises DriverError."""
        ...

    async def diagnostics(self, server_id: str) -> dict[str, Any]: ...

    async def screenshot(self, server_id: str) -> bytes: ...

    async def snapshot_disk(self, server_id: str, name: str, target: str) -> None:
        """A crash-consistent copy of a disk, as a self-contained qcow2 at `target`, from a running or stopped guest."""
        ...

    async def set_password(self, server_id: str, user: str, password: str) -> None: ...

    async def inject_nmi(self, server_id: str) -> None: ...
