"""Routes of the Network API v2.0 and the thin handlers behind them.

All eight collections have one shape, so their handlers are made by `_collection`; what is particular follows.
Source: Neutron's API reference, "Networking API v2.0".
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest
from bivouac.core.http import PUBLIC, Mount, Request, Response, Route, dialects
from bivouac.core.store import Tx

from . import bodies, listing
from .extensions import EXTENSIONS
from .records import Standard
from .service import (
    auto_topology,
    availability,
    floating_ips,
    networks,
    ports,
    quotas,
    routers,
    security_groups,
    subnetpools,
    subnets,
    tags,
)
from .service.standard import get, invalid, not_found
from .views import VIEWS, View

KINDS = listing.kinds()


# --- collections ------------------------------------------------------------------------------------------------------


def _show(tx: Tx, call: Call, kind: listing.Kind, id: str) -> View:
    return VIEWS[kind.plural](tx, call, [get(tx, call, kind.row, id)])[0]


def _create(tx: Tx, call: Call, kind: listing.Kind, rule: Callable[..., Standard], new: Sequence[Struct]) -> list[View]:
    """All of them or none."""
    ids = [rule(tx, call, one).id for one in new]
    return VIEWS[kind.plural](tx, call, [row for id in ids if (row := tx.get(kind.row, id))])


def _update(tx: Tx, call: Call, kind: listing.Kind, rule: Callable[..., Standard], *args: Any) -> View:
    row = rule(tx, call, *args)
    fresh = tx.get(kind.row, row.id)
    if fresh is None:
        raise not_found(kind.row, row.id)
    return VIEWS[kind.plural](tx, call, [fresh])[0]


def _collection(
    plural: str,
    new: type[Struct],
    create: Callable[..., Standard],
    change: type[Struct] | None,
    update: Callable[..., Standard] | None,
    delete: Callable[..., None],
) -> list[Route]:
    """The routes of one collection: list, show, create (one or many), update, delete."""
    kind = KINDS[plural]
    one, path = kind.singular, "/v2.0/" + plural.replace("_", "-")

    async def list_all(request: Request) -> dict[str, Any]:
        if plural in ("security_groups", "security_group_rules"):
            await _have_default_group(request)
        views, more = await request.read(listing.list_rows, kind, request.query)
        answer: dict[str, Any] = {plural: views}
        if more is not None:
            rest = [(name, value) for name, value in request.query if name != "marker"]
            answer[f"{plural}_links"] = [{"rel": "next", "href": _with_query(request.url, [*rest, ("marker", more)])}]
        return answer

    async def show(request: Request, id: str) -> dict[str, Any]:
        view = await request.read(_show, kind, id)
        return {one: listing.select_fields(view, request.query_values("fields"))}

    async def create_some(request: Request) -> dict[str, Any]:
        single, many = getattr(request.body, one), getattr(request.body, plural)
        if (single is UNSET) == (many is UNSET) or many == []:
            raise invalid(f"The body wants one of '{one}' and '{plural}'.", "HTTPBadRequest")
        views = await request.write(_create, kind, create, [single] if many is UNSET else many)
        return {plural: views} if single is UNSET else {one: views[0]}

    async def change_one(request: Request, id: str) -> dict[str, Any]:
        return {one: await request.write(_update, kind, update, id, request.body, _revision(request))}

    async def delete_one(request: Request, id: str) -> None:
        await request.write(delete, id)

    wire = msgspec.defstruct(
        f"New_{plural}",
        [(one, new | UnsetType, UNSET), (plural, list[new] | UnsetType, UNSET)],  # type: ignore[valid-type]
        forbid_unknown_fields=True,
    )
    routes = [
        Route(method="GET", path=path, handler=list_all, rule=f"get_{one}"),
        Route(method="POST", path=path, handler=create_some, rule=f"create_{one}", body=wire, status=201, late=True),
        Route(method="GET", path=f"{path}/{{id}}", handler=show, rule=f"get_{one}"),
        Route(method="DELETE", path=f"{path}/{{id}}", handler=delete_one, rule=f"delete_{one}", status=204, late=True),
        *_tag_routes(kind, path),
    ]
    if change is not None:
        routes.append(
            Route(
                method="PUT", path=f"{path}/{{id}}", handler=change_one, rule=f"update_{one}", body=change,
                envelope=one, late=True,
            )
        )  # fmt: skip
    return routes


def _revision(request: Request) -> int | None:
    """`If-Match: revision_number=N`."""
    text = request.headers.get("if-match", "")
    if not text.startswith("revision_number="):
        return None
    number = text.partition("=")[2]
    if not (number.isascii() and number.isdigit()):
        raise BadRequest("Bad format of If-Match: it wants revision_number=N.", type="HTTPBadRequest")
    return int(number)


def _with_query(url: str, pairs: Sequence[tuple[str, str]]) -> str:
    from urllib.parse import urlencode  # noqa: PLC0415

    return f"{url}?{urlencode(pairs)}"


async def _have_default_group(request: Request) -> None:
    """The caller's default group is made on first use, and looking is a use."""
    if request.call.project_id and not await request.read(_has_default_group):
        await request.write(_make_default_group)


