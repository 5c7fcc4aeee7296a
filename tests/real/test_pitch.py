"""The first run and what follows: up, setup, a login, kills, power cuts, down and up again, and nothing left behind.

The tests build on each other in this order, as a cloud with its guest takes a while to make.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
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


def secrets_of(cloud: WholeCloud, address: str) -> dict[str, str]:
    """All that this cloud made and only some may know, by what it is."""
    control, access = cloud.state / "control", cloud.state / "access"
    key = (access / "demo_key").read_text().splitlines()
    openstack = str(Path(sys.executable).with_name("openstack"))

    def asked(*words: str) -> str:
        """By the openrc file, so that no password is in any command line of ours either."""
        line = shlex.join([openstack, *words])
        return cloud.inside("bash", "-c", f". {access}/demo-openrc; exec {line}").stdout.strip()

    ticket = asked("console", "url", "show", "--serial", "demo", "-f", "value", "-c", "url").rpartition("token=")[2]
    made = {name.lower(): value for name, value in json.loads(
        asked("application", "credential", "create", "ours", "-f", "json")).items()}  # fmt: skip
    created = asked("server", "create", "--flavor", "m1.micro", "--image", "tiny", "--network", "demo", "--wait",
                    "--password", "chosen-by-its-owner", "two", "-f", "value", "-c", "status")  # fmt: skip
    assert created == "ACTIVE"
    return {
        "the administrator's password": (control / "admin-password").read_text().strip(),
        "the demo user's password": (access / "demo-password").read_text().strip(),
        "a private key": key[2],
        "a token": asked("token", "issue", "-f", "value", "-c", "id"),
        "a console's ticket": ticket,
        "an application credential": made["secret"],
        "an access key's secret": asked("ec2", "credentials", "create", "-f", "value", "-c", "secret"),
        "a server's password": "chosen-by-its-owner",
    }


def test_secrets_stand_in_no_log_no_command_line_and_no_file_for_everybody(cloud: WholeCloud, address: str) -> None:
    secrets = secrets_of(cloud, address)
    assert all(len(secret) > 15 for secret in secrets.values())
    places: dict[str, bytes] = {}
    for path in cloud.state.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        status = path.stat()
        if ".log" in path.name or (status.st_mode & 0o004 and status.st_size < 64 << 20):
            places[str(path)] = path.read_bytes()
    for pid in cloud.processes():
        with contextlib.suppress(OSError):
            places[f"command line of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    logs = [place for place in places if place.endswith(".log")]
    assert any("control.log" in log for log in logs) and any("ovn-controller.log" in log for log in logs)
    found = [(what, where) for what, secret in secrets.items() for where, text in places.items()
             if secret.encode() in text]  # fmt: skip
    assert found == []


def test_destroy_leaves_nothing(cloud: WholeCloud, address: str) -> None:
    (cloud.state / "mine.txt").write_text("not the cloud's")
    cloud.bivouac("destroy", "--yes")
    assert cloud.processes() == set()
    assert [path.name for path in cloud.state.iterdir()] == ["mine.txt"]
    links = json.loads(subprocess.run(["ip", "-n", cloud.namespace, "-j", "link"], capture_output=True).stdout)
    assert [link["ifname"] for link in links if link["ifname"] != "lo"] == []
    assert "bivouac" not in cloud.inside("nft", "list", "tables").stdout
