"""What a writing operation works on: the open transaction, the clock, and the counters that are written once per
group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import apsw

from bivouac.objects.store import rows
from bivouac.objects.store.clock import Ticks
from bivouac.objects.store.errors import NoSuchContainer, QuotaExceeded
from bivouac.objects.store.interface import Account, Container, Extent, Media, Usage


class Transaction:
    """One for the life of the writing connection; `flush`, `committed` and `forget` mark the groups."""

    def __init__(
        self,
        connection: apsw.Connection,
        clock: Ticks,
        on_garbage: Callable[[], None] = lambda: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.connection, self.clock = connection, clock
        self.execute: Callable[..., Any] = connection.execute
        self._on_garbage, self._garbage = on_garbage, False
        self._on_change, self._changed = on_change, False
        self._containers: dict[int, Container] = {}
        self._accounts: dict[str, Account] = {}
        self._usage: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._account_usage: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])

    # groups

    def flush(self) -> None:
        """Write the counters of this group."""
        for container_id, changes in self._usage.items():
            self.execute(
                "UPDATE container_usage SET objects = objects + ?, bytes = bytes + ?, older_versions = "
                "older_versions + ?,"
                " older_bytes = older_bytes + ? WHERE container_id = ?",
                (*changes, container_id),
            )
        for (account, policy), changes in self._account_usage.items():
            self.execute(
                "INSERT INTO account_usage(account, policy, objects, bytes, older_versions, older_bytes, containers)"
                " VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(account, policy) DO UPDATE SET objects = objects + "
                "excluded.objects,"
                " bytes = bytes + excluded.bytes, older_versions = older_versions + excluded.older_versions,"
                " older_bytes = older_bytes + excluded.older_bytes, containers = containers + excluded.containers",
                (account, policy, *changes),
            )
        self._usage.clear()
        self._account_usage.clear()

    def committed(self) -> None:
        if self._changed:
            self._changed = False
            self._on_change()
        if self._garbage:
            self._garbage = False
            self._on_garbage()

    def forget(self) -> None:
        """The group is rolled back: nothing remembered from it holds."""
        self._usage.clear()
        self._account_usage.clear()
        self._containers.clear()
        self._accounts.clear()
        self._garbage = False

    # containers and accounts, remembered from group to group: only operations of this transaction change them

    def container(self, container_id: int) -> Container:
        found = self._containers.get(container_id)
        if found is None:
            row = self.execute(
                f"SELECT {rows.CONTAINER_COLUMNS} FROM containers WHERE id = ?", (container_id,)
            ).fetchone()
            if row is None:
                raise NoSuchContainer(str(container_id))
            if len(self._containers) > 10_000:
                self._containers.clear()
            found = self._containers[container_id] = rows.container(row)
        return found

    def account(self, name: str) -> Account:
        found = self._accounts.get(name)
        if found is None:
            row = self.execute("SELECT created, modified, settings FROM accounts WHERE name = ?", (name,)).fetchone()
            if len(self._accounts) > 10_000:
                self._accounts.clear()
            found = self._accounts[name] = rows.account(name, row)
        return found

    def changed(self, container_id: int | None = None, account: str | None = None) -> None:
        """A container's or account's own row changed."""
        self._changed = True
        self._containers.pop(container_id or 0, None)
        self._accounts.pop(account or "", None)

    # counters

    def count(self, container: Container, objects: int, size: int, older: int = 0, older_size: int = 0) -> None:
        """Add to the usage of the container and its account."""
        for counters in (self._usage[container.id], self._account_usage[container.account, container.policy]):
            counters[0] += objects
            counters[1] += size
            counters[2] += older
            counters[3] += older_size

    def count_container(self, account: str, policy: str, change: int) -> None:
        self._account_usage[account, policy][4] += change

    def container_usage(self, container_id: int) -> Usage:
        row = self.execute(
            "SELECT objects, bytes, older_versions, older_bytes FROM container_usage WHERE container_id = ?",
            (container_id,),
        ).fetchone()
        pending = self._usage.get(container_id, (0, 0, 0, 0))
        return Usage(*(stored + change for stored, change in zip(row or (0, 0, 0, 0), pending, strict=True)))

    def account_usage(self, account: str) -> dict[str, Usage]:
        found: dict[str, list[int]] = {}
        for policy, *counters in self.execute(
            "SELECT policy, objects, bytes, older_versions, older_bytes, containers FROM account_usage WHERE "
            "account = ?",
            (account,),
        ):
            found[policy] = counters
        for (owner, policy), changes in self._account_usage.items():
            if owner == account:
                found[policy] = [a + b for a, b in zip(found.get(policy, [0] * 5), changes, strict=True)]
        return {policy: Usage(*counters) for policy, counters in found.items()}

    def check_quota(self, container: Container, objects: int, size: int) -> None:
        """Refuse a write that adds so much, unless it adds nothing. Raises QuotaExceeded."""
        if container.quota_bytes is not None or container.quota_objects is not None:
            used = self.container_usage(container.id)
            _check("container", "bytes", container.quota_bytes, used.bytes + used.older_bytes, size)
            _check("container", "objects", container.quota_objects, used.objects + used.older_versions, objects)
        account = self.account(container.account)
        if account.quota_bytes is not None or account.quota_objects is not None or account.policy_quotas:
            usage = self.account_usage(container.account)
            total = sum(used.bytes + used.older_bytes for used in usage.values())
            _check("account", "bytes", account.quota_bytes, total, size)
            total = sum(used.objects + used.older_versions for used in usage.values())
            _check("account", "objects", account.quota_objects, total, objects)
            used = usage.get(container.policy, Usage())
            _check("account", "bytes", account.policy_quotas.get(container.policy), used.bytes + used.older_bytes, size)

    # references to data

    def share(self, extents: tuple[Extent, ...]) -> None:
        """One more row points to each extent's data."""
        for extent in extents:
            self.execute(
                "INSERT INTO shared(media, data, extra) VALUES(?, ?, 1) ON CONFLICT(media, data) DO UPDATE SET "
                "extra = extra + 1",
                (int(extent.media), extent.data),
            )

    def release(self, extents: tuple[Extent, ...]) -> None:
        """One row fewer points to each extent's data; the last one takes the data with it."""
        for extent in extents:
            self.release_data(int(extent.media), extent.data)

    def release_data(self, media: int, data: int) -> None:
        row = self.execute("SELECT extra FROM shared WHERE media = ? AND data = ?", (media, data)).fetchone()
        if row is not None:
            if row[0] > 1:
                self.execute("UPDATE shared SET extra = extra - 1 WHERE media = ? AND data = ?", (media, data))
            else:
                self.execute("DELETE FROM shared WHERE media = ? AND data = ?", (media, data))
        elif media == Media.BLOB:
            self.execute("DELETE FROM blobs WHERE id = ?", (data,))
        else:
            self.execute("DELETE FROM files WHERE id = ?", (data,))
            self.execute("INSERT OR IGNORE INTO garbage(file) VALUES(?)", (data,))
            self._garbage = True


def _check(scope: str, unit: str, limit: int | None, used: int, more: int) -> None:
    if limit is not None and more > 0 and used + more > limit:
        raise QuotaExceeded(scope, unit, limit, used)


def merge(current: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    """`current` with `changes`; a value of None removes its key."""
    merged = current | (changes or {})
    return {key: value for key, value in merged.items() if value is not None}
