"""What Compute passed on to the network until 2.35: `/os-security-groups`, `/os-floating-ips`, `/os-networks`.

Security groups of a server are still shown in every microversion.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import Request, Response
from bivouac.network.records import Network, SecurityGroup, SecurityGroupRule

from ..service import proxied_network as service
from ..service.proxied_network import FloatingView, GroupView
from .fields import Body, flag, operation, whole_number

LAST = (2, 35)
GroupText = Annotated[str, Meta(max_length=255)]


class NewGroup(Body):
    name: GroupText
    description: GroupText | None = None


class NewRule(Body):
    parent_group_id: str | int | None = None
    ip_protocol: str | int | None = None
    from_port: int | str | None = None
    to_port: int | str | None = None
    cidr: str | None = None
    group_id: str | int | None = None


class NewFloatingIp(Body):
    pool: str | None = None


# --- security groups -----------------------------------------------------------------------------------------------


def _rule(rule: SecurityGroupRule, peer: SecurityGroup | None) -> dict[str, Any]:
    low, high = rule.port_range_min, rule.port_range_max
    if low is None and rule.protocol is not None:
        low, high = (1, 65535) if rule.protocol in ("tcp", "udp") else (-1, -1)
    shape: dict[str, Any] = {
        "id": rule.id,
        "parent_group_id": rule.security_group_id,
        "ip_protocol": rule.protocol,
        "from_port": low,
        "to_port": high,
        "group": {},
        "ip_range": {},
    }
    if peer is not None:
        shape["group"] = {"name": peer.name, "tenant_id": peer.project_id}
    elif rule.remote_group_id is None:
        shape["ip_range"] = {"cidr": rule.remote_ip_prefix or service.ANY[6 if rule.ethertype == "IPv6" else 4]}
    return shape


def _group(view: GroupView) -> dict[str, Any]:
    group = view.group
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description or "",
        "tenant_id": group.project_id,
        "rules": [_rule(rule, view.peers.get(rule.remote_group_id or "")) for rule in view.rules],
    }


async def list_groups(request: Request) -> dict[str, Any]:
    everybody = request.call.is_admin and bool(flag("all_tenants", request.query_value("all_tenants") or "0"))
    await request.write(service.ensure_default)
    shapes = [_group(view) for view in await request.read(service.list_groups, everybody)]
    offset = whole_number("offset", request.query_value("offset") or "0")
    limit = whole_number("limit", request.query_value("limit") or "1000")
    return {"security_groups": shapes[offset : offset + limit]}


async def show_group(request: Request, id: str) -> dict[str, Any]:
    return {"security_group": _group(await request.read(service.get_group, id))}


def _named(body: NewGroup) -> tuple[str, str]:
    if not body.name.strip():
        raise BadRequest("Security group name should be at least 1 character long.")
    return body.name, body.description or ""


async def create_group(request: Request) -> dict[str, Any]:
    return {"security_group": _group(await request.write(service.create_group, *_named(request.body)))}


async def update_group(request: Request, id: str) -> dict[str, Any]:
    return {"security_group": _group(await request.write(service.update_group, id, *_named(request.body)))}


async def delete_group(request: Request, id: str) -> Response:
    await request.write(service.delete_group, id)
    return Response(None, 202)


async def delete_no_group(request: Request) -> None:
    raise NotFound("The resource could not be found.")


def _port(name: str, value: int | str | None) -> int | None:
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except ValueError as error:
        raise BadRequest(f"Invalid input for {name}: '{value}' is not a number.") from error
    if not -1 <= number <= 65535:
        raise BadRequest(f"Invalid port range: {name} is {number}.")
    return number


async def create_rule(request: Request) -> dict[str, Any]:
    new: NewRule = request.body
    if new.parent_group_id is None:
        raise BadRequest("Security group id is None: it wants parent_group_id.")
    ports = _port("from_port", new.from_port), _port("to_port", new.to_port)
    protocol = None if new.ip_protocol is None else str(new.ip_protocol)
    peer = None if new.group_id is None else str(new.group_id)
    made = await request.write(service.create_rule, str(new.parent_group_id), protocol, *ports, new.cidr, peer)
    return {"security_group_rule": _rule(*made)}


async def delete_rule(request: Request, id: str) -> Response:
    await request.write(service.delete_rule, id)
    return Response(None, 202)


async def list_server_groups(request: Request, server_id: str) -> dict[str, Any]:
    return {"security_groups": [_group(view) for view in await request.read(service.groups_of_server, server_id)]}


# --- floating IPs --------------------------------------------------------------------------------------------------


def _floating(view: FloatingView) -> dict[str, Any]:
    floating = view.floating
    return {
        "id": floating.id,
        "ip": floating.floating_ip_address,
        "pool": view.pool,
        "fixed_ip": floating.fixed_ip_address,
        "instance_id": view.server_id,
    }


async def list_floating(request: Request) -> dict[str, Any]:
    return {"floating_ips": [_floating(view) for view in await request.read(service.list_floating)]}


async def show_floating(request: Request, id: str) -> dict[str, Any]:
    return {"floating_ip": _floating(await request.read(service.get_floating, id))}


async def create_floating(request: Request) -> dict[str, Any]:
    pool = request.body.pool if request.body is not None else None
    return {"floating_ip": _floating(await request.write(service.create_floating, pool))}


async def delete_floating(request: Request, id: str) -> Response:
    await request.write(service.delete_floating, id)
    return Response(None, 202)


async def list_pools(request: Request) -> dict[str, Any]:
    return {"floating_ip_pools": [{"name": name} for name in await request.read(service.pools)]}


class AddFloatingIp(Body):
    address: str
    fixed_address: str | UnsetType = UNSET


class RemoveFloatingIp(Body):
    address: str


class AddFixedIp(Body):
    networkId: str


class RemoveFixedIp(Body):
    address: str


async def add_floating(request: Request, server_id: str, body: AddFloatingIp) -> Response:
    fixed = None if body.fixed_address is UNSET else body.fixed_address
    await request.write(service.add_floating, server_id, body.address, fixed)
    return Response(None, 202)


async def remove_floating(request: Request, server_id: str, body: RemoveFloatingIp) -> Response:
    await request.write(service.remove_floating, server_id, body.address)
    return Response(None, 202)


# --- networks ------------------------------------------------------------------------------------------------------

UNKNOWN = (
    "bridge", "vpn_public_port", "dhcp_start", "bridge_interface", "updated_at", "cidr_v6", "deleted_at", "gateway",
    "rxtx_base", "priority", "vpn_private_address", "deleted", "broadcast", "netmask", "injected", "cidr",
    "vpn_public_address", "multi_host", "dns2", "created_at", "gateway_v6", "netmask_v6", "mtu", "dhcp_server",
    "enable_dhcp", "share_address", "vlan", "host", "project_id", "dns1",
)  # fmt: skip
"""Keys of nova-network that a network of Neutron never filled."""


def _network(row: Network) -> dict[str, Any]:
    return {"id": row.id, "label": row.name, **dict.fromkeys(UNKNOWN)}


async def list_networks(request: Request) -> dict[str, Any]:
    return {"networks": [_network(row) for row in await request.read(service.list_networks)]}


async def show_network(request: Request, id: str) -> dict[str, Any]:
    return {"network": _network(await request.read(service.get_network, id))}


async def list_tenant_networks(request: Request) -> dict[str, Any]:
    rows = await request.read(service.list_networks)
    return {"networks": [{"id": row.id, "cidr": "None", "label": row.name} for row in rows]}


async def show_tenant_network(request: Request, id: str) -> dict[str, Any]:
    row = await request.read(service.get_network, id)
    return {"network": {"id": row.id, "cidr": "None", "label": row.name}}


_P = "os_compute_api:"
_G, _R, _F = "/os-security-groups", "/os-security-group-rules", "/os-floating-ips"
ROUTES = [
    operation("GET", _G, list_groups, _P + "os-security-groups:get", until=LAST),
    operation("POST", _G, create_group, _P + "os-security-groups:create", body=NewGroup, envelope="security_group",
              until=LAST),
    operation("DELETE", _G, delete_no_group, _P + "os-security-groups:delete", status=202, until=LAST),
    operation("GET", _G + "/{id}", show_group, _P + "os-security-groups:show", until=LAST),
    operation("PUT", _G + "/{id}", update_group, _P + "os-security-groups:update", body=NewGroup,
              envelope="security_group", until=LAST),
    operation("DELETE", _G + "/{id}", delete_group, _P + "os-security-groups:delete", status=202, until=LAST),
    operation("POST", _R, create_rule, _P + "os-security-groups:rule:create", body=NewRule,
              envelope="security_group_rule", until=LAST),
    operation("DELETE", _R + "/{id}", delete_rule, _P + "os-security-groups:rule:delete", status=202, until=LAST),
    operation("GET", "/servers/{server_id}/os-security-groups", list_server_groups, _P + "os-security-groups:list"),
    operation("GET", _F, list_floating, _P + "os-floating-ips:list", until=LAST),
    operation("POST", _F, create_floating, _P + "os-floating-ips:create", body=NewFloatingIp, optional_body=True,
              until=LAST),
    operation("GET", _F + "/{id}", show_floating, _P + "os-floating-ips:show", until=LAST),
    operation("DELETE", _F + "/{id}", delete_floating, _P + "os-floating-ips:delete", status=202, until=LAST),
    operation("GET", "/os-floating-ip-pools", list_pools, _P + "os-floating-ip-pools", until=LAST),
    operation("GET", "/os-networks", list_networks, _P + "os-networks:list", until=LAST),
    operation("GET", "/os-networks/{id}", show_network, _P + "os-networks:show", until=LAST),
    operation("GET", "/os-tenant-networks", list_tenant_networks, _P + "os-tenant-networks:list", until=LAST),
    operation("GET", "/os-tenant-networks/{id}", show_tenant_network, _P + "os-tenant-networks:show", until=LAST),
]  # fmt: skip
