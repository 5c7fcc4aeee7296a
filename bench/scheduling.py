"""Choosing and claiming a host among 10,000, as the transaction of `POST /servers` does it: an absolute target.

Placement's own code on an SQLite file of its own; each claim is one durable transaction, choosing is timed within it.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from _processes import row

from bivouac.core.ids import new_uuid
from bivouac.core.settings import Compute
from bivouac.core.store import Store, Tx, open_store
from bivouac.hostspec.link import HostFacts, HostUsage
from bivouac.placement.scheduling import Request
from bivouac.placement.service import beat, choose, claim, register_host

HOSTS = 10_000
CLAIMS = 2_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store("", Path(folder) / "placement.db")
        store.migrate(["bivouac.core", "bivouac.placement"])
        store.write_now(_fill)
        times = sorted(_claim_many(store))
        store.close()
    row("what", "ours", "peer/floor", "ratio", "target")
    row("---", "---", "---", "---", "---")
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    row(f"choose and claim at {HOSTS} hosts, p50", f"{p50:.2f} ms", "-", "-", "-")
    row(f"choose and claim at {HOSTS} hosts, p99", f"{p99:.2f} ms", "-", "-", "at most 20 ms")


def _fill(tx: Tx) -> None:
    now = time.time()
    for number in range(HOSTS):
        facts = HostFacts(f"host-{number:05d}", 64, 262_144 + number % 97, 4_000, accelerator="sim")
        host = register_host(tx, facts, Compute(), now)
        beat(tx, [(host.id, now, HostUsage())])


def _claim_many(store: Store) -> list[float]:
    request = Request(vcpus=2, memory_mib=4096, disk_gib=20)

    def rule(tx: Tx) -> float:
        now = time.time()
        started = time.perf_counter()
        chosen = choose(tx, request, now)
        claim(tx, new_uuid(), chosen.id, request, "project", "user", now)
        return (time.perf_counter() - started) * 1000

    async def run() -> list[float]:
        return [await store.write(rule) for _ in range(CLAIMS)]

    return asyncio.run(run())


if __name__ == "__main__":
    main()
