"""The hypervisor driver's verbs over all guests of this host."""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

from bivouac.core.crash import side_effect
from bivouac.drivers.hypervisor import AttachedDisk, DriverError, GuestDevices, ObservedServer
from bivouac.drivers.hypervisor.guest_user import give, guest_user
from bivouac.hostspec.link import HostFacts
from bivouac.hostspec.server import PortSpec, ServerSpec

from . import diagnostics as counters
from . import guest_agent, hotplug, snapshot
from .accelerator import Verdict, cached_verdict
from .facts import host_facts
from .faults import in_users_words
from .guest import Guest
from .machine import Machine, place
from .monitor import MonitorError
from .state import processes_below

log = logging.getLogger(__name__)

NOT_RUNNING = "The server is not running."
CONSOLE_LIMIT_BYTES = 4 << 20
CONSOLE_KEPT_BYTES = 1 << 20
TIDY_INTERVAL_S = 30.0
BUTTON_INTERVAL_S = 3.0
FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)
"""Where Debian, Ubuntu and Fedora put UEFI firmware: code and the template of its variables."""


class QemuHypervisor:
    """See `Hypervisor`. `on_change(server_id)` is called when a guest changes by itself."""

    def __init__(
        self,
        folder: Path,
        on_change: Callable[[str], None] = lambda server_id: None,
        binary: str = "qemu-system-x86_64",
        verdict: Verdict | None = None,
    ):
        self._folder = folder
        self._guests_folder = folder / "guests"
        self._on_change = on_change
        self._binary = binary
        self._verdict = verdict
        self._guests: dict[str, Guest] = {}
        self._tidying: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    # --- the driver itself

    async def start(self) -> None:
        """Adopt the guests that run. Everything else may be called only after this."""
        self._guests_folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        orphans = await asyncio.to_thread(processes_below, self._guests_folder)
        for entry in sorted(self._guests_folder.iterdir()):
            if entry.is_dir():
                self._guests[entry.name] = Guest(entry, self._binary, self._on_change)
        await asyncio.gather(*(guest.adopt(orphans.get(guest.id)) for guest in self._guests.values()))
        self._tidying = asyncio.create_task(self._tidy())

    async def stop(self) -> None:
        """Stop watching; guests run on."""
        if self._tidying is not None:
            self._tidying.cancel()
        for guest in self._guests.values():
            guest.let_go()

    async def verdict(self) -> Verdict:
        """KVM or TCG, proven once per boot of the host."""
        async with self._starting:
            if self._verdict is None:
                self._verdict = await asyncio.to_thread(
                    cached_verdict, self._folder / "accelerator.json", self._binary
                )
        return self._verdict

    async def facts(self) -> HostFacts:
        verdict = await self.verdict()
        return await asyncio.to_thread(host_facts, self._folder, self._binary, verdict.accelerator)

    # --- power

    async def observe_servers(self) -> dict[str, ObservedServer]:
        return {guest.id: guest.observe() for guest in self._guests.values()}

    async def ensure_running(self, spec: ServerSpec, devices: GuestDevices) -> None:
        guest = self._guests.get(spec.id)
        if guest is None:
            guest = self._guests[spec.id] = Guest(self._guests_folder / spec.id, self._binary, self._on_change)
        async with guest.lock, _in_users_words("The server could not be started."):
            if guest.alive and guest.power() in ("stopped", "crashed"):
                await guest.end("stopped")
            if guest.power() == "running":
                if guest.state.generation != spec.generation:
                    guest.record(generation=spec.generation)
                return
            if guest.power() == "paused":
                await guest.resume()
                (guest.folder / "memory").unlink(missing_ok=True)
                guest.record(generation=spec.generation)
                return
            memory = guest.folder / "memory"
            if guest.power() == "suspended" and memory.exists() and guest.state.machine is not None:
                await guest.start(guest.state.machine, devices.taps, spec.generation, memory)
                return
            machine = await self._machine(spec, devices)
            await guest.start(machine, devices.taps, spec.generation)

    async def _machine(self, spec: ServerSpec, devices: GuestDevices) -> Machine:
        firmware = ""
        if spec.firmware == "uefi":
            firmware = await asyncio.to_thread(self._ensure_firmware, spec.id)
        return Machine(
            id=spec.id,
            vcpus=spec.vcpus,
            memory_mib=spec.memory_mib,
            accelerator=(await self.verdict()).accelerator,
            kernel=devices.kernel,
            ramdisk=devices.ramdisk,
            kernel_command_line=spec.kernel_command_line,
            firmware_code=firmware,
            **place(devices.disks, (port for port in spec.ports if port.id in devices.taps)),
        )

    def _ensure_firmware(self, server_id: str) -> str:
        for code, template in FIRMWARE:
            if os.path.exists(code):
                work = self._guests_folder / server_id / "run"
                work.mkdir(mode=0o700, parents=True, exist_ok=True)
                work.parent.chmod(0o711)
                if not (work / "uefi-variables").exists():
                    shutil.copyfile(template, work / "uefi-variables.new")
                    give(work / "uefi-variables.new", guest_user(server_id))
                    (work / "uefi-variables.new").rename(work / "uefi-variables")
                return code
        raise DriverError("The host has no UEFI firmware.", "install ovmf")

    async def ensure_stopped(self, server_id: str, timeout_s: float) -> None:
        guest = self._guests.get(server_id)
        if guest is None:
            return
        async with guest.lock, _in_users_words("The server could not be stopped."):
            if guest.alive and timeout_s > 0 and guest.power() == "running":
                await self._ask_to_shut_down(guest, timeout_s)
            await guest.end("stopped")
            (guest.folder / "memory").unlink(missing_ok=True)

    async def _ask_to_shut_down(self, guest: Guest, timeout_s: float) -> bool:
        """Press the power button, and wait. A guest that still boots ignores it, so it is pressed again."""
        try:
            shut_down = guest.monitor.expect(lambda event: event.name == "SHUTDOWN")
            loop = asyncio.get_running_loop()
            deadline = loop.time() + timeout_s
            while (left := deadline - loop.time()) > 0 and guest.run_state != "shutdown":
                side_effect("power button")
                await guest.monitor.execute("system_powerdown")
                await asyncio.wait((shut_down,), timeout=min(left, BUTTON_INTERVAL_S))
                if shut_down.done():
                    break
            shut_down.cancel()
        except MonitorError as error:
            log.info("cannot press the power button", extra={"server_id": guest.id, "error": str(error)})
        return guest.run_state == "shutdown"

    async def ensure_paused(self, server_id: str) -> None:
        guest = self._running(server_id)
        async with guest.lock, _in_users_words("The server could not be paused."):
            if guest.power() == "running":
                side_effect("pause guest")
                await guest.monitor.execute("stop")
                guest.run_state = "paused"

    async def ensure_suspended(self, server_id: str) -> None:
        guest = self._guests.get(server_id)
        if guest is None:
            raise DriverError(NOT_RUNNING, server_id)
        async with guest.lock, _in_users_words("The server could not be suspended."):
            if guest.power() == "suspended" and not guest.alive:
                return
            if not guest.alive:
                raise DriverError(NOT_RUNNING, server_id)
            if guest.state.ended != "suspended":
                await snapshot.save_memory(guest)
            await guest.end("suspended")

    async def reboot(self, server_id: str, hard: bool, timeout_s: float) -> None:
        guest = self._running(server_id)
        async with guest.lock, _in_users_words("The server could not be rebooted."):
            if not hard and guest.power() == "running":
                await self._ask_to_shut_down(guest, timeout_s)
            side_effect("reset guest")
            await guest.monitor.execute("system_reset")
            await guest.monitor.execute("cont")
            guest.run_state = "running"
            guest.reason = ""

    async def remove_server(self, server_id: str) -> None:
        guest = self._guests.get(server_id)
        if guest is None:
            return
        async with guest.lock:
            if guest.alive:
                side_effect("kill qemu")
                if not guest.state.ended:
                    guest.record(ended="stopped")
                await guest.kill()
            side_effect("remove guest directory")
            await asyncio.to_thread(shutil.rmtree, guest.folder, True)
            self._guests.pop(server_id, None)

    def _running(self, server_id: str) -> Guest:
        guest = self._guests.get(server_id)
        if guest is None or not guest.alive or guest.power() == "stopped":
            raise DriverError(NOT_RUNNING, server_id)
        return guest

    # --- devices

    async def ensure_disk_attached(self, server_id: str, disk: AttachedDisk) -> None:
        guest = self._guests.get(server_id)
        if guest is not None and guest.alive:
            async with guest.lock:
                await hotplug.attach_disk(guest, disk)

    async def ensure_disk_detached(self, server_id: str, name: str) -> None:
        guest = self._guests.get(server_id)
        if guest is not None and guest.alive:
            async with guest.lock:
                await hotplug.detach_disk(guest, name)

    async def ensure_port_attached(self, server_id: str, port: PortSpec, tap: str) -> None:
        guest = self._guests.get(server_id)
        if guest is not None and guest.alive:
            async with guest.lock:
                await hotplug.attach_port(guest, port, tap)

    async def ensure_port_detached(self, server_id: str, port_id: str) -> None:
        guest = self._guests.get(server_id)
        if guest is not None and guest.alive:
            async with guest.lock:
                await hotplug.detach_port(guest, port_id)

    # --- asking

    async def console_log(self, server_id: str, max_bytes: int) -> bytes:
        guest = self._guests.get(server_id)
        if guest is None:
            return b""
        return await asyncio.to_thread(_tail, guest.work / "console.log", max_bytes)

    async def console_socket(self, server_id: str, console: Literal["vnc", "serial"]) -> str:
        guest = self._running(server_id)
        return str(guest.work / "vnc" if console == "vnc" else guest.folder / "serial")

    async def diagnostics(self, server_id: str) -> dict[str, Any]:
        guest = self._running(server_id)
        async with _in_users_words("The server does not answer."):
            return await counters.diagnostics(guest)

    async def screenshot(self, server_id: str) -> bytes:
        guest = self._running(server_id)
        async with guest.lock, _in_users_words("The screen could not be read."):
            picture = guest.work / "screen.png"
            try:
                await guest.monitor.execute("screendump", filename=picture.name, format="png")
                return await asyncio.to_thread(_tail, picture, 64 << 20)
            finally:
                picture.unlink(missing_ok=True)

    async def snapshot_disk(self, server_id: str, name: str, target: str) -> None:
        guest = self._guests.get(server_id)
        if guest is None:
            raise DriverError("The server has no disk on this host.", server_id)
        async with guest.lock:
            await snapshot.snapshot_disk(guest, name, Path(target))

    async def set_password(self, server_id: str, user: str, password: str) -> None:
        guest = self._running(server_id)
        async with guest.lock:
            side_effect("set password")
            await guest_agent.set_password(guest.folder / "guest-agent", user, password)

    async def inject_nmi(self, server_id: str) -> None:
        guest = self._running(server_id)
        async with _in_users_words("The interrupt could not be delivered."):
            side_effect("nmi")
            await guest.monitor.execute("inject-nmi")

    async def _tidy(self) -> None:
        """Keep console logs small for ever: a guest may write to its serial line as much as it likes."""
        while True:
            await asyncio.sleep(TIDY_INTERVAL_S)
            for guest in list(self._guests.values()):
                if guest.alive:
                    await asyncio.to_thread(_shorten, guest.work / "console.log")


@contextlib.asynccontextmanager
async def _in_users_words(otherwise: str) -> AsyncIterator[None]:
    """Turn what QEMU or the kernel refuses into a DriverError."""
    try:
        yield
    except (MonitorError, OSError) as error:
        raise DriverError(in_users_words(str(error), otherwise), str(error)) from error


def _tail(path: Path, max_bytes: int) -> bytes:
    """The end of a file that a guest may have forged."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with open(file, "rb") as stream:
        size = os.fstat(file).st_size
        stream.seek(max(0, size - max_bytes))
        return stream.read(max_bytes)


def _shorten(path: Path) -> None:
    """Drop the beginning of a long log. QEMU appends, so what it writes meanwhile lands at the new end."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with open(file, "r+b") as stream:
        size = os.fstat(file).st_size
        if size > CONSOLE_LIMIT_BYTES:
            stream.seek(size - CONSOLE_KEPT_BYTES)
            kept = stream.read(CONSOLE_KEPT_BYTES)
            stream.truncate(0)
            stream.seek(0)
            stream.write(kept)
