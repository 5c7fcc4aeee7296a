"""The public network of a one-machine cloud, and the demo project's own network behind a router."""

from __future__ import annotations

import ipaddress
from typing import Any

from bivouac.core.settings import Settings

from ..client import Cloud
from . import find

PUBLIC = "public"
DEMO_CIDR = "10.10.0.0/24"
_RULES: tuple[dict[str, Any], ...] = (
    {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
    {"protocol": "icmp"},
)


def network_endpoint(cloud: Cloud) -> str:
    """The network service's endpoint with its version."""
    return cloud.endpoint("network").removesuffix("/v2.0") + "/v2.0"


def ensure_public_network(cloud: Cloud, settings: Settings) -> str:
    """The external network from which floating IPs come."""
    base = network_endpoint(cloud)
    network = find(cloud, base, "/networks", "networks", PUBLIC)
    if network is None:
        wanted = {
            "name": PUBLIC,
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": settings.network.physical_network,
        }
        network = cloud.post(base, "/networks", {"network": wanted})["network"]
    cidr = settings.network.public_cidr
    if find(cloud, base, f"/subnets?network_id={network['id']}", "subnets", PUBLIC) is None:
        first, last = _pool(cidr)
        subnet = {
            "name": PUBLIC,
            "network_id": network["id"],
            "ip_version": 4,
            "cidr": cidr,
            "gateway_ip": settings.network.public_gateway,
            "enable_dhcp": False,
            "allocation_pools": [{"start": first, "end": last}],
        }
        cloud.post(base, "/subnets", {"subnet": subnet})
    return f"{PUBLIC}, floating IPs from {cidr}"


def _pool(cidr: str) -> tuple[str, str]:
    """The first and last address to hand out: the lower ones are left for the operator's machines."""
    network = ipaddress.ip_network(cidr)
    spare = min(10, network.num_addresses // 4)
    return str(network[spare]), str(network[-2])


def ensure_demo_network(cloud: Cloud, settings: Settings, name: str) -> str:
    """A network with a subnet, a router to the outside, and a security group that lets SSH and ping in."""
    base = network_endpoint(cloud)
    mine = f"project_id={cloud.project_id}"
    network = find(cloud, base, f"/networks?{mine}", "networks", name)
    if network is None:
        network = cloud.post(base, "/networks", {"network": {"name": name}})["network"]
    subnet = find(cloud, base, f"/subnets?{mine}", "subnets", name)
    if subnet is None:
        wanted = {"name": name, "network_id": network["id"], "ip_version": 4, "cidr": DEMO_CIDR}
        if settings.network.name_servers:
            wanted["dns_nameservers"] = settings.network.name_servers
        subnet = cloud.post(base, "/subnets", {"subnet": wanted})["subnet"]
    _ensure_router(cloud, base, subnet, name)
    _ensure_security_group(cloud, base, name)
    return f"{name}, {DEMO_CIDR}"


def _ensure_router(cloud: Cloud, base: str, subnet: dict[str, Any], name: str) -> None:
    router = find(cloud, base, f"/routers?project_id={cloud.project_id}", "routers", name)
    if router is None:
        public = find(cloud, base, "/networks?router:external=true", "networks", PUBLIC)
        assert public is not None
        wanted = {"name": name, "external_gateway_info": {"network_id": public["id"]}}
        router = cloud.post(base, "/routers", {"router": wanted})["router"]
    ports = cloud.get(base, f"/ports?device_id={router['id']}")["ports"]
    joined = {address["subnet_id"] for port in ports for address in port["fixed_ips"]}
    if subnet["id"] not in joined:
        cloud.call("PUT", base, f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})


def _ensure_security_group(cloud: Cloud, base: str, name: str) -> None:
    group = find(cloud, base, f"/security-groups?project_id={cloud.project_id}", "security_groups", name)
    if group is None:
        wanted = {"name": name, "description": "SSH and ping from everywhere"}
        group = cloud.post(base, "/security-groups", {"security_group": wanted})["security_group"]
    present = {(rule["protocol"], rule["port_range_min"]) for rule in group["security_group_rules"]}
    for rule in _RULES:
        if (rule["protocol"], rule.get("port_range_min")) not in present:
            wanted = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", **rule}
            cloud.post(base, "/security-group-rules", {"security_group_rule": wanted})
