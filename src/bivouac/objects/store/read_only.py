"""A store as somebody sees it who only reads, beside the process that has it open, or when none has.

SQLite lets any process of the same user read a database that another one writes, and files never change. So an
operator's `check`, `stats` and `export` take nothing of the serving process but the disk's time.
"""

from __future__ import annotations

from pathlib import Path

from bivouac.objects.store import listing, schema
from bivouac.objects.store.disk import Disk
from bivouac.objects.store.interface import Container, ContainerEntry, Listing, ObjectRecord, Page, Piece
from bivouac.objects.store.reading import Reader


class ReadOnlyStore:
    """What of `interface.Store` reads. It sees each commit at once."""

    def __init__(self, directory: Path) -> None:
        """Raises FileNotFoundError when there is no store."""
        index = directory / "index.db"
        if not index.exists():
            raise FileNotFoundError(f"there is no object store in {directory}")
        self.disk = Disk(str(directory / "files"))
        self.connection = schema.open_reader(str(index))

    def close(self) -> None:
        self.connection.close()

    @property
    def _reader(self) -> Reader:
        """A new one each time: what it remembers of containers, only the writing process can keep right."""
        return Reader(self.connection, self.disk)

    def list_accounts(self, marker: str = "", limit: int = 1000) -> list[str]:
        query = "SELECT name FROM accounts WHERE name > ? ORDER BY name LIMIT ?"
        return [name for (name,) in self.connection.execute(query, (marker, limit))]

    def list_containers(self, account: str, page: Listing) -> list[ContainerEntry]:
        return listing.list_containers(self.connection, account, page)

    def get_container(self, account: str, name: str) -> Container:
        return self._reader.container(account, name)

    def list_objects(self, container: Container, page: Listing) -> Page:
        return listing.list_objects(self.connection, container, page)

    def get_object(self, container: Container, name: str) -> ObjectRecord:
        return self._reader.object(container, name, None, False)

    def read(self, record: ObjectRecord) -> list[Piece]:
        return self._reader.pieces(record, 0, None)
