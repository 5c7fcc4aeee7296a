"""Many hosts in one process: real agents on sim drivers, for tests of scale and `bivouac sim --hosts N`.

Only what touches a host is simulated. Loop, plan, link and reports are those of a real agent, one WebSocket each.
"""

import asyncio
from collections.abc import Callable

from bivouac.drivers.disk.sim import SimDisks
from bivouac.drivers.hypervisor.sim import Knobs, SimHypervisor
from bivouac.drivers.net.sim import SimNetDriver
from bivouac.hostspec.link import HostFacts
from bivouac.hostspec.server import ServerReport

from .agent import Agent
from .http_client import Endpoint
from .perform import Drivers

CONNECTING_AT_ONCE = 50
HEARTBEAT_S = 30.0


def sim_agent(
    name: str,
    endpoint: Endpoint,
    vcpus: int = 64,
    memory_mib: int = 262144,
    disk_gib: int = 4000,
    knobs: Knobs | None = None,
    on_report: Callable[[ServerReport], None] = lambda report: None,
) -> Agent:
    """One agent on simulated drivers. A guest that crashes or shuts itself down is noticed, as on a real host."""
    facts = HostFacts(
        name, vcpus, memory_mib, disk_gib, accelerator="sim", cpu_model="simulated",
        cpu_topology={"sockets": 2, "cores": max(1, vcpus // 4), "threads": 2},
    )  # fmt: skip
    hypervisor = SimHypervisor(facts, lambda server_id: agent.loop.guest_changed(server_id), knobs)
    drivers = Drivers(hypervisor, SimDisks(), SimNetDriver())
    agent = Agent(name, drivers, endpoint, None, heartbeat_s=HEARTBEAT_S, on_report=on_report)
    return agent


async def run_one(name: str, endpoint: Endpoint) -> None:
    """Run the agent of one simulated host until cancelled."""
    agent = sim_agent(name, endpoint)
    await agent.drivers.net.start()
    await agent.run()


async def run_fleet(
    endpoint: Endpoint, hosts: int, prefix: str = "sim", ready: Callable[[int], None] = lambda connected: None
) -> None:
    """Run so many agents until cancelled; `ready` is told how many are connected as they come."""
    agents = [sim_agent(f"{prefix}-{number:05d}", endpoint) for number in range(1, hosts + 1)]
    async with asyncio.TaskGroup() as tasks:
        for start in range(0, hosts, CONNECTING_AT_ONCE):
            batch = agents[start : start + CONNECTING_AT_ONCE]
            for agent in batch:
                await agent.drivers.net.start()
                tasks.create_task(agent.run(), name=agent.name)
            await asyncio.gather(*(agent.link.connected.wait() for agent in batch))
            ready(start + len(batch))
