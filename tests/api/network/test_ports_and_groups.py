"""Ports, security groups and their rules through the API."""

from typing import Any

import pytest

from .client import Cloud


def test_a_port_gets_address_mac_and_default_group(cloud: Cloud) -> None:
    network, subnet = cloud.tenant_network("one")
    port = cloud.make("one", "ports", network_id=network["id"])
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.3"}]
    assert port["mac_address"].startswith("fa:16:3e:")
    (group,) = cloud.ask("one", "GET", "/security-groups")[1]["security_groups"]
    assert (group["name"], port["security_groups"]) == ("default", [group["id"]])
    assert port["status"] == "DOWN"
    assert "binding:host_id" not in port
    assert cloud.ask("admin", "GET", f"/ports/{port['id']}")[1]["port"]["binding:vif_type"] == "unbound"


def test_addresses_are_chosen_kept_and_given_back(cloud: Cloud) -> None:
    network, subnet = cloud.tenant_network("one")
    where = {"network_id": network["id"]}
    one = cloud.make("one", "ports", **where, fixed_ips=[{"ip_address": "10.0.0.9"}, {"subnet_id": subnet["id"]}])
    assert [ip["ip_address"] for ip in one["fixed_ips"]] == ["10.0.0.9", "10.0.0.10"]
    taken = cloud.ask("one", "POST", "/ports", {"port": {**where, "fixed_ips": [{"ip_address": "10.0.0.9"}]}})
    assert (taken[0], taken[1]["NeutronError"]["type"]) == (409, "IpAddressAlreadyAllocated")
    outside = cloud.ask("one", "POST", "/ports", {"port": {**where, "fixed_ips": [{"ip_address": "192.0.2.1"}]}})
    assert (outside[0], outside[1]["NeutronError"]["type"]) == (400, "InvalidIpForNetwork")
    body = {"port": {"fixed_ips": [{"subnet_id": subnet["id"]}]}}
    kept = cloud.ask("one", "PUT", f"/ports/{one['id']}", body)[1]["port"]
    assert kept["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.9"}]
    assert kept["revision_number"] > one["revision_number"]
    for query, count in (
        ("ip_address=10.0.0.9", 1),
        ("ip_address=10.0.0.10", 0),
        ("ip_address_substr=0.0.9", 1),
        (f"subnet_id={subnet['id']}", 2),
    ):
        found = cloud.ask("one", "GET", f"/ports?fixed_ips={query.replace('=', '%3D')}")[1]["ports"]
        assert len(found) == count, query


def test_a_full_network_says_so(cloud: Cloud) -> None:
    network = cloud.make("one", "networks")
    pools = [{"start": "10.1.0.5", "end": "10.1.0.6"}]
    cloud.make("one", "subnets", network_id=network["id"], cidr="10.1.0.0/24", ip_version=4, allocation_pools=pools,
               enable_dhcp=False)  # fmt: skip
    first = cloud.make("one", "ports", network_id=network["id"])
    cloud.make("one", "ports", network_id=network["id"])
    status, error = cloud.ask("one", "POST", "/ports", {"port": {"network_id": network["id"]}})
    assert (status, error["NeutronError"]["type"]) == (409, "IpAddressGenerationFailure")
    cloud.ask("one", "DELETE", f"/ports/{first['id']}")
    assert cloud.make("one", "ports", network_id=network["id"])["fixed_ips"] == first["fixed_ips"]


def test_ipv6_addresses_follow_their_mode(cloud: Cloud) -> None:
    network = cloud.make("one", "networks")
    slaac = cloud.make("one", "subnets", network_id=network["id"], cidr="fd00:1::/64", ip_version=6,
                       ipv6_ra_mode="slaac", ipv6_address_mode="slaac")  # fmt: skip
    stateful = cloud.make("one", "subnets", network_id=network["id"], cidr="fd00:2::/64", ip_version=6,
                          ipv6_ra_mode="dhcpv6-stateful", ipv6_address_mode="dhcpv6-stateful")  # fmt: skip
    port = cloud.make("one", "ports", network_id=network["id"], mac_address="fa:16:3e:01:02:03")
    by_subnet = {ip["subnet_id"]: ip["ip_address"] for ip in port["fixed_ips"]}
    assert by_subnet == {slaac["id"]: "fd00:1::f816:3eff:fe01:203", stateful["id"]: "fd00:2::2"}
    later = cloud.make("one", "subnets", network_id=network["id"], cidr="fd00:3::/64", ip_version=6,
                       ipv6_address_mode="dhcpv6-stateless")  # fmt: skip
    shown = cloud.ask("one", "GET", f"/ports/{port['id']}")[1]["port"]
    assert {"subnet_id": later["id"], "ip_address": "fd00:3::f816:3eff:fe01:203"} in shown["fixed_ips"]
    assert cloud.ask("one", "DELETE", f"/subnets/{later['id']}")[0] == 204
    assert len(cloud.ask("one", "GET", f"/ports/{port['id']}")[1]["port"]["fixed_ips"]) == 2
    wrong = {"port": {"network_id": network["id"], "fixed_ips": [{"ip_address": "fd00:1::5"}]}}
    assert cloud.ask("one", "POST", "/ports", wrong)[1]["NeutronError"]["type"] == "AllocationOnAutoAddressSubnet"


