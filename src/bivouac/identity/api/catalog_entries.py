"""`/v3/regions`, `/v3/services`, `/v3/endpoints`. Source: Identity API v3, "Regions", "Service catalog"."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ...core.errors import BadRequest
from ...core.http import Request, Route
from ..catalog_records import Endpoint, Region, Service
from ..service import catalog_entries as rules
from . import shapes
from .shapes import Name255, Text

RegionId = Annotated[str, Meta(max_length=255)]
Interface = Literal["public", "internal", "admin", "publicURL", "internalURL", "adminURL"]
Url = Annotated[str, Meta(min_length=1, max_length=2000, pattern=r"^[a-zA-Z0-9+.-]+:.+")]


class RegionBody(Struct):
    id: RegionId | None = None
    description: Text | None = ""
    parent_region_id: RegionId | None = None


class RegionChanges(Struct):
    description: Text | None | UnsetType = UNSET
    parent_region_id: RegionId | None | UnsetType = UNSET


class ServiceBody(Struct):
    type: Name255
    name: str = ""
    enabled: bool = True
    description: Text | None = None


class ServiceChanges(Struct):
    type: Name255 | UnsetType = UNSET
    name: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET


class EndpointBody(Struct):
    service_id: str
    interface: Interface
    url: Url
    enabled: bool = True
    region_id: RegionId | None = None
    region: RegionId | None = None


class EndpointChanges(Struct):
    service_id: str | UnsetType = UNSET
    interface: Interface | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    region_id: RegionId | None | UnsetType = UNSET
    region: RegionId | None | UnsetType = UNSET


# --- regions -----------------------------------------------------------------------------------------------------


def region_view(request: Request, row: Region) -> dict[str, Any]:
    """A region on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "description": row.description,
        "parent_region_id": row.parent_region_id,
        "links": shapes.self_link(request, f"regions/{row.id}"),
    }


async def list_regions(request: Request) -> dict[str, Any]:
    page = shapes.page(request)
    rows = await request.read(rules.list_regions, shapes.filters(request, ("id", "parent_region_id")), page)
    return shapes.listing(request, "regions", rows, lambda row: region_view(request, row), page)


async def create_region(request: Request, region_id: str | None = None) -> dict[str, Any]:
    body = dict(request.body or {})
    if region_id is not None and body.get("id", region_id) != region_id:
        raise BadRequest("The region's id in the body is not that of the path.")
    known, extra = shapes.decode(RegionBody, body)
    wanted = region_id or known.id
    row = await request.write(
        rules.create_region, wanted, known.description or "", known.parent_region_id, extra
    )
    return {"region": region_view(request, row)}


async def show_region(request: Request, region_id: str) -> dict[str, Any]:
    return {"region": region_view(request, await request.read(rules.get_region, region_id))}


async def update_region(request: Request, region_id: str) -> dict[str, Any]:
    changes = shapes.patch(RegionChanges, request.body, region_id)
    row = await request.write(rules.update_region, region_id, changes)
    return {"region": region_view(request, row)}


async def delete_region(request: Request, region_id: str) -> None:
    await request.write(rules.delete_region, region_id)


# --- services ----------------------------------------------------------------------------------------------------


def service_view(request: Request, row: Service) -> dict[str, Any]:
    """A service on the wire; without a description it has no such key."""
    shaped = {
        **row.extra,
        "id": row.id,
        "type": row.type,
        "name": row.name,
        "enabled": row.enabled,
        "links": shapes.self_link(request, f"services/{row.id}"),
    }
    if row.description is not None:
        shaped["description"] = row.description
    return shaped


async def list_services(request: Request) -> dict[str, Any]:
    page = shapes.page(request, ("type",))
    filters = shapes.filters(request, ("type", "name", "id"), ("enabled",))
    rows = await request.read(rules.list_services, filters, page)
    return shapes.listing(request, "services", rows, lambda row: service_view(request, row), page)


