"""`/v3/registered_limits` and `/v3/limits`. Source: Identity API v3, "Unified Limits"."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ...core.errors import BadRequest
from ...core.http import Request, Route
from ..catalog_records import RegisteredLimit
from ..identity import identity_of
from ..service import limits as rules
from ..service.limits import NewLimit, NewRegisteredLimit, Shown
from . import shapes
from .shapes import Name255, Text

_PLACE = ("service_id", "region_id", "resource_name")


class RegisteredLimitChanges(Struct, forbid_unknown_fields=True):
    service_id: str | UnsetType = UNSET
    region_id: str | None | UnsetType = UNSET
    resource_name: Name255 | UnsetType = UNSET
    default_limit: int | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET


class LimitChanges(Struct, forbid_unknown_fields=True):
    resource_limit: int | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET


def registered_view(request: Request, row: RegisteredLimit) -> dict[str, Any]:
    """A registered limit on the wire."""
    return {
        "id": row.id,
        "service_id": row.service_id,
        "region_id": row.region_id,
        "resource_name": row.resource_name,
        "default_limit": row.default_limit,
        "description": row.description,
        "links": shapes.self_link(request, f"registered_limits/{row.id}"),
    }


def view(request: Request, shown: Shown) -> dict[str, Any]:
    """A limit on the wire."""
    row, registered = shown.row, shown.registered
    return {
        "id": row.id,
        "project_id": row.project_id,
        "domain_id": row.domain_id,
        "service_id": registered.service_id,
        "region_id": registered.region_id,
        "resource_name": registered.resource_name,
        "resource_limit": row.resource_limit,
        "description": row.description,
        "links": shapes.self_link(request, f"limits/{row.id}"),
    }


def _many(kind: type[Any], body: list[Any]) -> list[Any]:
    """The bodies of several new limits. Raises BadRequest."""
    try:
        return msgspec.convert(body, Annotated[list[kind], Meta(min_length=1)])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input: {error}") from error


def _filters(request: Request, *names: str) -> dict[str, str]:
    return {name: value for name in names if (value := request.query_value(name)) is not None}


async def list_registered(request: Request) -> dict[str, Any]:
    rows = await request.read(rules.list_registered, _filters(request, *_PLACE))
    return shapes.listing(request, "registered_limits", rows, lambda row: registered_view(request, row))


async def create_registered(request: Request) -> dict[str, Any]:
    rows = await request.write(rules.create_registered, _many(NewRegisteredLimit, request.body))
    return shapes.listing(request, "registered_limits", rows, lambda row: registered_view(request, row))


async def show_registered(request: Request, registered_limit_id: str) -> dict[str, Any]:
    row = await request.read(rules.get_registered, registered_limit_id)
    return {"registered_limit": registered_view(request, row)}


async def update_registered(request: Request, registered_limit_id: str) -> dict[str, Any]:
    known, _ = shapes.decode(RegisteredLimitChanges, request.body)
    row = await request.write(rules.update_registered, registered_limit_id, shapes.changes(known))
    return {"registered_limit": registered_view(request, row)}


async def delete_registered(request: Request, registered_limit_id: str) -> None:
    await request.write(rules.delete_registered, registered_limit_id)


async def list_limits(request: Request) -> dict[str, Any]:
    found = await request.read(rules.list_limits, _filters(request, *_PLACE, "project_id", "domain_id"))
    return shapes.collection(request, "limits", [view(request, one) for one in found])


async def create_limits(request: Request) -> dict[str, Any]:
    found = await request.write(rules.create, _model(request), _many(NewLimit, request.body))
    return shapes.collection(request, "limits", [view(request, one) for one in found])


async def show_limit(request: Request, limit_id: str) -> dict[str, Any]:
    return {"limit": view(request, await request.read(rules.get, limit_id))}


async def update_limit(request: Request, limit_id: str) -> dict[str, Any]:
    known, _ = shapes.decode(LimitChanges, request.body)
    changed = await request.write(rules.update, _model(request), limit_id, shapes.changes(known))
    return {"limit": view(request, changed)}


async def delete_limit(request: Request, limit_id: str) -> None:
    await request.write(rules.delete, limit_id)


async def show_model(request: Request) -> dict[str, Any]:
    return {"model": {"name": _model(request), "description": rules.MODELS[_model(request)]}}


def _model(request: Request) -> str:
    return identity_of(request).settings.identity.limit_model


_REGISTERED, _LIMIT = "/v3/registered_limits/{registered_limit_id}", "/v3/limits/{limit_id}"
ROUTES = [
    Route(method="GET", path="/v3/registered_limits", handler=list_registered,
          rule="identity:list_registered_limits", late=True),
    Route(method="POST", path="/v3/registered_limits", handler=create_registered,
          rule="identity:create_registered_limits", late=True, status=201, body=list[Any],
          envelope="registered_limits"),
    Route(method="GET", path=_REGISTERED, handler=show_registered, rule="identity:get_registered_limit", late=True),
    Route(method="PATCH", path=_REGISTERED, handler=update_registered, rule="identity:update_registered_limit",
          late=True, body=dict[str, Any], envelope="registered_limit"),
    Route(method="DELETE", path=_REGISTERED, handler=delete_registered, rule="identity:delete_registered_limit",
          late=True, status=204),
    Route(method="GET", path="/v3/limits/model", handler=show_model, rule="identity:get_limit_model"),
    Route(method="GET", path="/v3/limits", handler=list_limits, rule="identity:list_limits", late=True),
    Route(method="POST", path="/v3/limits", handler=create_limits, rule="identity:create_limits", late=True,
          status=201, body=list[Any], envelope="limits"),
    Route(method="GET", path=_LIMIT, handler=show_limit, rule="identity:get_limit", late=True),
    Route(method="PATCH", path=_LIMIT, handler=update_limit, rule="identity:update_limit", late=True,
          body=dict[str, Any], envelope="limit"),
    Route(method="DELETE", path=_LIMIT, handler=delete_limit, rule="identity:delete_limit", late=True, status=204),
]  # fmt: skip
