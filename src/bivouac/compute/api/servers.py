"""`/servers`: create, list, show, update, delete, addresses."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from bivouac.core.errors import BadRequest, Forbidden, NotFound
from bivouac.core.http import Request, Response
from bivouac.core.ids import is_uuid
from bivouac.core.store import Page
from bivouac.network.for_compute import NetworkRequest

from ..records import Server
from ..service import create as create_service
from ..service import servers as service
from ..service.listing import list_servers
from ..service.shown import see_server, see_servers
from .fields import (
    Body,
    Description,
    Metadata,
    Name,
    Tag,
    Uuid,
    checked_uuid,
    next_link,
    operation,
    window,
)
from .server_filters import filters_of, sort_of
from .server_view import addresses, brief, changed_view, known_views, links, pages, sight
from .values import Base64, DiskConfig, DiskMapping, Personality, address, checked_base64, disks_of, files_of

Count = Annotated[int, Meta(ge=1, le=0x7FFFFFFF)]
Fqdn = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9\-_.]*\Z")]


class NetworkEntry(Body):
    uuid: str | None = None
    port: Uuid | None = None
    fixed_ip: str | None = None
    tag: Tag | None = None


class GroupName(Body):
    name: Name


class ServerBody(Body):
    """All that `server` may hold in any microversion; `VERSIONED` says when each may be there."""

    name: Name
    flavorRef: str | int
    imageRef: str = ""
    networks: list[NetworkEntry] | str | UnsetType = UNSET
    adminPass: str = ""
    metadata: Metadata = {}
    disk_config: DiskConfig = field(default="MANUAL", name="OS-DCF:diskConfig")
    accessIPv4: str = ""
    accessIPv6: str = ""
    personality: list[Personality] | UnsetType = UNSET
    availability_zone: Name = ""
    block_device_mapping: list[DiskMapping] = []
    block_device_mapping_v2: list[DiskMapping] = []
    config_drive: bool | str | None = None
    key_name: Name | None = None
    min_count: Count = 1
    max_count: Count | None = None
    return_reservation_id: bool = False
    security_groups: list[GroupName] = []
    user_data: Base64 | None = None
    description: Description | None | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=50)] | UnsetType = UNSET
    trusted_image_certificates: Annotated[list[Name], Meta(min_length=1, max_length=50)] | None | UnsetType = UNSET
    host: Fqdn | UnsetType = UNSET
    hypervisor_hostname: Fqdn | UnsetType = UNSET
    hostname: Fqdn | UnsetType = UNSET


class CreateBody(Body):
    server: ServerBody
    hints: dict[str, Any] = field(default={}, name="os:scheduler_hints")
    old_hints: dict[str, Any] = field(default={}, name="OS-SCH-HNT:scheduler_hints")


Span = tuple[tuple[int, int], tuple[int, int]]
VERSIONED: dict[str, Span] = {
    "description": ((2, 19), (9, 9)),
    "tags": ((2, 52), (9, 9)),
    "personality": ((2, 1), (2, 56)),
    "trusted_image_certificates": ((2, 63), (9, 9)),
    "host": ((2, 74), (9, 9)),
    "hypervisor_hostname": ((2, 74), (9, 9)),
    "hostname": ((2, 90), (9, 9)),
}
"""Keys that not every microversion takes: first and last one that does."""


class ServerChange(Body):
    name: Name | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")
    accessIPv4: str | UnsetType = UNSET
    accessIPv6: str | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    hostname: Fqdn | UnsetType = UNSET


def refuse_unversioned(request: Request, body: Any) -> None:
    """Raise BadRequest for keys that the request's microversion does not know."""
    for name, (since, until) in VERSIONED.items():
        if getattr(body, name, UNSET) is not UNSET and not since <= request.version <= until:
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")


def given(value: Any, default: Any = None) -> Any:
    return default if value is UNSET else value


