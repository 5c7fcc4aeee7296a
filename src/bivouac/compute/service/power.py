"""Actions on a running or stopped server: power, rescue, rebuild, password, groups, interfaces."""

from typing import Any

from msgspec.structs import replace

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound
from bivouac.core.store import Tx
from bivouac.network import for_compute as network_service
from bivouac.network.for_compute import NetworkRequest, ServerPort

from ..records import Keypair, Server, ShownServer
from .create import boot_of, check_files, new_password, server_image
from .quotas import limits_of
from .servers import get_server, require_unlocked
from .shown import Around, shown
from .tasks import finish_actions, instant_action, quiet_wish, require, wish

WANTED = {"start": "running", "stop": "stopped", "pause": "paused", "unpause": "running", "suspend": "suspended",
          "resume": "running"}  # fmt: skip


def change_power(tx: Tx, call: Call, server_id: str, task: str) -> None:
    """start, stop, pause, unpause, suspend, resume. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    require(call, server, task)
    _require_host(server)
    wish(tx, call, server, task, power_wanted=WANTED[task])


def reboot(tx: Tx, call: Call, server_id: str, hard: bool) -> None:
    """Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    task = "reboot_hard" if hard else "reboot_soft"
    require(call, server, task)
    _require_host(server)
    wish(tx, call, server, task, power_wanted="running")


def _require_host(server: Server) -> None:
    if not server.host:
        raise Conflict(f"Instance {server.id} is not ready: it is on no host.")


def set_password(tx: Tx, call: Call, server_id: str, password: str) -> None:
    """Raises NotFound, Conflict (not running, or a guest without an agent)."""
    server = get_server(tx, call, server_id)
    require(call, server, "set_password")
    user = server.image_properties.get("os_admin_user", "root")
    wish(tx, call, server, "set_password", {"user": user, "password": password}, admin_password=password)


def inject_nmi(tx: Tx, call: Call, server_id: str) -> None:
    """Make the guest's kernel dump itself. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    require(call, server, "inject_nmi")
    quiet_wish(tx, call, server, "inject_nmi")


def rebuild(
    tx: Tx, call: Call, server_id: str, image_id: str, fields: dict[str, Any]
) -> tuple[str, ShownServer, Around]:
    """Make a server anew from an image, keeping its id, ports and room; its password, and what is shown of it.

    Raises BadRequest, Conflict, NotFound.
    """
    server = get_server(tx, call, server_id)
    require(call, server, "rebuild")
    _require_host(server)
    image = server_image(tx, call, image_id)
    flavor = server.flavor
    if image.min_ram_mib > flavor.memory_mib:
        raise BadRequest("Flavor's memory is too small for requested image.")
    if flavor.root_gib and max(image.min_disk_gib << 30, image.virtual_size_bytes) > flavor.root_gib << 30:
        raise BadRequest("Flavor's disk is too small for requested image.")
    if "key_name" in fields:
        name = fields["key_name"]
        key = tx.get(Keypair, call.user_id, name) if name else None
        if name and key is None:
            raise BadRequest("Invalid key_name provided.")
        fields |= {"key_data": key.public_key if key else "", "key_type": key.type if key else "ssh"}
    limits = limits_of(tx, server.project_id)
    if 0 <= limits["metadata_items"] < len(fields.get("metadata", {})):
        raise Forbidden(f"Maximum number of metadata items exceeds {limits['metadata_items']}")
    check_files(fields.get("files", ()), limits)
    fields.setdefault("admin_password", new_password())
    power = "stopped" if server.phase == "stopped" else "running"
    server = wish(
        tx, call, server, "rebuild", image_id=image_id, image_properties=image.properties,
        boot=boot_of(tx, call, image), power_wanted=power, fault=None, **fields,
    )  # fmt: skip
    return server.admin_password, *shown(tx, call, server)


# --- rescue --------------------------------------------------------------------------------------------------------


def rescue(tx: Tx, call: Call, server_id: str, image_id: str | None, password: str) -> str:
    """Boot from a rescue disk with the root disk beside it; returns the password. Raises BadRequest, Conflict."""
    server = get_server(tx, call, server_id)
    require(call, server, "rescue")
    _require_host(server)
    image = server_image(tx, call, image_id or server.image_id)
    password = password or new_password()
    wish(tx, call, server, "rescue", power_wanted="running", rescue_image_id=image_id or server.image_id,
         admin_password=password, boot=replace(server.boot, rescue=image.ref))  # fmt: skip
    return password


def unrescue(tx: Tx, call: Call, server_id: str) -> None:
    """Boot from the root disk again. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    require(call, server, "unrescue")
    wish(tx, call, server, "unrescue", power_wanted="running", rescue_image_id="",
         boot=replace(server.boot, rescue=None))  # fmt: skip


