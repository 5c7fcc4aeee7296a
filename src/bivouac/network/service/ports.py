"""Ports: a place on a network with its MAC address, fixed addresses, security groups and binding."""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import Conflict
from bivouac.core.store import Duplicate, Tx

from .. import addressing
from ..bodies import AddressPair, ExtraDhcpOption, NewPort, PortChange
from ..records import FLOATING_IP, ROUTER_OWNERS, Address, FloatingIp, Network, Port
from . import addresses, quotas, security_groups
from .standard import (
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
    set_port_groups,
    target,
    tell_server,
    touch,
)

MAC_ATTEMPTS = 16
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
MOST_PAIRS = 10
VNIC_TYPES = ("normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic")
_ENFORCED = {
    "mac_address": "mac_address", "port_security_enabled": "port_security_enabled",
    "allowed_address_pairs": "allowed_address_pairs", "binding_host": "binding:host_id",
    "binding_profile": "binding:profile",
}  # fmt: skip


def create(tx: Tx, call: Call, body: NewPort) -> Port:
    """A port. Raises NotFound (network), BadRequest, Forbidden, Conflict, OverQuota."""
    network = get(tx, call, Network, body.network_id)
    project_id = owner(call, project_of(body))
    policy_target = {
        "project_id": project_id, "tenant_id": project_id, "network_project_id": network.project_id,
    }  # fmt: skip
    call.enforce("create_port", policy_target)
    _enforce_attributes(call, "create_port", body, policy_target)
    quotas.claim(tx, project_id, "port")
    device_owner = body.device_owner if body.device_owner is not UNSET else ""
    wanted = None if body.fixed_ips in (UNSET, None) else body.fixed_ips
    groups = None if body.security_groups is UNSET else body.security_groups or []
    port_security = (
        body.port_security_enabled if body.port_security_enabled is not UNSET else network.port_security_enabled
    )
    if device_owner.startswith("network:"):
        port_security = port_security and body.port_security_enabled is True
    pairs = _pairs([] if body.allowed_address_pairs in (UNSET, None) else body.allowed_address_pairs)  # type: ignore[arg-type]
    if not port_security and (groups or pairs):
        raise _security_off(bool(groups))
    if groups is None:
        groups = [security_groups.default_group(tx, call, project_id).id] if port_security else []
    else:
        security_groups.check_visible(tx, call, groups, project_id)
    if body.dns_name is not UNSET:
        check_dns_name(body.dns_name)
    port = Port(
        **fresh(call, project_id, body.description),
        network_id=network.id,
        mac_address=_mac(tx, network.id, body.mac_address),
        device_owner=device_owner,
        port_security_enabled=port_security,
        security_groups=sorted(set(groups)),
        allowed_address_pairs=pairs,
        extra_dhcp_opts=_options([], body.extra_dhcp_opts),
        binding_host=body.binding_host or "" if body.binding_host is not UNSET else "",
        binding_profile=body.binding_profile or {} if body.binding_profile is not UNSET else {},
        binding_vnic_type=_vnic_type(body.binding_vnic_type),
        **given(body, "name", "admin_state_up", "device_id", "dns_name"),
    )
    return insert(tx, port, wanted)


def make_plain(
    tx: Tx, call: Call, network: Network, project_id: str, device_owner: str, device_id: str, name: str = ""
) -> Port:
    """A port of the cloud's own (router, floating IP, metadata): no security group, no quota, no address yet."""
    port = Port(
        **fresh(call, project_id), network_id=network.id, mac_address=_mac(tx, network.id, UNSET), name=name,
        device_owner=device_owner, device_id=device_id, port_security_enabled=False,
    )  # fmt: skip
    return insert(tx, port, [])


def draft(tx: Tx, call: Call, network: Network, project_id: str, groups: list[str]) -> Port:
    """A port not yet written, with a free MAC address and the network's port security."""
    return Port(
        **fresh(call, project_id), network_id=network.id, mac_address=_mac(tx, network.id, UNSET),
        port_security_enabled=network.port_security_enabled, security_groups=groups,
    )  # fmt: skip


def insert(tx: Tx, port: Port, fixed_ips: Sequence[dict[str, Any]] | None) -> Port:
    """Write a finished port with its addresses and groups."""
    try:
        tx.insert(port)
    except Duplicate as error:
        raise _mac_taken(port.network_id, port.mac_address) from error
    addresses.claim(tx, port, fixed_ips)
    set_port_groups(tx, port.id, port.security_groups)
    changed(tx)
    return port


