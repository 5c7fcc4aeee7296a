"""What OVN should hold, by table: the pure half of the projection."""

from typing import Any

import pytest

from bivouac.core import ovsdb
from bivouac.network.projection.desired import desired
from bivouac.network.projection.difference import COLUMNS, difference
from bivouac.network.projection.firewall import match_of
from bivouac.network.projection.model import Ref, Wanted
from bivouac.network.projection.routers import choose_chassis
from bivouac.network.projection.snapshot import Chassis, Snapshot
from bivouac.network.records import (
    Address,
    FloatingIp,
    Network,
    Port,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
)

S = {"project_id": "p", "created_at": 0.0, "updated_at": 0.0}
NETWORK = Network(id="net", name="private", mtu=1442, **S)
PUBLIC = Network(id="pub", mtu=1500, external=True, network_type="flat", physical_network="public", **S)
SUBNET = Subnet(id="sub", network_id="net", ip_version=4, cidr="10.0.0.0/24", gateway_ip="10.0.0.1",
                allocation_pools=[], dns_nameservers=["9.9.9.9", "1.1.1.1"], **S)  # fmt: skip
OUTSIDE = Subnet(id="out", network_id="pub", ip_version=4, cidr="172.24.4.0/24", gateway_ip="172.24.4.1",
                 allocation_pools=[], enable_dhcp=False, **S)  # fmt: skip
VM = Port(id="vm", network_id="net", mac_address="fa:16:3e:00:00:0a", device_id="server", device_owner="compute:nova",
          security_groups=["g-1"], binding_host="host-1", dns_name="web", **S)  # fmt: skip
METADATA = Port(id="md", network_id="net", mac_address="fa:16:3e:00:00:02", device_owner="network:distributed", **S)
INSIDE = Port(id="in", network_id="net", mac_address="fa:16:3e:00:00:01", device_id="r",
              device_owner="network:router_interface", **S)  # fmt: skip
GATEWAY = Port(id="gw", network_id="pub", mac_address="fa:16:3e:00:00:fe", device_id="r",
               device_owner="network:router_gateway", **S)  # fmt: skip
GROUP = SecurityGroup(id="g-1", name="default", **S)


def held(**addresses: str) -> dict[str, list[Address]]:
    subnets = {"10": "sub", "172": "out"}
    return {
        port: [Address(subnet_id=subnets[one.split(".")[0]], number="", address=one, port_id=port)]
        for port, one in addresses.items()
    }


def whole(**changes: Any) -> Snapshot:
    parts: dict[str, Any] = {
        "networks": [NETWORK, PUBLIC],
        "subnets": {"sub": SUBNET, "out": OUTSIDE},
        "ports": [VM, METADATA, INSIDE, GATEWAY],
        "addresses": held(vm="10.0.0.10", md="10.0.0.2", **{"in": "10.0.0.1"}, gw="172.24.4.10"),
        "routers": [Router(id="r", name="r", gateway_network_id="pub", gateway_port_id="gw",
                           routes=[{"destination": "10.9.0.0/24", "nexthop": "10.0.0.9"}], **S)],
        "floating_ips": [FloatingIp(id="f", floating_network_id="pub", floating_ip_address="172.24.4.20",
                                    floating_port_id="fp", port_id="vm", fixed_ip_address="10.0.0.10", router_id="r",
                                    **S)],
        "security_groups": [GROUP],
        "rules": [SecurityGroupRule(id="rule", security_group_id="g-1", direction="ingress",
                                    remote_group_id="g-1", **S)],
        "chassis": (Chassis("host-1", ("public",)), Chassis("host-2")),
    }  # fmt: skip
    return Snapshot(**{**parts, **changes})


def row(wanted: Wanted, table: str, key: str) -> dict[str, Any]:
    return wanted[Ref(table, key)]


