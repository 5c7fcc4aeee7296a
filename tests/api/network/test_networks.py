"""Networks and subnets through the API: shapes, lists, refusals."""

from typing import Any

import pytest

from .client import Cloud


def test_a_network_comes_back_as_made(cloud: Cloud) -> None:
    network = cloud.make("one", "networks", name="a", description="mine", dns_domain="a.example.")
    assert network["tenant_id"] == network["project_id"] == "one"
    assert (network["status"], network["subnets"], network["shared"], network["router:external"]) == (
        "ACTIVE", [], False, False)  # fmt: skip
    assert network["revision_number"] == 1
    assert "provider:network_type" not in network
    assert cloud.ask("one", "GET", f"/networks/{network['id']}") == (200, {"network": network})
    status, changed = cloud.ask("one", "PUT", f"/networks/{network['id']}", {"network": {"name": "b"}})
    assert (status, changed["network"]["name"], changed["network"]["revision_number"]) == (200, "b", 2)
    assert changed["network"]["updated_at"] > network["updated_at"]
    assert cloud.ask("one", "DELETE", f"/networks/{network['id']}") == (204, None)
    status, error = cloud.ask("one", "GET", f"/networks/{network['id']}")
    assert status == 404
    assert error["NeutronError"]["type"] == "NetworkNotFound"


def test_what_is_not_mine_is_not_there(cloud: Cloud) -> None:
    network, subnet = cloud.tenant_network("one")
    for method, path, body in (
        ("GET", f"/networks/{network['id']}", None),
        ("PUT", f"/networks/{network['id']}", {"network": {"name": "x"}}),
        ("DELETE", f"/networks/{network['id']}", None),
        ("GET", f"/subnets/{subnet['id']}", None),
        ("POST", "/ports", {"port": {"network_id": network["id"]}}),
        ("PUT", f"/networks/{network['id']}/tags/x", None),
    ):
        assert cloud.ask("two", method, path, body)[0] == 404, (method, path)
    assert cloud.ask("two", "GET", "/networks")[1] == {"networks": []}
    assert len(cloud.ask("admin", "GET", "/networks")[1]["networks"]) == 1


def test_readers_read_and_do_not_write(cloud: Cloud) -> None:
    network, _ = cloud.tenant_network("one")
    assert cloud.ask("one/reader", "GET", f"/networks/{network['id']}")[0] == 200
    for method, path, body in (
        ("POST", "/networks", {"network": {}}),
        ("PUT", f"/networks/{network['id']}", {"network": {"name": "x"}}),
        ("DELETE", f"/networks/{network['id']}", None),
        ("POST", "/ports", {"port": {"network_id": network["id"]}}),
        ("POST", "/routers", {"router": {}}),
        ("POST", "/security-groups", {"security_group": {"name": "x"}}),
    ):
        assert cloud.ask("one/reader", method, path, body)[0] == 403, (method, path)


def test_only_an_admin_makes_provider_external_and_shared_networks(cloud: Cloud) -> None:
    for field in ({"shared": True}, {"router:external": True}, {"provider:network_type": "flat"}):
        assert cloud.ask("one", "POST", "/networks", {"network": field})[0] == 403, field
    network, _ = cloud.public_network()
    assert network["provider:network_type"] == "flat"
    seen = cloud.ask("one", "GET", "/networks?router:external=True")[1]["networks"]
    assert [one["id"] for one in seen] == [network["id"]]
    assert "provider:network_type" not in seen[0]


