"""What compute shows of servers' ports, as plain tuples: a list of a thousand servers has no time for rows."""

from collections.abc import Sequence

from bivouac.core.store import Tx

MOST = 500
"""So many servers are asked for in one statement."""


_PORTS = (
    "FROM ports JOIN networks ON networks.id = ports.network_id "
    "LEFT JOIN addresses ON addresses.port_id = ports.id "
    "LEFT JOIN floating_ips ON floating_ips.port_id = ports.id AND floating_ips.fixed_ip_address = addresses.address"
)
_IN_ORDER = (
    "ORDER BY ports.attached_at, ports.created_at, ports.id, addresses.position, addresses.number, floating_ips.id"
)
_GROUPS = (
    "FROM ports JOIN port_security_groups ON port_security_groups.port_id = ports.id "
    "JOIN security_groups ON security_groups.id = port_security_groups.security_group_id"
)


def state_sql(server_id: str) -> str:
    """An SQL expression over a column with a server's id: a text that differs whenever `address_lines` or `group_names`
    of the server would, so that what was made of them may be kept until it does. Names are led by their lengths: no
    name can pass for several. Groups come in no order, since they are shown by name."""
    mine = f"WHERE ports.device_id = {server_id} AND ports.device_owner LIKE 'compute:%'"
    line = (
        "length(networks.name) || ':' || networks.name || ports.mac_address || ' ' || coalesce(addresses.address, '') "
        "|| ' ' || coalesce(floating_ips.floating_ip_address, '')"
    )
    name = "length(security_groups.name) || ':' || security_groups.name"
    return (
        f"coalesce((SELECT string_agg({line}, ';' {_IN_ORDER}) {_PORTS} {mine}), '') || '|' || "
        f"coalesce((SELECT string_agg({name}, ';') {_GROUPS} {mine}), '')"
    )


def address_lines(tx: Tx, server_ids: Sequence[str]) -> list[tuple[str, str, str, str | None, str | None]]:
    """(server id, network's name, MAC address, fixed address or None, floating IP or None) of the servers' ports, in
    the order in which they were attached."""
    found: list[tuple[str, str, str, str | None, str | None]] = []
    for start in range(0, len(server_ids), MOST):
        batch = server_ids[start : start + MOST]
        found += tx.query(
            "SELECT ports.device_id, networks.name, ports.mac_address, addresses.address, "
            f"floating_ips.floating_ip_address {_PORTS} "
            f"WHERE ports.device_id IN ({', '.join('?' for _ in batch)}) AND ports.device_owner LIKE 'compute:%' "
            f"{_IN_ORDER}",
            *batch,
        )  # type: ignore[arg-type]
    return found


def group_names(tx: Tx, server_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(server id, security group's name) of the groups that the servers' ports are in, by name."""
    found: list[tuple[str, str]] = []
    for start in range(0, len(server_ids), MOST):
        batch = server_ids[start : start + MOST]
        found += tx.query(
            f"SELECT ports.device_id, security_groups.name {_GROUPS} "
            f"WHERE ports.device_id IN ({', '.join('?' for _ in batch)}) AND ports.device_owner LIKE 'compute:%' "
            "GROUP BY ports.device_id, security_groups.name ORDER BY security_groups.name",
            *batch,
        )  # type: ignore[arg-type]
    return found
