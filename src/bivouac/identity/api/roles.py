"""`/v3/roles`, `/v3/role_inferences`, and grants of roles. Source: Identity API v3, "Roles", "OS-INHERIT"."""

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.http import Request, Route
from ..records import Role
from ..service import grants, roles
from ..service.grants import Grant
from . import shapes
from .shapes import Id64, Name255, Text


class NewRole(Struct):
    name: Name255
    domain_id: Id64 | None = None
    description: Text | None = None
    options: dict[str, Any] = {}


class RoleChanges(Struct):
    name: Name255 | UnsetType = UNSET
    domain_id: Id64 | None | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


def view(request: Request, row: Role) -> dict[str, Any]:
    """A role on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "options": row.options,
        "links": shapes.self_link(request, f"roles/{row.id}"),
    }


async def list_roles(request: Request) -> dict[str, Any]:
    page = shapes.page(request, ("name",))
    rows = await request.read(roles.list_roles, shapes.filters(request, ("name", "domain_id", "id")), page)
    return shapes.listing(request, "roles", rows, lambda row: view(request, row), page)


async def create_role(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(NewRole, request.body)
    row = await request.write(roles.create, known.name, known.domain_id, known.description, known.options, extra)
    return {"role": view(request, row)}


async def show_role(request: Request, role_id: str) -> dict[str, Any]:
    return {"role": view(request, await request.read(roles.get, role_id))}


async def update_role(request: Request, role_id: str) -> dict[str, Any]:
    changes = shapes.patch(RoleChanges, request.body, role_id)
    row = await request.write(roles.update, role_id, changes)
    return {"role": view(request, row)}


async def delete_role(request: Request, role_id: str) -> None:
    await request.write(roles.delete, role_id)


# --- implied roles -----------------------------------------------------------------------------------------------


def _brief(request: Request, row: Role) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "links": shapes.self_link(request, f"roles/{row.id}")}


def _inference(request: Request, prior: Role, implied: Any) -> dict[str, Any]:
    shaped = [_brief(request, one) for one in implied] if isinstance(implied, list) else _brief(request, implied)
    return {"prior_role": _brief(request, prior), "implies": shaped}


async def list_implied(request: Request, prior_role_id: str) -> dict[str, Any]:
    prior, implied = await request.read(roles.implied_by, prior_role_id)
    return {"role_inference": _inference(request, prior, implied), "links": {"self": request.url}}


async def show_implied(request: Request, prior_role_id: str, implied_role_id: str) -> dict[str, Any]:
    prior, implied = await request.read(roles.get_implied, prior_role_id, implied_role_id)
    return {"role_inference": _inference(request, prior, implied), "links": {"self": request.url}}


async def check_implied(request: Request, prior_role_id: str, implied_role_id: str) -> None:
    await request.read(roles.get_implied, prior_role_id, implied_role_id, "identity:check_implied_role")


async def create_implied(request: Request, prior_role_id: str, implied_role_id: str) -> dict[str, Any]:
    prior, implied = await request.write(roles.imply, prior_role_id, implied_role_id)
    return {"role_inference": _inference(request, prior, implied), "links": {"self": request.url}}


async def delete_implied(request: Request, prior_role_id: str, implied_role_id: str) -> None:
    await request.write(roles.unimply, prior_role_id, implied_role_id)


async def list_inferences(request: Request) -> dict[str, Any]:
    found = await request.read(roles.inferences)
    return {
        "role_inferences": [_inference(request, prior, implied) for prior, implied in found],
        "links": {"self": request.url},
    }


# --- grants ------------------------------------------------------------------------------------------------------


def _grant_routes(actor: str, target: str, inherited: bool) -> list[Route]:
    """The five operations on roles of one kind of actor on one kind of target."""

    def grant(values: dict[str, str]) -> Grant:
        target_id = values.get(f"{target}_id", grants.SYSTEM)
        return Grant(actor, values[f"{actor}_id"], target, target_id, inherited)

    async def list_grants(request: Request, **values: str) -> dict[str, Any]:
        rows = await request.read(grants.roles_of, grant(values))
        return shapes.listing(request, "roles", rows, lambda row: view(request, row))

    async def check_grant(request: Request, role_id: str, **values: str) -> None:
        await request.read(grants.check, grant(values), role_id)

    async def create_grant(request: Request, role_id: str, **values: str) -> None:
        await request.write(grants.create, grant(values), role_id)

    async def revoke_grant(request: Request, role_id: str, **values: str) -> None:
        await request.write(grants.revoke, grant(values), role_id)

    place = "/system" if target == "system" else f"/{target}s/{{{target}_id}}"
    prefix, suffix = ("/v3/OS-INHERIT", "/inherited_to_projects") if inherited else ("/v3", "")
    base = f"{prefix}{place}/{actor}s/{{{actor}_id}}/roles"
    rule: Callable[[str], str] = Grant(actor, "", target).rule
    return [
        Route(method="GET", path=f"{base}{suffix}", handler=list_grants, rule=rule("list"), late=True),
        Route(method="GET", path=f"{base}/{{role_id}}{suffix}", handler=check_grant, rule=rule("check"), late=True,
              status=204),
        Route(method="PUT", path=f"{base}/{{role_id}}{suffix}", handler=create_grant, rule=rule("create"), late=True,
              status=204),
        Route(method="DELETE", path=f"{base}/{{role_id}}{suffix}", handler=revoke_grant, rule=rule("revoke"),
              late=True, status=204),
    ]  # fmt: skip


_ONE, _IMPLIES = "/v3/roles/{role_id}", "/v3/roles/{prior_role_id}/implies"
_IMPLIED = f"{_IMPLIES}/{{implied_role_id}}"
ROUTES = [
    Route(method="GET", path="/v3/roles", handler=list_roles, rule="identity:list_roles", late=True),
    Route(method="POST", path="/v3/roles", handler=create_role, rule="identity:create_role", late=True, status=201,
          body=dict[str, Any], envelope="role"),
    Route(method="GET", path=_ONE, handler=show_role, rule="identity:get_role", late=True),
    Route(method="PATCH", path=_ONE, handler=update_role, rule="identity:update_role", late=True,
          body=dict[str, Any], envelope="role"),
    Route(method="DELETE", path=_ONE, handler=delete_role, rule="identity:delete_role", late=True, status=204),
    Route(method="GET", path=_IMPLIES, handler=list_implied, rule="identity:list_implied_roles", late=True),
    Route(method="GET", path=_IMPLIED, handler=show_implied, rule="identity:get_implied_role", late=True),
    Route(method="HEAD", path=_IMPLIED, handler=check_implied, rule="identity:check_implied_role", late=True,
          status=204),
    Route(method="PUT", path=_IMPLIED, handler=create_implied, rule="identity:create_implied_role", late=True,
          status=201),
    Route(method="DELETE", path=_IMPLIED, handler=delete_implied, rule="identity:delete_implied_role", late=True,
          status=204),
    Route(method="GET", path="/v3/role_inferences", handler=list_inferences,
          rule="identity:list_role_inference_rules", late=True),
    *(
        route
        for target in ("project", "domain", "system")
        for actor in ("user", "group")
        for inherited in ((False, True) if target != "system" else (False,))
        for route in _grant_routes(actor, target, inherited)
    ),
]  # fmt: skip
