"""Crashes at every side effect, a full disk at every side effect, failing syncs, flipped bits.

The crashing script runs in a forked child. It reports each operation before and after, over a pipe; what it
reported done must be there when the
store is opened again, what was under way may be there or not, and nothing else may be different.
"""

import asyncio
import itertools
import os
import sys

import apsw
import pytest
from faults import FaultyDisk, FaultyVfs, Plan

from bivouac.objects.store import EmbeddedStore, committer, maintenance
from bivouac.objects.store import errors as e
from bivouac.objects.store.auditor import remove_orphans
from bivouac.objects.store.interface import (
    CompleteMultipart,
    CopySource,
    CreateMultipart,
    DeleteObject,
    Listing,
    PutObject,
    Versioning,
)

LARGE = 300_000


def body(text, size):
    return (text.encode() * (size // len(text) + 1))[:size]


async def put(store, container, name, data):
    if len(data) < 1000:
        return await store.put_object(PutObject(container, name, data))
    upload = store.upload(len(data))
    for begin in range(0, len(data), 100_000):
        await upload.write(data[begin : begin + 100_000])
    return await store.put_object(PutObject(container, name, await upload.finish()))


async def multipart(store, container, name, parts):
    upload = await store.create_multipart(CreateMultipart(container, name))
    made = []
    for number, data in enumerate(parts, 1):
        receiving = store.upload()
        await receiving.write(data)
        made.append((number, (await store.put_part(upload, number, await receiving.finish())).etag))
    await store.complete_multipart(CompleteMultipart(upload, container, tuple(made)))


async def copy(store, container, source, target):
    record = await store.get_object(container, source)
    await store.put_object(PutObject(container, target, CopySource(record)))


async def together(store, container):
    """Several puts that share a group, one of them refused."""
    puts = [store.put_object(PutObject(container, f"t{n}", body(str(n), 5000))) for n in range(6)]
    await asyncio.gather(*puts)


# Each step: what runs, and what it changes: name -> bytes, or None for gone.
PARTS = [body("p1", LARGE), body("p2", 10)]
STEPS = [
    (lambda s, c: put(s, c, "a", b"one"), {"a": b"one"}),
    (lambda s, c: put(s, c, "big", body("big", LARGE)), {"big": body("big", LARGE)}),
    (lambda s, c: put(s, c, "a", b"two"), {"a": b"two"}),
    (lambda s, c: copy(s, c, "big", "copy"), {"copy": body("big", LARGE)}),
    (lambda s, c: put(s, c, "big", body("new", LARGE)), {"big": body("new", LARGE)}),
    (together, {f"t{n}": body(str(n), 5000) for n in range(6)}),
    (lambda s, c: multipart(s, c, "mp", PARTS), {"mp": b"".join(PARTS)}),
    (lambda s, c: s.delete_object(DeleteObject(c, "copy")), {"copy": None}),
    (lambda s, c: s.delete_object(DeleteObject(c, "a")), {"a": None}),
    (lambda s, c: put(s, c, "mp", b"small now"), {"mp": b"small now"}),
]


async def opened(directory, plan=None):
    if plan is None:
        return await EmbeddedStore.open(directory)
    os.makedirs(directory, exist_ok=True)
    name = f"faulty-{id(plan)}"
    vfs = FaultyVfs(name, plan)
    store = await EmbeddedStore.open(directory, disk=FaultyDisk(f"{directory}/files", plan), vfs=name)
    store.keep_vfs = vfs
    return store


async def script(directory, plan, report):
    committer.CHECKPOINT_PAGES = 20  # so that copying the log into the database happens, and is interrupted, too
    store = await opened(directory, plan)
    container, _ = await store.create_container("p", "c")
    report("ready")
    for number, (step, _) in enumerate(STEPS):
        report(f"begin {number}")
        await step(store, container)
        report(f"done {number}")
    await store.close()


def in_child(directory, plan):
    """Run the script in a forked process; gives its exit code and its reports."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            asyncio.run(script(directory, plan, lambda text: os.write(writer, f"{text}\n".encode())))
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as lines:
        reports = lines.read().splitlines()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), reports


async def contents(store):
    try:
        container = await store.get_container("p", "c")
    except e.NoSuchContainer:
        return {}
    found = {}
    for entry in (await store.list_objects(container, Listing())).entries:
        pieces = await store.read(await store.get_object(container, entry.name))
        found[entry.name] = b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in pieces)
    return found


async def after_the_crash(directory, reports):
    """The store opens, holds what was acknowledged and checks out."""
    expected, under_way = {}, {}
    for report in reports:
        verb, _, number = report.partition(" ")
        if verb == "begin":
            under_way = STEPS[int(number)][1]
        elif verb == "done":
            expected |= STEPS[int(number)][1]
            under_way = {}
    store = await opened(directory)
    try:
        found = await contents(store)
        for name in set(found) | set(expected) | set(under_way):
            allowed = [expected.get(name)] + ([under_way[name]] if name in under_way else [])
            assert found.get(name) in allowed, f"{name}: {len(found.get(name) or b'')} bytes, reports {reports}"
        await remove_orphans(store)
        await store.idle()
        assert await maintenance.check(store) == []
        container, _ = await store.create_container("p", "c")
        await put(store, container, "after", body("after", LARGE))
    finally:
        await store.close()


@pytest.mark.parametrize("part", range(4))
def test_crash_at_every_side_effect(tmp_path, part):
    """How many side effects a run has depends on which requests share a commit, so each part goes on until a run
    ends before its crash is due."""
    for crash_at in itertools.count(1 + part, 4):
        directory = str(tmp_path / f"crash-{crash_at}")
        code, reports = in_child(directory, Plan(crash_at=crash_at, seed=crash_at))
        assert code in (0, 77), f"event {crash_at}"
        asyncio.run(after_the_crash(directory, reports))
        if code == 0:
            break
    assert crash_at > 100


def test_the_faults_are_real(tmp_path):
    """Without syncs the same power cuts lose what was acknowledged: else the tests above would prove nothing."""
    lost = 0
    for crash_at in range(60, 220, 5):
        directory = str(tmp_path / f"crash-{crash_at}")
        plan = Plan(crash_at=crash_at, seed=crash_at)
        plan.no_syncs = True
        _, reports = in_child(directory, plan)
        try:
            asyncio.run(after_the_crash(directory, reports))
        except (AssertionError, apsw.Error, e.StoreError):
            lost += 1
    assert lost


def test_full_disk_at_every_side_effect(tmp_path):
    """Nothing half done is visible, nothing acknowledged is lost, and with room again the store goes on without
    being opened anew."""

    async def main(full_from):
        plan = Plan()
        directory = str(tmp_path / f"full-{full_from}")
        store = await opened(directory, plan)
        container, _ = await store.create_container("p", "c")
        plan.full_from = plan.events + full_from
        expected, refused = {}, 0
        for step, change in STEPS:
            try:
                await step(store, container)
                expected |= change
            except (e.StoreFull, e.NoSuchObject):
                refused += 1
                now = await contents(store)
                for name, data in change.items():  # of a group that was refused, each part stands for itself
                    assert now.get(name) in (expected.get(name), data)
                    expected[name] = now.get(name)
        plan.full_from, plan.full = 0, False
        assert {name: data for name, data in expected.items() if data is not None} == await contents(store)
        await put(store, container, "after", body("after", LARGE))
        await remove_orphans(store)
        await store.idle()
        for entry in await store.list_multiparts(container):
            await store.abort_multipart(entry)
        await store.idle()
        assert await maintenance.check(store) == []
        await store.close()
        return refused

    refusals = [asyncio.run(main(full_from)) for full_from in range(1, 90, 4)]
    assert max(refusals) > 3


def test_a_failed_sync_stops_all_writes(tmp_path):
    async def main():
        plan = Plan()
        store = await opened(str(tmp_path / "s"), plan)
        container, _ = await store.create_container("p", "c")
        await store.put_object(PutObject(container, "before", b"1"))
        plan.sync_fails_at = plan.syncs + 1
        with pytest.raises(e.StoreFailed):
            await store.put_object(PutObject(container, "o", b"2"))
        with pytest.raises(e.StoreFailed):
            await store.put_object(PutObject(container, "p", b"3"))
        assert await contents(store) == {"before": b"1"}
        await store.close()
        again = await opened(str(tmp_path / "s"))
        assert (await contents(again))["before"] == b"1"
        await again.close()

    asyncio.run(main())


def test_flipped_bits_are_detected_and_named(tmp_path):
    async def main():
        store = await opened(str(tmp_path / "s"))
        container, _ = await store.create_container("p", "c", versioning=Versioning.OFF)
        await put(store, container, "small", b"small")
        await put(store, container, "large", body("large", LARGE))
        await put(store, container, "sound", b"sound")
        await store.close()
        index = apsw.Connection(str(tmp_path / "s" / "index.db"))
        index.execute("UPDATE blobs SET bytes = CAST('smalk' AS BLOB) WHERE bytes = CAST('small' AS BLOB)")
        index.close()
        store = await opened(str(tmp_path / "s"))
        [file] = store.disk.names()
        path = store.disk.path(file)
        with open(path, "r+b") as raw:
            raw.seek(LARGE // 2)
            byte = raw.read(1)[0]
            raw.seek(LARGE // 2)
            raw.write(bytes([byte ^ 1]))
        with pytest.raises(e.DataCorrupt, match="small"):
            await store.get_with_data(container, "small")
        with pytest.raises(e.DataCorrupt, match="small"):
            await store.read(await store.get_object(container, "small"))
        findings = await maintenance.check(store)
        assert sorted((finding.kind, finding.objects) for finding in findings) == [
            ("corrupt", ("p/c/large",)),
            ("corrupt", ("p/c/small",)),
        ]
        os.unlink(path)
        assert ("missing", ("p/c/large",)) in [(found.kind, found.objects) for found in await maintenance.check(store)]
        await store.close()

    asyncio.run(main())
