"""Making servers: everything that is checked, claimed and written in the one transaction of `POST /servers`."""

import re
import secrets
import string
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Forbidden, NotFound, OverQuota
from bivouac.core.ids import is_uuid, new_uuid
from bivouac.core.store import Tx
from bivouac.image import for_compute as image_service
from bivouac.image.for_compute import ServerImage
from bivouac.network import for_compute as network_service
from bivouac.network.for_compute import SPEC_BELL, NetworkRequest
from bivouac.placement import service as placement
from bivouac.placement.records import Host
from bivouac.placement.scheduling import Request

from ..records import Boot, DiskWish, Fault, Flavor, Keypair, Server, ServerGroup, join_tags
from ..states import TASKS
from .flavors import get_flavor
from .groups import group_request
from .quotas import limits_of, used_by
from .tasks import record_action

PASSWORD_LENGTH = 12
_ALPHABET = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))


class NewServer(Struct, frozen=True, kw_only=True):
    """What `POST /servers` asks, free of wire words. `networks` as `network.for_compute.resolve_requests` takes it."""

    name: str
    flavor_id: str
    image_id: str
    networks: tuple[NetworkRequest, ...] | Literal["auto", "none"] | None = None
    security_groups: tuple[str, ...] = ()
    min_count: int = 1
    max_count: int = 1
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    description: str | None = None
    user_data: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    config_drive: bool = False
    key_name: str | None = None
    admin_password: str = ""
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: str = "MANUAL"
    zone: str = ""
    """As given: `ZONE`, or `ZONE:HOST` from an administrator."""
    host: str = ""
    hints: dict[str, Any] = {}
    hostname: str = ""
    disks: tuple[DiskWish, ...] = ()
    root_tag: str = ""
    certificates: tuple[str, ...] = ()
    deadline_s: float = TASKS["create"].deadline_s


class Plan(Struct, frozen=True):
    """What is the same for all servers of a request, checked."""

    flavor: Flavor
    image: ServerImage
    boot: Boot
    key: Keypair | None
    group: ServerGroup | None
    zone: str
    host: str
    requests: tuple[NetworkRequest, ...]
    count: int


def create_servers(tx: Tx, call: Call, new: NewServer) -> list[Server]:
    """Make one or several servers. A server that no host fits is made in ERROR, with the verdict of every host.

    Raises BadRequest (anything named that does not exist or fit), Conflict (networks), Forbidden, OverQuota.
    """
    plan = _check(tx, call, new)
    reservation_id = "r-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    return [_create_one(tx, call, new, plan, reservation_id, index) for index in range(plan.count)]


def _check(tx: Tx, call: Call, new: NewServer) -> Plan:
    """Everything that can be wrong with a request, before anything is written."""
    try:
        flavor = get_flavor(tx, call, new.flavor_id)
    except NotFound as error:
        raise BadRequest(f"Flavor {new.flavor_id} could not be found.") from error
    if flavor.disabled:
        raise BadRequest(f"Flavor {new.flavor_id} could not be found.")
    image = server_image(tx, call, new.image_id)
    check_image_fits(image, flavor)
    boot = boot_of(tx, call, image)
    key = tx.get(Keypair, call.user_id, new.key_name) if new.key_name else None
    if new.key_name and key is None:
        raise BadRequest("Invalid key_name provided.")
    limits = limits_of(tx, call.project_id)
    if 0 <= limits["metadata_items"] < len(new.metadata):
        raise Forbidden(f"Maximum number of metadata items exceeds {limits['metadata_items']}")
    check_files(new.files, limits)
    zone, host = _zone(tx, call, new)
    count = _count(tx, call, new, flavor, limits)
    group = _group(tx, call, new, count, limits["server_group_members"])
    requests = network_service.resolve_requests(tx, call, new.networks, count)
    return Plan(flavor, image, boot, key, group, zone, host, requests, count)


def server_image(tx: Tx, call: Call, image_id: str) -> ServerImage:
    """An image to make a server from. Raises BadRequest."""
    try:
        return image_service.server_image(tx, call, image_id)
    except NotFound as error:
        raise BadRequest(f"Can not find requested image: {error.message}") from error


def check_image_fits(image: ServerImage, flavor: Flavor) -> None:
    """Raise BadRequest when the flavor is too small for the image."""
    if image.min_ram_mib > flavor.memory_mib:
        raise BadRequest(f"Flavor's memory is too small for requested image: the image needs {image.min_ram_mib} MiB, "
                         f"the flavor has {flavor.memory_mib}.")  # fmt: skip
    needed = max(image.min_disk_gib << 30, image.virtual_size_bytes)
    if flavor.root_gib and needed > flavor.root_gib << 30:
        raise BadRequest(f"Flavor's disk is too small for requested image. Flavor disk is {flavor.root_gib << 30} "
                         f"bytes, image needs {needed} bytes.")  # fmt: skip


