"""Images: a gigabyte up and down, memory meanwhile, how long others wait meanwhile, and a list of 100.

Glance runs from the virtual environment that BIVOUAC_PEER_VENV names (glance and uwsgi from PyPI: two processes,
SQLite, files), without the Keystone middleware, so without its cost of checking tokens; without it only our own column
and the floors are filled. The floor of an upload is one core that computes MD5 and SHA-512 of the same bytes.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from _processes import control, cpu_seconds, free_port, load, process, pss_mib, row

ROUNDS = 3
SIZE = 1 << 30
BLOCK = os.urandom(1 << 20)
IMAGES = 100


WHO = {"X-Identity-Status": "Confirmed", "X-Roles": "admin,member,reader", "X-Project-Id": "p", "X-User-Id": "u"}
"""What the Keystone middleware would have said."""
PASTE = """
[pipeline:glance-api]
pipeline = versionnegotiation context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
"""


class Service:
    """An image service that answers at a port."""

    def __init__(self, pid: int, port: int, prefix: str, headers: dict[str, str]):
        self.pid, self.port, self.prefix, self.headers = pid, port, prefix, headers

    def call(self, method: str, path: str, body: object = None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        payload = None if body is None else json.dumps(body)
        connection.request(method, self.prefix + path, payload, {"Content-Type": "application/json", **self.headers})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, (answer.status, text)
        return json.loads(text) if text else {}

    def image(self, name: str) -> str:
        body = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "private",
                "os_distro": "debian", "hw_disk_bus": "virtio"}  # fmt: skip
        return self.call("POST", "/v2/images", body)["id"]

    def upload(self, image_id: str) -> float:
        """Seconds for SIZE bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.connect()
        started = time.perf_counter()
        connection.putrequest("PUT", f"{self.prefix}/v2/images/{image_id}/file")
        sent = {"Content-Type": "application/octet-stream", "Content-Length": str(SIZE), **self.headers}
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        for _ in range(SIZE // len(BLOCK)):
            connection.sock.sendall(BLOCK)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204, answer.status
        return time.perf_counter() - started

    def download(self, image_id: str) -> float:
        """Seconds for SIZE bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        started = time.perf_counter()
        connection.request("GET", f"{self.prefix}/v2/images/{image_id}/file", headers=self.headers)
        answer = connection.getresponse()
        buffer, size = bytearray(1 << 20), 0
        while count := answer.readinto(buffer):
            size += count
        assert size == SIZE
        return time.perf_counter() - started


@contextmanager
def glance(venv: Path) -> Iterator[Service]:
    """Glance without anything else."""
    state = Path(tempfile.mkdtemp(prefix="bivouac-bench-glance-"))
    for folder in ("images", "staging", "tasks", "lock"):
        (state / folder).mkdir()
    (state / "glance-api.conf").write_text(
        f"[DEFAULT]\nenabled_backends = fs:file\nnode_staging_uri = file://{state}/staging\nlog_file = {state}/log\n"
        f"[database]\nconnection = sqlite:///{state}/glance.db\n[glance_store]\ndefault_backend = fs\n"
        f"[fs]\nfilesystem_store_datadir = {state}/images\n"
        f"[os_glance_staging_store]\nfilesystem_store_datadir = {state}/staging\n"
        f"[os_glance_tasks_store]\nfilesystem_store_datadir = {state}/tasks\n"
        f"[paste_deploy]\nconfig_file = {state}/paste.ini\n"
        f"[oslo_concurrency]\nlock_path = {state}/lock\n"
    )
    (state / "paste.ini").write_text(PASTE)
    configuration = f"--config-file={state}/glance-api.conf"
    os.system(f"{venv}/bin/glance-manage {configuration} db sync >/dev/null 2>&1")  # noqa: S605 - a bench
    port = free_port()
    uwsgi = [
        f"{venv}/bin/uwsgi", "--module", "glance.wsgi.api:application", "--http-socket", f"127.0.0.1:{port}",
        "--processes", "2", "--master", "--lazy-apps", "--enable-threads", "--virtualenv", str(venv), "--buffer-size",
        "65535", "--need-app", "--die-on-term", "--disable-logging", "--http-chunked-input", "--add-header",
        "Connection: close",
    ]  # fmt: skip
    try:
        with process(*uwsgi, port=port, environment={"OS_GLANCE_CONFIG_DIR": str(state)}) as pid:
            yield Service(pid, port, "", WHO)
    finally:
        shutil.rmtree(state, ignore_errors=True)


def hash_floor() -> tuple[float, float]:
    """(seconds, seconds of processor time) in which one core computes both digests of SIZE bytes."""
    md5, sha512 = hashlib.md5(), hashlib.sha512()
    started, used = time.perf_counter(), time.thread_time()
    for _ in range(SIZE // len(BLOCK)):
        md5.update(BLOCK)
        sha512.update(BLOCK)
    return time.perf_counter() - started, time.thread_time() - used


def lag(service: Service) -> dict[float, int]:
    """The event loop's lag as `/metrics` shows it: upper bound -> measurements up to there."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    found = re.findall(r'event_loop_lag_seconds_bucket{le="([^"]+)"} ([\d.]+)', text)
    return {float(bound): int(float(count)) for bound, count in found}