# --- operators -----------------------------------------------------------------------------------------------------


def reset_state(tx: Tx, call: Call, server_id: str, to: str) -> None:
    """An operator's word on what a server is: `active` or `error`; whatever was under way is forgotten."""
    server = get_server(tx, call, server_id)
    finish_actions(tx, server.id, call.now, "reset by an administrator")
    instant_action(tx, call, server, "reset_state")
    tx.update(server, phase=to, task="", observed_generation=server.generation, deadline=None, restart=False,
              updated_at=call.now, fault=server.fault if to == "error" else None,
              power_wanted="running" if to == "active" else server.power_wanted)  # fmt: skip


def nudge(tx: Tx, call: Call, server_id: str) -> None:
    """Tell the host once more what it should know of a server's network."""
    quiet_wish(tx, call, get_server(tx, call, server_id))


# --- interfaces and groups -----------------------------------------------------------------------------------------


def attach_interface(tx: Tx, call: Call, server_id: str, request: NetworkRequest) -> ServerPort:
    """Give a server another port. Raises BadRequest, Conflict, NotFound, OverQuota."""
    server = get_server(tx, call, server_id)
    require(call, server, "attach_interface")
    _require_host(server)
    asked = (request,) if request.network_id or request.port_id else None
    found = network_service.resolve_requests(tx, call, asked, 1)
    if not found:
        raise BadRequest("There is no network to attach an interface of: name one.")
    one = found[0]
    if request.tag and not one.tag:
        one = NetworkRequest(one.network_id, one.port_id, one.fixed_ip, request.tag)
    port = network_service.attach_port(
        tx, call, one, server_id=server.id, project_id=server.project_id, host=server.host,
        availability_zone=server.availability_zone, hostname=server.hostname,
    )  # fmt: skip
    quiet_wish(tx, call, server, "attach_interface")
    return port


def detach_interface(tx: Tx, call: Call, server_id: str, port_id: str) -> None:
    """Take a port from a server. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    require(call, server, "detach_interface")
    network_service.detach_port(tx, server.id, port_id)
    quiet_wish(tx, call, server, "detach_interface")


def remove_fixed_ip(tx: Tx, call: Call, server_id: str, address: str) -> None:
    """Take the port of a fixed address from a server. Raises BadRequest, Conflict, NotFound."""
    server = get_server(tx, call, server_id)
    for port in network_service.ports_of(tx, [server.id]).get(server.id, []):
        if any(one.address == address and one.kind == "fixed" for one in port.addresses):
            return detach_interface(tx, call, server_id, port.id)
    raise BadRequest(f"Fixed IP {address} is not an address of instance {server_id}.")


def list_interfaces(tx: Tx, call: Call, server_id: str) -> list[ServerPort]:
    """All ports of a server. Raises NotFound."""
    server = get_server(tx, call, server_id)
    return network_service.ports_of(tx, [server.id]).get(server.id, [])


def get_interface(tx: Tx, call: Call, server_id: str, port_id: str) -> ServerPort:
    """One port of a server. Raises NotFound."""
    server = get_server(tx, call, server_id)
    for port in network_service.ports_of(tx, [server.id]).get(server.id, []):
        if port.id == port_id:
            return port
    raise NotFound(f"Port {port_id} could not be found on instance {server_id}.")


def set_security_group(tx: Tx, call: Call, server_id: str, name: str, present: bool) -> None:
    """Put a server's ports into a group, or out of it. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    require_unlocked(call, server)
    network_service.set_server_security_group(tx, call, server.id, name, present)
    quiet_wish(tx, call, server)
