"""Processes by pid *and* start time: a pid alone may belong to somebody else by the time it is used."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bivouac.core.run import start_time


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    start_ticks: int

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process has gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Between here and the signal the handle keeps the pid from being taken for another process.
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; True when it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(timeout_s * 1000))
        finally:
            os.close(handle)


def identify(pid: int) -> Identity | None:
    """The identity of a running process."""
    ticks = start_time(pid)
    return None if ticks is None else Identity(pid, ticks)


def write_pid_file(path: Path, identity: Identity) -> None:
    """Store `pid start-ticks`, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(f"{identity.pid} {identity.start_ticks}\n")
    temporary.replace(path)


def read_pid_file(path: Path) -> Identity | None:
    """Who is named there, if that process still runs. A damaged or missing file names nobody."""
    try:
        pid, ticks = path.read_text().split()
        identity = Identity(int(pid), int(ticks))
    except (OSError, ValueError):
        return None
    return identity if identity.alive else None


def stop(processes: Iterable[Identity], patience_s: float) -> list[Identity]:
    """Ask all to end, wait, then end them by force. Returns those that had to be forced."""
    running = [process for process in processes if process.send(signal.SIGTERM)]
    deadline = time.monotonic() + patience_s
    stubborn = [process for process in running if not process.wait(max(0.0, deadline - time.monotonic()))]
    for process in stubborn:
        process.send(signal.SIGKILL)
    for process in stubborn:
        process.wait(10)
    return stubborn


MODULES = ("bivouac.cli.supervisor", "bivouac.app", "bivouac.agent", "bivouac.app.objects")
"""What runs a cloud, as `python -m MODULE ... STATE`."""


def belonging_to(state: Path) -> Iterator[tuple[Identity, str]]:
    """Every process of a cloud, with its program's name: those that have a path inside this state directory among
    their arguments, and our own.

    This finds guests, daemons and processes even when nothing recorded them any more. The caller and those it
    descends from are left out.
    """
    inside = f"{state}/".encode()
    ours = {os.fsencode(module) for module in MODULES}
    spared = set(_ancestors())
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in spared:
            continue
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes()
            identity = identify(int(folder.name))
            words = arguments.split(b"\0")
            if identity and (inside in arguments or (os.fsencode(state) in words and ours.intersection(words))):
                yield identity, Path(os.fsdecode(words[0])).name


def _ancestors() -> Iterator[int]:
    pid = os.getpid()
    while pid > 1:
        yield pid
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return
        pid = int(fields[1])


def running(command: Sequence[str]) -> Identity | None:
    """The process that was started with just these arguments."""
    wanted = b"".join(os.fsencode(word) + b"\0" for word in command)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if (folder / "cmdline").read_bytes() == wanted:
                    return identify(int(folder.name))
    return None


def holder_of_port(port: int) -> tuple[int, str] | None:
    """Pid and name of who listens on a TCP port of this machine; None when it cannot be told."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in inodes for link in (folder / "fd").iterdir()):
                return int(folder.name), (folder / "comm").read_text().strip()
    return None
