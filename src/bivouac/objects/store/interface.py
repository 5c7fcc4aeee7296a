"""The one narrow interface between front doors (Swift, S3) and an object store.

Words. An *account* owns containers and is named by its project id. A *container* is a bucket. An *object* is a name
in a container with one
or more *versions*; the newest is current. A *delete marker* is a version without data that hides the object. *Data*
are immutable bytes that
versions and parts point to with *extents*; copying an object copies its extents. A *document* is a small text
(JSON, usually) that a
dialect keeps at a container or an object under a key of its own: an ACL, a policy, a website configuration. The
store never reads it.

Rules every implementation keeps:
- A write that has returned is durable. A write that raised a `StoreError` changed nothing.
- Conditions, quotas, locks and versioning are decided inside the commit, against what is current there.
- Who is asking is not the store's business: front doors authorise first.
- Reads see every write that returned before they began.
- Times are microseconds since the epoch, multiples of ten (Swift prints five decimals), and rise strictly with each
write: a version's
  time is also its identity. `expires_at` and `retain_until` are whole seconds, as on the wire.

The embedded store is `bivouac.objects.store.engine.EmbeddedStore`. `Store` is a Protocol so that RADOS can stand
behind the same doors.
"""

from __future__ import annotations

import enum
from typing import Any, Protocol

import msgspec

from bivouac.core.http1.message import Piece


class Kind(enum.IntEnum):
    """What a version is. The store itself treats only DELETE_MARKER specially."""

    PLAIN = 0
    STATIC_LARGE = 1  # `manifest` holds the JSON list of segments (Swift SLO); the store's data is empty
    SYMLINK = 2  # `documents["symlink"]` tells the target (Swift)
    DYNAMIC_LARGE = 3  # `headers["x-object-manifest"]` tells container/prefix (Swift DLO)
    DELETE_MARKER = 4


class Versioning(enum.StrEnum):
    OFF = "off"
    ENABLED = "enabled"
    SUSPENDED = "suspended"


class Media(enum.IntEnum):
    BLOB = 0
    FILE = 1


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes from `offset` of one piece of immutable data."""

    media: Media
    data: int
    offset: int
    length: int


class Lock(msgspec.Struct, frozen=True, array_like=True):
    """Object lock. `mode` is GOVERNANCE, COMPLIANCE or empty."""

    mode: str = ""
    retain_until: int | None = None
    legal_hold: bool = False


class Usage(msgspec.Struct, frozen=True):
    """Counted in the same transaction as the writes. `objects` and `bytes` count current versions, the others the
    older ones."""

    objects: int = 0
    bytes: int = 0
    older_versions: int = 0
    older_bytes: int = 0
    containers: int = 0


class Account(msgspec.Struct, frozen=True):
    """An account exists once something was stored for it; before, `exists` is False and everything else empty."""

    name: str
    exists: bool
    created: int
    modified: int
    metadata: dict[str, str]
    documents: dict[str, str]
    quota_bytes: int | None = None
    quota_objects: int | None = None
    policy_quotas: dict[str, int] = {}  # policy -> bytes


class Container(msgspec.Struct, frozen=True):
    id: int
    account: str
    name: str
    created: int
    modified: int
    policy: str
    versioning: Versioning
    metadata: dict[str, str]
    documents: dict[str, str]
    quota_bytes: int | None = None
    quota_objects: int | None = None
    bucket: bool = False  # holds the global (S3) name


class ContainerEntry(msgspec.Struct, frozen=True):
    """A line of an account's listing."""

    name: str
    objects: int
    bytes: int
    created: int
    modified: int
    policy: str


