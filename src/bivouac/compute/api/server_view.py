"""A server on the wire: which keys it has, by microversion and by who asks.

Reference: Compute API, "Show Server Details".
"""

import hashlib
from typing import Any

from msgspec import Struct

from bivouac.core.clock import iso_micro, iso_seconds
from bivouac.core.http import Request

from ..neighbours import ServerPort
from ..records import Server
from ..service.servers import Around
from ..states import wire

PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
FAULTY = frozenset({"ERROR", "DELETED"})


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


def brief(see: Sight, server: Server) -> dict[str, Any]:
    """A server in the plain list."""
    return {"id": server.id, "name": server.name, "links": links(see, server.id)}


def addresses(ports: list[ServerPort]) -> dict[str, list[dict[str, Any]]]:
    """Addresses by network name, as shown within a server."""
    found: dict[str, list[dict[str, Any]]] = {}
    for port in ports:
        shown = found.setdefault(port.network_name, [])
        for one in port.addresses:
            shown.append(
                {
                    "version": one.version,
                    "addr": one.address,
                    "OS-EXT-IPS:type": one.kind,
                    "OS-EXT-IPS-MAC:mac_addr": port.mac_address,
                }
            )
    return found


def image(see: Sight, server: Server) -> Any:
    if not server.image_id:
        return ""
    return {
        "id": server.image_id,
        "links": [{"rel": "bookmark", "href": f"{see.bookmark}/images/{server.image_id}"}],
    }


def flavor(see: Sight, server: Server) -> dict[str, Any]:
    """Its id before 2.47, what it was made of since."""
    shape = server.flavor
    if see.version < (2, 47):
        return {"id": shape.id, "links": [{"rel": "bookmark", "href": f"{see.bookmark}/flavors/{shape.id}"}]}
    return {
        "vcpus": shape.vcpus,
        "ram": shape.memory_mib,
        "disk": shape.root_gib,
        "ephemeral": shape.ephemeral_gib,
        "swap": shape.swap_mib,
        "original_name": shape.name,
        "extra_specs": shape.extra_specs,
    }


def host_id(project_id: str, host: str) -> str:
    """A name of the host that differs per project, so that tenants learn no topology."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def base_view(see: Sight, server: Server, ports: list[ServerPort]) -> dict[str, Any]:
    """What create's relatives (update, rebuild) and show have in common."""
    state = wire(server.phase, server.current_task, server.power_observed)
    shape: dict[str, Any] = {
        "id": server.id,
        "name": server.name,
        "status": state.status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": server.metadata,
        "hostId": host_id(server.project_id, server.host),
        "image": image(see, server),
        "flavor": flavor(see, server),
        "created": iso_seconds(server.created_at),
        "updated": iso_seconds(server.updated_at),
        "addresses": addresses(ports),
        "accessIPv4": server.access_ipv4,
        "accessIPv6": server.access_ipv6,
        "links": links(see, server.id),
        "OS-DCF:diskConfig": server.disk_config,
    }
    if state.status in PROGRESS:
        shape["progress"] = 0
    elif state.status in FAULTY and server.fault is not None:
        fault = {"code": server.fault.code, "created": iso_seconds(server.fault.created),
                 "message": server.fault.message}  # fmt: skip
        if see.is_admin and server.fault.details:
            fault["details"] = server.fault.details
        shape["fault"] = fault
    version = see.version
    if version >= (2, 9):
        shape["locked"] = bool(server.locked_by)
    if version >= (2, 19):
        shape["description"] = server.description
    if version >= (2, 26):
        shape["tags"] = server.tag_list
    if version >= (2, 63):
        shape["trusted_image_certificates"] = list(server.certificates) or None
    if version >= (2, 73):
        shape["locked_reason"] = server.locked_reason
    if version >= (2, 96):
        shape["pinned_availability_zone"] = server.pinned_zone
    return shape


def view(see: Sight, server: Server, around: Around, *, show: bool = True) -> dict[str, Any]:
    """A server in full; `show` False in a list, where its groups are left out."""
    ports = around.ports.get(server.id, [])
    shape = base_view(see, server, ports)
    state = wire(server.phase, server.current_task, server.power_observed)
    shape["OS-EXT-AZ:availability_zone"] = server.availability_zone if server.host else ""
    shape["config_drive"] = server.config_drive_wish or ("True" if server.config_drive else "")
    shape["key_name"] = server.key_name
    shape["OS-SRV-USG:launched_at"] = iso_micro(server.launched_at, "")
    shape["OS-SRV-USG:terminated_at"] = iso_micro(server.terminated_at, "")
    if names := dict.fromkeys(name for port in ports for name in port.security_groups):
        shape["security_groups"] = [{"name": name} for name in names]
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
        status = around.host_status.get(server.host, "UNKNOWN")
        if see.host_status == "all" or status == "UNKNOWN":
            shape["host_status"] = status
    elif see.host_status == "all":
        shape["host_status"] = ""
    if version >= (2, 71) and show:
        shape["server_groups"] = [server.group_id] if server.group_id else []
    return shape


def _attributes(see: Sight, server: Server) -> dict[str, Any]:
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
            "OS-EXT-SRV-ATTR:kernel_id": server.image_properties.get("kernel_id", ""),
            "OS-EXT-SRV-ATTR:ramdisk_id": server.image_properties.get("ramdisk_id", ""),
            "OS-EXT-SRV-ATTR:root_device_name": server.root_device_name,
            "OS-EXT-SRV-ATTR:user_data": server.user_data,
        }
    return shape


def changed_view(see: Sight, server: Server, around: Around) -> dict[str, Any]:
    """The answer to an update: the common part before 2.75, as shown since."""
    if see.version >= (2, 75):
        return view(see, server, around)
    shape = base_view(see, server, around.ports.get(server.id, []))
    shape["addresses"] = {
        name: [{"version": one["version"], "addr": one["addr"]} for one in found]
        for name, found in shape["addresses"].items()
    }
    if see.version >= (2, 71):
        shape["server_groups"] = [server.group_id] if server.group_id else []
    return shape
