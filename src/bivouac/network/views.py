"""Rows as the API shows them. Each view takes a page of rows at once, so that a list costs no query per row."""

from collections.abc import Callable, Sequence
from typing import Any

from bivouac.core.call import Call
from bivouac.core.clock import iso_seconds
from bivouac.core.store import Tx

from . import settings
from .records import (
    Address,
    FloatingIp,
    Network,
    Port,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Standard,
    Subnet,
    Subnetpool,
)
from .service.standard import addresses_of

View = dict[str, Any]
ZONE = "nova"


def _standard(row: Standard) -> View:
    return {
        "description": row.description,
        "tags": row.tags,
        "revision_number": row.revision_number,
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
        "tenant_id": row.project_id,
        "project_id": row.project_id,
    }


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + 500] for start in range(0, len(ids), 500)]


def networks(tx: Tx, call: Call, rows: Sequence[Network]) -> list[View]:
    subnets: dict[str, list[str]] = {row.id: [] for row in rows}
    for batch in _batches([row.id for row in rows]):
        for id, network_id in tx.query(
            f"SELECT id, network_id FROM subnets WHERE network_id IN ({', '.join('?' for _ in batch)}) "
            "ORDER BY created_at, id", *batch,
        ):  # fmt: skip
            subnets[network_id].append(id)
    provider = call.allows("get_network:provider")
    return [_network(row, subnets[row.id], provider) for row in rows]


def _network(row: Network, subnets: list[str], provider: bool) -> View:
    view = {
        "id": row.id,
        "name": row.name,
        "admin_state_up": row.admin_state_up,
        "status": "ACTIVE" if row.admin_state_up else "DOWN",
        "subnets": subnets,
        "shared": row.shared,
        "router:external": row.external,
        "mtu": row.mtu,
        "port_security_enabled": row.port_security_enabled,
        "dns_domain": row.dns_domain,
        "availability_zone_hints": row.availability_zone_hints,
        "availability_zones": [ZONE],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        **_standard(row),
    }
    if row.external:
        view["is_default"] = row.is_default
    if provider:
        view["provider:network_type"] = row.network_type
        view["provider:physical_network"] = row.physical_network
        view["provider:segmentation_id"] = row.segmentation_id
    return view


def subnets(tx: Tx, call: Call, rows: Sequence[Subnet]) -> list[View]:
    return [
        {
            "id": row.id,
            "name": row.name,
            "network_id": row.network_id,
            "ip_version": row.ip_version,
            "cidr": row.cidr,
            "gateway_ip": row.gateway_ip,
            "enable_dhcp": row.enable_dhcp,
            "ipv6_ra_mode": row.ipv6_ra_mode,
            "ipv6_address_mode": row.ipv6_address_mode,
            "allocation_pools": [{"start": start, "end": end} for start, end in row.allocation_pools],
            "dns_nameservers": row.dns_nameservers,
            "host_routes": row.host_routes,
            "service_types": row.service_types,
            "subnetpool_id": row.subnetpool_id,
            **_standard(row),
        }
        for row in rows
    ]


def subnetpools(tx: Tx, call: Call, rows: Sequence[Subnetpool]) -> list[View]:
    return [
        {
            "id": row.id,
            "name": row.name,
            "ip_version": row.ip_version,
            "prefixes": row.prefixes,
            "default_prefixlen": row.default_prefixlen,
            "min_prefixlen": row.min_prefixlen,
            "max_prefixlen": row.max_prefixlen,
            "default_quota": row.default_quota,
            "shared": row.shared,
            "is_default": row.is_default,
            "address_scope_id": None,
            **_standard(row),
        }
        for row in rows
    ]


def ports(tx: Tx, call: Call, rows: Sequence[Port]) -> list[View]:
    held = addresses_of(tx, [row.id for row in rows])
    binding = call.allows("get_port:binding")
    return [_port(row, held[row.id], binding) for row in rows]


def _port(row: Port, held: list[Address], binding: bool) -> View:
    view: View = {
        "id": row.id,
        "name": row.name,
        "network_id": row.network_id,
        "mac_address": row.mac_address,
        "admin_state_up": row.admin_state_up,
        "status": row.status,
        "device_id": row.device_id,
        "device_owner": row.device_owner,
        "fixed_ips": [{"subnet_id": one.subnet_id, "ip_address": one.address} for one in held],
        "port_security_enabled": row.port_security_enabled,
        "security_groups": row.security_groups,
        "allowed_address_pairs": [{"mac_address": row.mac_address, **one} for one in row.allowed_address_pairs],
        "extra_dhcp_opts": row.extra_dhcp_opts,
        "dns_name": row.dns_name,
        "dns_assignment": [_dns(row, one.address) for one in held],
        "binding:vnic_type": row.binding_vnic_type,
        **_standard(row),
    }
    if binding:
        bound = bool(row.binding_host)
        view["binding:host_id"] = row.binding_host
        view["binding:profile"] = row.binding_profile
        view["binding:vif_type"] = "ovs" if bound else "unbound"
        view["binding:vif_details"] = {"port_filter": True, "bridge_name": "br-int", "datapath_type": "system"} if (
            bound) else {}  # fmt: skip
    return view