def _has_default_group(tx: Tx, call: Call) -> bool:
    return bool(tx.value("SELECT 1 FROM security_groups WHERE project_id = ? AND is_default = 1", call.project_id))


def _make_default_group(tx: Tx, call: Call) -> None:
    security_groups.default_group(tx, call, call.project_id)


# --- tags -------------------------------------------------------------------------------------------------------------


class Tags(Struct, forbid_unknown_fields=True):
    tags: list[str]


def _tag_routes(kind: listing.Kind, path: str) -> list[Route]:
    row, rule = kind.row, f"update_{kind.singular}"

    async def show_all(request: Request, id: str) -> dict[str, Any]:
        return {"tags": await request.read(tags.tags_of, row, id)}

    async def replace_all(request: Request, id: str) -> dict[str, Any]:
        return {"tags": await request.write(tags.replace, row, id, rule, request.body.tags)}

    async def add_some(request: Request, id: str) -> None:
        await request.write(tags.add, row, id, rule, request.body.tags)

    async def remove_all(request: Request, id: str) -> None:
        await request.write(tags.replace, row, id, rule, [])

    async def show(request: Request, id: str, tag: str) -> None:
        await request.read(tags.has, row, id, tag)

    async def add(request: Request, id: str, tag: str) -> None:
        await request.write(tags.add, row, id, rule, [tag])

    async def remove(request: Request, id: str, tag: str) -> None:
        await request.write(tags.remove, row, id, rule, tag)

    many, single = f"{path}/{{id}}/tags", f"{path}/{{id}}/tags/{{tag}}"
    read = f"get_{kind.singular}"
    return [
        Route(method="GET", path=many, handler=show_all, rule=read),
        Route(method="PUT", path=many, handler=replace_all, rule=rule, body=Tags, late=True),
        Route(method="POST", path=many, handler=add_some, rule=rule, body=Tags, status=201, late=True),
        Route(method="DELETE", path=many, handler=remove_all, rule=rule, status=204, late=True),
        Route(method="GET", path=single, handler=show, rule=read, status=204),
        Route(method="PUT", path=single, handler=add, rule=rule, status=201, late=True),
        Route(method="DELETE", path=single, handler=remove, rule=rule, status=204, late=True),
    ]


# --- routers' own verbs -----------------------------------------------------------------------------------------------


async def add_interface(request: Request, id: str) -> dict[str, Any]:
    return await request.write(routers.add_interface, id, request.body)


async def remove_interface(request: Request, id: str) -> dict[str, Any]:
    return await request.write(routers.remove_interface, id, request.body)


async def add_routes(request: Request, id: str) -> dict[str, Any]:
    return {"router": await request.write(_update, KINDS["routers"], routers.add_routes, id, request.body)}


async def remove_routes(request: Request, id: str) -> dict[str, Any]:
    return {"router": await request.write(_update, KINDS["routers"], routers.remove_routes, id, request.body)}