async def create(request: Request) -> Response:
    if not request.call.project_id:
        raise Forbidden("A server belongs to a project: the token must be scoped to one.")
    body: CreateBody = request.body
    new = new_server(request, body)
    if new.host:
        request.call.enforce("os_compute_api:compute:servers:create:requested_destination")
    if new.certificates:
        request.call.enforce("os_compute_api:servers:create:trusted_certs")
    servers: list[Server] = await request.write(create_service.create_servers, new)
    first = servers[0]
    if body.server.return_reservation_id:
        return Response({"reservation_id": first.reservation_id}, 202)
    see = sight(request)
    groups = list(new.security_groups) or ["default"]
    shape = {
        "id": first.id,
        "links": links(see, first.id),
        "OS-DCF:diskConfig": first.disk_config,
        "security_groups": [{"name": name} for name in groups],
        "adminPass": first.admin_password,
    }
    return Response({"server": shape}, 202, {"Location": f"{see.base}/servers/{first.id}"})


def new_server(request: Request, body: CreateBody) -> create_service.NewServer:
    """The body in plain terms. Raises BadRequest."""
    asked = body.server
    refuse_unversioned(request, asked)
    disks, root_tag, root_image = disks_of(request, asked.block_device_mapping, asked.block_device_mapping_v2)
    image_id = asked.imageRef or root_image
    if not is_uuid(image_id):
        raise BadRequest("Invalid image identifier: a server boots from an image here; give imageRef." if not image_id
                         else "Invalid imageRef provided.")  # fmt: skip
    most = asked.max_count if asked.max_count is not None else asked.min_count
    if most < asked.min_count:
        raise BadRequest("min_count must be <= max_count")
    if most > 1 and isinstance(asked.networks, list) and any(one.port or one.fixed_ip for one in asked.networks):
        raise BadRequest("Ports and fixed addresses can not be shared: give them to one server at a time.")
    hostname = given(asked.hostname, "")
    if hostname and most > 1:
        raise BadRequest("Several servers can not have one hostname.")
    if hostname and (request.version < (2, 94)) and "." in hostname:
        raise BadRequest("A hostname with dots needs microversion 2.94.")
    if hostname and len(hostname) > 63 and request.version < (2, 94):
        raise BadRequest("A hostname may have 63 characters.")
    host = given(asked.host, "") or given(asked.hypervisor_hostname, "")
    return create_service.NewServer(
        name=asked.name, flavor_id=str(asked.flavorRef), image_id=image_id, networks=networks_of(request, asked),
        security_groups=tuple(dict.fromkeys(one.name for one in asked.security_groups)),
        min_count=asked.min_count, max_count=most, metadata=asked.metadata,
        tags=tuple(dict.fromkeys(given(asked.tags, []))),
        description=given(asked.description) if request.version >= (2, 19) else asked.name,
        user_data=checked_base64("user_data", asked.user_data) if asked.user_data else None,
        files=files_of(given(asked.personality, [])),
        config_drive=_config_drive(asked.config_drive), key_name=asked.key_name, admin_password=asked.adminPass,
        access_ipv4=address(asked.accessIPv4, 4), access_ipv6=address(asked.accessIPv6, 6),
        disk_config=asked.disk_config, zone=asked.availability_zone, host=host, hints={**body.old_hints, **body.hints},
        hostname=hostname, disks=disks, root_tag=root_tag,
        certificates=tuple(given(asked.trusted_image_certificates) or ()),
    )  # fmt: skip


def _config_drive(value: bool | str | None) -> bool:
    if isinstance(value, str):
        if value == "":
            return False
        if value.strip().lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
            raise BadRequest("Invalid input for field/attribute config_drive.")
        return value.strip().lower() in ("true", "1", "yes", "on")
    return bool(value)


def networks_of(request: Request, asked: ServerBody) -> Any:
    """`networks` as the network service takes it. Raises BadRequest."""
    networks = asked.networks
    if networks is UNSET:
        if request.version >= (2, 37):
            raise BadRequest("Invalid input for field/attribute server. 'networks' is a required property")
        return None
    if isinstance(networks, str):
        if request.version < (2, 37) or networks not in ("auto", "none"):
            raise BadRequest(f"Invalid input for field/attribute networks. Value: {networks}.")
        return networks
    found = []
    for one in networks:
        if one.tag is not None and not (request.version >= (2, 42) or (2, 32) <= request.version <= (2, 36)):
            raise BadRequest("Additional properties are not allowed ('tag' was unexpected)")
        if not one.port and not one.uuid:
            raise BadRequest("Each entry of networks wants a uuid or a port.")
        if one.port and one.fixed_ip:
            raise BadRequest("Specified Fixed IP cannot be used with port: the two are mutually exclusive.")
        if not one.port and not is_uuid(one.uuid or ""):
            raise BadRequest(f"Bad networks format: network uuid is not in proper format ({one.uuid})")
        found.append(NetworkRequest(one.uuid or "", one.port or "", address(one.fixed_ip or ""), one.tag or ""))
    return tuple(found) or None


