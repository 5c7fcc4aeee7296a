"""Writing operations on objects: put, update, delete, with versioning, archives and locks. Rules over a
`Transaction`; see committer.

A row of `objects` is the newest version of its name, always; when the newest is a delete marker there is none.
`versions` holds the rest.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from bivouac.objects.store import conditions, rows
from bivouac.objects.store.containers import check_container
from bivouac.objects.store.errors import NoSuchObject, ObjectLocked, RangeInvalid
from bivouac.objects.store.interface import (
    Archive,
    Container,
    CopySource,
    Deleted,
    DeleteObject,
    Extent,
    Kind,
    Media,
    ObjectRecord,
    PutObject,
    Staged,
    Stored,
    UpdateObject,
    Versioning,
)
from bivouac.objects.store.schema import OBJECT_COLUMNS
from bivouac.objects.store.transaction import Transaction, merge

_PLACES = ", ".join("?" * 13)
INSERT_OBJECT = f"INSERT OR REPLACE INTO objects({OBJECT_COLUMNS}) VALUES({_PLACES})"
INSERT_VERSION = f"INSERT INTO versions({OBJECT_COLUMNS}) VALUES({_PLACES})"
CURRENT = f"SELECT {OBJECT_COLUMNS} FROM objects WHERE container_id = ? AND name = ?"
OLDER = f"SELECT {OBJECT_COLUMNS} FROM versions WHERE container_id = ? AND name = ?"
HISTORY_DELETED = "application/x-deleted;swift_versions_deleted=1"


def current_version(tx: Transaction, container_id: int, name: str) -> ObjectRecord | None:
    row = tx.execute(CURRENT, (container_id, name)).fetchone()
    return rows.object_record(row, True) if row else None


def find_version(
    tx: Transaction, container_id: int, name: str, version: int | None, null_version: bool
) -> ObjectRecord | None:
    """The version asked for, delete markers too; without either, the current one."""
    current = current_version(tx, container_id, name)
    if version is None and not null_version:
        return current
    if current and (current.version == version or (null_version and current.null_version)):
        return current
    test, value = ("null_version = ?", 1) if null_version else ("version = ?", version)
    row = tx.execute(f"{OLDER} AND {test}", (container_id, name, value)).fetchone()
    return rows.object_record(row, False) if row else None


# put


def put(tx: Transaction, new: PutObject, md5: str) -> Stored:
    """`md5` is that of a body given as bytes."""
    container = check_container(tx, new.container)
    current = current_version(tx, container.id, new.name)
    conditions.check(new.conditions, current)
    length, body_md5 = body_facts(tx, new.body, md5)
    size = length if new.size is None else new.size
    etag = new.etag or body_md5
    replaced = _will_replace(tx, container, current, new)
    tx.check_quota(container, 0 if replaced else 1, size - (replaced.size if replaced else 0))

    null_version = container.versioning != Versioning.ENABLED
    extents = store_body(tx, new.body)  # first, because a copy onto itself replaces its source
    make_room(tx, container, current, new.name, null_version, new.archive)
    version = max(tx.clock.next(), current.version + 10 if current else 0)
    record = ObjectRecord(
        container_id=container.id,
        name=new.name,
        version=version,
        modified=version,
        size=size,
        etag=etag,
        content_type=new.content_type,
        kind=new.kind,
        null_version=null_version,
        current=True,
        expires_at=new.expires_at,
        extents=extents,
        metadata=new.metadata,
        headers=new.headers,
        checksums=new.checksums,
        tags=new.tags,
        documents=new.documents,
        lock=new.lock,
        owner=new.owner,
        manifest=new.manifest,
    )
    insert_current(tx, container, record)
    return Stored(version, size, etag, current is None, null_version)


def body_facts(tx: Transaction, body: bytes | Staged | CopySource, md5: str) -> tuple[int, str]:
    """Length and ETag. Raises NoSuchObject, RangeInvalid for a copy."""
    if isinstance(body, bytes):
        return len(body), md5
    if isinstance(body, Staged):
        return body.size, body.md5
    return len_of_copy(body), copied_etag(tx, body)


def len_of_copy(copy: CopySource) -> int:
    held = sum(extent.length for extent in copy.source.extents)
    length = held - copy.offset if copy.length is None else copy.length
    if copy.offset < 0 or length < 0 or copy.offset + length > held:
        raise RangeInvalid(copy.source.name)
    return length


def copied_etag(tx: Transaction, copy: CopySource) -> str:
    """The source's ETag if all of it is copied, else one derived from it (an ETag promises no more than to change
    with the bytes).

    Checks that the source is still what the caller saw.
    """
    source = copy.source
    found = find_version(tx, source.container_id, source.name, source.version, False)
    if found is None or found.extents != source.extents:
        raise NoSuchObject(source.name)
    held = sum(extent.length for extent in source.extents)
    length = len_of_copy(copy)
    return source.etag if length == held else hashlib.md5(f"{source.etag} {copy.offset} {length}".encode()).hexdigest()


def store_body(tx: Transaction, body: bytes | Staged | CopySource) -> tuple[Extent, ...]:
    """Make the bytes part of the store; gives the extents of the row that is about to point to them."""
    if isinstance(body, CopySource):
        extents = slice_extents(body.source.extents, body.offset, len_of_copy(body))
        tx.share(extents)
        return extents
    if isinstance(body, Staged):
        if body.small is None:
            for extent in body.extents:
                tx.execute("INSERT INTO files(id, size, md5) VALUES(?, ?, ?)", (extent.data, extent.length, body.md5))
            return body.extents
        body = body.small
    if not body:
        return ()
    data = tx.clock.next()
    tx.execute("INSERT INTO blobs(id, crc, bytes) VALUES(?, ?, ?)", (data, zlib.crc32(body), body))
    return (Extent(Media.BLOB, data, 0, len(body)),)


def slice_extents(extents: tuple[Extent, ...], offset: int, length: int) -> tuple[Extent, ...]:
    """The extents of `length` bytes from `offset`."""
    found = []
    for extent in extents:
        if length <= 0:
            break
        if offset >= extent.length:
            offset -= extent.length
            continue
        taken = min(extent.length - offset, length)
        found.append(Extent(extent.media, extent.data, extent.offset + offset, taken))
        offset, length = 0, length - taken
    return tuple(found)


def insert_current(tx: Transaction, container: Container, record: ObjectRecord) -> None:
    tx.execute(INSERT_OBJECT, rows.object_row(record))
    tx.count(container, 1, record.size)


def _will_replace(
    tx: Transaction, container: Container, current: ObjectRecord | None, new: PutObject
) -> ObjectRecord | None:
    """The version whose place the new one takes, for the quota's sake."""
    if container.versioning == Versioning.ENABLED or (new.archive and current):
        return None
    if current is None or current.null_version:
        return current
    return find_version(tx, container.id, new.name, None, True)


