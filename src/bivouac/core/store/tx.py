"""The transaction handle that rules get: reads, writes that log themselves, bells."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from ..errors import Unavailable
from .row import Row, Shape, shape

R = TypeVar("R", bound=Row)


class StoreError(Exception):
    """What the database refuses, in engine-free words."""


class Duplicate(StoreError):
    """A unique key is taken. `str(error)` names the table and columns as the engine does."""


class Referenced(StoreError):
    """A foreign key does not hold."""


class Stale(StoreError):
    """A row is not as the caller had it (compare-and-swap failed), or is gone."""


def full() -> Unavailable:
    """The error of a write that finds no room: the one refusal of a database that a client can be told as it is."""
    return Unavailable("The disk of the cloud's database is full, so nothing was changed. Make room on it, then retry.")


class Cursor(Protocol):
    """What a Tx needs of an engine. Statements use `?`; values are text, numbers, bytes or None."""

    engine: str

    def query(self, sql: str, args: Sequence[Any]) -> list[tuple[Any, ...]]: ...

    def change(self, sql: str, args: Sequence[Any]) -> int: ...


class Actor(Protocol):
    """Who is written into `changes`: a Call fits."""

    request_id: str

    @property
    def user_id(self) -> str: ...

    @property
    def project_id(self) -> str: ...


class Tx:
    """One transaction. Not thread-safe, not to be kept after the rule returns."""

    __slots__ = ("_actor", "_changes", "after_commit", "bells", "cursor", "engine")

    def __init__(self, cursor: Cursor, actor: Actor | None = None):
        self.cursor = cursor
        self.engine = cursor.engine
        self.bells: list[tuple[str, str]] = []
        self.after_commit: list[Callable[[], None]] = []
        self._actor = actor
        self._changes: list[tuple[Any, ...]] = []

    # --- reading -------------------------------------------------------------------------------------------------

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Rows of any select, as tuples of plain values."""
        return self.cursor.query(sql, args)

    def value(self, sql: str, *args: Any) -> Any:
        """First column of the first row, or None."""
        rows = self.cursor.query(sql, args)
        return rows[0][0] if rows else None

    def get(self, row_class: type[R], *key: Any) -> R | None:
        """The row with this key, or None."""
        known = shape(row_class)
        rows = self.cursor.query(known.get_sql, key)
        return known.load(rows[0]) if rows else None

    def select(self, row_class: type[R], rest: str = "", *args: Any) -> list[R]:
        """Rows of one table: `rest` is what follows FROM table (WHERE, JOIN, ORDER BY, LIMIT)."""
        known = shape(row_class)
        load = known.load
        return [load(row) for row in self.cursor.query(f"SELECT {known.column_list} FROM {known.table} {rest}", args)]

    def first(self, row_class: type[R], rest: str = "", *args: Any) -> R | None:
        """The first row of `select`, or None."""
        rows = self.select(row_class, rest, *args)
        return rows[0] if rows else None

    def count(self, row_class: type[Row], rest: str = "", *args: Any) -> int:
        return int(self.cursor.query(f"SELECT count(*) FROM {row_class.TABLE} {rest}", args)[0][0])

    # --- writing -------------------------------------------------------------------------------------------------

    def insert(self, row: R) -> R:
        """Add a row. Raises Duplicate, Referenced."""
        known = shape(type(row))
        self.cursor.change(known.insert_sql, known.dump_row(row))
        self._log(known, row, None, row)
        return row

    def update(self, row: R, **fields: Any) -> R:
        """Set fields of the row with this row's key, and return it as it now is. Unchanged values write nothing.

        The row in hand must be fresh (read in this transaction). Raises Stale when it is gone, Duplicate, Referenced.
        """
        known = shape(type(row))
        changed = {name: value for name, value in fields.items() if getattr(row, name) != value}
        if not changed:
            return row
        if counted := type(row).COUNTED:
            changed[counted] = getattr(row, counted) + 1
        new = msgspec.structs.replace(row, **changed)
        sets = ", ".join(f"{name} = ?" for name in changed)
        values = [known.dump(name, value) for name, value in changed.items()]
        if not self.cursor.change(
            f"UPDATE {known.table} SET {sets} WHERE {known.key_where}", [*values, *known.key_of(row)]
        ):
            raise Stale(f"{known.table} {known.key_of(row)} is gone")
        self._log(known, new, row, new)
        return new

    def upsert(self, row: R) -> R:
        """Insert the row, or replace the one with its key."""
        known = shape(type(row))
        old = self.get(type(row), *known.key_of(row))
        if old is None:
            return self.insert(row)
        return self.update(old, **{name: getattr(row, name) for name in known.columns if name not in known.key})

    def update_where(self, row_class: type[R], where: str, args: Sequence[Any] = (), **fields: Any) -> list[R]:
        """Set fields of all rows that match (each logged); returns them as they now are."""
        return [self.update(row, **fields) for row in self.select(row_class, f"WHERE {where}", *args)]

    def delete(self, row: Row) -> None:
        """Remove the row with this row's key; nothing if it is gone. Raises Referenced."""
        known = shape(type(row))
        if self.cursor.change(f"DELETE FROM {known.table} WHERE {known.key_where}", known.key_of(row)):
            self._log(known, row, row, None)

    def delete_where(self, row_class: type[R], where: str, *args: Any) -> list[R]:
        """Remove all rows that match (each logged); returns what they were."""
        rows = self.select(row_class, f"WHERE {where}", *args)
        for row in rows:
            self.delete(row)
        return rows

    def execute(self, sql: str, *args: Any) -> int:
        """A write that is not logged (sequences, caches, bulk upkeep). Returns the number of rows touched."""
        return self.cursor.change(sql, args)

    def ring(self, loop: str, key: str = "") -> None:
        """After the commit, wake the loop of that name for the key (empty: for everything due)."""
        if (loop, key) not in self.bells:
            self.bells.append((loop, key))

    def on_commit(self, action: Callable[[], None]) -> None:
        """Run a quick in-memory action (dropping a cache entry) in this process after the commit."""
        self.after_commit.append(action)

    # --- changes -------------------------------------------------------------------------------------------------

    def _log(self, known: Shape, row: Row, before: Row | None, after: Row | None) -> None:
        if not known.row_class.LOGGED:
            return
        names: Sequence[str] = known.columns
        if before is not None and after is not None:
            names = [name for name in known.columns if getattr(before, name) != getattr(after, name)]
        self._changes.append(
            (
                known.table,
                "/".join(str(part) for part in known.key_of(row)),
                _image(known, before, names),
                _image(known, after, names),
            )
        )

    def flush(self) -> None:
        """Write the lines of `changes`; the engine calls it right before the commit."""
        if not self._changes:
            return
        who = self._actor
        head = (time.time(), who.request_id, who.user_id, who.project_id) if who else (time.time(), "", "", "")
        marks = ", ".join("(?, ?, ?, ?, ?, ?, ?, ?)" for _ in self._changes[:100])
        columns = "(at, request_id, user_id, project_id, resource, resource_key, before, after)"
        for start in range(0, len(self._changes), 100):
            batch = self._changes[start : start + 100]
            if len(batch) != 100:
                marks = ", ".join("(?, ?, ?, ?, ?, ?, ?, ?)" for _ in batch)
            self.cursor.change(
                f"INSERT INTO changes {columns} VALUES {marks}", [value for line in batch for value in (*head, *line)]
            )
        self._changes = []


_encode = msgspec.json.Encoder().encode


def _image(known: Shape, row: Row | None, names: Sequence[str]) -> str | None:
    if row is None:
        return None
    secret = known.row_class.SECRET
    values = {name: "***" if name in secret else getattr(row, name) for name in names}
    return _encode(values).decode()
