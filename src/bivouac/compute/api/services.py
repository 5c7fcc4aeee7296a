"""`/os-services` and `/os-hosts`: the agents as services that operators enable and disable."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from bivouac.core.clock import iso_micro
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import Request
from bivouac.core.ids import is_uuid

from ..service import hosts as service
from ..service.hosts import BINARY, HostView
from .fields import Body, operation

HostName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9\-_.]*\Z")]
Reason = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A\S(.*\S)?\Z")]


class ServiceName(Body):
    host: HostName
    binary: Annotated[str, Meta(min_length=1, max_length=255)]
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: bool | UnsetType = UNSET


class ServiceChange(Body):
    status: Literal["enabled", "disabled"] | UnsetType = UNSET
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: bool | UnsetType = UNSET


def view(request: Request, one: HostView) -> dict[str, Any]:
    """An agent as `nova-compute`."""
    shape: dict[str, Any] = {
        "id": one.host.service_id if request.version >= (2, 53) else one.host.number,
        "binary": BINARY,
        "host": one.host.name,
        "zone": one.host.availability_zone,
        "status": "disabled" if one.host.disabled else "enabled",
        "state": "up" if one.up else "down",
        "updated_at": iso_micro(one.last_seen, ""),
        "disabled_reason": one.host.disabled_reason or None,
    }
    if request.version >= (2, 11):
        shape["forced_down"] = one.host.forced_down
    return shape


async def listing(request: Request) -> dict[str, Any]:
    host, binary = request.query_value("host"), request.query_value("binary")
    if binary not in (None, "", BINARY):
        return {"services": []}
    where, args = ("hosts.name = ?", (host,)) if host else ("", ())
    found = await request.read(service.list_hosts, where, args)
    return {"services": [view(request, one) for one in found]}


async def _by_name(request: Request) -> HostView:
    asked: ServiceName = request.body
    words = f"Could not find binary {asked.binary} on host {asked.host}."
    if asked.binary != BINARY:
        raise NotFound(words)
    return await request.read(service.get_host, "name", asked.host, words)


async def _named(request: Request, **fields: Any) -> dict[str, Any]:
    """Change a service by its host's name, as until 2.52."""
    one = await _by_name(request)
    one = await request.write(service.change_host, one.host.id, fields)
    shape: dict[str, Any] = {"host": one.host.name, "binary": BINARY}
    if "forced_down" in fields:
        return {"service": shape | {"forced_down": one.host.forced_down}}
    shape["status"] = "disabled" if one.host.disabled else "enabled"
    if fields.get("disabled_reason"):
        shape["disabled_reason"] = one.host.disabled_reason
    return {"service": shape}


async def enable(request: Request) -> dict[str, Any]:
    return await _named(request, disabled=False, disabled_reason="")


async def disable(request: Request) -> dict[str, Any]:
    return await _named(request, disabled=True, disabled_reason="")


async def disable_with_reason(request: Request) -> dict[str, Any]:
    reason = request.body.disabled_reason
    if reason is UNSET:
        raise BadRequest("Missing disabled reason field")
    return await _named(request, disabled=True, disabled_reason=reason)


async def force_down(request: Request) -> dict[str, Any]:
    if request.body.forced_down is UNSET:
        raise BadRequest("Missing forced_down field")
    return await _named(request, forced_down=request.body.forced_down)


async def _by_id(request: Request, service_id: str) -> HostView:
    words = f"Service {service_id} could not be found."
    if request.version >= (2, 53):
        if not is_uuid(service_id):
            raise BadRequest(f"Invalid uuid {service_id}")
        return await request.read(service.get_host, "service_id", service_id, words)
    if not (service_id.isascii() and service_id.isdigit() and len(service_id) < 18):
        raise BadRequest(f"Invalid service id {service_id}: it wants a number.")
    return await request.read(service.get_host, "number", int(service_id), words)


async def update(request: Request, service_id: str) -> dict[str, Any]:
    change: ServiceChange = request.body
    if change.status is UNSET and change.forced_down is UNSET:
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if change.disabled_reason is not UNSET and change.status != "disabled":
        raise BadRequest("Specifying 'disabled_reason' requires that status is 'disabled'.")
    one = await _by_id(request, service_id)
    fields: dict[str, Any] = {}
    if change.status is not UNSET:
        fields["disabled"] = change.status == "disabled"
        fields["disabled_reason"] = "" if change.disabled_reason is UNSET else change.disabled_reason
    if change.forced_down is not UNSET:
        fields["forced_down"] = change.forced_down
    return {"service": view(request, await request.write(service.change_host, one.host.id, fields))}


async def delete(request: Request, service_id: str) -> None:
    one = await _by_id(request, service_id)
    await request.write(service.forget_host, one.host.id)


# --- os-hosts, until 2.42 ------------------------------------------------------------------------------------------