def make_room(
    tx: Transaction,
    container: Container,
    current: ObjectRecord | None,
    name: str,
    null_version: bool,
    archive: Archive | None,
) -> None:
    """Move the current version aside, or drop what the new one replaces."""
    if container.versioning != Versioning.OFF:
        if current and not (null_version and current.null_version):
            demote(tx, container, current)
            current = None
        if null_version and current is None:
            drop_older_null(tx, container, name)
    if current:
        if archive:
            to_archive(tx, container, current, archive)
        else:
            drop(tx, container, current)


def demote(tx: Transaction, container: Container, record: ObjectRecord) -> None:
    """A current version becomes an older one."""
    tx.execute("DELETE FROM objects WHERE container_id = ? AND name = ?", (record.container_id, record.name))
    tx.execute(INSERT_VERSION, rows.object_row(record))
    tx.count(container, -1, -record.size, 1, record.size)


def drop_older_null(tx: Transaction, container: Container, name: str) -> None:
    row = tx.execute(f"{OLDER} AND null_version = 1", (container.id, name)).fetchone()
    if row:
        drop(tx, container, rows.object_record(row, False))


def drop(tx: Transaction, container: Container, record: ObjectRecord) -> None:
    """Remove a version and let go of its data."""
    if record.current:
        tx.execute("DELETE FROM objects WHERE container_id = ? AND name = ?", (record.container_id, record.name))
        tx.count(container, -1, -record.size)
    else:
        tx.execute(
            "DELETE FROM versions WHERE container_id = ? AND name = ? AND version = ?",
            (record.container_id, record.name, record.version),
        )
        tx.count(container, 0, 0, -1, -record.size)
    tx.release(record.extents)


