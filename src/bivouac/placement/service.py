"""Rules of placement: hosts come and beat, allocations are claimed and given back, aggregates group hosts."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bivouac.core.ids import new_uuid
from bivouac.core.settings import Compute
from bivouac.core.store import Tx
from bivouac.hostspec.link import HostFacts, HostUsage

from .records import Allocation, Free, Host, HostHeartbeat
from .scheduling import Candidate, Request, best, refusal

DOWN_AFTER_S = 60.0
"""A host that has not been heard for so long is down, as Nova's `service_down_time`."""
WALK = 20
"""So many of the roomiest hosts are judged before all are."""
DEFAULT_ZONE = "nova"

_encode = msgspec.json.Encoder().encode


class NoValidHost(Exception):
    """No host fits; the message says of each why."""


def register_host(tx: Tx, facts: HostFacts, ratios: Compute, now: float, zone: str = DEFAULT_ZONE) -> Host:
    """The row of a host that said Hello, new or brought up to date, with its room reckoned anew."""
    vcpus = int(facts.vcpus * ratios.cpu_allocation_ratio)
    memory_mib = int((facts.memory_mib - facts.reserved_memory_mib) * ratios.memory_allocation_ratio)
    disk_gib = int((facts.disk_gib - facts.reserved_disk_gib) * ratios.disk_allocation_ratio)
    room: dict[str, Any] = {"vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
    host = tx.first(Host, "WHERE name = ?", facts.name)
    if host is None:
        number = int(tx.value("SELECT coalesce(max(number), 0) FROM hosts") or 0) + 1
        host = tx.insert(
            Host(
                id=new_uuid(), service_id=new_uuid(), number=number, name=facts.name, facts=facts,
                availability_zone=zone_of(tx, facts.name) or zone, created_at=now, updated_at=now, **room,
            )
        )  # fmt: skip
    elif host.facts != facts or (host.vcpus, host.memory_mib, host.disk_gib) != tuple(room.values()):
        host = tx.update(host, facts=facts, updated_at=now, **room)
    recount(tx, host)
    beat(tx, [(host.id, now, HostUsage())])
    return host


def recount(tx: Tx, host: Host) -> None:
    """Write what is free on a host from its allocations."""
    tx.upsert(reckon(tx, host))


def reckon(tx: Tx, host: Host) -> Free:
    """What is free on a host, by its allocations."""
    vcpus, memory, disk, servers = tx.query(
        "SELECT coalesce(sum(vcpus), 0), coalesce(sum(memory_mib), 0), coalesce(sum(disk_gib), 0), count(*) "
        "FROM allocations WHERE host_id = ?",
        host.id,
    )[0]
    return Free(
        host_id=host.id, vcpus_free=host.vcpus - int(vcpus), memory_free_mib=host.memory_mib - int(memory),
        disk_free_gib=host.disk_gib - int(disk), servers=int(servers),
    )  # fmt: skip


def drift(tx: Tx) -> list[str]:
    """Names of hosts whose kept usage differs from the sum of their allocations: always empty."""
    return [host.name for host in tx.select(Host) if reckon(tx, host) != tx.get(Free, host.id)]


def beat(tx: Tx, heartbeats: Sequence[tuple[str, float, HostUsage]]) -> None:
    """Note when hosts (by id) were last heard: one statement for up to a hundred of them."""
    for start in range(0, len(heartbeats), 100):
        batch = heartbeats[start : start + 100]
        marks = ", ".join("(?, ?, ?)" for _ in batch)
        tx.execute(
            f"INSERT INTO host_heartbeats (host_id, last_seen, usage) VALUES {marks} "
            "ON CONFLICT (host_id) DO UPDATE SET last_seen = excluded.last_seen, usage = excluded.usage",
            *[value for id, at, usage in batch for value in (id, at, _encode(usage).decode())],
        )


def is_up(host: Host, heartbeat: HostHeartbeat | None, now: float) -> bool:
    return not host.forced_down and heartbeat is not None and heartbeat.last_seen > now - DOWN_AFTER_S


# --- choosing and claiming -----------------------------------------------------------------------------------------

_CANDIDATE = (
    "SELECT hosts.id, hosts.name, hosts.availability_zone, host_usage.vcpus_free, host_usage.memory_free_mib, "
    "host_usage.disk_free_gib, hosts.disabled, hosts.forced_down, host_heartbeats.last_seen, hosts.facts, hosts.vcpus "
    "FROM host_usage JOIN hosts ON hosts.id = host_usage.host_id "
    "JOIN host_heartbeats ON host_heartbeats.host_id = hosts.id"
)
_decode_facts = msgspec.json.Decoder(HostFacts).decode


def choose(tx: Tx, request: Request, now: float) -> Candidate:
    """The best host for a server. Raises NoValidHost with a verdict for each."""
    if request.is_plain:
        zone, zone_args = (" AND hosts.availability_zone = ?", [request.availability_zone]) if (
            request.availability_zone) else ("", [])  # fmt: skip
        rows = tx.query(
            f"{_CANDIDATE} WHERE host_usage.memory_free_mib >= ? AND host_usage.vcpus_free >= ? "
            "AND host_usage.disk_free_gib >= ? AND hosts.disabled = 0 AND hosts.forced_down = 0 "
            f"AND host_heartbeats.last_seen > ?{zone} ORDER BY host_usage.memory_free_mib DESC LIMIT {WALK}",
            request.memory_mib, request.vcpus, request.disk_gib, now - DOWN_AFTER_S, *zone_args,
        )  # fmt: skip
        if found := best([_candidate(row, now) for row in rows], request):
            return found
    aggregates = _aggregates_by_host(tx) if request.aggregate_properties else {}
    where, args = ("WHERE hosts.name = ?", [request.host]) if request.host else ("ORDER BY hosts.name", [])
    hosts = [_candidate(row, now, aggregates) for row in tx.query(f"{_CANDIDATE} {where}", *args)]
    found = best(hosts, request)
    if found is None:
        raise NoValidHost(refusal(hosts, request))
    return found


def _candidate(
    row: tuple[Any, ...], now: float, aggregates: dict[str, list[dict[str, str]]] | None = None
) -> Candidate:
    id, name, zone, vcpus, memory, disk, disabled, forced_down, last_seen, facts_text, _ = row
    facts = _decode_facts(facts_text)
    return Candidate(
        id=id, name=name, availability_zone=zone, vcpus_free=vcpus, memory_free_mib=memory, disk_free_gib=disk,
        up=not forced_down and last_seen > now - DOWN_AFTER_S, disabled=bool(disabled), traits=frozenset(facts.traits),
        architecture=facts.cpu_arch, aggregates=tuple((aggregates or {}).get(name, ())),
    )  # fmt: skip


def _aggregates_by_host(tx: Tx) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for host, metadata in tx.query(
        "SELECT aggregate_hosts.host, aggregates.metadata FROM aggregate_hosts "
        "JOIN aggregates ON aggregates.id = aggregate_hosts.aggregate_id"
    ):
        found.setdefault(host, []).append(msgspec.json.decode(metadata, type=dict[str, str]))
    return found


def claim(tx: Tx, consumer_id: str, host_id: str, request: Request, project_id: str, user_id: str, now: float) -> None:
    """Take what the request asks on a host; a claim that the consumer already holds there is replaced."""
    release(tx, consumer_id, host_id)
    tx.insert(
        Allocation(
            consumer_id=consumer_id, host_id=host_id, project_id=project_id, user_id=user_id, vcpus=request.vcpus,
            memory_mib=request.memory_mib, disk_gib=request.disk_gib, created_at=now,
        )
    )  # fmt: skip
    _take(tx, host_id, request.vcpus, request.memory_mib, request.disk_gib, 1)


def release(tx: Tx, consumer_id: str, host_id: str = "") -> None:
    """Give back what a consumer holds (on one host, or everywhere). Nothing held is fine."""
    where, args = ("consumer_id = ? AND host_id = ?", (consumer_id, host_id)) if host_id else (
        "consumer_id = ?", (consumer_id,))  # fmt: skip
    for row in tx.delete_where(Allocation, where, *args):
        _take(tx, row.host_id, -row.vcpus, -row.memory_mib, -row.disk_gib, -1)


def _take(tx: Tx, host_id: str, vcpus: int, memory_mib: int, disk_gib: int, servers: int) -> None:
    tx.execute(
        "UPDATE host_usage SET vcpus_free = vcpus_free - ?, memory_free_mib = memory_free_mib - ?, "
        "disk_free_gib = disk_free_gib - ?, servers = servers + ? WHERE host_id = ?",
        vcpus, memory_mib, disk_gib, servers, host_id,
    )  # fmt: skip


def zone_of(tx: Tx, host: str) -> str:
    """The availability zone that an aggregate gives a host, or empty."""
    for aggregate in _aggregates_of(tx, host):
        if zone := aggregate.get("availability_zone"):
            return zone
    return ""


def _aggregates_of(tx: Tx, host: str) -> list[dict[str, str]]:
    return [
        msgspec.json.decode(metadata, type=dict[str, str])
        for (metadata,) in tx.query(
            "SELECT aggregates.metadata FROM aggregates JOIN aggregate_hosts ON aggregate_hosts.aggregate_id = "
            "aggregates.id WHERE aggregate_hosts.host = ? ORDER BY aggregates.id",
            host,
        )
    ]
