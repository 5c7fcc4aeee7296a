"""Routers: interfaces on subnets, an external gateway with or without source NAT, extra routes."""

import ipaddress
from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import Conflict, NotFound
from bivouac.core.store import Tx

from .. import addressing
from ..bodies import ExtraRoutes, GatewayInfo, NewRouter, RouterChange, RouterInterface
from ..records import ROUTER_GATEWAY, ROUTER_INTERFACE, Address, FloatingIp, Network, Port, Router, Subnet
from . import addresses, ports, quotas
from .standard import (
    addresses_of,
    changed,
    check_revision,
    enforce_given,
    fresh,
    get,
    given,
    in_use,
    invalid,
    owner,
    project_of,
    target,
    touch,
)

MOST_ROUTES = 30


def create(tx: Tx, call: Call, body: NewRouter) -> Router:
    """A router. Raises NotFound (network), BadRequest, Forbidden, Conflict, OverQuota."""
    project_id = owner(call, project_of(body))
    call.enforce("create_router", {"project_id": project_id, "tenant_id": project_id})
    quotas.claim(tx, project_id, "router")
    hints = body.availability_zone_hints if body.availability_zone_hints is not UNSET else []
    router = tx.insert(
        Router(
            **fresh(call, project_id, body.description), **given(body, "name", "admin_state_up"),
            availability_zone_hints=hints,
        )
    )  # fmt: skip
    if body.external_gateway_info not in (UNSET, None):
        router = _set_gateway(tx, call, router, body.external_gateway_info, "create_router")  # type: ignore[arg-type]
    changed(tx)
    return router


def update(tx: Tx, call: Call, id: str, body: RouterChange, revision: int | None = None) -> Router:
    """Change a router. Raises NotFound, BadRequest, Forbidden, Conflict."""
    router = get(tx, call, Router, id)
    call.enforce("update_router", target(router))
    check_revision(revision, router)
    fields: dict[str, Any] = given(body, "name", "admin_state_up")
    if body.description is not UNSET:
        fields["description"] = body.description or ""
    if body.external_gateway_info is not UNSET:
        info = body.external_gateway_info or GatewayInfo()
        router = _set_gateway(tx, call, router, info, "update_router")
    if body.routes is not UNSET:
        fields["routes"] = _checked_routes(tx, router, body.routes or [])
    return touch(tx, call, router, **fields)


def delete(tx: Tx, call: Call, id: str) -> None:
    """Remove a router with its gateway. Raises NotFound, Forbidden, Conflict (interfaces are left)."""
    router = get(tx, call, Router, id)
    call.enforce("delete_router", target(router))
    if tx.count(Port, "WHERE device_id = ? AND device_owner = ?", id, ROUTER_INTERFACE):
        raise in_use(f"Router {id} still has ports", "RouterInUse")
    if router.gateway_port_id is not None:
        router = _clear_gateway(tx, call, router)
    tx.delete(router)
    changed(tx)


# --- interfaces -------------------------------------------------------------------------------------------------------


def add_interface(tx: Tx, call: Call, id: str, body: RouterInterface) -> dict[str, Any]:
    """Connect a subnet, or the subnets of a port. Raises NotFound, BadRequest, Forbidden, Conflict."""
    router = get(tx, call, Router, id)
    call.enforce("add_router_interface", target(router))
    if (body.subnet_id is UNSET) == (body.port_id is UNSET):
        raise invalid("Either subnet_id or port_id must be specified, not both", "BadRequest")
    if body.port_id is not UNSET:
        port, subnets = _take_port(tx, call, router, body.port_id)
    else:
        port, subnets = _interface_on_subnet(tx, call, router, body.subnet_id)  # type: ignore[arg-type]
    touch(tx, call, router, updated_at=call.now)
    changed(tx)
    return _interface_view(router, port, subnets)


