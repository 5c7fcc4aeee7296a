"""The Network API down to packets: rows projected onto real OVN, guests on real taps, all in one namespace."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from api.network.client import Cloud

from bivouac.core import crash, ovsdb
from bivouac.core.loops import Loops
from bivouac.core.store import Store
from bivouac.drivers.net.ovn import Central, HostNetwork, OvnDriver
from bivouac.hostspec.server import PortSpec
from bivouac.network import for_compute
from bivouac.network.for_compute import NetworkRequest, ServerPort
from bivouac.network.projection.loop import Projection

from .namespace import Guest, own_namespace
from .test_ovn_driver import until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ovn-controller") is None, reason="needs root and OVN's packages"
)
WHERE = {"host": "host-1", "availability_zone": "nova"}


class Host:
    """A cloud's network on one host: API, projection, central daemons and the host's driver."""

    def __init__(self, store: Store, state: Path):
        self.api = Cloud(store)
        self.store = store
        self.central = Central(state / "control")
        self.driver = OvnDriver(
            HostNetwork(state / "agent", "host-1", self.central.southbound, gateway="172.24.4.1/24")
        )
        self.projection = self.new_projection()
        self.guests: list[Guest] = []

    def new_projection(self) -> Projection:
        return Projection(self.store, self.central.northbound, self.central.southbound)

    async def boot(self, project: str, server: str, network_id: str, **more: Any) -> tuple[ServerPort, Guest]:
        """A server's port, plugged, with a stand-in for its guest that has the address."""
        call = self.api.call(project)
        request = NetworkRequest(network_id=network_id, **more)
        port: ServerPort = await self.store.write(
            lambda tx: for_compute.attach_port(
                tx, call, request, server_id=server, project_id=project, hostname=server, **WHERE
            )
        )
        tap = await self.driver.ensure_port(
            server, PortSpec(id=port.id, network_id=network_id, mac_address=port.mac_address, mtu=1442)
        )
        for spec in await self.store.read(for_compute.network_specs, "host-1", [network_id]):
            await self.driver.ensure_network(spec)
        guest = await asyncio.to_thread(Guest, tap, port.mac_address)
        self.guests.append(guest)
        return port, guest

    async def ask(self, token: str, method: str, path: str, body: Any = None) -> Any:
        status, answer = await asyncio.to_thread(self.api.ask, token, method, path, body)
        assert status < 300, answer
        return answer

    async def make(self, token: str, path: str, **fields: Any) -> dict[str, Any]:
        return await asyncio.to_thread(lambda: self.api.make(token, path, **fields))

    async def routed_network(self, project: str, public: str, cidr: str) -> tuple[str, str]:
        network, subnet = await asyncio.to_thread(self.api.tenant_network, project, cidr)
        router = await self.make(project, "routers", external_gateway_info={"network_id": public})
        path = f"/routers/{router['id']}/add_router_interface"
        await self.ask(project, "PUT", path, {"subnet_id": subnet["id"]})
        return network["id"], router["id"]

    def northbound(self) -> dict[str, int]:
        """Rows of each table."""
        with ovsdb.Session(self.central.northbound, "OVN_Northbound") as session:
            tables = ("Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Logical_Router_Port", "NAT", "ACL",
                      "Port_Group", "DHCP_Options", "DNS", "Logical_Router_Static_Route")  # fmt: skip
            session.monitor(dict.fromkeys(tables, ("external_ids",)))
            return {table: len(rows) for table, rows in session.tables.items()}


@contextlib.asynccontextmanager
async def host(store: Store, state: Path, run: bool = True) -> AsyncIterator[Host]:
    one = Host(store, state)
    await one.central.start()
    one.central.watch()
    await one.driver.start()
    loops = asyncio.create_task(Loops(store, [one.projection]).run()) if run else None
    try:
        yield one
    finally:
        if loops is not None:
            loops.cancel()
            await asyncio.gather(loops, return_exceptions=True)
        for guest in one.guests:
            guest.close()
        await one.projection.stop()
        await one.driver.shutdown()
        await one.central.shutdown()


@pytest.fixture
def sqlite(make_store: Callable[..., Store], request: pytest.FixtureRequest) -> Store:
    return make_store("bivouac.placement", "bivouac.network")


only_sqlite = pytest.mark.parametrize("make_store", ["sqlite"], indirect=True)


def host_reaches(address: str) -> bool:
    return subprocess.run(["ping", "-c", "1", "-W", "1", address], capture_output=True).returncode == 0


def port_opens(address: str, port: int) -> bool:
    done = subprocess.run(["nc", "-z", "-w", "1", address, str(port)], capture_output=True)
    return done.returncode == 0


