"""Machines in trouble: what cannot work is refused in clear words, and what runs survives a full disk."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest
from plain_guest import wait_for
from whole_cloud import WholeCloud

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Iterator[WholeCloud]:
    cloud = WholeCloud(disk_mib=getattr(request, "param", 0))
    yield cloud
    cloud.close()


def refusal(cloud: WholeCloud) -> str:
    done = cloud.bivouac("up", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert cloud.processes() == set()
    return done.stderr


def test_wrong_settings_are_refused_by_name(cloud: WholeCloud) -> None:
    cloud.state.mkdir()
    (cloud.state / "bivouac.toml").write_text("[http]\nprot = 80\n")
    assert "prot" in refusal(cloud)


def test_a_setting_of_the_wrong_kind_is_refused(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_HTTP_PORT"] = "many"
    assert "http.port" in refusal(cloud)


def test_a_second_cloud_on_the_same_ports_is_refused(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_DRIVERS"] = "sim"
    cloud.bivouac("up")
    other = cloud.bivouac("up", "--state", f"{cloud.state}x", check=False)
    assert other.returncode == 1
    assert "5000 is in use by" in other.stderr and "http.port" in other.stderr
    assert cloud.bivouac("status", check=False).returncode == 0


@pytest.mark.parametrize("cloud", [300], indirect=True)
def test_a_disk_too_small_is_refused(cloud: WholeCloud) -> None:
    assert "GiB free" in refusal(cloud)


def test_a_path_too_long_for_sockets_is_refused(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_STATE"] = f"{cloud.state}/{'x' * 60}"
    assert "too long" in refusal(cloud) or "bytes long" in refusal(cloud)


@pytest.mark.parametrize("cloud", [1300], indirect=True)
def test_a_full_disk_stops_nothing_for_good(cloud: WholeCloud) -> None:
    cloud.bivouac("up")
    supervisor = (cloud.state / "run/supervisor.pid").read_text()
    with (cloud.state / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(1 << 20))
    for process in json.loads((cloud.state / "run/status.json").read_text())["processes"]:
        os.kill(process["identity"]["pid"], signal.SIGKILL)
    status = cloud.bivouac("status", check=False)
    assert "Traceback" not in status.stderr
    (cloud.state / "filler").unlink()
    wait_for("a healthy status", lambda: cloud.bivouac("status", check=False).returncode == 0, 120)
    assert (cloud.state / "run/supervisor.pid").read_text() == supervisor
    assert cloud.bivouac("db", "check").returncode == 0