def remove_interface(tx: Tx, call: Call, id: str, body: RouterInterface) -> dict[str, Any]:
    """Disconnect a subnet, or a port. Raises NotFound, BadRequest, Forbidden, Conflict."""
    router = get(tx, call, Router, id)
    call.enforce("remove_router_interface", target(router))
    interfaces = _interfaces(tx, router)
    held = addresses_of(tx, [one.id for one in interfaces])
    if body.port_id is not UNSET:
        port = next((one for one in interfaces if one.id == body.port_id), None)
        if port is None:
            raise NotFound(f"Router {id} does not have an interface with id {body.port_id}",
                           type="RouterInterfaceNotFound")  # fmt: skip
        subnet_ids = [one.subnet_id for one in held[port.id]]
        if body.subnet_id is not UNSET and body.subnet_id not in subnet_ids:
            raise Conflict(f"Subnet {body.subnet_id} is not on port {body.port_id}.", type="SubnetMismatchForPort")
    elif body.subnet_id is not UNSET:
        get(tx, call, Subnet, body.subnet_id)
        port = next((one for one in interfaces if any(a.subnet_id == body.subnet_id for a in held[one.id])), None)
        if port is None:
            raise NotFound(f"Router {id} has no interface on subnet {body.subnet_id}",
                           type="RouterInterfaceNotFoundForSubnet")  # fmt: skip
        subnet_ids = [body.subnet_id]
    else:
        raise invalid("Either subnet_id or port_id must be specified", "BadRequest")
    subnets = [subnet for one in subnet_ids if (subnet := tx.get(Subnet, one))]
    _refuse_needed_interface(tx, router, subnets)
    if len(held[port.id]) > len(subnet_ids):
        tx.delete_where(Address, "port_id = ? AND subnet_id = ?", port.id, subnet_ids[0])
    else:
        ports.remove(tx, port)
    touch(tx, call, router, updated_at=call.now)
    changed(tx)
    return _interface_view(router, port, subnets)


def _interface_view(router: Router, port: Port, subnets: list[Subnet]) -> dict[str, Any]:
    return {
        "id": router.id, "tenant_id": router.project_id, "project_id": router.project_id, "port_id": port.id,
        "network_id": port.network_id, "subnet_id": subnets[0].id if subnets else None,
        "subnet_ids": [one.id for one in subnets], "tags": [],
    }  # fmt: skip


def _interfaces(tx: Tx, router: Router) -> list[Port]:
    return tx.select(Port, "WHERE device_id = ? AND device_owner = ? ORDER BY id", router.id, ROUTER_INTERFACE)


def connected(tx: Tx, router: Router, with_gateway: bool = False) -> list[tuple[Subnet, Address]]:
    """Subnets that the router has an address on."""
    owners = (ROUTER_INTERFACE, ROUTER_GATEWAY if with_gateway else ROUTER_INTERFACE)
    rows = tx.select(
        Address, "JOIN ports ON ports.id = addresses.port_id WHERE ports.device_id = ? "
        "AND ports.device_owner IN (?, ?) ORDER BY addresses.number", router.id, *owners,
    )  # fmt: skip
    return [(subnet, row) for row in rows if (subnet := tx.get(Subnet, row.subnet_id))]


def _take_port(tx: Tx, call: Call, router: Router, port_id: str) -> tuple[Port, list[Subnet]]:
    port = get(tx, call, Port, port_id)
    if port.device_id or port.device_owner.startswith("network:"):
        raise in_use(
            f"Unable to complete operation on port {port_id} for network {port.network_id}. Port already has an "
            f"attached device {port.device_id}.",
            "PortInUse",
        )
    held = addresses_of(tx, [port_id])[port_id]
    if not held:
        raise invalid("Router port must have at least one fixed IP", "BadRequest")
    subnets = [subnet for one in held if (subnet := tx.get(Subnet, one.subnet_id))]
    if sum(one.ip_version == 4 for one in subnets) > 1:
        raise invalid("Cannot have multiple IPv4 subnets on router port", "BadRequest")
    for subnet in subnets:
        _refuse_overlap(tx, router, subnet)
    port = touch(
        tx, call, port, device_id=router.id, device_owner=ROUTER_INTERFACE, port_security_enabled=False,
        security_groups=[], allowed_address_pairs=[],
    )  # fmt: skip
    tx.execute("DELETE FROM port_security_groups WHERE port_id = ?", port.id)
    return port, subnets


