"""A hypervisor in memory, for fleets of thousands of hosts in one process: no thread, no file, no process.

It keeps the same promises as the real one (the same contract tests run on both). What it leaves out: nobody lives in
its guests, so consoles say only what the host did, and unplugging is always agreed to.

Failure knobs are fields of `Knobs`, changed at any time and read at each verb:

    fail        verb -> how many times it fails before it works again (-1: always), e.g. {"ensure_running": 2}
    block       verbs that wait until the set no longer holds them
    crash_after seconds from a start to the guest's sudden end; 0: never
    start_s     seconds a start takes
    ignores_power_button   a clean shutdown runs into its time limit
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bivouac.core.crash import side_effect
from bivouac.drivers.hypervisor import AttachedDisk, DriverError, GuestDevices, ObservedServer
from bivouac.hostspec.link import HostFacts
from bivouac.hostspec.server import PortSpec, ServerSpec

BLOCK_POLL_S = 0.01


class Knobs(Struct):
    """See the module's text."""

    fail: dict[str, int] = {}
    block: set[str] = set()
    crash_after: float = 0.0
    start_s: float = 0.0
    ignores_power_button: bool = False


class SimHypervisor:
    """See `Hypervisor`. The guests outlive the driver if `guests` is handed on to the next one."""

    def __init__(
        self,
        facts: HostFacts,
        on_change: Callable[[str], None] = lambda server_id: None,
        knobs: Knobs | None = None,
        guests: dict[str, ObservedServer] | None = None,
    ):
        self.knobs = knobs or Knobs()
        self.guests: dict[str, ObservedServer] = {} if guests is None else guests
        self._facts = facts
        self._on_change = on_change
        self._console: dict[str, list[str]] = {}

    async def start(self) -> None:
        """Nothing to adopt: what runs is in `guests`."""

    async def stop(self) -> None:
        """Guests go on."""

    async def facts(self) -> HostFacts:
        return self._facts

    async def observe_servers(self) -> dict[str, ObservedServer]:
        return dict(self.guests)

    async def ensure_running(self, spec: ServerSpec, devices: GuestDevices) -> None:
        await self._knob("ensure_running")
        guest = self.guests.get(spec.id)
        if guest is not None and guest.power in ("running", "paused", "suspended"):
            if guest.power != "running":
                side_effect("wake guest")
            self._set(spec.id, power="running", generation=spec.generation)
            return
        missing = [port.id for port in spec.ports if port.id not in devices.taps]
        if missing:
            raise DriverError("A network card of the server is not ready on the host.", ", ".join(missing))
        if self.knobs.start_s:
            await asyncio.sleep(self.knobs.start_s)
        side_effect("start guest")
        self.guests[spec.id] = ObservedServer(
            spec.id,
            "running",
            ports=tuple(port.id for port in spec.ports),
            disks=tuple(disk.name for disk in devices.disks),
            generation=spec.generation,
        )
        self._say(spec.id, "started")
        if self.knobs.crash_after:
            asyncio.get_running_loop().call_later(self.knobs.crash_after, self.crash, spec.id)

    async def ensure_stopped(self, server_id: str, timeout_s: float) -> None:
        await self._knob("ensure_stopped")
        guest = self.guests.get(server_id)
        if guest is None:
            return
        if guest.power == "running" and timeout_s > 0 and self.knobs.ignores_power_button:
            await asyncio.sleep(timeout_s)
        if guest.power != "stopped" or guest.shut_itself_down:
            side_effect("stop guest")
            self._set(server_id, power="stopped", ports=(), disks=(), shut_itself_down=False, reason="")
            self._say(server_id, "stopped")

    async def ensure_paused(self, server_id: str) -> None:
        await self._knob("ensure_paused")
        if self._running(server_id).power == "running":
            side_effect("pause guest")
            self._set(server_id, power="paused")

    async def ensure_suspended(self, server_id: str) -> None:
        await self._knob("ensure_suspended")
        guest = self.guests.get(server_id)
        if guest is not None and guest.power == "suspended":
            return
        self._running(server_id)
        side_effect("suspend guest")
        self._set(server_id, power="suspended")

    async def reboot(self, server_id: str, hard: bool, timeout_s: float) -> None:
        await self._knob("reboot")
        self._running(server_id)
        side_effect("reset guest")
        self._set(server_id, power="running")
        self._say(server_id, "rebooted")

    async def remove_server(self, server_id: str) -> None:
        await self._knob("remove_server")
        if server_id in self.guests:
            side_effect("remove guest")
            del self.guests[server_id]
            self._console.pop(server_id, None)

    async def ensure_disk_attached(self, server_id: str, disk: AttachedDisk) -> None:
        await self._knob("ensure_disk_attached")
        guest = self._active(server_id)
        if guest is not None and disk.name not in guest.disks:
            side_effect("plug disk")
            self._set(server_id, disks=(*guest.disks, disk.name))

    async def ensure_disk_detached(self, server_id: str, name: str) -> None:
        await self._knob("ensure_disk_detached")
        guest = self._active(server_id)
        if guest is not None and name in guest.disks:
            side_effect("unplug disk")
            self._set(server_id, disks=tuple(disk for disk in guest.disks if disk != name))

    async def ensure_port_attached(self, server_id: str, port: PortSpec, tap: str) -> None:
        await self._knob("ensure_port_attached")
        guest = self._active(server_id)
        if guest is not None and port.id not in guest.ports:
            side_effect("plug port")
            self._set(server_id, ports=(*guest.ports, port.id))

    async def ensure_port_detached(self, server_id: str, port_id: str) -> None:
        await self._knob("ensure_port_detached")
        guest = self._active(server_id)
        if guest is not None and port_id in guest.ports:
            side_effect("unplug port")
            self._set(server_id, ports=tuple(port for port in guest.ports if port != port_id))

    async def console_log(self, server_id: str, max_bytes: int) -> bytes:
        return "".join(self._console.get(server_id, ())).encode()[-max_bytes:]

    async def console_socket(self, server_id: str, console: Literal["vnc", "serial"]) -> str:
        self._running(server_id)
        raise DriverError("A simulated server has no console.")

    async def diagnostics(self, server_id: str) -> dict[str, Any]:
        guest = self._running(server_id)
        return {
            "state": guest.power,
            "hypervisor": "sim",
            "hypervisor_os": "linux",
            "uptime": 0,
            "config_drive": "config" in guest.disks,
            "num_cpus": 0,
            "num_disks": len(guest.disks),
            "num_nics": len(guest.ports),
            "cpu_details": [],
            "disk_details": [],
            "nic_details": [],
            "memory_details": {"maximum": None, "used": None},
        }

    async def screenshot(self, server_id: str) -> bytes:
        self._running(server_id)
        raise DriverError("A simulated server has no screen.")

    async def snapshot_disk(self, server_id: str, name: str, target: str) -> None:
        await self._knob("snapshot_disk")
        if server_id not in self.guests:
            raise DriverError("The server has no disk on this host.", server_id)
        side_effect("snapshot file")
        with open(target, "wb") as file:  # noqa: ASYNC230 - a few bytes
            file.write(b"simulated snapshot of " + name.encode())

    async def set_password(self, server_id: str, user: str, password: str) -> None:
        await self._knob("set_password")
        self._running(server_id)
        side_effect("set password")

    async def inject_nmi(self, server_id: str) -> None:
        await self._knob("inject_nmi")
        self._running(server_id)
        side_effect("nmi")
        self._say(server_id, "NMI received")

    # --- what guests do by themselves

    def crash(self, server_id: str) -> None:
        """The guest's process dies."""
        if self._active(server_id) is not None:
            reason = "The virtual machine's process ended unexpectedly."
            self._set(server_id, power="crashed", ports=(), disks=(), reason=reason)
            self._on_change(server_id)

    def shut_itself_down(self, server_id: str) -> None:
        """The guest's user switches it off from inside."""
        if self._active(server_id) is not None:
            self._set(server_id, power="stopped", ports=(), disks=(), shut_itself_down=True)
            self._on_change(server_id)

    # --- inside

    async def _knob(self, verb: str) -> None:
        while verb in self.knobs.block:
            await asyncio.sleep(BLOCK_POLL_S)
        left = self.knobs.fail.get(verb, 0)
        if left:
            self.knobs.fail[verb] = left - 1 if left > 0 else left
            raise DriverError("The simulated host failed as it was told to.", verb)

    def _active(self, server_id: str) -> ObservedServer | None:
        guest = self.guests.get(server_id)
        return guest if guest is not None and guest.power in ("running", "paused") else None

    def _running(self, server_id: str) -> ObservedServer:
        guest = self._active(server_id)
        if guest is None:
            raise DriverError("The server is not running.", server_id)
        return guest

    def _set(self, server_id: str, **changes: Any) -> None:
        self.guests[server_id] = msgspec.structs.replace(self.guests[server_id], **changes)

    def _say(self, server_id: str, text: str) -> None:
        self._console.setdefault(server_id, []).append(f"[host] {text}\n")
