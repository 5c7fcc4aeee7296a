"""What the cloud says of itself: agents, availability zones, and how full networks are."""

from collections.abc import Sequence
from typing import Any

from bivouac.core.call import Call
from bivouac.core.clock import iso_micro
from bivouac.core.errors import NotFound
from bivouac.core.store import Tx
from bivouac.placement.records import Host, HostHeartbeat
from bivouac.placement.service import DEFAULT_ZONE, is_up

from .. import addressing
from ..records import Network, Subnet
from .standard import get

Query = Sequence[tuple[str, str]]


def unknown_extension(alias: str) -> NotFound:
    return NotFound(f"Extension with alias {alias} does not exist", type="ExtensionNotFound")


def agents(tx: Tx, call: Call, query: Query) -> list[dict[str, Any]]:
    """One for each host: its ovn-controller, kept by our agent. Those who are no admin see none."""
    if not call.allows("get_agent"):
        return []
    heartbeats = {row.host_id: row for row in tx.select(HostHeartbeat)}
    found = [_agent(host, heartbeats.get(host.id), call.now) for host in tx.select(Host, "ORDER BY name")]
    wanted = [(name, value) for name, value in query if name in ("host", "agent_type", "binary", "id", "alive")]
    return [one for one in found if all(str(one[name]).lower() == value.lower() for name, value in wanted)]


def agent(tx: Tx, call: Call, id: str) -> dict[str, Any]:
    """One agent. Raises NotFound."""
    host = tx.first(Host, "WHERE service_id = ?", id)
    if host is None:
        raise NotFound(f"Agent {id} could not be found.", type="AgentNotFound")
    return _agent(host, tx.get(HostHeartbeat, host.id), call.now)


def _agent(host: Host, heartbeat: HostHeartbeat | None, now: float) -> dict[str, Any]:
    return {
        "id": host.service_id,
        "agent_type": "OVN Controller agent",
        "binary": "ovn-controller",
        "host": host.name,
        "topic": "n/a",
        "availability_zone": host.availability_zone,
        "admin_state_up": True,
        "alive": is_up(host, heartbeat, now),
        "description": "",
        "configurations": {"datapath_type": "", "bridge-mappings": ""},
        "created_at": iso_micro(host.created_at, "")[:19].replace("T", " "),  # type: ignore[index]
        "started_at": iso_micro(host.created_at, "")[:19].replace("T", " "),  # type: ignore[index]
        "heartbeat_timestamp": (iso_micro(heartbeat.last_seen if heartbeat else 0.0, "") or "")[:19].replace("T", " "),
        "resources_synced": None,
    }


def zones(tx: Tx, call: Call, query: Query) -> list[dict[str, Any]]:
    """The zones that networks and routers may be hinted to."""
    names = {row[0] for row in tx.query("SELECT DISTINCT availability_zone FROM hosts")} or {DEFAULT_ZONE}
    found = [
        {"name": name, "resource": resource, "state": "available"}
        for name in sorted(names)
        for resource in ("network", "router")
    ]
    wanted = [(name, value) for name, value in query if name in ("name", "resource", "state")]
    return [one for one in found if all(one[name] == value for name, value in wanted)]


def addresses(tx: Tx, call: Call, query: Query) -> list[dict[str, Any]]:
    """How many addresses each network has and uses."""
    wanted = dict(query)
    found = [
        _availability(tx, network, wanted.get("ip_version", ""))
        for network in tx.select(Network, "ORDER BY id")
        if wanted.get("network_id", network.id) == network.id
        and wanted.get("network_name", network.name) == network.name
        and wanted.get("project_id", wanted.get("tenant_id", network.project_id)) == network.project_id
    ]
    return [one for one in found if one["subnet_ip_availability"]]


def addresses_of_network(tx: Tx, call: Call, id: str) -> dict[str, Any]:
    """The same for one network. Raises NotFound."""
    return _availability(tx, get(tx, call, Network, id), "")


def _availability(tx: Tx, network: Network, version: str) -> dict[str, Any]:
    used = dict(
        tx.query(
            "SELECT addresses.subnet_id, count(*) FROM addresses JOIN subnets ON subnets.id = addresses.subnet_id "
            "WHERE subnets.network_id = ? GROUP BY addresses.subnet_id", network.id,
        )
    )  # fmt: skip
    subnets = []
    for subnet in tx.select(Subnet, "WHERE network_id = ? ORDER BY created_at, id", network.id):
        if version and str(subnet.ip_version) != version:
            continue
        ranges = addressing.ranges_of(subnet.allocation_pools)
        subnets.append(
            {
                "subnet_id": subnet.id, "subnet_name": subnet.name, "cidr": subnet.cidr,
                "ip_version": subnet.ip_version, "used_ips": int(used.get(subnet.id, 0)),
                "total_ips": sum(end - start + 1 for start, end in ranges),
            }
        )  # fmt: skip
    return {
        "network_id": network.id,
        "network_name": network.name,
        "project_id": network.project_id,
        "tenant_id": network.project_id,
        "used_ips": sum(one["used_ips"] for one in subnets),
        "total_ips": sum(one["total_ips"] for one in subnets),
        "subnet_ip_availability": subnets,
    }