def boot_of(tx: Tx, call: Call, image: ServerImage) -> Boot:
    """The bytes to start from, with kernel and ramdisk where the image names them. Raises BadRequest."""
    parts: dict[str, Any] = {"image": image.ref, "root_bytes": max(image.virtual_size_bytes, image.min_disk_gib << 30)}
    for name in ("kernel", "ramdisk"):
        if id := image.properties.get(f"{name}_id"):
            parts[name] = server_image(tx, call, id).ref
    return Boot(**parts)


def check_files(files: Sequence[tuple[str, str]], limits: dict[str, int]) -> None:
    """Raise Forbidden unless the injected files stay within the quota."""
    if 0 <= limits["injected_files"] < len(files):
        raise Forbidden("Personality file limit exceeded")
    for path, contents in files:
        if 0 <= limits["injected_file_path_bytes"] < len(path.encode()):
            raise Forbidden("Personality file path exceeds maximum length")
        if 0 <= limits["injected_file_content_bytes"] < len(contents) * 3 // 4:
            raise Forbidden("Personality file content exceeds maximum length")


def _count(tx: Tx, call: Call, new: NewServer, flavor: Flavor, limits: dict[str, int]) -> int:
    """As many as the quota holds, from `min_count` to `max_count`. Raises OverQuota."""
    used = used_by(tx, call.project_id)
    each = {"instances": 1, "cores": flavor.vcpus, "ram": flavor.memory_mib}
    room = {name: (limits[name] - used[name]) // amount if limits[name] >= 0 and amount else new.max_count
            for name, amount in each.items()}  # fmt: skip
    fits = max(0, min(new.max_count, *room.values()))
    if fits >= new.min_count:
        return fits
    over = [name for name in each if room[name] < new.min_count]
    asked = ", ".join(str(each[name] * new.min_count) for name in over)
    have = ", ".join(str(used[name]) for name in over)
    most = ", ".join(str(limits[name]) for name in over)
    raise OverQuota(f"Quota exceeded for {', '.join(over)}: Requested {asked}, but already used {have} of {most} "
                    f"{', '.join(over)}")  # fmt: skip


def _zone(tx: Tx, call: Call, new: NewServer) -> tuple[str, str]:
    """(zone, forced host). Raises BadRequest, Forbidden."""
    zone, _, rest = new.zone.partition(":")
    host = new.host or rest.partition(":")[0] or rest.rpartition(":")[2]
    if rest:
        call.enforce("os_compute_api:servers:create:forced_host")
    if host and tx.first(Host, "WHERE name = ?", host) is None:
        raise BadRequest(f"Compute host {host} could not be found." if new.host else f"No valid host was found. There "
                         f"is no host named {host}.")  # fmt: skip
    if rest:
        return "", host
    if zone and zone != placement.DEFAULT_ZONE and not tx.value(
        "SELECT 1 FROM hosts WHERE availability_zone = ? LIMIT 1", zone
    ):  # fmt: skip
        raise BadRequest("The requested availability zone is not available")
    return zone, host


def _group(tx: Tx, call: Call, new: NewServer, count: int, most: int) -> ServerGroup | None:
    """The server group of the hint `group`. Raises BadRequest, OverQuota."""
    id = new.hints.get("group")
    if id is None:
        return None
    group = tx.get(ServerGroup, id) if isinstance(id, str) and is_uuid(id) else None
    if group is None or (group.project_id != call.project_id and not call.is_admin):
        raise BadRequest(f"Instance group {id} could not be found.")
    if 0 <= most < tx.count(Server, "WHERE group_id = ? AND deleted_at IS NULL", id) + count:
        raise OverQuota("Quota exceeded, too many servers in group")
    return group


