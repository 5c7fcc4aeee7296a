"""Schemathesis over the generated OpenAPI documents of a real control process: whatever is sent, never a 5xx."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = "4"
"""For each operation; a long run raises it by hand."""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """(port, administrator's token) of a control process on simulated drivers."""
    state = tmp_path_factory.mktemp("s")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BIVOUAC_HTTP_PORT": str(port),
        "BIVOUAC_DRIVERS": "sim",
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
    }
    child = subprocess.Popen([sys.executable, "-m", "bivouac.app", "--state", str(state)], env=environment,
                             stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        _wait_for(port, child)
        yield port, _token(port, (state / "control/admin-password").read_text().strip())
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


def _wait_for(port: int, child: subprocess.Popen[bytes], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and child.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"control did not listen on {port}")


def _token(port: int, password: str) -> str:
    user = {"name": "admin", "domain": {"id": "default"}, "password": password}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/identity/v3/auth/tokens", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    return answer.getheader("X-Subject-Token") or ""


@pytest.mark.parametrize("service", ["identity", "image", "network", "compute"])
def test_no_server_error(control: tuple[int, str], service: str, tmp_path: Path) -> None:
    port, token = control
    base = f"http://127.0.0.1:{port}"
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [str(program), "run", f"{base}/openapi/{service}", "--url", base, "-H", f"X-Auth-Token: {token}",
         "--checks", "not_a_server_error", "--phases", "fuzzing", "--max-examples", EXAMPLES, "--workers", "1",
         "--continue-on-failure", "--no-color"],
        capture_output=True, text=True, cwd=tmp_path, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert " generated, " in done.stdout, done.stdout[-2000:]
