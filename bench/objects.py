"""The object store against its peers: the same load on each in turn, both cores shared with the client.

    OBJLOAD=.../objload PEERS="SPEC SPEC ..." python bench/objects.py [small] [large] [listing] [memory]

OBJLOAD is the load generator; PEERS are files with the peers' specifications in its form
(`name=..;kind=..;url=..`), of servers that run. Without
peers only our own column is filled. `listing` and `memory` fill a store with OBJECTS (a million) first.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from _object_server import PROJECT, TOKEN

PORT = 21300
SECONDS, ROUNDS = os.environ.get("SECONDS_EACH", "2"), "3"
OBJECTS = int(os.environ.get("OBJECTS", "1000000"))
MIB64 = 64 << 20
# workload, clients -> {peer name's beginning: target ratio}
SMALL = {
    ("put", 1): {"swift": 20, "weed": 1.2},
    ("put", 32): {"swift": 20, "weed": 1.2},
    ("get", 1): {"swift": 20, "weed": 1.2},
    ("get", 32): {"swift": 20, "weed": 1.2},
}


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


@contextmanager
def server(directory: str):
    """Our process; gives its pid."""
    script = Path(__file__).with_name("_object_server.py")
    process = subprocess.Popen(
        [sys.executable, str(script), directory, str(PORT)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def load(spec: str, workloads: str, clients: str) -> dict[tuple[str, int, str], dict[str, float]]:
    """(operation, clients, target) -> medians over the rounds."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as out:
        command = [os.environ["OBJLOAD"], "-T", SECONDS, "-r", ROUNDS, "-c", clients, "-w", workloads, "-o", out.name]
        for one in (spec, *peers()):
            command += ["-t", one]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = defaultdict(list)
        for line in Path(out.name).read_text().splitlines():
            entry = json.loads(line)
            if "op" in entry and not entry.get("errs"):
                found[entry["op"], entry["conc"], entry["target"]].append(entry)
    keys = ("ops", "mbs", "p50_ms", "p99_ms", "srv_cpu_us")
    return {key: {k: statistics.median(entry[k] for entry in entries) for k in keys} for key, entries in found.items()}


def peers() -> list[str]:
    return [Path(path).read_text().strip().splitlines()[0] for path in os.environ.get("PEERS", "").split()]


def own_spec(directory: str, pid: int) -> str:
    pids = Path(directory).with_suffix(".pids")
    pids.write_text(f"{pid}\n")
    return f"name=bivouac;kind=swift;url=http://127.0.0.1:{PORT}/v1/AUTH_{PROJECT};token={TOKEN};pids={pids}"


def small(directory: str) -> None:
    with server(directory) as pid:
        found = load(own_spec(directory, pid), "put:4096,get:4096", "1,32")
    for (operation, clients), targets in SMALL.items():
        ours = found[operation, clients, "bivouac"]
        said = f"{ours['ops']:.0f}/s, p99 {ours['p99_ms']:.1f} ms, {ours['srv_cpu_us']:.0f} µs CPU"
        for (op, conc, name), theirs in found.items():
            if (op, conc) != (operation, clients) or name == "bivouac" or not theirs["ops"]:
                continue
            wanted = next((f"{ratio} x" for begin, ratio in targets.items() if name.startswith(begin)), "")
            peer = f"{name}: {theirs['ops']:.0f}/s, {theirs['srv_cpu_us']:.0f} µs CPU"
            row(
                f"{operation.upper()} 4 KiB, {clients} clients",
                said,
                peer,
                f"{ours['ops'] / theirs['ops']:.1f} x",
                wanted,
            )
        if not peers():
            row(f"{operation.upper()} 4 KiB, {clients} clients", said, "", "", "")