@pytest.mark.parametrize(("fields", "status"), [
    ({"mac_address": "nonsense"}, 400), ({"mac_address": "01:00:00:00:00:01"}, 400), ({"fixed_ips": [{}]}, 400),
    ({"fixed_ips": [{"subnet_id": "none"}]}, 400), ({"security_groups": ["none"]}, 404),
    ({"allowed_address_pairs": [{"ip_address": "x"}]}, 400), ({"allowed_address_pairs": [{"mac_address": "x"}]}, 400),
    ({"port_security_enabled": False, "allowed_address_pairs": [{"ip_address": "1.2.3.4"}]}, 409),
    ({"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1", "ip_version": 5}]}, 400),
    ({"binding:vnic_type": "magic"}, 400), ({"binding:host_id": "host-1"}, 403), ({"network_id": None}, 400),
    ({"name": "x" * 300}, 400), ({"name": 5}, 400),
    ({"dns_name": "a b"}, 400), ({"dns_name": "web.example"}, 201), ({"device_owner": "network:dhcp"}, 201),
])  # fmt: skip
def test_bad_ports_are_refused(cloud: Cloud, fields: dict[str, Any], status: int) -> None:
    network, _ = cloud.tenant_network("one")
    answer, body = cloud.ask("one", "POST", "/ports", {"port": {"network_id": network["id"], **fields}})
    assert answer == status, body
    if status != 201:
        assert body["NeutronError"]["message"]


def test_guests_of_a_shared_network_may_not_choose_its_addresses(cloud: Cloud) -> None:
    network = cloud.make("admin", "networks", shared=True)
    cloud.make("admin", "subnets", network_id=network["id"], cidr="10.7.0.0/24", ip_version=4)
    assert cloud.ask("one", "POST", "/ports", {"port": {"network_id": network["id"]}})[0] == 201
    for field in (
        {"fixed_ips": [{"ip_address": "10.7.0.9"}]},
        {"mac_address": "fa:16:3e:00:00:01"},
        {"port_security_enabled": False},
        {"allowed_address_pairs": [{"ip_address": "10.7.0.1"}]},
        {"device_owner": "network:router_interface"},
    ):
        assert cloud.ask("one", "POST", "/ports", {"port": {"network_id": network["id"], **field}})[0] == 403, field


def test_extra_dhcp_options_merge(cloud: Cloud) -> None:
    network, _ = cloud.tenant_network("one")
    options = [{"opt_name": "mtu", "opt_value": "1400"}, {"opt_name": "bootfile-name", "opt_value": "x"}]
    port = cloud.make("one", "ports", network_id=network["id"], extra_dhcp_opts=options)
    change = [{"opt_name": "mtu", "opt_value": None}, {"opt_name": "bootfile-name", "opt_value": "y"}]
    changed = cloud.ask("one", "PUT", f"/ports/{port['id']}", {"port": {"extra_dhcp_opts": change}})[1]["port"]
    assert changed["extra_dhcp_opts"] == [{"opt_name": "bootfile-name", "opt_value": "y", "ip_version": 4}]


def test_a_new_group_lets_everything_out(cloud: Cloud) -> None:
    group = cloud.make("one", "security-groups", name="web")
    assert [(rule["direction"], rule["ethertype"], rule["protocol"]) for rule in group["security_group_rules"]] == [
        ("egress", "IPv4", None), ("egress", "IPv6", None)]  # fmt: skip
    (default,) = cloud.ask("one", "GET", "/security-groups?name=default")[1]["security_groups"]
    assert sorted((one["direction"], one["remote_group_id"] or "") for one in default["security_group_rules"]) == [
        ("egress", ""), ("egress", ""), ("ingress", default["id"]), ("ingress", default["id"])]  # fmt: skip
    assert cloud.ask("one", "DELETE", f"/security-groups/{default['id']}")[0] == 409
    assert cloud.ask("admin", "DELETE", f"/security-groups/{default['id']}")[0] == 204
    assert cloud.ask("one", "POST", "/security-groups", {"security_group": {"name": "default"}})[0] == 409
    assert cloud.ask("two", "GET", f"/security-groups/{group['id']}")[0] == 404