def _create_one(tx: Tx, call: Call, new: NewServer, plan: Plan, reservation_id: str, index: int) -> Server:
    """Claim host and ports for one server and write its row."""
    server = _row(call, new, plan, reservation_id, index)
    asked = request_for(tx, call, server, plan.flavor, plan.image.properties, plan.zone, plan.host, plan.group)
    try:
        host = placement.choose(tx, asked, call.now)
    except placement.NoValidHost as error:
        server = tx.insert(_without_host(server, str(error), call.now))
        record_action(tx, call, server, "create", None, server.generation)
        tx.execute(
            "UPDATE server_actions SET state = 'failed', message = ?, finish_time = ? WHERE server_id = ?",
            str(error), call.now, server.id,
        )  # fmt: skip
        return server
    placement.claim(tx, server.id, host.id, asked, call.project_id, call.user_id, call.now)
    server = tx.insert(_on_host(server, host.name, host.availability_zone))
    for request in plan.requests:
        network_service.attach_port(
            tx, call, request, server_id=server.id, project_id=call.project_id, host=host.name,
            availability_zone=host.availability_zone, hostname=server.hostname, security_groups=new.security_groups,
        )  # fmt: skip
    record_action(tx, call, server, "create", None, server.generation)
    tx.ring(SPEC_BELL, server.id)
    return server


def _row(call: Call, new: NewServer, plan: Plan, reservation_id: str, index: int) -> Server:
    id = new_uuid()
    many = plan.count > 1
    name = f"{new.name}-{index + 1}" if many else new.name
    hostname = new.hostname or hostname_of(name, id)
    flavor = plan.flavor
    return Server(
        id=id, project_id=call.project_id, user_id=call.user_id, name=name, hostname=hostname,
        description=new.description, created_at=call.now, updated_at=call.now, reservation_id=reservation_id,
        launch_index=index, flavor=flavor.shape, flavor_id=flavor.id, vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib, image_id=new.image_id, image_properties=plan.image.properties, boot=plan.boot,
        key_name=new.key_name, key_data=plan.key.public_key if plan.key else "",
        key_type=plan.key.type if plan.key else "ssh", metadata=new.metadata, tags=join_tags(list(new.tags)),
        user_data=new.user_data, files=new.files,
        config_drive=new.config_drive or plan.image.properties.get("img_config_drive") == "mandatory",
        config_drive_wish="True" if new.config_drive else "",
        admin_password=new.admin_password or new_password(), access_ipv4=new.access_ipv4, access_ipv6=new.access_ipv6,
        disk_config=new.disk_config, pinned_zone=plan.zone or None, availability_zone=plan.zone,
        group_id=plan.group.id if plan.group else None, scheduler_hints=new.hints, disks=new.disks,
        root_tag=new.root_tag, certificates=new.certificates, task="create", action_id=call.request_id,
        deadline=call.now + new.deadline_s,
    )  # fmt: skip


def _without_host(server: Server, words: str, now: float) -> Server:
    return replace(server, phase="error", task="", observed_generation=server.generation, deadline=None,
                   fault=Fault(words, now))  # fmt: skip


def _on_host(server: Server, host: str, zone: str) -> Server:
    return replace(server, host=host, availability_zone=zone)


def request_for(
    tx: Tx, call: Call, server: Server, flavor: Flavor, properties: dict[str, str], zone: str, host: str,
    group: ServerGroup | None,
) -> Request:  # fmt: skip
    """What the scheduler is asked for a server: flavor, image properties, hints and group."""
    specs = flavor.extra_specs
    required = {key[6:] for key, value in specs.items() if key.startswith("trait:") and value == "required"}
    required |= {key[6:] for key, value in properties.items() if key.startswith("trait:") and value == "required"}
    forbidden = {key[6:] for key, value in specs.items() if key.startswith("trait:") and value == "forbidden"}
    scope = "aggregate_instance_extra_specs:"
    disk_gib = flavor.shape.disk_gib
    if not flavor.root_gib:
        disk_gib += -(-server.boot.root_bytes >> 30) if server.boot.root_bytes else 0
    return group_request(
        tx,
        Request(
            vcpus=flavor.vcpus, memory_mib=flavor.memory_mib, disk_gib=disk_gib, availability_zone=zone, host=host,
            required_traits=frozenset(required), forbidden_traits=frozenset(forbidden),
            architecture=properties.get("hw_architecture", properties.get("architecture", "")),
            aggregate_properties={
                key[len(scope) :]: value for key, value in specs.items() if key.startswith(scope)
            },
        ),
        group,
        server.scheduler_hints,
    )  # fmt: skip


def hostname_of(name: str, server_id: str) -> str:
    """A host name made of a server's name, as Nova does: RFC 952 letters, at most 63."""
    text = re.sub(r"[^a-z0-9.\-]", "", re.sub(r"[ _]", "-", name.lower()))
    text = re.sub(r"[.]+", "-", text)[:63].strip("-")
    return text or f"server-{server_id}"


def new_password() -> str:
    """A password that can be read out."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))
