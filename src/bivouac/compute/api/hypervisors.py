"""`/os-hypervisors`: hosts and what is free on them.

Ids are numbers until 2.52 and UUIDs since 2.53. What a host has beyond its identity left with 2.88, to Placement.
"""

from typing import Any
from urllib.parse import unquote

import msgspec

from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import Request
from bivouac.core.ids import is_uuid

from ..service import hosts as service
from ..service.hosts import HostView
from .fields import MAX_LIMIT, flag, next_link, operation, strict_query, window


def _id(request: Request, view: HostView) -> Any:
    return view.host.id if request.version >= (2, 53) else view.host.number


def brief(request: Request, view: HostView) -> dict[str, Any]:
    return {
        "id": _id(request, view),
        "hypervisor_hostname": view.host.name,
        "state": "up" if view.up else "down",
        "status": "disabled" if view.host.disabled else "enabled",
    }


def _cpu_info(view: HostView) -> dict[str, Any]:
    facts = view.host.facts
    return {
        "arch": facts.cpu_arch,
        "model": facts.cpu_model,
        "vendor": "",
        "features": list(facts.cpu_features),
        "topology": facts.cpu_topology or {"cores": facts.vcpus, "sockets": 1, "threads": 1},
    }


def detail(request: Request, view: HostView) -> dict[str, Any]:
    """A hypervisor in full."""
    host, facts = view.host, view.host.facts
    shape = brief(request, view) | {
        "hypervisor_type": facts.hypervisor_type,
        "hypervisor_version": facts.hypervisor_version,
        "host_ip": facts.address,
        "service": {
            "id": host.service_id if request.version >= (2, 53) else host.number,
            "host": host.name,
            "disabled_reason": host.disabled_reason or None,
        },
    }
    if request.version >= (2, 88):
        return shape | {"uptime": _uptime(view) if view.up else None}
    shape |= _amounts(view) | {"current_workload": 0, "disk_available_least": view.usage.disk_available_gib}
    info = _cpu_info(view)
    shape["cpu_info"] = info if request.version >= (2, 28) else _text(info)
    return shape


def _text(tree: Any) -> str:
    return msgspec.json.encode(tree).decode()


def _amounts(view: HostView) -> dict[str, int]:
    """Room as Nova counts it: the machine's own size, and what servers take of it."""
    facts, free, host = view.host.facts, view.free, view.host
    memory_used = facts.reserved_memory_mib + host.memory_mib - free.memory_free_mib
    disk_used = host.disk_gib - free.disk_free_gib
    return {
        "vcpus": facts.vcpus,
        "vcpus_used": host.vcpus - free.vcpus_free,
        "memory_mb": facts.memory_mib,
        "memory_mb_used": memory_used,
        "free_ram_mb": facts.memory_mib - memory_used,
        "local_gb": facts.disk_gib,
        "local_gb_used": disk_used,
        "free_disk_gb": facts.disk_gib - disk_used,
        "running_vms": free.servers,
    }


def _uptime(view: HostView) -> str:
    seconds = int(view.usage.uptime_s)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    load = view.usage.load_average
    return f" up {days} days, {hours:2}:{minutes:02},  0 users,  load average: {load:.2f}, {load:.2f}, {load:.2f}"


# --- routes --------------------------------------------------------------------------------------------------------


async def listing(request: Request) -> dict[str, Any]:
    return await _list(request, brief)


async def list_detail(request: Request) -> dict[str, Any]:
    return await _list(request, detail)


async def _list(request: Request, shape: Any) -> dict[str, Any]:
    version = request.version
    strict_query(request, ("limit", "marker", "hypervisor_hostname_pattern", "with_servers"), (2, 53))
    pattern = request.query_value("hypervisor_hostname_pattern") if version >= (2, 53) else None
    with_servers = flag("with_servers", request.query_value("with_servers")) if version >= (2, 53) else False
    limit, after = None, 0
    if version >= (2, 33):
        part = window(request)
        limit = part.limit
        if pattern is not None and (part.asked or part.marker is not None):
            raise BadRequest("Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not "
                             "supported.")  # fmt: skip
        after = await _after(request, part.marker) if part.marker is not None else 0
    where, args = ("hosts.name LIKE ? ESCAPE '\\'", (_like(pattern),)) if pattern is not None else ("", ())
    found: list[HostView] = await request.read(service.list_hosts, where, args, limit, after)
    if pattern is not None and not found:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    shapes = [shape(request, one) for one in found]
    if with_servers:
        await _add_servers(request, found, shapes)
    more = {}
    if limit is not None:
        ids = [str(_id(request, one)) for one in found]
        more = next_link(request, "hypervisors", ids, min(limit, MAX_LIMIT))
    return {"hypervisors": shapes, **more}


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def _after(request: Request, marker: str) -> int:
    try:
        return (await _get(request, marker)).host.number
    except NotFound as error:
        raise BadRequest(f"Marker {marker} could not be found.") from error