def _interface_on_subnet(tx: Tx, call: Call, router: Router, subnet_id: str) -> tuple[Port, list[Subnet]]:
    subnet = get(tx, call, Subnet, subnet_id)
    network = tx.get(Network, subnet.network_id)
    assert network is not None
    if not call.is_admin and network.project_id != call.project_id and not network.shared:
        raise NotFound(f"Subnet {subnet_id} could not be found.", type="SubnetNotFound")
    if subnet.gateway_ip is None:
        raise invalid("Subnet for router interface must have a gateway IP", "BadRequest")
    _refuse_overlap(tx, router, subnet)
    wanted = {"subnet_id": subnet.id, "ip_address": subnet.gateway_ip}
    if subnet.ip_version == 6:
        # One interface carries all IPv6 subnets of a network: a network has one router advertisement.
        for port in _interfaces(tx, router):
            held = addresses_of(tx, [port.id])[port.id]
            if port.network_id == network.id and held and all(":" in one.address for one in held):
                position = max(one.position for one in held) + 1
                taken = addresses.claim(tx, port, [wanted], [subnet])[0]
                tx.update(taken, position=position)
                return port, [subnet]
    port = ports.make_plain(tx, call, network, router.project_id, ROUTER_INTERFACE, router.id)
    addresses.claim(tx, port, [wanted], [subnet])
    return port, [subnet]


def _refuse_overlap(tx: Tx, router: Router, subnet: Subnet) -> None:
    """A router cannot tell two equal ranges apart. Raises BadRequest."""
    cidr = ipaddress.ip_network(subnet.cidr)
    for other, _ in connected(tx, router, with_gateway=True):
        if other.id == subnet.id:
            raise invalid(f"Router already has a port on subnet {subnet.id}", "BadRequest")
        taken = ipaddress.ip_network(other.cidr)
        if taken.version == cidr.version and taken.overlaps(cidr):  # type: ignore[arg-type]
            raise invalid(
                f"Cidr {cidr} of subnet {subnet.id} overlaps with cidr {taken} of subnet {other.id}", "BadRequest"
            )


def _refuse_needed_interface(tx: Tx, router: Router, subnets: list[Subnet]) -> None:
    """An interface that floating IPs or routes go through stays. Raises Conflict."""
    for subnet in subnets:
        used = tx.value(
            "SELECT 1 FROM floating_ips JOIN addresses ON addresses.port_id = floating_ips.port_id AND "
            "addresses.address = floating_ips.fixed_ip_address WHERE floating_ips.router_id = ? AND "
            "addresses.subnet_id = ? LIMIT 1", router.id, subnet.id,
        )  # fmt: skip
        if used:
            raise in_use(
                f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, as it is required "
                "by one or more floating IPs.",
                "RouterInterfaceInUseByFloatingIP",
            )
        for route in router.routes:
            if ipaddress.ip_address(route["nexthop"]) in ipaddress.ip_network(subnet.cidr):
                raise in_use(
                    f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, as it is "
                    "required by one or more routes.",
                    "RouterInterfaceInUseByRoute",
                )


# --- gateway ----------------------------------------------------------------------------------------------------------


def _set_gateway(tx: Tx, call: Call, router: Router, info: GatewayInfo, rule: str) -> Router:
    """Set, change or clear the external gateway."""
    restricted = {
        f"external_gateway_info:{name}": 1 for name in ("enable_snat", "external_fixed_ips")
        if getattr(info, name) is not UNSET
    }  # fmt: skip
    enforce_given(call, rule, restricted, target(router))
    network_id = info.network_id if info.network_id is not UNSET else None
    if network_id is None:
        if restricted:
            raise invalid("Invalid input for external_gateway_info. Reason: network_id is required.", "HTTPBadRequest")
        return _clear_gateway(tx, call, router) if router.gateway_port_id is not None else router
    network = get(tx, call, Network, network_id)
    if not network.external:
        raise invalid(f"Network {network_id} is not an external network", "BadRequest")
    snat = info.enable_snat if info.enable_snat is not UNSET else True
    wanted = info.external_fixed_ips if info.external_fixed_ips is not UNSET else None
    if router.gateway_network_id == network_id and router.gateway_port_id is not None:
        if wanted:
            port = tx.get(Port, router.gateway_port_id)
            assert port is not None
            addresses.replace(tx, port, wanted)
            changed(tx)
        return touch(tx, call, router, enable_snat=snat)
    subnets = tx.select(Subnet, "WHERE network_id = ? ORDER BY created_at, id", network_id)
    _refuse_gateway_overlap(tx, router, subnets)
    if router.gateway_port_id is not None:
        router = _clear_gateway(tx, call, router)
    port = ports.make_plain(tx, call, network, "", ROUTER_GATEWAY, router.id)
    addresses.claim(tx, port, wanted or None, subnets)
    return touch(tx, call, router, gateway_network_id=network_id, gateway_port_id=port.id, enable_snat=snat)


