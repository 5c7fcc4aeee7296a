"""Identity against Keystone, side by side: first and repeated login, token validation, catalog, 1,000 users.

Keystone runs from the virtual environment that BIVOUAC_PEER_VENV names (keystone and uwsgi from PyPI: two processes,
SQLite, its caches in memory); without it only our own figures are shown. Two loads in turn, three rounds, medians of
CPU time per operation, which holds on a busy machine, and of the time an answer takes one client.
"""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _processes import TICKS, control, free_port, process, row

USERS = 1000
ROUNDS = 3
REFUSALS = 200
PASSWORD = "correct horse battery"


class Server:
    """A running Identity service: where it is, its processes, an administrator's token."""

    def __init__(self, pid: int, port: int, base: str, password: str):
        self.pid, self.port, self.base, self.password = pid, port, base, password
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.token = self.login("admin", password)
        self.number = 0

    def cpu_s(self) -> float:
        """CPU time of the process and its children so far."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        total = 0
        for pid in (str(self.pid), *children):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any, bytes]:
        """(status, headers, body); keeps the connection where the server does."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers |= {"X-Auth-Token": token, "X-Subject-Token": token}
        content = json.dumps(body) if body else None
        try:
            self.connection.request(method, self.base + path, content, headers)
            answer = self.connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):  # idle while the other was measured
            self.connection.close()
            self.connection.request(method, self.base + path, content, headers)
            answer = self.connection.getresponse()
        payload = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path} answered {answer.status}: {payload[:300]!r}")
        return answer.status, answer.headers, payload

    def login(self, name: str, password: str) -> str:
        user = {"name": name, "domain": {"id": "default"}, "password": password}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if name == "admin":
            auth["scope"] = {"project": {"name": "admin", "domain": {"id": "default"}}}
        return self.ask("POST", "/auth/tokens", {"auth": auth})[1]["X-Subject-Token"]

    def make_users(self) -> None:
        for number in range(USERS):
            user = {"name": f"user{number}", "domain_id": "default", "email": f"user{number}@example.org"}
            if number < 100:
                user["password"] = PASSWORD
            self.ask("POST", "/users", {"user": user}, self.token)

    def first_login(self) -> None:
        self.login(f"user{self.number}", PASSWORD)
        self.number += 1


OPERATIONS: tuple[tuple[str, int, str, Callable[[Server], Any]], ...] = (
    ("password login, first", 20, "10", Server.first_login),
    ("password login, repeated", 20, "100", lambda server: server.login("admin", server.password)),
    ("token validation", 100, "30", lambda server: server.ask("GET", "/auth/tokens", token=server.token)),
    ("catalog", 100, "20", lambda server: server.ask("GET", "/auth/catalog", token=server.token)),
    (f"list of {USERS} users", 5, "20", lambda server: server.ask("GET", "/users", token=server.token)),
)


def measure(server: Server, times: int, operation: Callable[[Server], Any]) -> tuple[float, float]:
    """(CPU milliseconds an operation, median milliseconds until the answer). Operations too quick for the clock of
    /proc are repeated."""
    taken: list[float] = []
    before, started = server.cpu_s(), time.perf_counter()
    while len(taken) < times or (operation is not Server.first_login and time.perf_counter() - started < 1.0):
        began = time.perf_counter()
        operation(server)
        taken.append(time.perf_counter() - began)
    return (server.cpu_s() - before) / len(taken) * 1000, statistics.median(taken) * 1000