def update(tx: Tx, call: Call, id: str, body: PortChange, revision: int | None = None) -> Port:
    """Change a port. Raises NotFound, BadRequest, Forbidden, Conflict."""
    port = get(tx, call, Port, id)
    network = tx.get(Network, port.network_id)
    policy_target = target(port, network_project_id=network.project_id if network else None)
    call.enforce("update_port", policy_target)
    _enforce_attributes(call, "update_port", body, policy_target)
    check_revision(revision, port)
    fields = given(body, "name", "admin_state_up", "device_id", "device_owner", "dns_name", "port_security_enabled")
    if body.description is not UNSET:
        fields["description"] = body.description or ""
    if body.binding_host is not UNSET:
        fields["binding_host"] = body.binding_host or ""
    if body.binding_profile is not UNSET:
        fields["binding_profile"] = body.binding_profile or {}
    if body.dns_name is not UNSET:
        check_dns_name(body.dns_name)
    if body.binding_vnic_type is not UNSET:
        fields["binding_vnic_type"] = _vnic_type(body.binding_vnic_type)
    if body.mac_address is not UNSET:
        fields["mac_address"] = _moved_mac(tx, port, body.mac_address)
    if body.allowed_address_pairs is not UNSET:
        fields["allowed_address_pairs"] = _pairs(body.allowed_address_pairs or [])
    if body.extra_dhcp_opts is not UNSET:
        fields["extra_dhcp_opts"] = _options(port.extra_dhcp_opts, body.extra_dhcp_opts)
    if body.security_groups is not UNSET:
        groups = sorted(set(body.security_groups or []))
        security_groups.check_visible(tx, call, groups, port.project_id)
        fields["security_groups"] = groups
    _check_security(port, fields)
    if "device_owner" in fields and port.device_owner in ROUTER_OWNERS and fields["device_owner"] != port.device_owner:
        raise _owned_by_cloud(port)
    fixed_moved = body.fixed_ips is not UNSET and _replace_addresses(tx, port, body.fixed_ips or [])
    moved = touch(tx, call, port, **fields)
    if fixed_moved and moved is port:
        moved = tx.update(port, revision_number=port.revision_number + 1, updated_at=call.now)
        changed(tx)
    if "security_groups" in fields:
        set_port_groups(tx, id, fields["security_groups"])
    if moved is not port:
        tell_server(tx, port)
        tell_server(tx, moved)
    return moved


def delete(tx: Tx, call: Call, id: str) -> None:
    """Remove a port. Raises NotFound, Forbidden, Conflict (it belongs to a router or a floating IP)."""
    port = get(tx, call, Port, id)
    network = tx.get(Network, port.network_id)
    call.enforce("delete_port", target(port, network_project_id=network.project_id if network else None))
    if port.device_owner in (*ROUTER_OWNERS, FLOATING_IP):
        raise _owned_by_cloud(port)
    remove(tx, port)
    tell_server(tx, port)


def remove(tx: Tx, port: Port) -> None:
    """Take a port and all that hangs on it away; floating IPs that led to it stay, unassociated."""
    for floating in tx.select(FloatingIp, "WHERE port_id = ?", port.id):
        tx.update(floating, port_id=None, fixed_ip_address=None, router_id=None,
                  revision_number=floating.revision_number + 1)  # fmt: skip
    addresses.release(tx, port.id)
    set_port_groups(tx, port.id, [])
    tx.delete(port)
    changed(tx)


def _replace_addresses(tx: Tx, port: Port, wanted: list[dict[str, Any]]) -> bool:
    before = [(row.subnet_id, row.address) for row in
              tx.select(Address, "WHERE port_id = ? ORDER BY position, number", port.id)]  # fmt: skip
    after = [(row.subnet_id, row.address) for row in addresses.replace(tx, port, wanted)]
    kept = {address for _, address in after}
    for floating in tx.select(FloatingIp, "WHERE port_id = ?", port.id):
        if floating.fixed_ip_address not in kept:
            tx.update(floating, port_id=None, fixed_ip_address=None, router_id=None)
    return before != after


def _enforce_attributes(call: Call, rule: str, body: NewPort | PortChange, policy_target: dict[str, Any]) -> None:
    sent = {wire for name, wire in _ENFORCED.items() if getattr(body, name) not in (UNSET, None)}
    if body.device_owner is not UNSET and body.device_owner.startswith("network:"):
        sent.add("device_owner")
    if body.fixed_ips not in (UNSET, None) and any("ip_address" in one for one in body.fixed_ips):  # type: ignore[union-attr]
        sent.add("fixed_ips:ip_address")
    enforce_given(call, rule, dict.fromkeys(sent), policy_target)


def _check_security(port: Port, fields: dict[str, Any]) -> None:
    """Without port security there are neither groups nor pairs. Raises Conflict."""
    enabled = fields.get("port_security_enabled", port.port_security_enabled)
    groups = fields.get("security_groups", port.security_groups)
    pairs = fields.get("allowed_address_pairs", port.allowed_address_pairs)
    if not enabled and (groups or pairs):
        raise _security_off(bool(groups))