@pytest.mark.parametrize(("fields", "status"), [
    ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, 201),
    ({"protocol": "TCP", "port_range_min": "22", "port_range_max": "80"}, 201),
    ({"protocol": 6, "port_range_min": 1, "port_range_max": 65535}, 201),
    ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, 201),
    ({"protocol": "vrrp"}, 201), ({"protocol": 255}, 201), ({"protocol": None}, 201), ({"protocol": "any"}, 201),
    ({"protocol": "tcp"}, 201), ({"remote_ip_prefix": "10.0.0.0/8"}, 201), ({"remote_ip_prefix": "10.0.0.1"}, 201),
    ({"ethertype": "IPv6", "protocol": "icmpv6"}, 201), ({"ethertype": "IPv6", "remote_ip_prefix": "::/0"}, 201),
    ({"protocol": "bad"}, 400), ({"protocol": 256}, 400), ({"protocol": -1}, 400), ({"ethertype": "bad"}, 400),
    ({"direction": "sideways"}, 400), ({"remote_ip_prefix": "bad"}, 400), ({"remote_ip_prefix": "::/0"}, 400),
    ({"port_range_min": 1, "port_range_max": 2}, 400), ({"protocol": "tcp", "port_range_min": 5}, 400),
    ({"protocol": "tcp", "port_range_min": 9, "port_range_max": 5}, 400),
    ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 5}, 400),
    ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65536}, 400),
    ({"protocol": "icmp", "port_range_min": 256}, 400), ({"protocol": "icmp", "port_range_max": 5}, 400),
    ({"protocol": "ah", "port_range_min": 1, "port_range_max": 2}, 400), ({"protocol": "icmpv6"}, 400),
    ({"remote_group_id": "none"}, 404), ({"security_group_id": "none"}, 404),
    ({"remote_group_id": "self", "remote_ip_prefix": "10.0.0.0/8"}, 400),
])  # fmt: skip
def test_rules_are_taken_or_refused(cloud: Cloud, fields: dict[str, Any], status: int) -> None:
    group = cloud.make("one", "security-groups", name="web")
    fields = {key: group["id"] if value == "self" else value for key, value in fields.items()}
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **fields}}
    answer, said = cloud.ask("one", "POST", "/security-group-rules", body)
    assert answer == status, said
    if status == 201:
        again, said = cloud.ask("one", "POST", "/security-group-rules", body)
        assert (again, said["NeutronError"]["type"]) == (409, "SecurityGroupRuleExists")


def test_a_remote_prefix_is_shown_as_given_and_normalized(cloud: Cloud) -> None:
    group = cloud.make("one", "security-groups", name="web")
    fields = {"security_group_id": group["id"], "direction": "ingress"}
    for given, shown, normalized in (
        ("10.2.3.124/24", "10.2.3.124/24", "10.2.3.0/24"), ("10.2.3.4", "10.2.3.4/32", "10.2.3.4/32"),
    ):  # fmt: skip
        rule = cloud.make("one", "security-group-rules", remote_ip_prefix=given, **fields)
        assert (rule["remote_ip_prefix"], rule["normalized_cidr"]) == (shown, normalized)


def test_a_group_in_use_stays(cloud: Cloud) -> None:
    network, _ = cloud.tenant_network("one")
    group = cloud.make("one", "security-groups", name="web")
    port = cloud.make("one", "ports", network_id=network["id"], security_groups=[group["id"]])
    found = cloud.ask("one", "GET", f"/ports?security_groups={group['id']}")[1]["ports"]
    assert [one["id"] for one in found] == [port["id"]]
    assert cloud.ask("one", "DELETE", f"/security-groups/{group['id']}")[1]["NeutronError"]["type"] == (
        "SecurityGroupInUse")  # fmt: skip
    off = {"port": {"port_security_enabled": False}}
    assert cloud.ask("one", "PUT", f"/ports/{port['id']}", off)[1]["NeutronError"]["type"] == (
        "PortSecurityPortHasSecurityGroup")  # fmt: skip
    off["port"]["security_groups"] = []
    assert cloud.ask("one", "PUT", f"/ports/{port['id']}", off)[0] == 200
    assert cloud.ask("one", "DELETE", f"/security-groups/{group['id']}")[0] == 204
