"""`bivouac up`: start the cloud in a state directory, and come back when it answers.

It may be run again at any time: what runs is left alone.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bivouac.core.run import CommandError, spawn
from bivouac.core.run import run as run_program
from bivouac.core.settings import Settings, SettingsError, load

from . import certificates, doctor
from .client import ApiError, answers, ask_control
from .errors import CommandFailed
from .layout import USER, Layout, make_state_directory, user_ids
from .made import remember
from .processes import read_pid_file
from .progress import Progress

START_LIMIT_S = 60.0
GIVE_UP_AFTER_RESTARTS = 4
SETTLED_S = 0.8
"""A process that cannot go on (an import, a port, a setting) has ended within this time."""

ON_FURTHER_HOSTS = ("ports",)
"""Findings that do not matter where only an agent runs: it listens nowhere."""

NO_LOGIN_SHELL = "/usr/sbin/nologin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--foreground` is for systemd and containers."""
    parser.add_argument("--foreground", action="store_true", help="stay, and end with the cloud (for systemd)")


def run(options: argparse.Namespace) -> int:
    """Start the cloud unless it runs."""
    layout = Layout(Path(options.state).absolute())
    settings = load_settings(layout)
    if read_pid_file(layout.pid_file("supervisor")):
        if options.foreground:
            raise CommandFailed(f"the cloud in {layout.state} already runs")
        with Progress() as progress:
            wait_until_ready(layout, settings, progress, since=0.0)
        print(f"The cloud in {layout.state} runs: {place(layout, settings)}")
        return 0
    prepare(layout, settings, ON_FURTHER_HOSTS if layout.membership.exists() else ())
    if options.foreground:
        from .supervisor import main as supervise

        return supervise([str(layout.state)])
    with Progress() as progress:
        start(layout, settings, progress)
    print(f"The cloud runs: {place(layout, settings)}")
    return 0


def place(layout: Layout, settings: Settings) -> str:
    """Where the cloud answers, for people; on a further host, that it answers elsewhere."""
    return "this machine is one of its hosts" if layout.membership.exists() else settings.public_url


def load_settings(layout: Layout) -> Settings:
    """The settings of this state directory. Raises CommandFailed."""
    try:
        settings = load(str(layout.state))
        settings.public_url  # noqa: B018 - says now what cannot be found out
        return settings
    except SettingsError as error:
        raise CommandFailed(str(error)) from error


def prepare(layout: Layout, settings: Settings, spared: Sequence[str] = ()) -> None:
    """Check the machine but for `spared` findings, and make the user and the folders. Raises CommandFailed."""
    findings = doctor.examine(layout.state, quick=True)
    spared = (*spared, *(doctor.ONLY_FOR_REAL_HOSTS if settings.drivers == "sim" else ()))
    bad = [finding for finding in findings if finding.state == "bad" and finding.name not in spared]
    if bad:
        lines = "\n".join(f"  {finding.name}: {finding.what}\n    -> {finding.mend}" for finding in bad)
        raise CommandFailed(f"this machine is not ready:\n{lines}")
    try:
        owner = ensure_user(layout)
        make_state_directory(layout, owner)
        if settings.secure and not layout.membership.exists():
            certificates.ensure(settings, owner)
        if os.geteuid() == 0 and user_ids() and USER != "root":
            _check_passage(layout)
    except OSError as error:
        raise CommandFailed(f"cannot prepare {layout.state}: {error.strerror or error}") from error


def ensure_user(layout: Layout) -> tuple[int, int]:
    """The unprivileged user's ids, making the user when it is not there."""
    if os.geteuid() != 0:
        return os.getuid(), os.getgid()
    ids = user_ids()
    if ids is None:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        try:
            run_program([*command, "--shell", NO_LOGIN_SHELL, USER], timeout_s=30)
        except CommandError as error:
            # Two clouds may be started at the same moment.
            if user_ids() is None:
                raise CommandFailed(f"cannot make the user {USER}: {error}") from error
        layout.state.mkdir(parents=True, exist_ok=True)
        remember(layout, "user", USER)
        ids = user_ids()
    assert ids is not None
    return ids