def _security_off(groups: bool) -> Conflict:
    if groups:
        return in_use("Port has security group associated. Cannot disable port security or IP address until security "
                      "group is removed.", "PortSecurityPortHasSecurityGroup")  # fmt: skip
    return in_use("Port Security must be enabled in order to have allowed address pairs on a port.",
                  "AddressPairAndPortSecurityRequired")  # fmt: skip


def _mac(tx: Tx, network_id: str, wanted: Any) -> str:
    if wanted is not UNSET and wanted:
        mac = addressing.parse_mac(wanted)
        if tx.value("SELECT 1 FROM ports WHERE network_id = ? AND mac_address = ?", network_id, mac):
            raise _mac_taken(network_id, mac)
        return mac
    for _ in range(MAC_ATTEMPTS):
        mac = addressing.new_mac()
        if not tx.value("SELECT 1 FROM ports WHERE network_id = ? AND mac_address = ?", network_id, mac):
            return mac
    raise in_use(f"Unable to generate unique mac on network {network_id}.", "MacAddressGenerationFailure")


def _moved_mac(tx: Tx, port: Port, wanted: str) -> str:
    mac = addressing.parse_mac(wanted)
    if mac == port.mac_address:
        return mac
    if port.binding_host:
        raise in_use(f"Unable to complete operation on port {port.id}, port is already bound, port type: ovs, old_mac "
                     f"{port.mac_address}, new_mac {mac}.", "PortBound")  # fmt: skip
    return _mac(tx, port.network_id, mac)


def _mac_taken(network_id: str, mac: str) -> Conflict:
    return in_use(f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
                  "MacAddressInUse")  # fmt: skip


def _owned_by_cloud(port: Port) -> Conflict:
    return in_use(
        f"Port {port.id} cannot be deleted directly via the port API: has device owner {port.device_owner}.",
        "ServicePortInUse",
    )


def _vnic_type(wanted: Any) -> str:
    if wanted is UNSET:
        return "normal"
    if wanted not in VNIC_TYPES:
        raise invalid(f"Invalid input for binding:vnic_type. Reason: '{wanted}' is not in {list(VNIC_TYPES)}.",
                      "HTTPBadRequest")  # fmt: skip
    return wanted


def check_dns_name(name: str) -> None:
    """A host name as RFC 1123 has it, with or without a domain; empty for none. Raises BadRequest."""
    labels = name.rstrip(".").split(".") if name else []
    if len(name) > 253 or not all(_LABEL.fullmatch(one) for one in labels):
        raise invalid(f"Invalid input for dns_name. Reason: '{name}' is not a valid DNS name.", "HTTPBadRequest")


def _pairs(wanted: list[AddressPair]) -> list[dict[str, str]]:
    """Allowed address pairs, checked. An absent MAC address means the port's own, filled in when shown."""
    if len(wanted) > MOST_PAIRS:
        raise in_use("AllowedAddressPair must contain at most 10 pairs.", "AllowedAddressPairExhausted")
    found: list[dict[str, str]] = []
    for one in wanted:
        address = str(addressing.parse_cidr(one.ip_address, "allowed_address_pairs")) if "/" in one.ip_address else str(
            addressing.parse_address(one.ip_address, "allowed_address_pairs"))  # fmt: skip
        pair = {"ip_address": address}
        if one.mac_address not in (UNSET, None):
            pair["mac_address"] = addressing.parse_mac(one.mac_address)  # type: ignore[arg-type]
        if pair in found:
            raise invalid("Request contains duplicate address pair.", "DuplicateAddressPairInRequest")
        found.append(pair)
    return found


def _options(have: list[dict[str, Any]], wanted: Any) -> list[dict[str, Any]]:
    """Extra DHCP options: what is sent replaces what is there by name and version; a null value takes one away."""
    options: list[ExtraDhcpOption] = [] if wanted in (UNSET, None) else wanted
    merged = {(one["opt_name"], one["ip_version"]): one for one in have}
    for one in options:
        version = 4 if one.ip_version is UNSET else int(one.ip_version) if str(one.ip_version) in ("4", "6") else 0
        if version == 0:
            raise invalid(f"Invalid input for extra_dhcp_opts. Reason: '{one.ip_version}' is no IP version.",
                          "HTTPBadRequest")  # fmt: skip
        key = (one.opt_name, version)
        if one.opt_value in (UNSET, None):
            merged.pop(key, None)
        else:
            merged[key] = {"opt_name": one.opt_name, "opt_value": one.opt_value, "ip_version": version}
    return list(merged.values())
