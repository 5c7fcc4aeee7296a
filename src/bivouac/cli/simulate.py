"""`bivouac sim --hosts N`: a fleet of real agents on simulated hosts in one process, joined to a running cloud.

Only what touches a host is simulated: no guest runs and no packet moves, but scheduling, links, reports and loops are
those of a real cloud. Start the cloud itself with BIVOUAC_DRIVERS=sim, so that it starts neither agent nor network
daemons, and needs no root.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from .client import ApiError, ask_control
from .errors import CommandFailed
from .layout import Layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many, and their names."""
    parser.add_argument("--hosts", type=int, default=1, help="how many hosts (default: 1)")
    parser.add_argument("--prefix", default="sim", help="hosts are named PREFIX-00001 and so on (default: sim)")


def run(options: argparse.Namespace) -> int:
    """Run the fleet until interrupted."""
    if options.hosts < 1:
        raise CommandFailed("--hosts wants a number of at least 1")
    layout = Layout(Path(options.state).absolute())
    try:
        ask_control(layout.control_socket, "/status")
    except ApiError as error:
        raise CommandFailed(f"{error}\n  -> start the cloud first: BIVOUAC_DRIVERS=sim bivouac up") from error
    try:
        asyncio.run(_run(layout, options.hosts, options.prefix))
    except* OSError as group:
        raise CommandFailed(f"the link to control broke: {group.exceptions[0]}") from group
    return 0


async def _run(layout: Layout, hosts: int, prefix: str) -> None:
    from bivouac.agent.fleet import run_fleet
    from bivouac.agent.http_client import Endpoint

    def ready(connected: int) -> None:
        end = "\n" if connected == hosts else "\r"
        print(f"{connected} of {hosts} hosts are connected", end=end, flush=True)

    fleet = asyncio.create_task(run_fleet(Endpoint(f"unix:{layout.control_socket}"), hosts, prefix, ready))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, fleet.cancel)
    try:
        await fleet
    except asyncio.CancelledError:
        print("the fleet has ended")