# archives: Swift's older versioning


def archive_name(name: str, time: int) -> str:
    """LLLname/time: the length in hex keeps one object's archive apart from that of names it begins."""
    return f"{archive_prefix(name)}{time // 1_000_000}.{time % 1_000_000 // 10:05d}"


def archive_prefix(name: str) -> str:
    return f"{len(name.encode()):03x}{name}/"


def to_archive(tx: Transaction, container: Container, record: ObjectRecord, archive: Archive) -> None:
    target = tx.container(archive.container.id)
    tx.execute("DELETE FROM objects WHERE container_id = ? AND name = ?", (record.container_id, record.name))
    tx.count(container, -1, -record.size)
    _insert_archived(
        tx, target, replace(record, container_id=target.id, name=archive_name(record.name, record.modified))
    )


def _insert_archived(tx: Transaction, target: Container, record: ObjectRecord) -> None:
    old = current_version(tx, target.id, record.name)
    make_room(tx, target, old, record.name, target.versioning != Versioning.ENABLED, None)
    insert_current(tx, target, replace(record, null_version=target.versioning != Versioning.ENABLED))


def _delete_archiving(
    tx: Transaction, container: Container, current: ObjectRecord | None, call: DeleteObject
) -> Deleted:
    """Delete in a container whose older versions are archived: put back the newest of them, or mark the deletion
    among them."""
    assert call.archive is not None
    target = tx.container(call.archive.container.id)
    prefix = archive_prefix(call.name)
    if call.archive.history:
        if current:
            to_archive(tx, container, current, call.archive)
        now = tx.clock.next()
        row = (target.id, archive_name(call.name, now), now, now, 0, "d41d8cd98f00b204e9800998ecf8427e")
        marker = rows.object_record((*row, HISTORY_DELETED, Kind.PLAIN, 1, None, None, None, None), True)
        _insert_archived(tx, target, marker)
        return Deleted(found=current is not None)
    if current is None:
        return Deleted(found=False)
    drop(tx, container, current)
    newest = tx.execute(
        f"SELECT {OBJECT_COLUMNS} FROM objects WHERE container_id = ? AND name > ? AND name < ? ORDER BY name "
        f"DESC LIMIT 1",
        (target.id, prefix, prefix[:-1] + "0"),
    ).fetchone()
    if newest:
        archived = rows.object_record(newest, True)
        tx.execute("DELETE FROM objects WHERE container_id = ? AND name = ?", (target.id, archived.name))
        tx.count(target, -1, -archived.size)
        insert_current(tx, container, replace(archived, container_id=container.id, name=call.name))
    return Deleted(found=True)


# update


def update(tx: Transaction, call: UpdateObject) -> ObjectRecord:
    container = check_container(tx, call.container)
    record = find_version(tx, container.id, call.name, call.version, False)
    if record is None or record.kind == Kind.DELETE_MARKER:
        raise NoSuchObject(call.name)
    changes: dict[str, Any] = {
        field: value
        for field in ("content_type", "metadata", "headers", "tags", "lock", "expires_at", "kind")
        if (value := getattr(call, field)) is not UNSET
    }
    if "lock" in changes:
        _check_lock_change(tx, record, call)
    if call.documents:
        changes["documents"] = merge(record.documents, call.documents)
    if call.touch:
        changes["modified"] = max(tx.clock.next(), record.modified + 10)
    record = replace(record, **changes)
    if record.current:
        tx.execute(INSERT_OBJECT, rows.object_row(record))
    else:
        tx.execute(INSERT_VERSION.replace("INSERT", "INSERT OR REPLACE", 1), rows.object_row(record))
    return record


