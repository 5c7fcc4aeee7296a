"""`POST /servers/{id}/action`: one table of actions, each with its body, policy rule and microversions."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from bivouac.core.errors import BadRequest, Conflict
from bivouac.core.http import Request, Response
from bivouac.core.ids import is_uuid
from bivouac.network.for_compute import NetworkRequest

from ..service import images, power, resize
from ..service import servers as service
from . import consoles, proxied_network
from .fields import Body, Description, Metadata, Name, Uuid, convert, operation
from .server_view import changed_view, sight
from .values import Base64, DiskConfig, Personality, address, checked_base64, files_of

Version = tuple[int, int]
ACCEPTED = Response(None, 202)


class Action(Struct, frozen=True):
    """One entry: `handler(request, server_id, argument)`; `body` None takes whatever is sent (usually null)."""

    handler: Callable[[Request, str, Any], Awaitable[Response]]
    rule: str
    body: Any = None
    since: Version = (2, 1)
    until: Version = (9, 9)


# --- power ---------------------------------------------------------------------------------------------------------


def _power(task: str) -> Callable[[Request, str, Any], Awaitable[Response]]:
    async def act(request: Request, server_id: str, argument: Any) -> Response:
        await request.write(power.change_power, server_id, task)
        return ACCEPTED

    return act


class Reboot(Body):
    type: Literal["SOFT", "Soft", "soft", "HARD", "Hard", "hard"]


async def reboot(request: Request, server_id: str, body: Reboot) -> Response:
    await request.write(power.reboot, server_id, body.type.lower() == "hard")
    return ACCEPTED


class Password(Body):
    adminPass: str


async def change_password(request: Request, server_id: str, body: Password) -> Response:
    await request.write(power.set_password, server_id, body.adminPass)
    return ACCEPTED


async def crash_dump(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(power.inject_nmi, server_id)
    return ACCEPTED


# --- rebuild and rescue --------------------------------------------------------------------------------------------


class Rebuild(Body):
    imageRef: str
    name: Name | UnsetType = UNSET
    adminPass: str | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    preserve_ephemeral: bool = False
    disk_config: DiskConfig | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")
    accessIPv4: str | UnsetType = UNSET
    accessIPv6: str | UnsetType = UNSET
    personality: list[Personality] | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    key_name: Name | None | UnsetType = UNSET
    user_data: Base64 | None | UnsetType = UNSET
    trusted_image_certificates: list[Name] | None | UnsetType = UNSET
    hostname: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


REBUILD_SPANS: dict[str, tuple[Version, Version]] = {
    "description": ((2, 19), (9, 9)),
    "key_name": ((2, 54), (9, 9)),
    "user_data": ((2, 57), (9, 9)),
    "personality": ((2, 1), (2, 56)),
    "trusted_image_certificates": ((2, 63), (9, 9)),
    "hostname": ((2, 90), (9, 9)),
}


async def rebuild(request: Request, server_id: str, body: Rebuild) -> Response:
    for name, (since, until) in REBUILD_SPANS.items():
        if getattr(body, name) is not UNSET and not since <= request.version <= until:
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")
    if not is_uuid(body.imageRef):
        raise BadRequest("Invalid imageRef provided.")
    given = {name: value for name in ("name", "metadata", "description", "key_name", "hostname", "disk_config")
             if (value := getattr(body, name)) is not UNSET}  # fmt: skip
    if body.adminPass is not UNSET:
        given["admin_password"] = body.adminPass
    if body.accessIPv4 is not UNSET:
        given["access_ipv4"] = address(body.accessIPv4, 4)
    if body.accessIPv6 is not UNSET:
        given["access_ipv6"] = address(body.accessIPv6, 6)
    if body.personality is not UNSET:
        given["files"] = files_of(body.personality)
    if body.user_data is not UNSET:
        given["user_data"] = checked_base64("user_data", body.user_data) if body.user_data else None
    if body.trusted_image_certificates is not UNSET:
        given["certificates"] = tuple(body.trusted_image_certificates or ())
    password, server, around = await request.write(power.rebuild, server_id, body.imageRef, given)
    see = sight(request)
    shape = changed_view(see, server, around) | {"adminPass": password}
    if (2, 54) <= see.version < (2, 75):
        shape["key_name"] = server.key_name
    if see.version >= (2, 57):
        shape["user_data"] = server.user_data
        shape.pop("OS-EXT-SRV-ATTR:user_data", None)
    return Response({"server": shape}, 202, {"Location": f"{see.base}/servers/{server.id}"})


class Rescue(Body):
    adminPass: str = ""
    rescue_image_ref: Uuid | None = None


async def rescue(request: Request, server_id: str, body: Rescue | None) -> Response:
    asked = body or Rescue()
    password = await request.write(power.rescue, server_id, asked.rescue_image_ref, asked.adminPass)
    return Response({"adminPass": password}, 200)


async def unrescue(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(power.unrescue, server_id)
    return ACCEPTED


# --- resize --------------------------------------------------------------------------------------------------------


class Resize(Body):
    flavorRef: str | int
    disk_config: DiskConfig | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")


async def begin_resize(request: Request, server_id: str, body: Resize) -> Response:
    if body.flavorRef == "":
        raise BadRequest("Resize request has invalid 'flavorRef' attribute.")
    disk_config = None if body.disk_config is UNSET else body.disk_config
    await request.write(resize.resize, server_id, str(body.flavorRef), disk_config)
    return ACCEPTED


async def migrate(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(resize.migrate, server_id)
    return ACCEPTED


async def confirm_resize(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(resize.confirm_resize, server_id)
    return Response(None, 204)


async def revert_resize(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(resize.revert_resize, server_id)
    return ACCEPTED


# --- images and shelving -------------------------------------------------------------------------------------------


class CreateImage(Body):
    name: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A(?!\s)[^\x00-\x1f\x7f]*(?<!\s)\Z")]
    metadata: Metadata = {}


def _image_answer(request: Request, image_id: str) -> Response:
    """202 with the image's address, and from 2.45 on its id."""
    if request.version >= (2, 45):
        return Response({"image_id": image_id}, 202)
    origin = request.application.origin(request)
    return Response(None, 202, {"Location": f"{origin}/image/v2/images/{image_id}"})