class ObjectRecord(msgspec.Struct, frozen=True):
    """One version of an object, without its bytes (see `Store.read`)."""

    container_id: int
    name: str
    version: int  # the time it was put; its identity
    modified: int  # the time its metadata changed last
    size: int  # what a reader gets: for a large object's manifest the whole
    etag: str  # MD5 in hex, or what the writer gave (S3 multipart "md5-N")
    content_type: str
    kind: Kind
    null_version: bool  # stored while versioning was off or suspended (S3's version "null")
    current: bool
    expires_at: int | None
    extents: tuple[Extent, ...]
    metadata: dict[str, str]  # the user's, lower-case keys
    headers: dict[str, str]  # content-encoding, content-disposition, cache-control ... lower-case keys
    checksums: dict[str, str]  # S3's additional checksums: algorithm -> base64
    tags: dict[str, str]
    documents: dict[str, str]
    lock: Lock | None
    owner: str
    manifest: str | None


class ObjectEntry(msgspec.Struct, frozen=True, gc=False):
    """A line of a container's listing. `documents` is filled for kinds other than PLAIN only; `prefix` lines have
    nothing but `name`."""

    name: str
    prefix: bool = False
    version: int = 0
    modified: int = 0
    size: int = 0
    etag: str = ""
    content_type: str = ""
    kind: Kind = Kind.PLAIN
    null_version: bool = True
    current: bool = True
    owner: str = ""
    documents: dict[str, str] = {}
    checksums: dict[str, str] = {}
    tags: dict[str, str] = {}


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


class Page(msgspec.Struct, frozen=True):
    """`truncated` says that at least one more entry follows."""

    entries: list[ObjectEntry]
    truncated: bool


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


class Stored(msgspec.Struct, frozen=True):
    version: int
    size: int
    etag: str
    created: bool  # no current version was there before
    null_version: bool


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


class Deleted(msgspec.Struct, frozen=True):
    """`marker` is the version of the delete marker that was made or removed; `found` tells whether anything was
    there to delete."""

    found: bool
    version: int | None = None
    marker: int | None = None
    null_version: bool = False


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


class Multipart(msgspec.Struct, frozen=True):
    id: str
    created: int
    container_id: int
    name: str
    content_type: str
    metadata: dict[str, str]
    headers: dict[str, str]
    tags: dict[str, str]
    documents: dict[str, str]
    lock: Lock | None
    owner: str
    expires_at: int | None


class Part(msgspec.Struct, frozen=True):
    number: int
    size: int
    etag: str
    modified: int
    checksums: dict[str, str]


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


