"""`/os-simple-tenant-usage`, `/os-instance_usage_audit_log` and `/os-migrations`: what was used, and what moved."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bivouac.core.clock import iso_micro
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import Request

from ..service import hosts as hosts_service
from ..service import usage as service
from ..service.usage import Use
from .fields import next_link, operation, strict_query, window


def _moment(name: str, text: str | None, default: float) -> float:
    """Any of the forms that Nova takes, in UTC. Raises BadRequest."""
    if text is None:
        return default
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise BadRequest(f"Invalid {name} time. The {name} time must be YYYY-MM-DDThh:mm:ss.")


def _span(request: Request) -> tuple[float, float]:
    stop = _moment("end", request.query_value("end"), request.call.now)
    start = _moment("start", request.query_value("start"), stop - 28 * 86400)
    if start > stop:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return start, stop


def _server(use: Use) -> dict[str, Any]:
    return {
        "instance_id": use.server_id,
        "name": use.name,
        "hours": use.hours,
        "tenant_id": use.project_id,
        "flavor": use.flavor,
        "vcpus": use.vcpus,
        "memory_mb": use.memory_mib,
        "local_gb": use.disk_gib,
        "started_at": iso_micro(use.started_at, ""),
        "ended_at": iso_micro(use.ended_at, ""),
        "state": use.state,
        "uptime": int(use.uptime_s),
    }


def _summary(project_id: str, uses: list[Use], start: float, stop: float, detailed: bool) -> dict[str, Any]:
    """A project's totals, in hours times amount."""
    shape: dict[str, Any] = {
        "tenant_id": project_id,
        "start": iso_micro(start, ""),
        "stop": iso_micro(stop, ""),
        "total_hours": sum(use.hours for use in uses),
        "total_vcpus_usage": sum(use.hours * use.vcpus for use in uses),
        "total_memory_mb_usage": sum(use.hours * use.memory_mib for use in uses),
        "total_local_gb_usage": sum(use.hours * use.disk_gib for use in uses),
    }
    if detailed:
        shape["server_usages"] = [_server(use) for use in uses]
    return shape


async def listing(request: Request) -> dict[str, Any]:
    if request.path.endswith("/"):
        raise NotFound("The resource could not be found.")
    strict_query(request, ("start", "end", "detailed", "limit", "marker"))
    start, stop = _span(request)
    limit, marker = _page(request)
    uses = await request.read(service.uses, "", start, stop, limit, marker)
    by_project: dict[str, list[Use]] = {}
    for use in uses:
        by_project.setdefault(use.project_id, []).append(use)
    detailed = request.query_value("detailed") == "1"
    shapes = [_summary(id, found, start, stop, detailed) for id, found in by_project.items()]
    return {"tenant_usages": shapes, **_more(request, "tenant_usages", uses, limit)}


async def show(request: Request, project_id: str) -> dict[str, Any]:
    strict_query(request, ("start", "end", "limit", "marker"))
    start, stop = _span(request)
    limit, marker = _page(request)
    uses = await request.read(service.uses, project_id, start, stop, limit, marker)
    if not uses:
        return {"tenant_usage": {}}
    shape = _summary(project_id, uses, start, stop, True)
    return {"tenant_usage": shape, **_more(request, "tenant_usage", uses, limit)}


def _page(request: Request) -> tuple[int | None, str | None]:
    if request.version < (2, 40):
        return None, None
    part = window(request)
    return part.limit, part.marker


def _more(request: Request, name: str, uses: list[Use], limit: int | None) -> dict[str, Any]:
    return next_link(request, name, [use.server_id for use in uses], limit) if limit else {}


# --- audit log -----------------------------------------------------------------------------------------------------


async def audit_log(request: Request) -> dict[str, Any]:
    return {"instance_usage_audit_logs": await _audit(request, datetime.fromtimestamp(request.call.now, UTC))}


async def audit_log_before(request: Request, before: str) -> dict[str, Any]:
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"):
        try:
            end = datetime.strptime(before, form).replace(tzinfo=UTC)
            return {"instance_usage_audit_log": await _audit(request, end)}
        except ValueError:
            continue
    raise BadRequest(f"Invalid timestamp for date {before}")


async def _audit(request: Request, end: datetime) -> dict[str, Any]:
    """Months are the periods; what is used is counted from the rows when asked, so no host has anything to run."""
    ending = end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    beginning = (ending - timedelta(days=1)).replace(day=1)
    hosts = await request.read(hosts_service.list_hosts)
    form = "%Y-%m-%d %H:%M:%S"
    return {
        "period_beginning": beginning.strftime(form),
        "period_ending": ending.strftime(form),
        "num_hosts": len(hosts),
        "num_hosts_done": 0,
        "num_hosts_running": 0,
        "num_hosts_not_run": len(hosts),
        "hosts_not_run": [one.host.name for one in hosts],
        "total_instances": 0,
        "total_errors": 0,
        "overall_status": f"0 of {len(hosts)} hosts done. 0 errors.",
        "log": {},
    }


# --- migrations ----------------------------------------------------------------------------------------------------


async def list_migrations(request: Request) -> dict[str, Any]:
    known = ("host", "instance_uuid", "migration_type", "source_compute", "status", "hidden", "limit", "marker",
             "changes-since", "changes-before", "user_id", "project_id")  # fmt: skip
    strict_query(request, known, (2, 59))
    limit, marker = None, None
    if request.version >= (2, 59):
        part = window(request)
        limit, marker = part.limit, part.marker
    filters = {name: value for name, value in request.query if name in known}
    found = await request.read(service.migrations, filters, limit, marker)
    shapes = []
    for one in found:
        shape: dict[str, Any] = {
            "id": one.id, "status": one.status, "instance_uuid": one.server_id, "source_node": one.source_host,
            "source_compute": one.source_host, "dest_node": one.destination_host,
            "dest_compute": one.destination_host, "dest_host": None, "old_instance_type_id": None,
            "new_instance_type_id": None, "created_at": iso_micro(one.created_at, ""),
            "updated_at": iso_micro(one.updated_at, ""),
        }  # fmt: skip
        if request.version >= (2, 23):
            shape["migration_type"] = one.kind
        if request.version >= (2, 59):
            shape["uuid"] = one.uuid
        if request.version >= (2, 80):
            shape |= {"user_id": one.user_id, "project_id": one.project_id}
        shapes.append(shape)
    more = next_link(request, "migrations", [one.uuid for one in found], limit) if limit else {}
    return {"migrations": shapes, **more}


_U = "os_compute_api:os-simple-tenant-usage:"
_L = "os_compute_api:os-instance-usage-audit-log:"
ROUTES = [
    operation("GET", "/os-simple-tenant-usage", listing, _U + "list"),
    operation("GET", "/os-simple-tenant-usage/{project_id}", show, _U + "show"),
    operation("GET", "/os-instance_usage_audit_log", audit_log, _L + "list"),
    operation("GET", "/os-instance_usage_audit_log/{before}", audit_log_before, _L + "show"),
    operation("GET", "/os-migrations", list_migrations, "os_compute_api:os-migrations:index"),
]
