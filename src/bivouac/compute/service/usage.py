"""What projects used over a span of time, and the migrations of servers."""

from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.clock import parse_iso
from bivouac.core.errors import BadRequest
from bivouac.core.store import Tx

from ..records import Migration, Server


class Use(Struct, frozen=True):
    """One server's use within a span."""

    server_id: str
    project_id: str
    name: str
    flavor: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    hours: float
    started_at: float
    ended_at: float | None
    state: str
    uptime_s: float


def uses(
    tx: Tx, call: Call, project_id: str, start: float, stop: float, limit: int | None, marker: str | None
) -> list[Use]:
    """Servers that ran within the span, of a project or of all, by project and id. Raises BadRequest (marker)."""
    conditions = ["launched_at IS NOT NULL", "launched_at < ?", "(terminated_at IS NULL OR terminated_at > ?)"]
    args: list[object] = [stop, start]
    if project_id:
        conditions.append("project_id = ?")
        args.append(project_id)
    if marker is not None:
        last = tx.get(Server, marker)
        if last is None:
            raise BadRequest(f"Marker {marker} could not be found.")
        conditions.append("(project_id > ? OR (project_id = ? AND id > ?))")
        args += [last.project_id, last.project_id, last.id]
    count = f"LIMIT {int(limit)}" if limit is not None else ""
    rows = tx.select(Server, f"WHERE {' AND '.join(conditions)} ORDER BY project_id, id {count}", *args)
    return [_use(row, start, stop) for row in rows]


def _use(server: Server, start: float, stop: float) -> Use:
    begun = server.launched_at or server.created_at
    ended = server.terminated_at
    seconds = max(0.0, min(ended or stop, stop) - max(begun, start))
    flavor = server.flavor
    state = "terminated" if ended is not None else server.phase
    return Use(
        server_id=server.id, project_id=server.project_id, name=server.name, flavor=flavor.name, vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib, disk_gib=flavor.root_gib + flavor.ephemeral_gib, hours=seconds / 3600,
        started_at=begun, ended_at=ended, state=state, uptime_s=max(0.0, (ended or stop) - begun),
    )  # fmt: skip


_EQUAL = {"instance_uuid": "server_id", "migration_type": "kind", "source_compute": "source_host", "status": "status",
          "user_id": "user_id", "project_id": "project_id"}  # fmt: skip


def migrations(
    tx: Tx, call: Call, filters: dict[str, str], limit: int | None, marker: str | None
) -> list[Migration]:
    """Migrations, newest first. Raises BadRequest (marker, moments)."""
    conditions, args = ["1 = 1"], []
    for name, value in filters.items():
        if name in _EQUAL:
            conditions.append(f"{_EQUAL[name]} = ?")
            args.append(value)
        elif name == "host":
            conditions.append("(source_host = ? OR destination_host = ?)")
            args += [value, value]
        elif name in ("changes-since", "changes-before"):
            try:
                conditions.append(f"updated_at {'>=' if name == 'changes-since' else '<='} ?")
                args.append(parse_iso(value))  # type: ignore[arg-type]
            except ValueError as error:
                raise BadRequest(f"Invalid input for query parameters {name}. Value: {value}.") from error
    if marker is not None:
        last = tx.first(Migration, "WHERE uuid = ?", marker)
        if last is None:
            raise BadRequest(f"Marker {marker} could not be found.")
        conditions.append("id < ?")
        args.append(last.id)  # type: ignore[arg-type]
    count = f"LIMIT {int(limit)}" if limit is not None else ""
    return tx.select(Migration, f"WHERE {' AND '.join(conditions)} ORDER BY id DESC {count}", *args)
