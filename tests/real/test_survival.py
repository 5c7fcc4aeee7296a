"""A cloud that is used while its parts are killed: nothing is lost, nothing is left over, and guests notice nothing.

`survival.py` can be run by hand for longer, with other seeds.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from plain_guest import wait_for
from survival import Survival
from whole_cloud import WholeCloud

pytestmark = pytest.mark.timeout(900)
PINGS_PER_S = 10


@pytest.fixture(scope="module")
def survival() -> Iterator[Survival]:
    cloud = WholeCloud()
    try:
        survival = Survival(cloud, seed=20)
        survival.pitch()
        yield survival
        if survival.witness is not None:
            survival.witness.close()
    finally:
        cloud.close()


def _process(cloud: WholeCloud, name: str) -> dict:
    processes = json.loads(cloud.bivouac("status", "--json", check=False).stdout)["processes"]
    return next(process for process in processes if process["name"] == name)


def test_no_guest_notices_that_control_the_agent_or_objects_died(survival: Survival) -> None:
    cloud, witness = survival.cloud, survival.witness
    assert witness is not None
    command = ["ip", "netns", "exec", cloud.namespace, "ping", "-n", "-i", str(1 / PINGS_PER_S), survival.address]
    ping = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for name in ("control", "agent", "objects"):
        old = _process(cloud, name)["identity"]
        survival.kill(name)
        wait_for(f"another {name}", lambda name=name, old=old: _process(cloud, name)["identity"] not in (old, None))
        wait_for("a healthy status", lambda: cloud.bivouac("status", check=False).returncode == 0, 60)
        witness.echo()
    ping.send_signal(signal.SIGINT)
    said = ping.communicate()[0]
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())  # type: ignore[union-attr]
    assert sent > PINGS_PER_S and sent - received <= 1, said  # the last one may be under way
    assert cloud.ssh(survival.address, "cat /proc/sys/kernel/random/boot_id") == witness.booted


def test_whatever_is_killed_while_servers_are_made_and_deleted(survival: Survival) -> None:
    survival.shake(float(os.environ.get("BIVOUAC_SURVIVAL_SECONDS", "40")))
    survival.check()
    survival.finish()
    assert len(survival.killed) > 10
