"""Routers as logical routers: ports, NAT, routes, and the chassis that carry the gateway."""

import hashlib

from ..records import ROUTER_GATEWAY, ROUTER_INTERFACE, FloatingIp, Network, Port, Router, Subnet
from .model import Draft, Ref
from .snapshot import Chassis, Snapshot

RA_MODES = {"slaac": "slaac", "dhcpv6-stateful": "dhcpv6_stateful", "dhcpv6-stateless": "dhcpv6_stateless"}
MOST_GATEWAYS = 5
"""Chassis that stand ready for one gateway, the first by priority carries it."""


def add(draft: Draft, snapshot: Snapshot) -> None:
    """A logical router for each router."""
    networks = {network.id: network for network in snapshot.networks}
    floating: dict[str, list[FloatingIp]] = {}
    for one in snapshot.floating_ips:
        if one.router_id and one.fixed_ip_address:
            floating.setdefault(one.router_id, []).append(one)
    for router in snapshot.routers:
        _router(draft, snapshot, router, networks, floating.get(router.id, []))


def _router(
    draft: Draft, snapshot: Snapshot, router: Router, networks: dict[str, Network], floating: list[FloatingIp]
) -> None:
    ports = snapshot.ports_by_device.get(router.id, [])
    interfaces = [port for port in ports if port.device_owner == ROUTER_INTERFACE]
    gateway = next((port for port in ports if port.device_owner == ROUTER_GATEWAY), None)
    # OVN wants an address on every router port, and one refused row would hold back all others.
    interfaces = [port for port in interfaces if snapshot.held(port)]
    refs = [_interface(draft, snapshot, networks[port.network_id], port) for port in interfaces]
    nat: list[Ref] = []
    routes = [_route(draft, router, one["destination"], one["nexthop"]) for one in router.routes]
    if gateway is not None and snapshot.held(gateway):
        refs.append(_gateway(draft, snapshot, networks[gateway.network_id], gateway))
        routes += _default_routes(draft, snapshot, router, gateway)
        outside = [address for _, address in snapshot.held(gateway) if ":" not in address]
        if router.enable_snat and outside:
            nat = [
                draft.add(
                    "NAT", f"snat-{router.id}-{subnet.id}", type="snat", external_ip=outside[0],
                    logical_ip=subnet.cidr,
                )
                for port in interfaces for subnet, _ in snapshot.held(port) if subnet.ip_version == 4
            ]  # fmt: skip
        nat += [
            draft.add(
                "NAT", f"floating-{one.id}", type="dnat_and_snat", external_ip=one.floating_ip_address,
                logical_ip=one.fixed_ip_address,
            )
            for one in floating
        ]  # fmt: skip
    draft.add(
        "Logical_Router", router.id, {"router-name": router.name}, name=router.id, enabled=[router.admin_state_up],
        ports=refs, nat=nat, static_routes=routes,
        options={"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
    )  # fmt: skip


def _networks(held: list[tuple[Subnet, str]]) -> list[str]:
    return [f"{address}/{subnet.cidr.partition('/')[2]}" for subnet, address in held]


def _interface(draft: Draft, snapshot: Snapshot, network: Network, port: Port) -> Ref:
    held = snapshot.held(port)
    advertised: dict[str, str] = {}
    for subnet, _ in held:
        if subnet.ip_version == 6 and subnet.ipv6_ra_mode:
            advertised = {
                "address_mode": RA_MODES[subnet.ipv6_ra_mode], "send_periodic": "true", "mtu": str(network.mtu),
            }  # fmt: skip
            servers = [one for one in subnet.dns_nameservers if ":" in one]
            if servers:
                advertised["rdnss"] = servers[0]
    return draft.add(
        "Logical_Router_Port", port.id, name=f"lrp-{port.id}", mac=port.mac_address, networks=_networks(held),
        enabled=[port.admin_state_up], ipv6_ra_configs=advertised, gateway_chassis=[],
    )  # fmt: skip


def _gateway(draft: Draft, snapshot: Snapshot, network: Network, port: Port) -> Ref:
    chosen = choose_chassis(snapshot.chassis, network.physical_network, port.id)
    refs = [
        draft.add(
            "Gateway_Chassis", f"{port.id}-{one.name}", name=f"lrp-{port.id}_{one.name}", chassis_name=one.name,
            priority=len(chosen) - place,
        )
        for place, one in enumerate(chosen)
    ]  # fmt: skip
    return draft.add(
        "Logical_Router_Port", port.id, name=f"lrp-{port.id}", mac=port.mac_address,
        networks=_networks(snapshot.held(port)), enabled=[port.admin_state_up], ipv6_ra_configs={},
        gateway_chassis=refs,
    )  # fmt: skip


def choose_chassis(chassis: tuple[Chassis, ...], physical_network: str | None, port_id: str) -> list[Chassis]:
    """Chassis for a gateway, first the one that carries it: spread by rendezvous hashing, so that a chassis that comes
    or goes moves no gateway but its own."""
    able = [one for one in chassis if physical_network is None or physical_network in one.physical_networks]
    weight = lambda one: hashlib.sha256(f"{port_id} {one.name}".encode()).digest()  # noqa: E731
    return sorted(able, key=weight)[:MOST_GATEWAYS]


def _default_routes(draft: Draft, snapshot: Snapshot, router: Router, gateway: Port) -> list[Ref]:
    found = []
    for subnet, _ in snapshot.held(gateway):
        if subnet.gateway_ip is None:
            continue
        anything = "0.0.0.0/0" if subnet.ip_version == 4 else "::/0"
        found.append(_route(draft, router, anything, subnet.gateway_ip, f"lrp-{gateway.id}"))
    return found


def _route(draft: Draft, router: Router, prefix: str, nexthop: str, output: str = "") -> Ref:
    return draft.add(
        "Logical_Router_Static_Route", f"{router.id}-{prefix}-{nexthop}", ip_prefix=prefix, nexthop=nexthop,
        output_port=[output] if output else [],
    )  # fmt: skip
