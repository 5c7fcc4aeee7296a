"""Hosts as operators see them: hypervisors, the compute services on them, their aggregates and zones."""

from typing import Any

from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Tx
from bivouac.hostspec.link import HostUsage
from bivouac.placement import service as placement
from bivouac.placement.records import Aggregate, AggregateHost, Free, Host, HostHeartbeat

BINARY = "nova-compute"
"""What clients call the process that runs servers on a host."""


class HostView(Struct, frozen=True):
    """A host with what is free on it and when it was heard."""

    host: Host
    free: Free
    last_seen: float
    usage: HostUsage
    up: bool


def list_hosts(
    tx: Tx, call: Call, where: str = "", args: tuple[Any, ...] = (), limit: int | None = None, after: int = 0
) -> list[HostView]:
    """Hosts in the order in which they came, in three statements."""
    conditions = " AND ".join(["hosts.number > ?", *([where] if where else [])])
    count = f"LIMIT {int(limit)}" if limit is not None else ""
    hosts = tx.select(Host, f"WHERE {conditions} ORDER BY hosts.number {count}", after, *args)
    if len(hosts) == 1:
        free = {row.host_id: row for row in tx.select(Free, "WHERE host_id = ?", hosts[0].id)}
        beats = {row.host_id: row for row in tx.select(HostHeartbeat, "WHERE host_id = ?", hosts[0].id)}
    else:
        free = {row.host_id: row for row in tx.select(Free)}
        beats = {row.host_id: row for row in tx.select(HostHeartbeat)}
    found = []
    for host in hosts:
        beat = beats.get(host.id)
        found.append(
            HostView(host, free[host.id], beat.last_seen if beat else 0.0, beat.usage if beat else HostUsage(),
                     placement.is_up(host, beat, call.now))
        )  # fmt: skip
    return found


def get_host(tx: Tx, call: Call, column: str, value: Any, words: str) -> HostView:
    """One host by one of its columns. Raises NotFound with the words."""
    found = list_hosts(tx, call, f"hosts.{column} = ?", (value,))
    if not found:
        raise NotFound(words)
    return found[0]


def servers_on(tx: Tx, hosts: list[str]) -> dict[str, list[tuple[str, str]]]:
    """(id, name) of the living servers of hosts."""
    found: dict[str, list[tuple[str, str]]] = {}
    if hosts:
        marks = ", ".join("?" for _ in hosts)
        for host, id, name in tx.query(
            f"SELECT host, id, name FROM servers WHERE host IN ({marks}) AND deleted_at IS NULL ORDER BY created_at",
            *hosts,
        ):
            found.setdefault(host, []).append((id, name))
    return found


def change_host(tx: Tx, call: Call, host_id: str, fields: dict[str, Any]) -> HostView:
    """Disable, enable, or force down. Raises NotFound."""
    host = tx.get(Host, host_id)
    if host is None:
        raise NotFound(f"Host {host_id} could not be found.")
    tx.update(host, **{"updated_at": call.now, **fields})
    return list_hosts(tx, call, "hosts.id = ?", (host_id,))[0]


def forget_host(tx: Tx, call: Call, host_id: str) -> None:
    """Remove a host that runs nothing. Raises Conflict, NotFound."""
    host = tx.get(Host, host_id)
    if host is None:
        raise NotFound(f"Service {host_id} could not be found.")
    if tx.value("SELECT 1 FROM servers WHERE host = ? AND deleted_at IS NULL LIMIT 1", host.name):
        raise Conflict("Unable to delete compute service that is hosting instances.")
    tx.delete_where(AggregateHost, "host = ?", host.name)
    tx.execute("DELETE FROM host_usage WHERE host_id = ?", host.id)
    tx.execute("DELETE FROM host_heartbeats WHERE host_id = ?", host.id)
    tx.delete(host)


# --- aggregates ----------------------------------------------------------------------------------------------------


def list_aggregates(tx: Tx, call: Call) -> list[tuple[Aggregate, list[str]]]:
    """All aggregates with the names of their hosts."""
    hosts: dict[int, list[str]] = {}
    for id, host in tx.query("SELECT aggregate_id, host FROM aggregate_hosts ORDER BY host"):
        hosts.setdefault(id, []).append(host)
    return [(one, hosts.get(one.id, [])) for one in tx.select(Aggregate, "ORDER BY id")]


def get_aggregate(tx: Tx, call: Call, aggregate_id: str) -> tuple[Aggregate, list[str]]:
    """By id, or from 2.41 by UUID too. Raises NotFound."""
    row = None
    if aggregate_id.isascii() and aggregate_id.isdigit() and len(aggregate_id) < 18:
        row = tx.get(Aggregate, int(aggregate_id))
    elif call.version >= (2, 41):
        row = tx.first(Aggregate, "WHERE uuid = ?", aggregate_id)
    if row is None:
        raise NotFound(f"Aggregate {aggregate_id} could not be found.")
    rows = tx.query("SELECT host FROM aggregate_hosts WHERE aggregate_id = ? ORDER BY host", row.id)
    return row, [host for (host,) in rows]


