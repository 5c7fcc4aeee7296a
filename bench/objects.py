"""The object store against its peers: the same load on each in turn, both cores shared with the client.

    OBJLOAD=.../objload PEERS="SPEC SPEC ..." python bench/objects.py [disk] [small] [large] [page] [million]

OBJLOAD is the load generator; PEERS are files with the peers' specifications in its form (`name=..;kind=..;url=..`),
of servers that run. Without peers only our own columns are filled. A Swift peer is measured against our Swift door,
the others against our S3 door. On a machine that does other work too, give all of them, and this command, a
real-time priority (`chrt -r 1`): a wait for the processor is not the store's.

`disk` measures what the machine itself can do, `small` and `large` objects of 4 KiB and 64 MiB, `page` a listing's
page against the peers, `million` how a store with OBJECTS objects (a million) lists and what memory it takes.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from _object_server import KEY, PROJECT, TOKEN
from _processes import cpu_seconds, pss_mib, row

PORT = 21300
SECONDS, ROUNDS = os.environ.get("SECONDS_EACH", "1.5"), os.environ.get("ROUNDS", "5")
OBJECTS = int(os.environ.get("OBJECTS", "1000000"))
LISTED = 100_000
MIB64 = 64 << 20
SWIFT, S3 = "bivouac", "bivouac-s3"
# (operation, clients) -> {beginning of a peer's name: the least ratio}
SMALL = {
    ("put", 1): {"swift": 20, "weed": 1.2},
    ("put", 32): {"swift": 20, "weed": 1.2},
    ("get", 1): {"swift": 20, "weed": 1.2},
    ("get", 32): {"swift": 20, "weed": 1.2},
}
LARGE = {("put", 1): {}, ("get", 1): {"nginx": 0.8}}
PAGE = {("list", 1): {"rgw": 3, "swift": 10}, ("list", 32): {"rgw": 3, "swift": 10}}
Measured = dict[str, float]


@contextmanager
def server(directory: str) -> Iterator[int]:
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
        process.wait(60)


def peers() -> list[str]:
    return [Path(path).read_text().strip().splitlines()[0] for path in os.environ.get("PEERS", "").split()]


def own_specs(directory: str, pid: int) -> list[str]:
    """Our two doors."""
    pids = Path(directory).with_suffix(".pids")
    pids.write_text(f"{pid}\n")
    return [
        f"name={SWIFT};kind=swift;url=http://127.0.0.1:{PORT}/v1/AUTH_{PROJECT};token={TOKEN};pids={pids}",
        f"name={S3};kind=s3;url=http://127.0.0.1:{PORT + 1};ak={KEY};sk={KEY};bucket=bench-s3;pids={pids}",
    ]


def load(
    specs: list[str], workloads: str, clients: str, rounds: str = ROUNDS, filled: str = ""
) -> dict[tuple[str, int, str], Measured]:
    """(operation, clients, target) -> medians over the rounds. `filled` begins the names of the files in which
    the load generator keeps what each target holds."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as out:
        command = [os.environ["OBJLOAD"], "-T", SECONDS, "-r", rounds, "-c", clients, "-w", workloads, "-o", out.name]
        command += ["-B", str(40 * MIB64)]
        if filled:
            command += ["-s", filled]
        for spec in specs:
            command += ["-t", spec]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = defaultdict(list)
        for line in Path(out.name).read_text().splitlines():
            entry = json.loads(line)
            if "op" in entry and not entry.get("errs"):
                found[entry["op"], entry["conc"], entry["target"]].append(entry)
    keys = ("ops", "mbs", "p50_ms", "p99_ms", "srv_cpu_us")
    return {key: {k: statistics.median(entry[k] for entry in entries) for k in keys} for key, entries in found.items()}


def compare(
    found: dict[tuple[str, int, str], Measured],
    targets: dict[tuple[str, int], dict[str, float]],
    what: Callable[[str, int], str],
    unit: str = "ops",
) -> None:
    """A row for each operation and peer, and our door of the peer's kind."""
    for (operation, clients), wanted in targets.items():
        theirs = [name for op, conc, name in found if (op, conc) == (operation, clients) and name not in (SWIFT, S3)]
        for name in (SWIFT, S3):
            cells(what(operation, clients), name, found[operation, clients, name], unit)
        for name in theirs:
            own = found[operation, clients, SWIFT if name.startswith("swift-r") else S3]
            peer = found[operation, clients, name]
            least = next((least for begin, least in wanted.items() if name.startswith(begin)), None)
            cells(what(operation, clients), name, peer, unit, own[unit] / peer[unit] if peer[unit] else None, least)


def cells(
    what: str, name: str, of: Measured, unit: str, ratio: float | None = None, least: float | None = None
) -> None:
    speed = f"{of['ops']:,.0f}/s" if unit == "ops" else f"{of['mbs']:,.0f} MB/s"
    verdict = "" if ratio is None or least is None else ("met" if ratio >= least else "missed")
    times = f"{of['p50_ms']:.2f}; {of['p99_ms']:.2f} ms"
    cpu = f"{of['srv_cpu_us']:,.0f} µs"
    ours = "" if ratio is None else f"{ratio:.2f} x"
    row(what, name, speed, times, cpu, ours, "" if least is None else f"{least} x", verdict)


def disk(directory: str) -> None:
    """What one writer and one hash can do at most."""
    os.makedirs(directory, exist_ok=True)
    flushes = flush_times(f"{directory}/floor")
    each = statistics.median(flushes)
    row(
        "4 KiB overwritten and flushed, 1 writer",
        "the disk",
        f"{1 / each:,.0f}/s",
        f"{each * 1e3:.2f} ms",
        "",
        *[""] * 3,
    )
    row("MD5 on one core", "the processor", f"{md5_speed():,.0f} MB/s", *[""] * 5)


