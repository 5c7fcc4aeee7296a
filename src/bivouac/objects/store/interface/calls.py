"""What is asked of a store: which entries to list, and the writes with all they carry."""

from __future__ import annotations

import msgspec

from bivouac.objects.store.interface.records import Container, Extent, Kind, Lock, Multipart, ObjectRecord


class Listing(msgspec.Struct, frozen=True):
    """What to list. Bounds are names and exclude themselves; with `reverse` the marker is the upper bound.

    With a delimiter, names that share what follows the prefix up to and including the delimiter are one `prefix`
    entry. A marker that is
    itself such a rolled-up prefix skips all beneath it.
    """

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    end_marker: str = ""
    reverse: bool = False
    limit: int = 1000
    version_marker: int | None = None  # versions only: with `marker`, go on after this version of that name


class Conditions(msgspec.Struct, frozen=True):
    """Held against the current version inside the commit. ETags without quotes; `*` stands for any."""

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_since: int | None = None  # seconds
    if_unmodified_since: int | None = None
    if_size: int | None = None  # S3's x-amz-if-match-size on deletes
    if_modified: int | None = None  # S3's x-amz-if-match-last-modified-time on deletes, seconds


class Staged(msgspec.Struct, frozen=True):
    """Bytes that are durable but not yet part of any object: made by `Upload.finish`, spent by one put or dropped
    by `Store.discard`.

    Small ones are carried in `small` and become durable with the commit itself.
    """

    size: int
    md5: str
    extents: tuple[Extent, ...] = ()
    small: bytes | None = None


class CopySource(msgspec.Struct, frozen=True):
    """The bytes of another version (or `length` of them from `offset`), shared, not moved. A vanished or replaced
    source refuses."""

    source: ObjectRecord
    offset: int = 0
    length: int | None = None


class Archive(msgspec.Struct, frozen=True):
    """Swift's older versioning: what is overwritten moves to `container` as LLLname/time. `history` marks deletions
    there too."""

    container: Container
    history: bool


class PutObject(msgspec.Struct, frozen=True):
    """A new version. `size` and `etag` default to the body's own; a large object's manifest gives the whole's."""

    container: Container
    name: str
    body: bytes | Staged | CopySource = b""
    content_type: str = "application/octet-stream"
    size: int | None = None
    etag: str | None = None
    kind: Kind = Kind.PLAIN
    metadata: dict[str, str] = {}
    headers: dict[str, str] = {}
    checksums: dict[str, str] = {}
    tags: dict[str, str] = {}
    documents: dict[str, str] = {}
    lock: Lock | None = None
    owner: str = ""
    manifest: str | None = None
    expires_at: int | None = None
    conditions: Conditions | None = None
    archive: Archive | None = None


class UpdateObject(msgspec.Struct, frozen=True):
    """Change what may change without a new version. A field that is `UNSET` stays; dictionaries replace the whole,
    `documents` merges
    (a value of None removes the key). `bypass` lets GOVERNANCE retention be shortened. `touch` moves `modified`
    (Swift's POST does)."""

    container: Container
    name: str
    version: int | None = None  # None: the current one
    content_type: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    tags: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    documents: dict[str, str | None] = {}
    lock: Lock | None | msgspec.UnsetType = msgspec.UNSET
    expires_at: int | None | msgspec.UnsetType = msgspec.UNSET
    kind: Kind | msgspec.UnsetType = msgspec.UNSET
    bypass: bool = False
    touch: bool = True


class DeleteObject(msgspec.Struct, frozen=True):
    """Without `version`: what the container's versioning says (remove, or add a delete marker). With it: that
    version, for good."""

    container: Container
    name: str
    version: int | None = None
    null_version: bool = False  # the version S3 calls "null", whichever it is
    conditions: Conditions | None = None
    bypass: bool = False  # GOVERNANCE retention may be overridden
    archive: Archive | None = None
    only_expired_at: int | None = None  # seconds: do nothing unless the object has expired by then
    owner: str = ""  # of a delete marker


class CreateMultipart(msgspec.Struct, frozen=True):
    """What the finished object will carry."""

    container: Container
    name: str
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = {}
    headers: dict[str, str] = {}
    tags: dict[str, str] = {}
    documents: dict[str, str] = {}
    lock: Lock | None = None
    owner: str = ""
    expires_at: int | None = None


class CompleteMultipart(msgspec.Struct, frozen=True):
    """`parts` are (number, etag) in ascending order; all but the last need `minimum` bytes. `etag` defaults to S3's
    md5-of-md5s "-N"."""

    upload: Multipart
    container: Container
    parts: tuple[tuple[int, str], ...]
    minimum: int = 0
    checksums: dict[str, str] = {}
    documents: dict[str, str] = {}
    size: int | None = None  # refuse (InvalidPart) when the whole is not this long
    conditions: Conditions | None = None
    archive: Archive | None = None
