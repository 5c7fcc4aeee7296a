"""Rows of the index to records and back.

What is rarely asked for on its own (metadata, tags, locks ...) is one msgpack value per row, `detail`; NULL when
all of it is default.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from typing import Any

import msgspec

from bivouac.objects.store.interface import (
    Account,
    Container,
    Extent,
    Kind,
    Lock,
    Media,
    ObjectEntry,
    ObjectRecord,
    Versioning,
)


class Detail(msgspec.Struct, omit_defaults=True):
    """The part of a version that listings don't need. `extents` is empty when the row's own media and data tell
    all."""

    extents: tuple[Extent, ...] = ()
    metadata: dict[str, str] = {}
    headers: dict[str, str] = {}
    checksums: dict[str, str] = {}
    tags: dict[str, str] = {}
    documents: dict[str, str] = {}
    lock: Lock | None = None
    owner: str = ""
    manifest: str | None = None


class ContainerSettings(msgspec.Struct, omit_defaults=True):
    metadata: dict[str, str] = {}
    documents: dict[str, str] = {}
    quota_bytes: int | None = None
    quota_objects: int | None = None


class AccountSettings(ContainerSettings, omit_defaults=True):
    policy_quotas: dict[str, int] = {}


class MultipartDetail(msgspec.Struct, omit_defaults=True):
    content_type: str
    metadata: dict[str, str] = {}
    headers: dict[str, str] = {}
    tags: dict[str, str] = {}
    documents: dict[str, str] = {}
    lock: Lock | None = None
    owner: str = ""
    expires_at: int | None = None


class PartDetail(msgspec.Struct, omit_defaults=True):
    extents: tuple[Extent, ...] = ()
    checksums: dict[str, str] = {}
    md5: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_detail = msgspec.msgpack.Decoder(Detail).decode
decode_container_settings = msgspec.msgpack.Decoder(ContainerSettings).decode
decode_account_settings = msgspec.msgpack.Decoder(AccountSettings).decode
decode_multipart = msgspec.msgpack.Decoder(MultipartDetail).decode
decode_part = msgspec.msgpack.Decoder(PartDetail).decode
NO_DETAIL = Detail()
KINDS = tuple(Kind)
MEDIA = tuple(Media)
_EMPTY = encode(NO_DETAIL)


def encode_detail(detail: Detail) -> bytes | None:
    encoded = encode(detail)
    return None if encoded == _EMPTY else encoded


def object_record(row: tuple[Any, ...], current: bool) -> ObjectRecord:
    """From OBJECT_COLUMNS."""
    detail = decode_detail(row[12]) if row[12] is not None else NO_DETAIL
    extents = detail.extents
    if row[10] is not None and not extents:
        extents = (Extent(MEDIA[row[10]], row[11], 0, row[4]),)
    return ObjectRecord(
        container_id=row[0],
        name=row[1],
        version=row[2],
        modified=row[3],
        size=row[4],
        etag=row[5],
        content_type=row[6],
        kind=KINDS[row[7]],
        null_version=bool(row[8]),
        current=current,
        expires_at=row[9],
        extents=extents,
        metadata=detail.metadata,
        headers=detail.headers,
        checksums=detail.checksums,
        tags=detail.tags,
        documents=detail.documents,
        lock=detail.lock,
        owner=detail.owner,
        manifest=detail.manifest,
    )


def object_row(record: ObjectRecord) -> tuple[Any, ...]:
    """To OBJECT_COLUMNS."""
    media = data = None
    extents = record.extents
    if len(extents) == 1 and extents[0].offset == 0 and extents[0].length == record.size:
        media, data, extents = int(extents[0].media), extents[0].data, ()
    detail = Detail(
        extents,
        record.metadata,
        record.headers,
        record.checksums,
        record.tags,
        record.documents,
        record.lock,
        record.owner,
        record.manifest,
    )
    return (
        record.container_id,
        record.name,
        record.version,
        record.modified,
        record.size,
        record.etag,
        record.content_type,
        int(record.kind),
        int(record.null_version),
        record.expires_at,
        media,
        data,
        encode_detail(detail),
    )


_Shown = tuple[str, dict[str, str], dict[str, str], dict[str, str]]
SHORT = 256  # bytes: details up to here, often the same for a whole container, are decoded once


def _shown(detail: bytes | None, kind: int) -> _Shown:
    """Owner, documents, checksums and tags: what of the detail a listing shows."""
    if detail is None:
        return "", {}, {}, {}
    return _shown_of_short(detail, kind) if len(detail) <= SHORT else _decode_shown(detail, kind)


def _decode_shown(detail: bytes, kind: int) -> _Shown:
    found = decode_detail(detail)
    return found.owner, found.documents if kind != Kind.PLAIN else {}, found.checksums, found.tags


_shown_of_short = lru_cache(maxsize=1024)(_decode_shown)


def object_entries(found: list[tuple[Any, ...]]) -> list[ObjectEntry]:
    """From OBJECT_COLUMNS of current versions. By columns, because a page has a thousand rows: building entries one by
    one takes twice as long."""
    if not found:
        return []
    _, names, versions, modified, sizes, etags, types, kinds, nulls, _, _, _, details = zip(*found, strict=True)
    shown = zip(*map(_shown, details, kinds), strict=True)
    columns = (versions, modified, sizes, etags, types, map(KINDS.__getitem__, kinds), map(bool, nulls))
    return list(map(ObjectEntry, names, repeat(False), *columns, repeat(True), *shown))


def object_entry(row: tuple[Any, ...], current: bool = True) -> ObjectEntry:
    """From OBJECT_COLUMNS, of which more columns may follow."""
    name, version, modified, size, etag, content_type, kind, null_version = row[1:9]
    own = name, False, version, modified, size, etag, content_type, KINDS[kind], bool(null_version), current
    return ObjectEntry(*own, *_shown(row[12], kind))


CONTAINER_COLUMNS = "id, account, name, created, modified, policy, versioning, bucket, settings"


def container(row: tuple[Any, ...]) -> Container:
    """From CONTAINER_COLUMNS."""
    settings = decode_container_settings(row[8])
    return Container(
        id=row[0],
        account=row[1],
        name=row[2],
        created=row[3],
        modified=row[4],
        policy=row[5],
        versioning=Versioning(row[6]),
        metadata=settings.metadata,
        documents=settings.documents,
        quota_bytes=settings.quota_bytes,
        quota_objects=settings.quota_objects,
        bucket=bool(row[7]),
    )


def account(name: str, row: tuple[Any, ...] | None) -> Account:
    """From created, modified, settings; None makes an account that does not exist yet."""
    if row is None:
        return Account(name, False, 0, 0, {}, {})
    settings = decode_account_settings(row[2])
    return Account(
        name,
        True,
        row[0],
        row[1],
        settings.metadata,
        settings.documents,
        settings.quota_bytes,
        settings.quota_objects,
        settings.policy_quotas,
    )
