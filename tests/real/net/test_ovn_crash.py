"""A host's whole network comes up and goes down, cut off at every side effect: the next run finishes either."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from crash.side_effects import covers
from msgspec.structs import replace

from bivouac.core.crash import Crashed, arm
from bivouac.drivers.net.ovn import Central, HostNetwork, OvnDriver
from bivouac.drivers.net.ovn.central import SCHEMAS, prepare_database

from .namespace import own_namespace
from .test_ovn_driver import NETWORK, PORT_A, SPEC, leftovers

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ovn-controller") is None, reason="needs root and OVN's packages"
)


def host(state: Path) -> tuple[Central, OvnDriver]:
    """As a new process sees it."""
    central = Central(state)
    return central, OvnDriver(HostNetwork(state, "host-1", central.southbound, gateway="172.24.4.1/24"))


async def up(state: Path) -> None:
    """Everything, as control and the agent bring it up."""
    central, driver = host(state)
    try:
        await central.start()
        await driver.start()
        await driver.ensure_port("server-a", PORT_A)
        await driver.ensure_network(SPEC)
        await driver.stop()
        moved = OvnDriver(replace(driver.settings, encapsulation_address="127.0.0.2"))
        await moved.start()
        await moved.ensure_network(replace(SPEC, mtu=1400))
        assert list(await moved.observe_ports()) == [PORT_A.id] and await moved.observe_networks() == (NETWORK,)
        assert set(moved.daemons().values()) == set(central.daemons().values()) == {"running"}
        await moved.stop()
    finally:
        await driver.stop()
        await central.stop()


async def down(state: Path) -> None:
    """Everything gone but the databases."""
    central, driver = host(state)
    try:
        await driver.shutdown()
        await central.shutdown()
    finally:
        await driver.stop()
        await central.stop()


def test_a_crash_at_every_side_effect_of_up_and_down(tmp_path: Path) -> None:
    points = []
    with own_namespace():
        n = 0
        while not points:
            n += 1
            state = tmp_path / str(n)
            state.mkdir()
            seen = []
            for work in (up, down):
                with arm(n) as point:
                    try:
                        asyncio.run(work(state))
                    except Crashed:
                        pass
                seen.append(point)
                asyncio.run(work(state))
            assert leftovers(state) == [], n
            if all(len(point.seen) < n for point in seen):
                points = seen
    covers("network up and down", *points)


def test_a_conversion_that_is_cut_off_is_done_by_the_next_start(tmp_path: Path) -> None:
    schema = json.loads((SCHEMAS / "ovn-nb.ovsschema").read_text())
    del schema["tables"]["Mirror"], schema["tables"]["Logical_Switch_Port"]["columns"]["mirror_rules"]
    older = tmp_path / "older.ovsschema"
    older.write_text(json.dumps({**schema, "version": "6.0.0", "cksum": ""}))
    database = tmp_path / "nb.db"
    subprocess.run(["ovsdb-tool", "create", database, older], check=True)
    with arm(1) as point, pytest.raises(Crashed):
        prepare_database(database, SCHEMAS / "ovn-nb.ovsschema")
    covers("conversion", point)
    with arm() as point:
        prepare_database(database, SCHEMAS / "ovn-nb.ovsschema")
        prepare_database(database, SCHEMAS / "ovn-nb.ovsschema")
    assert point.seen == ["convert nb.db"]