def test_bulk_is_all_or_nothing(cloud: Cloud) -> None:
    status, body = cloud.ask("one", "POST", "/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    assert status == 201
    assert [one["name"] for one in body["networks"]] == ["a", "b"]
    bad = {"networks": [{"name": "c"}, {"name": "d", "mtu": 1}]}
    assert cloud.ask("one", "POST", "/networks", bad)[0] == 400
    assert len(cloud.ask("one", "GET", "/networks")[1]["networks"]) == 2


def test_lists_filter_sort_and_page(cloud: Cloud) -> None:
    made = [cloud.make("one", "networks", name=name) for name in ("c", "a", "b")]
    ask = lambda query: cloud.ask("one", "GET", f"/networks?{query}")[1]  # noqa: E731
    assert [one["name"] for one in ask("sort_key=name&sort_dir=asc")["networks"]] == ["a", "b", "c"]
    first = ask("sort_key=name&limit=2")
    assert [one["name"] for one in first["networks"]] == ["a", "b"]
    assert "marker=" in first["networks_links"][0]["href"]
    rest = ask(f"sort_key=name&limit=2&marker={first['networks'][-1]['id']}")
    assert [one["name"] for one in rest["networks"]] == ["c"]
    assert "networks_links" not in rest
    assert ask("name=a&name=c&fields=name&sort_key=name") == {"networks": [{"name": "a"}, {"name": "c"}]}
    assert len(ask("status=ACTIVE&admin_state_up=true")["networks"]) == 3
    assert ask("tenant_id=two")["networks"] == []
    assert cloud.ask("one", "GET", "/networks?nonsense=1")[0] == 400
    assert cloud.ask("one", "GET", "/networks?limit=-1")[0] == 400
    assert cloud.ask("one", "GET", f"/networks?marker={'0' * 36}")[0] == 404
    shown = cloud.ask("one", "GET", f"/networks/{made[0]['id']}?fields=id&fields=name")[1]
    assert shown == {"network": {"id": made[0]["id"], "name": "c"}}


def test_tags(cloud: Cloud) -> None:
    network = cloud.make("one", "networks")
    path = f"/networks/{network['id']}/tags"
    assert cloud.ask("one", "PUT", f"{path}/red")[0] == 201
    assert cloud.ask("one", "GET", f"{path}/red")[0] == 204
    assert cloud.ask("one", "GET", f"{path}/blue")[0] == 404
    assert cloud.ask("one", "PUT", path, {"tags": ["blue", "green"]}) == (200, {"tags": ["blue", "green"]})
    for query, count in (("tags=blue,green", 1), ("tags=blue,red", 0), ("tags-any=blue,red", 1), ("not-tags=red", 1),
                         ("not-tags-any=blue", 0)):  # fmt: skip
        assert len(cloud.ask("one", "GET", f"/networks?{query}")[1]["networks"]) == count, query
    assert cloud.ask("one", "DELETE", f"{path}/blue")[0] == 204
    assert cloud.ask("one", "DELETE", path)[0] == 204
    assert cloud.ask("one", "GET", path)[1] == {"tags": []}


def test_a_subnet_has_its_defaults(cloud: Cloud) -> None:
    network, subnet = cloud.tenant_network("one")
    assert subnet["gateway_ip"] == "10.0.0.1"
    assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert subnet["enable_dhcp"] is True
    assert cloud.ask("one", "GET", f"/networks/{network['id']}")[1]["network"]["subnets"] == [subnet["id"]]


@pytest.mark.parametrize(("fields", "status", "text"), [
    ({"cidr": "10.0.0.128/25"}, 400, "overlaps with another subnet"),
    ({"cidr": "nonsense"}, 400, "not a valid IP subnet"),
    ({"cidr": "10.1.0.0/24", "ip_version": 6}, 400, "does not match"),
    ({"cidr": "10.1.0.0/24", "gateway_ip": "10.2.0.1"}, 400, "not valid on subnet"),
    ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.3"}]}, 400, "not valid"),
    ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.3"}]}, 409, "conflicts"),
    ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.3", "end": "10.3.0.3"}]}, 400, "beyond"),
    ({"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}, 400, "not valid when ip_version is 4"),
    ({"cidr": "fd00::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, 400,
     "same value"),
    ({"cidr": "fd00::/80", "ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}, 400, "/64"),
    ({"cidr": "fd00::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "enable_dhcp": False}, 400, "enable_dhcp"),
    ({"ip_version": 4}, 400, "absence of a cidr"),
    ({"cidr": "10.1.0.0/24", "dns_nameservers": ["x"]}, 400, "not a valid IP"),
    ({"cidr": "10.1.0.0/24", "unknown": 1}, 400, "unknown"),
])  # fmt: skip
def test_bad_subnets_are_refused_in_words(cloud: Cloud, fields: dict[str, Any], status: int, text: str) -> None:
    network, _ = cloud.tenant_network("one")
    answer, body = cloud.ask("one", "POST", "/subnets", {"subnet": {"network_id": network["id"], **fields}})
    assert answer == status, body
    assert text in body["NeutronError"]["message"]


def test_a_used_subnet_and_network_stay(cloud: Cloud) -> None:
    network, subnet = cloud.tenant_network("one")
    port = cloud.make("one", "ports", network_id=network["id"])
    assert cloud.ask("one", "DELETE", f"/subnets/{subnet['id']}")[1]["NeutronError"]["type"] == "SubnetInUse"
    assert cloud.ask("one", "DELETE", f"/networks/{network['id']}")[1]["NeutronError"]["type"] == "NetworkInUse"
    assert cloud.ask("one", "DELETE", f"/ports/{port['id']}")[0] == 204
    assert cloud.ask("one", "DELETE", f"/networks/{network['id']}")[0] == 204
    assert cloud.ask("one", "GET", f"/subnets/{subnet['id']}")[0] == 404


def test_subnets_are_cut_from_a_pool(cloud: Cloud) -> None:
    pool = cloud.make("one", "subnetpools", name="p", prefixes=["10.9.0.0/24"], default_prefixlen=26)
    network = cloud.make("one", "networks")
    cut = lambda **more: cloud.ask(  # noqa: E731
        "one", "POST", "/subnets",
        {"subnet": {"network_id": network["id"], "subnetpool_id": pool["id"], "ip_version": 4, **more}},
    )  # fmt: skip
    assert cut()[1]["subnet"]["cidr"] == "10.9.0.0/26"
    assert cut(prefixlen=27)[1]["subnet"]["cidr"] == "10.9.0.64/27"
    assert cut(prefixlen=25)[1]["subnet"]["cidr"] == "10.9.0.128/25"
    assert cut()[0] == 400
    assert cloud.ask("one", "DELETE", f"/subnetpools/{pool['id']}")[0] == 409


def test_quotas_bind_and_are_counted(cloud: Cloud) -> None:
    assert cloud.ask("one", "PUT", "/quotas/one", {"quota": {"network": 1}})[0] == 403
    assert cloud.ask("admin", "PUT", "/quotas/one", {"quota": {"network": "1"}})[1]["quota"]["network"] == 1
    cloud.make("one", "networks")
    status, error = cloud.ask("one", "POST", "/networks", {"network": {}})
    assert (status, error["NeutronError"]["type"]) == (409, "OverQuota")
    details = cloud.ask("one", "GET", "/quotas/one/details.json")[1]["quota"]
    assert details["network"] == {"limit": 1, "used": 1, "reserved": 0}
    assert cloud.ask("two", "GET", "/quotas/one")[0] == 403
    assert [one["project_id"] for one in cloud.ask("admin", "GET", "/quotas")[1]["quotas"]] == ["one"]
    assert cloud.ask("admin", "DELETE", "/quotas/one")[0] == 204
    assert cloud.ask("one", "GET", "/quotas/one")[1]["quota"]["network"] == 100
    assert cloud.ask("admin", "PUT", "/quotas/one", {"quota": {"nonsense": 1}})[0] == 400


def test_documents(cloud: Cloud) -> None:
    assert cloud.ask("", "GET", "/network/")[1]["versions"][0]["id"] == "v2.0"
    names = [one["name"] for one in cloud.ask("one", "GET", "/network/v2.0/")[1]["resources"]]
    assert {"network", "subnet", "port"} <= set(names)
    for one in cloud.ask("one", "GET", "/extensions")[1]["extensions"]:
        assert cloud.ask("one", "GET", f"/extensions/{one['alias']}") == (200, {"extension": one})
    assert cloud.ask("one", "GET", "/extensions/nonsense")[0] == 404
    assert cloud.ask("one", "GET", "/agents") == (200, {"agents": []})
    assert cloud.ask("one", "GET", "/availability_zones")[1]["availability_zones"][0]["state"] == "available"
    network, _ = cloud.tenant_network("one")
    full = cloud.ask("admin", "GET", f"/network-ip-availabilities/{network['id']}")[1]["network_ip_availability"]
    assert (full["total_ips"], full["used_ips"]) == (253, 1)


def test_if_match(cloud: Cloud) -> None:
    network = cloud.make("one", "networks")
    path, body = f"/networks/{network['id']}", {"network": {"name": "x"}}
    assert cloud.ask("one", "PUT", path, body, if_match="revision_number=7")[0] == 412
    assert cloud.ask("one", "PUT", path, body, if_match="revision_number=1")[0] == 200


def test_the_automatic_topology_is_made_once_shown_and_deleted(cloud: Cloud) -> None:
    path = "/auto-allocated-topology/one"
    status, said = cloud.ask("one", "GET", path)
    assert (status, said["NeutronError"]["type"]) == (409, "AutoAllocationFailure")
    assert cloud.ask("one", "GET", f"{path}?fields=dry-run")[0] == 409
    outside, _ = cloud.public_network()
    passed = cloud.ask("one", "GET", f"{path}?fields=dry-run")[1]["auto_allocated_topology"]
    assert passed["id"] == "dry-run=pass"
    assert cloud.ask("one", "GET", "/networks?name=auto_allocated_network")[1]["networks"] == []
    assert cloud.ask("one/reader", "GET", path)[0] == 403
    made = cloud.ask("one", "GET", path)[1]["auto_allocated_topology"]
    assert made == cloud.ask("admin", "GET", path)[1]["auto_allocated_topology"]
    (router,) = cloud.ask("one", "GET", "/routers")[1]["routers"]
    assert router["external_gateway_info"]["network_id"] == outside["id"]
    assert cloud.ask("two", "GET", path)[0] == cloud.ask("two", "DELETE", path)[0] == 403
    port = cloud.make("one", "ports", network_id=made["id"])
    assert cloud.ask("one", "DELETE", path)[0] == 409
    assert cloud.ask("one", "GET", "/routers")[1]["routers"] == [router]
    assert cloud.ask("one", "DELETE", f"/ports/{port['id']}")[0] == 204
    assert cloud.ask("one", "DELETE", path)[0] == cloud.ask("one", "DELETE", path)[0] == 204
    assert cloud.ask("one", "GET", "/routers")[1]["routers"] == []
    assert cloud.ask("one", "GET", "/networks?project_id=one")[1]["networks"] == []
