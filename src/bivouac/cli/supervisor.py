"""The supervisor: starts control, agent and objects, watches them, starts again what dies.

It is a process of its own under `bivouac up` without systemd, and the only one that systemd has to know. It does
nothing else, and opens no socket. Killed without warning it leaves its children at work, and the
next one adopts them by their pid files, so that even this costs no server a packet. What it knows stands in
run/status.json at all times.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pwd
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bivouac.core.rotation import keep_below
from bivouac.core.run import CommandError, Limits, run, spawn
from bivouac.core.settings import SettingsError, load

from .certificates import Renewal
from .layout import USER, Layout
from .processes import Identity, identify, read_pid_file, running, stop, write_pid_file

log = logging.getLogger("bivouac.supervisor")

FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 30.0
STEADY_AFTER_S = 60.0
"""A process that ran this long is not the same failure again: its next end is answered at once."""

PATIENCE_S = 20.0
"""How long a process may take to end when asked."""

HOUSEKEEPING_S = 5.0
MAX_LOG_BYTES = 32 << 20
OLD_LOGS = 3


@dataclass(frozen=True)
class Program:
    """One process to keep running. `user` is empty for root."""

    name: str
    command: tuple[str, ...]
    user: str = ""


@dataclass
class Child:
    """A program with what is known of its process."""

    program: Program
    identity: Identity | None = None
    since: float = 0.0
    restarts: int = 0
    failures: int = 0
    next_start: float = 0.0
    last_end: str = ""
    recorded: bool = True
    """Whether the pid file names the process: not while the disk is full."""
    handle: int = field(default=-1, repr=False)


class AlreadyRunning(Exception):
    """Another supervisor holds this state directory."""


def programs(state: Path, simulated: bool = False, python: str = sys.executable) -> list[Program]:
    """The three processes of a cloud on one machine; without the agent where hosts are simulated."""
    arguments = ("--state", str(state))
    return [
        Program("control", (python, "-m", "bivouac.app", *arguments), USER),
        *([] if simulated else [agent_program(state, python)]),
        Program("objects", (python, "-m", "bivouac.app.objects", *arguments), USER),
    ]


def agent_program(state: Path, python: str = sys.executable) -> Program:
    """The one process of a further host."""
    return Program("agent", (python, "-m", "bivouac.agent", "--state", str(state)))


class Supervisor:
    """Keeps programs running until told to stop."""

    def __init__(self, layout: Layout, wanted: Sequence[Program], renewal: Renewal | None = None) -> None:
        self.layout = layout
        self._renewal = renewal
        self.children = [Child(program) for program in wanted]
        self.started_at = time.time()
        self._stopping = False
        self._poll = select.poll()
        self._lock = layout.lock.open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise AlreadyRunning(f"another supervisor runs the cloud in {layout.state}") from None
        # Children must not keep the lock alive.
        os.set_inheritable(self._lock.fileno(), False)

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT, then end all children."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        # A handler, unlike SIG_IGN, is not inherited: children see the default.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll.register(reader, select.POLLIN)
        me = identify(os.getpid())
        if me:
            write_pid_file(self.layout.pid_file("supervisor"), me)
        for child in self.children:
            self._adopt(child)
        try:
            while not self._stopping:
                self._start_what_is_due()
                for child in self.children:
                    if not child.recorded:
                        self._record(child)
                self._write_status()
                self._wait(reader)
                rotate_logs(self.layout)
                self._renew_certificates()
        finally:
            self._stop_all()

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _wait(self, reader: int) -> None:
        due = [child.next_start for child in self.children if child.identity is None]
        timeout_s = max(0.0, min([HOUSEKEEPING_S, *(moment - time.monotonic() for moment in due)]))
        for descriptor, _ in self._poll.poll(timeout_s * 1000):
            if descriptor == reader:
                with contextlib.suppress(BlockingIOError):
                    os.read(reader, 4096)
        for child in self.children:
            if child.identity is not None:
                self._look_after(child)

    def _adopt(self, child: Child) -> None:
        """Take over what an earlier supervisor started, also if it died before it could write the pid file."""
        identity = read_pid_file(self.layout.pid_file(child.program.name)) or running(child.program.command)
        if identity:
            log.info("adopted %s, pid %d", child.program.name, identity.pid)
            self._watch(child, identity)
            self._record(child)

    def _watch(self, child: Child, identity: Identity) -> None:
        child.identity = identity
        child.since = time.time()
        try:
            child.handle = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return
        self._poll.register(child.handle, select.POLLIN)

    def _start_what_is_due(self) -> None:
        for child in self.children:
            if child.identity is None and child.next_start <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        program = child.program
        log_file = self.layout.log_file(program.name)
        try:
            limits = None
            environment = {"BIVOUAC_STATE": str(self.layout.state)}
            if program.user and os.geteuid() == 0:
                entry = pwd.getpwnam(program.user)
                limits = Limits(user=(entry.pw_uid, entry.pw_gid))
                environment |= {"HOME": str(self.layout.state / program.name), "USER": program.user}
            process = spawn(program.command, log=log_file, limits=limits, env=environment, cwd="/")
        except (CommandError, OSError, KeyError) as error:
            self._failed(child, f"could not be started: {error}")
            return
        identity = identify(process.pid)
        # Popen would complain about a child it did not see end; its end is our business.
        process.returncode = 0
        if identity is None:
            self._failed(child, "ended at once")
            return
        log.info("started %s, pid %d", program.name, identity.pid)
        self._watch(child, identity)
        self._record(child)

    def _record(self, child: Child) -> None:
        """Write the pid file; where that cannot be done now, it is tried again with each round."""
        if child.identity is None:
            return
        try:
            write_pid_file(self.layout.pid_file(child.program.name), child.identity)
        except OSError as error:
            if child.recorded:
                log.error("cannot write the pid file of %s: %s", child.program.name, error)
            child.recorded = False
        else:
            child.recorded = True

    def _look_after(self, child: Child) -> None:
        identity = child.identity
        assert identity is not None
        ended = _reap(identity.pid)
        if ended is None and identity.alive:
            return
        self._forget(child)
        if time.time() - child.since > STEADY_AFTER_S:
            child.failures = 0
        self._failed(child, ended or "ended")

    def _forget(self, child: Child) -> None:
        if child.handle >= 0:
            self._poll.unregister(child.handle)
            os.close(child.handle)
        child.handle = -1
        child.identity = None
        self.layout.pid_file(child.program.name).unlink(missing_ok=True)

    def _failed(self, child: Child, how: str) -> None:
        child.last_end = how
        child.restarts += 1
        delay = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2**child.failures)
        child.failures += 1
        child.next_start = time.monotonic() + delay
        log.warning("%s %s; starting it again in %.1f s", child.program.name, how, delay)

    def _renew_certificates(self) -> None:
        if self._renewal is None or not self._renewal.due():
            return
        try:
            run(self._renewal.command, timeout_s=30)
        except CommandError as error:
            log.error("cannot renew the servers' certificate: %s", error)

    def _stop_all(self) -> None:
        self._write_status()
        running = [child.identity for child in self.children if child.identity]
        for forced in stop(running, PATIENCE_S):
            log.warning("pid %d did not end within %.0f s and was killed", forced.pid, PATIENCE_S)
        for child in self.children:
            if child.identity:
                _reap(child.identity.pid)
                self._forget(child)
        self.layout.status.unlink(missing_ok=True)
        self.layout.pid_file("supervisor").unlink(missing_ok=True)

    def _write_status(self) -> None:
        document = {
            "supervisor": {"pid": os.getpid(), "started_at": self.started_at, "stopping": self._stopping},
            "processes": [
                {
                    "name": child.program.name,
                    "identity": asdict(child.identity) if child.identity else None,
                    "since": child.since,
                    "restarts": child.restarts,
                    "last_end": child.last_end,
                }
                for child in self.children
            ],
        }
        temporary = self.layout.status.with_suffix(".new")
        # A full disk must not stop the supervision.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(document))
            temporary.chmod(0o644)
            temporary.replace(self.layout.status)


def _reap(pid: int) -> str | None:
    """How our child ended; None while it runs, or when it is not ours and so nobody's to tell."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if not done:
        return None
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def rotate_logs(layout: Layout, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Keep the processes' logs below a size."""
    for path in layout.log.glob("*.log"):
        keep_below(path, max_bytes, OLD_LOGS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the process: `python -m bivouac.cli.supervisor STATE`."""
    state = Path((sys.argv[1:] if arguments is None else arguments)[0])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings, layout = load(str(state)), Layout(state)
        if layout.membership.exists():
            Supervisor(layout, [agent_program(state)]).run()
        else:
            wanted = programs(state, settings.drivers == "sim")
            Supervisor(layout, wanted, Renewal(settings) if settings.secure else None).run()
    except (AlreadyRunning, SettingsError) as error:
        log.error("%s", error)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
