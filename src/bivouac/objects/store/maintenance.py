"""What an operator does with a store: check it, compact it, count it, export it.

They work on an open `EmbeddedStore`; the command line opens one when the objects process is stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bivouac.objects.store import rows
from bivouac.objects.store.auditor import Auditor, Finding
from bivouac.objects.store.engine import EmbeddedStore
from bivouac.objects.store.interface import Container, Extent, Kind, Listing, Media, ObjectRecord
from bivouac.objects.store.schema import OBJECT_COLUMNS

PAGES_AT_ONCE = 256
CHUNK = 1024 * 1024


class Statistics(msgspec.Struct, frozen=True):
    """Of the whole store. `index_bytes` holds small objects too; `free_bytes` is what `compact` can give back."""

    accounts: int
    containers: int
    objects: int
    older_versions: int
    uploads: int
    bytes: int
    blobs: int
    files: int
    index_bytes: int
    free_bytes: int


def stats(store: EmbeddedStore) -> Statistics:
    def count(query: str) -> int:
        return store.connection.execute(query).get or 0

    page = store.connection.pragma("page_size")
    return Statistics(
        accounts=count("SELECT count(*) FROM accounts"),
        containers=count("SELECT count(*) FROM containers"),
        objects=count("SELECT sum(objects) FROM container_usage"),
        older_versions=count("SELECT sum(older_versions) FROM container_usage"),
        uploads=count("SELECT count(*) FROM multiparts"),
        bytes=count("SELECT sum(bytes + older_bytes) FROM container_usage"),
        blobs=count("SELECT count(*) FROM blobs"),
        files=count("SELECT count(*) FROM files"),
        index_bytes=store.connection.pragma("page_count") * page,
        free_bytes=store.connection.pragma("freelist_count") * page,
    )


# check


async def check(store: EmbeddedStore, data: bool = True) -> list[Finding]:
    """Everything that must hold of a store at rest; with `data` every byte is read and compared. An empty list is a
    sound store."""
    findings = [
        Finding("index", "index.db", (), problem)
        for (problem,) in store.connection.execute("PRAGMA integrity_check(100)").fetchall()
        if problem != "ok"
    ]
    findings += _check_references(store)
    findings += _check_usage(store)
    findings += _check_versions(store)
    findings += _check_files(store)
    if data:
        findings += await Auditor(store, rate=None).audit()
    return findings


def _extents(store: EmbeddedStore) -> Iterator[Extent]:
    """Of every row that points to data."""
    for table in ("objects", "versions"):
        for row in store.connection.execute(f"SELECT {OBJECT_COLUMNS} FROM {table}"):
            yield from rows.object_record(row, True).extents
    for (detail,) in store.connection.execute("SELECT detail FROM parts"):
        yield from rows.decode_part(detail).extents


def _check_references(store: EmbeddedStore) -> list[Finding]:
    """Each piece of data has exactly as many references as are counted, at least one."""
    findings = []
    pointed = Counter((int(extent.media), extent.data) for extent in _extents(store))
    shared = {(m, d): extra for m, d, extra in store.connection.execute("SELECT media, data, extra FROM shared")}
    held = {
        (int(Media.BLOB), blob): size for blob, size in store.connection.execute("SELECT id, length(bytes) FROM blobs")
    }
    held |= {(int(Media.FILE), file): size for file, size in store.connection.execute("SELECT id, size FROM files")}
    for key, count in pointed.items():
        if key not in held:
            findings.append(Finding("missing", f"{Media(key[0]).name} {key[1]:016x}", (), "pointed to, but not there"))
        elif shared.get(key, 0) + 1 != count:
            detail = f"{count} references, {shared.get(key, 0) + 1} counted"
            findings.append(Finding("reference", f"{Media(key[0]).name} {key[1]:016x}", (), detail))
    for key in held:
        if key not in pointed:
            findings.append(Finding("leak", f"{Media(key[0]).name} {key[1]:016x}", (), "nothing points to it"))
    return findings


def _check_usage(store: EmbeddedStore) -> list[Finding]:
    """The counters are what counting gives."""
    findings = []
    current = "SELECT container_id, count(*), coalesce(sum(size), 0) FROM {} GROUP BY container_id"
    objects = {row[0]: row[1:] for row in store.connection.execute(current.format("objects"))}
    versions = {row[0]: row[1:] for row in store.connection.execute(current.format("versions"))}
    accounts: Counter[tuple[str, str, int]] = Counter()
    query = (
        "SELECT id, account, policy, name, objects, bytes, older_versions, older_bytes"
        " FROM containers LEFT JOIN container_usage ON container_id = id"
    )
    for container, account, policy, name, *counted in store.connection.execute(query):
        real = [*objects.get(container, (0, 0)), *versions.get(container, (0, 0))]
        if counted != real:
            findings.append(Finding("usage", f"{account}/{name}", (), f"counted {counted}, is {real}"))
        for index, value in enumerate((*real, 1)):
            accounts[account, policy, index] += value
    query = "SELECT account, policy, objects, bytes, older_versions, older_bytes, containers FROM account_usage"
    for account, policy, *counted in store.connection.execute(query):
        real = [accounts[account, policy, index] for index in range(5)]
        if counted != real:
            findings.append(Finding("usage", f"{account} ({policy})", (), f"counted {counted}, is {real}"))
    return findings


def _check_versions(store: EmbeddedStore) -> list[Finding]:
    """The current version is the newest, and only a delete marker hides older ones."""
    findings = []
    newer = (
        "SELECT v.container_id, v.name FROM versions v JOIN objects o ON o.container_id = v.container_id AND "
        "o.name = v.name"
        " WHERE v.version >= o.version"
    )
    hidden = (
        "SELECT container_id, name FROM versions v WHERE kind != ? AND NOT EXISTS (SELECT 1 FROM objects o WHERE"
        " o.container_id = v.container_id AND o.name = v.name) AND version = (SELECT max(version) FROM versions w WHERE"
        " w.container_id = v.container_id AND w.name = v.name)"
    )
    for container, name in store.connection.execute(newer):
        findings.append(Finding("version", f"{container}/{name}", (), "an older version is newer than the current"))
    for container, name in store.connection.execute(hidden, (int(Kind.DELETE_MARKER),)):
        findings.append(Finding("version", f"{container}/{name}", (), "the newest version is not current"))
    return findings


def _check_files(store: EmbeddedStore) -> list[Finding]:
    """Files that nothing knows. (Those that are missing are the auditor's to find.)"""
    known = {file for (file,) in store.connection.execute("SELECT id FROM files UNION SELECT file FROM garbage")}
    unknown = [data for data in store.disk.names() if data not in known]
    return [Finding("leak", store.disk.path(data), (), "no row points to it") for data in unknown]


# compact


async def compact(store: EmbeddedStore, pause_s: float = 0.01) -> int:
    """Give free pages of the index back to the file system, a little at a time. Gives how many bytes."""
    page = store.connection.pragma("page_size")
    before = store.connection.pragma("page_count")

    def step(transaction: Any) -> None:
        # The statement gives a row for each page that it frees.
        transaction.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()

    while store.connection.pragma("freelist_count"):
        await store.committer.submit(step)
        await asyncio.sleep(pause_s)
    return (before - store.connection.pragma("page_count")) * page


# export


async def export(store: EmbeddedStore, target: Path) -> int:
    """Write every current object below `target` as ACCOUNT/CONTAINER/NUMBER with NUMBER.json beside it. Gives how
    many objects.

    Names may hold what file names may not, so files are numbered and the JSON holds the name and everything else.
    """
    exported = 0
    account = ""
    while accounts := await store.list_accounts(account):
        for account in accounts:
            for entry in await store.list_containers(account, Listing(limit=1_000_000)):
                container = await store.get_container(account, entry.name)
                exported += await _export_container(store, container, target / account / str(container.id))
    return exported


async def _export_container(store: EmbeddedStore, container: Container, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "container.json").write_bytes(msgspec.json.encode(container))
    marker, number = "", 0
    while True:
        page = await store.list_objects(container, Listing(marker=marker, limit=1000))
        for entry in page.entries:
            record = await store.get_object(container, entry.name)
            number += 1
            await _export_object(store, record, folder / f"{number:09d}")
            marker = entry.name
        if not page.truncated:
            return number


async def _export_object(store: EmbeddedStore, record: ObjectRecord, path: Path) -> None:
    described = {key: value for key, value in msgspec.to_builtins(record).items() if key not in ("extents", "current")}
    path.with_suffix(".json").write_text(json.dumps(described))
    pieces = await store.read(record)

    def write() -> None:
        with path.open("wb") as file:
            for piece in pieces:
                if isinstance(piece, bytes):
                    file.write(piece)
                    continue
                with piece:
                    for offset in range(0, piece.length, CHUNK):
                        file.write(os.pread(piece.fd, min(CHUNK, piece.length - offset), piece.offset + offset))

    await asyncio.to_thread(write)
