"""The first run and what follows: up, setup, a login, kills, power cuts, down and up again, and nothing left behind.

The tests build on each other in this order, as a cloud with its guest takes a while to make.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from plain_guest import wait_for
from whole_cloud import WholeCloud

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def cloud() -> Iterator[WholeCloud]:
    cloud = WholeCloud()
    yield cloud
    cloud.close()


@pytest.fixture(scope="module")
def address(cloud: WholeCloud) -> str:
    """The demo server's floating address, of a cloud that was just pitched."""
    cloud.bivouac("up")
    said = cloud.bivouac("setup", "--no-clouds-yaml").stdout
    found = re.search(r"cirros@([0-9.]+)", said)
    assert found, said
    return found.group(1)


def status(cloud: WholeCloud) -> dict:
    return json.loads(cloud.bivouac("status", "--json", check=False).stdout)


def healthy(cloud: WholeCloud) -> bool:
    return cloud.bivouac("status", check=False).returncode == 0


def test_the_first_run_ends_with_a_login(cloud: WholeCloud, address: str) -> None:
    assert cloud.ssh(address, "hostname") == "demo"
    assert cloud.ssh(address, "sudo id -u") == "0"
    wait_for("a healthy status", lambda: healthy(cloud), 30)


def test_running_it_again_changes_nothing(cloud: WholeCloud, address: str) -> None:
    before = status(cloud)
    assert cloud.bivouac("up").returncode == 0
    said = cloud.bivouac("setup", "--no-clouds-yaml")
    assert f"cirros@{address}" in said.stdout
    assert "tiny is there" in said.stderr and "all there" in said.stderr
    after = status(cloud)
    assert [p["identity"] for p in before["processes"]] == [p["identity"] for p in after["processes"]]


@pytest.mark.parametrize("name", ["control", "agent", "objects"])
def test_a_killed_process_comes_back_and_no_guest_notices(cloud: WholeCloud, address: str, name: str) -> None:
    booted = cloud.ssh(address, "cat /proc/sys/kernel/random/boot_id")
    [process] = [process for process in status(cloud)["processes"] if process["name"] == name]
    os.kill(process["identity"]["pid"], signal.SIGKILL)
    wait_for(f"{name} started again", lambda: _other_process(cloud, name, process["identity"]), 60)
    wait_for("a healthy status", lambda: healthy(cloud), 60)
    assert cloud.ssh(address, "cat /proc/sys/kernel/random/boot_id") == booted


def _other_process(cloud: WholeCloud, name: str, old: dict) -> bool:
    return any(p["name"] == name and p["running"] and p["identity"] != old for p in status(cloud)["processes"])


def test_down_ends_every_process_and_up_brings_the_server_back(cloud: WholeCloud, address: str) -> None:
    cloud.ssh(address, "echo kept | sudo tee /root/kept && sync")
    cloud.bivouac("down")
    assert cloud.processes() == set()
    assert cloud.bivouac("status", check=False).returncode == 3
    cloud.bivouac("up")
    wait_for("the server to answer", lambda: _answers(cloud, address), 120)
    assert cloud.ssh(address, "sudo cat /root/kept") == "kept"


def test_after_a_power_cut_everything_runs_again(cloud: WholeCloud, address: str) -> None:
    cloud.ssh(address, "sync")
    cloud.cut_the_power()
    wait_for("all processes to be gone", lambda: not cloud.processes(), 30)
    cloud.bivouac("up")
    wait_for("the server to answer", lambda: _answers(cloud, address), 120)
    assert cloud.bivouac("db", "check").returncode == 0


def _answers(cloud: WholeCloud, address: str) -> bool:
    try:
        return cloud.ssh(address, "hostname") == "demo"
    except AssertionError:
        return False


def test_secrets_stand_in_no_log_and_no_command_line(cloud: WholeCloud, address: str) -> None:
    secrets = [
        (cloud.state / "control/admin-password").read_text().strip(),
        (cloud.state / "access/demo-password").read_text().strip(),
    ]
    places = [path.read_text(errors="replace") for path in (cloud.state / "log").iterdir()]
    for pid in cloud.processes():
        try:
            places.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
        except OSError:
            continue
    assert not any(secret in place for secret in secrets for place in places)


def test_destroy_leaves_nothing(cloud: WholeCloud, address: str) -> None:
    (cloud.state / "mine.txt").write_text("not the cloud's")
    cloud.bivouac("destroy", "--yes")
    assert cloud.processes() == set()
    assert [path.name for path in cloud.state.iterdir()] == ["mine.txt"]
    links = json.loads(subprocess.run(["ip", "-n", cloud.namespace, "-j", "link"], capture_output=True).stdout)
    assert [link["ifname"] for link in links if link["ifname"] != "lo"] == []
    assert "bivouac" not in cloud.inside("nft", "list", "tables").stdout
