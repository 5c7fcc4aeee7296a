"""The first minute of a cloud: up to a login, status, memory, and back again after `bivouac down`. Run as root.

A cloud of its own in a network namespace, with packages and virtual environment already there.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/real"))

from whole_cloud import WholeCloud  # noqa: E402

STATUS_RUNS = 9
SETTLE_S = 20.0
"""Caches fill and start-up work ends; what is measured afterwards is an idle cloud."""


def memory_mib(cloud: WholeCloud, guests: bool) -> float:
    """Proportional set size of all processes that are guests, or of all that are not."""
    total_kib = 0
    for pid in cloud.processes():
        try:
            name = Path(f"/proc/{pid}/comm").read_text()
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        if name.startswith("qemu-system") == guests:
            total_kib += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE).group(1))  # type: ignore[union-attr]
    return total_kib / 1024


def answers(cloud: WholeCloud, address: str) -> bool:
    """Whether a login works."""
    try:
        return cloud.ssh(address, "hostname") == "demo"
    except AssertionError:
        return False


def row(what: str, ours: str, target: str) -> None:
    """One line of the table."""
    print(f"| {what} | {ours} | - | - | {target} |")


def main() -> None:
    """Measure and print."""
    cloud = WholeCloud()
    try:
        start = time.monotonic()
        cloud.bivouac("up")
        up_s = time.monotonic() - start
        said = cloud.bivouac("setup", "--no-clouds-yaml").stdout
        first_s = time.monotonic() - start
        address = re.search(r"cirros@([0-9.]+)", said).group(1)  # type: ignore[union-attr]
        start = time.monotonic()
        cloud.bivouac("setup", "--no-clouds-yaml")
        again_s = time.monotonic() - start
        time.sleep(SETTLE_S)
        status_s = []
        for _ in range(STATUS_RUNS):
            start = time.monotonic()
            cloud.bivouac("status", check=False)
            status_s.append(time.monotonic() - start)
        ours, guests = memory_mib(cloud, guests=False), memory_mib(cloud, guests=True)
        start = time.monotonic()
        cloud.bivouac("down")
        down_s = time.monotonic() - start
        start = time.monotonic()
        cloud.bivouac("up")
        while not answers(cloud, address):
            time.sleep(0.1)
        back_s = time.monotonic() - start
    finally:
        cloud.close()
    print("| what | ours | peer/floor | ratio | target |\n|---|---|---|---|---|")
    row("`bivouac up`, from nothing", f"{up_s:.1f} s", "-")
    row("`up` and `setup` to a login over SSH", f"{first_s:.1f} s", "60 s")
    row("`setup` run again", f"{again_s:.1f} s", "quick")
    row(f"`bivouac status`, median of {STATUS_RUNS}", f"{statistics.median(status_s):.3f} s", "0.15 s")
    row("PSS of everything but guests, idle", f"{ours:.0f} MiB", "300 MiB")
    row("PSS of one tiny guest", f"{guests:.0f} MiB", "-")
    row("`bivouac down`", f"{down_s:.1f} s", "-")
    row("`bivouac up` until the server answers again", f"{back_s:.1f} s", "15 s")


if __name__ == "__main__":
    main()
