"""Lists as Neutron answers them: filters on every attribute, fields, sorting, marker and limit.

What a column can decide is decided in SQL; what is only known once a row is shown (status, tags, nested values) is
decided on the shown page. Source: Neutron's API reference, "Filtering and Column Selection", "Pagination", "Sorting".
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest
from bivouac.core.store import Page, Tx, select_page
from bivouac.core.store.listing import MarkerNotFound

from .addressing import key as address_key
from .records import Standard
from .service.standard import invalid, not_found
from .views import VIEWS, View

Condition = tuple[str, list[Any]]
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_CONTROL = {"fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse"}
_TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")


class Kind(Struct, frozen=True, kw_only=True):
    """A resource as lists know it. `columns`: wire names that differ from the column's."""

    plural: str
    singular: str
    row: type[Standard]
    columns: dict[str, str] = {}
    special: dict[str, Callable[[Sequence[str]], Condition]] = {}
    reads: Callable[[Call], Condition]

    def column(self, wire: str) -> str | None:
        """The column of a wire name, if there is one that SQL can compare."""
        name = self.columns.get(wire, "project_id" if wire == "tenant_id" else wire)
        fields = {one.name: one.type for one in structs.fields(self.row)}
        if name not in fields or fields[name] not in (str, int, bool, str | None, int | None):
            return None
        return f"{self.row.TABLE}.{name}"


def list_rows(tx: Tx, call: Call, kind: Kind, query: Sequence[tuple[str, str]]) -> tuple[list[View], str | None]:
    """Views of the page asked for, and the marker of the next page if there may be one. Raises BadRequest, NotFound."""
    asked: dict[str, list[str]] = {}
    for name, value in query:
        asked.setdefault(name, []).append(value)
    conditions, args, later = _conditions(call, kind, asked)
    limit = _limit(asked)
    page = Page(
        sort=_sort(kind, asked), marker=asked.get("marker", [None])[-1],
        limit=None if later else limit, reverse=asked.get("page_reverse", [""])[-1].lower() == "true",
    )  # fmt: skip
    try:
        rows = select_page(tx, kind.row, conditions, args, page)
    except MarkerNotFound as error:
        raise not_found(kind.row, str(page.marker)) from error
    views = VIEWS[kind.plural](tx, call, rows)
    if later:
        views = [view for view in views if all(test(view) for test in later)]
        views = views[:limit] if limit is not None else views
    more = views[-1]["id"] if limit is not None and len(views) == limit and views else None
    return [select_fields(view, asked.get("fields")) for view in views], more


def select_fields(view: View, fields: Sequence[str] | None) -> View:
    """Exactly the keys asked for; everything when none is named."""
    wanted = [one for one in fields or () if one]
    return {name: view[name] for name in wanted if name in view} if wanted else view


def _conditions(
    call: Call, kind: Kind, asked: dict[str, list[str]]
) -> tuple[list[str], list[Any], list[Callable[[View], bool]]]:
    conditions, args = [], []
    later: list[Callable[[View], bool]] = []
    text, values = kind.reads(call)
    if text:
        conditions.append(text)
        args += values
    for name, given in asked.items():
        if name in _CONTROL:
            continue
        if name in _TAGS:
            later.append(_tag_test(name, given))
        elif name in kind.special:
            text, values = kind.special[name](given)
            conditions.append(text)
            args += values
        elif (column := kind.column(name)) is not None:
            text, values = _column_condition(kind, name, column, given)
            conditions.append(text)
            args += values
        elif name in _known(kind):
            later.append(_view_test(name, given))
        else:
            raise invalid(f"[{name!r}] is invalid attribute for filtering", "HTTPBadRequest")
    return conditions, args, later


def _known(kind: Kind) -> frozenset[str]:
    return ATTRIBUTES[kind.plural]


def _column_condition(kind: Kind, wire: str, column: str, given: Sequence[str]) -> Condition:
    hint = {one.name: one.type for one in structs.fields(kind.row)}[column.partition(".")[2]]
    values: list[Any] = []
    for one in given:
        if hint is bool:
            values.append(int(_boolean(wire, one)))
        elif hint in (int, int | None):
            if not _NUMBER.fullmatch(one):
                raise invalid(f"Invalid input for {wire}. Reason: '{one}' is not an integer.", "HTTPBadRequest")
            values.append(int(one))
        else:
            values.append(one)
    marks = ", ".join("?" for _ in values)
    text = f"{column} IN ({marks})"
    if hint == str | None and "" in given:
        text = f"({text} OR {column} IS NULL)"
    return text, values


