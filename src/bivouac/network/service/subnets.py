"""Subnets: ranges of addresses on a network, with their DHCP and router advertisement modes.

Source: Neutron's API reference, "Subnets"; the pairs of IPv6 modes are those of its table "IPv6 RA and address mode".
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import Conflict
from bivouac.core.store import Tx

from .. import addressing
from ..bodies import HostRoute, NewSubnet, PoolBody, SubnetChange
from ..records import METADATA, ROUTER_INTERFACE, Address, Network, Port, Router, Subnet
from . import addresses, quotas, subnetpools
from .standard import (
    changed,
    check_revision,
    enforce_given,
    fresh,
    get,
    in_use,
    invalid,
    owner,
    project_of,
    target,
    tell_server,
    touch,
)

IPV6_MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")
MOST_NAMESERVERS = 5
MOST_ROUTES = 20


def create(tx: Tx, call: Call, body: NewSubnet) -> Subnet:
    """A subnet. Raises NotFound (network, pool), BadRequest, Forbidden, Conflict, OverQuota."""
    network = get(tx, call, Network, body.network_id)
    project_id = owner(call, project_of(body) if project_of(body) is not UNSET else network.project_id)
    policy_target = {
        "project_id": network.project_id, "tenant_id": network.project_id, "network_project_id": network.project_id,
    }  # fmt: skip
    call.enforce("create_subnet", policy_target)
    enforce_given(call, "create_subnet", {"service_types": 1} if body.service_types else {}, policy_target)
    quotas.claim(tx, project_id, "subnet")
    cidr, pool_id = _choose_cidr(tx, call, body, project_id)
    version = body.ip_version if body.ip_version is not UNSET else cidr.version
    if version not in (4, 6) or version != cidr.version:
        raise invalid(f"cidr '{cidr}' does not match the ip_version '{version}'")
    gateway = _gateway(body, cidr)
    pools = _pools(body.allocation_pools, cidr, gateway)
    ra_mode, address_mode = _modes(body, cidr)
    _refuse_overlap(tx, network, cidr)
    subnet = tx.insert(
        Subnet(
            **fresh(call, project_id, body.description),
            network_id=network.id,
            name=body.name or "" if body.name is not UNSET else "",
            ip_version=version,
            cidr=str(cidr),
            gateway_ip=gateway,
            enable_dhcp=body.enable_dhcp if body.enable_dhcp is not UNSET else True,
            ipv6_ra_mode=ra_mode,
            ipv6_address_mode=address_mode,
            allocation_pools=pools,
            dns_nameservers=_nameservers(body.dns_nameservers),
            host_routes=_routes(body.host_routes, version),
            service_types=list(body.service_types or []) if body.service_types is not UNSET else [],
            subnetpool_id=pool_id,
        )
    )
    _address_ports_automatically(tx, subnet)
    ensure_metadata_address(tx, call, network, subnet)
    changed(tx)
    return subnet


def update(tx: Tx, call: Call, id: str, body: SubnetChange, revision: int | None = None) -> Subnet:
    """Change a subnet. Raises NotFound, BadRequest, Forbidden, Conflict."""
    subnet = get(tx, call, Subnet, id)
    network = tx.get(Network, subnet.network_id)
    assert network is not None
    policy_target = target(subnet, network_project_id=network.project_id)
    call.enforce("update_subnet", policy_target)
    check_revision(revision, subnet)
    cidr = addressing.parse_cidr(subnet.cidr)
    fields: dict[str, Any] = {}
    if body.name is not UNSET:
        fields["name"] = body.name
    if body.description is not UNSET:
        fields["description"] = body.description or ""
    if body.enable_dhcp is not UNSET:
        if not body.enable_dhcp and (subnet.ipv6_ra_mode or subnet.ipv6_address_mode):
            raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
        fields["enable_dhcp"] = body.enable_dhcp
    if body.dns_nameservers is not UNSET:
        fields["dns_nameservers"] = _nameservers(body.dns_nameservers)
    if body.host_routes is not UNSET:
        fields["host_routes"] = _routes(body.host_routes, subnet.ip_version)
    if body.service_types is not UNSET:
        enforce_given(call, "update_subnet", {"service_types": 1}, policy_target)
        fields["service_types"] = list(body.service_types)
    gateway = subnet.gateway_ip
    if body.gateway_ip is not UNSET and body.gateway_ip != subnet.gateway_ip:
        gateway = _gateway(body, cidr)
        _refuse_used_gateway(tx, subnet)
        fields["gateway_ip"] = gateway
    pools = subnet.allocation_pools
    if body.allocation_pools is not UNSET:
        pools = fields["allocation_pools"] = _pools(body.allocation_pools, cidr, gateway)
    if gateway is not None:
        _refuse_gateway_in_pool(pools, gateway)
    moved = touch(tx, call, subnet, **fields)
    if moved.enable_dhcp and not subnet.enable_dhcp:
        ensure_metadata_address(tx, call, network, moved)
    return moved


def delete(tx: Tx, call: Call, id: str) -> None:
    """Remove a subnet. Addresses that guests made for themselves, and the metadata port's, go with it.

    Raises NotFound, Forbidden, Conflict.
    """
    subnet = get(tx, call, Subnet, id)
    network = tx.get(Network, subnet.network_id)
    call.enforce("delete_subnet", target(subnet, network_project_id=network.project_id if network else None))
    holders = tx.select(Port, "JOIN addresses ON addresses.port_id = ports.id WHERE addresses.subnet_id = ?", id)
    free = [one for one in holders if one.device_owner == METADATA or addresses.is_automatic(subnet, one)]
    if len(free) != len(holders):
        raise in_use(
            f"Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet.",
            "SubnetInUse",
        )
    tx.delete_where(Address, "subnet_id = ?", id)
    for port in free:
        tell_server(tx, port)
    tx.delete(subnet)
    changed(tx)


def ensure_metadata_address(tx: Tx, call: Call, network: Network, subnet: Subnet) -> None:
    """Give the network's metadata port an address on an IPv4 subnet with DHCP; a full subnet goes without."""
    if subnet.ip_version != 4 or not subnet.enable_dhcp or subnet.service_types:
        return
    from .ports import make_plain  # noqa: PLC0415 - ports know subnets too

    port = tx.first(Port, "WHERE network_id = ? AND device_owner = ?", network.id, METADATA)
    if port is None:
        port = make_plain(tx, call, network, network.project_id, METADATA, f"metadata-{network.id}")
    if tx.count(Address, "WHERE port_id = ? AND subnet_id = ?", port.id, subnet.id):
        return
    room = sum(end - start + 1 for start, end in addressing.ranges_of(subnet.allocation_pools))
    if room < 2:
        return
    addresses.claim(tx, port, [{"subnet_id": subnet.id}], [subnet])


