"""Security groups as port groups with ACLs. What no rule allows is dropped, for every port with port security.

IPv6 neighbour discovery is let through by OVN itself; DHCP is let out by us, as a guest cannot choose to need it.
"""

from ..records import METADATA, Port, SecurityGroup, SecurityGroupRule
from ..service.security_groups import ICMP, ICMPV6, WITH_PORTS, protocol_number
from .model import Draft, Ref
from .snapshot import Snapshot

DROP, ALLOW = 1001, 1002
DROP_GROUP = "pg_drop"
_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}
_DIRECTIONS = (("from-lport", "inport"), ("to-lport", "outport"))


def group_name(group_id: str) -> str:
    """Name of a group's port group: an identifier of OVN's match language."""
    return "pg_" + group_id.replace("-", "_")


def is_filtered(port: Port) -> bool:
    return port.port_security_enabled and not port.device_owner.startswith("network:")


def add(draft: Draft, snapshot: Snapshot) -> None:
    """A port group for each security group, and one for all that drops the rest."""
    filtered = [port for port in snapshot.ports if is_filtered(port) and port.device_owner != METADATA]
    members: dict[str, list[Ref]] = {group.id: [] for group in snapshot.security_groups}
    for port in filtered:
        for group_id in port.security_groups:
            members[group_id].append(Ref("Logical_Switch_Port", port.id))
    used = {group.id for group in snapshot.security_groups if members[group.id]}
    remote = {rule.remote_group_id for rule in snapshot.rules if rule.security_group_id in used}
    rules: dict[str, list[SecurityGroupRule]] = {}
    for rule in snapshot.rules:
        rules.setdefault(rule.security_group_id, []).append(rule)
    for group in snapshot.security_groups:
        if group.id in used or group.id in remote:
            _group(draft, group, members[group.id], rules.get(group.id, []))
    if filtered:
        acls = _drop_acls(draft)
        draft.add(
            "Port_Group", DROP_GROUP, name=DROP_GROUP, acls=acls,
            ports=[Ref("Logical_Switch_Port", port.id) for port in filtered],
        )  # fmt: skip


def _group(draft: Draft, group: SecurityGroup, ports: list[Ref], rules: list[SecurityGroupRule]) -> None:
    name = group_name(group.id)
    acls = []
    for rule in rules:
        match = match_of(rule)
        if match is not None:
            acls.append(
                draft.add(
                    "ACL", rule.id, direction="to-lport" if rule.direction == "ingress" else "from-lport",
                    priority=ALLOW, match=match, action="allow-related" if group.stateful else "allow-stateless",
                )
            )  # fmt: skip
    draft.add("Port_Group", group.id, {"group-name": group.name}, name=name, ports=ports, acls=acls)


def _drop_acls(draft: Draft) -> list[Ref]:
    refs = [
        draft.add(
            "ACL", f"drop-{direction}", direction=direction, priority=DROP, match=f"{port} == @{DROP_GROUP} && ip",
            action="drop",
        )
        for direction, port in _DIRECTIONS
    ]  # fmt: skip
    for version, client, server in ((4, 68, 67), (6, 546, 547)):
        refs.append(
            draft.add(
                "ACL", f"dhcpv{version}", direction="from-lport", priority=ALLOW, action="allow",
                match=f"inport == @{DROP_GROUP} && ip{version} && udp.src == {client} && udp.dst == {server}",
            )
        )  # fmt: skip
    return refs


def match_of(rule: SecurityGroupRule) -> str | None:
    """A rule in OVN's match language; None for what it cannot say, which then is not allowed (ports of DCCP and
    UDP-Lite)."""
    ingress = rule.direction == "ingress"
    version = rule.ethertype[-1]
    parts = [f"{'outport' if ingress else 'inport'} == @{group_name(rule.security_group_id)}", f"ip{version}"]
    field = f"ip{version}.{'src' if ingress else 'dst'}"
    if rule.normalized_cidr and not rule.normalized_cidr.endswith("/0"):
        parts.append(f"{field} == {rule.normalized_cidr}")
    if rule.remote_group_id:
        parts.append(f"{field} == ${group_name(rule.remote_group_id)}_ip{version}")
    if rule.protocol is None:
        return " && ".join(parts)
    number = protocol_number(rule.protocol)
    if number in (ICMP, ICMPV6):
        parts += _icmp(rule, version)
    elif number in _NAMES:
        parts += _ports(rule, _NAMES[number])
    elif number in WITH_PORTS and rule.port_range_min is not None:
        return None
    else:
        parts.append(f"ip.proto == {number}")
    return " && ".join(parts)


def _icmp(rule: SecurityGroupRule, version: str) -> list[str]:
    name = f"icmp{version}"
    parts = [name]
    if rule.port_range_min is not None:
        parts.append(f"{name}.type == {rule.port_range_min}")
    if rule.port_range_max is not None:
        parts.append(f"{name}.code == {rule.port_range_max}")
    return parts


def _ports(rule: SecurityGroupRule, name: str) -> list[str]:
    low, high = rule.port_range_min, rule.port_range_max
    if low is None or high is None or (low <= 1 and high >= 65535):
        return [name]
    if low == high:
        return [name, f"{name}.dst == {low}"]
    return [name, f"{name}.dst >= {low}", f"{name}.dst <= {high}"]
