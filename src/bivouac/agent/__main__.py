"""`python -m bivouac.agent --state DIR`: this host's agent, or with `--drivers sim` a fleet of simulated ones.

    --shutdown   end all guests cleanly and the host's network daemons, and exit: for `bivouac down`
    --destroy    remove all guests, disks and network of this state directory, and exit
"""

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from bivouac.core import log as logs
from bivouac.core.errors import Error
from bivouac.core.run import CommandError
from bivouac.core.settings import Settings, load
from bivouac.core.tls import client_context
from bivouac.drivers.disk.local import LocalDisks
from bivouac.drivers.hypervisor import DriverError
from bivouac.drivers.hypervisor.qemu import QemuHypervisor
from bivouac.drivers.net.ovn import HostNetwork, OvnDriver
from bivouac.drivers.net.ovn.central import Secured

from . import membership
from .agent import Agent
from .fleet import run_fleet, run_one
from .http_client import Endpoint
from .membership import Membership
from .metadata.drive import config_drive
from .metadata.openstack import SEED_BYTES
from .perform import Drivers, together

log = logging.getLogger(__name__)
SHUTDOWN_PATIENCE_S = 30.0
"""What guests have for a clean end when the whole cloud goes down."""


class RealDrivers:
    """QEMU, OVN and local files below one state directory."""

    def __init__(self, settings: Settings, name: str, joined: Membership | None, on_change: Callable[[str], None]):
        folder = settings.agent_path
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # guests' users walk through to their disks, and see nothing on the way
        self.folder = folder
        self.hypervisor = QemuHypervisor(folder, on_change)
        self.disk = LocalDisks(folder, lambda spec: config_drive(spec, os.urandom(SEED_BYTES)))
        self.net = OvnDriver(_further(folder, joined) if joined else _first(settings, folder, name))

    @property
    def drivers(self) -> Drivers:
        return Drivers(self.hypervisor, self.disk, self.net)

    async def start(self) -> None:
        """Adopt what runs, prove the accelerator, bring the network up: all at the same time. Raises DriverError."""
        await together(self.hypervisor.start(), self.hypervisor.verdict(), self.net.start())

    async def stop(self) -> None:
        """Let everything run on without us."""
        await self.hypervisor.stop()
        await self.net.stop()

    async def shutdown(self) -> None:
        """End guests and network; disks stay, and who was running is started again by the next agent."""
        await self.hypervisor.start()
        guests = await self.hypervisor.observe_servers()
        busy = [guest.id for guest in guests.values() if guest.power in ("running", "paused")]
        await together(*(self.hypervisor.ensure_stopped(id, SHUTDOWN_PATIENCE_S) for id in busy))
        await self.hypervisor.stop()
        await self.net.shutdown()

    async def destroy(self) -> None:
        """Remove guests, disks, images and network."""
        await self.hypervisor.start()
        guests = await self.hypervisor.observe_servers()
        await together(*(self.hypervisor.remove_server(id) for id in guests))
        await self.hypervisor.stop()
        await self.net.shutdown()
        for entry in ("guests", "disks", "images"):
            await asyncio.to_thread(shutil.rmtree, self.folder / entry, True)


def _first(settings: Settings, folder: Path, name: str) -> HostNetwork:
    """The cloud's own machine: the southbound database is here, and so is the way out."""
    prefix = ipaddress.ip_network(settings.network.public_cidr).prefixlen
    return HostNetwork(
        state=folder,
        host=name,
        southbound=f"unix:{settings.control_path}/ovn-central/sb.sock",
        encapsulation_address=socket.gethostbyname(settings.address) if settings.secure else "127.0.0.1",
        physical_network=settings.network.physical_network,
        gateway=f"{settings.network.public_gateway}/{prefix}",
    )


def _further(folder: Path, joined: Membership) -> HostNetwork:
    """A machine that joined: its servers reach the provider network through the first one."""
    return HostNetwork(
        state=folder,
        host=joined.name,
        southbound=joined.southbound,
        encapsulation_address=joined.address,
        physical_network="",
        secured=Secured(membership.certificate_file(folder), membership.authority_file(folder)),
    )


def _endpoint(options: argparse.Namespace, settings: Settings, joined: Membership | None) -> Endpoint:
    """Raises NoCertificate."""
    if joined is None:
        return Endpoint(options.control or f"unix:{settings.control_socket}")
    folder = settings.agent_path
    context = client_context(membership.authority_file(folder), membership.certificate_file(folder))
    return Endpoint(joined.control, context)


async def _run(options: argparse.Namespace, settings: Settings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    joined = membership.load(settings.agent_path)
    endpoint = _endpoint(options, settings, joined)
    if (options.drivers or settings.drivers) == "sim":
        if options.shutdown or options.destroy:
            return
        work = run_one(joined.name, endpoint) if joined else run_fleet(endpoint, options.hosts, options.name or "sim")
        await _until(stopping, asyncio.create_task(work))
        return
    name = joined.name if joined else options.name or socket.gethostname()
    agent: Agent | None = None

    def guest_changed(server_id: str) -> None:
        if agent is not None:
            agent.loop.guest_changed(server_id)

    real = RealDrivers(settings, name, joined, guest_changed)
    if options.shutdown or options.destroy:
        await (real.destroy() if options.destroy else real.shutdown())
        return
    await real.start()
    agent = Agent(name, real.drivers, endpoint, real.folder)
    gc.collect()
    gc.freeze()
    try:
        await _until(stopping, asyncio.create_task(agent.run()))
    finally:
        await real.stop()


async def _until(stopping: asyncio.Event, work: asyncio.Task[None]) -> None:
    """Work until told to stop."""
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait((stop, work), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if work.done():
        work.result()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


def main() -> int:
    """Run until SIGTERM or SIGINT; 1 when it cannot start, with the reason in plain words."""
    parser = argparse.ArgumentParser(prog="python -m bivouac.agent", description="The agent of one host.")
    parser.add_argument("--state", default="", help="state directory")
    parser.add_argument("--name", default="", help="name of this host (default: its host name)")
    parser.add_argument("--control", default="", help="unix:PATH (default: as joined, or on this machine)")
    parser.add_argument("--drivers", choices=("real", "sim"), default="", help="default: as set")
    parser.add_argument("--hosts", type=int, default=1, help="how many, with --drivers sim")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--shutdown", action="store_true", help="end guests and network daemons, and exit")
    action.add_argument("--destroy", action="store_true", help="remove guests, disks and network, and exit")
    options = parser.parse_args()
    try:
        settings = load(options.state)
        logs.configure(settings.log_level)
        uvloop.run(_run(options, settings))
    except Error as error:
        print(f"bivouac agent: {error.message}", file=sys.stderr)
        return 1
    except (DriverError, CommandError, OSError) as error:
        public = error.public + " " if isinstance(error, DriverError) else ""
        print(f"bivouac agent: {public}{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