def _choose_cidr(tx: Tx, call: Call, body: NewSubnet, project_id: str) -> tuple[addressing.IpNetwork, str | None]:
    """The CIDR given, or one cut from a pool."""
    pool_id = body.subnetpool_id if body.subnetpool_id is not UNSET else None
    if pool_id is None and body.use_default_subnetpool is True:
        version = body.ip_version if body.ip_version is not UNSET else 4
        pool_id = subnetpools.default_id(tx, version)
    if pool_id is not None:
        if body.allocation_pools not in (UNSET, None) and body.cidr in (UNSET, None):
            raise invalid("allocation_pools allowed only for specific subnet requests.", "BadRequest")
        wanted = addressing.parse_cidr(body.cidr) if body.cidr not in (UNSET, None) else None  # type: ignore[arg-type]
        length = body.prefixlen if body.prefixlen is not UNSET else None
        return subnetpools.cut(tx, call, pool_id, project_id, wanted, length), pool_id
    if body.prefixlen is not UNSET:
        raise invalid("Prefix length requires a subnet pool.", "BadRequest")
    if body.cidr in (UNSET, None):
        raise invalid("a subnetpool must be specified in the absence of a cidr", "BadRequest")
    cidr = addressing.parse_cidr(body.cidr)  # type: ignore[arg-type]
    if cidr.is_multicast or cidr.is_loopback or (cidr.version == 4 and cidr.prefixlen == 0):
        raise invalid(f"Invalid input for operation: Invalid CIDR {cidr} for subnet.")
    return cidr, None


def _gateway(body: NewSubnet | SubnetChange, cidr: addressing.IpNetwork) -> str | None:
    if body.gateway_ip is UNSET:
        return addressing.default_gateway(cidr)
    if body.gateway_ip is None:
        return None
    address = addressing.parse_address(body.gateway_ip, "gateway_ip")
    first, last = addressing.usable(cidr)
    outside = address.version != cidr.version or (
        address in cidr and not first - (cidr.version == 6) <= int(address) <= last
    )
    if outside or (address not in cidr and not address.is_link_local):
        raise invalid(f"Gateway {address} is not valid on subnet: {cidr}")
    return str(address)


def _pools(wanted: Any, cidr: addressing.IpNetwork, gateway: str | None) -> list[tuple[str, str]]:
    """Allocation pools, checked. Raises BadRequest, Conflict."""
    if wanted in (UNSET, None):
        return addressing.default_pools(cidr, gateway)
    found: list[tuple[int, int]] = []
    first, last = addressing.usable(cidr)
    pools: list[tuple[str, str]] = []
    for pool in wanted:
        assert isinstance(pool, PoolBody)
        start = addressing.parse_address(pool.start, "allocation_pools")
        end = addressing.parse_address(pool.end, "allocation_pools")
        if start.version != cidr.version or end.version != cidr.version or int(end) < int(start):
            raise invalid(f"The allocation pool {start}-{end} is not valid.", "InvalidAllocationPool")
        if int(start) < first or int(end) > last:
            raise invalid(
                f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}.", "OutOfBoundsAllocationPool"
            )
        for other in found:
            if int(start) <= other[1] and other[0] <= int(end):
                raise Conflict(
                    f"Found overlapping allocation pools: {start}-{end} for subnet {cidr}.",
                    type="OverlappingAllocationPools",
                )
        found.append((int(start), int(end)))
        pools.append((str(start), str(end)))
    if gateway is not None:
        _refuse_gateway_in_pool(pools, gateway)
    return pools


