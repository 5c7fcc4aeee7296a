"""What must always be true of the network's rows and of OVN, as statements that find what is not.

Used by `bivouac db check`. What foreign keys hold already is not asked again.
"""

from collections.abc import Sequence

from bivouac.core import ovsdb
from bivouac.core.store import Tx

from .projection import snapshot
from .projection.desired import desired
from .projection.difference import COLUMNS, difference
from .projection.loop import SOUTHBOUND, chassis_of
from .records import FLOATING_IP, ROUTER_GATEWAY, ROUTER_INTERFACE


def audit(tx: Tx) -> dict[str, list[str]]:
    """Statement -> what contradicts it."""
    return {"no port belongs to a router or floating IP that is gone": _ports(tx)}


def _ports(tx: Tx) -> list[str]:
    routers = tx.query(
        "SELECT id, device_id FROM ports WHERE device_owner IN (?, ?) AND device_id NOT IN (SELECT id FROM routers)",
        ROUTER_INTERFACE, ROUTER_GATEWAY,
    )  # fmt: skip
    floating = tx.query(
        "SELECT id, device_id FROM ports WHERE device_owner = ? AND id NOT IN "
        "(SELECT floating_port_id FROM floating_ips)", FLOATING_IP,
    )  # fmt: skip
    return [f"port {id} of {device}" for id, device in (*routers, *floating)]


def audit_ovn(rows: snapshot.Snapshot, northbound: str, southbound: str, name_servers: Sequence[str]) -> list[str]:
    """What OVN's databases say otherwise than our rows. Raises OvsdbError when they do not answer."""
    with ovsdb.Session(northbound, "OVN_Northbound") as north, ovsdb.Session(southbound, "OVN_Southbound") as south:
        north.monitor(COLUMNS)
        south.monitor(SOUTHBOUND)
        rows.chassis = chassis_of(south)
        rows.name_servers = tuple(name_servers)
        found = [_said(one) for one in difference(desired(rows), north.tables)]
        logical = {row["name"] for row in north.tables["Logical_Switch_Port"].values()}
        bound = {row["logical_port"] for row in south.tables["Port_Binding"].values() if row["type"] == ""}
    found += [f"the southbound database lacks port {id}" for id in _plain_ports(north) - bound]
    return found + [f"the southbound database has port {id}, which is gone" for id in bound - logical]


def _plain_ports(north: ovsdb.Session) -> set[str]:
    return {row["name"] for row in north.tables["Logical_Switch_Port"].values() if row["type"] == ""}


def _said(operation: ovsdb.Operation) -> str:
    """An operation that would mend the northbound database, in words."""
    if operation["op"] == "insert":
        row = operation["row"]
        return f"{operation['table']} {row.get('name') or ovsdb.from_map(row['external_ids'])} is missing"
    where = operation["where"][0][2][1]
    if operation["op"] == "delete":
        return f"{operation['table']} {where} should be gone"
    columns = [*operation.get("row", ()), *(one[0] for one in operation.get("mutations", ()))]
    return f"{operation['table']} {where} differs in {', '.join(dict.fromkeys(columns))}"
