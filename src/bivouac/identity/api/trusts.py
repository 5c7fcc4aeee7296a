"""`/v3/OS-TRUST/trusts`. Source: Identity API v3, "OS-TRUST"."""

from typing import Any

from msgspec import Struct

from ...core.http import Request, Route
from ..records import Trust
from ..service import trusts
from ..service.delegation import RoleName
from ..service.trusts import NewTrust, Shown
from . import shapes
from .application_credentials import moment
from .moments import moment_text
from .roles import view as role_view
from .shapes import Id64


class TrustBody(Struct):
    trustor_user_id: Id64
    trustee_user_id: Id64
    impersonation: bool
    project_id: Id64 | None = None
    roles: list[RoleName] = []
    expires_at: str | None = None
    remaining_uses: int | None = None
    allow_redelegation: bool = False
    redelegation_count: int | None = None


def view(request: Request, row: Trust) -> dict[str, Any]:
    """A trust on the wire, without its roles."""
    return {
        **row.extra,
        "id": row.id,
        "trustor_user_id": row.trustor_user_id,
        "trustee_user_id": row.trustee_user_id,
        "project_id": row.project_id,
        "impersonation": row.impersonation,
        "expires_at": moment_text(row.expires_at, "Z"),
        "deleted_at": None,
        "remaining_uses": row.remaining_uses,
        "redelegated_trust_id": row.redelegated_trust_id,
        "redelegation_count": row.redelegation_count,
        "links": shapes.self_link(request, f"OS-TRUST/trusts/{row.id}"),
    }


def _full(request: Request, shown: Shown) -> dict[str, Any]:
    roles_url = f"{request.base_url}/v3/OS-TRUST/trusts/{shown.row.id}/roles"
    return {
        **view(request, shown.row),
        "roles": [role_view(request, role) for role in shown.roles],
        "roles_links": {"self": roles_url, "previous": None, "next": None},
    }


async def list_trusts(request: Request) -> dict[str, Any]:
    trustor, trustee = request.query_value("trustor_user_id"), request.query_value("trustee_user_id")
    rows = await request.read(trusts.list_trusts, trustor, trustee)
    return shapes.listing(request, "trusts", rows, lambda row: view(request, row))


async def create_trust(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(TrustBody, request.body)
    new = NewTrust(
        trustor_user_id=known.trustor_user_id, trustee_user_id=known.trustee_user_id,
        impersonation=known.impersonation, project_id=known.project_id, roles=known.roles,
        expires_at=moment(known.expires_at), remaining_uses=known.remaining_uses,
        allow_redelegation=known.allow_redelegation, redelegation_count=known.redelegation_count, extra=extra,
    )  # fmt: skip
    return {"trust": _full(request, await request.write(trusts.create, new))}


async def show_trust(request: Request, trust_id: str) -> dict[str, Any]:
    return {"trust": _full(request, await request.read(trusts.get, trust_id))}


async def delete_trust(request: Request, trust_id: str) -> None:
    await request.write(trusts.delete, trust_id)


async def list_trust_roles(request: Request, trust_id: str) -> dict[str, Any]:
    shown = await request.read(trusts.get, trust_id, "identity:list_roles_for_trust")
    return shapes.listing(request, "roles", shown.roles, lambda row: role_view(request, row))


async def show_trust_role(request: Request, trust_id: str, role_id: str) -> dict[str, Any]:
    return {"role": role_view(request, await request.read(trusts.get_role, trust_id, role_id))}


_ALL = "/v3/OS-TRUST/trusts"
_ONE = f"{_ALL}/{{trust_id}}"
ROUTES = [
    Route(method="GET", path=_ALL, handler=list_trusts, rule="identity:list_trusts", late=True),
    Route(method="POST", path=_ALL, handler=create_trust, rule="identity:create_trust", late=True, status=201,
          body=dict[str, Any], envelope="trust"),
    Route(method="GET", path=_ONE, handler=show_trust, rule="identity:get_trust", late=True),
    Route(method="DELETE", path=_ONE, handler=delete_trust, rule="identity:delete_trust", late=True, status=204),
    Route(method="GET", path=f"{_ONE}/roles", handler=list_trust_roles, rule="identity:list_roles_for_trust",
          late=True),
    Route(method="GET", path=f"{_ONE}/roles/{{role_id}}", handler=show_trust_role, rule="identity:get_role_for_trust",
          late=True),
]  # fmt: skip