def large(directory: str) -> None:
    with server(directory) as pid:
        found = load(own_spec(directory, pid), f"put:{MIB64},get:{MIB64}", "1")
    md5 = md5_speed()
    put = found["put", 1, "bivouac"]
    row(
        "PUT 64 MiB, 1 client",
        f"{put['mbs']:.0f} MB/s",
        f"MD5 alone: {md5:.0f} MB/s",
        f"{put['mbs'] / md5:.2f} x",
        "0.85 x",
    )
    get = found["get", 1, "bivouac"]
    for (op, _, name), theirs in found.items():
        if op == "get" and name != "bivouac" and theirs["mbs"]:
            wanted = "0.8 x" if name.startswith("nginx") else ""
            ratio = f"{get['mbs'] / theirs['mbs']:.2f} x"
            row("GET 64 MiB, 1 client", f"{get['mbs']:.0f} MB/s", f"{name}: {theirs['mbs']:.0f} MB/s", ratio, wanted)


def md5_speed() -> float:
    """MB/s of MD5 on one core, the best of three."""
    block, best = os.urandom(1 << 20), 0.0
    for _ in range(3):
        begin, digest = time.perf_counter(), hashlib.md5()
        for _ in range(128):
            digest.update(block)
        best = max(best, (128 << 20) / 1e6 / (time.perf_counter() - begin))
    return best


def fill(directory: str) -> None:
    """Two containers, of 10,000 and of OBJECTS objects of 100 bytes, put in random order."""
    from bivouac.objects.store import EmbeddedStore
    from bivouac.objects.store.interface import PutObject

    async def run() -> None:
        store = await EmbeddedStore.open(directory)
        for name, count in (("ten-thousand", 10_000), ("all", OBJECTS)):
            container, _ = await store.create_container(PROJECT, name)
            order = list(range(count))
            random.Random(1).shuffle(order)
            for begin in range(0, count, 256):
                puts = (PutObject(container, object_name(n), b"x" * 100) for n in order[begin : begin + 256])
                await asyncio.gather(*(store.put_object(put) for put in puts))
        await store.close()

    asyncio.run(run())


def object_name(number: int) -> str:
    return f"folder{number % 100:03d}/object-{number:09d}"


def listing(directory: str) -> None:
    with server(directory):
        for query, what in (({}, "list 1000"), ({"delimiter": "/"}, "list 100 folders")):
            times = {name: pages(name, count, query) for name, count in (("ten-thousand", 10_000), ("all", OBJECTS))}
            ratio = times["all"] / times["ten-thousand"]
            row(
                f"{what} of {OBJECTS:,} objects (JSON)",
                f"{times['all'] * 1e3:.2f} ms",
                f"of 10,000: {times['ten-thousand'] * 1e3:.2f} ms",
                f"{ratio:.2f} x",
                "at most 1.2 x",
            )


def pages(container: str, count: int, query: dict[str, str]) -> float:
    """Seconds for a page at a random marker; median."""
    chance, times = random.Random(2), []
    for _ in range(200):
        marker = "" if query else object_name(chance.randrange(count * 9 // 10))
        asked = urlencode({"format": "json", "limit": "1000", "marker": marker} | query)
        url = f"http://127.0.0.1:{PORT}/v1/AUTH_{PROJECT}/{container}?{asked}"
        begin = time.perf_counter()
        with urlopen(Request(url, headers={"X-Auth-Token": TOKEN})) as answer:
            answer.read()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def memory(directory: str) -> None:
    with server(directory) as pid:
        status = Path(f"/proc/{pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
        row(f"memory idle with {OBJECTS:,} objects", f"{resident:.0f} MiB, 1 process", "", "", "150 MiB, 3 processes")


def main() -> None:
    wanted = sys.argv[1:] or ["small", "large", "listing", "memory"]
    row("what", "ours", "peer or floor", "ratio", "target")
    row("---", "---", "---", "---", "---")
    with tempfile.TemporaryDirectory() as directory:
        if "small" in wanted:
            small(f"{directory}/small")
        if "large" in wanted:
            large(f"{directory}/large")
        if "listing" in wanted or "memory" in wanted:
            fill(f"{directory}/filled")
        if "listing" in wanted:
            listing(f"{directory}/filled")
        if "memory" in wanted:
            memory(f"{directory}/filled")


if __name__ == "__main__":
    main()
