"""What benchmarks share: a control process of their own, a bare ASGI server as the floor, load, and CPU accounting."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
BARE = Path(__file__).with_name("_bare_asgi.py")


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss_mib(pid: int) -> float:
    """Proportional set size of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1)) / 1024


@contextmanager
def process(*command: str, port: int, environment: dict[str, str] | None = None) -> Iterator[int]:
    """A server process, ended at the end; gives its pid once the port answers."""
    child = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0:4]} did not start")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()


@contextmanager
def control(**settings: str) -> Iterator["Control"]:
    """A control process with an empty state directory."""
    state = Path(tempfile.mkdtemp(prefix="bivouac-bench-"))
    port = free_port()
    # Simulated drivers: the daemons of a real network would outlive the process that started them.
    environment = {"BIVOUAC_HTTP_PORT": str(port), "BIVOUAC_DRIVERS": "sim", **settings}
    try:
        with process(
            sys.executable, "-m", "bivouac.app", "--state", str(state), port=port, environment=environment
        ) as pid:
            yield Control(pid, port, state)
    finally:
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def bare(body: bytes) -> Iterator[tuple[int, int]]:
    """(pid, port) of the floor: a bare ASGI application answering these bytes and nothing else."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        port = free_port()
        with process(sys.executable, str(BARE), str(port), file.name, port=port) as pid:
            yield pid, port


class Control:
    """A running control process and an administrator's token for it."""

    def __init__(self, pid: int, port: int, state: Path):
        self.pid, self.port, self.state = pid, port, state
        self.password = (state / "control/admin-password").read_text().strip()
        status, headers, document = self.call("POST", "/identity/v3/auth/tokens", self.login_body(), token="")
        assert status == 201, document
        self.token = headers["x-subject-token"]
        self.project_id = document["token"]["project"]["id"]

    def login_body(self) -> dict[str, Any]:
        user = {"name": "admin", "domain": {"id": "default"}, "password": self.password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """One request; (status, headers in lower case, decoded body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if token != "":
            fields["X-Auth-Token"] = token or self.token
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json", **fields})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        lowered = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, lowered, json.loads(text) if text[:1] in (b"{", b"[") else text


def busy_share(pid: int, seconds: float = 4) -> float:
    """What of a processor the process uses by itself, while nobody asks it anything."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def load(
    pid: int, url: str, headers: dict[str, str], seconds: int = 4, connections: int = 8, idle_share: float = 0.0
) -> tuple[float, float]:
    """(CPU microseconds of the process per request, requests per second) under wrk. Refuses answers that fail.
    `idle_share` is what the process would have used in that time without any request (`busy_share`)."""
    options = [item for name, value in headers.items() for item in ("-H", f"{name}: {value}")]
    before = cpu_seconds(pid)
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", *options, url], capture_output=True, text=True, check=True
    ).stdout
    used = cpu_seconds(pid) - before - idle_share * seconds
    assert "Non-2xx" not in out, out
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    return used / requests * 1e6, rate


def row(*cells: object) -> None:
    """A line of a markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
