"""Supervision of daemons that outlive us: adopt, start, watch through a pidfd, restart at once, end.

Open vSwitch's daemons lock and write their own pid files. Whoever finds a pid there, and a process whose command line
names that very pid file, has found the daemon: no other process in any namespace carries that argument.
"""

import asyncio
import logging
import os
import select
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from subprocess import Popen

from msgspec import Struct

from bivouac.core.crash import side_effect
from bivouac.core.ovsdb import connect_unix
from bivouac.core.rotation import keep_below
from bivouac.core.run import spawn
from bivouac.drivers.hypervisor import DriverError

log = logging.getLogger(__name__)
STABLE_S = 5.0
"""A daemon that lived this long is restarted at once; one that dies younger waits, longer each time."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
TERM_S = 5.0
MAX_LOG_BYTES, OLD_LOGS = 4 << 20, 2
"""Some of these daemons write a line for each change they see."""
LOOK_AT_LOGS_S = 60.0
READY_S = 30.0
"""So long a daemon may take until it listens, on a machine that is busy with others."""


class Daemon(Struct, frozen=True):
    """A program to keep running. `command` without its pid file and log options; `ready` is a socket it listens on."""

    name: str
    command: tuple[str, ...]
    ready: Path | None = None


class _Watched:
    """What is known of a daemon's process."""

    def __init__(self, daemon: Daemon):
        self.daemon = daemon
        self.pidfd: int | None = None
        self.process: Popen[bytes] | None = None
        self.started = 0.0
        self.restarts = 0
        self.pause_s = 0.0
        self.state = "not started"


class Supervisor:
    """Keeps a list of daemons alive, in the order given. `restarted` is awaited after one came back."""

    def __init__(
        self,
        run_directory: Path,
        daemons: Sequence[Daemon],
        environment: dict[str, str],
        restarted: Callable[[str], Awaitable[None]] | None = None,
    ):
        self._run = run_directory
        self._environment = environment
        self._restarted = restarted
        self._watched = {daemon.name: _Watched(daemon) for daemon in daemons}
        self._tasks: list[asyncio.Task[None]] = []

    def states(self) -> dict[str, str]:
        """Name -> `running` or why not."""
        return {name: watched.state for name, watched in self._watched.items()}

    def pid(self, name: str) -> int | None:
        """The daemon's process id while it runs."""
        return self._running_pid(self._watched[name].daemon)

    async def start(self, name: str) -> bool:
        """Adopt or start one daemon and wait until it listens; whether it was started anew. Raises DriverError."""
        watched = self._watched[name]
        fresh = await asyncio.to_thread(self._adopt_or_spawn, watched)
        await self._wait_ready(watched)
        watched.state = "running"
        return fresh

    def watch(self) -> None:
        """From now on restart whatever dies."""
        self._tasks = [asyncio.create_task(self._keep(watched)) for watched in self._watched.values()]
        self._tasks.append(asyncio.create_task(self._bound_logs()))

    async def stop(self) -> None:
        """Stop watching; the daemons go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for watched in self._watched.values():
            if watched.pidfd is not None:
                os.close(watched.pidfd)
                watched.pidfd = None

    async def shutdown(self) -> None:
        """Stop watching and end the daemons, last first."""
        await self.stop()
        for watched in reversed(self._watched.values()):
            await asyncio.to_thread(self._end, watched)
            watched.state = "stopped"

    # --- one daemon ----------------------------------------------------------------------------------------------

    def _pidfile(self, daemon: Daemon) -> Path:
        return self._run / f"{daemon.name}.pid"

    def _running_pid(self, daemon: Daemon) -> int | None:
        pidfile = self._pidfile(daemon)
        try:
            pid = int(pidfile.read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(f"--pidfile={pidfile}") in arguments else None

    def _adopt_or_spawn(self, watched: _Watched) -> bool:
        daemon = watched.daemon
        if watched.pidfd is not None:
            os.close(watched.pidfd)
            watched.pidfd = None
        fresh = False
        pid = self._running_pid(daemon)
        if pid is None:
            side_effect(f"start {daemon.name}")
            if daemon.ready is not None:
                daemon.ready.unlink(missing_ok=True)
            watched.process = spawn(
                [
                    *daemon.command,
                    f"--pidfile={self._pidfile(daemon)}",
                    "--no-chdir",
                    "-vconsole:info",
                    "-vsyslog:off",
                    "-vfile:off",
                ],
                log=self._run / f"{daemon.name}.log",
                env=self._environment,
            )
            pid, fresh = watched.process.pid, True
        try:
            watched.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            watched.pidfd = None
        watched.started = time.monotonic()
        return fresh

    async def _wait_ready(self, watched: _Watched) -> None:
        """Wait until it listens; a daemon that dies before is a DriverError with the end of its log."""
        ready, end = watched.daemon.ready, time.monotonic() + READY_S
        while self._running_pid(watched.daemon) is None or (ready is not None and not _listens(ready)):
            if _ended(watched.pidfd) or time.monotonic() > end:
                watched.state = "ended: " + self._last_words(watched.daemon)
                raise DriverError("The host's network could not be started.", f"{watched.daemon.name} {watched.state}")
            await asyncio.sleep(0.005)

    async def _keep(self, watched: _Watched) -> None:
        while True:
            await _readable(watched.pidfd)
            if watched.process is not None:
                watched.process.poll()
            young = time.monotonic() - watched.started < STABLE_S
            watched.pause_s = min(LAST_PAUSE_S, max(FIRST_PAUSE_S, watched.pause_s * 2)) if young else 0.0
            watched.restarts += 1
            watched.state = f"restarting (time {watched.restarts}): {self._last_words(watched.daemon)}"
            log.error("a network daemon died", extra={"daemon": watched.daemon.name, "state": watched.state})
            await asyncio.sleep(watched.pause_s if watched.restarts > 1 else 0.0)
            try:
                await self.start(watched.daemon.name)
                if self._restarted is not None:
                    await self._restarted(watched.daemon.name)
            except Exception as error:
                watched.state = f"restarting (time {watched.restarts}): {error}"
                log.exception("a network daemon could not be restarted", extra={"daemon": watched.daemon.name})

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.to_thread(self.bound_logs)
            await asyncio.sleep(LOOK_AT_LOGS_S)

    def bound_logs(self) -> None:
        """Keep the daemons' logs below a size."""
        for name in self._watched:
            keep_below(self._run / f"{name}.log", MAX_LOG_BYTES, OLD_LOGS)

    def _last_words(self, daemon: Daemon) -> str:
        try:
            lines = (self._run / f"{daemon.name}.log").read_bytes()[-2000:].decode(errors="replace").splitlines()
        except OSError:
            return "no log"
        return lines[-1][:300] if lines else "it said nothing"

    def _end(self, watched: _Watched) -> None:
        pid = self._running_pid(watched.daemon)
        if pid is None:
            return
        side_effect(f"end {watched.daemon.name}")
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, TERM_S)):
                signal.pidfd_send_signal(pidfd, number)
                if select.select([pidfd], [], [], patience_s)[0]:
                    break
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
        if watched.process is not None:
            watched.process.poll()


def _ended(pidfd: int | None) -> bool:
    return pidfd is None or bool(select.select([pidfd], [], [], 0)[0])


async def _readable(pidfd: int | None) -> None:
    """Return when the process behind the pidfd has ended (at once for None)."""
    if pidfd is None:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)


def _listens(path: Path) -> bool:
    """Whether somebody takes connections there: the file is there a moment before."""
    try:
        connect_unix(path, 1.0).close()
    except OSError:
        return False
    return True
