"""A cloud that is used while its parts are killed at random moments, by a seed; then everything is looked at.

Run by hand for as long as wanted: `python tests/real/survival.py SEED SECONDS`.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plain_guest import wait_for
from whole_cloud import WholeCloud
from workload import Client, Project

from bivouac.drivers.net.ovn.kernel import in_namespace

REST_LIMIT_S = 300.0
RESTING = frozenset({"ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "ERROR"})
PROCESSES = ("control", "agent", "objects")
DAEMONS = ("ovsdb-northbound", "ovsdb-southbound", "ovn-northd", "ovsdb-switch", "ovs-vswitchd", "ovn-controller")
VICTIMS = (*PROCESSES, *PROCESSES[:2], *DAEMONS, "qemu", "qemu", "supervisor", "power")


class Witness:
    """Somebody who is logged in on a guest all the time, and says if that ever broke."""

    def __init__(self, cloud: WholeCloud, address: str):
        self.cloud, self.address = cloud, address
        self.booted = cloud.ssh(address, "cat /proc/sys/kernel/random/boot_id")
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        key = ["-i", f"{cloud.state}/access/demo_key"]
        command = ["ip", "netns", "exec", cloud.namespace, "ssh", *options, *key, f"cirros@{address}", "cat"]
        self._session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.echo()

    def echo(self, limit_s: float = 60.0) -> None:
        """One line there and back over the connection that was opened first."""
        assert self._session.stdin is not None and self._session.stdout is not None
        timer = threading.Timer(limit_s, self._session.kill)
        timer.start()
        try:
            self._session.stdin.write(b"still there\n")
            self._session.stdin.flush()
            answer = self._session.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            timer.cancel()
        assert answer == b"still there\n", "the guest's TCP connection broke"

    def close(self) -> None:
        self._session.kill()
        self._session.wait()


class Survival:
    """A pitched cloud with two projects at work in it."""

    def __init__(self, cloud: WholeCloud, seed: int, say: Callable[[str], None] = lambda line: None):
        self.cloud, self.seed, self.say = cloud, seed, say
        self._random = random.Random(seed)
        self.killed: list[str] = []
        self.address = ""
        self.witness: Witness | None = None
        self.projects: list[Project] = []
        self._stopping = threading.Event()

    def pitch(self) -> None:
        """Up, with the demo project and a second one, and somebody logged in on the demo server."""
        self.cloud.bivouac("up")
        said = self.cloud.bivouac("setup", "--no-clouds-yaml").stdout
        self.address = re.search(r"cirros@([0-9.]+)", said).group(1)  # type: ignore[union-attr]
        self.witness = Witness(self.cloud, self.address)
        self.within(self._make_projects)

    def within(self, work: Callable[[], Any]) -> Any:
        """Run with the sockets of the cloud's namespace."""
        return in_namespace(self.cloud.namespace, work)

    def _make_projects(self) -> None:
        state = self.cloud.state
        admin = Client("admin", (state / "control/admin-password").read_text().strip(), "admin")
        project = admin.call("POST", "/identity/v3/projects", {"project": {"name": "other", "domain_id": "default"}})
        user = {"name": "other", "password": "other-secret", "domain_id": "default"}
        user_id = admin.call("POST", "/identity/v3/users", {"user": user})["user"]["id"]
        role = admin.call("GET", "/identity/v3/roles?name=member")["roles"][0]["id"]
        admin.call("PUT", f"/identity/v3/projects/{project['project']['id']}/users/{user_id}/roles/{role}")
        image = admin.call("GET", "/image/v2/images?name=tiny")["images"][0]["id"]
        flavors = admin.call("GET", "/compute/v2.1/flavors/detail")["flavors"]
        flavor = min((one for one in flavors if one["ram"] >= 256 and one["disk"] >= 1), key=lambda one: one["ram"])
        demo = Client("demo", (state / "access/demo-password").read_text().strip(), "demo")
        clients = (demo, Client("other", "other-secret", "other"))
        self.projects = [
            Project(client, self.seed * 10 + number, self._stopping, image, flavor["id"], most=3 - number)
            for number, client in enumerate(clients)
        ]

    def shake(self, seconds: float) -> None:
        """Kill one part after the other while the projects work."""
        self.within(lambda: [project.start() for project in self.projects])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self._random.uniform(0.2, 5.0))
            self.kill(self._random.choice(VICTIMS))
        self._stopping.set()
        for project in self.projects:
            project.join()

    def kill(self, victim: str) -> None:
        """kill -9 of one part, or of all at once."""
        self.say(f"kill {victim}")
        self.killed.append(victim)
        if victim == "power":
            if self.witness is not None:
                self.witness.close()
                self.witness = None
            self.cloud.cut_the_power()
            self.cloud.bivouac("up")
            return
        if victim == "qemu":
            pids = [pid for pid in self.cloud.processes() if self._is_qemu(pid) and not self._is_witness(pid)]
        else:
            folder = {"supervisor": "run", **dict.fromkeys(PROCESSES, "run")}.get(victim) or (
                "control/ovn-central" if victim in DAEMONS[:3] else "agent/ovn-host"
            )
            try:
                pids = [int((self.cloud.state / folder / f"{victim}.pid").read_text().split()[0])]
            except (OSError, IndexError, ValueError):
                pids = []
        for pid in self._random.sample(sorted(pids), min(1, len(pids))):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if victim == "supervisor":
            time.sleep(self._random.uniform(0, 1))
            self.cloud.bivouac("up")

    def _is_qemu(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system")
        except OSError:
            return False

    def _is_witness(self, pid: int) -> bool:
        """Whether it is the demo server's process, whose guest is to notice nothing."""
        demo = [one["id"] for one in self.within(self.projects[0].client.servers) if one["name"] == "demo"]
        try:
            return any(f"guest={id}" in Path(f"/proc/{pid}/cmdline").read_text() for id in demo)
        except OSError:
            return False

    # --- afterwards

    def settle(self) -> list[dict[str, Any]]:
        """Wait until every server rests; all of them."""
        end = time.monotonic() + REST_LIMIT_S
        while True:
            servers = [one for project in self.projects for one in self.within(project.client.servers)]
            busy = [one for one in servers if one["OS-EXT-STS:task_state"] or one["status"] not in RESTING]
            if not busy:
                return servers
            if time.monotonic() > end:
                states = [(one["id"], one["status"], one["OS-EXT-STS:task_state"]) for one in busy]
                raise AssertionError(f"servers that do not come to rest: {states}")
            time.sleep(0.5)

    def check(self) -> None:
        """Everything is as the database says, nothing is left over, and nobody noticed what they may not."""
        problems = [problem for project in self.projects for problem in project.problems]
        servers = self.settle()
        problems += [f"{one['id']} is in ERROR without a reason" for one in servers
                     if one["status"] == "ERROR" and not one.get("fault", {}).get("message")]  # fmt: skip
        for one in servers:
            self.say(f"{one['name']} {one['status']} {one.get('fault', {}).get('message', '')}")
        checked = self.cloud.bivouac("db", "check", check=False)
        if checked.returncode:
            problems += [line.strip() for line in (checked.stdout + checked.stderr).splitlines() if line[:3] != "ok "]
        problems += self._tracebacks()
        assert not problems, "\n".join(problems)

    def _tracebacks(self) -> list[str]:
        """Errors that no program expected, from the logs."""
        found = []
        for path in sorted((self.cloud.state / "log").glob("*.log")):
            for line in path.read_text(errors="replace").splitlines():
                if "Traceback" in line and not any(word in line for word in EXPECTED):
                    found.append(f"{path.name}: {line[-1500:]}")
        return found

    def finish(self) -> None:
        """Whoever was logged in still is, a new server can be reached, and what is deleted leaves nothing."""
        if self.witness is not None:
            self.witness.echo()
            assert self.cloud.ssh(self.address, "cat /proc/sys/kernel/random/boot_id") == self.witness.booted
        for project in self.projects:
            self.within(project.clean)
        address = self.within(lambda: self.projects[0].make_reachable("demo"))
        wait_for("a login on a new server", lambda: self._answers(address), REST_LIMIT_S)
        self.within(self.projects[0].clean)
        self.check()

    def _answers(self, address: str) -> bool:
        try:
            return bool(self.cloud.ssh(address, "hostname"))
        except AssertionError:
            return False


EXPECTED = ("OvsdbError", "ConnectionClosed", "ClientDisconnect")
"""What being cut off looks like where a loop logs its failed step."""


def main() -> None:
    """Shake a cloud of its own."""
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    started = time.monotonic()
    cloud = WholeCloud()
    survival = Survival(cloud, seed, lambda line: print(f"{time.monotonic() - started:7.1f} {line}", flush=True))
    keep = "--keep" in sys.argv
    try:
        survival.pitch()
        print(cloud.namespace, cloud.state, flush=True)
        survival.shake(seconds)
        survival.check()
        survival.finish()
        print("survived", len(survival.killed), "kills;", sum(len(one.done) for one in survival.projects), "requests")
    except BaseException:
        keep = keep or "--keep-broken" in sys.argv
        raise
    finally:
        if not keep:
            cloud.close()


if __name__ == "__main__":
    main()
