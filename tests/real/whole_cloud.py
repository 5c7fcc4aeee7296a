"""A whole cloud in a network namespace with a state directory of its own, driven by the command line."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND_LIMIT_S = 600


def _everybody_can_run_this() -> bool:
    """False in a developer's environment that only root can read: then the cloud runs as root altogether."""
    tried = [sys.executable, "-c", f"open({str(ROOT / 'src/bivouac/__init__.py')!r})"]
    try:
        return subprocess.run(tried, capture_output=True, user=65534, group=65534, extra_groups=[]).returncode == 0
    except PermissionError:
        return False


class WholeCloud:
    """One cloud. `close` takes it and its namespace away, whatever state it is in."""

    def __init__(self, disk_mib: int = 0) -> None:
        """`disk_mib` puts the state directory on a disk (in memory) of that size."""
        tag = secrets.token_hex(3)
        self.namespace = f"bivouac-test-{tag}"
        # Unix sockets below this path must stay short.
        self.state = Path(f"/tmp/bv-{tag}")
        self._mounted = disk_mib > 0
        if self._mounted:
            self.state.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk_mib}m", "tmpfs", str(self.state)], check=True)
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "lo", "up"], check=True)
        self.environment = {**os.environ, "BIVOUAC_STATE": str(self.state), "PYTHONPATH": str(ROOT / "src")}
        if not _everybody_can_run_this():
            self.environment["BIVOUAC_USER"] = "root"

    def listen_on(self, address: str) -> None:
        """Give the namespace an address of its own and let the cloud serve there, beyond loopback."""
        subprocess.run(["ip", "-n", self.namespace, "addr", "add", f"{address}/32", "dev", "lo"], check=True)
        self.environment["BIVOUAC_HTTP_HOST"] = address

    def connect(self, other: WholeCloud, own: str, others: str) -> None:
        """A cable to another namespace: its ends are called `cable` and have addresses in a network of 256."""
        there = ["peer", "name", "cable", "netns", other.namespace]
        ends = ["cable", "netns", self.namespace, "type", "veth", *there]
        subprocess.run(["ip", "link", "add", *ends], check=True)
        for cloud, address in ((self, own), (other, others)):
            cloud.inside("ip", "addr", "add", f"{address}/24", "dev", "cable")
            cloud.inside("ip", "link", "set", "cable", "up")

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace; what it printed is in the answer and in a failure's text."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the namespace and let it run."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def bivouac(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The bivouac command."""
        return self.inside(sys.executable, "-m", "bivouac.cli.main", *arguments, check=check)

    def ssh(self, address: str, command: str) -> str:
        """What the command printed on the demo server."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        options += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-i", f"{self.state}/access/demo_key"]
        return self.inside("ssh", *options, f"cirros@{address}", command).stdout.strip()

    def processes(self) -> set[int]:
        """All processes in the namespace."""
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True)
        return {int(word) for word in listed.stdout.split()}

    def cut_the_power(self) -> None:
        """Kill every process of the cloud at once."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def logs(self) -> str:
        """The ends of all logs."""
        texts = []
        for path in sorted((self.state / "log").glob("*.log")):
            texts.append(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(texts)

    def close(self) -> None:
        """Destroy what is left."""
        if self.state.exists():
            self.bivouac("destroy", "--yes", check=False)
        self.cut_the_power()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False)
        if self._mounted:
            subprocess.run(["umount", str(self.state)], check=False)
        shutil.rmtree(self.state, ignore_errors=True)
