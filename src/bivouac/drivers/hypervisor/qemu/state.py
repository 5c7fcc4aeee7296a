"""A guest's directory: the record from which a new process finds a running guest again.

    GUESTS/<server id>/state.json     what it is and how it ended
                       monitor serial guest-agent      sockets, opened before QEMU starts and inherited by it
                       qemu.log       what QEMU said
                       memory         of a suspended guest
                       run/           QEMU's working directory, the only one its user may write:
                           console.log vnc uefi-variables, a snapshot or screenshot on its way out

Whatever lies in `run/` may be forged by a guest that broke out: it is opened without following links. The record is
written before QEMU starts (so that no guest is ever unknown) and again with its pid. A pid alone means nothing after a
while: only together with its start time does it name a process.
"""

import contextlib
import os
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from bivouac.core.run import start_time

from .machine import Machine

Ended = Literal["", "stopped", "shutdown", "suspended", "failed"]
"""Why there is no process, when that is as it should be: we stopped it, the guest shut itself down, its memory is in
a file, or it never came up. Empty: it runs, or died."""


class GuestState(Struct, frozen=True):
    """The content of `state.json`."""

    id: str
    generation: int = 0
    """Of the spec that the guest was last started for."""
    pid: int = 0
    start_time: int = 0
    """In clock ticks since the host's boot."""
    boot_id: str = ""
    ended: Ended = ""
    machine: Machine | None = None


def boot_id() -> str:
    """Names this boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def load(folder: Path) -> GuestState:
    """The record of a guest; an empty one where it is missing or torn (the directory is all that counts then)."""
    try:
        return msgspec.json.decode((folder / "state.json").read_bytes(), type=GuestState)
    except (OSError, msgspec.DecodeError):
        return GuestState(folder.name)


def save(folder: Path, state: GuestState) -> None:
    """Replace the record atomically. No fsync: after a power cut no guest runs that the record could name."""
    temporary = folder / "state.new"
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(folder / "state.json")


def is_alive(state: GuestState, current_boot_id: str) -> bool:
    """Whether the process that the record names still runs."""
    return state.pid > 0 and state.boot_id == current_boot_id and start_time(state.pid) == state.start_time


def processes_below(folder: Path) -> dict[str, int]:
    """Name of a guest's directory -> pid of the QEMU that works in it: finds those whose start was never recorded."""
    found: dict[str, int] = {}
    root = folder.resolve()
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            here = Path(os.readlink(f"/proc/{entry.name}/cwd"))
            if here.parent.parent == root and b"qemu" in Path(f"/proc/{entry.name}/comm").read_bytes():
                found[here.parent.name] = int(entry.name)
    return found
