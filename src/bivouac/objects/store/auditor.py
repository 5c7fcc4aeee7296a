"""The auditor: reads everything slowly and compares it with the checksums; finds files that nothing points to.

What it finds it names in the log and in `findings`; it repairs nothing but leftovers of crashes (files without a
row), because a damaged object's owner must decide.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import zlib
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from bivouac.objects.store import rows
from bivouac.objects.store.schema import OBJECT_COLUMNS

if TYPE_CHECKING:
    import apsw

    from bivouac.objects.store.disk import Disk
    from bivouac.objects.store.engine import EmbeddedStore

log = logging.getLogger(__name__)
RATE = 20 * 1024 * 1024  # bytes a second
BLOBS_AT_ONCE = 100
REST_S = 3600.0  # between two rounds
CHUNK = 1024 * 1024


class Finding(msgspec.Struct, frozen=True):
    """`kind` is corrupt, missing, or usage; `data` the file or blob; `objects` the account/container/name that hold
    it."""

    kind: str
    data: str
    objects: tuple[str, ...]
    detail: str


class Readable(Protocol):
    """A store's index and files: the serving process's store, or a reader's own view."""

    connection: apsw.Connection
    disk: Disk


async def remove_orphans(store: EmbeddedStore) -> int:
    """Remove files that no row knows: left by a crash between the file and its commit. Gives how many."""
    begun = store.clock.next()  # what is younger may be on its way into a commit
    gone = 0
    for data in store.disk.names():
        known = data >= begun or store.connection.execute("SELECT 1 FROM files WHERE id = ?", (data,)).fetchone()
        if not known and not store.connection.execute("SELECT 1 FROM garbage WHERE file = ?", (data,)).fetchone():
            await asyncio.to_thread(store.disk.remove, data)
            log.info("removed leftover file %016x", data)
            gone += 1
        await asyncio.sleep(0)
    return gone


class Auditor:
    """Rounds over blobs and files at a limited rate. `rate` None: as fast as it goes (for `check`)."""

    def __init__(self, store: Readable, rate: float | None = RATE) -> None:
        self._store, self._rate = store, rate
        self.findings: list[Finding] = []
        self.audited_bytes = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(REST_S)
            self.findings = []
            await self.audit()

    async def audit(self) -> list[Finding]:
        """One round over all data."""
        await self._audit_blobs()
        await self._audit_files()
        return self.findings

    async def _audit_blobs(self) -> None:
        last = 0
        while True:
            found: list[Any] = self._store.connection.execute(
                "SELECT id, crc, bytes FROM blobs WHERE id > ? ORDER BY id LIMIT ?", (last, BLOBS_AT_ONCE)
            ).fetchall()
            if not found:
                return
            for blob, crc, data in found:
                if zlib.crc32(data) != crc:
                    self._report("corrupt", 0, blob, f"blob {blob:016x}", "checksum differs")
            last = found[-1][0]
            await self._pace(sum(len(row[2]) for row in found))

    async def _audit_files(self) -> None:
        last = 0
        while row := self._store.connection.execute(
            "SELECT id, size, md5 FROM files WHERE id > ? ORDER BY id LIMIT 1", (last,)
        ).fetchone():
            last, size, md5 = row
            path = self._store.disk.path(last)
            try:
                length, digest = await self._digest(last)
            except FileNotFoundError:
                # Deleted since the row was read, or lost.
                if self._store.connection.execute("SELECT 1 FROM files WHERE id = ?", (last,)).fetchone():
                    self._report("missing", 1, last, path, "the file is not there")
                continue
            if length != size:
                self._report("corrupt", 1, last, path, f"{length} bytes instead of {size}")
            elif digest != md5:
                self._report("corrupt", 1, last, path, "checksum differs")

    async def _digest(self, data: int) -> tuple[int, str]:
        fd = self._store.disk.open(data)
        try:
            digest, length = hashlib.md5(usedforsecurity=False), 0
            while chunk := await asyncio.to_thread(os.read, fd, CHUNK):
                await asyncio.to_thread(digest.update, chunk)
                length += len(chunk)
                await self._pace(len(chunk))
            return length, digest.hexdigest()
        finally:
            os.close(fd)

    async def _pace(self, size: int) -> None:
        self.audited_bytes += size
        await asyncio.sleep(size / self._rate if self._rate else 0)

    def _report(self, kind: str, media: int, data: int, name: str, detail: str) -> None:
        finding = Finding(kind, name, tuple(self._holders(media, data)), detail)
        log.error("%s: %s (%s), held by %s", kind, name, detail, ", ".join(finding.objects) or "nothing")
        self.findings.append(finding)

    def _holders(self, media: int, data: int) -> list[str]:
        """Who points to the data. A scan: it runs only when something is wrong."""

        found = []
        for table in ("objects", "versions"):
            query = f"SELECT {OBJECT_COLUMNS} FROM {table} WHERE (media = ? AND data = ?) OR media IS NULL"
            for row in self._store.connection.execute(query, (media, data)):
                record = rows.object_record(row, table == "objects")
                if any(extent.media == media and extent.data == data for extent in record.extents):
                    place = self._store.connection.execute(
                        "SELECT account || '/' || name FROM containers WHERE id = ?", (record.container_id,)
                    ).get
                    found.append(f"{place}/{record.name}")
        return found
