"""What hangs below a server: metadata, tags, interfaces, actions, diagnostics, security groups, volumes."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from bivouac.core.clock import iso_micro
from bivouac.core.errors import BadRequest, Conflict, NotFound
from bivouac.core.http import Request, Response
from bivouac.network.for_compute import NetworkRequest, ServerPort

from ..hosts import AskFailed
from ..records import ServerAction
from ..service import history, power, tags
from ..service import servers as service
from ..states import TASKS, refusal
from .fields import Body, Key, Metadata, Tag, Uuid, Value, checked_uuid, next_link, operation, window
from .server_filters import moment
from .server_view import host_id
from .values import address

# --- metadata ------------------------------------------------------------------------------------------------------


class MetaItem(Body):
    meta: Annotated[dict[Key, Value], Meta(min_length=1, max_length=1)]


async def list_metadata(request: Request, server_id: str) -> dict[str, Any]:
    return {"metadata": (await request.read(service.get_server, server_id)).metadata}


async def set_metadata(request: Request, server_id: str) -> dict[str, Any]:
    return {"metadata": await request.write(service.set_metadata, server_id, request.body, True)}


async def add_metadata(request: Request, server_id: str) -> dict[str, Any]:
    return {"metadata": await request.write(service.set_metadata, server_id, request.body, False)}


async def show_item(request: Request, server_id: str, key: str) -> dict[str, Any]:
    metadata = (await request.read(service.get_server, server_id)).metadata
    if key not in metadata:
        raise NotFound("Metadata item was not found")
    return {"meta": {key: metadata[key]}}


async def set_item(request: Request, server_id: str, key: str) -> dict[str, Any]:
    if key not in request.body.meta:
        raise BadRequest("Request body and URI mismatch")
    await request.write(service.set_metadata, server_id, request.body.meta, False)
    return {"meta": request.body.meta}


async def delete_item(request: Request, server_id: str, key: str) -> None:
    await request.write(service.delete_metadata, server_id, key)


# --- tags ----------------------------------------------------------------------------------------------------------


async def list_tags(request: Request, server_id: str) -> dict[str, Any]:
    return {"tags": (await request.read(service.get_server, server_id)).tag_list}


async def has_tag(request: Request, server_id: str, tag: str) -> Response:
    if tag not in (await request.read(service.get_server, server_id)).tag_list:
        raise NotFound(f"Server {server_id} has no tag '{tag}'")
    return Response(None, 204)


async def add_tag(request: Request, server_id: str, tag: str) -> Response:
    new = await request.write(tags.add_tag, server_id, tag)
    if not new:
        return Response(None, 204)
    return Response(None, 201, {"Location": f"{request.base_url}/servers/{server_id}/tags/{tag}"})


async def set_tags(request: Request, server_id: str) -> dict[str, Any]:
    return {"tags": await request.write(tags.set_tags, server_id, list(dict.fromkeys(request.body)))}


async def delete_tag(request: Request, server_id: str, tag: str) -> None:
    await request.write(tags.delete_tag, server_id, tag)


async def delete_tags(request: Request, server_id: str) -> None:
    await request.write(tags.set_tags, server_id, [])


# --- interfaces ----------------------------------------------------------------------------------------------------


class FixedIp(Body):
    ip_address: str


class Interface(Body):
    port_id: Uuid | None = None
    net_id: Uuid | None = None
    fixed_ips: Annotated[list[FixedIp], Meta(min_length=1, max_length=1)] | None = None
    tag: Tag | UnsetType = UNSET


def _interface(request: Request, port: ServerPort) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "port_state": port.status,
        "port_id": port.id,
        "net_id": port.network_id,
        "mac_addr": port.mac_address,
        "fixed_ips": [
            {"subnet_id": one.subnet_id, "ip_address": one.address} for one in port.addresses if one.kind == "fixed"
        ],
    }
    if request.version >= (2, 70):
        shape["tag"] = port.tag or None
    return shape


async def list_interfaces(request: Request, server_id: str) -> dict[str, Any]:
    ports = await request.read(power.list_interfaces, server_id)
    return {"interfaceAttachments": [_interface(request, port) for port in ports]}


async def show_interface(request: Request, server_id: str, port_id: str) -> dict[str, Any]:
    return {"interfaceAttachment": _interface(request, await request.read(power.get_interface, server_id, port_id))}


async def attach(request: Request, server_id: str) -> dict[str, Any]:
    asked: Interface = request.body or Interface()
    if asked.tag is not UNSET and request.version < (2, 49):
        raise BadRequest("Additional properties are not allowed ('tag' was unexpected)")
    if asked.port_id and asked.net_id:
        raise BadRequest("Must not input both network_id and port_id")
    if asked.fixed_ips and not asked.net_id:
        raise BadRequest("Must input network_id when request IP address")
    fixed_ip = address(asked.fixed_ips[0].ip_address) if asked.fixed_ips else ""
    tag = "" if asked.tag is UNSET else asked.tag
    wanted = NetworkRequest(asked.net_id or "", asked.port_id or "", fixed_ip, tag)
    return {"interfaceAttachment": _interface(request, await request.write(power.attach_interface, server_id, wanted))}


async def detach(request: Request, server_id: str, port_id: str) -> Response:
    await request.write(power.detach_interface, server_id, port_id)
    return Response(None, 202)


# --- instance actions ----------------------------------------------------------------------------------------------


def _action(request: Request, action: ServerAction) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "action": action.action,
        "instance_uuid": action.server_id,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": iso_micro(action.start_time, ""),
        "message": "Error" if action.state == "failed" else None,
    }
    if request.version >= (2, 58):
        shape["updated_at"] = iso_micro(action.updated_at, "")
    return shape


def _events(request: Request, action: ServerAction, project_id: str) -> list[dict[str, Any]]:
    """The one event that an action has: what its host did."""
    if action.task not in TASKS:
        return []
    result = {"done": "Success", "failed": "Error"}.get(action.state)
    event: dict[str, Any] = {
        "event": TASKS[action.task].event,
        "start_time": iso_micro(action.start_time, ""),
        "finish_time": iso_micro(action.finish_time, ""),
        "result": result,
    }
    details = request.call.allows("os_compute_api:os-instance-actions:events")
    if details:
        event["traceback"] = None
    if request.version >= (2, 62):
        if details:
            event["host"] = action.host
        event["hostId"] = host_id(project_id, action.host)
    if request.version >= (2, 84):
        event["details"] = action.message or None
    return [event]


async def list_actions(request: Request, server_id: str) -> dict[str, Any]:
    checked_uuid("Instance", server_id)
    since = before = None
    part = window(request)
    if request.version >= (2, 58) and (text := request.query_value("changes-since")):
        since = moment("changes-since", text)
    if request.version >= (2, 66) and (text := request.query_value("changes-before")):
        before = moment("changes-before", text)
        if since is not None and before < since:
            raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    limit, marker = (part.limit, part.marker) if request.version >= (2, 58) else (None, None)
    found = await request.read(history.list_actions, server_id, limit, marker, since, before)
    shapes = [_action(request, one) for one in found]
    more = next_link(request, "links", [one.request_id for one in found], part.limit) if limit is not None else {}
    return {"instanceActions": shapes, **({"links": more["links_links"]} if more else {})}


async def show_action(request: Request, server_id: str, request_id: str) -> dict[str, Any]:
    checked_uuid("Instance", server_id)
    action, project_id = await request.read(history.get_action, server_id, request_id)
    shape = _action(request, action)
    if request.version >= (2, 51) or request.call.allows("os_compute_api:os-instance-actions:events"):
        shape["events"] = _events(request, action, project_id)
    return {"instanceAction": shape}


# --- diagnostics, groups, what there is none of --------------------------------------------------------------------


async def diagnostics(request: Request, server_id: str) -> dict[str, Any]:
    """What the host measures of a guest: flat numbers before 2.48, one shape for all drivers since."""
    server = await request.read(service.get_server, server_id)
    words = refusal("get_diagnostics", "get_diagnostics", server.id, server.phase, server.current_task)
    if words:
        raise Conflict(words)
    found = await request.mount.service.hosts.ask(server.host, "diagnostics", {"server_id": server.id})
    if request.version >= (2, 48):
        # The API knows five words for drivers; this is the one for QEMU and KVM.
        return found | {"driver": "libvirt"}
    flat: dict[str, Any] = {"memory": ((found.get("memory_details") or {}).get("maximum") or 0) * 1024}
    for number, cpu in enumerate(found.get("cpu_details") or []):
        flat[f"cpu{cpu.get('id', number)}_time"] = cpu.get("time") or 0
    for disk in found.get("disk_details") or []:
        flat |= {f"disk_{key}": value for key, value in disk.items() if isinstance(value, int)}
    for nic in found.get("nic_details") or []:
        flat |= {f"nic_{nic.get('mac_address', '')}_{key}": v for key, v in nic.items() if isinstance(v, int)}
    return flat


async def list_volumes(request: Request, server_id: str) -> dict[str, Any]:
    """No server has volumes here."""
    await request.read(service.get_server, server_id)
    return {"volumeAttachments": []}


async def show_password(request: Request, server_id: str) -> dict[str, Any]:
    """The password that the guest posted, encrypted with its owner's key; empty when there is none."""
    server = await request.read(service.get_server, server_id)
    if not server.host:
        return {"password": ""}
    try:
        answer = await request.mount.service.hosts.ask(server.host, "server_password", {"server_id": server.id})
    except AskFailed:
        return {"password": ""}
    return {"password": str(answer.get("password", ""))}


