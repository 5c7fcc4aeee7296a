"""What a store holds, and what it answers to a write."""

from __future__ import annotations

import enum

import msgspec


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


class Page(msgspec.Struct, frozen=True):
    """`truncated` says that at least one more entry follows."""

    entries: list[ObjectEntry]
    truncated: bool


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


class Stored(msgspec.Struct, frozen=True):
    version: int
    size: int
    etag: str
    created: bool  # no current version was there before
    null_version: bool


class Deleted(msgspec.Struct, frozen=True):
    """`marker` is the version of the delete marker that was made or removed; `found` tells whether anything was
    there to delete."""

    found: bool
    version: int | None = None
    marker: int | None = None
    null_version: bool = False
