"""`/v3/policies` and OS-ENDPOINT-POLICY. Source: Identity API v3, "Policies", "OS-ENDPOINT-POLICY"."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.http import Request, Route
from ..catalog_records import PolicyDocument
from ..service import policy_documents as rules
from . import shapes
from .catalog_entries import endpoint_view
from .shapes import Name255


class PolicyBody(Struct):
    type: Name255
    blob: str


class PolicyChanges(Struct):
    type: Name255 | UnsetType = UNSET
    blob: str | UnsetType = UNSET


def view(request: Request, row: PolicyDocument) -> dict[str, Any]:
    """A policy on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "type": row.type,
        "blob": row.blob,
        "links": shapes.self_link(request, f"policies/{row.id}"),
    }


async def list_policies(request: Request) -> dict[str, Any]:
    rows = await request.read(rules.list_policies, request.query_value("type"))
    return shapes.listing(request, "policies", rows, lambda row: view(request, row))


async def create_policy(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(PolicyBody, request.body)
    return {"policy": view(request, await request.write(rules.create, known.type, known.blob, extra))}


async def show_policy(request: Request, policy_id: str) -> dict[str, Any]:
    return {"policy": view(request, await request.read(rules.get, policy_id))}


async def update_policy(request: Request, policy_id: str) -> dict[str, Any]:
    changes = shapes.patch(PolicyChanges, request.body, policy_id)
    row = await request.write(rules.update, policy_id, changes)
    return {"policy": view(request, row)}


async def delete_policy(request: Request, policy_id: str) -> None:
    await request.write(rules.delete, policy_id)


async def show_policy_of_endpoint(request: Request, endpoint_id: str) -> dict[str, Any]:
    return {"policy": view(request, await request.read(rules.policy_of_endpoint, endpoint_id))}


async def list_endpoints_of_policy(request: Request, policy_id: str) -> dict[str, Any]:
    rows = await request.read(rules.endpoints_of_policy, policy_id)
    return shapes.listing(request, "endpoints", rows, lambda row: endpoint_view(request, row))


async def check_association(request: Request, policy_id: str, **place: str) -> None:
    await request.read(rules.check, policy_id, place)


async def create_association(request: Request, policy_id: str, **place: str) -> None:
    await request.write(rules.associate, policy_id, place)


async def delete_association(request: Request, policy_id: str, **place: str) -> None:
    await request.write(rules.dissociate, policy_id, place)


def _association_routes(path: str, what: str) -> list[Route]:
    rule = f"_policy_association_for_{what}"
    return [
        Route(method="GET", path=path, handler=check_association, rule=f"identity:check{rule}", late=True, status=204),
        Route(method="PUT", path=path, handler=create_association, rule=f"identity:create{rule}", late=True,
              status=204),
        Route(method="DELETE", path=path, handler=delete_association, rule=f"identity:delete{rule}", late=True,
              status=204),
    ]  # fmt: skip


_ONE = "/v3/policies/{policy_id}"
_PLACES = f"{_ONE}/OS-ENDPOINT-POLICY"
ROUTES = [
    Route(method="GET", path="/v3/policies", handler=list_policies, rule="identity:list_policies", late=True),
    Route(method="POST", path="/v3/policies", handler=create_policy, rule="identity:create_policy", late=True,
          status=201, body=dict[str, Any], envelope="policy"),
    Route(method="GET", path=_ONE, handler=show_policy, rule="identity:get_policy", late=True),
    Route(method="PATCH", path=_ONE, handler=update_policy, rule="identity:update_policy", late=True,
          body=dict[str, Any], envelope="policy"),
    Route(method="DELETE", path=_ONE, handler=delete_policy, rule="identity:delete_policy", late=True, status=204),
    Route(method="GET", path="/v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy",
          handler=show_policy_of_endpoint, rule="identity:get_policy_for_endpoint", late=True),
    Route(method="GET", path=f"{_PLACES}/endpoints", handler=list_endpoints_of_policy,
          rule="identity:list_endpoints_for_policy", late=True),
    *_association_routes(f"{_PLACES}/endpoints/{{endpoint_id}}", "endpoint"),
    *_association_routes(f"{_PLACES}/services/{{service_id}}", "service"),
    *_association_routes(f"{_PLACES}/services/{{service_id}}/regions/{{region_id}}", "region_and_service"),
]  # fmt: skip
