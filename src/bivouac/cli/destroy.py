"""`bivouac destroy`: stop the cloud and remove everything it made, and only that."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from bivouac.core.run import CommandError
from bivouac.core.run import run as run_program

from .errors import CommandFailed
from .layout import Layout
from .made import made
from .progress import Progress
from .stop import stop_everything

CONTENT = ("run", "log", "image", "control", "objects", "agent", "authority", "made.json", "access")
"""What a cloud puts into its state directory. Anything else there, bivouac.toml too, is its owner's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--yes` for scripts."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    """Remove the cloud in this state directory."""
    layout = Layout(Path(options.state).absolute())
    if not any((layout.state / name).exists() for name in CONTENT):
        print(f"There is no cloud in {layout.state}.")
        return 0
    if not options.yes:
        print(f"This removes the cloud in {layout.state} with all its servers, images and objects, for good.")
        if not sys.stdin.isatty() or input("Type yes to go on: ").strip() != "yes":
            raise CommandFailed("nothing was removed (say --yes to go on without being asked)")
    with Progress() as progress:
        stop_everything(layout, progress, destroying=True)
        with progress.step("remove what was made outside the state directory") as step:
            step.note = ", ".join(_remove_outside(kind, name) for kind, name in made(layout))
        with progress.step(f"remove {layout.state}") as step:
            step.note = _remove_state(layout)
    return 0


def _remove_outside(kind: str, name: str) -> str:
    if kind == "clouds_yaml":
        from .clouds_yaml import remove_entries

        remove_entries(Path(name))
    elif kind == "link":
        Path(name).unlink(missing_ok=True)
    elif kind == "user":
        try:
            run_program(["userdel", name], timeout_s=30)
        except CommandError as error:
            # Another cloud of this machine may still use it.
            return f"user {name} stays ({error.output.strip() or error})"
    return f"{kind} {name}"


def _remove_state(layout: Layout) -> str:
    for name in CONTENT:
        path = layout.state / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    left = [path.name for path in layout.state.iterdir()]
    if left:
        return f"left there, as it is not ours: {', '.join(sorted(left))}"
    if layout.state.is_mount():
        return "the folder stays, as something is mounted there"
    layout.state.rmdir()
    return ""
