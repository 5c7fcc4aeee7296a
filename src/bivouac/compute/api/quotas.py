"""`/limits`, `/os-quota-sets` and `/os-quota-class-sets`.

What network limits (floating IPs, groups) left with 2.36, injected files with 2.57.
"""

from typing import Any

from msgspec import UNSET, UnsetType

from bivouac.core.errors import BadRequest, Forbidden
from bivouac.core.http import Request, Response

from ..service import quotas as service
from .fields import Body, operation

FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
NETWORK = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
GROUPS = ("server_groups", "server_group_members")
CORE = ("instances", "cores", "ram", "metadata_items", "key_pairs")
Amount = int | UnsetType


class QuotaChange(Body):
    instances: Amount = UNSET
    cores: Amount = UNSET
    ram: Amount = UNSET
    metadata_items: Amount = UNSET
    key_pairs: Amount = UNSET
    injected_files: Amount = UNSET
    injected_file_content_bytes: Amount = UNSET
    injected_file_path_bytes: Amount = UNSET
    fixed_ips: Amount = UNSET
    floating_ips: Amount = UNSET
    security_groups: Amount = UNSET
    security_group_rules: Amount = UNSET
    server_groups: Amount = UNSET
    server_group_members: Amount = UNSET
    networks: Amount = UNSET
    force: bool = False


def names(version: tuple[int, int], of_class: bool = False) -> tuple[str, ...]:
    """Resources that a quota set has in a microversion. Classes got server groups only with 2.50."""
    found = CORE
    if version < (2, 57):
        found += FILES
    if version < ((2, 50) if of_class else (2, 36)):
        found += NETWORK
    if not of_class or version >= (2, 50):
        found += GROUPS
    return found


def _change(request: Request, of_class: bool = False) -> dict[str, int]:
    """The amounts in the body. Raises BadRequest for resources of other microversions."""
    body: QuotaChange = request.body
    known = names(request.version, of_class)
    given = {name: value for name in (*service.DEFAULTS, *service.PROXIED)
             if (value := getattr(body, name)) is not UNSET}  # fmt: skip
    if unknown := sorted(set(given) - set(known)):
        raise BadRequest(f"Additional properties are not allowed ({', '.join(unknown)} was unexpected)")
    if any(not -1 <= value <= 0x7FFFFFFF for value in given.values()):
        raise BadRequest("Quota limits are whole numbers from -1 (no limit) on.")
    return given


async def show(request: Request, project_id: str) -> dict[str, Any]:
    user_id = request.query_value("user_id") or ""
    limits = await request.read(_limits, project_id, user_id)
    return {"quota_set": {"id": project_id, **{name: limits[name] for name in names(request.version)}}}


def _limits(tx: Any, call: Any, project_id: str, user_id: str) -> dict[str, int]:
    return service.limits_of(tx, project_id, user_id)


def _detail(tx: Any, call: Any, project_id: str, user_id: str) -> tuple[dict[str, int], dict[str, int]]:
    return service.limits_of(tx, project_id, user_id), service.used_by(tx, project_id, user_id)


async def detail(request: Request, project_id: str) -> dict[str, Any]:
    limits, used = await request.read(_detail, project_id, request.query_value("user_id") or "")
    shown = {
        name: {"limit": limits[name], "in_use": used[name], "reserved": 0} for name in names(request.version)
    }
    return {"quota_set": {"id": project_id, **shown}}


async def defaults(request: Request, project_id: str) -> dict[str, Any]:
    limits = await request.read(_class_limits, "default")
    return {"quota_set": {"id": project_id, **{name: limits[name] for name in names(request.version)}}}


def _class_limits(tx: Any, call: Any, name: str) -> dict[str, int]:
    return service.class_limits(tx, name)


async def update(request: Request, project_id: str) -> dict[str, Any]:
    user_id = request.query_value("user_id") or ""
    owner = f"user:{project_id}:{user_id}" if user_id else f"project:{project_id}"
    await request.write(service.set_limits, owner, project_id, user_id, _change(request), request.body.force)
    limits = await request.read(_limits, project_id, user_id)
    return {"quota_set": {name: limits[name] for name in names(request.version)}}


async def delete(request: Request, project_id: str) -> Response:
    await request.write(service.reset_limits, project_id, request.query_value("user_id") or "")
    return Response(None, 202)


async def show_class(request: Request, name: str) -> dict[str, Any]:
    limits = await request.read(_class_limits, name)
    return {"quota_class_set": {"id": name, **{one: limits[one] for one in names(request.version, True)}}}


async def update_class(request: Request, name: str) -> dict[str, Any]:
    await request.write(service.set_limits, f"class:{name}", "", "", _change(request, True), True)
    limits = await request.read(_class_limits, name)
    return {"quota_class_set": {one: limits[one] for one in names(request.version, True)}}


# --- limits --------------------------------------------------------------------------------------------------------

ABSOLUTE = {
    "maxTotalInstances": "instances", "maxTotalCores": "cores", "maxTotalRAMSize": "ram",
    "maxServerMeta": "metadata_items", "maxTotalKeypairs": "key_pairs", "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
}  # fmt: skip
ABSOLUTE_FILES = {"maxPersonality": "injected_files", "maxPersonalitySize": "injected_file_content_bytes"}
ABSOLUTE_NETWORK = {
    "maxSecurityGroups": "security_groups", "maxSecurityGroupRules": "security_group_rules",
    "maxTotalFloatingIps": "floating_ips",
}  # fmt: skip
USED = {"totalInstancesUsed": "instances", "totalCoresUsed": "cores", "totalRAMUsed": "ram",
        "totalServerGroupsUsed": "server_groups"}  # fmt: skip


async def limits(request: Request) -> dict[str, Any]:
    project_id = request.query_value("tenant_id") or request.call.project_id
    if project_id != request.call.project_id and not request.call.allows("os_compute_api:limits:other_project"):
        raise Forbidden("Policy doesn't allow os_compute_api:limits:other_project to be performed.")
    most, used = await request.read(_detail, project_id, "")
    shown = {name: most[resource] for name, resource in ABSOLUTE.items()}
    shown |= {name: used[resource] for name, resource in USED.items()}
    if request.version < (2, 39):
        shown["maxImageMeta"] = most["metadata_items"]
    if request.version < (2, 57):
        shown |= {name: most[resource] for name, resource in ABSOLUTE_FILES.items()}
    if request.version < (2, 36):
        shown |= {name: most[resource] for name, resource in ABSOLUTE_NETWORK.items()}
        shown |= {"totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}
    return {"limits": {"rate": [], "absolute": shown}}


_Q = "os_compute_api:os-quota-sets:"
ROUTES = [
    operation("GET", "/limits", limits, "os_compute_api:limits"),
    operation("GET", "/os-quota-sets/{project_id}", show, _Q + "show"),
    operation("GET", "/os-quota-sets/{project_id}/detail", detail, _Q + "detail"),
    operation("GET", "/os-quota-sets/{project_id}/defaults", defaults, _Q + "defaults"),
    operation("PUT", "/os-quota-sets/{project_id}", update, _Q + "update", body=QuotaChange, envelope="quota_set"),
    operation("DELETE", "/os-quota-sets/{project_id}", delete, _Q + "delete", status=202),
    operation("GET", "/os-quota-class-sets/{name}", show_class, "os_compute_api:os-quota-class-sets:show"),
    operation("PUT", "/os-quota-class-sets/{name}", update_class, "os_compute_api:os-quota-class-sets:update",
              body=QuotaChange, envelope="quota_class_set"),
]  # fmt: skip
