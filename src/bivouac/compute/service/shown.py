"""Servers as they are shown, read so that what was encoded before need not be read again.

One statement gives a page: for each server the revision of its row and the state of its ports, in the same snapshot.
Where both are as they were when the server was last encoded, that is the answer; the others are read in full. So an
answer is always what the database says, whoever wrote it, in this process or another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.errors import NotFound
from bivouac.core.store import Page, Tx
from bivouac.network import for_compute as network_service
from bivouac.placement import service as placement
from bivouac.placement.records import Host, HostHeartbeat

from ..records import Server, ShownServer
from .listing import Filters, list_clause, within

BATCH = 500
"""So many servers are read in full by one statement."""
State = tuple[int, str, str]
"""What an encoded server was made of: its row's revision, the state of its ports, its host's status where asked."""
Known = Mapping[str, tuple[State, msgspec.Raw]]
"""Encoded servers by id, each with the state that it shows."""
Line = tuple[str, str, str | None, str | None]
"""Network's name, MAC address, fixed address, floating IP that leads there."""


class Around(Struct, frozen=True):
    """What is shown with servers and kept elsewhere, for a whole page in a few statements: by server id the lines of
    addresses and the names of groups, by host name its status."""

    addresses: dict[str, tuple[Line, ...]]
    groups: dict[str, tuple[str, ...]]
    host_status: dict[str, str] = {}


def around(tx: Tx, call: Call, servers: Sequence[Server | ShownServer], host_status: bool = False) -> Around:
    """Addresses and groups of servers and, where asked, the state of their hosts."""
    ids = [server.id for server in servers]
    addresses: dict[str, tuple[Line, ...]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    if ids:
        for id, *line in network_service.address_lines(tx, ids):
            addresses[id] = (*addresses.get(id, ()), tuple(line))  # type: ignore[assignment]
        for id, name in network_service.group_names(tx, ids):
            groups[id] = (*groups.get(id, ()), name)
    names = {server.host for server in servers if server.host} if host_status else set()
    return Around(addresses, groups, _host_status(tx, call, names) if names else {})


def _host_status(tx: Tx, call: Call, names: set[str]) -> dict[str, str]:
    """UP, DOWN, MAINTENANCE (disabled) or UNKNOWN per host name."""
    found: dict[str, str] = {}
    for host in tx.select(Host, f"WHERE {within('hosts.name', list(names))}", *names) if names else []:
        heartbeat = tx.get(HostHeartbeat, host.id)
        up = placement.is_up(host, heartbeat, call.now)
        found[host.name] = "DOWN" if not up else "MAINTENANCE" if host.disabled else "UP"
    return found


class Seen(Struct, frozen=True):
    """A page of servers: their ids and states in order, those that are known as they are, and the others in full."""

    states: list[tuple[str, State]]
    known: dict[str, msgspec.Raw]
    fresh: list[ShownServer]
    around: Around


_STATES = f"SELECT servers.id, servers.revision, servers.host, {network_service.state_sql('servers.id')} FROM servers"


def _see(tx: Tx, call: Call, clause: str, args: Sequence[Any], host_status: bool, known: Known) -> Seen:
    rows = tx.query(f"{_STATES} {clause}", *args)
    names = {host for _, _, host, _ in rows if host} if host_status else set()
    statuses = _host_status(tx, call, names) if names else {}
    states: list[tuple[str, State]] = []
    found: dict[str, msgspec.Raw] = {}
    unknown: list[str] = []
    for id, revision, host, ports in rows:
        state = (revision, ports, statuses.get(host, ""))
        states.append((id, state))
        entry = known.get(id)
        if entry is not None and entry[0] == state:
            found[id] = entry[1]
        else:
            unknown.append(id)
    fresh: list[ShownServer] = []
    for start in range(0, len(unknown), BATCH):
        ids = unknown[start : start + BATCH]
        fresh += tx.select(ShownServer, f"WHERE servers.id IN ({', '.join('?' for _ in ids)})", *ids)
    return Seen(states, found, fresh, around(tx, call, fresh, host_status))


def see_server(tx: Tx, call: Call, server_id: str, host_status: bool, known: Known) -> Seen:
    """One server. Raises NotFound."""
    clause, args = "WHERE servers.id = ? AND servers.deleted_at IS NULL", [server_id]
    if not call.is_admin:
        clause, args = f"{clause} AND servers.project_id = ? AND servers.project_id <> ''", [server_id, call.project_id]
    seen = _see(tx, call, clause, args, host_status, known)
    if not seen.states:
        raise NotFound(f"Instance {server_id} could not be found.")
    return seen


def see_servers(tx: Tx, call: Call, filters: Filters, page: Page, host_status: bool, known: Known) -> Seen:
    """A page of servers. Raises BadRequest (marker, pattern)."""
    return _see(tx, call, *list_clause(tx, call, filters, page), host_status, known)


def shown(tx: Tx, call: Call, server: Server) -> tuple[ShownServer, Around]:
    """A server that was just written, as it is shown."""
    row = tx.get(ShownServer, server.id)
    assert row is not None
    return row, around(tx, call, [row])
