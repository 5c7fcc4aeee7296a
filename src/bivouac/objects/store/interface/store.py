"""The store itself: every operation that a front door can ask for."""

from __future__ import annotations

from typing import Any, Protocol

from bivouac.core.http1.message import Piece
from bivouac.objects.store.interface.calls import (
    CompleteMultipart,
    CopySource,
    CreateMultipart,
    DeleteObject,
    Listing,
    PutObject,
    Staged,
    UpdateObject,
)
from bivouac.objects.store.interface.records import (
    Account,
    Container,
    ContainerEntry,
    Deleted,
    Multipart,
    ObjectEntry,
    ObjectRecord,
    Page,
    Part,
    Stored,
    Usage,
    Versioning,
)


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
    async def list_containers(self, account: str, page: Listing) -> list[ContainerEntry]:
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
    async def list_objects(self, container: Container, page: Listing) -> Page: ...
    async def list_versions(self, container: Container, page: Listing) -> Page:
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