async def _get(request: Request, id: str) -> HostView:
    """Raises NotFound, BadRequest for an id that is no UUID (from 2.53)."""
    words = f"Hypervisor with ID '{id}' could not be found."
    if request.version >= (2, 53):
        if not is_uuid(id):
            raise BadRequest(f"Invalid uuid {id}")
        return await request.read(service.get_host, "id", id, words)
    if not (id.isascii() and id.isdigit() and len(id) < 18):
        raise NotFound(words)
    return await request.read(service.get_host, "number", int(id), words)


async def _add_servers(request: Request, found: list[HostView], shapes: list[dict[str, Any]]) -> None:
    servers = await request.read(_servers, [one.host.name for one in found])
    for one, shape in zip(found, shapes, strict=True):
        if here := servers.get(one.host.name):
            shape["servers"] = [{"uuid": id, "name": name} for id, name in here]


def _servers(tx: Any, call: Any, hosts: list[str]) -> dict[str, list[tuple[str, str]]]:
    return service.servers_on(tx, hosts)


async def show(request: Request, id: str) -> dict[str, Any]:
    found = await _get(request, id)
    shape = detail(request, found)
    if request.version >= (2, 53) and flag("with_servers", request.query_value("with_servers")):
        await _add_servers(request, [found], [shape])
    return {"hypervisor": shape}


async def uptime(request: Request, id: str) -> dict[str, Any]:
    found = await _get(request, id)
    if not found.up:
        raise BadRequest(f"Host {found.host.name} is down, so its uptime is not known.")
    return {"hypervisor": brief(request, found) | {"uptime": _uptime(found)}}


async def statistics(request: Request) -> dict[str, Any]:
    found: list[HostView] = await request.read(service.list_hosts)
    totals = {"count": 0, "current_workload": 0, "disk_available_least": 0, "vcpus": 0, "vcpus_used": 0,
              "memory_mb": 0, "memory_mb_used": 0, "free_ram_mb": 0, "local_gb": 0, "local_gb_used": 0,
              "free_disk_gb": 0, "running_vms": 0}  # fmt: skip
    for one in found:
        if one.host.disabled:
            continue
        totals["count"] += 1
        totals["disk_available_least"] += one.usage.disk_available_gib
        for name, amount in _amounts(one).items():
            totals[name] += amount
    return {"hypervisor_statistics": totals}


async def _matching(request: Request, pattern: str) -> list[HostView]:
    found = await request.read(service.list_hosts, "hosts.name LIKE ? ESCAPE '\\'", (_like(unquote(pattern)),))
    if not found:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    return found


async def search(request: Request, pattern: str) -> dict[str, Any]:
    return {"hypervisors": [brief(request, one) for one in await _matching(request, pattern)]}


async def servers(request: Request, pattern: str) -> dict[str, Any]:
    found = await _matching(request, pattern)
    shapes = [brief(request, one) for one in found]
    await _add_servers(request, found, shapes)
    return {"hypervisors": shapes}


_P = "os_compute_api:os-hypervisors:"
_H = "/os-hypervisors"
ROUTES = [
    operation("GET", _H, listing, _P + "list"),
    operation("GET", _H + "/detail", list_detail, _P + "list-detail"),
    operation("GET", _H + "/statistics", statistics, _P + "statistics", until=(2, 87)),
    operation("GET", _H + "/{id}", show, _P + "show"),
    operation("GET", _H + "/{id}/uptime", uptime, _P + "uptime", until=(2, 87)),
    operation("GET", _H + "/{pattern}/search", search, _P + "search", until=(2, 52)),
    operation("GET", _H + "/{pattern}/servers", servers, _P + "servers", until=(2, 52)),
]
