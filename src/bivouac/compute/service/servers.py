"""Servers: finding, listing, changing and deleting them."""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound
from bivouac.core.store import Page, Tx, select_page
from bivouac.core.store.listing import MarkerNotFound
from bivouac.image import for_compute as image_service
from bivouac.network import for_compute as network_service
from bivouac.placement import service as placement
from bivouac.placement.records import Host, HostHeartbeat

from ..records import Server, ServerAction, ShownServer
from ..states import pairs_of_status
from .quotas import limit_of
from .tasks import instant_action, quiet_wish, require, supersede, wish

MAX_REPEATS = 2
"""Most unbounded repetitions in a name pattern: more could take minutes to match."""


def get_server(tx: Tx, call: Call, server_id: str) -> Server:
    """A server that the caller may see. Raises NotFound."""
    server = tx.get(Server, server_id)
    if server is None or server.deleted_at is not None or not (
        server.project_id == call.project_id and call.project_id or call.is_admin
    ):  # fmt: skip
        raise NotFound(f"Instance {server_id} could not be found.")
    return server


class Filters(Struct, frozen=True):
    """What a list of servers is narrowed to. Conditions are ready SQL over `servers`; patterns need Python."""

    conditions: tuple[str, ...] = ()
    args: tuple[Any, ...] = ()
    name: str = ""
    ip: str = ""
    ip6: str = ""
    statuses: tuple[str, ...] = ()
    host_id: str = ""


def list_servers(tx: Tx, call: Call, filters: Filters, page: Page) -> list[ShownServer]:
    """A page of servers. Raises BadRequest (marker, pattern)."""
    conditions, args = list(filters.conditions), list(filters.args)
    if filters.statuses:
        pairs = sorted({pair for status in filters.statuses for pair in pairs_of_status(status)})
        if not pairs:
            return []
        text, values = _status_condition(pairs)
        conditions.append(text)
        args += values
    if filters.name:
        text, values = _name_condition(tx, filters.name, conditions, args)
        conditions.append(text)
        args += values
    for version, pattern in ((4, filters.ip), (6, filters.ip6)):
        if pattern:
            compiled_pattern(pattern)
            project_id = "" if call.is_admin else call.project_id
            ids = network_service.servers_with_address(tx, version, pattern, project_id)  # type: ignore[arg-type]
            conditions.append(_in("servers.id", ids))
            args += ids
    try:
        return select_page(tx, ShownServer, conditions, args, page)
    except MarkerNotFound as error:
        raise BadRequest(f"marker [{page.marker}] not found") from error


