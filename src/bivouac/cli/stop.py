"""`bivouac down`: stop the cloud. Servers keep their disks and run again after `bivouac up`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bivouac.core.run import CommandError
from bivouac.core.run import run as run_program

from .errors import CommandFailed
from .layout import Layout
from .processes import Identity, belonging_to, read_pid_file, stop
from .progress import Progress

NAMES = ("control", "agent", "objects")
SUPERVISOR_PATIENCE_S = 45.0
GUESTS_LIMIT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments beyond the state directory."""


def run(options: argparse.Namespace) -> int:
    """Stop all processes of this cloud; nothing running is fine too."""
    layout = Layout(Path(options.state).absolute())
    if not layout.state.exists():
        raise CommandFailed(f"there is no cloud in {layout.state}")
    if os.geteuid() != 0:
        raise CommandFailed("stopping guests and networks needs root: run this with sudo")
    with Progress() as progress:
        stop_everything(layout, progress)
    return 0


def stop_everything(layout: Layout, progress: Progress, destroying: bool = False) -> None:
    """End the supervisor and its processes, then guests and network daemons; `destroying` takes their traces away."""
    with progress.step("stop control, agent and objects") as step:
        step.note = stop_processes(layout)
    with progress.step("stop servers and networks") as step:
        step.note = stop_host(layout, destroying)


def stop_processes(layout: Layout) -> str:
    """End the supervisor, which ends the others; where it is gone, end those it left."""
    supervisor = read_pid_file(layout.pid_file("supervisor"))
    if supervisor:
        stop([supervisor], SUPERVISOR_PATIENCE_S)
    left = [process for name in NAMES if (process := read_pid_file(layout.pid_file(name)))]
    stop(left, 15)
    return "" if supervisor or left else "nothing ran"


def stop_host(layout: Layout, destroying: bool = False) -> str:
    """Let the agent shut its guests and daemons down, then end whatever still belongs to this state directory."""
    note = ""
    if (layout.state / "agent").exists() and (destroying or _others(layout)):
        action = "--destroy" if destroying else "--shutdown"
        command = [sys.executable, "-m", "bivouac.agent", "--state", str(layout.state), action]
        try:
            run_program(command, timeout_s=GUESTS_LIMIT_S)
        except CommandError as error:
            if destroying and any((layout.state / "agent").iterdir()):
                raise CommandFailed(
                    f"the agent could not take servers and networks away, so nothing is removed yet: {error}\n"
                    "  -> mend that and run it again"
                ) from error
            note = f"the agent could not do it ({error}), so it was done by force"
    stop(_others(layout), 10)
    return note


def _others(layout: Layout) -> list[Identity]:
    return [process for process, _ in belonging_to(layout.state)]