def _boolean(wire: str, text: str) -> bool:
    if text.lower() in ("true", "1", "yes", "on", "t", "y"):
        return True
    if text.lower() in ("false", "0", "no", "off", "f", "n"):
        return False
    raise invalid(f"Invalid input for {wire}. Reason: '{text}' cannot be converted to boolean.", "HTTPBadRequest")


def _view_test(name: str, given: Sequence[str]) -> Callable[[View], bool]:
    wanted = {one.lower() for one in given}

    def test(view: View) -> bool:
        value = view.get(name)
        values = value if isinstance(value, list) else [value]
        return any(_text(one).lower() in wanted for one in values)

    return test


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _tag_test(name: str, given: Sequence[str]) -> Callable[[View], bool]:
    wanted = {tag for one in given for tag in one.split(",") if tag}
    every, negative = not name.endswith("-any"), name.startswith("not-")

    def test(view: View) -> bool:
        tags = set(view["tags"])
        return (wanted <= tags if every else bool(wanted & tags)) != negative

    return test


def _limit(asked: dict[str, list[str]]) -> int | None:
    text = asked.get("limit", [""])[-1]
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or text[0] == "-":
        raise BadRequest(f"Invalid input for limit. Reason: '{text}' is not a number.", type="HTTPBadRequest")
    return int(text) or None


def _sort(kind: Kind, asked: dict[str, list[str]]) -> tuple[tuple[str, str], ...]:
    keys, ways = asked.get("sort_key", []), asked.get("sort_dir", [])
    found = []
    for position, wire in enumerate(keys):
        column = kind.column(wire)
        if wire in ("created_at", "updated_at"):
            column = f"{kind.row.TABLE}.{wire}"
        if column is None:
            raise invalid(f"{wire} is invalid attribute for sort_keys", "HTTPBadRequest")
        way = ways[position] if position < len(ways) else "asc"
        if way not in ("asc", "desc"):
            raise invalid(f"{way} is invalid value for sort_dirs, must be asc or desc", "HTTPBadRequest")
        found.append((column.partition(".")[2], way))
    return tuple(found)


# --- what each resource's list knows ---------------------------------------------------------------------------------


def _own(table: str, extra: str = "") -> Callable[[Call], Condition]:
    """The caller's own rows, and those a further condition lets everybody see."""

    def reads(call: Call) -> Condition:
        if call.is_admin:
            return "", []
        return (f"({table}.project_id = ? OR {extra})" if extra else f"{table}.project_id = ?"), [call.project_id]

    return reads


def _subnets_read(call: Call) -> Condition:
    if call.is_admin:
        return "", []
    return (
        "(subnets.project_id = ? OR EXISTS (SELECT 1 FROM networks WHERE networks.id = subnets.network_id AND "
        "(networks.shared = 1 OR networks.external = 1 OR networks.project_id = ?)))",
        [call.project_id, call.project_id],
    )


def _ports_read(call: Call) -> Condition:
    if call.is_admin:
        return "", []
    return (
        "(ports.project_id = ? OR EXISTS (SELECT 1 FROM networks WHERE networks.id = ports.network_id AND "
        "networks.project_id = ?))",
        [call.project_id, call.project_id],
    )


