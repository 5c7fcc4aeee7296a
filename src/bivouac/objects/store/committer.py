"""Group commit: all writes that wait share one SQLite transaction and so one sync.

Operations are plain functions over a `Transaction`. They run on the event loop (some ten microseconds each, no lock
handed to and fro); only
COMMIT, which waits for the disk, runs in the commit thread. While it does, the loop goes on reading requests, and
what arrives becomes the
next group. An operation checks everything before it writes, so a refusal leaves the group untouched; if one fails
in any other way the
whole group is rolled back and each is tried alone. Nobody is answered, not even with a refusal, before the commit
has returned.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
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


class Committer:
    """Owns the writing connection. `submit` may be called from the event loop only."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._connection = transaction.connection
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
        """Wait for what is under way, then end the thread."""
        await self._idle.wait()
        self._commits.put(None)
        await asyncio.to_thread(self._thread.join)

    def _begin(self) -> None:
        """Run the next group and hand it to the commit thread."""
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
        if self._log_pages >= CHECKPOINT_PAGES:
            self._commits.put([])
            self._committed(outcome, False)
        else:
            self._committed(outcome, True)

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
            if outcome:  # else the group is committed already
                begun = time.perf_counter()
                try:
                    self._connection.execute("COMMIT")
                except apsw.Error as error:
                    self._loop.call_soon_threadsafe(self._not_committed, outcome, error)
                    continue
                self._took(time.perf_counter() - begun)
            if self._log_pages < CHECKPOINT_PAGES:
                self._loop.call_soon_threadsafe(self._committed, outcome, True)
                continue
            # These are answered at once; only the next group waits while the log is copied, which is why the log
            # can start over.
            self._loop.call_soon_threadsafe(self._committed, outcome, False)
            try:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except apsw.Error as error:
                log.warning("the index's log could not be copied into the database: %s", error)
            self._log_pages = 0
            self._loop.call_soon_threadsafe(self._begin)

    def _committed(self, outcome: Group, ready: bool) -> None:
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
        if ready:
            # The answered go first: what they send next may still join the group.
            self._loop.call_soon(self._begin)

    def _not_committed(self, outcome: Group, error: Exception) -> None:
        if outcome:
            self._give_up(outcome, error)
        self._begin()