def test_the_whole_picture() -> None:
    wanted = desired(whole())
    switch = row(wanted, "Logical_Switch", "net")
    assert {ref.key for ref in switch["ports"]} == {"vm", "md", "in"}
    vm = row(wanted, "Logical_Switch_Port", "vm")
    assert vm["addresses"] == vm["port_security"] == ["fa:16:3e:00:00:0a 10.0.0.10"]
    assert vm["options"] == {"requested-chassis": "host-1"}
    assert vm["dhcpv4_options"] == [Ref("DHCP_Options", "dhcp-sub")]
    assert row(wanted, "Logical_Switch_Port", "md")["type"] == "localport"
    assert row(wanted, "Logical_Switch_Port", "in")["options"] == {"router-port": "lrp-in"}
    assert row(wanted, "Logical_Switch_Port", "gw")["options"]["nat-addresses"] == "router"
    assert row(wanted, "Logical_Switch_Port", "provider-pub")["options"] == {"network_name": "public"}
    dhcp = row(wanted, "DHCP_Options", "dhcp-sub")["options"]
    assert (dhcp["router"], dhcp["mtu"], dhcp["dns_server"]) == ("10.0.0.1", "1442", "{9.9.9.9, 1.1.1.1}")
    assert dhcp["classless_static_route"] == "{169.254.169.254/32,10.0.0.2, 0.0.0.0/0,10.0.0.1}"
    assert row(wanted, "DNS", "dns-net")["records"]["web"] == "10.0.0.10"
    router = row(wanted, "Logical_Router", "r")
    assert {ref.key for ref in router["nat"]} == {"snat-r-sub", "floating-f"}
    assert {(wanted[ref]["ip_prefix"], wanted[ref]["nexthop"]) for ref in router["static_routes"]} == {
        ("10.9.0.0/24", "10.0.0.9"), ("0.0.0.0/0", "172.24.4.1")}  # fmt: skip
    assert row(wanted, "Logical_Router_Port", "gw")["networks"] == ["172.24.4.10/24"]
    assert [ref.key for ref in row(wanted, "Logical_Router_Port", "gw")["gateway_chassis"]] == ["gw-host-1"]
    assert row(wanted, "Port_Group", "g-1")["ports"] == [Ref("Logical_Switch_Port", "vm")]
    assert row(wanted, "Port_Group", "pg_drop")["ports"] == [Ref("Logical_Switch_Port", "vm")]


def test_without_port_security_nothing_is_filtered() -> None:
    from msgspec.structs import replace

    free = replace(VM, port_security_enabled=False, security_groups=[])
    wanted = desired(whole(ports=[free]))
    port = row(wanted, "Logical_Switch_Port", "vm")
    assert port["addresses"] == ["fa:16:3e:00:00:0a 10.0.0.10", "unknown"]
    assert port["port_security"] == []
    assert not [ref for ref in wanted if ref.table in ("Port_Group", "ACL")]


def test_pairs_and_own_dhcp_options() -> None:
    from msgspec.structs import replace

    pairs = [{"ip_address": "10.0.0.99"}, {"ip_address": "10.0.0.98", "mac_address": "fa:16:3e:00:00:98"}]
    options = [{"opt_name": "bootfile-name", "opt_value": 'a"b', "ip_version": 4},
               {"opt_name": "nonsense", "opt_value": "x", "ip_version": 4}]  # fmt: skip
    port = replace(VM, allowed_address_pairs=pairs, extra_dhcp_opts=options)
    wanted = desired(whole(ports=[port, METADATA]))
    columns = row(wanted, "Logical_Switch_Port", "vm")
    assert columns["port_security"] == ["fa:16:3e:00:00:0a 10.0.0.10 10.0.0.99", "fa:16:3e:00:00:98 10.0.0.98"]
    assert columns["addresses"] == ["fa:16:3e:00:00:0a 10.0.0.10", "fa:16:3e:00:00:98"]
    (ref,) = columns["dhcpv4_options"]
    assert wanted[ref]["options"]["bootfile_name"] == '"ab"'
    assert wanted[ref]["options"]["router"] == "10.0.0.1"


