"""Instance actions: what was done to a server, by whom, and how it ended."""

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.store import Tx

from ..records import Server, ServerAction


def _server(tx: Tx, call: Call, server_id: str) -> Server:
    """Deleted servers too, from 2.21 on. Raises NotFound."""
    server = tx.get(Server, server_id)
    if (
        server is None
        or not (server.project_id == call.project_id or call.is_admin)
        or (server.deleted_at is not None and call.version < (2, 21))
    ):
        raise NotFound(f"Instance {server_id} could not be found.")
    return server


def list_actions(
    tx: Tx, call: Call, server_id: str, limit: int | None, marker: str | None, since: float | None,
    before: float | None,
) -> list[ServerAction]:  # fmt: skip
    """A server's actions, newest first. Raises BadRequest (marker), NotFound."""
    server = _server(tx, call, server_id)
    conditions, args = ["server_id = ?"], [server.id]
    if marker is not None:
        last = tx.get(ServerAction, server.id, marker)
        if last is None:
            raise BadRequest(f"marker [{marker}] not found")
        conditions.append("(start_time < ? OR (start_time = ? AND request_id < ?))")
        args += [last.start_time, last.start_time, last.request_id]  # type: ignore[list-item]
    for moment, way in ((since, ">="), (before, "<=")):
        if moment is not None:
            conditions.append(f"updated_at {way} ?")
            args.append(moment)  # type: ignore[arg-type]
    count = f"LIMIT {int(limit)}" if limit is not None else ""
    where = " AND ".join(conditions)
    return tx.select(ServerAction, f"WHERE {where} ORDER BY start_time DESC, request_id DESC {count}", *args)


def get_action(tx: Tx, call: Call, server_id: str, request_id: str) -> tuple[ServerAction, str]:
    """One action, and the project of its server. Raises NotFound."""
    server = _server(tx, call, server_id)
    action = tx.get(ServerAction, server.id, request_id)
    if action is None:
        raise NotFound(f"Action for request_id {request_id} on instance {server_id} not found")
    return action, server.project_id

