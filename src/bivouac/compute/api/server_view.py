"""A server on the wire: which keys it has, by microversion and by who asks.

Reference: Compute API, "Show Server Details".
"""

import hashlib
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from bivouac.core.clock import iso_micro, iso_seconds
from bivouac.core.http import Request

from ..records import Fault, FlavorShape, ShownServer
from ..service.shown import Around, Known, Line, Seen
from ..states import Wire, wire

PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
FAULTY = frozenset({"ERROR", "DELETED"})
_encode = msgspec.json.Encoder().encode
_decode_flavor = msgspec.json.Decoder(FlavorShape).decode
_decode_fault = msgspec.json.Decoder(Fault).decode


class Sight(Struct, frozen=True):
    """How a request sees servers: once per request, not per server."""

    version: tuple[int, int]
    base: str
    bookmark: str
    attributes: bool
    """Whether `OS-EXT-SRV-ATTR:*` is shown (os-extended-server-attributes)."""
    host_status: str
    """"all", "unknown" (only that) or "" (nothing)."""
    is_admin: bool


def sight(request: Request) -> Sight:
    """What this caller sees at this microversion."""
    call, version = request.call, request.version
    host_status = ""
    if version >= (2, 16):
        if call.allows("os_compute_api:servers:show:host_status"):
            host_status = "all"
        elif call.allows("os_compute_api:servers:show:host_status:unknown-only"):
            host_status = "unknown"
    base = request.base_url
    return Sight(version, base, base.removesuffix("/v2.1"), call.allows("os_compute_api:os-extended-server-attributes"),
                 host_status, call.is_admin)  # fmt: skip


def links(see: Sight, id: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{see.base}/servers/{id}"},
        {"rel": "bookmark", "href": f"{see.bookmark}/servers/{id}"},
    ]


def brief(see: Sight, id: str, name: str) -> dict[str, Any]:
    """A server in the plain list."""
    return {"id": id, "name": name, "links": links(see, id)}


Lines = tuple[Line, ...]