def _fixed_ips(given: Sequence[str]) -> Condition:
    """`fixed_ips=ip_address=10.0.0.5`, `fixed_ips=subnet_id=...`, `fixed_ips=ip_address_substr=0.5`."""
    texts: dict[str, list[str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name not in ("ip_address", "subnet_id", "ip_address_substr"):
            raise invalid(f"Invalid input for fixed_ips. Reason: '{one}' is not a filter.", "HTTPBadRequest")
        texts.setdefault(name, []).append(value)
    parts, args = [], []
    if addresses := texts.get("ip_address"):
        parts.append(f"addresses.number IN ({', '.join('?' for _ in addresses)})")
        args += [_number(one) for one in addresses]
    if subnets := texts.get("subnet_id"):
        parts.append(f"addresses.subnet_id IN ({', '.join('?' for _ in subnets)})")
        args += subnets
    for part in texts.get("ip_address_substr", ()):
        parts.append("addresses.address LIKE ? ESCAPE '!'")
        args.append("%" + part.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%")
    return (
        f"EXISTS (SELECT 1 FROM addresses WHERE addresses.port_id = ports.id AND {' AND '.join(parts)})", args
    )  # fmt: skip


def _number(text: str) -> str:
    try:
        return address_key(ipaddress.ip_address(text))
    except ValueError:
        return text


def _groups(given: Sequence[str]) -> Condition:
    marks = ", ".join("?" for _ in given)
    return (
        "EXISTS (SELECT 1 FROM port_security_groups WHERE port_security_groups.port_id = ports.id AND "
        f"port_security_groups.security_group_id IN ({marks}))",
        list(given),
    )


def _rule_group_read(call: Call) -> Condition:
    if call.is_admin:
        return "", []
    return (
        "(security_group_rules.project_id = ? OR EXISTS (SELECT 1 FROM security_groups WHERE security_groups.id = "
        "security_group_rules.security_group_id AND security_groups.project_id = ?))",
        [call.project_id, call.project_id],
    )


def _gateway_network(given: Sequence[str]) -> Condition:
    """`external_gateway_info` is nested; clients filter it as `external_gateway_info=network_id=...`."""
    ids = [one.removeprefix("network_id=") for one in given]
    return f"routers.gateway_network_id IN ({', '.join('?' for _ in ids)})", ids


def kinds() -> dict[str, Kind]:
    """Every listed resource by its plural."""
    from . import records as r  # noqa: PLC0415

    shared = "{0}.shared = 1"
    return {
        one.plural: one
        for one in (
            Kind(plural="networks", singular="network", row=r.Network, columns={
                "router:external": "external", "provider:network_type": "network_type",
                "provider:physical_network": "physical_network", "provider:segmentation_id": "segmentation_id",
            }, reads=_own("networks", "networks.shared = 1 OR networks.external = 1")),
            Kind(plural="subnets", singular="subnet", row=r.Subnet, reads=_subnets_read),
            Kind(plural="subnetpools", singular="subnetpool", row=r.Subnetpool,
                 reads=_own("subnetpools", shared.format("subnetpools"))),
            Kind(plural="ports", singular="port", row=r.Port, columns={
                "binding:host_id": "binding_host", "binding:vnic_type": "binding_vnic_type", "up": "none",
            }, special={"fixed_ips": _fixed_ips, "security_groups": _groups}, reads=_ports_read),
            Kind(plural="routers", singular="router", row=r.Router,
                 special={"external_gateway_info": _gateway_network}, reads=_own("routers")),
            Kind(plural="floatingips", singular="floatingip", row=r.FloatingIp, reads=_own("floating_ips")),
            Kind(plural="security_groups", singular="security_group", row=r.SecurityGroup,
                 reads=_own("security_groups")),
            Kind(plural="security_group_rules", singular="security_group_rule", row=r.SecurityGroupRule,
                 reads=_rule_group_read),
        )
    }  # fmt: skip


ATTRIBUTES: dict[str, frozenset[str]] = {
    "networks": frozenset({"status", "subnets", "availability_zones", "availability_zone_hints", "created_at",
                           "updated_at", "ipv4_address_scope", "ipv6_address_scope"}),
    "subnets": frozenset({"allocation_pools", "dns_nameservers", "host_routes", "service_types", "created_at",
                          "updated_at"}),
    "subnetpools": frozenset({"prefixes", "address_scope_id", "created_at", "updated_at"}),
    "ports": frozenset({"status", "allowed_address_pairs", "extra_dhcp_opts", "dns_assignment", "binding:vif_type",
                        "binding:profile", "binding:vif_details", "created_at", "updated_at"}),
    "routers": frozenset({"status", "routes", "availability_zones", "availability_zone_hints", "created_at",
                          "updated_at"}),
    "floatingips": frozenset({"status", "port_details", "created_at", "updated_at"}),
    "security_groups": frozenset({"shared", "security_group_rules", "created_at", "updated_at"}),
    "security_group_rules": frozenset({"remote_address_group_id", "normalized_cidr", "created_at", "updated_at"}),
}  # fmt: skip
"""Attributes that are shown and are no plain column: filtered on the shown rows."""
