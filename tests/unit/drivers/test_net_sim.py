"""The contract of a network driver, on the simulated one; the real one meets the same calls in tests/real/net."""

import asyncio

import pytest

from bivouac.core import crash
from bivouac.drivers.hypervisor import DriverError
from bivouac.drivers.net.sim import SimNetDriver
from bivouac.hostspec.network import MetadataPort, NetworkSpec
from bivouac.hostspec.server import PortSpec

PORT = PortSpec(id="aaaaaaaa-0000-4000-8000-000000000001", network_id="n", mac_address="fa:16:3e:00:00:0a", mtu=1442)
NETWORK = NetworkSpec("n", 1, 1442, MetadataPort("m", "fa:16:3e:00:00:02", ("10.0.0.2/24",)))


def test_ensuring_twice_is_once_and_removing_leaves_nothing() -> None:
    async def walk() -> None:
        told: list[tuple[str, bool]] = []
        driver = SimNetDriver(lambda port_id, plugged: told.append((port_id, plugged)))
        await driver.start()
        with crash.arm() as point:
            tap = await driver.ensure_port("server", PORT)
            assert await driver.ensure_port("server", PORT) == tap
        assert len(point.seen) == 1
        await driver.ensure_network(NETWORK)
        assert await driver.observe_ports() == {PORT.id: tap}
        assert await driver.observe_port_servers() == {PORT.id: "server"}
        assert await driver.observe_networks() == ("n",)
        assert driver.daemons() == {"sim": "running"}
        await driver.remove_port(PORT.id)
        await driver.remove_port(PORT.id)
        await driver.remove_network("n")
        assert (await driver.observe_ports(), await driver.observe_networks()) == ({}, ())
        assert told == [(PORT.id, True), (PORT.id, False)]

    asyncio.run(walk())


def test_a_verb_fails_as_often_as_told() -> None:
    async def walk() -> None:
        driver = SimNetDriver()
        driver.failures["ensure_port"] = 1
        with pytest.raises(DriverError):
            await driver.ensure_port("server", PORT)
        assert await driver.ensure_port("server", PORT)

    asyncio.run(walk())
