"""Floating IPs: an address of an external network that leads to a port's fixed IPv4 address through a router."""

from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import NotFound
from bivouac.core.store import Tx

from ..bodies import FloatingIpChange, NewFloatingIp
from ..records import FLOATING_IP, ROUTER_INTERFACE, FloatingIp, Network, Port, Router
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
    tell_server,
    touch,
)


def create(tx: Tx, call: Call, body: NewFloatingIp) -> FloatingIp:
    """A floating IP, led to a port or not. Raises NotFound, BadRequest, Forbidden, Conflict, OverQuota."""
    project_id = owner(call, project_of(body))
    policy_target = {"project_id": project_id, "tenant_id": project_id}
    call.enforce("create_floatingip", policy_target)
    if body.floating_ip_address is not UNSET:
        enforce_given(call, "create_floatingip", {"floating_ip_address": 1}, policy_target)
    quotas.claim(tx, project_id, "floatingip")
    network = get(tx, call, Network, body.floating_network_id)
    if not network.external:
        raise invalid(f"Network {network.id} is not a valid external network", "BadRequest")
    standard = fresh(call, project_id, body.description)
    port = ports.make_plain(tx, call, network, "", FLOATING_IP, standard["id"])
    wanted: list[dict[str, Any]] | None = None
    if body.floating_ip_address is not UNSET:
        wanted = [{"ip_address": body.floating_ip_address}]
    elif body.subnet_id not in (UNSET, None):
        wanted = [{"subnet_id": body.subnet_id}]
    taken = [one for one in addresses.claim(tx, port, wanted) if ":" not in one.address]
    if not taken:
        raise invalid(f"Network {network.id} does not contain any IPv4 subnet", "BadRequest")
    floating = tx.insert(
        FloatingIp(
            **standard, floating_network_id=network.id, floating_ip_address=taken[0].address,
            floating_port_id=port.id, **given(body, "dns_name", "dns_domain"),
        )
    )  # fmt: skip
    if body.port_id not in (UNSET, None):
        floating = _associate(tx, call, floating, body.port_id, body.fixed_ip_address)  # type: ignore[arg-type]
    elif body.fixed_ip_address not in (UNSET, None):
        raise invalid("fixed_ip_address cannot be specified without a port_id", "BadRequest")
    changed(tx)
    return floating


def update(tx: Tx, call: Call, id: str, body: FloatingIpChange, revision: int | None = None) -> FloatingIp:
    """Lead it elsewhere (or nowhere). Raises NotFound, BadRequest, Forbidden, Conflict."""
    floating = get(tx, call, FloatingIp, id)
    call.enforce("update_floatingip", target(floating))
    check_revision(revision, floating)
    if body.description is not UNSET:
        floating = touch(tx, call, floating, description=body.description or "")
    if body.port_id is not UNSET:
        if body.port_id is None:
            return disassociate(tx, call, floating)
        return _associate(tx, call, floating, body.port_id, body.fixed_ip_address)
    if body.fixed_ip_address not in (UNSET, None):
        if floating.port_id is None:
            raise invalid("fixed_ip_address cannot be specified without a port_id", "BadRequest")
        return _associate(tx, call, floating, floating.port_id, body.fixed_ip_address)
    if body.description is UNSET:
        # As Neutron has it: an update that names no port takes the association away.
        return disassociate(tx, call, floating)
    return floating


def delete(tx: Tx, call: Call, id: str) -> None:
    """Give the address back. Raises NotFound, Forbidden."""
    floating = get(tx, call, FloatingIp, id)
    call.enforce("delete_floatingip", target(floating))
    disassociate(tx, call, floating)
    port = tx.get(Port, floating.floating_port_id)
    tx.delete(floating)
    if port is not None:
        ports.remove(tx, port)
    changed(tx)


def disassociate(tx: Tx, call: Call, floating: FloatingIp) -> FloatingIp:
    """Lead it nowhere."""
    if floating.port_id is not None and (port := tx.get(Port, floating.port_id)):
        tell_server(tx, port)
    return touch(tx, call, floating, port_id=None, fixed_ip_address=None, router_id=None)


def _associate(tx: Tx, call: Call, floating: FloatingIp, port_id: str, fixed: Any) -> FloatingIp:
    port = get(tx, call, Port, port_id)
    if port.project_id != floating.project_id and not call.is_admin:
        raise invalid(f"Port {port_id} is associated with a different tenant than Floating IP {floating.id} and "
                      "therefore cannot be bound.", "BadRequest")  # fmt: skip
    held = [one for one in addresses_of(tx, [port_id])[port_id] if ":" not in one.address]
    if fixed in (UNSET, None):
        if not held:
            raise invalid(f"Cannot add floating IP to port {port_id} that has no fixed IPv4 addresses", "BadRequest")
        if len(held) > 1:
            raise invalid(f"Port {port_id} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address "
                          "when assigning a floating IP", "BadRequest")  # fmt: skip
        address = held[0]
    else:
        matches = [one for one in held if one.address == fixed]
        if not matches:
            raise invalid(f"Port {port_id} does not have fixed ip {fixed}", "BadRequest")
        address = matches[0]
    router_id = _router_between(tx, floating, address.subnet_id, port)
    other = tx.first(
        FloatingIp, "WHERE port_id = ? AND fixed_ip_address = ? AND floating_network_id = ? AND id <> ?",
        port_id, address.address, floating.floating_network_id, floating.id,
    )  # fmt: skip
    if other is not None:
        raise in_use(
            f"Cannot associate floating IP {floating.floating_ip_address} ({floating.id}) with port {port_id} using "
            f"fixed IP {address.address}, as that fixed IP already has a floating IP on external network "
            f"{floating.floating_network_id}.",
            "FloatingIPPortAlreadyAssociated",
        )
    if floating.port_id not in (None, port_id) and (before := tx.get(Port, floating.port_id)):
        tell_server(tx, before)
    tell_server(tx, port)
    return touch(tx, call, floating, port_id=port_id, fixed_ip_address=address.address, router_id=router_id)


def _router_between(tx: Tx, floating: FloatingIp, subnet_id: str, port: Port) -> str:
    """The router on the port's subnet whose gateway is on the floating network. Raises NotFound."""
    routers = tx.select(
        Router, "JOIN ports ON ports.device_id = routers.id JOIN addresses ON addresses.port_id = ports.id "
        "WHERE ports.device_owner = ? AND addresses.subnet_id = ? AND routers.gateway_network_id = ? "
        "ORDER BY addresses.number", ROUTER_INTERFACE, subnet_id, floating.floating_network_id,
    )  # fmt: skip
    if not routers:
        raise NotFound(
            f"External network {floating.floating_network_id} is not reachable from subnet {subnet_id}. Therefore, "
            f"cannot associate Port {port.id} with a Floating IP.",
            type="ExternalGatewayForFloatingIPNotFound",
        )
    return routers[0].id
