"""Tables of the image service."""

from typing import Any, ClassVar

from msgspec import Struct

from bivouac.core.store import Row


class Location(Struct, frozen=True):
    """Bytes that lie elsewhere: a URL that a client gave."""

    url: str
    metadata: dict[str, Any] = {}


class BootDisk(Struct, frozen=True):
    """The twin that servers boot from, where hosts cannot take the image as it is."""

    disk_format: str
    store: str
    blob: str
    size: int
    sha512: str


class Staged(Struct, frozen=True):
    """Bytes that wait for their import."""

    blob: str
    size: int
    md5: str
    sha512: str


class ImageRow(Row, frozen=True, kw_only=True):
    """`stores`: store -> blob, in the order in which they were filled. `unusable` says why no server can boot from an
    active image. `transfer` names the transfer that may finish it, until the lease `transfer_until`."""

    TABLE: ClassVar[str] = "images"
    id: str
    name: str | None = None
    owner: str | None = None
    status: str = "queued"
    visibility: str = "shared"
    container_format: str | None = None
    disk_format: str | None = None
    min_disk: int = 0
    """GiB"""
    min_ram: int = 0
    """MiB"""
    protected: bool = False
    os_hidden: bool = False
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    properties: dict[str, str] = {}
    tags: list[str] = []
    locations: list[Location] = []
    stores: dict[str, str] = {}
    staged: Staged | None = None
    boot: BootDisk | None = None
    unusable: str = ""
    importing_to_stores: str | None = None
    failed_import: str | None = None
    transfer: str = ""
    transfer_until: float | None = None
    created_at: float
    updated_at: float


class LabelRow(Row, frozen=True, kw_only=True):
    """A property or tag once more, for filters. Written with the image, never by itself."""

    TABLE: ClassVar[str] = "image_labels"
    KEY: ClassVar[tuple[str, ...]] = ("image_id", "kind", "name")
    LOGGED: ClassVar[bool] = False
    image_id: str
    kind: str
    """`property` or `tag`"""
    name: str
    value: str = ""


class MemberRow(Row, frozen=True, kw_only=True):
    """A project with which an image is shared, and whether it accepted."""

    TABLE: ClassVar[str] = "image_members"
    KEY: ClassVar[tuple[str, ...]] = ("image_id", "member_id")
    image_id: str
    member_id: str
    status: str = "pending"
    created_at: float
    updated_at: float


class GarbageRow(Row, frozen=True, kw_only=True):
    """A blob that goes."""

    TABLE: ClassVar[str] = "image_garbage"
    KEY: ClassVar[tuple[str, ...]] = ("store", "blob")
    LOGGED: ClassVar[bool] = False
    store: str
    blob: str
    added_at: float


class CacheRow(Row, frozen=True, kw_only=True):
    """A copy that is wanted (`queued`) or there (`cached`)."""

    TABLE: ClassVar[str] = "image_cache"
    KEY: ClassVar[tuple[str, ...]] = ("image_id",)
    LOGGED: ClassVar[bool] = False
    image_id: str
    status: str = "queued"
    blob: str = ""
    size: int = 0
    hits: int = 0
    queued_at: float
    cached_at: float | None = None
    accessed_at: float | None = None


class TaskRow(Row, frozen=True, kw_only=True):
    """An import at work. `lease_until` belongs to the process that works on it."""

    TABLE: ClassVar[str] = "image_tasks"
    id: str
    type: str
    """`import` (the tasks API) or `api_image_import`, `location_import`"""
    status: str = "pending"
    owner: str
    image_id: str | None = None
    user_id: str = ""
    request_id: str = ""
    input: dict[str, Any] = {}
    result: dict[str, Any] | None = None
    message: str = ""
    expires_at: float | None = None
    deadline: float
    lease_until: float | None = None
    created_at: float
    updated_at: float
