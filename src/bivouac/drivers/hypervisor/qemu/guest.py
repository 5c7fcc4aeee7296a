"""One guest: its process, its QMP link and what is known of it without asking.

    (nothing) --start--> running <--> paused --suspend--> suspended --start--> running
                            |  guest shuts itself down          process dies unasked
                            v                                             v
                         stopped                                       crashed

What the guest does by itself arrives as events, so looking costs nothing. QEMU is told to stay when the guest shuts
down (`-no-shutdown`), because then even an agent that was away knows the difference between a guest that
shut itself down and a process that died.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bivouac.core.crash import side_effect
from bivouac.core.run import CommandError, Limits, spawn, start_time
from bivouac.drivers.hypervisor import DriverError, ObservedServer
from bivouac.drivers.hypervisor.guest_user import give, guest_user
from bivouac.hostspec.server import ObservedPower

from .faults import in_users_words
from .machine import Inherited, Machine, command_line, device_id
from .monitor import Monitor, MonitorClosed, MonitorError, listen_unix
from .protocol import Event
from .state import Ended, boot_id, is_alive, load, save
from .tap import open_tap

log = logging.getLogger(__name__)

QUIT_TIMEOUT_S = 5.0
RESUME_TIMEOUT_S = 120.0
SOCKETS = ("monitor", "serial", "guest-agent")
_PAUSED = frozenset({"paused", "postmigrate", "save-vm", "finish-migrate", "prelaunch", "io-error"})


class Guest:
    """A guest and its directory. Verbs hold `lock`; `on_change` is called when it changes by itself."""

    def __init__(self, folder: Path, binary: str, on_change: Callable[[str], None]):
        self.id = folder.name
        self.folder = folder
        self.work = folder / "run"
        self.lock = asyncio.Lock()
        self.state = load(folder)
        self.monitor = Monitor(self._take_event)
        self.run_state = ""
        """QEMU's RunState, empty without a process."""
        self.reason = ""
        self.gone: asyncio.Event = asyncio.Event()
        """Set while there is no process."""
        self.gone.set()
        self._binary = binary
        self._on_change = on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._tasks: set[asyncio.Task[None]] = set()

    # --- looking

    @property
    def alive(self) -> bool:
        return not self.gone.is_set()

    def power(self) -> ObservedPower:
        if self.alive:
            if self.state.ended == "shutdown" or self.run_state == "shutdown":
                return "stopped"
            if self.run_state in ("internal-error", "guest-panicked"):
                return "crashed"
            return "paused" if self.run_state in _PAUSED else "running"
        if self.state.ended == "suspended":
            return "suspended"
        if self.state.ended or not self.state.pid:
            return "stopped"
        return "crashed"

    def observe(self) -> ObservedServer:
        machine = self.state.machine
        there = machine if machine is not None and self.power() not in ("stopped", "crashed") else None
        return ObservedServer(
            id=self.id,
            power=self.power(),
            ports=tuple(placed.port.id for placed in there.ports) if there else (),
            disks=tuple(placed.disk.name for placed in there.disks) if there else (),
            reason=self.reason,
            generation=self.state.generation,
            shut_itself_down=self.state.ended == "shutdown",
        )

    def record(self, **changes: Any) -> None:
        """Change the record, on disk first."""
        state = msgspec.structs.replace(self.state, **changes)
        save(self.folder, state)
        self.state = state

    # --- beginning

    async def adopt(self, orphan_pid: int | None) -> None:
        """Find the process of an earlier agent again, if it still runs."""
        now = boot_id()
        if not is_alive(self.state, now):
            if orphan_pid is None or orphan_pid == self.state.pid:
                return
            self.record(pid=orphan_pid, start_time=start_time(orphan_pid) or 0, boot_id=now, ended="")
        self._watch(self.state.pid)
        if not self.alive:
            return
        try:
            await self.monitor.connect(self.folder / "monitor", 10.0)
            await self._look_again()
        except (OSError, MonitorError) as error:
            log.warning("guest does not answer, ending it", extra={"server_id": self.id, "error": str(error)})
            await self.kill()

    async def _look_again(self) -> None:
        """Bring the record in line with the process after a time of not watching."""
        self.run_state = (await self.monitor.execute("query-status"))["status"]
        there = {item["name"] for item in await self.monitor.execute("qom-list", path="/machine/peripheral")}
        machine = self.state.machine
        if machine is not None:
            disks = tuple(placed for placed in machine.disks if device_id("disk", placed.disk.name) in there)
            ports = tuple(placed for placed in machine.ports if device_id("port", placed.port.id) in there)
            machine = msgspec.structs.replace(machine, disks=disks, ports=ports)
        ended = self.state.ended if self.state.ended == "shutdown" else ""
        if (machine, ended) != (self.state.machine, self.state.ended):
            self.record(machine=machine, ended=ended)
        if self.run_state == "shutdown":
            self._take_event(Event("SHUTDOWN", {"guest": True}))

    async def start(self, machine: Machine, taps: dict[str, str], generation: int, memory: Path | None = None) -> None:
        """Start QEMU, from saved memory if given, and return when the guest runs. Raises DriverError."""
        side_effect("guest directory")
        await asyncio.to_thread(self._make_folder)
        ended: Ended = "" if memory is None else "suspended"
        self.record(machine=machine, generation=generation, pid=0, start_time=0, ended=ended)
        self.reason = ""
        try:
            await self._spawn(machine, taps, memory)
            await self.monitor.connect(self.folder / "monitor")
            self.run_state = (await self.monitor.execute("query-status"))["status"]
            if memory is not None:
                await self._wait_loaded()
                # from here on the disks move on, and the saved memory may never be used again
                self.record(ended="")
                await self.resume()
                memory.unlink(missing_ok=True)
        except (OSError, MonitorError) as error:
            raise await self._start_failed(error) from error
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def resume(self) -> None:
        """Let a paused guest run. Raises MonitorError."""
        side_effect("resume guest")
        await self.monitor.execute("cont")
        self.run_state = "running"
        self.reason = ""

    def _make_folder(self) -> None:
        user = guest_user(self.id)
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.work.mkdir(mode=0o700, exist_ok=True)
        give(self.work, user)
        console = os.open(self.work / "console.log", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.close(console)
        give(self.work / "console.log", user)

    async def _spawn(self, machine: Machine, taps: dict[str, str], memory: Path | None) -> None:
        opened: list[int] = []
        listeners = []
        try:
            for name in SOCKETS:
                listeners.append(listen_unix(self.folder / name))
            queues = {}
            for placed in machine.ports:
                if placed.port.id in taps:
                    queues[placed.port.id] = await asyncio.to_thread(open_tap, taps[placed.port.id])
                    opened.append(queues[placed.port.id])
            saved = -1
            if memory is not None:
                saved = os.open(memory, os.O_RDONLY | os.O_CLOEXEC)
                opened.append(saved)
            monitor, serial, agent = (listener.fileno() for listener in listeners)
            command = command_line(machine, Inherited(monitor, serial, agent, queues, saved), self._binary)
            side_effect("start qemu")
            fds = [monitor, serial, agent, *opened]
            process = await asyncio.to_thread(self._run, command, fds, machine.accelerator)
            self._process = process
            side_effect("record the process")
            self.record(pid=process.pid, start_time=start_time(process.pid) or 0, boot_id=boot_id())
            self._watch(process.pid)
        except OSError as error:
            raise DriverError(in_users_words(str(error), "The server could not be started."), str(error)) from error
        except CommandError as error:
            known = {126: "QEMU cannot be executed on the host.", 127: "QEMU is not installed on the host."}
            raise DriverError(known.get(error.status or 0, "The server could not be started."), str(error)) from error
        finally:
            for listener in listeners:
                listener.close()
            for fd in opened:
                os.close(fd)

    def _run(self, command: list[str], fds: list[int], accelerator: str) -> subprocess.Popen[bytes]:
        user = guest_user(self.id)
        group = os.stat("/dev/kvm").st_gid if accelerator == "kvm" else user
        output = self.folder / "qemu.log"
        output.unlink(missing_ok=True)
        return spawn(command, log=output, limits=Limits(user=(user, group)), pass_fds=fds, cwd=self.work)

    async def _wait_loaded(self) -> None:
        deadline = asyncio.get_running_loop().time() + RESUME_TIMEOUT_S
        while self.run_state == "inmigrate":
            if asyncio.get_running_loop().time() > deadline:
                raise MonitorError("saved memory was not loaded in time")
            await asyncio.sleep(0.02)
            self.run_state = (await self.monitor.execute("query-status"))["status"]

    async def _start_failed(self, error: Exception) -> DriverError:
        await self.kill()
        detail = self._qemu_log() or str(error)
        if self.state.ended != "suspended":
            self.record(ended="failed")
        return DriverError(in_users_words(detail, "The server could not be started."), detail)

    def _qemu_log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "qemu.log").read_text(errors="replace")[-2000:].strip()
        return ""

    # --- ending

    async def end(self, ended: Ended) -> None:
        """Let QEMU close its files and go; past a few seconds, kill it.

        The record comes first, so that nobody takes the end for a crash; a process that is found alive disproves it.
        """
        if self.state.ended != ended:
            self.record(ended=ended)
        self.reason = ""
        if self.alive:
            side_effect("end qemu")
            with contextlib.suppress(MonitorError):
                await self.monitor.execute("quit", timeout_s=QUIT_TIMEOUT_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIT_TIMEOUT_S):
                    await self.gone.wait()
            await self.kill()

    async def kill(self) -> None:
        """End the process at once, and wait until it is gone."""
        if self.alive:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await self.gone.wait()

    def let_go(self) -> None:
        """Stop watching; the guest runs on."""
        self.monitor.close()
        self._unwatch()
        for task in self._tasks:
            task.cancel()

    # --- what happens by itself

    def _watch(self, pid: int) -> None:
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            return
        if self.state.start_time and start_time(pid) not in (self.state.start_time, None):
            os.close(self._pidfd)
            self._pidfd = -1
            return
        self.gone.clear()
        asyncio.get_running_loop().add_reader(self._pidfd, self._process_ended)

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _process_ended(self) -> None:
        self._unwatch()
        status = self._process.wait() if self._process is not None else None
        self._process = None
        self.run_state = ""
        self.monitor.close()
        self.gone.set()
        if not self.state.ended:
            how = f" by signal {-status}" if status is not None and status < 0 else ""
            self.reason = f"The virtual machine's process ended unexpectedly{how}."
            detail = self._qemu_log()
            log.warning("guest died", extra={"server_id": self.id, "status": status, "qemu": detail})
        self._on_change(self.id)

    def _take_event(self, event: Event) -> None:
        before = self.power()
        if event.name == "RESUME":
            self.run_state = "running"
        elif event.name == "STOP" and self.run_state == "running":
            self.run_state = "paused"
        elif event.name == "SHUTDOWN":
            self.run_state = "shutdown"
            if event.data.get("guest"):
                task = asyncio.create_task(self._guest_shut_down())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif event.name == "RESET":
            self.run_state = "running" if self.run_state == "shutdown" else self.run_state
        elif event.name == "GUEST_PANICKED":
            self.run_state = "guest-panicked"
            self.reason = "The guest's kernel panicked."
        elif event.name == "BLOCK_IO_ERROR" and event.data.get("action") == "stop":
            self.run_state = "io-error"
            full = event.data.get("nospace")
            self.reason = "The host's disk is full." if full else "A disk of the server failed."
        if self.power() != before:
            self._on_change(self.id)

    async def _guest_shut_down(self) -> None:
        """The guest switched itself off: free its memory, unless a verb (stop, reboot) is waiting for just that."""
        async with self.lock:
            if self.alive and self.run_state == "shutdown":
                with contextlib.suppress(MonitorClosed):
                    self.record(ended="shutdown")
                    await self.end("shutdown")
                self._on_change(self.id)