@only_sqlite
def test_two_projects_with_one_range_reach_what_they_may(sqlite: Store, tmp_path: Path) -> None:
    async def walk() -> None:
        async with host(sqlite, tmp_path) as one:
            public = (await asyncio.to_thread(one.api.public_network))[0]["id"]
            ends = {}
            for project in ("red", "blue"):
                network_id, _ = await one.routed_network(project, public, "10.0.0.0/24")
                port, guest = await one.boot(project, f"{project}-server", network_id, fixed_ip="10.0.0.50")
                guest.address("10.0.0.50/24", gateway="10.0.0.1")
                floating = await one.make(project, "floatingips", floating_network_id=public, port_id=port.id)
                ends[project] = (port, guest, floating["floating_ip_address"], network_id)
            for project, (port, guest, floating, _) in ends.items():
                active = partial(is_active, sqlite, f"{project}-server")
                await until(active, f"the port of {project} to be ACTIVE")
                assert not host_reaches(floating), "nothing lets ICMP in yet"
                group = (await one.ask("admin", "GET", f"/ports/{port.id}"))["port"]["security_groups"][0]
                await one.make(
                    project, "security-group-rules", security_group_id=group, direction="ingress", protocol="icmp"
                )
                await until(lambda f=floating: host_reaches(f), f"the host to reach {floating}")
                await until(lambda g=guest: g.reaches("172.24.4.1"), "the guest to reach the host")
            red, blue = ends["red"], ends["blue"]
            await until(lambda: red[1].reaches(blue[2]), "red to reach blue by its floating IP")
            server = subprocess.Popen(["ip", "netns", "exec", red[1].name, "nc", "-l", "-k", "-p", "80"])
            try:
                assert not port_opens(red[2], 80), "no rule allows port 80"
                group = (await one.ask("admin", "GET", f"/ports/{red[0].id}"))["port"]["security_groups"][0]
                rule = await one.make(
                    "red", "security-group-rules", security_group_id=group, direction="ingress", protocol="tcp",
                    port_range_min=80, port_range_max=80, remote_ip_prefix="172.24.4.0/24",
                )  # fmt: skip
                await until(lambda: port_opens(red[2], 80), "port 80 to open")
                await one.ask("red", "DELETE", f"/security-group-rules/{rule['id']}")
                await until(lambda: not port_opens(red[2], 80), "port 80 to close")
            finally:
                server.terminate()
                server.wait()
            await spoofing_is_dropped(one, red)

    with own_namespace():
        asyncio.run(walk())


def is_active(store: Store, server: str) -> bool:
    return store.read_now(lambda tx: for_compute.ports_of(tx, [server])[server][0].status == "ACTIVE")


async def spoofing_is_dropped(one: Host, red: tuple[ServerPort, Guest, str, str]) -> None:
    """A second guest of the same group: reached by its own address, not from a stolen one until a pair allows it."""
    other, guest = await one.boot("red", "red-two", red[3], fixed_ip="10.0.0.60")
    guest.address("10.0.0.60/24", gateway="10.0.0.1")
    await until(lambda: guest.reaches("10.0.0.50"), "a member of the group")
    guest.address("10.0.0.77/24")
    stolen = ("ping", "-c", "1", "-W", "1", "-I", "10.0.0.77", "10.0.0.50")
    assert guest.run(*stolen, check=False).returncode != 0
    await one.ask(
        "red", "PUT", f"/ports/{other.id}", {"port": {"allowed_address_pairs": [{"ip_address": "10.0.0.77"}]}}
    )
    await until(lambda: guest.run(*stolen, check=False).returncode == 0, "the allowed pair")


@only_sqlite
def test_dhcp_gives_address_route_and_mtu(sqlite: Store, tmp_path: Path) -> None:
    async def walk() -> None:
        async with host(sqlite, tmp_path) as one:
            network, subnet = await asyncio.to_thread(one.api.tenant_network, "red")
            change = {"subnet": {"dns_nameservers": ["192.0.2.53"]}}
            await one.ask("red", "PUT", f"/subnets/{subnet['id']}", change)
            port, guest = await one.boot("red", "server", network["id"])
            script = tmp_path / "lease"
            script.write_text('#!/bin/sh\n[ "$1" = bound ] && env > $LEASE\nexit 0\n')
            script.chmod(0o755)
            lease = tmp_path / "lease.txt"
            ask = ("env", f"LEASE={lease}", "busybox", "udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", str(script),
                   "-t", "3", "-T", "1", "-O", "staticroutes", "-O", "mtu")  # fmt: skip
            await until(lambda: guest.run(*ask, check=False).returncode == 0 and lease.exists(), "a lease")
            told = dict(line.split("=", 1) for line in lease.read_text().splitlines() if "=" in line)
            assert told["ip"] == port.addresses[0].address
            assert (told["router"], told["dns"], told["mtu"]) == ("10.0.0.1", "192.0.2.53", "1442")
            assert told["staticroutes"] == "169.254.169.254/32 10.0.0.2 0.0.0.0/0 10.0.0.1"

    with own_namespace():
        asyncio.run(walk())


