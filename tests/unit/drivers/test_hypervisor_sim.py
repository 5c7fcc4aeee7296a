"""The sim hypervisor keeps the contract, and its knobs do what they say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypervisor_contract import HypervisorContract

from bivouac.core.ids import new_uuid
from bivouac.drivers.hypervisor import AttachedDisk, DriverError, GuestDevices, ObservedServer
from bivouac.drivers.hypervisor.sim import Knobs, SimHypervisor
from bivouac.hostspec.link import HostFacts
from bivouac.hostspec.server import PortSpec, ServerSpec

FACTS = HostFacts("sim-1", 8, 8192, 100, accelerator="sim")


class SimHost:
    def __init__(self) -> None:
        self.changed: list[str] = []
        self.driver = SimHypervisor(FACTS, self.changed.append)

    async def restart(self) -> None:
        await self.driver.stop()
        self.driver = SimHypervisor(FACTS, self.changed.append, guests=self.driver.guests)
        await self.driver.start()

    def spec(self) -> ServerSpec:
        port = PortSpec(new_uuid(), "net", "fa:16:3e:00:00:01", 1442)
        return ServerSpec(new_uuid(), 1, "running", 1, 256, ports=(port,))

    def devices(self, spec: ServerSpec) -> GuestDevices:
        return GuestDevices((self.disk(spec.id, "root"),), {port.id: self.tap(port) for port in spec.ports})

    def disk(self, server_id: str, name: str) -> AttachedDisk:
        return AttachedDisk(name, f"/nowhere/{name}", "raw")

    def tap(self, port: PortSpec) -> str:
        return "tap" + port.id[:11]

    async def booted(self, server_id: str, times: int = 1) -> None:
        return

    async def kill(self, server_id: str) -> None:
        self.driver.crash(server_id)

    async def switch_off_inside(self, server_id: str) -> None:
        self.driver.shut_itself_down(server_id)

    def leftovers(self) -> list[str]:
        return list(self.driver.guests)


@asynccontextmanager
async def sim_host(folder: Path) -> AsyncIterator[SimHost]:
    host = SimHost()
    await host.driver.start()
    yield host
    await host.driver.stop()


class TestSim(HypervisorContract):
    host = staticmethod(sim_host)


def test_knobs() -> None:
    async def body() -> None:
        host = SimHost()
        spec = host.spec()
        knobs = host.driver.knobs = Knobs(fail={"ensure_running": 1}, block={"ensure_paused"})
        with pytest.raises(DriverError):
            await host.driver.ensure_running(spec, host.devices(spec))
        await host.driver.ensure_running(spec, host.devices(spec))
        pausing = asyncio.create_task(host.driver.ensure_paused(spec.id))
        done, _ = await asyncio.wait((pausing,), timeout=0.05)
        assert not done
        knobs.block.clear()
        await pausing
        knobs.crash_after = 0.001
        await host.driver.remove_server(spec.id)
        await host.driver.ensure_running(spec, host.devices(spec))
        while not host.changed:
            await asyncio.sleep(0.001)
        observed: dict[str, ObservedServer] = await host.driver.observe_servers()
        assert observed[spec.id].power == "crashed"

    asyncio.run(body())
