"""The embedded store: one directory, one process, SQLite for the index and small objects, files for large ones.

    DIRECTORY/index.db       the index, and objects of at most `upload.SMALL` bytes
    DIRECTORY/files/ab/...   larger bodies, one immutable file each
    DIRECTORY/lock           held by the process that owns the store

Reads run on the event loop over a connection of their own. Writes are operations handed to the committer.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bivouac.objects.store import containers, listing, multipart, objects, rows, schema
from bivouac.objects.store.clock import Ticks
from bivouac.objects.store.committer import Committer
from bivouac.objects.store.disk import Disk
from bivouac.objects.store.errors import NoSuchContainer, NoSuchUpload
from bivouac.objects.store.interface import (
    Account,
    CompleteMultipart,
    Container,
    ContainerEntry,
    CopySource,
    CreateMultipart,
    Deleted,
    DeleteObject,
    Listing,
    Media,
    Multipart,
    ObjectEntry,
    ObjectRecord,
    Page,
    Part,
    Piece,
    PutObject,
    Staged,
    Store,
    Stored,
    UpdateObject,
    Usage,
    Versioning,
)
from bivouac.objects.store.reading import Reader
from bivouac.objects.store.transaction import Transaction
from bivouac.objects.store.upload import HASH_INLINE, EmbeddedUpload

GARBAGE_AT_ONCE = (
    200  # files unlinked between two rests, so that deleting a million objects does not stop the disk for the others
)


class EmbeddedStore(Store):
    """See `interface.Store`. Make one with `await EmbeddedStore.open(directory)`."""

    def __init__(self, directory: str, now: Callable[[], float], disk: Disk | None, vfs: str | None) -> None:
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self._lock = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise RuntimeError(f"{directory} is in use by another process") from error
        self.disk = disk or Disk(f"{directory}/files")
        path = f"{directory}/index.db"
        self.writer = schema.open_writer(path, vfs)
        self.connection = schema.open_reader(path, vfs)
        self.clock = Ticks(now, self._last_tick())
        self.reader = Reader(self.connection, self.disk)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="objects")
        self._transaction = Transaction(self.writer, self.clock, self._collect_later, self.reader.forget)
        self._copier = schema.open_copier(path, vfs)
        self.committer = Committer(self._transaction, self._copier)
        self._collecting: asyncio.Task[None] | None = None
        self._collect_again = False
        self._removals: set[Future[None]] = set()

    @classmethod
    async def open(
        cls, directory: str, now: Callable[[], float] = time.time, disk: Disk | None = None, vfs: str | None = None
    ) -> EmbeddedStore:
        """Open, or make, the store in `directory`. Raises RuntimeError if another process has it open."""
        store = cls(directory, now, disk, vfs)
        store._collect_later()
        return store

    async def close(self) -> None:
        await self.idle()
        await self.committer.close()
        self._threads.shutdown()
        self.connection.close()
        self._copier.close()
        self.writer.close()
        os.close(self._lock)

    async def idle(self) -> None:
        """Wait until no garbage is left to remove."""
        while self._collecting and not self._collecting.done():
            await self._collecting
        for removal in list(self._removals):
            await asyncio.wrap_future(removal)

    def _last_tick(self) -> int:
        """The newest time the store has given out, as far as it can be told: ids of data are times too."""
        tables = ("SELECT max(id) FROM blobs", "SELECT max(id) FROM files", "SELECT max(created) FROM containers")
        return max(self.connection.execute(query).get or 0 for query in tables)

    # accounts

    async def get_account(self, name: str) -> Account:
        return self.reader.account(name)

    async def account_usage(self, name: str) -> dict[str, Usage]:
        found = self.connection.execute(
            "SELECT policy, objects, bytes, older_versions, older_bytes, containers FROM account_usage WHERE "
            "account = ?",
            (name,),
        )
        return {policy: Usage(*counters) for policy, *counters in found}

    async def update_account(
        self,
        name: str,
        metadata: dict[str, str | None] | None = None,
        documents: dict[str, str | None] | None = None,
        quotas: dict[str, int | None] | None = None,
    ) -> Account:
        return await self.committer.submit(lambda tx: containers.update_account(tx, name, metadata, documents, quotas))

    async def delete_account(self, name: str) -> bool:
        if not (await self.get_account(name)).exists:
            return False
        while found := await self.list_containers(name, Listing(limit=100)):
            for entry in found:
                container = await self.get_container(name, entry.name)
                while await self.committer.submit(lambda tx, c=container: containers.empty_container(tx, c.id)):
                    await asyncio.sleep(0)
                await self.delete_container(container)
        await self.committer.submit(lambda tx: containers.delete_account(tx, name))
        return True

    async def list_accounts(self, marker: str = "", limit: int = 1000) -> list[str]:
        found = self.connection.execute(
            "SELECT name FROM accounts WHERE name > ? ORDER BY name LIMIT ?", (marker, limit)
        )
        return [name for (name,) in found]

    async def list_containers(self, account: str, page: Listing) -> list[ContainerEntry]:
        return listing.list_containers(self.connection, account, page)

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
        return await self.committer.submit(
            lambda tx: containers.create_container(
                tx, account, name, policy, metadata or {}, documents or {}, versioning, bucket
            )
        )

    async def get_container(self, account: str, name: str) -> Container:
        return self.reader.container(account, name)

    async def find_bucket(self, name: str) -> Container:
        return self.reader.bucket(name)

    async def container_usage(self, container: Container) -> Usage:
        row = self.connection.execute(
            "SELECT objects, bytes, older_versions, older_bytes FROM container_usage WHERE container_id = ?",
            (container.id,),
        ).fetchone()
        if row is None:
            raise NoSuchContainer(container.name)
        return Usage(*row)

    async def update_container(
        self,
        container: Container,
        *,
        metadata: dict[str, str | None] | None = None,
        documents: dict[str, str | None] | None = None,
        versioning: Versioning | None = None,
        quotas: dict[str, int | None] | None = None,
    ) -> Container:
        return await self.committer.submit(
            lambda tx: containers.update_container(tx, container.id, metadata, documents, versioning, quotas)
        )

    async def delete_container(self, container: Container) -> None:
        await self.committer.submit(lambda tx: containers.delete_container(tx, container.id))

    # objects

    async def get_object(
        self, container: Container, name: str, version: int | None = None, null_version: bool = False
    ) -> ObjectRecord:
        return self.reader.object(container, name, version, null_version)

    async def get_with_data(self, container: Container, name: str) -> tuple[ObjectRecord, bytes | None]:
        return self.reader.object_with_data(container, name)

    async def read(self, record: ObjectRecord, offset: int = 0, length: int | None = None) -> list[Piece]:
        return self.reader.pieces(record, offset, length)

    def upload(self, size: int | None = None, digests: tuple[Any, ...] = ()) -> EmbeddedUpload:
        return EmbeddedUpload(self.disk, self.clock, self._threads, digests)

    async def discard(self, staged: Staged) -> None:
        self._discard_files(staged)

    def _discard_files(self, staged: Staged) -> None:
        for extent in staged.extents:
            if extent.media == Media.FILE:
                removal = self._threads.submit(self.disk.remove, extent.data)
                self._removals.add(removal)
                removal.add_done_callback(self._removals.discard)

    async def _submit_body(
        self, body: bytes | Staged | CopySource, operation: Callable[[Transaction, str], Any]
    ) -> Any:
        """Submit an operation that spends `body`. If it is refused, staged files go; a caller that is cancelled
        does not undo a commit."""
        md5 = ""
        if isinstance(body, bytes):
            if len(body) <= HASH_INLINE:
                md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
            else:
                md5 = (await asyncio.to_thread(hashlib.md5, body, usedforsecurity=False)).hexdigest()
        future = self.committer.submit(lambda tx: operation(tx, md5))
        if isinstance(body, Staged) and body.extents:
            future.add_done_callback(
                lambda done: self._discard_files(body) if done.cancelled() or done.exception() else None
            )
            return await asyncio.shield(future)
        return await future

    async def put_object(self, put: PutObject) -> Stored:
        return await self._submit_body(put.body, lambda tx, md5: objects.put(tx, put, md5))

    async def update_object(self, update: UpdateObject) -> ObjectRecord:
        return await self.committer.submit(lambda tx: objects.update(tx, update))

    async def delete_object(self, delete: DeleteObject) -> Deleted:
        return await self.committer.submit(lambda tx: objects.delete(tx, delete))

    # listings

    async def list_objects(self, container: Container, page: Listing) -> Page:
        return listing.list_objects(self.connection, container, page)

    async def list_versions(self, container: Container, page: Listing) -> Page:
        return listing.list_versions(self.connection, container, page)

    # multipart uploads

    async def create_multipart(self, create: CreateMultipart) -> Multipart:
        upload = secrets.token_urlsafe(24)
        return await self.committer.submit(lambda tx: multipart.create(tx, create, upload))

    async def get_multipart(self, container: Container, name: str, upload_id: str) -> Multipart:
        row = self.connection.execute(
            "SELECT id, container_id, name, created, detail FROM multiparts WHERE id = ? AND container_id = ? "
            "AND name = ?",
            (upload_id, container.id, name),
        ).fetchone()
        if row is None:
            raise NoSuchUpload(upload_id)
        return multipart.record(row)

    async def list_multiparts(
        self, container: Container, prefix: str = "", marker: str = "", id_marker: str = "", limit: int = 1000
    ) -> list[Multipart]:
        query = "SELECT id, container_id, name, created, detail FROM multiparts WHERE container_id = ?"
        values: list[Any] = [container.id]
        if prefix:
            query += " AND name >= ?"
            values.append(prefix)
            beyond = listing.successor(prefix)
            if beyond is not None:
                query += " AND name < ?"
                values.append(beyond)
        if marker and id_marker:
            created = self.connection.execute("SELECT created FROM multiparts WHERE id = ?", (id_marker,)).get or 0
            query += " AND (name, created, id) > (?, ?, ?)"
            values += [marker, created, id_marker]
        elif marker:
            query += " AND name > ?"
            values.append(marker)
        found = self.connection.execute(f"{query} ORDER BY name, created, id LIMIT ?", (*values, limit))
        return [multipart.record(row) for row in found]

    async def put_part(
        self,
        upload: Multipart,
        number: int,
        body: bytes | Staged | CopySource,
        checksums: dict[str, str] | None = None,
        etag: str | None = None,
    ) -> Part:
        return await self._submit_body(
            body, lambda tx, md5: multipart.put_part(tx, upload, number, body, md5, checksums or {}, etag)
        )

    async def list_parts(self, upload: Multipart, after: int = 0, limit: int = 1000) -> list[Part]:
        if not self.connection.execute("SELECT 1 FROM multiparts WHERE id = ?", (upload.id,)).fetchone():
            raise NoSuchUpload(upload.id)
        found: list[Any] = self.connection.execute(
            "SELECT number, size, etag, modified, detail FROM parts WHERE upload = ? AND number > ? ORDER BY "
            "number LIMIT ?",
            (upload.id, after, limit),
        ).fetchall()
        return [
            Part(number, size, etag, modified, rows.decode_part(detail).checksums)
            for number, size, etag, modified, detail in found
        ]

    async def complete_multipart(self, complete: CompleteMultipart) -> Stored:
        return await self.committer.submit(lambda tx: multipart.complete(tx, complete))

    async def abort_multipart(self, upload: Multipart) -> None:
        await self.committer.submit(lambda tx: multipart.abort(tx, upload))

    # life

    async def expired_objects(self, before: int, limit: int = 1000) -> list[tuple[Container, ObjectEntry]]:
        found: list[Any] = self.connection.execute(
            f"SELECT {schema.OBJECT_COLUMNS} FROM objects WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
            (before, limit),
        ).fetchall()
        known: dict[int, Container] = {}
        for row in found:
            if row[0] not in known:
                columns = f"SELECT {rows.CONTAINER_COLUMNS} FROM containers WHERE id = ?"
                known[row[0]] = rows.container(next(self.connection.execute(columns, (row[0],))))
        return [(known[row[0]], rows.object_entry(row)) for row in found]

    # garbage: files whose last reference a commit has dropped

    def _collect_later(self) -> None:
        self._collect_again = True
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.get_running_loop().create_task(self._collect())

    async def _collect(self) -> None:
        while self._collect_again:
            self._collect_again = False
            while found := self.connection.execute("SELECT file FROM garbage LIMIT ?", (GARBAGE_AT_ONCE,)).fetchall():
                await asyncio.get_running_loop().run_in_executor(self._threads, self._remove_files, found)
                await self.committer.submit(
                    lambda tx, found=found: (
                        tx.connection.executemany("DELETE FROM garbage WHERE file = ?", found) and None
                    )
                )

    def _remove_files(self, found: list[Any]) -> None:
        for (data,) in found:
            self.disk.remove(data)