# --- quotas -----------------------------------------------------------------------------------------------------------


async def list_quotas(request: Request) -> dict[str, Any]:
    return {"quotas": await request.read(quotas.list_quotas)}


async def show_quota(request: Request, project_id: str) -> dict[str, Any]:
    return {"quota": await request.read(quotas.show, project_id)}


async def show_default_quota(request: Request, project_id: str) -> dict[str, Any]:
    return {"quota": quotas.DEFAULTS}


async def show_quota_details(request: Request, project_id: str) -> dict[str, Any]:
    return {"quota": await request.read(quotas.details, project_id)}


async def show_quota_project(request: Request) -> dict[str, Any]:
    return {"tenant": {"tenant_id": request.call.project_id, "project_id": request.call.project_id}}


async def update_quota(request: Request, project_id: str) -> dict[str, Any]:
    return {"quota": await request.write(quotas.update, project_id, request.body)}


async def delete_quota(request: Request, project_id: str) -> None:
    await request.write(quotas.delete, project_id)


# --- what the cloud says of itself ------------------------------------------------------------------------------------


async def versions(request: Request) -> dict[str, Any]:
    link = {"rel": "self", "href": f"{request.base_url}/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


async def resources(request: Request) -> dict[str, Any]:
    return {
        "resources": [
            {
                "name": kind.singular,
                "collection": kind.plural,
                "links": [{"rel": "self", "href": f"{request.base_url}/v2.0/{kind.plural.replace('_', '-')}"}],
            }
            for kind in KINDS.values()
        ]
    }


async def list_extensions(request: Request) -> dict[str, Any]:
    fields = request.query_values("fields")
    return {"extensions": [listing.select_fields(one, fields) for one in EXTENSIONS.values()]}


async def show_extension(request: Request, alias: str) -> dict[str, Any] | Response:
    if alias not in EXTENSIONS:
        raise availability.unknown_extension(alias)
    return {"extension": EXTENSIONS[alias]}


async def list_agents(request: Request) -> dict[str, Any]:
    return {"agents": await request.read(availability.agents, request.query)}


async def show_agent(request: Request, id: str) -> dict[str, Any]:
    return {"agent": await request.read(availability.agent, id)}


async def list_zones(request: Request) -> dict[str, Any]:
    return {"availability_zones": await request.read(availability.zones, request.query)}


async def list_service_providers(request: Request) -> dict[str, Any]:
    return {"service_providers": [{"service_type": "L3_ROUTER_NAT", "name": "ovn", "default": True}]}


async def list_ip_availability(request: Request) -> dict[str, Any]:
    return {"network_ip_availabilities": await request.read(availability.addresses, request.query)}


async def show_ip_availability(request: Request, id: str) -> dict[str, Any]:
    return {"network_ip_availability": await request.read(availability.addresses_of_network, id)}


async def show_topology(request: Request, project_id: str) -> dict[str, Any]:
    """The project's automatic network, made on the spot; with `fields=dry-run` only whether it could be."""
    if "dry-run" in request.query_values("fields"):
        await request.read(auto_topology.check)
        id = "dry-run=pass"
    else:
        id = (await request.write(auto_topology.ensure, project_id)).id
    return {"auto_allocated_topology": {"id": id, "project_id": project_id, "tenant_id": project_id}}


async def delete_topology(request: Request, project_id: str) -> None:
    await request.write(auto_topology.delete, project_id)


QuotaBody = dict[str, Any]

ROUTES = [
    Route(method="GET", path="/", handler=versions, rule=PUBLIC),
    Route(method="GET", path="/v2.0", handler=resources, rule=PUBLIC),
    *_collection("networks", bodies.NewNetwork, networks.create, bodies.NetworkChange, networks.update,
                 networks.delete),
    *_collection("subnets", bodies.NewSubnet, subnets.create, bodies.SubnetChange, subnets.update, subnets.delete),
    *_collection("subnetpools", bodies.NewSubnetpool, subnetpools.create, bodies.SubnetpoolChange, subnetpools.update,
                 subnetpools.delete),
    *_collection("ports", bodies.NewPort, ports.create, bodies.PortChange, ports.update, ports.delete),
    *_collection("routers", bodies.NewRouter, routers.create, bodies.RouterChange, routers.update, routers.delete),
    *_collection("floatingips", bodies.NewFloatingIp, floating_ips.create, bodies.FloatingIpChange,
                 floating_ips.update, floating_ips.delete),
    *_collection("security_groups", bodies.NewSecurityGroup, security_groups.create, bodies.SecurityGroupChange,
                 security_groups.update, security_groups.delete),
    *_collection("security_group_rules", bodies.NewSecurityGroupRule, security_groups.create_rule, None, None,
                 security_groups.delete_rule),
    Route(method="PUT", path="/v2.0/routers/{id}/add_router_interface", handler=add_interface,
          rule="add_router_interface", body=bodies.RouterInterface, late=True),
    Route(method="PUT", path="/v2.0/routers/{id}/remove_router_interface", handler=remove_interface,
          rule="remove_router_interface", body=bodies.RouterInterface, late=True),
    Route(method="PUT", path="/v2.0/routers/{id}/add_extraroutes", handler=add_routes, rule="add_extraroutes",
          body=bodies.ExtraRoutes, envelope="router", late=True),
    Route(method="PUT", path="/v2.0/routers/{id}/remove_extraroutes", handler=remove_routes,
          rule="remove_extraroutes", body=bodies.ExtraRoutes, envelope="router", late=True),
    Route(method="GET", path="/v2.0/quotas", handler=list_quotas, rule="get_quota", late=True),
    Route(method="GET", path="/v2.0/quotas/tenant", handler=show_quota_project, rule="get_quota"),
    Route(method="GET", path="/v2.0/quotas/project", handler=show_quota_project, rule="get_quota"),
    Route(method="GET", path="/v2.0/quotas/{project_id}", handler=show_quota, rule="get_quota", late=True),
    Route(method="GET", path="/v2.0/quotas/{project_id}/default", handler=show_default_quota, rule="get_quota"),
    Route(method="GET", path="/v2.0/quotas/{project_id}/details", handler=show_quota_details, rule="get_quota",
          late=True),
    Route(method="GET", path="/v2.0/quotas/{project_id}/details.json", handler=show_quota_details, rule="get_quota",
          late=True),
    Route(method="PUT", path="/v2.0/quotas/{project_id}", handler=update_quota, rule="update_quota", body=QuotaBody,
          envelope="quota", late=True),
    Route(method="DELETE", path="/v2.0/quotas/{project_id}", handler=delete_quota, rule="delete_quota", status=204,
          late=True),
    Route(method="GET", path="/v2.0/extensions", handler=list_extensions, rule="get_extension"),
    Route(method="GET", path="/v2.0/extensions/{alias}", handler=show_extension, rule="get_extension"),
    Route(method="GET", path="/v2.0/agents", handler=list_agents, rule="get_extension"),
    Route(method="GET", path="/v2.0/agents/{id}", handler=show_agent, rule="get_agent"),
    Route(method="GET", path="/v2.0/availability_zones", handler=list_zones, rule="get_availability_zone"),
    Route(method="GET", path="/v2.0/service-providers", handler=list_service_providers, rule="get_service_provider"),
    Route(method="GET", path="/v2.0/auto-allocated-topology/{project_id}", handler=show_topology,
          rule="get_auto_allocated_topology"),
    Route(method="DELETE", path="/v2.0/auto-allocated-topology/{project_id}", handler=delete_topology, status=204,
          rule="delete_auto_allocated_topology"),
    Route(method="GET", path="/v2.0/network-ip-availabilities", handler=list_ip_availability,
          rule="get_network_ip_availability"),
    Route(method="GET", path="/v2.0/network-ip-availabilities/{id}", handler=show_ip_availability,
          rule="get_network_ip_availability"),
]  # fmt: skip


def mount() -> Mount:
    """The service under its prefix."""
    return Mount(
        prefix="/network",
        service_type="network",
        routes=ROUTES,
        dialect=dialects.NEUTRON,
    )