async def list_hosts(request: Request) -> dict[str, Any]:
    zone, kind = request.query_value("zone"), request.query_value("service")
    where, args = ("hosts.availability_zone = ?", (zone,)) if zone else ("", ())
    found: list[HostView] = await request.read(service.list_hosts, where, args)
    if kind not in (None, "compute"):
        found = []
    return {
        "hosts": [
            {"host_name": one.host.name, "service": "compute", "zone": one.host.availability_zone} for one in found
        ]
    }


async def show_host(request: Request, name: str) -> dict[str, Any]:
    """Totals, what is used, and what each project uses."""
    one: HostView = await request.read(service.get_host, "name", name, f"Compute host {name} could not be found.")
    facts, usage = one.host.facts, one.usage
    per_project: list[tuple[str, int, int, int]] = await request.read(_use_by_project, name)
    lines = [
        ("(total)", facts.vcpus, facts.memory_mib, facts.disk_gib),
        ("(used_now)", one.host.vcpus - one.free.vcpus_free, usage.memory_used_mib, usage.disk_used_gib),
        ("(used_max)", sum(one[1] for one in per_project), sum(one[2] for one in per_project),
         sum(one[3] for one in per_project)),
        *per_project,
    ]  # fmt: skip
    return {
        "host": [
            {"resource": {"host": name, "project": project, "cpu": cpu, "memory_mb": memory, "disk_gb": disk}}
            for project, cpu, memory, disk in lines
        ]
    }


def _use_by_project(tx: Any, call: Any, host: str) -> list[tuple[str, int, int, int]]:
    rows = tx.query(
        "SELECT allocations.project_id, sum(allocations.vcpus), sum(allocations.memory_mib), sum(allocations.disk_gib) "
        "FROM allocations JOIN hosts ON hosts.id = allocations.host_id WHERE hosts.name = ? "
        "GROUP BY allocations.project_id ORDER BY allocations.project_id",
        host,
    )
    return [(project, int(vcpus), int(memory), int(disk)) for project, vcpus, memory, disk in rows]


class HostChange(Body):
    status: Annotated[str, Meta(pattern=r"(?i)\A(enable|disable)\Z")] | UnsetType = UNSET
    maintenance_mode: Annotated[str, Meta(pattern=r"(?i)\A(enable|disable)\Z")] | UnsetType = UNSET


async def update_host(request: Request, name: str) -> dict[str, Any]:
    change: HostChange = request.body
    if change.status is UNSET and change.maintenance_mode is UNSET:
        raise BadRequest("Invalid update: it wants status or maintenance_mode.")
    one: HostView = await request.read(service.get_host, "name", name, f"Compute host {name} could not be found.")
    shape: dict[str, Any] = {"host": name}
    fields: dict[str, Any] = {}
    if change.status is not UNSET:
        fields["disabled"] = change.status.lower() == "disable"
        shape["status"] = "disabled" if fields["disabled"] else "enabled"
    if change.maintenance_mode is not UNSET:
        on = change.maintenance_mode.lower() == "enable"
        fields["disabled"] = on or fields.get("disabled", False)
        shape["maintenance_mode"] = "on_maintenance" if on else "off_maintenance"
    await request.write(service.change_host, one.host.id, fields)
    return shape


async def refuse_power(request: Request, name: str) -> None:
    """A host's own power is not this cloud's to switch. Raises NotFound, BadRequest."""
    await request.read(service.get_host, "name", name, f"Compute host {name} could not be found.")
    raise BadRequest(f"Host {name} is switched on and off by whoever runs the machine, not through its agent.")


_P, _S, _H = "os_compute_api:os-services:", "/os-services", "/os-hosts"
ROUTES = [
    operation("GET", _S, listing, _P + "list"),
    operation("PUT", _S + "/enable", enable, _P + "update", body=ServiceName, until=(2, 52)),
    operation("PUT", _S + "/disable", disable, _P + "update", body=ServiceName, until=(2, 52)),
    operation("PUT", _S + "/disable-log-reason", disable_with_reason, _P + "update", body=ServiceName, until=(2, 52)),
    operation("PUT", _S + "/force-down", force_down, _P + "update", body=ServiceName, since=(2, 11), until=(2, 52)),
    operation("PUT", _S + "/{service_id}", update, _P + "update", body=ServiceChange, since=(2, 53)),
    operation("DELETE", _S + "/{service_id}", delete, _P + "delete", status=204),
    operation("GET", _H, list_hosts, "os_compute_api:os-hosts:list", until=(2, 42)),
    operation("GET", _H + "/{name}", show_host, "os_compute_api:os-hosts:show", until=(2, 42)),
    operation("PUT", _H + "/{name}", update_host, "os_compute_api:os-hosts:update", body=HostChange, until=(2, 42)),
    operation("GET", _H + "/{name}/reboot", refuse_power, "os_compute_api:os-hosts:reboot", until=(2, 42)),
    operation("GET", _H + "/{name}/shutdown", refuse_power, "os_compute_api:os-hosts:shutdown", until=(2, 42)),
    operation("GET", _H + "/{name}/startup", refuse_power, "os_compute_api:os-hosts:start", until=(2, 42)),
]