async def create_image(request: Request, server_id: str, body: CreateImage) -> Response:
    return _image_answer(request, await request.write(images.create_image, server_id, body.name, body.metadata))


class CreateBackup(Body):
    name: Name
    backup_type: str
    rotation: int
    metadata: Metadata = {}


async def create_backup(request: Request, server_id: str, body: CreateBackup) -> Response:
    image_id = await request.write(
        images.create_backup, server_id, body.name, body.backup_type, body.rotation, body.metadata
    )
    return _image_answer(request, image_id)


async def shelve(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(images.shelve, server_id)
    return ACCEPTED


async def shelve_offload(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(images.shelve_offload, server_id)
    return ACCEPTED


class Unshelve(Body):
    availability_zone: Name | None | UnsetType = UNSET
    host: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


async def unshelve(request: Request, server_id: str, argument: Any) -> Response:
    zone, host = None, ""
    if argument is not None and request.version >= (2, 77):
        body: Unshelve = convert(argument, Unshelve)
        if body.host is not UNSET:
            if request.version < (2, 91):
                raise BadRequest("Additional properties are not allowed ('host' was unexpected)")
            request.enforce(rule="os_compute_api:os-shelve:unshelve_to_host")
            host = body.host
        if body.availability_zone is not UNSET:
            if body.availability_zone is None and request.version < (2, 91):
                raise BadRequest("Invalid input for field/attribute availability_zone. Value: None.")
            zone = body.availability_zone or ""
    await request.write(images.unshelve, server_id, zone, host)
    return ACCEPTED


# --- locks, groups, operators --------------------------------------------------------------------------------------


class LockBody(Body):
    locked_reason: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


async def lock(request: Request, server_id: str, argument: Any) -> Response:
    reason = None
    if argument is not None and request.version >= (2, 73):
        reason = convert(argument, LockBody).locked_reason
    await request.write(service.lock_server, server_id, reason)
    return ACCEPTED


async def unlock(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(service.unlock_server, server_id)
    return ACCEPTED


class GroupBody(Body):
    name: Name


def _group(present: bool) -> Callable[[Request, str, Any], Awaitable[Response]]:
    async def act(request: Request, server_id: str, body: GroupBody) -> Response:
        await request.write(power.set_security_group, server_id, body.name, present)
        return ACCEPTED

    return act


class ResetState(Body):
    state: Literal["active", "error"]


async def reset_state(request: Request, server_id: str, body: ResetState) -> Response:
    await request.write(power.reset_state, server_id, body.state)
    return ACCEPTED


async def tell_network(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(power.nudge, server_id)
    return ACCEPTED


async def force_delete(request: Request, server_id: str, argument: Any) -> Response:
    await request.write(service.delete_server, server_id)
    return ACCEPTED


async def restore(request: Request, server_id: str, argument: Any) -> Response:
    server = await request.read(service.get_server, server_id)
    raise Conflict(f"Cannot 'restore' instance {server_id} while it is in vm_state {server.phase}")


async def add_fixed_ip(request: Request, server_id: str, body: proxied_network.AddFixedIp) -> Response:
    await request.write(power.attach_interface, server_id, NetworkRequest(network_id=body.networkId))
    return ACCEPTED


async def remove_fixed_ip(request: Request, server_id: str, body: proxied_network.RemoveFixedIp) -> Response:
    await request.write(power.remove_fixed_ip, server_id, body.address)
    return ACCEPTED


# --- the table -----------------------------------------------------------------------------------------------------

_S = "os_compute_api:servers:"
_P = "os_compute_api:"
ACTIONS: dict[str, Action] = {
    "os-start": Action(_power("start"), _S + "start"),
    "os-stop": Action(_power("stop"), _S + "stop"),
    "pause": Action(_power("pause"), _P + "os-pause-server:pause"),
    "unpause": Action(_power("unpause"), _P + "os-pause-server:unpause"),
    "suspend": Action(_power("suspend"), _P + "os-suspend-server:suspend"),
    "resume": Action(_power("resume"), _P + "os-suspend-server:resume"),
    "reboot": Action(reboot, _S + "reboot", Reboot),
    "rebuild": Action(rebuild, _S + "rebuild", Rebuild),
    "resize": Action(begin_resize, _S + "resize", Resize),
    "confirmResize": Action(confirm_resize, _S + "confirm_resize"),
    "revertResize": Action(revert_resize, _S + "revert_resize"),
    "createBackup": Action(create_backup, _P + "os-create-backup", CreateBackup),
    "migrate": Action(migrate, _P + "os-migrate-server:migrate"),
    "addFloatingIp": Action(proxied_network.add_floating, _P + "os-floating-ips:add", proxied_network.AddFloatingIp,
                            until=(2, 43)),
    "removeFloatingIp": Action(proxied_network.remove_floating, _P + "os-floating-ips:remove",
                               proxied_network.RemoveFloatingIp, until=(2, 43)),
    "addFixedIp": Action(add_fixed_ip, _P + "os-multinic:add", proxied_network.AddFixedIp, until=(2, 43)),
    "removeFixedIp": Action(remove_fixed_ip, _P + "os-multinic:remove", proxied_network.RemoveFixedIp, until=(2, 43)),
    "createImage": Action(create_image, _S + "create_image", CreateImage),
    "rescue": Action(rescue, _P + "os-rescue", Rescue | None),
    "unrescue": Action(unrescue, _P + "os-unrescue"),
    "shelve": Action(shelve, _P + "os-shelve:shelve"),
    "shelveOffload": Action(shelve_offload, _P + "os-shelve:shelve_offload"),
    "unshelve": Action(unshelve, _P + "os-shelve:unshelve"),
    "lock": Action(lock, _P + "os-lock-server:lock"),
    "unlock": Action(unlock, _P + "os-lock-server:unlock"),
    "changePassword": Action(change_password, _P + "os-admin-password", Password),
    "trigger_crash_dump": Action(crash_dump, _S + "trigger_crash_dump", since=(2, 17)),
    "addSecurityGroup": Action(_group(True), _P + "os-security-groups:add", GroupBody),
    "removeSecurityGroup": Action(_group(False), _P + "os-security-groups:remove", GroupBody),
    "os-getConsoleOutput": Action(consoles.output, _P + "os-console-output", consoles.ConsoleLog),
    "os-getVNCConsole": Action(consoles.old_console, _P + "os-remote-consoles", consoles.ConsoleType, until=(2, 5)),
    "os-getSerialConsole": Action(consoles.old_console, _P + "os-remote-consoles", consoles.ConsoleType, until=(2, 5)),
    "os-resetState": Action(reset_state, _P + "os-admin-actions:reset_state", ResetState),
    "injectNetworkInfo": Action(tell_network, _P + "os-admin-actions:inject_network_info"),
    "forceDelete": Action(force_delete, _P + "os-deferred-delete:force"),
    "restore": Action(restore, _P + "os-deferred-delete:restore"),
}  # fmt: skip


async def act(request: Request, server_id: str) -> Response:
    """Find the action by the body's only key, check its policy and run it. Raises BadRequest for unknown ones."""
    if len(request.body) != 1:
        raise BadRequest("Malformed request body: it wants exactly one action.")
    name, argument = next(iter(request.body.items()))
    action = ACTIONS.get(name)
    if action is None or not action.since <= request.version <= action.until:
        raise BadRequest(f"There is no such action: {name}")
    request.enforce(rule=action.rule)
    if action.body is not None:
        argument = convert(argument, action.body)
    return await action.handler(request, server_id, argument)


ROUTES = [
    operation("POST", "/servers/{server_id}/action", act, _S + "start", body=dict[str, Any], late=True, status=202),
]
