"""A simulated host and a control for tests: the real agent runs between them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from bivouac.agent.loop import HostLoop
from bivouac.agent.operations import Operations
from bivouac.agent.perform import Drivers, Performer
from bivouac.core.clock import ManualClock
from bivouac.core.ids import new_uuid
from bivouac.drivers.disk.sim import SimDisks
from bivouac.drivers.hypervisor.sim import Knobs, SimHypervisor
from bivouac.drivers.net.sim import SimNetDriver
from bivouac.hostspec.link import HostFacts, Wanted
from bivouac.hostspec.network import MetadataPort, NetworkSpec
from bivouac.hostspec.server import DiskSpec, ImageRef, PortSpec, ServerReport, ServerSpec

CONTENT = b"image"
IMAGE = ImageRef("image-1", "raw", len(CONTENT), hashlib.sha512(CONTENT).hexdigest())


async def eventually(what: str, look: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """The first true answer; fails with what was seen last."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not (seen := look()):
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not in {timeout_s} s; seen last: {seen!r}"
        await asyncio.sleep(0.005)
    return seen


def server(id: str = "", **changes: Any) -> ServerSpec:
    values: dict[str, Any] = {
        "generation": 1,
        "power": "running",
        "vcpus": 1,
        "memory_mib": 64,
        "disks": (DiskSpec("root", 1 << 20, image=IMAGE, boot_index=0),),
        "ports": (PortSpec(new_uuid(), "net-1", "fa:16:3e:00:00:01", 1442),),
    }
    return ServerSpec(id=id or new_uuid(), **(values | changes))


def network(id: str = "net-1", generation: int = 1) -> NetworkSpec:
    port = MetadataPort("localport-" + id, "fa:16:3e:ff:00:01", ("10.0.0.2/24",))
    return NetworkSpec(id, generation, 1442, port)


def complete(*servers: ServerSpec, networks: tuple[NetworkSpec, ...] = ()) -> Wanted:
    return Wanted(complete=True, servers=servers, networks=networks)


def wanted(*servers: ServerSpec, networks: tuple[NetworkSpec, ...] = ()) -> Wanted:
    return Wanted(complete=False, servers=servers, networks=networks)


class SimHost:
    """Drivers that outlive the agent, and agents that come and go."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.knobs = Knobs()
        facts = HostFacts("host", 4, 4096, 100, accelerator="sim")
        self.hypervisor = SimHypervisor(facts, lambda id: self.loop.guest_changed(id), self.knobs)
        self.disk = SimDisks(checks_images=True)
        self.net = SimNetDriver()
        self.reports: list[ServerReport] = []
        self.served: dict[str, Any] = {}
        self.uploads: dict[str, bytes] = {}
        self.clock = ManualClock()
        self.loop: HostLoop

    async def start_agent(self) -> HostLoop:
        """A new agent over the same host."""
        operations = Operations(self.folder / "operations.json")
        drivers = Drivers(self.hypervisor, self.disk, self.net)
        performer = Performer(drivers, operations, self.folder, self.fetch, self.upload)
        self.loop = HostLoop(performer, self.clock, self.reports.append, self.serve)
        await self.loop.start()
        return self.loop

    async def fetch(self, image: ImageRef) -> AsyncIterator[bytes]:
        async def chunks() -> AsyncIterator[bytes]:
            yield CONTENT

        return chunks()

    async def upload(self, image_id: str, path: Path) -> None:
        self.uploads[image_id] = path.read_bytes()

    async def serve(self, network_id: str, listening: Any) -> None:
        self.served[network_id] = listening

    def report(self, id: str) -> ServerReport | None:
        """The last report of a server."""
        return next((report for report in reversed(self.reports) if report.id == id), None)

    async def everything(self) -> dict[str, Any]:
        """All that the host has."""
        return {
            "guests": await self.hypervisor.observe_servers(),
            "disks": await self.disk.observe_disks(),
            "ports": await self.net.observe_port_servers(),
            "networks": await self.net.observe_networks(),
            "files": sorted(path.name for path in self.folder.iterdir() if path.name != "operations.json"),
        }


def on_host(folder: Path, body: Callable[[SimHost], Awaitable[None]]) -> None:
    """Run a test against a host with one agent."""

    async def main() -> None:
        host = SimHost(folder)
        await host.start_agent()
        try:
            await body(host)
        finally:
            await host.loop.stop()

    asyncio.run(main())