def addresses(lines: Lines, plain: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Addresses by network name; `plain` without the extended keys."""
    found: dict[str, list[dict[str, Any]]] = {}
    last = ""
    for network, mac, address, floating in lines:
        shown = found.setdefault(network, [])
        if address is not None and (key := f"{mac} {address}") != last:
            shown.append(_address(address, mac, "fixed", plain))
            last = key
        if floating is not None:
            shown.append(_address(floating, mac, "floating", plain))
    return found


def _address(address: str, mac: str, kind: str, plain: bool) -> dict[str, Any]:
    shape: dict[str, Any] = {"version": 6 if ":" in address else 4, "addr": address}
    return shape if plain else shape | {"OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": mac}


def image(see: Sight, server: ShownServer) -> Any:
    if not server.image_id:
        return ""
    return {
        "id": server.image_id,
        "links": [{"rel": "bookmark", "href": f"{see.bookmark}/images/{server.image_id}"}],
    }


@lru_cache(maxsize=1000)
def flavor(text: str, embedded: bool, bookmark: str) -> dict[str, Any]:
    """A server's own flavor from its column: its id before 2.47, what it is made of since. Not to be changed."""
    shape = _decode_flavor(text)
    if not embedded:
        return {"id": shape.id, "links": [{"rel": "bookmark", "href": f"{bookmark}/flavors/{shape.id}"}]}
    return {
        "vcpus": shape.vcpus,
        "ram": shape.memory_mib,
        "disk": shape.root_gib,
        "ephemeral": shape.ephemeral_gib,
        "swap": shape.swap_mib,
        "original_name": shape.name,
        "extra_specs": shape.extra_specs,
    }


@lru_cache(maxsize=10_000)
def host_id(project_id: str, host: str) -> str:
    """A name of the host that differs per project, so that tenants learn no topology."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def state_of(server: ShownServer) -> Wire:
    task = server.task if server.observed_generation < server.generation else ""
    return wire(server.phase, task, server.power_observed)


def base_view(see: Sight, server: ShownServer, state: Wire, lines: Lines) -> dict[str, Any]:
    """What create's relatives (update, rebuild) and show have in common."""
    shape: dict[str, Any] = {
        "id": server.id,
        "name": server.name,
        "status": state.status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": msgspec.Raw(server.metadata),
        "hostId": host_id(server.project_id, server.host),
        "image": image(see, server),
        "flavor": flavor(server.flavor, see.version >= (2, 47), see.bookmark),
        "created": iso_seconds(server.created_at),
        "updated": iso_seconds(server.updated_at),
        "addresses": addresses(lines),
        "accessIPv4": server.access_ipv4,
        "accessIPv6": server.access_ipv6,
        "links": links(see, server.id),
        "OS-DCF:diskConfig": server.disk_config,
    }
    if state.status in PROGRESS:
        shape["progress"] = 0
    elif state.status in FAULTY and server.fault is not None:
        fault = _decode_fault(server.fault)
        shape["fault"] = {"code": fault.code, "created": iso_seconds(fault.created), "message": fault.message}
        if see.is_admin and fault.details:
            shape["fault"]["details"] = fault.details
    version = see.version
    if version >= (2, 9):
        shape["locked"] = bool(server.locked_by)
    if version >= (2, 19):
        shape["description"] = server.description
    if version >= (2, 26):
        shape["tags"] = [tag for tag in server.tags.split(",") if tag]
    if version >= (2, 63):
        shape["trusted_image_certificates"] = msgspec.Raw(server.certificates) if server.certificates != "[]" else None
    if version >= (2, 73):
        shape["locked_reason"] = server.locked_reason
    if version >= (2, 96):
        shape["pinned_availability_zone"] = server.pinned_zone
    return shape


def pages(request: Request, see: Sight, seen: Seen, show: bool) -> list[msgspec.Raw]:
    """The servers of a page in order, encoded: what is known as it is, and what is not anew."""
    around, encoded = seen.around, {}
    for server in seen.fresh:
        lines, groups = around.addresses.get(server.id, ()), around.groups.get(server.id, ())
        status = around.host_status.get(server.host, "")
        encoded[server.id] = msgspec.Raw(_encode(full_view(see, server, lines, groups, status, show)))
    if encoded:
        request.mount.service.views.keep((see, show), seen, encoded)
    known = seen.known
    return [known[id] if id in known else encoded[id] for id, _ in seen.states]


def known_views(request: Request, see: Sight, show: bool) -> Known:
    """What is remembered of servers as this request sees them. `show` False in a list, where their groups are left
    out."""
    return request.mount.service.views.known((see, show))


def full_view(
    see: Sight, server: ShownServer, lines: Lines, groups: tuple[str, ...], host_status: str, show: bool
) -> dict[str, Any]:
    """A server with everything that this sight shows of it."""
    state = state_of(server)
    shape = base_view(see, server, state, lines)
    shape["OS-EXT-AZ:availability_zone"] = server.availability_zone if server.host else ""
    shape["config_drive"] = server.config_drive_wish or ("True" if server.config_drive else "")
    shape["key_name"] = server.key_name
    shape["OS-SRV-USG:launched_at"] = iso_micro(server.launched_at, "")
    shape["OS-SRV-USG:terminated_at"] = iso_micro(server.terminated_at, "")
    if groups:
        shape["security_groups"] = [{"name": name} for name in groups]
    shape["OS-EXT-STS:task_state"] = state.task_state
    shape["OS-EXT-STS:vm_state"] = state.vm_state
    shape["OS-EXT-STS:power_state"] = state.power_state
    shape["os-extended-volumes:volumes_attached"] = []
    if see.attributes:
        shape |= _attributes(see, server)
    version = see.version
    if version >= (2, 90):
        shape["OS-EXT-SRV-ATTR:hostname"] = server.hostname
    if see.host_status and server.host:
        status = host_status or "UNKNOWN"
        if see.host_status == "all" or status == "UNKNOWN":
            shape["host_status"] = status
    elif see.host_status == "all":
        shape["host_status"] = ""
    if version >= (2, 71) and show:
        shape["server_groups"] = [server.group_id] if server.group_id else []
    return shape


def _attributes(see: Sight, server: ShownServer) -> dict[str, Any]:
    """What only operators see."""
    shape: dict[str, Any] = {
        "OS-EXT-SRV-ATTR:host": server.host or None,
        "OS-EXT-SRV-ATTR:instance_name": f"instance-{server.id[:8]}",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host or None,
    }
    if see.version >= (2, 3):
        shape |= {
            "OS-EXT-SRV-ATTR:reservation_id": server.reservation_id,
            "OS-EXT-SRV-ATTR:launch_index": server.launch_index,
            "OS-EXT-SRV-ATTR:hostname": server.hostname,
            "OS-EXT-SRV-ATTR:kernel_id": _property(server, "kernel_id"),
            "OS-EXT-SRV-ATTR:ramdisk_id": _property(server, "ramdisk_id"),
            "OS-EXT-SRV-ATTR:root_device_name": server.root_device_name,
            "OS-EXT-SRV-ATTR:user_data": server.user_data,
        }
    return shape


def _property(server: ShownServer, name: str) -> str:
    if name not in server.image_properties:
        return ""
    return msgspec.json.decode(server.image_properties, type=dict[str, str]).get(name, "")


def changed_view(see: Sight, server: ShownServer, around: Around) -> dict[str, Any]:
    """The answer to an update: the common part before 2.75, as shown since."""
    lines = around.addresses.get(server.id, ())
    if see.version >= (2, 75):
        host_status = around.host_status.get(server.host, "")
        return full_view(see, server, lines, around.groups.get(server.id, ()), host_status, True)
    shape = base_view(see, server, state_of(server), lines) | {"addresses": addresses(lines, plain=True)}
    if see.version >= (2, 71):
        shape["server_groups"] = [server.group_id] if server.group_id else []
    return shape