@pytest.mark.parametrize(("fields", "match"), [
    ({}, "outport == @pg_g_1 && ip4"),
    ({"direction": "egress", "ethertype": "IPv6"}, "inport == @pg_g_1 && ip6"),
    ({"remote_ip_prefix": "0.0.0.0/0"}, "outport == @pg_g_1 && ip4"),
    ({"remote_ip_prefix": "10.0.0.0/8"}, "outport == @pg_g_1 && ip4 && ip4.src == 10.0.0.0/8"),
    ({"remote_ip_prefix": "10.0.0.1/8"}, "outport == @pg_g_1 && ip4 && ip4.src == 10.0.0.0/8"),
    ({"direction": "egress", "remote_ip_prefix": "10.0.0.0/8"}, "inport == @pg_g_1 && ip4 && ip4.dst == 10.0.0.0/8"),
    ({"remote_group_id": "g-2"}, "outport == @pg_g_1 && ip4 && ip4.src == $pg_g_2_ip4"),
    ({"protocol": "tcp"}, "outport == @pg_g_1 && ip4 && tcp"),
    ({"protocol": "6", "port_range_min": 22, "port_range_max": 22},
     "outport == @pg_g_1 && ip4 && tcp && tcp.dst == 22"),
    ({"protocol": "udp", "port_range_min": 1, "port_range_max": 9},
     "outport == @pg_g_1 && ip4 && udp && udp.dst >= 1 && udp.dst <= 9"),
    ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}, "outport == @pg_g_1 && ip4 && tcp"),
    ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
     "outport == @pg_g_1 && ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0"),
    ({"protocol": "ipv6-icmp", "ethertype": "IPv6"}, "outport == @pg_g_1 && ip6 && icmp6"),
    ({"protocol": "vrrp"}, "outport == @pg_g_1 && ip4 && ip.proto == 112"),
    ({"protocol": "udplite", "port_range_min": 5, "port_range_max": 5}, None),
])  # fmt: skip
def test_rules_in_the_match_language(fields: dict[str, Any], match: str | None) -> None:
    rule = SecurityGroupRule(**{"id": "x", "security_group_id": "g-1", "direction": "ingress", **S, **fields})
    assert match_of(rule) == match


def test_a_chassis_that_comes_moves_no_gateway_but_its_own() -> None:
    few = tuple(Chassis(f"host-{number}", ("public",)) for number in range(4))
    more = (*few, Chassis("host-9", ("public",)))
    for port in map(str, range(50)):
        before, after = choose_chassis(few, "public", port)[0], choose_chassis(more, "public", port)[0]
        assert after in (before, Chassis("host-9", ("public",)))
    assert choose_chassis(few, "elsewhere", "x") == []


class Database:
    """Just enough of a database to apply the operations to: what the real one does is in tests/real/net."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in COLUMNS}

    def apply(self, operations: list[ovsdb.Operation]) -> None:
        uuids = {one["uuid-name"]: f"uuid-{len(self.tables[one['table']])}-{one['table']}-{one['uuid-name']}"
                 for one in operations if one["op"] == "insert"}  # fmt: skip
        for one in operations:
            rows = self.tables[one["table"]]
            if one["op"] == "insert":
                blank: dict[str, Any] = {name: ["set", []] for name in COLUMNS[one["table"]]}
                rows[uuids[one["uuid-name"]]] = {**blank, **{k: self._real(v, uuids) for k, v in one["row"].items()}}
                continue
            uuid = one["where"][0][2][1]
            if one["op"] == "delete":
                del rows[uuid]
            elif one["op"] == "update":
                rows[uuid].update({k: self._real(v, uuids) for k, v in one["row"].items()})
            else:
                for column, verb, values in one["mutations"]:
                    have = ovsdb.from_set(rows[uuid][column])
                    some = ovsdb.from_set(self._real(values, uuids))
                    have = [x for x in have if x not in some] if verb == "delete" else [*have, *some]
                    rows[uuid][column] = ["set", [["uuid", x] for x in have]]

    def _real(self, value: Any, uuids: dict[str, str]) -> Any:
        if isinstance(value, list) and value and value[0] == "named-uuid":
            return ["uuid", uuids[value[1]]]
        if isinstance(value, list) and value and value[0] == "set":
            return ["set", [self._real(one, uuids) for one in value[1]]]
        return value


def test_applying_the_difference_leaves_none() -> None:
    database = Database()
    database.tables["Logical_Switch"]["foreign"] = {"name": "x", "ports": ["set", []], "external_ids": ["map", []]}
    for snapshot in (whole(), whole(floating_ips=[]), whole(ports=[VM]), whole(), Snapshot()):
        wanted = desired(snapshot)
        database.apply(difference(wanted, database.tables))
        assert difference(wanted, database.tables) == []
    assert list(database.tables["Logical_Switch"]) == ["foreign"]


def test_one_more_port_costs_one_reference() -> None:
    database = Database()
    many = [Port(id=f"p{n}", network_id="net", mac_address=f"fa:16:3e:00:01:{n:02x}", **S) for n in range(50)]
    database.apply(difference(desired(whole(ports=many)), database.tables))
    more = Port(id="more", network_id="net", mac_address="fa:16:3e:00:02:00", **S)
    operations = difference(desired(whole(ports=[*many, more])), database.tables)
    assert sorted(one["op"] for one in operations) == ["insert", "mutate", "mutate"]
    assert all(len(m[2][1]) == 1 for one in operations if one["op"] == "mutate" for m in one["mutations"])
