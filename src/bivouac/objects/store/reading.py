"""Reading: point queries and the bytes of versions, as pieces that a front door can send without copying."""

from __future__ import annotations

import os
import zlib

import apsw

from bivouac.objects.store import rows
from bivouac.objects.store.disk import Disk
from bivouac.objects.store.errors import DataCorrupt, NoSuchContainer, NoSuchObject, RangeInvalid
from bivouac.objects.store.interface import Account, Container, Media, ObjectRecord, Piece
from bivouac.objects.store.objects import CURRENT, OLDER, slice_extents
from bivouac.objects.store.schema import OBJECT_COLUMNS

REMEMBERED = 10_000  # containers, and accounts
_WITH_BLOB = (
    "SELECT "
    + ", ".join(f"objects.{column.strip()}" for column in OBJECT_COLUMNS.split(","))
    + ", crc, bytes FROM objects LEFT JOIN blobs ON media = 0 AND blobs.id = data WHERE container_id = ? AND name = ?"
)


class EmbeddedFileRange:
    """See `core.http1.message.FileRange`. Opened on first use, so that an object of ten thousand parts does not hold
    ten thousand files open."""

    __slots__ = ("_disk", "_data", "_fd", "offset", "length")

    def __init__(self, disk: Disk, data: int, offset: int, length: int) -> None:
        self._disk, self._data, self._fd, self.offset, self.length = disk, data, -1, offset, length

    def open(self) -> None:
        """Raises FileNotFoundError."""
        if self._fd < 0:
            self._fd = self._disk.open(self._data)

    @property
    def fd(self) -> int:
        self.open()
        return self._fd

    def read(self) -> bytes:
        """All of it at once; for small ranges and tests."""
        return os.pread(self.fd, self.length, self.offset)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> EmbeddedFileRange:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Reader:
    """Queries over the reading connection. A point query takes some ten microseconds and runs on the event loop."""

    def __init__(self, connection: apsw.Connection, disk: Disk) -> None:
        self._connection, self._disk = connection, disk
        # By account and name; buckets under an empty account.
        self._containers: dict[tuple[str, str], Container] = {}
        self._accounts: dict[str, Account] = {}

    def forget(self) -> None:
        """A commit changed a container or an account. One process writes, so nothing else can make these memories
        wrong."""
        self._containers.clear()
        self._accounts.clear()

    def account(self, name: str) -> Account:
        found = self._accounts.get(name)
        if found is None:
            row = self._connection.execute(
                "SELECT created, modified, settings FROM accounts WHERE name = ?", (name,)
            ).fetchone()
            if len(self._accounts) >= REMEMBERED:
                self._accounts.clear()
            found = self._accounts[name] = rows.account(name, row)
        return found

    def container(self, account: str, name: str) -> Container:
        found = self._containers.get((account, name))
        if found is None:
            row = self._connection.execute(
                f"SELECT {rows.CONTAINER_COLUMNS} FROM containers WHERE account = ? AND name = ?", (account, name)
            ).fetchone()
            if row is None:
                raise NoSuchContainer(name)
            if len(self._containers) >= REMEMBERED:
                self._containers.clear()
            found = self._containers[account, name] = rows.container(row)
        return found

    def bucket(self, name: str) -> Container:
        found = self._containers.get(("", name))
        if found is None:
            row = self._connection.execute(
                f"SELECT {rows.CONTAINER_COLUMNS} FROM containers WHERE name = ? AND bucket", (name,)
            ).fetchone()
            if row is None:
                raise NoSuchContainer(name)
            found = self._containers["", name] = rows.container(row)
        return found

    def object(self, container: Container, name: str, version: int | None, null_version: bool) -> ObjectRecord:
        key = (container.id, name)
        row = self._connection.execute(CURRENT, key).fetchone()
        if version is None and not null_version:
            if row is None:
                raise NoSuchObject(name, self._marker(key))
            return rows.object_record(row, True)
        if row is not None and (row[2] == version or (null_version and row[8])):
            return rows.object_record(row, True)
        test, value = ("null_version = ?", 1) if null_version else ("version = ?", version)
        row = self._connection.execute(f"{OLDER} AND {test}", (*key, value)).fetchone()
        if row is None:
            raise NoSuchObject(name)
        return rows.object_record(row, False)

    def _marker(self, key: tuple[int, str]) -> ObjectRecord | None:
        """The delete marker that hides a name without a current version."""
        row = self._connection.execute(f"{OLDER} ORDER BY version DESC LIMIT 1", key).fetchone()
        return rows.object_record(row, False) if row else None

    def object_with_data(self, container: Container, name: str) -> tuple[ObjectRecord, bytes | None]:
        row = self._connection.execute(_WITH_BLOB, (container.id, name)).fetchone()
        if row is None:
            raise NoSuchObject(name, self._marker((container.id, name)))
        record = rows.object_record(row, True)
        if row[10] == Media.BLOB and len(record.extents) == 1 and record.extents[0].length == row[4]:
            return record, _verified(row[14], row[13], row[11], name)
        return record, (b"" if not record.extents and row[4] == 0 else None)

    def pieces(self, record: ObjectRecord, offset: int, length: int | None) -> list[Piece]:
        held = sum(extent.length for extent in record.extents)
        wanted = held - offset if length is None else length
        if offset < 0 or wanted < 0 or offset + wanted > held:
            raise RangeInvalid(record.name)
        pieces: list[Piece] = []
        for extent in slice_extents(record.extents, offset, wanted):
            if extent.media == Media.FILE:
                pieces.append(EmbeddedFileRange(self._disk, extent.data, extent.offset, extent.length))
            else:
                row = self._connection.execute("SELECT crc, bytes FROM blobs WHERE id = ?", (extent.data,)).fetchone()
                if row is None:
                    raise NoSuchObject(record.name)
                data = _verified(row[1], row[0], extent.data, record.name)
                whole = extent.offset == 0 and extent.length == len(data)
                pieces.append(data if whole else data[extent.offset : extent.offset + extent.length])
        if pieces and isinstance(pieces[0], EmbeddedFileRange):
            # Opened now, so that a version deleted meanwhile is noticed before the answer begins.
            try:
                pieces[0].open()
            except FileNotFoundError:
                raise NoSuchObject(record.name) from None
        return pieces


def _verified(data: bytes, crc: int, blob: int, name: str) -> bytes:
    if data is None or zlib.crc32(data) != crc:
        raise DataCorrupt(f"blob {blob:016x}", name)
    return data
