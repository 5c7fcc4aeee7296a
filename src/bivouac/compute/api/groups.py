"""`/os-server-groups`."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from bivouac.core.errors import BadRequest
from bivouac.core.http import Request

from ..records import ServerGroup
from ..service import groups as service
from .fields import Body, Name, operation, strict_query, whole_number, window

Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]


class Rules(Body):
    max_server_per_host: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class NewGroup(Body):
    name: Name
    policies: Annotated[list[str], Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    policy: str | UnsetType = UNSET
    rules: Rules | UnsetType = UNSET


def view(request: Request, group: ServerGroup, members: list[str]) -> dict[str, Any]:
    """A group: `policies` and `metadata` until 2.63, `policy` and `rules` since."""
    shape: dict[str, Any] = {"id": group.id, "name": group.name, "members": members}
    if request.version >= (2, 64):
        shape |= {"policy": group.policy, "rules": group.rules}
    else:
        shape |= {"policies": [group.policy], "metadata": {}}
    if request.version >= (2, 13):
        shape |= {"project_id": group.project_id, "user_id": group.user_id}
    return shape


async def create(request: Request) -> dict[str, Any]:
    new: NewGroup = request.body
    modern = request.version >= (2, 64)
    if modern and (new.policy is UNSET or new.policies is not UNSET):
        raise BadRequest("Invalid input for field/attribute server_group. It wants 'policy', not 'policies'.")
    if not modern and (new.policies is UNSET or new.policy is not UNSET or new.rules is not UNSET):
        raise BadRequest("Invalid input for field/attribute server_group. It wants 'policies'.")
    policy = new.policy if new.policy is not UNSET else new.policies[0]  # type: ignore[index]
    allowed = service.POLICIES if request.version >= (2, 15) else service.POLICIES[:2]
    if policy not in allowed:
        raise BadRequest(f"Invalid input for field/attribute policy. '{policy}' is not one of {list(allowed)}")
    rules: dict[str, int] = {}
    if new.rules is not UNSET and new.rules.max_server_per_host is not UNSET:
        if policy != "anti-affinity":
            raise BadRequest("Only anti-affinity policy supports rules.")
        rules["max_server_per_host"] = new.rules.max_server_per_host
    group = await request.write(service.create_group, new.name, policy, rules)
    return {"server_group": view(request, group, [])}


async def listing(request: Request) -> dict[str, Any]:
    strict_query(request, ("all_projects", "limit", "offset"))
    everybody = request.query_value("all_projects") is not None and request.call.is_admin
    part = window(request)
    offset = whole_number("offset", request.query_value("offset") or "0")
    found = await request.read(service.list_groups, everybody, part.limit, offset)
    return {"server_groups": [view(request, group, members) for group, members in found]}


async def show(request: Request, group_id: str) -> dict[str, Any]:
    return {"server_group": view(request, *await request.read(service.get_group, group_id))}


async def delete(request: Request, group_id: str) -> None:
    await request.write(service.delete_group, group_id)


_P = "os_compute_api:os-server-groups:"
ROUTES = [
    operation("GET", "/os-server-groups", listing, _P + "index"),
    operation("POST", "/os-server-groups", create, _P + "create", body=NewGroup, envelope="server_group"),
    operation("GET", "/os-server-groups/{group_id}", show, _P + "show"),
    operation("DELETE", "/os-server-groups/{group_id}", delete, _P + "delete", status=204),
]