# --- reading -------------------------------------------------------------------------------------------------------


async def listing(request: Request) -> dict[str, Any]:
    return await _list(request, detail=False)


async def detail(request: Request) -> dict[str, Any]:
    return await _list(request, detail=True)


async def _list(request: Request, detail: bool) -> dict[str, Any]:
    part = window(request)
    filters = filters_of(request, detail)
    see = sight(request)
    if filters is None:
        return {"servers": []}
    page = Page(sort_of(request), part.marker, part.limit)
    if detail:
        known = known_views(request, see, show=False)
        seen = await request.read(see_servers, filters, page, bool(see.host_status), known)
        shapes: list[Any] = pages(request, see, seen, show=False)
        ids = [id for id, _ in seen.states]
    else:
        servers = await request.read(list_servers, filters, page)
        shapes = [brief(see, id, name) for id, name in servers]
        ids = [id for id, _ in servers]
    more = next_link(request, "servers", ids, part.limit) if part.limit else {}
    return {"servers": shapes, **more}


async def show(request: Request, server_id: str) -> dict[str, Any]:
    see = sight(request)
    known = known_views(request, see, show=True)
    seen = await request.read(see_server, server_id, bool(see.host_status), known)
    return {"server": pages(request, see, seen, show=True)[0]}


async def update(request: Request, server_id: str) -> dict[str, Any]:
    change: ServerChange = request.body
    refuse_unversioned(request, change)
    names = {"name": "name", "disk_config": "disk_config", "description": "description", "hostname": "hostname"}
    fields = {names[key]: getattr(change, key) for key in names if getattr(change, key) is not UNSET}
    if change.accessIPv4 is not UNSET:
        fields["access_ipv4"] = address(change.accessIPv4, 4)
    if change.accessIPv6 is not UNSET:
        fields["access_ipv6"] = address(change.accessIPv6, 6)
    if "hostname" in fields and request.version < (2, 94) and "." in fields["hostname"]:
        raise BadRequest("A hostname with dots needs microversion 2.94.")
    server, around = await request.write(service.update_server, server_id, fields)
    return {"server": changed_view(sight(request), server, around)}


async def delete(request: Request, server_id: str) -> None:
    checked_uuid("Instance", server_id)
    await request.write(service.delete_server, server_id)


async def list_addresses(request: Request, server_id: str) -> dict[str, Any]:
    return {"addresses": addresses(await request.read(service.list_lines, server_id), plain=True)}


async def show_addresses(request: Request, server_id: str, network: str) -> dict[str, Any]:
    found = addresses(await request.read(service.list_lines, server_id), plain=True)
    if network not in found:
        raise NotFound(f"Network {network} could not be found on this server.")
    return {network: found[network]}


_P = "os_compute_api:"
ROUTES = [
    operation("POST", "/servers", create, _P + "servers:create", status=202,
          body=CreateBody),
    operation("GET", "/servers", listing, _P + "servers:index"),
    operation("GET", "/servers/detail", detail, _P + "servers:detail"),
    operation("GET", "/servers/{server_id}", show, _P + "servers:show"),
    operation("PUT", "/servers/{server_id}", update, _P + "servers:update",
          body=ServerChange, envelope="server"),
    operation("DELETE", "/servers/{server_id}", delete, _P + "servers:delete", status=204),
    operation("GET", "/servers/{server_id}/ips", list_addresses, _P + "ips:index"),
    operation("GET", "/servers/{server_id}/ips/{network}", show_addresses, _P + "ips:show"),
]  # fmt: skip