def _status_condition(pairs: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """(phase, task) pairs as SQL, where a task counts only while it is under way."""
    task = "CASE WHEN servers.observed_generation < servers.generation THEN servers.task ELSE '' END"
    by_phase: dict[str, list[str]] = {}
    for phase, name in pairs:
        by_phase.setdefault(phase, []).append(name)
    choices, args = [], []
    for phase, tasks in by_phase.items():
        choices.append(f"(servers.phase = ? AND {_in(task, tasks)})")
        args += [phase, *tasks]
    return f"({' OR '.join(choices)})", args


def _in(column: str, values: Sequence[Any]) -> str:
    return f"{column} IN ({', '.join('?' for _ in values)})" if values else "1 = 0"


def _name_condition(tx: Tx, pattern: str, conditions: list[str], args: list[Any]) -> tuple[str, list[Any]]:
    """Nova's `name` is a regular expression, most often plain text: then it is a search for a part of the name."""
    if re.fullmatch(r"[\w \-@:/]*", pattern):
        escaped = re.sub(r"([\\%_])", r"\\\1", pattern.lower())
        return "lower(servers.name) LIKE ? ESCAPE '\\'", [f"%{escaped}%"]
    matches = compiled_pattern(pattern)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    names = tx.query(f"SELECT servers.id, servers.name FROM servers {where}", *args)
    ids = [id for id, name in names if matches.search(name)]
    return _in("servers.id", ids), ids


def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression that cannot run away: bounded length, no repeated groups. Raises BadRequest."""
    repeats = len(re.findall(r"(?<!\\)[*+{]", pattern))
    if len(pattern) > 255 or repeats > MAX_REPEATS or re.search(r"(?<!\\)\)[*+{?]", pattern) or "(?" in pattern:
        raise BadRequest(f"The pattern '{pattern}' repeats too much: at most {MAX_REPEATS} of * + {{}} and no groups.")
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise BadRequest(f"The pattern '{pattern}' is not a regular expression: {error}") from error


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
    for host in tx.select(Host, f"WHERE {_in('hosts.name', list(names))}", *names) if names else []:
        heartbeat = tx.get(HostHeartbeat, host.id)
        up = placement.is_up(host, heartbeat, call.now)
        found[host.name] = "DOWN" if not up else "MAINTENANCE" if host.disabled else "UP"
    return found


def show_server(tx: Tx, call: Call, server_id: str, host_status: bool = False) -> tuple[ShownServer, Around]:
    """A server and what is shown with it. Raises NotFound."""
    server = tx.get(ShownServer, server_id)
    if server is None or server.deleted_at is not None or not (
        server.project_id == call.project_id and call.project_id or call.is_admin
    ):  # fmt: skip
        raise NotFound(f"Instance {server_id} could not be found.")
    return server, around(tx, call, [server], host_status)


def shown(tx: Tx, call: Call, server: Server) -> tuple[ShownServer, Around]:
    """A server that was just written, as it is shown."""
    row = tx.get(ShownServer, server.id)
    assert row is not None
    return row, around(tx, call, [row])


def list_with_around(
    tx: Tx, call: Call, filters: Filters, page: Page, host_status: bool = False
) -> tuple[list[ShownServer], Around]:
    """A page of servers and what is shown with them."""
    servers = list_servers(tx, call, filters, page)
    return servers, around(tx, call, servers, host_status)


# --- changing ------------------------------------------------------------------------------------------------------


def update_server(tx: Tx, call: Call, server_id: str, fields: dict[str, Any]) -> tuple[ShownServer, Around]:
    """Set name, description, access addresses, disk config or hostname. Raises NotFound."""
    server = get_server(tx, call, server_id)
    return shown(tx, call, quiet_wish(tx, call, server, **fields))


def delete_server(tx: Tx, call: Call, server_id: str, force: bool = False) -> None:
    """Want a server gone. One that no host holds is gone at once. Raises NotFound, Conflict (locked)."""
    server = get_server(tx, call, server_id)
    if server.current_task == "delete":
        return
    require(call, server, "delete")
    if not server.host or not host_is_up(tx, call, server.host):
        supersede(tx, server, call.now)
        instant_action(tx, call, server, "delete")
        finish_delete(tx, server, call.now)
        return
    wish(tx, call, server, "delete", power_wanted="absent")


def host_is_up(tx: Tx, call: Call, name: str) -> bool:
    """Whether a host can carry out wishes now."""
    host = tx.first(Host, "WHERE name = ?", name)
    return host is not None and placement.is_up(host, tx.get(HostHeartbeat, host.id), call.now)


def finish_delete(tx: Tx, server: Server, now: float) -> Server:
    """A server is gone: give back its ports and its room. Its host, if it comes back, is told to drop it."""
    network_service.release_ports(tx, server.id)
    placement.release(tx, server.id)
    if server.shelved_image_id:
        image_service.delete_snapshot(tx, server.shelved_image_id, now)
    return tx.update(
        server, phase="deleted", power_wanted="absent", power_observed="gone", deleted_at=now, terminated_at=now,
        updated_at=now, observed_generation=server.generation, task="", restart=False, deadline=None, admin_password="",
    )  # fmt: skip


def set_metadata(tx: Tx, call: Call, server_id: str, metadata: dict[str, str], replace: bool) -> dict[str, str]:
    """Set a server's metadata, all or some keys. Raises NotFound, Conflict, Forbidden (too many)."""
    server = get_server(tx, call, server_id)
    require(call, server, "update_metadata")
    new = metadata if replace else {**server.metadata, **metadata}
    limit = limit_of(tx, server.project_id, "metadata_items")
    if 0 <= limit < len(new):
        raise Forbidden(f"Maximum number of metadata items exceeds {limit}")
    return quiet_wish(tx, call, server, metadata=new).metadata


def delete_metadata(tx: Tx, call: Call, server_id: str, key: str) -> None:
    """Remove one item. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    if key not in server.metadata:
        raise NotFound("Metadata item was not found")
    require(call, server, "update_metadata")
    quiet_wish(tx, call, server, metadata={name: value for name, value in server.metadata.items() if name != key})


def lock_server(tx: Tx, call: Call, server_id: str, reason: str | None) -> None:
    """Lock a server against its project's members. Raises NotFound."""
    server = get_server(tx, call, server_id)
    by = "owner" if server.project_id == call.project_id and not call.is_admin else "admin"
    instant_action(tx, call, server, "lock")
    tx.update(server, locked_by=by, locked_reason=reason, updated_at=call.now)


def unlock_server(tx: Tx, call: Call, server_id: str) -> None:
    """Raises NotFound, Conflict when an administrator locked it and the caller is none."""
    server = get_server(tx, call, server_id)
    if server.locked_by == "admin":
        call.enforce("os_compute_api:os-lock-server:unlock:unlock_override")
    instant_action(tx, call, server, "unlock")
    tx.update(server, locked_by="", locked_reason=None, updated_at=call.now)


def require_unlocked(call: Call, server: Server) -> None:
    """Raise Conflict when the server is locked against the caller."""
    if server.locked_by and not call.allows("os_compute_api:os-lock-server:unlock:unlock_override"):
        raise Conflict(f"Instance {server.id} is locked")


def forget_deleted(tx: Tx, before: float, now: float) -> int:
    """Drop the rows of servers deleted before a moment, and expired console tickets. At most 1000 at once."""
    rows = tx.select(Server, "WHERE deleted_at IS NOT NULL AND deleted_at < ? ORDER BY deleted_at LIMIT 1000", before)
    for row in rows:
        tx.delete_where(ServerAction, "server_id = ?", row.id)
        tx.delete(row)
    tx.execute("DELETE FROM console_sessions WHERE expires_at < ?", now)
    return len(rows)
