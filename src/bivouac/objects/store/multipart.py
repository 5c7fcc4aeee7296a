"""Writing operations on multipart uploads. Completion turns the parts' extents into the object's: no byte moves."""

from __future__ import annotations

import hashlib
import json

from bivouac.objects.store import conditions, rows
from bivouac.objects.store.containers import check_container, remove_upload
from bivouac.objects.store.errors import InvalidPart, NoSuchUpload
from bivouac.objects.store.interface import (
    CompleteMultipart,
    CopySource,
    CreateMultipart,
    Extent,
    Kind,
    Multipart,
    ObjectRecord,
    Part,
    Staged,
    Stored,
    Versioning,
)
from bivouac.objects.store.objects import body_facts, current_version, insert_current, make_room, store_body
from bivouac.objects.store.transaction import Transaction


def create(tx: Transaction, call: CreateMultipart, upload: str) -> Multipart:
    container = check_container(tx, call.container)
    detail = rows.MultipartDetail(
        call.content_type,
        call.metadata,
        call.headers,
        call.tags,
        call.documents,
        call.lock,
        call.owner,
        call.expires_at,
    )
    row = (upload, container.id, call.name, tx.clock.next(), rows.encode(detail))
    tx.execute("INSERT INTO multiparts(id, container_id, name, created, detail) VALUES(?, ?, ?, ?, ?)", row)
    return record(row)


def record(row: tuple) -> Multipart:
    """From id, container_id, name, created, detail."""
    detail = rows.decode_multipart(row[4])
    return Multipart(
        row[0],
        row[3],
        row[1],
        row[2],
        detail.content_type,
        detail.metadata,
        detail.headers,
        detail.tags,
        detail.documents,
        detail.lock,
        detail.owner,
        detail.expires_at,
    )


def check_upload(tx: Transaction, upload: str) -> None:
    """Raises NoSuchUpload."""
    if not tx.execute("SELECT 1 FROM multiparts WHERE id = ?", (upload,)).fetchone():
        raise NoSuchUpload(upload)


def put_part(
    tx: Transaction,
    upload: Multipart,
    number: int,
    body: bytes | Staged | CopySource,
    md5: str,
    checksums: dict[str, str],
    etag: str | None,
) -> Part:
    """A part of the same number is replaced. Raises NoSuchUpload."""
    check_upload(tx, upload.id)
    size, body_md5 = body_facts(tx, body, md5)
    old = tx.execute("SELECT detail FROM parts WHERE upload = ? AND number = ?", (upload.id, number)).fetchone()
    extents = store_body(tx, body)
    if old:
        tx.release(rows.decode_part(old[0]).extents)
    etag = etag or body_md5
    if len(etag) != 32:  # a copied multipart object's: a part's must be an MD5's hex, the whole's is derived from it
        etag = hashlib.md5(etag.encode()).hexdigest()
    now = tx.clock.next()
    tx.execute(
        "INSERT OR REPLACE INTO parts(upload, number, size, etag, modified, detail) VALUES(?, ?, ?, ?, ?, ?)",
        (upload.id, number, size, etag, now, rows.encode(rows.PartDetail(extents, checksums))),
    )
    return Part(number, size, etag, now, checksums)


def complete(tx: Transaction, call: CompleteMultipart) -> Stored:
    container = check_container(tx, call.container)
    check_upload(tx, call.upload.id)
    current = current_version(tx, container.id, call.upload.name)
    conditions.check(call.conditions, current)
    chosen, unused = _choose_parts(tx, call)
    size = sum(part.size for part, _ in chosen)
    if call.size is not None and call.size != size:
        raise InvalidPart(0, f"the parts have {size} bytes together, not {call.size}")
    replaced = current.size if current and container.versioning != Versioning.ENABLED else 0
    tx.check_quota(container, 0 if current else 1, size - replaced)

    null_version = container.versioning != Versioning.ENABLED
    make_room(tx, container, current, call.upload.name, null_version, call.archive)
    version = max(tx.clock.next(), current.version + 10 if current else 0)
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part, _ in chosen)).hexdigest()
    etag = f"{digest}-{len(chosen)}"
    upload = call.upload
    parts = json.dumps([[part.number, part.size, part.checksums] for part, _ in chosen], separators=(",", ":"))
    extents = tuple(extent for _, held in chosen for extent in held)
    insert_current(
        tx,
        container,
        ObjectRecord(
            container_id=container.id,
            name=upload.name,
            version=version,
            modified=version,
            size=size,
            etag=etag,
            content_type=upload.content_type,
            kind=Kind.PLAIN,
            null_version=null_version,
            current=True,
            expires_at=upload.expires_at,
            extents=extents,
            metadata=upload.metadata,
            headers=upload.headers,
            checksums=call.checksums,
            tags=upload.tags,
            documents=upload.documents | call.documents | {"parts": parts},
            lock=upload.lock,
            owner=upload.owner,
            manifest=None,
        ),
    )
    for held in unused:
        tx.release(held)
    tx.execute("DELETE FROM parts WHERE upload = ?", (upload.id,))
    tx.execute("DELETE FROM multiparts WHERE id = ?", (upload.id,))
    return Stored(version, size, etag, current is None, null_version)


def _choose_parts(
    tx: Transaction, call: CompleteMultipart
) -> tuple[list[tuple[Part, tuple[Extent, ...]]], list[tuple[Extent, ...]]]:
    """The parts named, in order, and the extents of those not named. Raises InvalidPart."""
    held: dict[int, tuple[Part, tuple[Extent, ...]]] = {}
    for number, size, etag, modified, encoded in tx.execute(
        "SELECT number, size, etag, modified, detail FROM parts WHERE upload = ?", (call.upload.id,)
    ):
        detail = rows.decode_part(encoded)
        held[number] = (Part(number, size, etag, modified, detail.checksums), detail.extents)
    if not call.parts:
        raise InvalidPart(0, "no part is named")
    chosen, before = [], 0
    for number, etag in call.parts:
        if number <= before:
            raise InvalidPart(number, "out of order")
        before = number
        found = held.pop(number, None)
        if found is None or (etag and found[0].etag != etag):
            raise InvalidPart(number, "absent, or has another ETag")
        chosen.append(found)
    for part, _ in chosen[:-1]:
        if part.size < call.minimum:
            raise InvalidPart(part.number, "too small")
    return chosen, [extents for _, extents in held.values()]


def abort(tx: Transaction, upload: Multipart) -> None:
    check_upload(tx, upload.id)
    remove_upload(tx, upload.id)
