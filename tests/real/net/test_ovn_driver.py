"""The OVN driver with real daemons in a namespace of its own: adopt, restart, plug, metadata, nothing left over."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bivouac.core import crash, ovsdb
from bivouac.drivers.net.ovn import Central, HostNetwork, OvnDriver
from bivouac.drivers.net.ovn.kernel import device_exists
from bivouac.hostspec.network import MetadataPort, NetworkSpec
from bivouac.hostspec.server import PortSpec

from .namespace import Guest, own_namespace

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ovn-controller") is None, reason="needs root and OVN's packages"
)
NETWORK = "11111111-0000-4000-8000-000000000001"
PORT_A = PortSpec(
    id="aaaaaaaa-0000-4000-8000-000000000001", network_id=NETWORK, mac_address="fa:16:3e:00:00:0a", mtu=1442
)
PORT_B = PortSpec(
    id="bbbbbbbb-0000-4000-8000-000000000001", network_id=NETWORK, mac_address="fa:16:3e:00:00:0b", mtu=1442
)
METADATA = MetadataPort("cccccccc-0000-4000-8000-000000000001", "fa:16:3e:00:00:02", ("10.0.0.2/24",))
SPEC = NetworkSpec(id=NETWORK, generation=1, mtu=1442, metadata_port=METADATA)


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    end = time.monotonic() + timeout_s
    while not (seen := condition()):
        assert time.monotonic() < end, f"waited {timeout_s} s for {what}; last saw {seen!r}"
        await asyncio.sleep(0.02)
    return seen


@contextlib.asynccontextmanager
async def cloud(state: Path) -> AsyncIterator[tuple[Central, OvnDriver]]:
    central = Central(state)
    driver = OvnDriver(HostNetwork(state, "host-1", central.southbound, gateway="172.24.4.1/24"))
    try:
        await central.start()
        central.watch()
        await driver.start()
        yield central, driver
    finally:
        await driver.shutdown()
        await central.shutdown()


def make_network(central: Central) -> None:
    """A switch with two ports and a localport, straight into the northbound database."""
    ports = [
        (PORT_A.id, f"{PORT_A.mac_address} 10.0.0.10", ""),
        (PORT_B.id, f"{PORT_B.mac_address} 10.0.0.11", ""),
        (METADATA.id, f"{METADATA.mac_address} 10.0.0.2", "localport"),
    ]
    ovsdb.transact(
        central.northbound,
        "OVN_Northbound",
        *[
            {
                "op": "insert",
                "table": "Logical_Switch_Port",
                "uuid-name": f"port{at}",
                "row": {"name": name, "addresses": address, "type": kind},
            }
            for at, (name, address, kind) in enumerate(ports)
        ],
        {
            "op": "insert",
            "table": "Logical_Switch",
            "row": {"name": NETWORK, "ports": ovsdb.to_set([ovsdb.named(f"port{at}") for at in range(len(ports))])},
        },
    )


def port_is_up(central: Central, port_id: str) -> bool:
    rows = ovsdb.transact(
        central.southbound,
        "OVN_Southbound",
        {
            "op": "select",
            "table": "Port_Binding",
            "where": [["logical_port", "==", port_id]],
            "columns": ["up", "chassis"],
        },
    )[0]["rows"]
    return bool(rows) and rows[0]["up"] is True


def leftovers(state: Path) -> list[str]:
    """Whatever of a cloud is still on this host: devices, namespaces, rules, processes."""
    found = [line.split(":")[1].strip() for line in subprocess.run(
        ["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()]  # fmt: skip
    found = [name for name in found if name != "lo"]
    cloud_id = (state / "ovn-host" / "cloud").read_text().strip()
    if os.path.isdir("/run/netns"):
        found += [name for name in os.listdir("/run/netns") if cloud_id in name]
    found += subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout.split("\n")
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{entry}/cmdline").read_bytes()
                if os.fsencode(f"--pidfile={state}") in command:
                    found.append(command.replace(b"\0", b" ").decode())
    return [one for one in found if one]


def test_two_guests_and_metadata_and_nothing_left(tmp_path: Path) -> None:
    async def walk() -> None:
        async with cloud(tmp_path) as (central, driver):
            make_network(central)
            tap_a = await driver.ensure_port("server-a", PORT_A)
            tap_b = await driver.ensure_port("server-b", PORT_B)
            listening = await driver.ensure_network(SPEC)
            assert listening is not None
            assert await driver.observe_ports() == {PORT_A.id: tap_a, PORT_B.id: tap_b}
            assert await driver.observe_port_servers() == {PORT_A.id: "server-a", PORT_B.id: "server-b"}
            assert await driver.observe_networks() == (NETWORK,)
            await until(lambda: port_is_up(central, PORT_A.id) and port_is_up(central, PORT_B.id), "both ports up")
            a, b = Guest(tap_a, PORT_A.mac_address), Guest(tap_b, PORT_B.mac_address)
            try:
                a.address("10.0.0.10/24", "169.254.1.1/16")
                b.address("10.0.0.11/24")
                await until(lambda: a.reaches("10.0.0.11"), "guest to guest")
                asking = asyncio.create_task(
                    asyncio.to_thread(
                        a.run, "curl", "-s", "-m", "10", "--interface", "10.0.0.10", "http://169.254.169.254/who"
                    )
                )
                loop = asyncio.get_running_loop()
                connection, source = await asyncio.wait_for(loop.sock_accept(listening), 10)
                assert source[0] == "10.0.0.10"
                connection.setblocking(False)
                assert b"GET /who" in await loop.sock_recv(connection, 4096)
                await loop.sock_sendall(connection, b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyou")
                connection.close()
                assert (await asyncio.wait_for(asking, 10)).stdout == "you"
            finally:
                a.close()
                b.close()

    with own_namespace():
        asyncio.run(walk())
        assert leftovers(tmp_path) == []


def test_a_new_agent_adopts_everything_and_does_nothing(tmp_path: Path) -> None:
    async def walk() -> None:
        async with cloud(tmp_path) as (central, first):
            make_network(central)
            tap = await first.ensure_port("server-a", PORT_A)
            await first.ensure_network(SPEC)
            pids = {name: first.pid(name) for name in first.daemons()}
            await first.stop()
            second = OvnDriver(first.settings)
            with crash.arm() as point:
                await second.start()
                assert await second.ensure_port("server-a", PORT_A) == tap
                assert await second.ensure_network(SPEC) is not None
            assert point.seen == ["masquerade"], "the table is replaced whole, in one transaction of the kernel"
            assert {name: second.pid(name) for name in second.daemons()} == pids
            await second.stop()
            await first.start()

    with own_namespace():
        asyncio.run(walk())


@pytest.mark.parametrize("daemon", ["ovsdb-switch", "ovs-vswitchd", "ovn-controller", "ovsdb-northbound",
                                    "ovsdb-southbound", "ovn-northd"])  # fmt: skip
def test_a_killed_daemon_comes_back_and_guests_reach_each_other(tmp_path: Path, daemon: str) -> None:
    async def walk() -> None:
        async with cloud(tmp_path) as (central, driver):
            make_network(central)
            taps = [await driver.ensure_port("server", port) for port in (PORT_A, PORT_B)]
            await driver.ensure_network(SPEC)
            a, b = Guest(taps[0], PORT_A.mac_address), Guest(taps[1], PORT_B.mac_address)
            try:
                a.address("10.0.0.10/24")
                b.address("10.0.0.11/24")
                await until(lambda: a.reaches("10.0.0.11"), "guest to guest")
                owner: Any = driver if daemon in driver.daemons() else central
                old = owner.pid(daemon)
                os.kill(old, signal.SIGKILL)
                await until(
                    lambda: owner.daemons()[daemon] != "running" or owner.pid(daemon) not in (old, None), "death"
                )
                await until(lambda: owner.daemons()[daemon] == "running", f"{daemon} to be back")
                assert owner.pid(daemon) not in (old, None)
                await until(lambda: a.reaches("10.0.0.11"), "guest to guest again")
                assert await driver.ensure_port("server", PORT_A) == taps[0]
            finally:
                a.close()
                b.close()

    with own_namespace():
        asyncio.run(walk())
        assert leftovers(tmp_path) == []


def test_every_crash_of_the_agent_converges(tmp_path: Path) -> None:
    """Stop at the n-th side effect of plug and unplug, for every n; a new driver finishes, and twice is once."""

    async def life(driver: OvnDriver) -> None:
        await driver.start()
        tap = await driver.ensure_port("server-a", PORT_A)
        await driver.ensure_network(SPEC)
        assert await driver.observe_ports() == {PORT_A.id: tap}

    async def death(driver: OvnDriver) -> None:
        await driver.remove_port(PORT_A.id)
        await driver.remove_network(NETWORK)

    async def walk() -> None:
        async with cloud(tmp_path) as (_, driver):
            for part in (life, death):
                n = 0
                while True:
                    n += 1
                    await driver.stop()
                    other = OvnDriver(driver.settings)
                    with crash.arm(n) as point:
                        try:
                            await part(other)
                        except crash.Crashed:
                            pass
                        if part is death and len(point.seen) < n:
                            break
                    await other.stop()
                    driver = OvnDriver(driver.settings)
                    await life(driver)
                    if part is life:
                        if len(point.seen) < n:
                            break
                        await death(driver)
                        assert await driver.observe_ports() == {}
                        assert await driver.observe_networks() == ()
            await driver.stop()

    with own_namespace():
        asyncio.run(walk())
        assert leftovers(tmp_path) == []


def test_metadata_that_vanished_is_made_anew(tmp_path: Path) -> None:
    """The namespace goes (with it the veth), and its name stays behind as an empty file: metadata answers again."""

    async def walk() -> None:
        async with cloud(tmp_path) as (central, driver):
            make_network(central)
            tap = await driver.ensure_port("server", PORT_A)
            await driver.ensure_network(SPEC)
            await driver.stop()
            namespace = f"bivouac-{(tmp_path / 'ovn-host' / 'cloud').read_text()}-{NETWORK}"
            subprocess.run(["ip", "netns", "del", namespace], check=True)
            Path("/run/netns", namespace).touch()
            again = OvnDriver(driver.settings)
            await again.start()
            guest = Guest(tap, PORT_A.mac_address)
            try:
                guest.address("10.0.0.10/24", "169.254.1.1/16")
                await until(lambda: not device_exists(f"md{NETWORK[:11]}"), "the veth to go")
                assert await again.ensure_network(SPEC) is not None
                await until(lambda: guest.reaches("10.0.0.2"), "the guest to reach the metadata port")
            finally:
                guest.close()
                await again.stop()

    with own_namespace():
        asyncio.run(walk())
        assert leftovers(tmp_path) == []


@pytest.mark.parametrize("lives_on", [False, True])
def test_a_namespace_whose_name_was_lost_is_made_anew(tmp_path: Path, lives_on: bool) -> None:
    """An agent in another mount namespace (`ip netns exec` makes one) does not see the mount of the last one's. The
    namespace itself may live on with its device, held by some process, or go at any moment."""

    async def walk() -> None:
        async with cloud(tmp_path) as (central, driver):
            make_network(central)
            tap = await driver.ensure_port("server", PORT_A)
            await driver.ensure_network(SPEC)
            await driver.stop()
            name = Path("/run/netns", f"bivouac-{(tmp_path / 'ovn-host' / 'cloud').read_text()}-{NETWORK}")
            held = os.open(name, os.O_RDONLY)
            if not lives_on:
                os.close(held)
            subprocess.run(["umount", "-l", str(name)], check=True)
            again = OvnDriver(driver.settings)
            await again.start()
            guest = Guest(tap, PORT_A.mac_address)
            try:
                guest.address("10.0.0.10/24", "169.254.1.1/16")
                assert await again.ensure_network(SPEC) is not None
                await until(lambda: guest.reaches("10.0.0.2"), "the guest to reach the metadata port")
            finally:
                guest.close()
                await again.stop()
                if lives_on:
                    os.close(held)

    with own_namespace():
        asyncio.run(walk())
        assert leftovers(tmp_path) == []


def test_a_tap_that_vanished_is_plugged_anew(tmp_path: Path) -> None:
    async def walk() -> None:
        async with cloud(tmp_path) as (central, driver):
            make_network(central)
            taps = [await driver.ensure_port("server", port) for port in (PORT_A, PORT_B)]
            await until(lambda: port_is_up(central, PORT_A.id), "the port up")
            subprocess.run(["ip", "link", "del", taps[0]], check=True)
            assert await driver.ensure_port("server", PORT_A) == taps[0]
            a, b = Guest(taps[0], PORT_A.mac_address), Guest(taps[1], PORT_B.mac_address)
            try:
                a.address("10.0.0.10/24")
                b.address("10.0.0.11/24")
                await until(lambda: a.reaches("10.0.0.11"), "guest to guest over the new tap")
            finally:
                a.close()
                b.close()

    with own_namespace():
        asyncio.run(walk())


def test_an_address_that_changes_hands_is_asked_for_anew(tmp_path: Path) -> None:
    """Otherwise metadata answers the old guest's MAC for eight seconds, while the new guest boots and waits."""

    async def walk() -> None:
        async with cloud(tmp_path) as (_, driver):
            namespace = f"bivouac-{(tmp_path / 'ovn-host' / 'cloud').read_text()}-{NETWORK}"

            async def known(server_id: str) -> str:
                servers = {"10.0.0.10": server_id}
                spec = NetworkSpec(id=NETWORK, generation=1, mtu=1442, metadata_port=METADATA, servers=servers)
                await driver.ensure_network(spec)
                command = ["ip", "-n", namespace, "neigh", "show", "dev", "metadata"]
                return subprocess.run(command, capture_output=True, text=True, check=True).stdout

            await known("first")
            entry = ["10.0.0.10", "lladdr", "fa:16:3e:00:00:0a", "dev", "metadata", "nud", "stale"]
            subprocess.run(["ip", "-n", namespace, "neigh", "add", *entry], check=True)
            assert "10.0.0.10" in await known("first")
            assert "10.0.0.10" not in await known("second")

    with own_namespace():
        asyncio.run(walk())
