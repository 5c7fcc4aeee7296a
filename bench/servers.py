"""The Compute API on a fleet of 1,000 simulated hosts: servers to ACTIVE, answers of POST, GET and lists.

Real control, real agents (on sim drivers, one process), real HTTP; client, control and fleet share the machine.
"""

import concurrent.futures
import http.client
import json
import statistics
import sys
import time

from _processes import Control, busy_share, control, cpu_seconds, load, process, pss_mib, row

HOSTS = 1_000
SERVERS = 2_000
CLIENTS = 8


def main() -> None:
    row("what", "ours", "peer/floor", "ratio", "target")
    row("---", "---", "---", "---", "---")
    with control(BIVOUAC_DRIVERS="sim", BIVOUAC_LOG_LEVEL="warning") as cloud:
        fleet = (sys.executable, "-m", "bivouac.agent", "--state", str(cloud.state), "--drivers", "sim", "--hosts")
        with process(*fleet, str(HOSTS), port=cloud.port, environment={"BIVOUAC_LOG_LEVEL": "warning"}):
            measure(cloud)


def measure(cloud: Control) -> None:
    body = prepare(cloud)
    until(lambda: len(cloud.call("GET", "/compute/v2.1/os-hypervisors?limit=1000")[2]["hypervisors"]) >= HOSTS)
    before, started = cpu_seconds(cloud.pid), time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        share = SERVERS // CLIENTS
        took = sorted(sum(pool.map(lambda _: post_many(cloud, body, share), range(CLIENTS)), []))
    until(lambda: count(cloud, "ACTIVE") >= SERVERS)
    elapsed, used = time.perf_counter() - started, cpu_seconds(cloud.pid) - before
    row(f"servers to ACTIVE, {HOSTS} hosts, {CLIENTS} clients", f"{SERVERS / elapsed:.0f}/s", "Nova fake driver 1.35/s",
        f"{SERVERS / elapsed / 1.35:.0f}", "at least 200/s")  # fmt: skip
    row("control's CPU per server to ACTIVE", f"{used / SERVERS * 1000:.2f} ms", "Nova 1.25 s", "-", "-")
    alone = sorted(post_many(cloud, body, 200))
    row("POST /servers answer, one client, p50 (p99)", f"{statistics.median(alone):.1f} ms ({alone[-2]:.1f})", "-", "-",
        "10 ms")  # fmt: skip
    row(f"POST /servers answer, {CLIENTS} clients, p50", f"{statistics.median(took):.1f} ms", "-", "-", "-")
    reads(cloud)
    row("control's memory (PSS) with these servers", f"{pss_mib(cloud.pid):.0f} MiB", "-", "-", "-")


def reads(cloud: Control) -> None:
    """GET of one server, and a list of 1,000 with details, over what the heartbeats of all hosts cost meanwhile."""
    idle = busy_share(cloud.pid)
    row(f"control's CPU with {HOSTS} hosts and no request", f"{idle:.1%} of a processor", "-", "-", "-")
    server = cloud.call("GET", "/compute/v2.1/servers?limit=1")[2]["servers"][0]["id"]
    headers = {"X-Auth-Token": cloud.token}
    base = f"http://127.0.0.1:{cloud.port}/compute/v2.1/servers"
    used, rate = load(cloud.pid, f"{base}/{server}", headers, idle_share=idle)
    row("GET of one server, CPU", f"{used:.0f} µs ({rate:.0f}/s)", "-", "-", "60 µs")
    page = f"{base}/detail?limit=1000&sort_key=created_at"
    used, _ = load(cloud.pid, page, headers, connections=1, idle_share=idle)
    row("list of 1,000 servers with details, CPU", f"{used / 1000:.1f} ms", "Nova 4,582 ms", f"{4582e3 / used:.0f}",
        "10 ms")  # fmt: skip


def prepare(cloud: Control) -> dict:
    """Quota, image, flavor and network; the body of a create."""
    unlimited = dict.fromkeys(("instances", "cores", "ram"), -1)
    cloud.call("PUT", f"/compute/v2.1/os-quota-sets/{cloud.project_id}", {"quota_set": unlimited})
    cloud.call("PUT", f"/network/v2.0/quotas/{cloud.project_id}", {"quota": {"port": -1}})
    image = cloud.call("POST", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"})[2]
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port)
    octets = {"X-Auth-Token": cloud.token, "Content-Type": "application/octet-stream"}
    connection.request("PUT", f"/image/v2/images/{image['id']}/file", b"\0" * 1048576, octets)
    assert connection.getresponse().status == 204
    flavor = {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}}
    flavor = cloud.call("POST", "/compute/v2.1/flavors", flavor)[2]["flavor"]
    network = cloud.call("POST", "/network/v2.0/networks", {"network": {"name": "n"}})[2]["network"]
    subnet = {"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/16"}}
    assert cloud.call("POST", "/network/v2.0/subnets", subnet)[0] == 201
    server = {"name": "s", "imageRef": image["id"], "flavorRef": flavor["id"], "networks": [{"uuid": network["id"]}]}
    return {"server": server}


def post_many(cloud: Control, body: dict, number: int) -> list[float]:
    """Milliseconds of each of so many POSTs on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port)
    payload, times = json.dumps(body), []
    headers = {"X-Auth-Token": cloud.token, "Content-Type": "application/json"}
    for _ in range(number):
        started = time.perf_counter()
        connection.request("POST", "/compute/v2.1/servers", payload, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 202, text
        times.append((time.perf_counter() - started) * 1000)
    return times


def count(cloud: Control, status: str) -> int:
    found, marker = 0, ""
    while True:
        page = cloud.call("GET", f"/compute/v2.1/servers?status={status}&limit=1000{marker}")[2]["servers"]
        found += len(page)
        if len(page) < 1000:
            return found
        marker = f"&marker={page[-1]['id']}"


def until(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("gave up waiting")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