class Upload(Protocol):
    """Receives one body. Small bodies stay in memory, larger ones go to a file while they arrive; MD5 is taken on
    the way.

    `digests` are further hash objects (`update(data)`) fed with the same bytes, off the event loop; they are
    complete when `finish` has returned.
    """

    size: int

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take `data`; it must not be changed until the second write after this one, or `finish`, has returned.
        Raises StoreFull, perhaps only then."""
        ...

    async def finish(self) -> Staged:
        """Everything has arrived: make it durable."""
        ...

    def abort(self) -> None:
        """Forget everything; also after `finish` failed. Does nothing after a successful finish."""
        ...


class Store(Protocol):
    """The object store. All methods may be called concurrently from one event loop."""

    # accounts
    async def get_account(self, name: str) -> Account: ...
    async def account_usage(self, name: str) -> dict[str, Usage]:
        """Usage by storage policy (containers counted too)."""
        ...

    async def update_account(
        self,
        name: str,
        metadata: dict[str, str | None] | None = None,
        documents: dict[str, str | None] | None = None,
        quotas: dict[str, int | None] | None = None,
    ) -> Account:
        """Merge: None removes a key. `quotas` keys: `bytes`, `objects`, `policy:NAME` (bytes). Makes the account if
        need be."""
        ...

    async def delete_account(self, name: str) -> bool:
        """Delete an account with everything in it, locked objects too (its project is gone). False if there was
        none."""
        ...

    async def list_accounts(self, marker: str = "", limit: int = 1000) -> list[str]: ...
    async def list_containers(self, account: str, listing: Listing) -> list[ContainerEntry]:
        """`delimiter` is honoured as in objects: rolled-up entries have a name and -1 objects."""
        ...

    # containers
    async def create_container(
        self,
        account: str,
        name: str,
        *,
        policy: str = "default",
        metadata: dict[str, str] | None = None,
        documents: dict[str, str] | None = None,
        versioning: Versioning = Versioning.OFF,
        bucket: bool = False,
    ) -> tuple[Container, bool]:
        """The container, and whether it is new (an existing one is returned unchanged).

        Bucket names are one space for all accounts. With `bucket` the name must be had or free, else
        `ContainerExists`; without, the name
        is taken as a bucket's if it is free, and the container is made in any case.
        """
        ...

    async def get_container(self, account: str, name: str) -> Container: ...
    async def find_bucket(self, name: str) -> Container:
        """By global name. Raises NoSuchContainer."""
        ...

    async def container_usage(self, container: Container) -> Usage: ...
    async def update_container(
        self,
        container: Container,
        *,
        metadata: dict[str, str | None] | None = None,
        documents: dict[str, str | None] | None = None,
        versioning: Versioning | None = None,
        quotas: dict[str, int | None] | None = None,
    ) -> Container:
        """Merge: None removes a key. `quotas` keys: `bytes`, `objects`."""
        ...

    async def delete_container(self, container: Container) -> None:
        """Raises ContainerNotEmpty. Unfinished multipart uploads are aborted."""
        ...

    # objects
    async def get_object(
        self, container: Container, name: str, version: int | None = None, null_version: bool = False
    ) -> ObjectRecord:
        """The current version, or the one asked for. A delete marker is returned only when asked for by version."""
        ...

    async def get_with_data(self, container: Container, name: str) -> tuple[ObjectRecord, bytes | None]:
        """As `get_object`, and in the same read the bytes when they are small (verified); else None: then use
        `read`."""
        ...

    async def read(self, record: ObjectRecord, offset: int = 0, length: int | None = None) -> list[Piece]:
        """The bytes, as pieces in order. Raises NoSuchObject if the version is gone meanwhile, DataCorrupt."""
        ...

    def upload(self, size: int | None = None, digests: tuple[Any, ...] = ()) -> Upload:
        """Begin to receive a body of `size` bytes (None: unknown)."""
        ...

    async def discard(self, staged: Staged) -> None:
        """Drop staged bytes that will not be used."""
        ...

    async def put_object(self, put: PutObject) -> Stored:
        """Store a version. Staged bytes are spent, also when this raises."""
        ...

    async def update_object(self, update: UpdateObject) -> ObjectRecord: ...
    async def delete_object(self, delete: DeleteObject) -> Deleted: ...

    # listings
    async def list_objects(self, container: Container, listing: Listing) -> Page: ...
    async def list_versions(self, container: Container, listing: Listing) -> Page:
        """All versions and delete markers, names ascending, newest first within a name."""
        ...

    # multipart uploads
    async def create_multipart(self, create: CreateMultipart) -> Multipart: ...
    async def get_multipart(self, container: Container, name: str, upload_id: str) -> Multipart: ...
    async def list_multiparts(
        self, container: Container, prefix: str = "", marker: str = "", id_marker: str = "", limit: int = 1000
    ) -> list[Multipart]:
        """By name, then by age. After (marker, id_marker); without id_marker after every upload of `marker`."""
        ...

    async def put_part(
        self,
        upload: Multipart,
        number: int,
        body: bytes | Staged | CopySource,
        checksums: dict[str, str] | None = None,
        etag: str | None = None,
    ) -> Part: ...
    async def list_parts(self, upload: Multipart, after: int = 0, limit: int = 1000) -> list[Part]: ...
    async def complete_multipart(self, complete: CompleteMultipart) -> Stored:
        """The parts become the object's extents; no byte moves. Their sizes are kept in `documents["parts"]` as a
        JSON list of
        [number, size, checksums]. Completing again with the same result is the front door's to recognise."""
        ...

    async def abort_multipart(self, upload: Multipart) -> None: ...

    # life
    async def expired_objects(self, before: int, limit: int = 1000) -> list[tuple[Container, ObjectEntry]]:
        """Current versions whose `expires_at` is at or before `before` (seconds)."""
        ...

    async def close(self) -> None: ...
