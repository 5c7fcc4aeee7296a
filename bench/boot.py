"""`POST /servers` to the first SSH command, beside the same QEMU command line started by hand. Run as root.

Both guests have the same disk image, command line, port, addresses and metadata; by hand, the disk is cloned and the
tap plugged beforehand and only QEMU's start to the same SSH command counts. So the difference is what the cloud adds:
API, scheduling, link, disk, plug, QEMU's start. Where the time goes is said by the guests' own stages and by the
processor time that each guest's QEMU and everything beside it took, which other work on the machine changes less.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/real"))

from whole_cloud import WholeCloud  # noqa: E402

from bivouac.core.run import spawn  # noqa: E402
from bivouac.core.settings import load  # noqa: E402
from bivouac.drivers.hypervisor.qemu.monitor import listen_unix  # noqa: E402
from bivouac.drivers.hypervisor.qemu.tap import open_tap  # noqa: E402
from bivouac.drivers.net.ovn import HostNetwork, OvnDriver  # noqa: E402
from bivouac.hostspec.server import PortSpec  # noqa: E402

ROUNDS = 5
LIMIT_S = 120.0
TRY_S = 0.05
STAGES = ("GUEST-UP", "NET-UP", "READY")
"""What the tiny guest says on its console, with its uptime: user space runs, it has an address, all is done."""
URL = "http://127.0.0.1:5000"


class Client:
    """The demo user of the cloud, with plain requests."""

    def __init__(self, state: Path):
        self.state = state
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        password = (state / "access/demo-password").read_text().strip()
        user = {"name": "demo", "domain": {"id": "default"}, "password": password}
        identity = {"methods": ["password"], "password": {"user": user}}
        self.token = ""
        answer = self.call("POST", "/identity/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        self.token = answer["token_id"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "X-Auth-Token": self.token}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(URL + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            found = json.loads(text) if text else {}
            if answer.headers.get("X-Subject-Token"):
                found["token_id"] = answer.headers["X-Subject-Token"]
            return found

    def wait(self, server_id: str, status: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self.call("GET", f"/compute/v2.1/servers/{server_id}")["server"]["status"] != status:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{server_id} is not {status}")
            time.sleep(0.02)

    def ssh(self, address: str) -> None:
        """Return as soon as a command ran in the guest.

        Whether its port is open is tried often: a SYN that comes too early is repeated after a second, and would make
        whole seconds of all that is measured.
        """
        listening = False
        deadline = time.monotonic() + LIMIT_S
        while not listening:
            with socket.socket() as connection, contextlib.suppress(OSError):
                connection.settimeout(TRY_S)
                connection.connect((address, 22))
                listening = True
            if time.monotonic() > deadline:
                raise TimeoutError(f"{address} does not answer")
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        options += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=1", "-i", str(self.state / "access/demo_key")]
        while subprocess.run(["ssh", *options, f"cirros@{address}", "true"], capture_output=True).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{address} does not answer")
            time.sleep(0.02)


def qemu_of(server_id: str) -> tuple[int, float]:
    """Process of a guest, and the moment (CLOCK_BOOTTIME) of its start."""
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdecimal() and f"/guests/{server_id}/" in os.readlink(f"/proc/{entry.name}/cwd") + "/":
                fields = Path(f"/proc/{entry.name}/stat").read_bytes().rpartition(b")")[2].split()
                return int(entry.name), int(fields[19]) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    raise LookupError(server_id)


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cloud_cpu_s() -> float:
    """Processor time that the cloud's processes have taken: all of this network namespace but guests and ourselves."""
    here = os.readlink("/proc/self/ns/net")
    total = 0.0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if not entry.name.isdecimal() or os.readlink(f"/proc/{entry.name}/ns/net") != here:
                continue
            if not Path(f"/proc/{entry.name}/comm").read_text().startswith(("qemu", "ssh")):
                total += cpu_s(int(entry.name)) if int(entry.name) != os.getpid() else 0.0
    return total


def stages(folder: Path) -> dict[str, float]:
    """The guest's uptime at each of its stages; its console says the last a while after the first login."""
    end = time.monotonic() + LIMIT_S
    while True:
        text = (folder / "console.log").read_text(errors="replace")
        found = {name: float(up) for name, up in re.findall(r"guest: ([A-Z-]+) ([0-9.]+)", text) if name in STAGES}
        if len(found) == len(STAGES):
            return found
        if time.monotonic() > end:
            raise TimeoutError(text[-500:])
        time.sleep(0.05)


def by_hand(
    client: Client, command: list[str], server_id: str, port: dict[str, Any], address: str
) -> tuple[float, float, float, dict[str, float]]:
    """Start the same command line with a fresh clone of the disk. Seconds to the first SSH command, processor time of
    the guest and of the cloud until then, the guest's stages."""
    settings = load(str(client.state))
    net = OvnDriver(HostNetwork(settings.agent_path, "bench", ""))
    spec = PortSpec(port["id"], port["network_id"], port["mac_address"], 1442)
    with tempfile.TemporaryDirectory(prefix="bv-hand-") as name:
        folder = Path(name)
        original = json.loads(next(word for word in command if '"filename"' in word))["file"]["filename"]
        base = next(Path(original).parent.glob("base-*"))
        disk = folder / "root.qcow2"
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", base.suffix[1:], str(disk), "1G"]
        subprocess.run(create, check=True)
        tap = asyncio.run(net.ensure_port(server_id, spec))
        listeners = [listen_unix(folder / channel) for channel in ("monitor", "serial", "guest-agent")]
        queue = open_tap(tap)
        fds = iter([*(listener.fileno() for listener in listeners), queue])
        words = (word.replace(original, str(disk)) for word in command)
        command = [re.sub(r"\bfd=\d+", lambda _: f"fd={next(fds)}", word) for word in words]
        beside = cloud_cpu_s()
        started = time.monotonic()
        process = spawn(command, pass_fds=[*(one.fileno() for one in listeners), queue], cwd=folder)
        try:
            client.ssh(address)
            took, guest_cpu_s, beside = time.monotonic() - started, cpu_s(process.pid), cloud_cpu_s() - beside
            return took, guest_cpu_s, beside, stages(folder)
        finally:
            process.kill()
            process.wait()
            os.close(queue)
            for listener in listeners:
                listener.close()


