"""Rows of placement: hosts, what is free on them, allocations, aggregates."""

from typing import ClassVar

from bivouac.core.store import Row
from bivouac.hostspec.link import HostFacts, HostUsage


class Host(Row, frozen=True, kw_only=True):
    """A host as its agent and its operator describe it. `vcpus`, `memory_mib` and `disk_gib` are what may be
    allocated: overcommitted, less what the host keeps for itself. `number` is its id in microversions before 2.53."""

    TABLE: ClassVar[str] = "hosts"
    id: str
    number: int
    service_id: str
    name: str
    facts: HostFacts
    vcpus: int
    memory_mib: int
    disk_gib: int
    availability_zone: str
    disabled: bool = False
    disabled_reason: str = ""
    forced_down: bool = False
    created_at: float
    updated_at: float


class Free(Row, frozen=True, kw_only=True):
    """What is left on a host: the sum of its allocations taken from what it has. May be negative after a shrink."""

    TABLE: ClassVar[str] = "host_usage"
    KEY: ClassVar[tuple[str, ...]] = ("host_id",)
    LOGGED: ClassVar[bool] = False
    host_id: str
    vcpus_free: int
    memory_free_mib: int
    disk_free_gib: int
    servers: int = 0


class HostHeartbeat(Row, frozen=True, kw_only=True):
    """When a host was last heard, and what it measured."""

    TABLE: ClassVar[str] = "host_heartbeats"
    KEY: ClassVar[tuple[str, ...]] = ("host_id",)
    LOGGED: ClassVar[bool] = False
    host_id: str
    last_seen: float
    usage: HostUsage = HostUsage()


class Allocation(Row, frozen=True, kw_only=True):
    """What one consumer holds on one host."""

    TABLE: ClassVar[str] = "allocations"
    KEY: ClassVar[tuple[str, ...]] = ("consumer_id", "host_id")
    consumer_id: str
    host_id: str
    project_id: str
    user_id: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    created_at: float


class Aggregate(Row, frozen=True, kw_only=True):
    """A set of hosts with properties; `availability_zone` among them puts its hosts in that zone."""

    TABLE: ClassVar[str] = "aggregates"
    id: int
    uuid: str
    name: str
    metadata: dict[str, str] = {}
    created_at: float
    updated_at: float | None = None


class AggregateHost(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "aggregate_hosts"
    KEY: ClassVar[tuple[str, ...]] = ("aggregate_id", "host")
    aggregate_id: int
    host: str
