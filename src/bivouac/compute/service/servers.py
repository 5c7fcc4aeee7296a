"""Servers: finding, changing and deleting them."""

from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import Conflict, Forbidden, NotFound
from bivouac.core.store import Tx
from bivouac.image import for_compute as image_service
from bivouac.network import for_compute as network_service
from bivouac.placement import service as placement
from bivouac.placement.records import Host, HostHeartbeat

from ..records import Server, ServerAction, ShownServer
from .quotas import limit_of
from .shown import Around, Line, around, shown
from .tasks import instant_action, quiet_wish, require, supersede, wish


def get_server(tx: Tx, call: Call, server_id: str) -> Server:
    """A server that the caller may see. Raises NotFound."""
    server = tx.get(Server, server_id)
    if server is None or server.deleted_at is not None or not (
        server.project_id == call.project_id and call.project_id or call.is_admin
    ):  # fmt: skip
        raise NotFound(f"Instance {server_id} could not be found.")
    return server


def list_lines(tx: Tx, call: Call, server_id: str) -> tuple[Line, ...]:
    """A server's addresses. Raises NotFound."""
    server = get_server(tx, call, server_id)
    return around(tx, call, [server]).addresses.get(server.id, ())


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