def one_round(client: Client, number: int, found: dict[str, list[float]]) -> None:
    """One server by the API, then the same by hand."""
    network = next(n for n in client.call("GET", "/network/v2.0/networks?name=demo")["networks"])
    public = next(n for n in client.call("GET", "/network/v2.0/networks?name=public")["networks"])
    group = next(g for g in client.call("GET", "/network/v2.0/security-groups?name=demo")["security_groups"])
    image = next(i for i in client.call("GET", "/image/v2/images?name=tiny")["images"])
    flavors = client.call("GET", "/compute/v2.1/flavors/detail")["flavors"]
    flavor = min((f for f in flavors if f["ram"] >= 256 and f["disk"] >= 1), key=lambda f: f["ram"])
    body = {"port": {"network_id": network["id"], "security_groups": [group["id"]]}}
    port = client.call("POST", "/network/v2.0/ports", body)["port"]
    body = {"floatingip": {"floating_network_id": public["id"], "port_id": port["id"]}}
    floating = client.call("POST", "/network/v2.0/floatingips", body)["floatingip"]
    address = floating["floating_ip_address"]
    wanted = {
        "name": f"boot-{number}", "imageRef": image["id"], "flavorRef": flavor["id"], "key_name": "demo",
        "networks": [{"port": port["id"]}],
    }  # fmt: skip
    time.sleep(1.0)  # let the projection of port and address settle: it is not what is measured
    beside = cloud_cpu_s()
    asked, asked_boot = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    server = client.call("POST", "/compute/v2.1/servers", {"server": wanted})["server"]
    found["answer"].append(time.monotonic() - asked)
    client.ssh(address)
    found["cloud"].append(time.monotonic() - asked)
    pid, start = qemu_of(server["id"])
    found["cloud guest cpu"].append(cpu_s(pid))
    found["cloud beside cpu"].append(cloud_cpu_s() - beside)
    found["start"].append(start - asked_boot)
    for name, up in stages(Path(os.readlink(f"/proc/{pid}/cwd"))).items():
        found[f"cloud {name}"].append(up)
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    # suspended, it has no process, and its port stays plugged
    client.call("POST", f"/compute/v2.1/servers/{server['id']}/action", {"suspend": None})
    client.wait(server["id"], "SUSPENDED")
    took, guest_cpu_s, beside, reached = by_hand(client, command, server["id"], port, address)
    found["hand"].append(took)
    found["hand guest cpu"].append(guest_cpu_s)
    found["hand beside cpu"].append(beside)
    for name, up in reached.items():
        found[f"hand {name}"].append(up)
    client.call("DELETE", f"/compute/v2.1/servers/{server['id']}")
    client.call("DELETE", f"/network/v2.0/floatingips/{floating['id']}")
    time.sleep(0.5)
    try:
        client.call("DELETE", f"/network/v2.0/ports/{port['id']}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def inside(state: Path) -> None:
    """What runs in the cloud's namespace; the times as JSON."""
    client = Client(state)
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        one_round(client, number, found)
    print(json.dumps(found))


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--inside"]:
        inside(Path(sys.argv[2]))
        return
    cloud = WholeCloud()
    try:
        cloud.bivouac("up")
        cloud.bivouac("setup", "--no-clouds-yaml")
        done = cloud.inside(sys.executable, __file__, "--inside", str(cloud.state))
    finally:
        cloud.close()
    found = {what: statistics.median(times) for what, times in json.loads(done.stdout.splitlines()[-1]).items()}
    cloud_s, hand_s = found["cloud"], found["hand"]
    print("| what | ours | peer/floor | ratio | target |\n|---|---|---|---|---|")
    print(f"| `POST /servers` answered | {found['answer'] * 1000:.0f} ms | - | - | - |")
    print(f"| `POST /servers` to QEMU's start | {found['start']:.2f} s | - | - | - |")
    print(
        f"| `POST /servers` to first SSH, against the same QEMU by hand | {cloud_s:.2f} s | {hand_s:.2f} s |"
        f" {cloud_s / hand_s:.2f} | 0.25 s more (is {cloud_s - hand_s:+.2f} s) |"
    )
    rows = [(f"guest's uptime at {name}", name) for name in STAGES]
    rows += [("processor time of the guest's QEMU to first SSH", "guest cpu"), ("of all beside it", "beside cpu")]
    for what, key in rows:
        ours, floor = found[f"cloud {key}"], found[f"hand {key}"]
        print(f"| {what} | {ours:.2f} s | {floor:.2f} s | {ours / floor:.2f} | - |")


if __name__ == "__main__":
    main()