def _check_lock_change(tx: Transaction, record: ObjectRecord, call: UpdateObject) -> None:
    """Retention in force may be lengthened; GOVERNANCE may be weakened with `bypass`, COMPLIANCE by nobody."""
    old, new = record.lock, call.lock
    if old is None or old.retain_until is None or old.retain_until <= tx.clock.seconds():
        return
    assert new is not UNSET
    weaker = new is None or new.retain_until is None or new.retain_until < old.retain_until or new.mode != old.mode
    if weaker and not (old.mode == "GOVERNANCE" and call.bypass):
        stricter = new is not None and old.mode == "GOVERNANCE" and new.mode == "COMPLIANCE"
        if not (stricter and new is not None and (new.retain_until or 0) >= old.retain_until):
            raise ObjectLocked(record.name, old.retain_until)


# delete


def delete(tx: Transaction, call: DeleteObject) -> Deleted:
    container = check_container(tx, call.container)
    current = current_version(tx, container.id, call.name)
    if call.only_expired_at is not None and (
        current is None or current.expires_at is None or current.expires_at > call.only_expired_at
    ):
        return Deleted(found=False)
    if call.version is not None or call.null_version:
        return _delete_version(tx, container, call)
    conditions.check(call.conditions, current)
    if call.archive:
        return _delete_archiving(tx, container, current, call)
    if container.versioning == Versioning.OFF:
        if current is None:
            return Deleted(found=False)
        check_lock(tx, current, call.bypass)
        drop(tx, container, current)
        return Deleted(found=True, version=current.version, null_version=True)
    null_version = container.versioning == Versioning.SUSPENDED
    if current and null_version and current.null_version:
        check_lock(tx, current, call.bypass)
    make_room(tx, container, current, call.name, null_version, None)
    newest = tx.execute(
        "SELECT max(version) FROM versions WHERE container_id = ? AND name = ?", (container.id, call.name)
    ).get
    version = max(tx.clock.next(), (newest or 0) + 10)
    marker = rows.Detail(owner=call.owner)
    tx.execute(
        INSERT_VERSION,
        (container.id, call.name, version, version, 0, "", "", int(Kind.DELETE_MARKER), int(null_version))
        + (None, None, None, rows.encode_detail(marker)),
    )
    tx.count(container, 0, 0, 1)
    return Deleted(found=current is not None, marker=version, null_version=null_version)


def check_lock(tx: Transaction, record: ObjectRecord, bypass: bool) -> None:
    """Raises ObjectLocked."""
    lock = record.lock
    if lock is None:
        return
    if lock.legal_hold:
        raise ObjectLocked(record.name, lock.retain_until)
    retained = lock.retain_until is not None and lock.retain_until > tx.clock.seconds()
    if retained and not (lock.mode == "GOVERNANCE" and bypass):
        raise ObjectLocked(record.name, lock.retain_until)


def _delete_version(tx: Transaction, container: Container, call: DeleteObject) -> Deleted:
    record = find_version(tx, container.id, call.name, call.version, call.null_version)
    conditions.check(call.conditions, record)
    if record is None:
        return Deleted(found=False, version=call.version, null_version=call.null_version)
    check_lock(tx, record, call.bypass)
    drop(tx, container, record)
    if record.current or record.kind == Kind.DELETE_MARKER:
        promote_newest(tx, container, call.name)
    marker = record.version if record.kind == Kind.DELETE_MARKER else None
    return Deleted(found=True, version=record.version, marker=marker, null_version=record.null_version)


def promote_newest(tx: Transaction, container: Container, name: str) -> None:
    """If the name has no current version, the newest of the older ones becomes it, unless that is a delete marker."""
    if tx.execute("SELECT 1 FROM objects WHERE container_id = ? AND name = ?", (container.id, name)).fetchone():
        return
    row = tx.execute(f"{OLDER} ORDER BY version DESC LIMIT 1", (container.id, name)).fetchone()
    if row is None or row[7] == Kind.DELETE_MARKER:
        return
    record = rows.object_record(row, True)
    tx.execute(
        "DELETE FROM versions WHERE container_id = ? AND name = ? AND version = ?", (container.id, name, record.version)
    )
    tx.count(container, 0, 0, -1, -record.size)
    insert_current(tx, container, record)
