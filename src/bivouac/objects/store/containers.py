"""Writing operations on accounts and containers. Each is a rule over a `Transaction`; see committer."""

from __future__ import annotations

from typing import Any

from bivouac.objects.store import rows
from bivouac.objects.store.errors import ContainerExists, ContainerNotEmpty, NoSuchContainer
from bivouac.objects.store.interface import Account, Container, Versioning
from bivouac.objects.store.schema import OBJECT_COLUMNS
from bivouac.objects.store.transaction import Transaction, merge


def ensure_account(tx: Transaction, name: str) -> Account:
    account = tx.account(name)
    if account.exists:
        return account
    now = tx.clock.next()
    tx.execute(
        "INSERT INTO accounts(name, created, modified, settings) VALUES(?, ?, ?, ?)",
        (name, now, now, rows.encode(rows.AccountSettings())),
    )
    tx.changed(account=name)
    return tx.account(name)


def update_account(
    tx: Transaction,
    name: str,
    metadata: dict[str, str | None] | None,
    documents: dict[str, str | None] | None,
    quotas: dict[str, int | None] | None,
) -> Account:
    account = ensure_account(tx, name)
    settings = rows.AccountSettings(
        merge(account.metadata, metadata),
        merge(account.documents, documents),
        account.quota_bytes,
        account.quota_objects,
        dict(account.policy_quotas),
    )
    for key, limit in (quotas or {}).items():
        if key == "bytes":
            settings.quota_bytes = limit
        elif key == "objects":
            settings.quota_objects = limit
        else:
            settings.policy_quotas = merge(settings.policy_quotas, {key.removeprefix("policy:"): limit})
    tx.execute(
        "UPDATE accounts SET modified = ?, settings = ? WHERE name = ?", (tx.clock.next(), rows.encode(settings), name)
    )
    tx.changed(account=name)
    return tx.account(name)


def delete_account(tx: Transaction, name: str) -> None:
    """Only an account without containers is deleted here; the engine empties it first."""
    if tx.execute("SELECT 1 FROM containers WHERE account = ? LIMIT 1", (name,)).fetchone():
        raise ContainerNotEmpty(name)
    tx.flush()
    tx.execute("DELETE FROM accounts WHERE name = ?", (name,))
    tx.execute("DELETE FROM account_usage WHERE account = ?", (name,))
    tx.changed(account=name)


def create_container(
    tx: Transaction,
    account: str,
    name: str,
    policy: str,
    metadata: dict[str, str],
    documents: dict[str, str],
    versioning: Versioning,
    bucket: bool,
) -> tuple[Container, bool]:
    holder = tx.execute("SELECT account FROM containers WHERE name = ? AND bucket", (name,)).fetchone()
    if bucket and holder and holder[0] != account:
        raise ContainerExists(name, holder[0])
    row = tx.execute("SELECT id, bucket FROM containers WHERE account = ? AND name = ?", (account, name)).fetchone()
    if row:
        if bucket and not row[1]:
            tx.execute("UPDATE containers SET bucket = 1 WHERE id = ?", (row[0],))
            tx.changed(container_id=row[0])
        return tx.container(row[0]), False
    ensure_account(tx, account)
    now = tx.clock.next()
    settings = rows.ContainerSettings(metadata, documents)
    tx.execute(
        "INSERT INTO containers(account, name, created, modified, policy, versioning, bucket, settings) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (account, name, now, now, policy, str(versioning), int(holder is None), rows.encode(settings)),
    )
    container_id = tx.connection.last_insert_rowid()
    tx.execute("INSERT INTO container_usage(container_id) VALUES(?)", (container_id,))
    tx.count_container(account, policy, 1)
    tx.changed(container_id=container_id)
    return tx.container(container_id), True


def update_container(
    tx: Transaction,
    container_id: int,
    metadata: dict[str, str | None] | None,
    documents: dict[str, str | None] | None,
    versioning: Versioning | None,
    quotas: dict[str, Any] | None,
) -> Container:
    current = tx.container(container_id)
    settings = rows.ContainerSettings(
        merge(current.metadata, metadata),
        merge(current.documents, documents),
        current.quota_bytes,
        current.quota_objects,
    )
    for key, limit in (quotas or {}).items():
        if key == "bytes":
            settings.quota_bytes = limit
        else:
            settings.quota_objects = limit
    tx.execute(
        "UPDATE containers SET modified = ?, versioning = ?, settings = ? WHERE id = ?",
        (tx.clock.next(), str(versioning or current.versioning), rows.encode(settings), container_id),
    )
    tx.changed(container_id=container_id)
    return tx.container(container_id)


def delete_container(tx: Transaction, container_id: int) -> None:
    container = tx.container(container_id)
    for table in ("objects", "versions"):
        if tx.execute(f"SELECT 1 FROM {table} WHERE container_id = ? LIMIT 1", (container_id,)).fetchone():
            raise ContainerNotEmpty(container.name)
    for (upload,) in tx.execute("SELECT id FROM multiparts WHERE container_id = ?", (container_id,)).fetchall():
        remove_upload(tx, upload)
    tx.flush()
    tx.execute("DELETE FROM containers WHERE id = ?", (container_id,))
    tx.execute("DELETE FROM container_usage WHERE container_id = ?", (container_id,))
    tx.count_container(container.account, container.policy, -1)
    tx.changed(container_id=container_id)


def remove_upload(tx: Transaction, upload: str) -> None:
    """Forget a multipart upload and let go of its parts' data."""
    for (detail,) in tx.execute("SELECT detail FROM parts WHERE upload = ?", (upload,)).fetchall():
        tx.release(rows.decode_part(detail).extents)
    tx.execute("DELETE FROM parts WHERE upload = ?", (upload,))
    tx.execute("DELETE FROM multiparts WHERE id = ?", (upload,))


def check_container(tx: Transaction, container: Container) -> Container:
    """The container as it is now. Raises NoSuchContainer, also when another of the same name has taken its place."""
    found = tx.container(container.id)
    if found.account != container.account:
        raise NoSuchContainer(container.name)
    return found


def empty_container(tx: Transaction, container_id: int, limit: int = 500) -> int:
    """Delete up to `limit` versions whatever locks them, for an account that goes away. Gives how many there were."""
    container = tx.container(container_id)
    gone = 0
    for table, current in (("objects", True), ("versions", False)):
        found = tx.execute(
            f"SELECT {OBJECT_COLUMNS} FROM {table} WHERE container_id = ? LIMIT ?", (container_id, limit)
        ).fetchall()
        for row in found:
            tx.release(rows.object_record(row, current).extents)
            tx.execute(
                f"DELETE FROM {table} WHERE container_id = ? AND name = ? AND version = ?",
                (container_id, row[1], row[2]),
            )
            tx.count(container, -current, -row[4] * current, -(not current), -row[4] * (not current))
        gone += len(found)
    return gone
