"""The SQLite engine: APSW, WAL, synchronous=FULL, one writer thread that commits in groups.

All writes of the process go through one thread: whatever waits is run in savepoints of one transaction and made
durable by one commit, so that sixteen callers cost little more than one, and no process ever waits for a lock.
Reads happen on the caller's own connection, inline: 5 to 10 microseconds, less than a hop to a thread.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw

from .tx import Actor, Duplicate, Referenced, StoreError, Tx, full

MAX_GROUP = 64
"""Rules in one commit: bounds how long the first of a group waits for its answer."""


class SqliteCursor:
    """One connection's statements, one after the other."""

    engine = "sqlite"

    def __init__(self, connection: apsw.Connection):
        self.connection = connection
        self.execute = connection.cursor().execute

    def query(self, sql: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self.execute(sql, args).fetchall()
        except apsw.Error as error:
            raise _translated(error, sql) from error

    def change(self, sql: str, args: Sequence[Any]) -> int:
        try:
            self.execute(sql, args)
        except apsw.Error as error:
            raise _translated(error, sql) from error
        return self.connection.changes()


class SqliteEngine:
    """A database file. `close` ends the writer after what waits is written."""

    name = "sqlite"

    def __init__(self, path: Path | str, ring: Callable[[str, str], None]):
        self._path = str(path)
        self._ring = ring
        self._local = threading.local()
        self._writer = self._connect()
        self._waiting: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple, Actor | None, bool] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._write_forever, name="store-writer", daemon=True)
        self._thread.start()

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(self._path)
        connection.set_busy_timeout(30_000)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "case_sensitive_like=ON",
            "temp_store=MEMORY",
            "cache_size=-16000",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def read(self, rule: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run a reading rule now, on this thread's connection, in one snapshot."""
        cursor: SqliteCursor | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = SqliteCursor(self._connect())
            cursor.execute("PRAGMA query_only=ON")
        if cursor.connection.in_transaction:
            return rule(Tx(cursor), *args)
        cursor.execute("BEGIN")
        try:
            return rule(Tx(cursor), *args)
        finally:
            cursor.execute("COMMIT")

    def write(self, rule: Callable[..., Any], args: tuple[Any, ...], actor: Actor | None, plan: bool) -> "Future[Any]":
        """Queue a writing rule; the future is done when its commit is durable."""
        future: Future[Any] = Future()
        self._waiting.put((future, rule, args, actor, plan))
        return future

    def script(self, statements: Sequence[str]) -> None:
        """Run statements of a migration in one transaction (only before the first `write`)."""
        self._writer.execute("PRAGMA foreign_keys=OFF")
        try:
            with self._writer:
                for statement in statements:
                    self._writer.execute(statement.replace("SERIAL_KEY", "INTEGER PRIMARY KEY AUTOINCREMENT"))
        finally:
            self._writer.execute("PRAGMA foreign_keys=ON")

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()
        self._writer.close()

    def _write_forever(self) -> None:
        while True:
            item = self._waiting.get()
            group = []
            while item is not None:
                group.append(item)
                if len(group) == MAX_GROUP:
                    break
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(group)
            if item is None:
                return

    def _commit(self, group: list[Any]) -> None:
        """Run each rule of the group in a savepoint of its own, commit once, then answer all."""
        connection, done = self._writer, []
        # Whoever asked and has gone is left out; from here on nobody can take his rule back.
        group = [item for item in group if item[0].set_running_or_notify_cancel()]
        try:
            connection.execute("BEGIN IMMEDIATE")
            for future, rule, args, actor, plan in group:
                tx = Tx(SqliteCursor(connection), actor)
                connection.execute("SAVEPOINT rule")
                try:
                    result = rule(tx, *args)
                    tx.flush()
                except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the future
                    if not connection.in_transaction:
                        # A full disk makes SQLite roll back by itself, the other rules of the group too.
                        _fail(group, error)
                        return
                    connection.execute("ROLLBACK TO rule")
                    connection.execute("RELEASE rule")
                    done.append((future, None, error, None))
                    continue
                if plan:
                    connection.execute("ROLLBACK TO rule")
                connection.execute("RELEASE rule")
                done.append((future, result, None, None if plan else tx))
            connection.execute("COMMIT")
        except apsw.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            _fail(group, _translated(error, "COMMIT"))
            return
        for future, result, failure, tx in done:
            if tx is not None:
                for action in tx.after_commit:
                    action()
                for loop, key in tx.bells:
                    self._ring(loop, key)
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)


def _fail(group: list[Any], error: BaseException) -> None:
    for future, *_ in group:
        future.set_exception(error)


def _translated(error: apsw.Error, sql: str) -> Exception:
    if isinstance(error, apsw.ConstraintError):
        text = str(error)
        if "FOREIGN KEY" in text:
            return Referenced(text)
        if "UNIQUE" in text or "PRIMARY KEY" in text:
            return Duplicate(text)
        return StoreError(text)
    if isinstance(error, apsw.FullError):
        return full()
    return StoreError(f"{type(error).__name__}: {error} in {sql[:300]}")