def _check_passage(layout: Layout) -> None:
    """Folders above the state directory must let the unprivileged user through."""
    for folder in layout.state.parents:
        if not folder.stat().st_mode & 0o001:
            raise CommandFailed(
                f"user {USER} cannot pass through {folder}, so it cannot reach {layout.state}.\n"
                f"  -> choose another place with --state DIR, or: chmod o+x {folder}"
            )


def start(layout: Layout, settings: Settings, progress: Progress) -> None:
    """Start the supervisor and wait until the cloud answers. Raises CommandFailed with what the logs say."""
    with layout.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"another `bivouac up` or its supervisor is at work in {layout.state}") from None
        # What a supervisor that was killed knew last would be taken for what this one finds.
        layout.status.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bivouac.cli.supervisor", str(layout.state)]
    now = time.time()
    spawn(command, log=layout.log_file("supervisor"), cwd="/")
    wait_until_ready(layout, settings, progress, since=now)


def wait_until_ready(layout: Layout, settings: Settings, progress: Progress, since: float) -> None:
    """Wait for the APIs, then for an agent heard of after `since` (seconds since the epoch).

    Raises CommandFailed when a process keeps ending.
    """
    if layout.membership.exists():
        with progress.step("start the agent"):
            _wait(layout, lambda: all_processes_run(layout), "the agent does not run")
        return
    authority = settings.authority_path / "certificate.pem"
    with progress.step("start control, agent and objects"):
        health = f"{settings.url(settings.http.port)}/healthz"
        _wait(layout, lambda: answers(health, authority), "the APIs do not answer")
        _wait(layout, lambda: all_processes_run(layout), "a process does not run")
    if settings.drivers == "sim":
        return
    with progress.step("wait for the host"):
        _wait(layout, lambda: host_is_up(settings, since), "no host has reported to control")


def all_processes_run(layout: Layout) -> bool:
    """Whether the supervisor has every process running for a moment: one that cannot start is gone by then."""
    try:
        processes = json.loads(layout.status.read_text())["processes"]
    except (OSError, ValueError):
        return False
    return all(process["identity"] and time.time() - process["since"] > SETTLED_S for process in processes)


def host_is_up(settings: Settings, since: float) -> bool:
    """Whether control has heard of a host that is up: what it remembers from before a restart does not count."""
    try:
        status = ask_control(settings.control_socket, "/status")
    except ApiError:
        return False
    return any(host["state"] != "down" and host["last_seen"] >= since for host in status["hosts"])


def _wait(layout: Layout, condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not condition():
        failing = failing_process(layout)
        if failing or time.monotonic() > deadline:
            name, how = failing or ("control", complaint)
            raise CommandFailed(
                f"{name} {how}\n{last_words(layout.log_file(name))}\n"
                f"  -> the whole log is {layout.log_file(name)}; after mending, run the command again"
            )
        time.sleep(0.05)


def failing_process(layout: Layout) -> tuple[str, str] | None:
    """A process that has ended again and again, and how."""
    try:
        document = json.loads(layout.status.read_text())
    except (OSError, ValueError):
        return None
    for process in document["processes"]:
        if process["restarts"] >= GIVE_UP_AFTER_RESTARTS and process["identity"] is None:
            return process["name"], f"{process['last_end']} {process['restarts']} times"
    return None


def last_words(path: Path, lines: int = 5) -> str:
    """The end of a log, with the messages of JSON lines picked out."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            tail = file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return "  (it left no log)"
    shown = []
    for line in tail:
        try:
            entry = json.loads(line)
            exception = entry.get("exception", "").strip().splitlines()
            shown.append(" ".join([entry["message"], *exception[-1:]]))
        except (ValueError, KeyError, TypeError, AttributeError):
            shown.append(line)
    return "\n".join(f"  | {line[:300]}" for line in shown)
