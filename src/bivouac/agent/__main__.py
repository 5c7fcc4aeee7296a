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
import ssl
import sys
from collections.abc import Callable

import uvloop

from bivouac.core import log as logs
from bivouac.core.errors import Error
from bivouac.core.run import CommandError
from bivouac.core.settings import Settings, load
from bivouac.drivers.disk.local import LocalDisks
from bivouac.drivers.hypervisor import DriverError
from bivouac.drivers.hypervisor.qemu import QemuHypervisor
from bivouac.drivers.net.ovn import HostNetwork, OvnDriver

from .agent import Agent
from .fleet import run_fleet
from .http_client import Endpoint
from .metadata.drive import config_drive
from .metadata.openstack import SEED_BYTES
from .perform import Drivers, together

log = logging.getLogger(__name__)
SHUTDOWN_PATIENCE_S = 30.0
"""What guests have for a clean end when the whole cloud goes down."""


class RealDrivers:
    """QEMU, OVN and local files below one state directory."""

    def __init__(self, settings: Settings, name: str, southbound: str, on_change: Callable[[str], None]):
        folder = settings.agent_path
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # guests' users walk through to their disks, and see nothing on the way
        prefix = ipaddress.ip_network(settings.network.public_cidr).prefixlen
        self.folder = folder
        self.hypervisor = QemuHypervisor(folder, on_change)
        self.disk = LocalDisks(folder, lambda spec: config_drive(spec, os.urandom(SEED_BYTES)))
        self.net = OvnDriver(
            HostNetwork(
                state=folder,
                host=name,
                southbound=southbound,
                physical_network=settings.network.physical_network,
                gateway=f"{settings.network.public_gateway}/{prefix}",
            )
        )

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


def _endpoint(options: argparse.Namespace, settings: Settings) -> Endpoint:
    if not options.control:
        return Endpoint(f"unix:{settings.control_socket}")
    if options.control.startswith("unix:"):
        return Endpoint(options.control)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=options.authority or None)
    if options.certificate:
        context.load_cert_chain(options.certificate, options.key or None)
    return Endpoint(options.control, context)


async def _run(options: argparse.Namespace, settings: Settings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    endpoint = _endpoint(options, settings)
    if (options.drivers or settings.drivers) == "sim":
        if options.shutdown or options.destroy:
            return
        work = asyncio.create_task(run_fleet(endpoint, options.hosts, options.name or "sim"))
        await _until(stopping, work)
        return
    name = options.name or socket.gethostname()
    southbound = options.southbound or f"unix:{settings.control_path}/ovn-central/sb.sock"
    agent: Agent | None = None

    def guest_changed(server_id: str) -> None:
        if agent is not None:
            agent.loop.guest_changed(server_id)

    real = RealDrivers(settings, name, southbound, guest_changed)
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
    parser.add_argument("--control", default="", help="unix:PATH or https://HOST:PORT (default: on this machine)")
    parser.add_argument("--authority", default="", help="certificate that control's is checked against")
    parser.add_argument("--certificate", default="", help="certificate of this host")
    parser.add_argument("--key", default="", help="key of that certificate")
    parser.add_argument("--southbound", default="", help="OVN's southbound database, as this host reaches it")
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
