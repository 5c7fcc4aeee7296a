"""Two machines, one cloud: a second host joins over TLS, and servers on both reach each other and the outside.

Each machine is a network namespace, with a cable between them. Where the kernel has no Open vSwitch of its own, the
userspace one carries the tunnels; it wants the tunnels' address on a bridge of its own, so the test puts it there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plain_guest import wait_for
from whole_cloud import WholeCloud

pytestmark = pytest.mark.timeout(900)
FIRST, SECOND = "10.78.0.1", "10.78.0.2"
OPENSTACK = str(Path(sys.executable).with_name("openstack"))


class TwoHosts:
    """The cloud's machine, the further one, and the demo server's floating address."""

    def __init__(self, first: WholeCloud, second: WholeCloud) -> None:
        self.first, self.second = first, second
        self.demo = ""

    def pitch(self, folder: Path) -> None:
        self.first.connect(self.second, FIRST, SECOND)
        self.first.environment |= {"BIVOUAC_HTTP_HOST": FIRST, "HOME": str(folder)}
        self.first.bivouac("up")
        self.first.bivouac("host", "add", "second", "--output", str(folder / "second.host"))
        self.second.bivouac("host", "join", str(folder / "second.host"))
        for cloud, address in ((self.first, FIRST), (self.second, SECOND)):
            # `join` waits for the agent, not for what that starts.
            if wait_for("the switch", lambda cloud=cloud: datapath(cloud), 60) == "netdev":
                carry_tunnels(cloud, address)
        said = self.first.bivouac("setup").stdout
        found = re.search(r"cirros@([0-9.]+)", said)
        assert found, said
        self.demo = found.group(1)

    def openstack(self, *words: str) -> str:
        """As the administrator in the demo project."""
        return self.first.inside(OPENSTACK, "--os-cloud", "bivouac-admin", "--os-project-name", "demo", *words).stdout


def switch(cloud: WholeCloud, *words: str, check: bool = True) -> str:
    database = f"--db=unix:{cloud.state}/agent/ovn-host/switch.sock"
    return cloud.inside("ovs-vsctl", database, *words, check=check).stdout.strip()


def datapath(cloud: WholeCloud) -> str:
    """Of the integration bridge; empty while there is none."""
    return switch(cloud, "get", "bridge", "br-int", "datapath_type", check=False)


def carry_tunnels(cloud: WholeCloud, address: str) -> None:
    """Put the cable and its address on a bridge of the userspace datapath."""
    switch(cloud, "add-br", "br-cable", "--", "set", "bridge", "br-cable", "datapath_type=netdev", "--",
           "add-port", "br-cable", "cable")  # fmt: skip
    cloud.inside("ethtool", "-K", "cable", "tx", "off")
    cloud.inside("ip", "addr", "del", f"{address}/24", "dev", "cable")
    cloud.inside("ip", "addr", "add", f"{address}/24", "dev", "br-cable")
    cloud.inside("ip", "link", "set", "br-cable", "up")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    first, second = WholeCloud(), WholeCloud()
    hosts = TwoHosts(first, second)
    try:
        hosts.pitch(tmp_path_factory.mktemp("home"))
        yield hosts
    finally:
        second.close()
        first.close()


@pytest.fixture(scope="module")
def far(hosts: TwoHosts) -> str:
    """The floating address of a server on the second host."""
    hosts.first.inside(OPENSTACK, "--os-cloud", "bivouac-admin", "role", "add", "--user", "admin", "--project", "demo",
                       "admin")  # fmt: skip
    hosts.openstack("keypair", "create", "--public-key", f"{hosts.first.state}/access/demo_key.pub", "demo")
    made = hosts.openstack("server", "create", "--flavor", "m1.micro", "--image", "tiny", "--key-name", "demo",
                           "--network", "demo", "--security-group", "demo", "--availability-zone", "nova:second",
                           "--wait", "far", "-f", "value", "-c", "OS-EXT-SRV-ATTR:host", "-c", "status")  # fmt: skip
    assert made.split() == ["second", "ACTIVE"]
    address = hosts.openstack("floating", "ip", "create", "public", "-f", "value", "-c", "floating_ip_address").strip()
    hosts.openstack("server", "add", "floating", "ip", "far", address)
    return address


def fixed(hosts: TwoHosts, name: str) -> str:
    found = re.search(r"10\.10\.0\.\d+", hosts.openstack("server", "show", name, "-f", "value", "-c", "addresses"))
    assert found
    return found.group()


def logged_in(hosts: TwoHosts, address: str, command: str) -> str:
    try:
        return hosts.first.ssh(address, command)
    except AssertionError:
        return ""


def test_a_server_on_the_second_host_has_network_metadata_and_a_way_in(hosts: TwoHosts, far: str) -> None:
    wait_for("a login", lambda: logged_in(hosts, far, "hostname") == "far", 120)
    told = hosts.first.ssh(far, "wget -q -O - http://169.254.169.254/latest/meta-data/local-ipv4")
    assert told == fixed(hosts, "far")


def test_servers_on_both_hosts_reach_each_other_with_full_packets(hosts: TwoHosts, far: str) -> None:
    wait_for("a login", lambda: logged_in(hosts, far, "hostname") == "far", 120)
    for at, to in ((hosts.demo, "far"), (far, "demo")):
        hosts.first.ssh(at, f"ping -c 2 -W 5 -s 1300 {fixed(hosts, to)}")
    assert hosts.first.ssh(far, "head -c 3000000 /dev/zero").encode() == bytes(3000000)


def test_the_serial_line_of_a_far_server_comes_through_both_tls_links(hosts: TwoHosts, far: str) -> None:
    url = hosts.openstack("console", "url", "show", "--serial", "far", "-f", "value", "-c", "url").strip()
    assert url.startswith(f"https://{FIRST}:5000/")
    authority = f"{hosts.first.state}/authority/certificate.pem"
    done = hosts.first.inside(sys.executable, "-c", SERIAL, url.replace("http", "ws", 1), authority)
    assert done.stdout.strip() == "far login:"


SERIAL = """
import ssl, sys
from websockets.sync.client import connect
context = ssl.create_default_context(cafile=sys.argv[2])
with connect(sys.argv[1], ssl=context, subprotocols=["binary"], proxy=None) as line:
    line.send(b"\\n")
    seen = b""
    while b"login:" not in seen:
        seen += line.recv(60)
print(seen.decode(errors="replace").split("\\n")[-1].strip())
"""


def test_the_second_host_s_agent_is_killed_and_nothing_is_noticed(hosts: TwoHosts, far: str) -> None:
    booted = hosts.first.ssh(far, "cat /proc/sys/kernel/random/boot_id")
    pid = int((hosts.second.state / "run/agent.pid").read_text().split()[0])
    hosts.second.inside("kill", "-9", str(pid))
    wait_for("another agent", lambda: _pid(hosts.second) not in (0, pid), 60)
    assert hosts.first.ssh(far, "cat /proc/sys/kernel/random/boot_id") == booted
    wait_for("a healthy status", lambda: hosts.first.bivouac("status", check=False).returncode == 0, 60)


def _pid(cloud: WholeCloud) -> int:
    try:
        return int((cloud.state / "run/agent.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def test_deleting_the_server_leaves_nothing_on_its_host(hosts: TwoHosts, far: str) -> None:
    hosts.openstack("server", "delete", "--wait", "far")
    wait_for("no tap", lambda: "tap" not in hosts.second.inside("ip", "-o", "link").stdout, 60)
    assert list((hosts.second.state / "agent/guests").iterdir()) == []
