"""Two projects that use one range cannot see each other, and a guest cannot pretend to be another."""

import asyncio
import os
import shutil
import socket
from pathlib import Path

import pytest

from bivouac.core.store import Store
from bivouac.network import for_compute

from .namespace import Guest, ip, own_namespace
from .test_ovn_driver import until
from .test_projection import Host, host, only_sqlite, sqlite  # noqa: F401 - the fixture

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ovn-controller") is None, reason="needs root and OVN's packages"
)
CURL = ("curl", "-s", "-m", "5", "http://169.254.169.254/")


async def metadata_socket(one: Host, network_id: str) -> socket.socket:
    (spec,) = await one.store.read(for_compute.network_specs, "host-1", [network_id])
    listening = await one.driver.ensure_network(spec)
    assert listening is not None
    return listening


async def answer(listening: socket.socket, name: str) -> str:
    """Answer one request with a name; returns where it came from."""
    loop = asyncio.get_running_loop()
    connection, source = await loop.sock_accept(listening)
    connection.setblocking(False)
    await loop.sock_recv(connection, 4096)
    await loop.sock_sendall(connection, f"HTTP/1.0 200 OK\r\nContent-Length: {len(name)}\r\n\r\n{name}".encode())
    connection.close()
    return source[0]


async def open_icmp(one: Host, project: str) -> None:
    (group,) = (await one.ask(project, "GET", "/security-groups?name=default"))["security_groups"]
    await one.make(project, "security-group-rules", security_group_id=group["id"], direction="ingress", protocol="icmp")


@only_sqlite
def test_nobody_is_anybody_else(sqlite: Store, tmp_path: Path) -> None:  # noqa: F811
    async def walk() -> None:
        async with host(sqlite, tmp_path) as one:
            guests: dict[str, Guest] = {}
            sockets: dict[str, socket.socket] = {}
            for project in ("red", "blue"):
                network, _ = await asyncio.to_thread(one.api.tenant_network, project)
                for number in (50, 60):
                    name = f"{project}-{number}"
                    address = f"10.0.0.{number}"
                    _, guests[name] = await one.boot(project, name, network["id"], fixed_ip=address)
                    guests[name].address(f"{address}/24", "169.254.1.1/16")
                sockets[project] = await metadata_socket(one, network["id"])
                await open_icmp(one, project)
            red, other = guests["red-50"], guests["red-60"]
            await until(lambda: red.reaches("10.0.0.60") and guests["blue-60"].reaches("10.0.0.50"), "each its own")
            await metadata_is_the_own_networks(guests, sockets)
            ip("-n", guests["blue-50"].name, "link", "set", "eth0", "down")
            await until(lambda: not guests["blue-60"].reaches("10.0.0.50"), "blue's own guest to be gone")
            assert red.reaches("10.0.0.60"), "the same address in red is another guest"

            ip("-n", other.name, "link", "set", "eth0", "address", "fa:16:3e:66:66:66")
            assert not other.reaches("10.0.0.50"), "a MAC address that is not the port's own is dropped"
            mac = (await sqlite.read(for_compute.ports_of, ["red-60"]))["red-60"][0].mac_address
            ip("-n", other.name, "link", "set", "eth0", "address", mac)
            await until(lambda: other.reaches("10.0.0.50"), "the guest with its own MAC address again")

            other.address("10.0.0.50/32")
            stolen = await asyncio.to_thread(other.run, *CURL, "--interface", "10.0.0.50", check=False)
            assert stolen.returncode != 0, "metadata of a neighbour by its address"

    with own_namespace():
        asyncio.run(walk())


async def metadata_is_the_own_networks(guests: dict[str, Guest], sockets: dict[str, socket.socket]) -> None:
    """Guests with one address in two networks each get the answer of their own."""
    for name, project in (("red-50", "red"), ("blue-50", "blue"), ("red-60", "red")):
        address = f"10.0.0.{name[-2:]}"
        curl = [*CURL, "--interface", address]
        asking = asyncio.create_task(asyncio.to_thread(guests[name].run, *curl))
        assert await asyncio.wait_for(answer(sockets[project], project), 20) == address
        assert (await asking).stdout == project
