"""What an operator does with a store: check it, compact it, count it, export it.

All but `compact` only read, so they work beside the process that serves the store as well as without it.
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
from bivouac.objects.store.auditor import Auditor, Finding, Readable
from bivouac.objects.store.engine import EmbeddedStore
from bivouac.objects.store.errors import DataCorrupt, NoSuchContainer, NoSuchObject
from bivouac.objects.store.interface import Container, Extent, Kind, Listing, Media, ObjectEntry, ObjectRecord, Piece
from bivouac.objects.store.read_only import ReadOnlyStore
from bivouac.objects.store.schema import OBJECT_COLUMNS

PAGES_AT_ONCE = 256
CHUNK = 1024 * 1024
GRACE_S = 2.0
"""How long a file may be there without its row, or the other way round, while a store is being written."""


class Statistics(msgspec.Struct, frozen=True):
    """Of the whole store. `index_bytes` holds small objects too; `free_bytes` is what `compact` can give back."""

    accounts: int
    containers: int
    objects: int
    older_versions: int
    uploads: int
    bytes: int
    files: int
    file_bytes: int
    index_bytes: int
    free_bytes: int


def stats(store: Readable) -> Statistics:
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
        files=count("SELECT count(*) FROM files"),
        file_bytes=count("SELECT sum(size) FROM files"),
        index_bytes=store.connection.pragma("page_count") * page,
        free_bytes=store.connection.pragma("freelist_count") * page,
    )


# check


async def check(store: Readable, data: bool = True) -> list[Finding]:
    """Everything that must hold of a store; with `data` every byte is read and compared. An empty list is a sound
    store."""
    findings = [
        Finding("index", "index.db", (), str(problem))
        for (problem,) in store.connection.execute("PRAGMA integrity_check(100)").fetchall()
        if problem != "ok"
    ]
    with store.connection:  # one state of the index for all that must agree
        findings += _check_references(store)
        findings += _check_usage(store)
        findings += _check_versions(store)
    findings += await _check_files(store)
    if data:
        findings += await Auditor(store, rate=None).audit()
    return findings


def _extents(store: Readable) -> Iterator[Extent]:
    """Of every row that points to data."""
    for table in ("objects", "versions"):
        for row in store.connection.execute(f"SELECT {OBJECT_COLUMNS} FROM {table}"):
            yield from rows.object_record(row, True).extents
    for (detail,) in store.connection.execute("SELECT detail FROM parts"):
        yield from rows.decode_part(detail).extents


def _check_references(store: Readable) -> list[Finding]:
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


def _check_usage(store: Readable) -> list[Finding]:
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


def _check_versions(store: Readable) -> list[Finding]:
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


async def _check_files(store: Readable) -> list[Finding]:
    """Files that nothing knows. (Those that are missing are the auditor's to find.)"""
    unknown = _unknown_files(store)
    if unknown:  # they may be on their way into a commit, or out of the folder
        await asyncio.sleep(GRACE_S)
        unknown &= _unknown_files(store)
    return [Finding("leak", store.disk.path(data), (), "no row points to it") for data in sorted(unknown)]


def _unknown_files(store: Readable) -> set[int]:
    found = set(store.disk.names())
    known = store.connection.execute("SELECT id FROM files UNION SELECT file FROM garbage")
    return found - {file for (file,) in known}


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


class Exported(msgspec.Struct):
    """`failed` names what could not be read, and why."""

    objects: int = 0
    bytes: int = 0
    failed: list[tuple[str, str]] = []


def export(store: ReadOnlyStore, target: Path) -> Exported:
    """Write every current object below `target` as ACCOUNT/CONTAINER-ID/NUMBER with NUMBER.json beside it, and each
    container's own properties as container.json. Bytes are as the store holds them: what S3 encrypted stays so.

    Names may hold what file names may not, so files are numbered and the JSON holds the name and everything else.
    Raises OSError when `target` cannot be written.
    """
    done = Exported()
    account = ""
    while accounts := store.list_accounts(account):
        for account in accounts:
            for entry in store.list_containers(account, Listing(limit=1_000_000)):
                try:
                    container = store.get_container(account, entry.name)
                except NoSuchContainer:
                    continue
                _export_container(store, container, target / account / str(container.id), done)
    return done


def _export_container(store: ReadOnlyStore, container: Container, folder: Path, done: Exported) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "container.json").write_bytes(msgspec.json.encode(container))
    marker, number = "", 0
    while True:
        page = store.list_objects(container, Listing(marker=marker, limit=1000))
        for entry in page.entries:
            marker = entry.name
            number += 1
            try:
                record = store.get_object(container, entry.name)
                _export_object(record, store.read(record), folder / f"{number:09d}")
            except (NoSuchObject, FileNotFoundError, DataCorrupt) as error:
                if _still_there(store, container, entry):
                    reason = str(error) if isinstance(error, DataCorrupt) else "its file is missing"
                    done.failed.append((f"{container.account}/{container.name}/{entry.name}", reason))
                continue
            done.objects += 1
            done.bytes += record.size
        if not page.truncated:
            return


def _still_there(store: ReadOnlyStore, container: Container, entry: ObjectEntry) -> bool:
    """Whether it was not deleted or replaced while it was read."""
    try:
        return store.get_object(container, entry.name).version == entry.version
    except NoSuchObject:
        return False


def _export_object(record: ObjectRecord, pieces: list[Piece], path: Path) -> None:
    described = {key: value for key, value in msgspec.to_builtins(record).items() if key not in ("extents", "current")}
    with path.open("wb") as file:
        for piece in pieces:
            if isinstance(piece, bytes):
                file.write(piece)
                continue
            with piece:
                for offset in range(0, piece.length, CHUNK):
                    file.write(os.pread(piece.fd, min(CHUNK, piece.length - offset), piece.offset + offset))
    path.with_suffix(".json").write_text(json.dumps(described))