@contextmanager
def keystone(venv: Path) -> Iterator[Server]:
    """Keystone with its own defaults, a database in SQLite and its caches in memory."""
    state, port = Path(tempfile.mkdtemp(prefix="bivouac-bench-keystone-")), free_port()
    config = state / "keystone.conf"
    config.write_text(
        f"[DEFAULT]\nlog_file = {state}/log\n[database]\nconnection = sqlite:///{state}/db\n"
        "[cache]\nenabled = true\nbackend = dogpile.cache.memory\n"
        f"[fernet_tokens]\nkey_repository = {state}/keys\n[credential]\nkey_repository = {state}/credential\n"
        f"[fernet_receipts]\nkey_repository = {state}/keys\n"
    )
    url = f"http://127.0.0.1:{port}/v3"
    who = ("--keystone-user", "root", "--keystone-group", "root")
    for command in (
        ("db_sync",), ("fernet_setup", *who), ("credential_setup", *who),
        ("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-public-url", url, "--bootstrap-internal-url", url,
         "--bootstrap-admin-url", url, "--bootstrap-region-id", "RegionOne"),
    ):  # fmt: skip
        manage = [venv / "bin/keystone-manage", "--config-file", config, *command]
        subprocess.run(manage, check=True, capture_output=True)
    uwsgi = (
        str(venv / "bin/uwsgi"), "--module", "keystone.wsgi.api:application", "--http-socket", f"127.0.0.1:{port}",
        "--processes", "2", "--master", "--lazy-apps", "--virtualenv", str(venv), "--buffer-size", "65535",
        "--need-app", "--die-on-term", "--disable-logging", "--add-header", "Connection: close",
    )  # fmt: skip
    try:
        with process(*uwsgi, port=port, environment={"OS_KEYSTONE_CONFIG_DIR": str(state)}) as pid:
            yield Server(pid, port, "/v3", PASSWORD)
    finally:
        shutil.rmtree(state, ignore_errors=True)


def refuse(server: Server, name: str) -> float:
    """Milliseconds until a login with a wrong password is refused."""
    user = {"name": name, "domain": {"id": "default"}, "password": "wrong"}
    body = json.dumps({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}})
    began = time.perf_counter()
    server.connection.request("POST", f"{server.base}/auth/tokens", body, {"Content-Type": "application/json"})
    answer = server.connection.getresponse()
    answer.read()
    assert answer.status == 401, answer.status
    return (time.perf_counter() - began) * 1000


def compare_refusals(server: Server, setting: str) -> None:
    """A wrong password against a user that is not there, in turn: how far apart, and how far each spreads."""
    wrong, unknown = [], []
    for number in range(REFUSALS):
        wrong.append(refuse(server, f"user{number % 100}"))
        unknown.append(refuse(server, f"nobody{number % 100}"))
    (first, one, last), (_, other, _) = (statistics.quantiles(values, n=4) for values in (wrong, unknown))
    said = f"wrong password {one:.2f} ms, unknown user {other:.2f} ms"
    row(f"refused login, {setting}", said, "-", f"{one / other:.3f} x", f"in their spread of {last - first:.2f} ms")


def compare(ours: Server, theirs: Server | None) -> None:
    for server in (ours, theirs):
        if server is not None:
            server.make_users()
    for name, times, target, operation in OPERATIONS:
        mine, other = [], []
        for _ in range(ROUNDS):
            mine.append(measure(ours, times, operation))
            if theirs is not None:
                other.append(measure(theirs, max(5, times // 4), operation))
        cpu, taken = (statistics.median(values) for values in zip(*mine, strict=True))
        said = f"{cpu:.2f} ms CPU, {taken:.2f} ms"
        if theirs is None:
            row(name, said, "-", "-", f"at least {target} x")
            continue
        their_cpu, their_taken = (statistics.median(values) for values in zip(*other, strict=True))
        ratio = f"{their_cpu / cpu:.0f} x CPU, {their_taken / taken:.0f} x time"
        row(name, said, f"{their_cpu:.1f} ms CPU, {their_taken:.1f} ms", ratio, f"at least {target} x")


def main() -> None:
    row("what", "ours", "Keystone", "ratio", "target")
    row("---", "---", "---", "---", "---")
    with control(BIVOUAC_LOG_LEVEL="warning", BIVOUAC_DRIVERS="sim") as cloud:
        ours = Server(cloud.pid, cloud.port, "/identity/v3", cloud.password)
        if venv := os.environ.get("BIVOUAC_PEER_VENV"):
            with keystone(Path(venv)) as theirs:
                compare(ours, theirs)
        else:
            compare(ours, None)
        compare_refusals(ours, "no lockout")
    lockout = {"BIVOUAC_SECURITY_LOCKOUT_FAILURE_ATTEMPTS": "99"}
    with control(BIVOUAC_LOG_LEVEL="warning", BIVOUAC_DRIVERS="sim", **lockout) as cloud:
        ours = Server(cloud.pid, cloud.port, "/identity/v3", cloud.password)
        ours.make_users()
        compare_refusals(ours, "with lockout")


if __name__ == "__main__":
    main()
