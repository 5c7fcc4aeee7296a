"""The PostgreSQL engine: psycopg, synchronous, one connection per thread of a small pool.

Rules run SERIALIZABLE and are retried whole when PostgreSQL says that two of them met; so a rule reads exactly as on
SQLite, where there is one writer. Bells travel by NOTIFY within the transaction to every other control process; in
this one they ring right after the commit, before the writer gets its answer, so that its caches are never behind.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import psycopg

from .tx import Actor, Duplicate, Referenced, StoreError, Tx, full

log = logging.getLogger(__name__)
POOL_SIZE = 16
RETRIES = 30
CHANNEL = "bivouac_bell"


@lru_cache(maxsize=4096)
def _placeholders(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


class PostgresqlCursor:
    """One connection's statements."""

    engine = "postgresql"

    def __init__(self, connection: psycopg.Connection):
        self._connection = connection

    def query(self, sql: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(_placeholders(sql), args).fetchall()  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise _translated(error, sql) from error

    def change(self, sql: str, args: Sequence[Any]) -> int:
        try:
            return self._connection.execute(_placeholders(sql), args).rowcount  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise _translated(error, sql) from error


class Conflicting(StoreError):
    """A serialisation failure or deadlock: the rule is run again."""


class PostgresqlEngine:
    """A database by its URL."""

    name = "postgresql"

    def __init__(self, url: str, ring: Callable[[str, str], None]):
        self._url = url
        self._ring = ring
        self._local = threading.local()
        self._all: list[psycopg.Connection] = []
        self._own_pids: set[int] = set()
        self._pool = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="store")
        self._closing = False
        self._listener = threading.Thread(target=self._listen_forever, name="store-bell", daemon=True)
        self._connection().close()
        self._listener.start()

    def _connection(self) -> psycopg.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = psycopg.connect(self._url, autocommit=True, prepare_threshold=3)
            self._local.connection = connection
            self._all.append(connection)
            self._own_pids.add(connection.info.backend_pid)
        return connection

    def read(self, rule: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run a reading rule in one snapshot on this thread's connection."""
        return self._attempt(lambda: self._transaction("REPEATABLE READ READ ONLY", rule, args, None, False))

    def submit_read(self, rule: Callable[..., Any], args: tuple[Any, ...]) -> "Future[Any]":
        return self._pool.submit(self.read, rule, args)

    def write(self, rule: Callable[..., Any], args: tuple[Any, ...], actor: Actor | None, plan: bool) -> "Future[Any]":
        """Run a writing rule in the pool; the future is done when its commit is durable."""
        return self._pool.submit(
            self._attempt, lambda: self._transaction("SERIALIZABLE", rule, args, actor, plan)
        )

    def _attempt(self, work: Callable[[], Any]) -> Any:
        for attempt in range(RETRIES):
            try:
                return work()
            except Conflicting:
                if attempt == RETRIES - 1:
                    raise
                time.sleep(random.uniform(0, min(0.1, 0.002 * 2**attempt)))
            except psycopg.OperationalError:
                if attempt >= 2:
                    raise
                self._local.connection = None
        raise AssertionError("unreachable")

    def _transaction(
        self, isolation: str, rule: Callable[..., Any], args: tuple[Any, ...], actor: Actor | None, plan: bool
    ) -> Any:
        connection = self._connection()
        tx = Tx(PostgresqlCursor(connection), actor)
        try:
            connection.execute(f"BEGIN ISOLATION LEVEL {isolation}")  # type: ignore[arg-type]
            result = rule(tx, *args)
            tx.flush()
            for loop, key in tx.bells:
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{loop} {key}"))
            connection.execute("ROLLBACK" if plan else "COMMIT")
        except BaseException as error:
            if not connection.closed:
                connection.execute("ROLLBACK")
            if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
                raise Conflicting(str(error)) from error
            raise
        if not plan:
            for action in tx.after_commit:
                action()
            for loop, key in tx.bells:
                self._ring(loop, key)
        return result

    def script(self, statements: Sequence[str]) -> None:
        """Run statements of a migration in one transaction, one process at a time."""
        connection = self._connection()
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(20100719)")
            for statement in statements:
                connection.execute(
                    statement.replace("SERIAL_KEY", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")  # type: ignore[arg-type]
                )

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(psycopg.Error), psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))  # else the listener wakes a second later
        self._pool.shutdown()
        for connection in self._all:
            connection.close()
        self._listener.join(timeout=5)

    def _listen_forever(self) -> None:
        while not self._closing:
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    while not self._closing:
                        for bell in connection.notifies(timeout=1.0):
                            if self._closing:
                                return
                            if bell.pid not in self._own_pids:
                                loop, _, key = bell.payload.partition(" ")
                                self._ring(loop, key)
            except psycopg.Error as error:
                if not self._closing:
                    log.warning("listening for bells failed, trying again: %s", error)
                    time.sleep(1)


def _translated(error: psycopg.Error, sql: str) -> Exception:
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return Conflicting(str(error))
    if isinstance(error, psycopg.errors.UniqueViolation):
        return Duplicate(str(error))
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return Referenced(str(error))
    if isinstance(error, psycopg.errors.DiskFull):
        return full()
    if isinstance(error, psycopg.OperationalError):
        return error
    return StoreError(f"{type(error).__name__}: {error} in {sql[:300]}")