class Watch(threading.Thread):
    """Memory of a process, and how long it makes somebody wait who asks for its versions."""

    def __init__(self, service: Service):
        super().__init__(daemon=True)
        self.service, self.memory, self.waits, self.done = service, [], [], threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port)
        while not self.done.wait(0.05):
            started = time.perf_counter()
            connection.request("GET", f"{self.service.prefix}/")
            connection.getresponse().read()
            self.waits.append(time.perf_counter() - started)
            if len(self.waits) % 5 == 1:
                self.memory.append(pss_mib(self.service.pid))


def speed(seconds: float) -> str:
    return f"{SIZE / seconds / (1 << 20):.0f} MiB/s"


def ratio(ours: float, theirs: float | None) -> str:
    return f"{theirs / ours:.2f} x" if theirs else ""


def transfers(ours: Service, theirs: Service | None) -> None:
    """Uploads and downloads, one after the other in each round."""
    up: dict[str, list[float]] = {"ours": [], "theirs": [], "floor": []}
    down: dict[str, list[float]] = {"ours": [], "theirs": []}
    processor: dict[str, list[float]] = {"ours": [], "floor": []}
    watch, lag_before = Watch(ours), lag(ours)
    before = pss_mib(ours.pid)
    for number in range(ROUNDS):
        seconds, used = hash_floor()
        up["floor"].append(seconds)
        processor["floor"].append(used)
        for name, service in (("ours", ours), ("theirs", theirs)):
            if service is not None:
                image_id = service.image(f"big{number}")
                if name == "ours" and not number:
                    watch.start()
                used = cpu_seconds(service.pid)
                up[name].append(service.upload(image_id))
                if name == "ours":
                    processor["ours"].append(cpu_seconds(service.pid) - used)
                down[name].append(service.download(image_id))
                if name == "ours" and not number:
                    watch.done.set()
                    watch.join()
                service.call("DELETE", f"/v2/images/{image_id}")
    mine, floor = statistics.median(up["ours"]), statistics.median(up["floor"])
    row("upload of 1 GiB", speed(mine), f"one core's MD5 + SHA-512: {speed(floor)}", ratio(mine, floor), "at least 0.8")
    if theirs:
        other = statistics.median(up["theirs"])
        row("upload of 1 GiB", speed(mine), f"Glance: {speed(other)}", ratio(mine, other), "at least 1.5")
    used, least = statistics.median(processor["ours"]), statistics.median(processor["floor"])
    row("processor time of that upload", f"{used:.2f} s", f"the digests alone: {least:.2f} s", ratio(used, least), "-")
    mine = statistics.median(down["ours"])
    other = statistics.median(down["theirs"]) if theirs else None
    row("download of 1 GiB", speed(mine), f"Glance: {speed(other)}" if other else "", ratio(mine, other), "-")
    grown = max(watch.memory) - before
    row("memory while 1 GiB goes up and down", f"+{grown:.0f} MiB", f"{before:.0f} MiB idle", "", "flat")
    waits = sorted(watch.waits)
    said = f"{statistics.median(waits) * 1000:.1f} ms, longest {waits[-1] * 1000:.0f} ms"
    row("another's small request meanwhile", said, f"{len(waits)} requests", "", "-")
    lags = {bound: count - lag_before.get(bound, 0) for bound, count in lag(ours).items()}
    late = lags[float("inf")] - lags[0.02]
    row("event loop later than 20 ms meanwhile", f"{late} of {lags[float('inf')]} looks", "", "", "-")


def lists(ours: Service, theirs: Service | None) -> None:
    """A list of 100 images."""
    found: list[tuple[float, float]] = []
    for service in (ours, theirs):
        if service is not None:
            for number in range(IMAGES):
                service.image(f"small{number}")
            url = f"http://127.0.0.1:{service.port}{service.prefix}/v2/images?limit=100"
            rates = [load(service.pid, url, service.headers, seconds=3) for _ in range(ROUNDS)]
            found.append((statistics.median(one[0] for one in rates), statistics.median(one[1] for one in rates)))
    cpu, rate = found[0]
    other = f"Glance: {found[1][1]:.1f}/s" if theirs else ""
    said = f"{rate:.0f}/s ({cpu:.0f} µs CPU)"
    row("list of 100 images", said, other, f"{rate / found[1][1]:.0f} x" if theirs else "", "at least 20")


def main() -> None:
    row("what", "ours", "peer or floor", "ratio", "target")
    row("---", "---", "---", "---", "---")
    venv = os.environ.get("BIVOUAC_PEER_VENV")
    peer: Callable[[], object] = (lambda: glance(Path(venv))) if venv else (lambda: nullcontext(None))
    with control(BIVOUAC_LOG_LEVEL="warning", BIVOUAC_DRIVERS="sim") as cloud, peer() as theirs:
        ours = Service(cloud.pid, cloud.port, "/image", {"X-Auth-Token": cloud.token})
        transfers(ours, theirs)
        lists(ours, theirs)


if __name__ == "__main__":
    main()