def _dns(row: Port, address: str) -> dict[str, str]:
    name = row.dns_name or f"host-{address.replace('.', '-').replace(':', '-')}"
    return {"hostname": name, "ip_address": address, "fqdn": f"{name}.{settings.DNS_DOMAIN}."}


def routers(tx: Tx, call: Call, rows: Sequence[Router]) -> list[View]:
    held = addresses_of(tx, [row.gateway_port_id for row in rows if row.gateway_port_id])
    return [_router(row, held.get(row.gateway_port_id or "", [])) for row in rows]


def _router(row: Router, gateway: list[Address]) -> View:
    return {
        "id": row.id,
        "name": row.name,
        "admin_state_up": row.admin_state_up,
        "status": "ACTIVE",
        "external_gateway_info": None if row.gateway_port_id is None else {
            "network_id": row.gateway_network_id,
            "enable_snat": row.enable_snat,
            "external_fixed_ips": [{"subnet_id": one.subnet_id, "ip_address": one.address} for one in gateway],
        },
        "routes": row.routes,
        "availability_zone_hints": row.availability_zone_hints,
        "availability_zones": [ZONE],
        **_standard(row),
    }  # fmt: skip


def floating_ips(tx: Tx, call: Call, rows: Sequence[FloatingIp]) -> list[View]:
    ports_by_id: dict[str, Port] = {}
    for batch in _batches(sorted({row.port_id for row in rows if row.port_id})):
        for port in tx.select(Port, f"WHERE id IN ({', '.join('?' for _ in batch)})", *batch):
            ports_by_id[port.id] = port
    return [_floating_ip(row, ports_by_id.get(row.port_id or "")) for row in rows]


def _floating_ip(row: FloatingIp, port: Port | None) -> View:
    details = None
    if port is not None:
        details = {
            "name": port.name, "network_id": port.network_id, "mac_address": port.mac_address,
            "admin_state_up": port.admin_state_up, "status": port.status, "device_id": port.device_id,
            "device_owner": port.device_owner,
        }  # fmt: skip
    return {
        "id": row.id,
        "floating_network_id": row.floating_network_id,
        "floating_ip_address": row.floating_ip_address,
        "fixed_ip_address": row.fixed_ip_address,
        "port_id": row.port_id,
        "router_id": row.router_id,
        "status": row.status,
        "port_details": details,
        "dns_name": row.dns_name,
        "dns_domain": row.dns_domain,
        **_standard(row),
    }


def security_groups(tx: Tx, call: Call, rows: Sequence[SecurityGroup]) -> list[View]:
    rules: dict[str, list[View]] = {row.id: [] for row in rows}
    for batch in _batches([row.id for row in rows]):
        found = tx.select(
            SecurityGroupRule,
            f"WHERE security_group_id IN ({', '.join('?' for _ in batch)}) "
            "ORDER BY created_at, direction, ethertype, id",
            *batch,
        )  # fmt: skip
        for view in security_group_rules(tx, call, found):
            rules[view["security_group_id"]].append(view)
    return [
        {
            "id": row.id,
            "name": row.name,
            "stateful": row.stateful,
            "shared": False,
            "security_group_rules": rules[row.id],
            **_standard(row),
        }
        for row in rows
    ]


def security_group_rules(tx: Tx, call: Call, rows: Sequence[SecurityGroupRule]) -> list[View]:
    return [
        {
            "id": row.id,
            "security_group_id": row.security_group_id,
            "direction": row.direction,
            "ethertype": row.ethertype,
            "protocol": row.protocol,
            "port_range_min": row.port_range_min,
            "port_range_max": row.port_range_max,
            "remote_ip_prefix": row.remote_ip_prefix,
            "remote_group_id": row.remote_group_id,
            "remote_address_group_id": None,
            "normalized_cidr": row.normalized_cidr,
            **_standard(row),
        }
        for row in rows
    ]


VIEWS: dict[str, Callable[..., list[View]]] = {
    "networks": networks,
    "subnets": subnets,
    "subnetpools": subnetpools,
    "ports": ports,
    "routers": routers,
    "floatingips": floating_ips,
    "security_groups": security_groups,
    "security_group_rules": security_group_rules,
}
