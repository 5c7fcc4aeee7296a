"""`bivouac status`: processes, loops, hosts and their health, in a tenth of a second.

Processes come from the supervisor's file, and are looked at themselves; loops and hosts from control's Unix socket.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .layout import Layout

HEALTHY, DEGRADED, DOWN = 0, 1, 3
"""Exit statuses; 3 for "does not run" is what init scripts use too."""

OVERDUE_S = 60.0
"""A loop whose oldest key waits longer than this is behind."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` for programs."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the state of the cloud; the exit status says it too: 0 healthy, 1 not quite, 3 not running."""
    layout = Layout(Path(options.state).absolute())
    document = collect(layout)
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)
    return int(document["exit"])


def collect(layout: Layout) -> dict[str, Any]:
    """All that is known, as one document."""
    try:
        known = json.loads(layout.status.read_text())
    except (OSError, ValueError):
        return {"state": str(layout.state), "running": False, "processes": [], "problems": [], "exit": DOWN}
    from .client import ApiError, ask_control
    from .processes import Identity, read_pid_file

    processes, problems = [], []
    supervisor = read_pid_file(layout.pid_file("supervisor"))
    if supervisor is None:
        problems.append("the supervisor is gone, so nothing starts again what dies: run `bivouac up`")
    for process in known["processes"]:
        identity = Identity(**process["identity"]) if process["identity"] else None
        running = identity is not None and identity.alive
        if not running:
            problems.append(f"{process['name']} does not run: {process['last_end'] or 'not started yet'}")
        processes.append({**process, "running": running})
    control = {}
    if not layout.membership.exists():  # a further host has no control: what is known of it stands there
        try:
            control = ask_control(layout.control_socket, "/status")
        except ApiError as error:
            problems.append(str(error))
    problems += _behind(control)
    running = supervisor is not None or any(process["running"] for process in processes)
    exit_status = DOWN if not running else DEGRADED if problems else HEALTHY
    return {
        "state": str(layout.state),
        "running": running,
        "processes": processes,
        "loops": control.get("loops", []),
        "hosts": control.get("hosts", []),
        "daemons": control.get("daemons", {}),
        "version": control.get("version", ""),
        "problems": problems,
        "exit": exit_status,
    }


def _behind(control: dict[str, Any]) -> list[str]:
    problems = []
    for loop in control.get("loops", []):
        if loop.get("oldest_age_s", 0) > OVERDUE_S:
            reason = loop.get("last_error") or "no error"
            problems.append(f"loop {loop['name']} is behind: a key waits for {span(loop['oldest_age_s'])} ({reason})")
    for host in control.get("hosts", []):
        if host.get("state") != "up":
            problems.append(f"host {host.get('name')} is {host.get('state')}")
        for daemon, state in (host.get("daemons") or {}).items():
            if state != "running":
                problems.append(f"{daemon} on host {host.get('name')}: {state}")
    for daemon, state in control.get("daemons", {}).items():
        if state != "running":
            problems.append(f"{daemon}: {state}")
    return problems


def show(document: dict[str, Any]) -> None:
    """Print the document for a person."""
    if not document["running"]:
        print(f"The cloud in {document['state']} does not run. Start it with `bivouac up`.")
        return
    now = time.time()
    print(f"Bivouac {document.get('version') or ''} in {document['state']}\n")
    table(
        ("process", "state", "pid", "for", "restarts"),
        [
            (
                process["name"],
                "running" if process["running"] else "down",
                process["identity"]["pid"] if process["identity"] else "-",
                span(now - process["since"]) if process["running"] else "-",
                process["restarts"],
            )
            for process in document["processes"]
        ],
    )
    table(
        ("host", "state", "servers", "vcpus", "memory", "accelerator"),
        [
            (
                host.get("name", "?"),
                host.get("state", "?"),
                host.get("running_servers", "-"),
                host.get("vcpus", "-"),
                f"{host['memory_mib']} MiB" if "memory_mib" in host else "-",
                host.get("accelerator", "-"),
            )
            for host in document["hosts"]
        ],
    )
    table(
        ("loop", "steps", "errors", "waiting", "last error"),
        [
            (loop["name"], loop["steps"], loop["errors"], loop["waiting"], (loop.get("last_error") or "")[:60])
            for loop in document["loops"]
        ],
    )
    if document["problems"]:
        print("Problems:")
        for problem in document["problems"]:
            print(f"  {problem}")
    else:
        print("All is well.")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their heads, in columns; nothing when there are none."""
    if not rows:
        return
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def span(seconds: float) -> str:
    """A length of time in its largest unit: `45 s`, `3 min`, `2 h`, `5 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
