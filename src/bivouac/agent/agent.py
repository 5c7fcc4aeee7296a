"""One host's agent, put together: drivers, loop, link, consoles, metadata."""

import asyncio
import base64
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from bivouac import __version__
from bivouac.core.clock import Clock
from bivouac.drivers.hypervisor import DriverError
from bivouac.hostspec.link import Ask, HostFacts, HostUsage, Wanted
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import ImageRef, ServerReport, ServerSpec

from . import http_client
from .consoles import Consoles
from .http_client import Endpoint
from .link import HEARTBEAT_S, Link
from .loop import HostLoop
from .metadata.passwords import GuestPasswords
from .metadata.server import MetadataServers
from .metadata.service import MetadataService
from .operations import Operations
from .perform import Drivers, Performer

log = logging.getLogger(__name__)
IMAGES_INTERVAL_S = 3600.0
MAX_CONSOLE_BYTES = 4 << 20


class Agent:
    """An agent over drivers that are already started. Without a folder (fleets) it keeps nothing on disk."""

    def __init__(
        self,
        name: str,
        drivers: Drivers,
        endpoint: Endpoint,
        folder: Path | None,
        clock: Clock | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        on_report: Callable[[ServerReport], None] = lambda report: None,
    ):
        self.name = name
        self.drivers = drivers
        self._endpoint = endpoint
        self._folder = folder
        self._on_report = on_report
        self._started = time.monotonic()
        operations = Operations(folder / "operations.json" if folder else None)
        self.performer = Performer(drivers, operations, folder, self._fetch, self._upload)
        self.loop = HostLoop(self.performer, clock or Clock(), self._report, self._serve)
        self.passwords = GuestPasswords(folder / "passwords.json" if folder else None)
        service = MetadataService(self._server, self._network, self.passwords)
        self.metadata = MetadataServers(service)
        self.consoles = Consoles(endpoint, drivers.hypervisor)
        self.link = Link(endpoint, self.facts, self.usage, self.want, self.answer, heartbeat_s)

    async def run(self) -> None:
        """Serve until cancelled. Guests and the host's network go on."""
        await self.loop.start()
        images = asyncio.create_task(self._tidy_images())
        try:
            await self.link.run()
        finally:
            images.cancel()
            await self.loop.stop()
            await self.consoles.close()
            await self.metadata.close()

    async def want(self, wanted: Wanted) -> None:
        """Take what control wants."""
        await self.loop.want(wanted)
        if wanted.complete:
            self.passwords.keep_only(set(self.loop.servers))

    async def facts(self) -> HostFacts:
        facts = await self.drivers.hypervisor.facts()
        return msgspec.structs.replace(facts, name=self.name, agent_version=__version__)

    async def usage(self) -> HostUsage:
        """What this host measures of itself."""
        guests = await self.drivers.hypervisor.observe_servers()
        running = sum(1 for guest in guests.values() if guest.power == "running")
        if self._folder is None:
            return HostUsage(
                uptime_s=time.monotonic() - self._started, running_servers=running, daemons=self.drivers.net.daemons()
            )
        disk = os.statvfs(self._folder)
        memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(memory[name].split()[0]) >> 10 for name in ("MemTotal", "MemAvailable"))
        return HostUsage(
            memory_used_mib=total - free,
            disk_used_gib=(disk.f_blocks - disk.f_bfree) * disk.f_frsize >> 30,
            disk_available_gib=disk.f_bavail * disk.f_frsize >> 30,
            load_average=os.getloadavg()[0],
            uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            running_servers=running,
            daemons=self.drivers.net.daemons(),
        )

    async def answer(self, ask: Ask) -> dict[str, Any]:
        """Answer what needs bytes at once. Raises DriverError."""
        hypervisor = self.drivers.hypervisor
        arguments = ask.arguments
        server_id = str(arguments.get("server_id", ""))
        match ask.kind:
            case "console_log":
                limit = arguments.get("max_bytes")
                limit = limit if isinstance(limit, int) and 0 < limit < MAX_CONSOLE_BYTES else MAX_CONSOLE_BYTES
                return {"text": (await hypervisor.console_log(server_id, limit)).decode("utf-8", "replace")}
            case "open_console":
                session, console = str(arguments.get("session", "")), str(arguments.get("console", ""))
                await self.consoles.open(server_id, session, console)
                return {}
            case "diagnostics":
                return await hypervisor.diagnostics(server_id)
            case "screenshot":
                return {"png": base64.b64encode(await hypervisor.screenshot(server_id)).decode()}
            case "server_password":
                return {"password": self.passwords.get(server_id)}
            case "clear_server_password":
                self.passwords.forget(server_id)
                return {}
        raise DriverError("The host does not know this question.", ask.kind)

    # --- what the parts ask of each other

    def _report(self, report: ServerReport) -> None:
        if report.power == "gone":
            self.passwords.forget(report.id)
        self._on_report(report)
        self.link.report(report)

    async def _serve(self, network_id: str, listening: Any) -> None:
        if listening is None:
            await self.metadata.forget(network_id)
        else:
            await self.metadata.serve(network_id, listening)

    def _server(self, id: str) -> ServerSpec | None:
        return self.loop.servers.get(id)

    def _network(self, id: str) -> NetworkSpec | None:
        return self.loop.networks.get(id)

    async def _fetch(self, image: ImageRef) -> AsyncIterator[bytes]:
        return http_client.download(self._endpoint, image)

    async def _upload(self, image_id: str, path: Path) -> None:
        await http_client.upload(self._endpoint, image_id, path)

    async def _tidy_images(self) -> None:
        while True:
            await asyncio.sleep(IMAGES_INTERVAL_S)
            keep = set()
            for spec in self.loop.servers.values():
                keep |= {image.id for image in (spec.kernel, spec.ramdisk) if image is not None}
                keep |= {disk.image.id for disk in spec.disks if disk.image is not None}
            with contextlib.suppress(DriverError, OSError):
                await self.drivers.disk.remove_unused_images(keep)
