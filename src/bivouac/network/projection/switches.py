"""Networks as logical switches: ports, DHCP, names, the way to a physical network, metadata."""

import hashlib
from typing import Any

from .. import settings
from ..records import FLOATING_IP, METADATA, ROUTER_GATEWAY, ROUTER_OWNERS, Network, Port, Subnet
from .model import Draft, Ref
from .snapshot import Snapshot

LEASE_S = 43200
METADATA_ADDRESS = "169.254.169.254"
_TEXT_OPTIONS = {"domain-name": "domain_name", "bootfile-name": "bootfile_name", "path-prefix": "path_prefix",
                 "wpad": "wpad", "tftp-server": "tftp_server", "domain-search": "domain_search_list",
                 "67": "bootfile_name", "66": "tftp_server", "15": "domain_name", "210": "path_prefix",
                 "252": "wpad"}  # fmt: skip
_PLAIN_OPTIONS = {"mtu": "mtu", "router": "router", "netmask": "netmask", "lease-time": "lease_time",
                  "server-ip-address": "tftp_server_address", "ip-forward-enable": "ip_forward_enable",
                  "default-ttl": "default_ttl", "tcp-ttl": "tcp_ttl", "arp-timeout": "arp_cache_timeout",
                  "150": "tftp_server_address", "26": "mtu", "3": "router"}  # fmt: skip
_LIST_OPTIONS = {"dns-server": "dns_server", "ntp-server": "ntp_server", "log-server": "log_server",
                 "lpr-server": "lpr_server", "6": "dns_server", "42": "ntp_server"}  # fmt: skip


def add(draft: Draft, snapshot: Snapshot) -> None:
    """A switch for each network."""
    by_network: dict[str, list[Port]] = {network.id: [] for network in snapshot.networks}
    for port in snapshot.ports:
        by_network[port.network_id].append(port)
    subnets: dict[str, list[Subnet]] = {network.id: [] for network in snapshot.networks}
    for subnet in snapshot.subnets.values():
        subnets[subnet.network_id].append(subnet)
    for network in snapshot.networks:
        _switch(draft, snapshot, network, by_network[network.id], subnets[network.id])


def _switch(draft: Draft, snapshot: Snapshot, network: Network, ports: list[Port], subnets: list[Subnet]) -> None:
    metadata = next((port for port in ports if port.device_owner == METADATA), None)
    metadata_addresses = {subnet.id: address for subnet, address in snapshot.held(metadata)} if metadata else {}
    dhcp = {
        subnet.id: ref
        for subnet in subnets
        if (ref := _dhcp(draft, snapshot, network, subnet, metadata_addresses.get(subnet.id))) is not None
    }
    refs = [
        _port(draft, snapshot, network, port, dhcp, metadata_addresses)
        for port in ports
        if port.device_owner != FLOATING_IP
    ]
    if network.physical_network:
        refs.append(
            draft.add(
                "Logical_Switch_Port", f"provider-{network.id}", name=f"provider-{network.id}", type="localnet",
                addresses=["unknown"], options={"network_name": network.physical_network},
                tag=[network.segmentation_id] if network.segmentation_id else [],
            )
        )  # fmt: skip
    names = _names(snapshot, ports)
    records = [draft.add("DNS", f"dns-{network.id}", records=names)] if names else []
    draft.add(
        "Logical_Switch", network.id, {"network-name": network.name}, name=network.id, ports=refs, dns_records=records
    )


def _port(
    draft: Draft, snapshot: Snapshot, network: Network, port: Port, dhcp: dict[str, Ref], metadata: dict[str, str]
) -> Ref:
    held = snapshot.held(port)
    own = " ".join([port.mac_address, *[address for _, address in held]])
    columns: dict[str, Any] = {"name": port.id, "enabled": [port.admin_state_up], "type": "", "options": {}}
    if port.device_owner in ROUTER_OWNERS:
        options = {"router-port": f"lrp-{port.id}"}
        if port.device_owner == ROUTER_GATEWAY:
            options["nat-addresses"] = "router"
        return draft.add(
            "Logical_Switch_Port", port.id,
            **{**columns, "type": "router", "addresses": ["router"], "port_security": [], "options": options},
        )  # fmt: skip
    if port.device_owner == METADATA:
        return draft.add(
            "Logical_Switch_Port", port.id, **{**columns, "type": "localport", "addresses": [own], "port_security": []}
        )
    if port.binding_host:
        columns["options"] = {"requested-chassis": port.binding_host}
    others, security = _pairs(port, own)
    columns["addresses"] = [own, *others] if port.port_security_enabled else [own, *others, "unknown"]
    columns["port_security"] = security if port.port_security_enabled else []
    for version, column in ((4, "dhcpv4_options"), (6, "dhcpv6_options")):
        subnet = next((one for one, _ in held if one.ip_version == version and one.id in dhcp), None)
        ref = dhcp[subnet.id] if subnet else None
        extra = _extra_options(port, version)
        if subnet is not None and extra:
            key = f"dhcp-{subnet.id}-{port.id}"
            options = {**draft.rows[dhcp[subnet.id]]["options"], **extra}
            ref = draft.add("DHCP_Options", key, cidr=subnet.cidr, options=options)
        columns[column] = [ref] if ref is not None else []
    return draft.add("Logical_Switch_Port", port.id, {"port-name": port.name}, **columns)


