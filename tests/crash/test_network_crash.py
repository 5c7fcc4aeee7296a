"""Control crashes at every side effect of the projection: OVN's database and the ports' states come out the same.

The databases are real ones of OVN, without the daemons that read them: what a chassis would say is written here.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api.network.client import Cloud
from crash.side_effects import covers

from bivouac.core import ovsdb
from bivouac.core.crash import Crashed, arm
from bivouac.core.store import Store
from bivouac.network.projection.difference import COLUMNS
from bivouac.network.projection.loop import Projection
from bivouac.network.projection.simulated import SimulatedProjection

PACKAGES = ("bivouac.network",)
needs_ovn = pytest.mark.skipif(shutil.which("ovsdb-server") is None, reason="needs OVN's packages")


class Databases:
    """OVN's two databases."""

    def __init__(self, folder: Path):
        self.remotes: list[str] = []
        self._processes = []
        for name in ("nb", "sb"):
            database, socket = folder / f"{name}.db", folder / f"{name}.sock"
            subprocess.run(["ovsdb-tool", "create", database, f"/usr/share/ovn/ovn-{name}.ovsschema"], check=True)
            command = ["ovsdb-server", database, f"--remote=punix:{socket}", f"--unixctl={folder}/{name}.ctl"]
            self._processes.append(subprocess.Popen([*command, "-vconsole:off", "--no-chdir"], cwd=folder))
            self.remotes.append(f"unix:{socket}")
        for remote, database in zip(self.remotes, ("OVN_Northbound", "OVN_Southbound"), strict=True):
            _until_it_answers(remote, database)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def northbound(self) -> dict[str, int]:
        with ovsdb.Session(self.remotes[0], "OVN_Northbound") as session:
            session.monitor(COLUMNS)
            return {table: len(rows) for table, rows in session.tables.items()}

    def chassis_takes(self, port_id: str) -> None:
        """What ovn-northd and ovn-controller write when a port is plugged."""
        uuid = {"op": "insert", "table": "Encap", "uuid-name": "encap",
                "row": {"type": "geneve", "ip": "127.0.0.1", "chassis_name": port_id}}  # fmt: skip
        chassis = {"op": "insert", "table": "Chassis", "uuid-name": "chassis",
                   "row": {"name": port_id, "encaps": ovsdb.named("encap")}}  # fmt: skip
        path = {"op": "insert", "table": "Datapath_Binding", "uuid-name": "path", "row": {"tunnel_key": 1}}
        row = {"logical_port": port_id, "datapath": ovsdb.named("path"), "tunnel_key": 1, "up": True,
               "chassis": ovsdb.named("chassis")}  # fmt: skip
        binding = {"op": "insert", "table": "Port_Binding", "row": row}
        ovsdb.transact(self.remotes[1], "OVN_Southbound", uuid, chassis, path, binding)


def _until_it_answers(remote: str, database: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            ovsdb.Session(remote, database).close()
            return
        except ovsdb.OvsdbError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    found = Databases(tmp_path)
    yield found
    found.close()


def crash_at_each(step: Callable[[Any, str], Any], make: Callable[[], Any], n: int) -> arm:
    """One pass that is cut off at its n-th side effect, and one by another process."""

    async def passes() -> None:
        projection = make()
        try:
            await step(projection, "all")
        finally:
            await projection.stop()

    with arm(n) as point:
        try:
            asyncio.run(passes())
        except Crashed:
            pass
    asyncio.run(passes())
    with arm() as rest:
        asyncio.run(passes())
    assert rest.seen == [], "a further pass has nothing to do"
    return point


@needs_ovn
def test_a_crash_at_every_side_effect(make_store: Callable[..., Store], databases: Databases) -> None:
    store = make_store(*PACKAGES)
    cloud = Cloud(store)
    port = ""
    points = []
    for n in (1, 2, 3):
        network, _ = cloud.tenant_network("red")
        port = cloud.make("red", "ports", network_id=network["id"])["id"]
        store.write_now(lambda tx, id=port: tx.execute("UPDATE ports SET binding_host = 'h' WHERE id = ?", id))
        databases.chassis_takes(port)
        points.append(crash_at_each(Projection.step, lambda: Projection(store, *databases.remotes), n))
        assert databases.northbound()["Logical_Switch"] == 1
        assert cloud.ask("red", "GET", f"/ports/{port}")[1]["port"]["status"] == "ACTIVE"
        assert cloud.ask("red", "DELETE", f"/ports/{port}")[0] == 204
        assert cloud.ask("red", "DELETE", f"/networks/{network['id']}")[0] == 204
        crash_at_each(Projection.step, lambda: Projection(store, *databases.remotes), n)
        assert not any(databases.northbound().values()), databases.northbound()
        ovsdb.transact(databases.remotes[1], "OVN_Southbound", *[
            {"op": "delete", "table": table, "where": []} for table in ("Port_Binding", "Datapath_Binding", "Chassis")
        ])  # fmt: skip
    assert len(points[-1].seen) == 2
    covers("projection", points[-1])


def test_a_crash_of_the_simulated_projection(make_store: Callable[..., Store]) -> None:
    store = make_store(*PACKAGES)
    cloud = Cloud(store)
    network, _ = cloud.tenant_network("red")
    port = cloud.make("red", "ports", network_id=network["id"])["id"]
    store.write_now(lambda tx: tx.execute("UPDATE ports SET binding_host = 'h' WHERE id = ?", port))
    point = crash_at_each(SimulatedProjection.step, lambda: SimulatedProjection(store), 1)
    assert cloud.ask("red", "GET", f"/ports/{port}")[1]["port"]["status"] == "ACTIVE"
    covers("simulated projection", point)