def _clear_gateway(tx: Tx, call: Call, router: Router) -> Router:
    if tx.count(FloatingIp, "WHERE router_id = ?", router.id):
        raise in_use(
            f"Gateway cannot be updated for router {router.id}, since a gateway to external network "
            f"{router.gateway_network_id} is required by one or more floating IPs.",
            "RouterExternalGatewayInUseByFloatingIp",
        )
    port = tx.get(Port, router.gateway_port_id)
    router = touch(tx, call, router, gateway_network_id=None, gateway_port_id=None, enable_snat=True)
    if port is not None:
        ports.remove(tx, port)
    return router


def _refuse_gateway_overlap(tx: Tx, router: Router, external: list[Subnet]) -> None:
    for subnet, _ in connected(tx, router):
        for other in external:
            one, two = ipaddress.ip_network(subnet.cidr), ipaddress.ip_network(other.cidr)
            if one.version == two.version and one.overlaps(two):  # type: ignore[arg-type]
                raise invalid(f"Cidr {two} of subnet {other.id} overlaps with cidr {one} of subnet {subnet.id}",
                              "BadRequest")  # fmt: skip


# --- routes -----------------------------------------------------------------------------------------------------------


def add_routes(tx: Tx, call: Call, id: str, body: ExtraRoutes) -> Router:
    """Add routes that are not there yet. Raises NotFound, BadRequest, Forbidden."""
    router = get(tx, call, Router, id)
    call.enforce("add_extraroutes", target(router))
    more = _checked_routes(tx, router, body.routes)
    return touch(tx, call, router, routes=router.routes + [one for one in more if one not in router.routes])


def remove_routes(tx: Tx, call: Call, id: str, body: ExtraRoutes) -> Router:
    """Remove routes; one that is not there is fine. Raises NotFound, BadRequest, Forbidden."""
    router = get(tx, call, Router, id)
    call.enforce("remove_extraroutes", target(router))
    gone = [(one.destination, one.nexthop) for one in body.routes]
    left = [one for one in router.routes if (one["destination"], one["nexthop"]) not in gone]
    return touch(tx, call, router, routes=left)


def _checked_routes(tx: Tx, router: Router, wanted: list[Any]) -> list[dict[str, str]]:
    """Routes whose next hop is on a connected subnet and is not the router itself. Raises BadRequest."""
    if len(wanted) > MOST_ROUTES:
        raise invalid(f"Unable to complete operation for {router.id}. The number of routes exceeds the maximum "
                      f"{MOST_ROUTES}.", "RoutesExhausted")  # fmt: skip
    reachable = connected(tx, router, with_gateway=True)
    own = {address.address for _, address in reachable}
    found: list[dict[str, str]] = []
    for one in wanted:
        destination = addressing.parse_cidr(one.destination, "routes")
        nexthop = addressing.parse_address(one.nexthop, "routes")
        reason = ""
        if destination.version != nexthop.version:
            reason = "the destination and the nexthop are of different IP versions"
        elif not any(nexthop in ipaddress.ip_network(subnet.cidr) for subnet, _ in reachable):
            reason = "the nexthop is not connected with router"
        elif str(nexthop) in own:
            reason = "the nexthop is used by router"
        if reason:
            raise invalid(f"Invalid format for routes: {{'destination': '{destination}', 'nexthop': '{nexthop}'}}, "
                          f"{reason}", "InvalidRoutes")  # fmt: skip
        route = {"destination": str(destination), "nexthop": str(nexthop)}
        if route in found:
            raise invalid("Invalid input for routes. Reason: Duplicate items in the list.", "HTTPBadRequest")
        found.append(route)
    return found