def _refuse_gateway_in_pool(pools: Sequence[tuple[str, str]], gateway: str) -> None:
    for start, end in pools:
        if addressing.within(addressing.ranges_of([(start, end)]), int(ipaddress.ip_address(gateway))):
            raise Conflict(
                f"Gateway ip {gateway} conflicts with allocation pool {start}-{end}.",
                type="GatewayConflictWithAllocationPools",
            )


def _modes(body: NewSubnet, cidr: addressing.IpNetwork) -> tuple[str | None, str | None]:
    """IPv6 router advertisement and address modes. Raises BadRequest."""
    ra = body.ipv6_ra_mode if body.ipv6_ra_mode is not UNSET else None
    address = body.ipv6_address_mode if body.ipv6_address_mode is not UNSET else None
    for name, mode in (("ipv6_ra_mode", ra), ("ipv6_address_mode", address)):
        if mode is not None and mode not in IPV6_MODES:
            raise invalid(f"Invalid input for {name}. Reason: '{mode}' is not in {list(IPV6_MODES)}.", "HTTPBadRequest")
        if mode is not None and cidr.version == 4:
            raise invalid(f"{name} is not valid when ip_version is 4")
    if (ra or address) and body.enable_dhcp is False:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.")
    if ra and address and ra != address:
        raise invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. If both attributes "
            "are set, they must be the same value"
        )
    if (ra in ("slaac", "dhcpv6-stateless") or address in ("slaac", "dhcpv6-stateless")) and cidr.prefixlen != 64:
        raise invalid(f"Invalid CIDR {cidr} for IPv6 address mode. OpenStack uses the EUI-64 address format, which "
                      "requires the prefix to be /64")  # fmt: skip
    return ra, address


def _nameservers(wanted: Any) -> list[str]:
    servers = [] if wanted in (UNSET, None) else list(wanted)
    for one in servers:
        addressing.parse_address(one, "dns_nameservers")
    if len(set(servers)) != len(servers):
        raise invalid("Invalid input for dns_nameservers. Reason: Duplicate nameserver.", "HTTPBadRequest")
    if len(servers) > MOST_NAMESERVERS:
        raise invalid("Too many DNS nameservers.", "DNSNameServersExhausted")
    return servers


def _routes(wanted: Any, version: int) -> list[dict[str, str]]:
    routes: list[HostRoute] = [] if wanted in (UNSET, None) else list(wanted)
    if len(routes) > MOST_ROUTES:
        raise invalid("Too many host routes.", "HostRoutesExhausted")
    found = []
    for one in routes:
        destination = addressing.parse_cidr(one.destination, "host_routes")
        nexthop = addressing.parse_address(one.nexthop, "host_routes")
        if destination.version != version or nexthop.version != version:
            raise invalid(f"Invalid input for operation: host route {one.destination} is not of IP version {version}.")
        found.append({"destination": str(destination), "nexthop": str(nexthop)})
    return found


def _refuse_overlap(tx: Tx, network: Network, cidr: addressing.IpNetwork) -> None:
    for other in tx.select(Subnet, "WHERE network_id = ? AND ip_version = ?", network.id, cidr.version):
        if ipaddress.ip_network(other.cidr).overlaps(cidr):  # type: ignore[arg-type]
            raise invalid(
                f"Invalid input for operation: Requested subnet with cidr: {cidr} for network: {network.id} overlaps "
                "with another subnet."
            )


def _refuse_used_gateway(tx: Tx, subnet: Subnet) -> None:
    """A gateway that a router holds must stay."""
    if subnet.gateway_ip is None:
        return
    holder = tx.first(
        Port, "JOIN addresses ON addresses.port_id = ports.id WHERE addresses.subnet_id = ? AND addresses.number = ?",
        subnet.id, addressing.key(subnet.gateway_ip),
    )  # fmt: skip
    if holder is not None and holder.device_owner == ROUTER_INTERFACE and tx.get(Router, holder.device_id):
        raise in_use(
            f"Current gateway ip {subnet.gateway_ip} already in use by port {holder.id}. Unable to update.",
            "GatewayIpInUse",
        )


def _address_ports_automatically(tx: Tx, subnet: Subnet) -> None:
    """Ports that are on the network already get their address of a new auto-addressed subnet."""
    if not subnet.is_auto_addressed:
        return
    for port in tx.select(Port, "WHERE network_id = ? ORDER BY id", subnet.network_id):
        if addresses.is_automatic(subnet, port):
            addresses.add_automatic(tx, port, subnet)
            tell_server(tx, port)