@only_sqlite
def test_lost_northbound_rows_come_back_and_strangers_stay(sqlite: Store, tmp_path: Path) -> None:
    async def walk() -> None:
        async with host(sqlite, tmp_path) as one:
            public = (await asyncio.to_thread(one.api.public_network))[0]["id"]
            network_id, _ = await one.routed_network("red", public, "10.0.0.0/24")
            await one.boot("red", "server", network_id)
            await until(lambda: one.northbound()["ACL"] >= 6 and one.northbound()["NAT"] == 1, "the projection")
            whole = one.northbound()
            foreign = {"op": "insert", "table": "Logical_Switch", "row": {"name": "not-ours"}}
            ovsdb.transact(one.central.northbound, "OVN_Northbound", foreign)
            for table in ("Port_Group", "Logical_Router", "DHCP_Options"):
                ovsdb.transact(one.central.northbound, "OVN_Northbound", {"op": "delete", "table": table, "where": []})
            whole["Logical_Switch"] += 1
            await until(lambda: one.northbound() == whole, f"{whole} to be back")
            old = one.central.pid("ovsdb-northbound")
            assert old is not None
            empty = tmp_path / "empty.db"
            schema = "/usr/share/ovn/ovn-nb.ovsschema"
            subprocess.run(["ovsdb-tool", "create", str(empty), schema], check=True)
            empty.rename(one.central.directory / "nb.db")
            os.kill(old, signal.SIGKILL)
            whole["Logical_Switch"] -= 1
            await until(lambda: one.central.pid("ovsdb-northbound") not in (old, None), "a new server")
            await until(lambda: one.central.daemons()["ovsdb-northbound"] == "running", "it to listen")
            await until(lambda: one.northbound() == whole, "everything of ours in an empty database")

    with own_namespace():
        asyncio.run(walk())


@only_sqlite
def test_every_crash_of_the_projection_ends_the_same(sqlite: Store, tmp_path: Path) -> None:
    """Stop at the n-th side effect, for every n; a new projection ends where an undisturbed one does, and rests."""

    async def passes(one: Host, projection: Projection) -> None:
        while await projection.step("all") is not None:
            pass  # the server has not yet seen that the one before hung up, and keeps its lock

    async def walk() -> None:
        async with host(sqlite, tmp_path, run=False) as one:
            public = (await asyncio.to_thread(one.api.public_network))[0]["id"]
            n = 0
            while True:
                n += 1
                network_id, router_id = await one.routed_network("red", public, "10.0.0.0/24")
                with crash.arm(n) as point:
                    projection = one.new_projection()
                    try:
                        await passes(one, projection)
                    except crash.Crashed:
                        pass
                    await projection.stop()
                projection = one.new_projection()
                await passes(one, projection)
                with crash.arm() as rest:
                    await passes(one, projection)
                assert rest.seen == [], "a second pass has nothing to do"
                made = one.northbound()
                assert (made["Logical_Switch"], made["Logical_Router"], made["NAT"]) == (2, 1, 1)
                (subnet,) = (await one.ask("red", "GET", f"/subnets?network_id={network_id}"))["subnets"]
                path = f"/routers/{router_id}/remove_router_interface"
                await one.ask("red", "PUT", path, {"subnet_id": subnet["id"]})
                await one.ask("red", "DELETE", f"/routers/{router_id}")
                await one.ask("red", "DELETE", f"/networks/{network_id}")
                await passes(one, projection)
                assert one.northbound() == {
                    **dict.fromkeys(one.northbound(), 0), "Logical_Switch": 1, "Logical_Switch_Port": 1,
                }  # fmt: skip
                await projection.stop()
                if len(point.seen) < n:
                    break
            assert n > 1

    with own_namespace():
        asyncio.run(walk())


@only_sqlite
def test_one_of_two_control_processes_projects_and_the_other_takes_over(sqlite: Store, tmp_path: Path) -> None:
    async def walk() -> None:
        async with host(sqlite, tmp_path, run=False) as one:
            other = one.new_projection()
            await one.projection.step("all")
            await asyncio.to_thread(one.api.tenant_network, "red")
            assert await other.step("all") is not None, "it is not its turn"
            assert one.northbound()["Logical_Switch"] == 0
            await one.projection.stop()
            async with asyncio.timeout(30):
                while await other.step("all") is not None:
                    await asyncio.sleep(0.02)
            assert one.northbound()["Logical_Switch"] == 1
            await other.stop()

    with own_namespace():
        asyncio.run(walk())


@only_sqlite
def test_a_thousand_ports_are_one_quick_pass(sqlite: Store, tmp_path: Path) -> None:
    async def walk() -> None:
        async with host(sqlite, tmp_path, run=False) as one:
            await one.ask("admin", "PUT", "/quotas/red", {"quota": {"port": -1}})
            network, _ = await asyncio.to_thread(one.api.tenant_network, "red", "10.0.0.0/16")
            bulk = {"ports": [{"network_id": network["id"]}] * 1000}
            await one.ask("red", "POST", "/ports", bulk)
            started = time.monotonic()
            await one.projection.step("all")
            assert one.northbound()["Logical_Switch_Port"] == 1001
            with crash.arm() as rest:
                await one.projection.step("all")
            assert rest.seen == []
            print("first pass and a second one:", time.monotonic() - started, one.projection.last_pass_s)

    with own_namespace():
        asyncio.run(walk())