def _pairs(port: Port, own: str) -> tuple[list[str], list[str]]:
    """(further addresses with MACs of their own, port security) that allowed address pairs add."""
    security, others = {port.mac_address: own}, {}
    for pair in port.allowed_address_pairs:
        mac = pair.get("mac_address", port.mac_address)
        security[mac] = f"{security.get(mac, mac)} {pair['ip_address']}"
        if mac != port.mac_address:
            others[mac] = mac
    return sorted(others.values()), sorted(security.values())


def server_mac(subnet_id: str) -> str:
    """A MAC address for OVN's DHCP server, the same for ever."""
    digest = hashlib.sha256(subnet_id.encode()).digest()
    return f"fa:16:3e:{digest[0]:02x}:{digest[1]:02x}:{digest[2]:02x}"


def _dhcp(
    draft: Draft, snapshot: Snapshot, network: Network, subnet: Subnet, metadata_address: str | None
) -> Ref | None:
    if not subnet.enable_dhcp:
        return None
    servers = subnet.dns_nameservers or [
        one for one in snapshot.name_servers if (":" in one) == (subnet.ip_version == 6)
    ]
    if subnet.ip_version == 6:
        if subnet.ipv6_address_mode not in ("dhcpv6-stateful", "dhcpv6-stateless"):
            return None
        options = {"server_id": server_mac(subnet.id)}
        if servers:
            options["dns_server"] = _braces(servers)
        if subnet.ipv6_address_mode == "dhcpv6-stateless":
            options["dhcpv6_stateless"] = "true"
        return draft.add("DHCP_Options", f"dhcp-{subnet.id}", cidr=subnet.cidr, options=options)
    server = subnet.gateway_ip or metadata_address
    if server is None:
        return None
    options = {
        "server_id": server, "server_mac": server_mac(subnet.id), "lease_time": str(LEASE_S),
        "mtu": str(network.mtu), "domain_name": f'"{settings.DNS_DOMAIN}"',
    }  # fmt: skip
    if subnet.gateway_ip:
        options["router"] = subnet.gateway_ip
    if servers:
        options["dns_server"] = _braces(servers)
    if routes := _routes(subnet, metadata_address):
        options["classless_static_route"] = _braces(routes)
    return draft.add("DHCP_Options", f"dhcp-{subnet.id}", cidr=subnet.cidr, options=options)


def _routes(subnet: Subnet, metadata_address: str | None) -> list[str]:
    """DHCP option 121. With any route in it a guest ignores the router option, so that goes in as well."""
    routes = [f"{one['destination']},{one['nexthop']}" for one in subnet.host_routes]
    if metadata_address and not any(one.startswith(f"{METADATA_ADDRESS}/32,") for one in routes):
        routes.insert(0, f"{METADATA_ADDRESS}/32,{metadata_address}")
    if routes and subnet.gateway_ip:
        routes.append(f"0.0.0.0/0,{subnet.gateway_ip}")
    return routes


def _extra_options(port: Port, version: int) -> dict[str, str]:
    """A port's own DHCP options in OVN's words; what OVN does not know is not sent."""
    found: dict[str, str] = {}
    if version != 4:
        return found
    for one in port.extra_dhcp_opts:
        name, value = one["opt_name"], str(one["opt_value"]).replace('"', "")
        if one["ip_version"] != version:
            continue
        if name in _TEXT_OPTIONS:
            found[_TEXT_OPTIONS[name]] = f'"{value}"'
        elif name in _LIST_OPTIONS:
            found[_LIST_OPTIONS[name]] = _braces([part.strip() for part in value.split(",")])
        elif name in _PLAIN_OPTIONS:
            found[_PLAIN_OPTIONS[name]] = value
    return found


def _names(snapshot: Snapshot, ports: list[Port]) -> dict[str, str]:
    """Names of ports, short and with the domain."""
    names: dict[str, str] = {}
    for port in ports:
        addresses = " ".join(address for _, address in snapshot.held(port))
        if port.dns_name and addresses:
            names[port.dns_name.lower()] = addresses
            names[f"{port.dns_name.lower()}.{settings.DNS_DOMAIN}"] = addresses
    return names


def _braces(values: list[str]) -> str:
    return "{" + ", ".join(values) + "}"
