"""Whatever is sent, the answer is no server error: good bodies with one value replaced by anything, and odd queries."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bivouac.core.store import open_store

from .client import Cloud

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["10.0.0.0/24", "fd00::/64", "10.0.0.9", "fd00::9", "²", "--5", "1_0", "tcp", "ingress", "default", "slaac",
         "/", "fe80::%1/64", "0.0.0.0/0", "::", "x" * 5000, "\ud7ff", "4", "true"]
    ),
)  # fmt: skip
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.sampled_from([0, -1, 4, 6, 2**31, 2**63, 65536]),
        st.floats(allow_nan=False), texts,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(texts, st.sampled_from(
            ["subnet_id", "ip_address", "start", "end", "destination", "nexthop", "mac_address", "opt_name",
             "opt_value", "ip_version", "network_id", "enable_snat", "external_fixed_ips"])), inner, max_size=3),
    ),
    max_leaves=5,
)  # fmt: skip


class World:
    """A cloud with one of everything, made once."""

    def __init__(self, folder: Path):
        store = open_store("", folder / "world.db")
        store.migrate(["bivouac.core", "bivouac.placement", "bivouac.network"])
        self.cloud = Cloud(store)
        token = "admin"
        self.public = self.cloud.public_network()[0]["id"]
        self.network, self.subnet = (one["id"] for one in self.cloud.tenant_network(token))
        self.port = self.cloud.make(token, "ports", network_id=self.network)["id"]
        self.router = self.cloud.make(token, "routers")["id"]
        self.group = self.cloud.make(token, "security-groups", name="g")["id"]
        self.pool = self.cloud.make(token, "subnetpools", prefixes=["10.64.0.0/10"], default_prefixlen=24)["id"]
        self.floating = self.cloud.make(token, "floatingips", floating_network_id=self.public)["id"]
        fields: dict[tuple[str, str, str], dict[str, Any]] = {
            ("POST", "/networks", "network"): dict.fromkeys(
                ["name", "mtu", "shared", "provider:network_type", "provider:segmentation_id", "dns_domain",
                 "availability_zone_hints", "provider:physical_network"]),
            ("PUT", f"/networks/{self.network}", "network"): dict.fromkeys(["name", "mtu", "description"]),
            ("POST", "/subnets", "subnet"): {"network_id": self.network, "cidr": "10.77.0.0/24", "ip_version": 4,
                                             **dict.fromkeys(["gateway_ip", "allocation_pools", "host_routes",
                                                              "dns_nameservers", "ipv6_ra_mode", "prefixlen",
                                                              "subnetpool_id", "service_types", "enable_dhcp"])},
            ("PUT", f"/subnets/{self.subnet}", "subnet"): dict.fromkeys(
                ["gateway_ip", "allocation_pools", "host_routes", "dns_nameservers", "service_types"]),
            ("POST", "/subnetpools", "subnetpool"): {"prefixes": ["10.128.0.0/16"], **dict.fromkeys(
                ["default_prefixlen", "min_prefixlen", "max_prefixlen", "default_quota"])},
            ("PUT", f"/subnetpools/{self.pool}", "subnetpool"): dict.fromkeys(
                ["prefixes", "default_prefixlen", "default_quota"]),
            ("POST", "/ports", "port"): {"network_id": self.network, **dict.fromkeys(
                ["fixed_ips", "mac_address", "security_groups", "allowed_address_pairs", "extra_dhcp_opts", "dns_name",
                 "binding:host_id", "binding:profile", "binding:vnic_type", "device_id", "device_owner"])},
            ("PUT", f"/ports/{self.port}", "port"): dict.fromkeys(
                ["fixed_ips", "mac_address", "security_groups", "allowed_address_pairs", "extra_dhcp_opts", "device_id",
                 "binding:profile"]),
            ("POST", "/routers", "router"): dict.fromkeys(["name", "external_gateway_info", "availability_zone_hints"]),
            ("PUT", f"/routers/{self.router}", "router"): dict.fromkeys(["external_gateway_info", "routes", "name"]),
            ("PUT", f"/routers/{self.router}/add_router_interface", ""): dict.fromkeys(["subnet_id", "port_id"]),
            ("PUT", f"/routers/{self.router}/remove_router_interface", ""): dict.fromkeys(["subnet_id", "port_id"]),
            ("PUT", f"/routers/{self.router}/add_extraroutes", "router"): {"routes": []},
            ("POST", "/floatingips", "floatingip"): {"floating_network_id": self.public, **dict.fromkeys(
                ["port_id", "fixed_ip_address", "floating_ip_address", "subnet_id", "dns_name"])},
            ("PUT", f"/floatingips/{self.floating}", "floatingip"): dict.fromkeys(["port_id", "fixed_ip_address"]),
            ("POST", "/security-groups", "security_group"): {"name": "x", "description": None, "stateful": None},
            ("POST", "/security-group-rules", "security_group_rule"): {
                "security_group_id": self.group, "direction": "ingress", **dict.fromkeys(
                    ["protocol", "ethertype", "port_range_min", "port_range_max", "remote_ip_prefix",
                     "remote_group_id"])},
            ("PUT", "/quotas/x", "quota"): dict.fromkeys(["network", "port", "nonsense"]),
            ("PUT", f"/networks/{self.network}/tags", ""): {"tags": []},
        }  # fmt: skip
        self.targets = [(*key, name, body) for key, body in fields.items() for name in body]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


LOOSE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True, max_examples=400
)


@LOOSE
@given(st.data())
def test_no_body_breaks_the_service(world: World, data: st.DataObject) -> None:
    method, path, envelope, name, good = data.draw(st.sampled_from(world.targets))
    body = {key: value for key, value in good.items() if value is not None}
    body[name] = data.draw(values)
    more = data.draw(st.sampled_from([None, *good]))
    if more is not None and more != name:
        body[more] = data.draw(values)
    status, said = world.cloud.ask("admin", method, path, {envelope: body} if envelope else body)
    assert status < 500, (method, path, body, said)


@LOOSE
@given(st.sampled_from(["networks", "ports", "subnets", "routers", "floatingips", "security-groups", "subnetpools"]),
       st.sampled_from(["limit", "marker", "sort_key", "sort_dir", "fields", "mtu", "shared", "id", "fixed_ips", "tags",
                        "admin_state_up", "ip_version", "page_reverse", "router:external", "created_at", "nonsense"]),
       texts)  # fmt: skip
def test_no_query_breaks_the_service(world: World, collection: str, name: str, value: str) -> None:
    from urllib.parse import urlencode

    status, said = world.cloud.ask("admin", "GET", f"/{collection}?{urlencode([(name, value)])}")
    assert status < 500, (collection, name, value, said)


@LOOSE
@given(texts)
def test_no_revision_breaks_the_service(world: World, text: str) -> None:
    body = {"network": {"name": "x"}}
    header = text.encode("ascii", "ignore").decode()
    status, _ = world.cloud.ask(
        "admin", "PUT", f"/networks/{world.network}", body, if_match=f"revision_number={header}"
    )
    assert status < 500