async def clear_password(request: Request, server_id: str) -> None:
    server = await request.read(service.get_server, server_id)
    if server.host:
        await request.mount.service.hosts.ask(server.host, "clear_server_password", {"server_id": server.id})


_P = "os_compute_api:"
_M, _T, _I = "/servers/{server_id}/metadata", "/servers/{server_id}/tags", "/servers/{server_id}/os-interface"
_A = "/servers/{server_id}/os-instance-actions"
ROUTES = [
    operation("GET", _M, list_metadata, _P + "server-metadata:index"),
    operation("PUT", _M, set_metadata, _P + "server-metadata:update_all", body=Metadata, envelope="metadata"),
    operation("POST", _M, add_metadata, _P + "server-metadata:create", body=Metadata, envelope="metadata"),
    operation("GET", _M + "/{key}", show_item, _P + "server-metadata:show"),
    operation("PUT", _M + "/{key}", set_item, _P + "server-metadata:update", body=MetaItem),
    operation("DELETE", _M + "/{key}", delete_item, _P + "server-metadata:delete", status=204),
    operation("GET", _T, list_tags, _P + "os-server-tags:index", since=(2, 26)),
    operation("PUT", _T, set_tags, _P + "os-server-tags:update_all", since=(2, 26), envelope="tags",
              body=Annotated[list[Tag], Meta(max_length=50)]),
    operation("DELETE", _T, delete_tags, _P + "os-server-tags:delete_all", status=204, since=(2, 26)),
    operation("GET", _T + "/{tag}", has_tag, _P + "os-server-tags:show", status=204, since=(2, 26)),
    operation("PUT", _T + "/{tag}", add_tag, _P + "os-server-tags:update", status=201, since=(2, 26)),
    operation("DELETE", _T + "/{tag}", delete_tag, _P + "os-server-tags:delete", status=204, since=(2, 26)),
    operation("GET", _I, list_interfaces, _P + "os-attach-interfaces:list"),
    operation("POST", _I, attach, _P + "os-attach-interfaces:create", body=Interface,
              envelope="interfaceAttachment", optional_body=True),
    operation("GET", _I + "/{port_id}", show_interface, _P + "os-attach-interfaces:show"),
    operation("DELETE", _I + "/{port_id}", detach, _P + "os-attach-interfaces:delete", status=202),
    operation("GET", _A, list_actions, _P + "os-instance-actions:list"),
    operation("GET", _A + "/{request_id}", show_action, _P + "os-instance-actions:show"),
    operation("GET", "/servers/{server_id}/diagnostics", diagnostics, _P + "os-server-diagnostics"),
    operation("GET", "/servers/{server_id}/os-volume_attachments", list_volumes, _P + "os-volumes-attachments:index"),
    operation("GET", "/servers/{server_id}/os-server-password", show_password, _P + "os-server-password:show"),
    operation("DELETE", "/servers/{server_id}/os-server-password", clear_password, _P + "os-server-password:clear",
              status=204),
]  # fmt: skip