def flush_times(path: str) -> list[float]:
    """Seconds of a 4 KiB write over a file that has its blocks, and its fdatasync, 500 times."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    block, times = os.urandom(4096), []
    try:
        os.pwrite(file, b"\0" * (4096 * 500), 0)
        os.fsync(file)
        for number in range(500):
            begin = time.perf_counter()
            os.pwrite(file, block, number * 4096)
            os.fdatasync(file)
            times.append(time.perf_counter() - begin)
    finally:
        os.close(file)
        os.unlink(path)
    return times


def md5_speed() -> float:
    """MB/s of MD5 on one core, the best of three."""
    block, best = os.urandom(1 << 20), 0.0
    for _ in range(3):
        begin, digest = time.perf_counter(), hashlib.md5()
        for _ in range(128):
            digest.update(block)
        best = max(best, (128 << 20) / 1e6 / (time.perf_counter() - begin))
    return best


def small(directory: str) -> None:
    with server(directory) as pid:
        found = load([*own_specs(directory, pid), *peers()], "put:4096,get:4096", "1,32")
    compare(found, SMALL, lambda operation, clients: f"{operation.upper()} 4 KiB, {clients} clients")


def large(directory: str) -> None:
    with server(directory) as pid:
        md5 = md5_speed()
        found = load([*own_specs(directory, pid), *peers()], f"put:{MIB64},get:{MIB64}", "1")
    compare(found, LARGE, lambda operation, clients: f"{operation.upper()} 64 MiB, {clients} client", "mbs")
    for name in (SWIFT, S3):
        ratio = found["put", 1, name]["mbs"] / md5
        verdict = "met" if ratio >= 0.85 else "missed"
        row("PUT 64 MiB", f"{name} against MD5 alone", f"{md5:,.0f} MB/s", "", "", f"{ratio:.2f} x", "0.85 x", verdict)


def page(directory: str) -> None:
    """Pages of 1000 at random places of a container of LISTED objects. Peers that FILLED (objload's state) does not
    know are filled first."""
    with server(directory) as pid:
        specs = [*own_specs(directory, pid), *peers()]
        specs = [spec for spec in specs if "kind=http" not in spec]
        filled = os.environ.get("FILLED", f"{directory}.filled")
        for name in (SWIFT, S3):
            Path(f"{filled}.{name}").unlink(missing_ok=True)
        load(specs, f"fill:{LISTED}", "32", "1", filled)
        found = load(specs, f"list:{LISTED}", "1,32", filled=filled)
    compare(found, PAGE, lambda operation, clients: f"list 1000 of {LISTED:,}, {clients} clients")


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


def million(directory: str) -> None:
    fill(directory)
    with server(directory) as pid:
        memory(f"idle with {OBJECTS:,} objects", "bivouac, just started", pid)
        for query, what in (({}, "list 1000"), ({"delimiter": "/"}, "list 100 folders")):
            times, cpu = {}, {}
            for name, count in (("ten-thousand", 10_000), ("all", OBJECTS)):
                begun = cpu_seconds(pid)
                times[name] = statistics.median(pages(name, count, query))
                cpu[name] = (cpu_seconds(pid) - begun) / 200 * 1e6
            ratio = times["all"] / times["ten-thousand"]
            verdict = "met" if ratio <= 1.2 else "missed"
            small = f"of 10,000: {times['ten-thousand'] * 1e3:.2f} ms, {cpu['ten-thousand']:,.0f} µs"
            whole = f"{times['all'] * 1e3:.2f} ms"
            what = f"{what} of {OBJECTS:,}"
            row(what, small, "", whole, f"{cpu['all']:,.0f} µs", f"{ratio:.2f} x", "at most 1.2 x", verdict)
        memory(f"idle with {OBJECTS:,} objects", "bivouac, after 800 listings", pid)


def memory(what: str, name: str, pid: int) -> None:
    """PSS, what the process adds to the machine; it is the only one."""
    mib = pss_mib(pid)
    row(what, name, f"{mib:.0f} MiB, 1 process", "", "", "", "150 MiB, 3 processes", "met" if mib <= 150 else "missed")


def pages(container: str, count: int, query: dict[str, str]) -> list[float]:
    """Seconds for each of 200 pages at random markers."""
    chance, times = random.Random(2), []
    for _ in range(200):
        marker = "" if query else object_name(chance.randrange(count * 9 // 10))
        asked = urlencode({"format": "json", "limit": "1000", "marker": marker} | query)
        url = f"http://127.0.0.1:{PORT}/v1/AUTH_{PROJECT}/{container}?{asked}"
        begin = time.perf_counter()
        with urlopen(Request(url, headers={"X-Auth-Token": TOKEN})) as answer:
            answer.read()
        times.append(time.perf_counter() - begin)
    return times


def main() -> None:
    parts = {"disk": disk, "small": small, "large": large, "page": page, "million": million}
    row("what", "of", "speed", "p50; p99", "CPU each", "ours against it", "target", "")
    row(*["---"] * 8)
    with tempfile.TemporaryDirectory(dir=os.environ.get("DIRECTORY")) as directory:
        for name in sys.argv[1:] or parts:
            if parts[name] in (small, large, page) and "OBJLOAD" not in os.environ:
                print(f"{name}: left out, because OBJLOAD names no load generator", file=sys.stderr)
            else:
                parts[name](f"{directory}/{name}")


if __name__ == "__main__":
    main()