async def create_service(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(ServiceBody, request.body)
    row = await request.write(
        rules.create_service, known.type, known.name, known.enabled, known.description, extra
    )
    return {"service": service_view(request, row)}


async def show_service(request: Request, service_id: str) -> dict[str, Any]:
    return {"service": service_view(request, await request.read(rules.get_service, service_id))}


async def update_service(request: Request, service_id: str) -> dict[str, Any]:
    changes = shapes.patch(ServiceChanges, request.body, service_id)
    row = await request.write(rules.update_service, service_id, changes)
    return {"service": service_view(request, row)}


async def delete_service(request: Request, service_id: str) -> None:
    await request.write(rules.delete_service, service_id)


# --- endpoints ---------------------------------------------------------------------------------------------------


def endpoint_view(request: Request, row: Endpoint) -> dict[str, Any]:
    """An endpoint on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "service_id": row.service_id,
        "interface": row.interface,
        "url": row.url,
        "region": row.region_id,
        "region_id": row.region_id,
        "enabled": row.enabled,
        "links": shapes.self_link(request, f"endpoints/{row.id}"),
    }


async def list_endpoints(request: Request) -> dict[str, Any]:
    page = shapes.page(request)
    if request.query_value("interface") not in (None, *rules.INTERFACES):
        raise BadRequest(f"The interface is one of {', '.join(rules.INTERFACES)}.")
    filters = shapes.filters(request, ("service_id", "interface", "region_id", "id", "url"), ("enabled",))
    rows = await request.read(rules.list_endpoints, filters, page)
    return shapes.listing(request, "endpoints", rows, lambda row: endpoint_view(request, row), page)


async def create_endpoint(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(EndpointBody, request.body)
    fields = {
        "service_id": known.service_id,
        "interface": known.interface.removesuffix("URL"),
        "url": known.url,
        "enabled": known.enabled,
        "region_id": known.region_id,
    }
    row = await request.write(rules.create_endpoint, fields, known.region, extra)
    return {"endpoint": endpoint_view(request, row)}


async def show_endpoint(request: Request, endpoint_id: str) -> dict[str, Any]:
    return {"endpoint": endpoint_view(request, await request.read(rules.get_endpoint, endpoint_id))}


async def update_endpoint(request: Request, endpoint_id: str) -> dict[str, Any]:
    changes = shapes.patch(EndpointChanges, request.body, endpoint_id)
    if "interface" in changes:
        changes["interface"] = changes["interface"].removesuffix("URL")
    return {"endpoint": endpoint_view(request, await request.write(rules.update_endpoint, endpoint_id, changes))}


async def delete_endpoint(request: Request, endpoint_id: str) -> None:
    await request.write(rules.delete_endpoint, endpoint_id)


def _routes(kind: str) -> list[Route]:
    """The five operations of one kind of thing."""
    own = globals()
    one = f"/v3/{kind}s/{{{kind}_id}}"
    return [
        Route(method="GET", path=f"/v3/{kind}s", handler=own[f"list_{kind}s"], rule=f"identity:list_{kind}s",
              late=True),
        Route(method="POST", path=f"/v3/{kind}s", handler=own[f"create_{kind}"], rule=f"identity:create_{kind}",
              late=True, status=201, body=dict[str, Any], envelope=kind),
        Route(method="GET", path=one, handler=own[f"show_{kind}"], rule=f"identity:get_{kind}", late=True),
        Route(method="PATCH", path=one, handler=own[f"update_{kind}"], rule=f"identity:update_{kind}", late=True,
              body=dict[str, Any], envelope=kind),
        Route(method="DELETE", path=one, handler=own[f"delete_{kind}"], rule=f"identity:delete_{kind}", late=True,
              status=204),
    ]  # fmt: skip


ROUTES = [
    *_routes("region"),
    Route(method="PUT", path="/v3/regions/{region_id}", handler=create_region, rule="identity:create_region",
          late=True, status=201, body=dict[str, Any], envelope="region", optional_body=True),
    *_routes("service"),
    *_routes("endpoint"),
]  # fmt: skip
