"""Control crashes at every side effect of compute's loops, and every step runs twice: everything converges, nothing
is left over.

The world is the in-process cloud of the API tests: real store, real rules, an agent that speaks the link.
"""

from collections.abc import Callable
from typing import Any

import pytest
from api.compute.cloud import PACKAGES, Cloud
from crash.side_effects import covers

from bivouac.compute.loops import KEEP_DELETED_S, CleanupLoop, unowned_transitions
from bivouac.core.crash import Crashed, arm
from bivouac.core.store import Store
from bivouac.placement import service as placement


def life(cloud: Cloud) -> None:
    """A server's whole life, with everything that loops do for it."""
    id = cloud.boot()
    cloud.converge()
    cloud.act(id, "os-stop")
    cloud.converge()
    cloud.act(id, "os-start")
    cloud.converge()
    cloud.act(id, "resize", {"flavorRef": "big"})
    cloud.converge()
    cloud.act(id, "confirmResize")
    cloud.ask("DELETE", f"/servers/{id}")
    cloud.converge()


def settled(cloud: Cloud) -> None:
    """After any crash: every server is in a resting state or gone, and nothing is held for those that are gone."""
    for name in cloud.agents:
        if cloud.hosts.get(name) is not None:
            cloud.disconnect(name)
        cloud.connect(name)
    cloud.beat()
    cloud.sweep()
    servers = cloud.admin("GET", "/servers/detail?all_tenants=1")["servers"]
    assert all(one["OS-EXT-STS:task_state"] is None for one in servers)
    assert {one["status"] for one in servers} <= {"ACTIVE", "SHUTOFF", "VERIFY_RESIZE", "ERROR"}
    assert cloud.store.read_now(unowned_transitions, cloud.clock.now()) == []
    assert cloud.store.read_now(placement.drift) == []
    ids = {one["id"] for one in servers}
    assert cloud.server_ports() <= ids
    held = cloud.store.read_now(lambda tx: {id for (id,) in tx.query("SELECT consumer_id FROM allocations")})
    assert held <= ids
    assert {id for agent in cloud.agents.values() for id in agent.specs if agent.specs[id].power != "absent"} <= ids


@pytest.fixture
def make_cloud(make_store: Callable[..., Store]) -> Any:
    made: list[Cloud] = []

    def make() -> Cloud:
        cloud = Cloud(make_store(*PACKAGES))
        cloud.add_host("host-1")
        cloud.flavor()
        cloud.flavor("big", ram=1024)
        made.append(cloud)
        return cloud

    yield make
    for cloud in made:
        cloud.close()


def test_a_crash_at_every_side_effect(make_cloud: Callable[[], Cloud]) -> None:
    with arm() as counted:
        life(make_cloud())
    assert len(counted.seen) >= 5
    for n in range(1, len(counted.seen) + 1):
        cloud = make_cloud()
        with arm(n):
            try:
                life(cloud)
            except Crashed:
                pass
        settled(cloud)
    covers("a server's life in control", counted)


def test_a_host_that_is_welcomed_in_vain_comes_again(make_cloud: Callable[[], Cloud]) -> None:
    cloud = make_cloud()
    id = cloud.boot()
    cloud.disconnect("host-1")
    agent = cloud.agents["host-1"]
    agent.hello()
    with arm(1) as point, pytest.raises(Crashed):
        cloud.run(cloud.hosts.serve(agent))
    covers("welcome", point)
    settled(cloud)
    assert cloud.show(id)["status"] == "ACTIVE"


def test_a_cleanup_that_is_cut_off_is_done_by_the_next(make_cloud: Callable[[], Cloud]) -> None:
    cloud = make_cloud()
    id = cloud.boot()
    cloud.converge()
    cloud.ask("DELETE", f"/servers/{id}")
    cloud.converge()
    cloud.advance(KEEP_DELETED_S + 1)
    loop = CleanupLoop(cloud.store, cloud.clock)
    with arm(1) as point, pytest.raises(Crashed):
        cloud.run(loop.step("all"))
    assert cloud.store.read_now(lambda tx: tx.value("SELECT count(*) FROM servers")) == 1
    for _ in range(2):
        cloud.run(loop.step("all"))
        assert cloud.store.read_now(lambda tx: tx.value("SELECT count(*) FROM servers")) == 0
    covers("cleanup", point)


def test_every_step_twice_is_as_good_as_once(make_cloud: Callable[[], Cloud]) -> None:
    cloud = make_cloud()
    step = cloud.spec_loop.step

    async def twice(key: str) -> float | None:
        await step(key)
        return await step(key)

    cloud.spec_loop.step = twice  # type: ignore[method-assign]
    life(cloud)
    settled(cloud)
    assert cloud.admin("GET", "/servers?all_tenants=1")["servers"] == []


def test_a_deadline_that_is_cut_off_is_met_by_the_next_sweep(make_cloud: Callable[[], Cloud]) -> None:
    cloud = make_cloud()
    cloud.agents["host-1"].deaf = True
    id = cloud.boot()
    cloud.converge()
    cloud.advance(601)
    with arm(1) as point, pytest.raises(Crashed):
        cloud.expire()
    covers("deadlines", point)
    assert cloud.show(id)["status"] == "BUILD"
    cloud.expire()
    cloud.expire()
    assert cloud.show(id)["status"] == "ERROR"
    cloud.agents["host-1"].deaf = False
    cloud.ask("DELETE", f"/servers/{id}")
    cloud.converge()
    settled(cloud)


def test_messages_lost_in_both_directions_cost_nothing_but_time(make_cloud: Callable[[], Cloud]) -> None:
    cloud = make_cloud()
    id = cloud.boot()
    cloud.disconnect("host-1")
    cloud.connect("host-1")
    assert cloud.show(id)["status"] == "ACTIVE"
    agent = cloud.agents["host-1"]
    agent.deaf = True
    cloud.act(id, "os-stop")
    cloud.converge()
    agent.deaf = False
    assert cloud.show(id)["OS-EXT-STS:task_state"] == "powering-off"
    cloud.sweep()
    assert cloud.show(id)["status"] == "SHUTOFF"
    settled(cloud)
