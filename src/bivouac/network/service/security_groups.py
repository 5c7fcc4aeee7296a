"""Security groups and their rules: stateful allow lists; what no rule allows is dropped.

Protocol names and numbers are those of Neutron's API reference, "Security group rules".
"""

import ipaddress
from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import Conflict
from bivouac.core.store import Tx

from .. import addressing
from ..bodies import NewSecurityGroup, NewSecurityGroupRule, SecurityGroupChange
from ..records import PortSecurityGroup, SecurityGroup, SecurityGroupRule
from . import quotas
from .standard import (
    changed,
    check_revision,
    fresh,
    get,
    given,
    in_use,
    invalid,
    not_found,
    owner,
    project_of,
    target,
    touch,
)

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "ipv6-icmp": 58, "igmp": 2,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89,
    "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112, "hopopt": 0,
}  # fmt: skip
WITH_PORTS = {6, 17, 33, 132, 136}
ICMP, ICMPV6 = 1, 58


def default_group(tx: Tx, call: Call, project_id: str) -> SecurityGroup:
    """The project's default group, made on first use: all out, and in from its own members."""
    group = tx.first(SecurityGroup, "WHERE project_id = ? AND is_default = 1", project_id)
    if group is not None:
        return group
    group = tx.insert(
        SecurityGroup(**fresh(call, project_id, "Default security group"), name="default", is_default=True)
    )
    _add_first_rules(tx, call, group)
    for ethertype in ("IPv4", "IPv6"):
        tx.insert(
            SecurityGroupRule(
                **fresh(call, project_id), security_group_id=group.id, direction="ingress", ethertype=ethertype,
                remote_group_id=group.id,
            )
        )  # fmt: skip
    changed(tx)
    return group


def create(tx: Tx, call: Call, body: NewSecurityGroup) -> SecurityGroup:
    """A group that lets everything out. Raises BadRequest, Forbidden, Conflict (a second `default`), OverQuota."""
    project_id = owner(call, project_of(body))
    call.enforce("create_security_group", {"project_id": project_id, "tenant_id": project_id})
    default_group(tx, call, project_id)
    name = body.name if body.name is not UNSET else ""
    if name.lower() == "default":
        raise in_use("Default security group already exists.", "SecurityGroupDefaultAlreadyExists")
    quotas.claim(tx, project_id, "security_group")
    group = tx.insert(SecurityGroup(**fresh(call, project_id, body.description), name=name, **given(body, "stateful")))
    _add_first_rules(tx, call, group)
    changed(tx)
    return group


def update(tx: Tx, call: Call, id: str, body: SecurityGroupChange, revision: int | None = None) -> SecurityGroup:
    """Rename a group. Raises NotFound, BadRequest, Forbidden, Conflict."""
    group = get(tx, call, SecurityGroup, id)
    call.enforce("update_security_group", target(group))
    check_revision(revision, group)
    fields: dict[str, Any] = given(body, "name", "stateful")
    if body.description is not UNSET:
        fields["description"] = body.description or ""
    if group.is_default and "name" in fields and fields["name"] != group.name:
        raise in_use("Updating default security group not allowed.", "SecurityGroupCannotUpdateDefault")
    if not group.is_default and fields.get("name", "").lower() == "default":
        raise in_use("Default security group already exists.", "SecurityGroupDefaultAlreadyExists")
    if "stateful" in fields and fields["stateful"] != group.stateful and _in_use(tx, id):
        raise in_use(f"Security Group {id} in use.", "SecurityGroupInUse")
    return touch(tx, call, group, **fields)


def delete(tx: Tx, call: Call, id: str) -> None:
    """Remove a group. Raises NotFound, Forbidden, Conflict (ports use it, or it is the owner's default)."""
    group = get(tx, call, SecurityGroup, id)
    call.enforce("delete_security_group", target(group))
    if group.is_default and not call.is_admin:
        raise in_use("Insufficient rights for removing default security group.", "SecurityGroupCannotRemoveDefault")
    if _in_use(tx, id):
        raise in_use(f"Security Group {id} in use.", "SecurityGroupInUse")
    tx.delete_where(SecurityGroupRule, "security_group_id = ? OR remote_group_id = ?", id, id)
    tx.delete(group)
    changed(tx)


def create_rule(tx: Tx, call: Call, body: NewSecurityGroupRule) -> SecurityGroupRule:
    """A rule. Raises NotFound (groups), BadRequest, Forbidden, Conflict (it exists), OverQuota."""
    group = get(tx, call, SecurityGroup, body.security_group_id)
    wanted = project_of(body)
    project_id = owner(call, wanted if wanted is not UNSET else group.project_id)
    call.enforce("create_security_group_rule", {"project_id": group.project_id, "tenant_id": group.project_id})
    quotas.claim(tx, group.project_id, "security_group_rule")
    fields = _checked(tx, call, body)
    twin = next(
        (one for one in tx.select(SecurityGroupRule, "WHERE security_group_id = ?", group.id)
         if all(getattr(one, name) == value for name, value in fields.items())), None,
    )  # fmt: skip
    if twin is not None:
        raise Conflict(f"Security group rule already exists. Rule id is {twin.id}.", type="SecurityGroupRuleExists")
    rule = tx.insert(
        SecurityGroupRule(**fresh(call, project_id, body.description), security_group_id=group.id, **fields)
    )
    touch(tx, call, group, updated_at=call.now)
    changed(tx)
    return rule


def delete_rule(tx: Tx, call: Call, id: str) -> None:
    """Remove a rule. Raises NotFound, Forbidden."""
    rule = get(tx, call, SecurityGroupRule, id)
    call.enforce("delete_security_group_rule", target(rule))
    tx.delete(rule)
    changed(tx)


