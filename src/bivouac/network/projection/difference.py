"""Wanted rows against those that OVN has, as the operations of one transaction: a pure function."""

from collections.abc import Mapping
from typing import Any

from bivouac.core import ovsdb

from .model import OWNER, Ref, Value, Wanted

ROOT_TABLES = ("Logical_Switch", "Logical_Router", "Port_Group", "DHCP_Options", "DNS")
"""Rows here stay until deleted; all others go when nothing refers to them any more."""
COLUMNS: dict[str, tuple[str, ...]] = {
    "Logical_Switch": ("name", "ports", "dns_records", "external_ids"),
    "Logical_Switch_Port": (
        "name", "type", "addresses", "port_security", "options", "enabled", "tag", "dhcpv4_options", "dhcpv6_options",
        "external_ids",
    ),
    "Logical_Router": ("name", "ports", "nat", "static_routes", "enabled", "options", "external_ids"),
    "Logical_Router_Port": (
        "name", "mac", "networks", "enabled", "ipv6_ra_configs", "gateway_chassis", "external_ids",
    ),
    "Logical_Router_Static_Route": ("ip_prefix", "nexthop", "output_port", "external_ids"),
    "NAT": ("type", "external_ip", "logical_ip", "external_ids"),
    "Gateway_Chassis": ("name", "chassis_name", "priority", "external_ids"),
    "DHCP_Options": ("cidr", "options", "external_ids"),
    "DNS": ("records", "external_ids"),
    "Port_Group": ("name", "ports", "acls", "external_ids"),
    "ACL": ("direction", "priority", "match", "action", "external_ids"),
}  # fmt: skip
"""What the projection reads and may write."""

Tables = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Table -> UUID -> columns in OVSDB's JSON, as a mirror holds them."""


class Index:
    """Our rows in the database by reference and by UUID. `doubles` carry a key that another row has already."""

    def __init__(self, tables: Tables):
        self.uuids: dict[Ref, str] = {}
        self.refs: dict[str, Ref] = {}
        self.doubles: list[tuple[str, str]] = []
        for table, rows in tables.items():
            for uuid in sorted(rows):
                key = ovsdb.from_map(rows[uuid]["external_ids"]).get(OWNER)
                if key is None:
                    continue
                ref = Ref(table, key)
                self.refs[uuid] = ref
                if ref in self.uuids:
                    self.doubles.append((table, uuid))
                else:
                    self.uuids[ref] = uuid


def difference(wanted: Wanted, tables: Tables, known: Wanted | None = None) -> list[ovsdb.Operation]:
    """The operations that make the database say what is wanted; none when it does.

    `known`: what the database is known to say since nobody else wrote to it; rows that are wanted as they are known
    are not compared again.
    """
    if known is not None and known == wanted:
        return []
    index = Index(tables)
    uuids, refs = index.uuids, index.refs
    names = {ref: f"row{number}" for number, ref in enumerate(wanted) if ref not in uuids}
    operations: list[ovsdb.Operation] = []
    for ref, columns in wanted.items():
        if known is not None and known.get(ref) == columns and ref in uuids:
            continue
        if ref in uuids:
            operations += _changes(ref, columns, tables[ref.table][uuids[ref]], uuids, names, refs)
        else:
            row = {name: _encode(value, uuids, names) for name, value in columns.items()}
            operations.append({"op": "insert", "table": ref.table, "uuid-name": names[ref], "row": row})
    gone = [(ref.table, uuid) for ref, uuid in uuids.items() if ref not in wanted] + index.doubles
    for table, uuid in gone:
        if table in ROOT_TABLES:
            operations.append({"op": "delete", "table": table, "where": [["_uuid", "==", ovsdb.uuid_of(uuid)]]})
    return operations


def _changes(
    ref: Ref, columns: dict[str, Value], have: Mapping[str, Any], uuids: Mapping[Ref, str], names: Mapping[Ref, str],
    refs: Mapping[str, Ref],
) -> list[ovsdb.Operation]:  # fmt: skip
    where = [["_uuid", "==", ovsdb.uuid_of(uuids[ref])]]
    update: dict[str, Any] = {}
    mutations: list[list[Any]] = []
    for name, value in columns.items():
        if isinstance(value, list) and _is_references(ref.table, name):
            mutations += _reference_mutations(name, value, have[name], uuids, names, refs)
        elif name == "external_ids" and isinstance(value, dict):
            merged = {**ovsdb.from_map(have[name]), **value}
            if merged != ovsdb.from_map(have[name]):
                update[name] = ovsdb.to_map(merged)
        elif not _same(value, have[name]):
            update[name] = _encode(value, uuids, names)
    operations: list[ovsdb.Operation] = []
    if update:
        operations.append({"op": "update", "table": ref.table, "where": where, "row": update})
    if mutations:
        operations.append({"op": "mutate", "table": ref.table, "where": where, "mutations": mutations})
    return operations


_REFERENCES = {
    "Logical_Switch": {"ports", "dns_records"}, "Logical_Switch_Port": {"dhcpv4_options", "dhcpv6_options"},
    "Logical_Router": {"ports", "nat", "static_routes"}, "Logical_Router_Port": {"gateway_chassis"},
    "Port_Group": {"ports", "acls"},
}  # fmt: skip


def _is_references(table: str, column: str) -> bool:
    return column in _REFERENCES.get(table, ())


def _reference_mutations(
    column: str, wanted: list[Ref], have: Any, uuids: Mapping[Ref, str], names: Mapping[Ref, str],
    refs: Mapping[str, Ref],
) -> list[list[Any]]:  # fmt: skip
    """Only what differs, so that a port more on a switch of thousands costs one reference. What is not ours stays."""
    present = ovsdb.from_set(have)
    keep = {uuids[one] for one in wanted if one in uuids}
    less = [ovsdb.uuid_of(uuid) for uuid in present if uuid not in keep and uuid in refs]
    more = [_encode(one, uuids, names) for one in wanted if one not in uuids or uuids[one] not in present]
    mutations = []
    if less:
        mutations.append([column, "delete", ovsdb.to_set(less)])
    if more:
        mutations.append([column, "insert", ovsdb.to_set(more)])
    return mutations


def _same(value: Value, have: Any) -> bool:
    if isinstance(value, dict):
        return ovsdb.from_map(have) == value
    if isinstance(value, list):
        return sorted(ovsdb.from_set(have), key=str) == sorted(value, key=str)
    return have == value


def _encode(value: Value, uuids: Mapping[Ref, str], names: Mapping[Ref, str]) -> Any:
    if isinstance(value, Ref):
        return ovsdb.uuid_of(uuids[value]) if value in uuids else ovsdb.named(names[value])
    if isinstance(value, dict):
        return ovsdb.to_map(value)
    if isinstance(value, list):
        return ovsdb.to_set([_encode(one, uuids, names) for one in value])
    return value