def create_aggregate(tx: Tx, call: Call, name: str, zone: str | None) -> tuple[Aggregate, list[str]]:
    """Raises Conflict when the name is taken."""
    _check_name(tx, name)
    number = int(tx.value("SELECT coalesce(max(id), 0) FROM aggregates") or 0) + 1
    metadata = {"availability_zone": zone} if zone else {}
    row = Aggregate(id=number, uuid=new_uuid(), name=name, metadata=metadata, created_at=call.now)
    return tx.insert(row), []


def _check_name(tx: Tx, name: str, but: int = 0) -> None:
    if tx.value("SELECT 1 FROM aggregates WHERE name = ? AND id <> ?", name, but):
        raise Conflict(f"Aggregate {name} already exists.")


def update_aggregate(
    tx: Tx, call: Call, aggregate_id: str, name: str | None, zone: str | None
) -> tuple[Aggregate, list[str]]:
    """Rename it, or move it to another zone. Raises BadRequest, Conflict, NotFound."""
    row, _ = get_aggregate(tx, call, aggregate_id)
    if name is not None:
        _check_name(tx, name, row.id)
        tx.update(row, name=name, updated_at=call.now)
    if zone is not None:
        set_metadata(tx, call, aggregate_id, {"availability_zone": zone})
    return get_aggregate(tx, call, aggregate_id)


def set_metadata(
    tx: Tx, call: Call, aggregate_id: str, changes: dict[str, str | None]
) -> tuple[Aggregate, list[str]]:
    """Set keys, remove those that are None. Raises BadRequest (zone with servers in it), NotFound."""
    row, hosts = get_aggregate(tx, call, aggregate_id)
    metadata: dict[str, str] = dict(row.metadata)
    for key, value in changes.items():
        if value is None:
            metadata.pop(key, None)
        else:
            metadata[key] = value
    before, after = row.metadata.get("availability_zone"), metadata.get("availability_zone")
    if before != after:
        for host in hosts:
            _check_zone(tx, host, after, row.id)
            _check_empty(tx, host, "update the availability zone of")
    row = tx.update(row, metadata=metadata, updated_at=call.now)
    for host in hosts:
        _rezone(tx, host)
    return row, hosts


def _check_zone(tx: Tx, host: str, zone: str | None, but: int) -> None:
    """A host is in one zone only. Raises Conflict."""
    if not zone:
        return
    for other, hosts in list_aggregates(tx, None):  # type: ignore[arg-type]
        other_zone = other.metadata.get("availability_zone")
        if other.id != but and host in hosts and other_zone and other_zone != zone:
            raise Conflict(f"Cannot add host {host}: it is already in availability zone {other_zone}.")


def _check_empty(tx: Tx, host: str, what: str) -> None:
    if tx.value("SELECT 1 FROM servers WHERE host = ? AND deleted_at IS NULL LIMIT 1", host):
        raise BadRequest(f"Cannot {what} an aggregate whose host {host} runs servers.")


def _rezone(tx: Tx, host: str) -> None:
    row = tx.first(Host, "WHERE name = ?", host)
    if row is not None:
        tx.update(row, availability_zone=placement.zone_of(tx, host) or placement.DEFAULT_ZONE)


def add_host(tx: Tx, call: Call, aggregate_id: str, host: str) -> tuple[Aggregate, list[str]]:
    """Raises NotFound, Conflict."""
    row, hosts = get_aggregate(tx, call, aggregate_id)
    known = tx.first(Host, "WHERE name = ?", host)
    if known is None:
        raise NotFound(f"Compute host {host} could not be found.")
    if host in hosts:
        raise Conflict(f"Aggregate {row.id} already has host {host}.")
    zone = row.metadata.get("availability_zone")
    _check_zone(tx, host, zone, row.id)
    if zone and zone != known.availability_zone and tx.value(
        "SELECT 1 FROM servers WHERE host = ? AND deleted_at IS NULL LIMIT 1", host
    ):  # fmt: skip
        raise Conflict(f"Cannot add host {host} to another zone: it runs servers.")
    tx.insert(AggregateHost(aggregate_id=row.id, host=host))
    tx.update(row, updated_at=call.now)
    _rezone(tx, host)
    return get_aggregate(tx, call, aggregate_id)


def remove_host(tx: Tx, call: Call, aggregate_id: str, host: str) -> tuple[Aggregate, list[str]]:
    """Raises NotFound, Conflict."""
    row, hosts = get_aggregate(tx, call, aggregate_id)
    if host not in hosts:
        raise NotFound(f"Aggregate {row.id} has no host {host}.")
    if row.metadata.get("availability_zone") and tx.value(
        "SELECT 1 FROM servers WHERE host = ? AND deleted_at IS NULL LIMIT 1", host
    ):  # fmt: skip
        raise Conflict(f"Cannot remove host {host} from its zone: it runs servers.")
    tx.delete(AggregateHost(aggregate_id=row.id, host=host))
    tx.update(row, updated_at=call.now)
    _rezone(tx, host)
    return get_aggregate(tx, call, aggregate_id)


def delete_aggregate(tx: Tx, call: Call, aggregate_id: str) -> None:
    """Raises NotFound, BadRequest when it has hosts."""
    row, hosts = get_aggregate(tx, call, aggregate_id)
    if hosts:
        raise BadRequest(f"Cannot remove aggregate {row.id}: it still has hosts.")
    tx.delete(row)