def check_visible(tx: Tx, call: Call, ids: list[str], project_id: str) -> None:
    """All of the groups must be there and the project's own. Raises NotFound."""
    for id in set(ids):
        group = tx.get(SecurityGroup, id)
        if group is None or not (call.is_admin or group.project_id in (call.project_id, project_id)):
            raise not_found(SecurityGroup, id)


def _add_first_rules(tx: Tx, call: Call, group: SecurityGroup) -> None:
    for ethertype in ("IPv4", "IPv6"):
        tx.insert(
            SecurityGroupRule(
                **fresh(call, group.project_id), security_group_id=group.id, direction="egress", ethertype=ethertype
            )
        )


def _in_use(tx: Tx, id: str) -> bool:
    return tx.count(PortSecurityGroup, "WHERE security_group_id = ?", id) > 0


def protocol_number(protocol: str) -> int:
    """The number of a protocol by name or number."""
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def _checked(tx: Tx, call: Call, body: NewSecurityGroupRule) -> dict[str, Any]:
    """The fields of a rule, in one canonical form so that twins are equal. Raises BadRequest, NotFound."""
    if body.direction not in ("ingress", "egress"):
        raise invalid(f"Invalid input for direction. Reason: '{body.direction}' is not in ['ingress', 'egress'].",
                      "HTTPBadRequest")  # fmt: skip
    sent = body.ethertype if body.ethertype not in (UNSET, None) else "IPv4"
    ethertype = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(str(sent).lower())
    if ethertype is None:
        raise invalid(f"Invalid input for ethertype. Reason: '{sent}' is not in ['IPv4', 'IPv6'].", "HTTPBadRequest")
    protocol = _protocol(body.protocol, ethertype)
    low, high = _number(body.port_range_min, "port_range_min"), _number(body.port_range_max, "port_range_max")
    _check_ports(protocol, low, high)
    prefix = None if body.remote_ip_prefix in (UNSET, None, "") else body.remote_ip_prefix
    group_id = None if body.remote_group_id in (UNSET, None, "") else body.remote_group_id
    if prefix and group_id:
        raise invalid("Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
                      "SecurityGroupMultipleRemoteEntites")  # fmt: skip
    if prefix:
        text = prefix if "/" in prefix else f"{prefix}/{32 if ':' not in prefix else 128}"
        if f"IPv{addressing.parse_cidr(text, 'remote_ip_prefix').version}" != ethertype:
            raise invalid(f"Conflicting value ethertype {ethertype} for CIDR {prefix}",
                          "SecurityGroupRuleParameterConflict")  # fmt: skip
        # Shown with its host bits, as it was given; `normalized_cidr` is the one without.
        prefix = str(ipaddress.ip_interface(text))
    if group_id:
        get(tx, call, SecurityGroup, group_id)
    return {
        "direction": body.direction, "ethertype": ethertype, "protocol": protocol, "port_range_min": low,
        "port_range_max": high, "remote_ip_prefix": prefix, "remote_group_id": group_id,
    }  # fmt: skip


def _protocol(wanted: Any, ethertype: str) -> str | None:
    if wanted in (UNSET, None, "", "any"):
        return None
    text = str(wanted).lower()
    known = text in PROTOCOLS or (text.isascii() and text.isdigit() and int(text) <= 255)
    if not known:
        raise invalid(
            f"Security group rule protocol {wanted} not supported. Only protocol values "
            f"{sorted(PROTOCOLS)} and integer representations [0 to 255] are supported.",
            "SecurityGroupRuleInvalidProtocol",
        )
    number = protocol_number(text)
    if ethertype == "IPv4" and text.startswith(("ipv6-", "icmpv6")):
        raise invalid(f"Invalid ethertype {ethertype} for protocol {text}.",
                      "SecurityGroupEthertypeConflictWithProtocol")  # fmt: skip
    if ethertype == "IPv6" and number == ICMP:
        # Neutron takes `icmp` on IPv6 to mean ICMPv6 and shows it so.
        return "ipv6-icmp"
    return text


def _number(wanted: Any, what: str) -> int | None:
    if wanted in (UNSET, None, ""):
        return None
    try:
        number = int(wanted)
    except (TypeError, ValueError):
        number = -1
    if isinstance(wanted, bool) or not 0 <= number <= 65535:
        raise invalid(f"Invalid value for port {wanted}", "SecurityGroupInvalidPortValue")
    return number


def _check_ports(protocol: str | None, low: int | None, high: int | None) -> None:
    """Ports for TCP and its kin, type and code for ICMP, nothing for the rest. Raises BadRequest."""
    if low is None and high is None:
        return
    if protocol is None:
        raise invalid("Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts")
    number = protocol_number(protocol)
    if number in (ICMP, ICMPV6):
        for name, value in (("type (port_range_min)", low), ("code (port_range_max)", high)):
            if value is not None and value > 255:
                raise invalid(f"Invalid value for ICMP {name} {value}. It must be 0 to 255.",
                              "SecurityGroupInvalidIcmpValue")  # fmt: skip
        if low is None:
            raise invalid(f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing.",
                          "SecurityGroupMissingIcmpType")  # fmt: skip
        return
    if number not in WITH_PORTS:
        raise invalid(f"Port range cannot be specified for protocol {protocol}. Port range is only supported for "
                      "TCP, UDP, UDPLITE, SCTP and DCCP.", "SecurityGroupInvalidProtocolForPort")  # fmt: skip
    if low is None or high is None or low > high or low == 0:
        raise invalid("For TCP/UDP protocols, port_range_min must be <= port_range_max",
                      "SecurityGroupInvalidPortRange")  # fmt: skip
