"""Group commit: all writes that wait share one SQLite transaction and so one sync.

Operations are plain functions over a `Transaction`. They run on the event loop (some ten microseconds each, no lock
handed to and fro). COMMIT waits for the disk: on the loop itself where the disk is fast, else in the commit thread,
and while it does, the loop goes on reading requests, and what arrives becomes the next group. An operation checks
everything before it writes, so a refusal leaves the group untouched; if one fails in any other way the whole group
is rolled back and each is tried alone. Nobody is answered, not even with a refusal, before the commit has returned.

Committed pages gather in SQLite's log. From time to time they are copied into the database, in a thread and over a
connection of its own while commits go on. What was committed meanwhile is copied in a second, short step during
which no group begins: only a log that is copied to its end starts over, and a log that starts over never grows.
Overwriting it costs the disk one flush; growing it would cost a commit of the file system's journal as well.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import apsw

from bivouac.objects.store.errors import StoreError, StoreFailed, StoreFull
from bivouac.objects.store.transaction import Transaction

log = logging.getLogger(__name__)
T = TypeVar("T")
Operation = Callable[[Transaction], Any]
Group = list[tuple[Operation, asyncio.Future[Any], Any, StoreError | None]]
GROUP = 256  # bounds how long the loop is held: 256 operations are about 8 ms
INLINE_S = 0.002  # commits that take less are waited for on the loop
CHECKPOINT_PAGES = 4096  # 16 MiB of log: long enough to gather, short enough to copy in some 20 ms


class Copying(enum.Enum):
    """Where copying the log into the database stands."""

    NOT = enum.auto()
    BESIDE = enum.auto()  # while commits go on
    DUE = enum.auto()  # the rest is to be copied before the next group begins
    ALONE = enum.auto()


class Committer:
    """Owns the writing connection. `submit` may be called from the event loop only. `copier` is a connection for
    copying the log."""

    def __init__(self, transaction: Transaction, copier: apsw.Connection) -> None:
        self._transaction = transaction
        self._connection = transaction.connection
        self._copier = copier
        self._copying = Copying.NOT
        self._copy_thread = ThreadPoolExecutor(1, thread_name_prefix="copy-log")
        self._waiting: deque[tuple[Operation, asyncio.Future[Any]]] = deque()
        self._alone: deque[tuple[Operation, asyncio.Future[Any]]] = deque()
        self._idle = asyncio.Event()  # set while no group is under way
        self._idle.set()
        self._failed: StoreError | None = None
        self.commits = self.operations = 0  # since the start
        self._log_pages = 0
        self._usual_s = 1.0  # how long a commit takes, leaning to the slow side
        self._loop = asyncio.get_running_loop()
        self._commits: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_groups, name="commit", daemon=True)
        self._connection.set_wal_hook(self._count_log)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """The index failed: no write is accepted until the store is opened again."""
        return self._failed is not None

    def submit(self, operation: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run `operation` in the next group. The future ends when the group is durable."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._failed is not None:
            future.set_exception(self._failed)
            return future
        self._waiting.append((operation, future))
        if self._idle.is_set():
            self._idle.clear()
            self._loop.call_soon(self._begin)
        return future

    async def close(self) -> None:
        """Wait for what is under way, then end the threads."""
        await self._idle.wait()
        while self._copying is not Copying.NOT:
            await self._loop.run_in_executor(self._copy_thread, lambda: None)  # after what the thread is doing
            await self._idle.wait()
        self._commits.put(None)
        await asyncio.to_thread(self._thread.join)
        self._copy_thread.shutdown()

    def _begin(self) -> None:
        """Run the next group and see that it is committed."""
        if self._copying is Copying.DUE:
            self._copy(Copying.ALONE)
            return
        while self._failed is None:
            if self._alone:
                group = [self._alone.popleft()]
            else:
                group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
            if not group:
                break
            outcome = self._run(group)
            if outcome is None:
                continue
            if self._usual_s > INLINE_S:
                self._commits.put(outcome)
                return
            self._commit_here(outcome)
            return
        self._idle.set()

    def _commit_here(self, outcome: Group) -> None:
        """Commit on the loop: on a fast disk the wait is shorter than handing it to a thread and back."""
        begun = time.perf_counter()
        try:
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            self._not_committed(outcome, error)
            return
        self._took(time.perf_counter() - begun)
        self._committed(outcome)

    def _took(self, seconds: float) -> None:
        """Remember how long a commit takes; a slow one counts at once, fast ones must prove themselves."""
        self._usual_s = seconds if seconds > self._usual_s else self._usual_s * 0.95 + seconds * 0.05

    def _run(self, group: list[tuple[Operation, asyncio.Future[Any]]]) -> Group | None:
        """Run the operations and leave the transaction open. None: it is rolled back and the group dealt with."""
        outcome: Group = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for operation, future in group:
                if future.cancelled():
                    continue
                changes = self._connection.total_changes()
                try:
                    outcome.append((operation, future, operation(self._transaction), None))
                except StoreError as refusal:
                    if self._connection.total_changes() != changes:
                        raise
                    outcome.append((operation, future, None, refusal))
            self._transaction.flush()
        except Exception as error:  # whatever it is, it is the answer of the operation that raised it
            self._give_up([(operation, future, None, None) for operation, future in group], error)
            return None
        return outcome

    def _give_up(self, group: Group, error: Exception) -> None:
        """Roll back. A lone operation is answered with the error; several are tried again one by one."""
        self._transaction.forget()
        try:
            if not self._connection.get_autocommit():
                self._connection.execute("ROLLBACK")
        except apsw.Error as worse:
            error = worse
        if isinstance(error, apsw.IOError | apsw.CorruptError | apsw.NotADBError):
            self._fail(group, error)
        elif len(group) > 1:
            self._alone.extend((operation, future) for operation, future, _, _ in group)
        elif not group[0][1].done():
            group[0][1].set_exception(StoreFull(str(error)) if isinstance(error, apsw.FullError) else error)

    def _fail(self, group: Group, error: Exception) -> None:
        """After a failed write or sync nobody knows what the disk holds: a second sync may succeed and lie. Refuse
        all further writes."""
        log.critical("the store's index failed, no more writes until it is opened again: %s", error)
        self._failed = StoreFailed(str(error))
        futures = [future for _, future, _, _ in group]
        futures += [future for _, future in (*self._alone, *self._waiting)]
        self._alone.clear()
        self._waiting.clear()
        for future in futures:
            if not future.done():
                future.set_exception(self._failed)

    def _count_log(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _commit_groups(self) -> None:
        """The commit thread. While it has a group, the loop keeps off the connection."""
        while (outcome := self._commits.get()) is not None:
            begun = time.perf_counter()
            try:
                self._connection.execute("COMMIT")
            except apsw.Error as error:
                self._loop.call_soon_threadsafe(self._not_committed, outcome, error)
                continue
            self._took(time.perf_counter() - begun)
            self._loop.call_soon_threadsafe(self._committed, outcome)

    def _committed(self, outcome: Group) -> None:
        self._transaction.committed()
        self.commits += 1
        self.operations += len(outcome)
        for _, future, result, refusal in outcome:
            if future.done():
                continue
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)
        if self._log_pages >= CHECKPOINT_PAGES and self._copying is Copying.NOT:
            self._copy(Copying.BESIDE)
        # The answered go first: what they send next may still join the group.
        self._loop.call_soon(self._begin)

    def _not_committed(self, outcome: Group, error: Exception) -> None:
        self._give_up(outcome, error)
        self._begin()

    # the log

    def _copy(self, how: Copying) -> None:
        self._copying = how
        self._copy_thread.submit(self._copy_log)

    def _copy_log(self) -> None:
        try:
            self._copier.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except apsw.Error as error:
            log.warning("the index's log could not be copied into the database: %s", error)
        self._loop.call_soon_threadsafe(self._copied)

    def _copied(self) -> None:
        if self._copying is Copying.BESIDE and self._failed is None:
            self._copying = Copying.DUE
            if self._idle.is_set():
                self._idle.clear()
                self._begin()
            return
        self._copying = Copying.NOT
        self._log_pages = 0
        self._begin()
