"""Quotas: counted over the owned rows in the transaction that adds one. -1 means no limit.

Source: Neutron's API reference, "Quotas extension" and "Quota details".
"""

from collections.abc import Mapping
from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import OverQuota
from bivouac.core.store import Tx

from ..records import METADATA, NetworkQuota
from .standard import invalid

DEFAULTS = {
    "network": 100, "subnet": 100, "port": 500, "router": 10, "floatingip": 50, "security_group": 10,
    "security_group_rule": 100, "subnetpool": -1,
}  # fmt: skip
_COUNT = {
    "network": "networks", "subnet": "subnets", "port": "ports", "router": "routers", "floatingip": "floating_ips",
    "security_group": "security_groups", "security_group_rule": "security_group_rules", "subnetpool": "subnetpools",
}  # fmt: skip
LARGEST = 2**31 - 1


def limits(tx: Tx, project_id: str) -> dict[str, int]:
    """The limit of each resource for a project."""
    own = {row.resource: row.maximum for row in tx.select(NetworkQuota, "WHERE project_id = ?", project_id)}
    return {resource: own.get(resource, default) for resource, default in DEFAULTS.items()}


def used(tx: Tx, project_id: str, resource: str) -> int:
    """How many of a resource the project has. Ports that the cloud itself made for metadata do not count."""
    where = f" AND device_owner <> '{METADATA}'" if resource == "port" else ""
    return int(tx.value(f"SELECT count(*) FROM {_COUNT[resource]} WHERE project_id = ?{where}", project_id))


def claim(tx: Tx, project_id: str, resource: str, more: int = 1) -> None:
    """Check that so many more fit, before they are added. Raises OverQuota."""
    maximum = tx.value("SELECT maximum FROM network_quotas WHERE project_id = ? AND resource = ?", project_id, resource)
    maximum = DEFAULTS[resource] if maximum is None else maximum
    if maximum < 0:
        return
    have = used(tx, project_id, resource)
    if have + more > maximum:
        raise OverQuota(
            f"Quota exceeded for resources: ['{resource}']. The project has {have} of at most {maximum}.",
            type="OverQuota",
        )


def list_quotas(tx: Tx, call: Call) -> list[dict[str, Any]]:
    """Every project with limits of its own."""
    call.enforce("get_quota", {"project_id": None})
    projects = [row[0] for row in tx.query("SELECT DISTINCT project_id FROM network_quotas ORDER BY project_id")]
    return [{**limits(tx, one), "tenant_id": one, "project_id": one} for one in projects]


def show(tx: Tx, call: Call, project_id: str) -> dict[str, int]:
    """Limits in force for a project."""
    call.enforce("get_quota", {"project_id": project_id})
    return limits(tx, project_id)


def details(tx: Tx, call: Call, project_id: str) -> dict[str, dict[str, int]]:
    """Limits with what is used."""
    return {
        resource: {"limit": limit, "used": used(tx, project_id, resource), "reserved": 0}
        for resource, limit in show(tx, call, project_id).items()
    }


def update(tx: Tx, call: Call, project_id: str, wanted: Mapping[str, Any]) -> dict[str, int]:
    """Set limits of a project. Raises BadRequest for what is no resource or no number."""
    call.enforce("update_quota", {"project_id": project_id})
    for resource, value in wanted.items():
        if resource in ("tenant_id", "project_id", "force"):
            continue
        if resource not in DEFAULTS:
            raise invalid(f"Unrecognized attribute(s) '{resource}'", "HTTPBadRequest")
        try:
            maximum = int(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            maximum = None
        if maximum is None or not -1 <= maximum <= LARGEST:
            raise invalid(f"Invalid input for {resource}. Reason: '{value}' is not a limit.", "HTTPBadRequest")
        tx.upsert(NetworkQuota(project_id=project_id, resource=resource, maximum=maximum))
    return limits(tx, project_id)


def delete(tx: Tx, call: Call, project_id: str) -> None:
    """Back to the defaults."""
    call.enforce("delete_quota", {"project_id": project_id})
    tx.delete_where(NetworkQuota, "project_id = ?", project_id)
