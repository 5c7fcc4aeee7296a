"""Images of servers: snapshots, backups with rotation, and shelving, which is a snapshot that frees the host."""

from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import Conflict, Forbidden
from bivouac.core.store import Tx
from bivouac.image import for_compute as image_service
from bivouac.image.for_compute import NewSnapshot
from bivouac.network import for_compute as network_service
from bivouac.placement import service as placement

from ..records import Boot, Flavor, Server
from .create import request_for, server_image
from .proxied_images import check_rotation
from .quotas import limits_of
from .servers import get_server
from .tasks import require, wish

NOT_INHERITED = ("cache_in_nova", "bittorrent", "img_signature_hash_method", "img_signature",
                 "img_signature_key_type", "img_signature_certificate_uuid", "signature_verified")  # fmt: skip


def create_image(tx: Tx, call: Call, server_id: str, name: str, metadata: dict[str, str]) -> str:
    """Begin a snapshot and return its image's id. Raises Conflict, Forbidden, NotFound, OverQuota."""
    server = get_server(tx, call, server_id)
    require(call, server, "snapshot")
    if not server.host:
        raise Conflict(f"Instance {server.id} is on no host, so there is nothing to take an image of.")
    limit = limits_of(tx, server.project_id)["metadata_items"]
    if 0 <= limit < len(metadata):
        raise Forbidden(f"Image metadata limit exceeded: at most {limit} items")
    image_id = image_service.create_snapshot(tx, call, snapshot_of(server, name, "snapshot", metadata))
    wish(tx, call, server, "snapshot", {"image_id": image_id, "disk_format": "qcow2"})
    return image_id


def create_backup(
    tx: Tx, call: Call, server_id: str, name: str, kind: str, rotation: int, metadata: dict[str, str]
) -> str:
    """Begin a backup and return its image's id; older ones beyond the rotation go when it has arrived.

    Raises BadRequest, Conflict, Forbidden, NotFound, OverQuota.
    """
    check_rotation(rotation)
    server = get_server(tx, call, server_id)
    require(call, server, "backup")
    if not server.host:
        raise Conflict(f"Instance {server.id} is on no host, so there is nothing to take an image of.")
    snapshot = snapshot_of(server, name, "backup", {**metadata, "backup_type": kind})
    image_id = image_service.create_snapshot(tx, call, snapshot)
    arguments = {"image_id": image_id, "disk_format": "qcow2", "backup_type": kind, "rotation": rotation}
    wish(tx, call, server, "backup", arguments)
    return image_id


def snapshot_of(server: Server, name: str, kind: str, metadata: dict[str, str]) -> NewSnapshot:
    """What the image service is told of an image that a host will upload."""
    inherited = {key: value for key, value in server.image_properties.items() if key not in NOT_INHERITED}
    properties = {
        **inherited,
        "instance_uuid": server.id,
        "base_image_ref": server.image_id,
        "image_type": kind,
        "owner_project_id": server.project_id,
        **metadata,
    }
    return NewSnapshot(
        name=name, project_id=server.project_id, user_id=server.user_id, disk_format="qcow2",
        min_disk_gib=server.flavor.root_gib, min_ram_mib=0, properties=properties,
    )  # fmt: skip


# --- shelving ------------------------------------------------------------------------------------------------------


def shelve(tx: Tx, call: Call, server_id: str) -> None:
    """Keep a server as an image and free its host. Raises Conflict, NotFound, OverQuota."""
    server = get_server(tx, call, server_id)
    require(call, server, "shelve")
    if not server.host:
        raise Conflict(f"Instance {server.id} is on no host.")
    snapshot = snapshot_of(server, f"{server.name}-shelved", "snapshot", {})
    image_id = image_service.create_snapshot(tx, call, snapshot)
    wish(tx, call, server, "shelve", {"image_id": image_id, "disk_format": "qcow2"}, power_wanted="stopped",
         shelved_image_id=image_id)  # fmt: skip


def shelve_offload(tx: Tx, call: Call, server_id: str) -> None:
    """Free the host of a shelved server. Raises Conflict, NotFound."""
    server = get_server(tx, call, server_id)
    require(call, server, "shelve_offload")
    wish(tx, call, server, "shelve_offload", power_wanted="absent")


def unshelve(tx: Tx, call: Call, server_id: str, zone: str | None, host: str) -> None:
    """Start a shelved server from its image on the best host. Raises BadRequest, Conflict, NotFound."""
    server = get_server(tx, call, server_id)
    require(call, server, "unshelve")
    if server.host:
        wish(tx, call, server, "unshelve", power_wanted="running")
        return
    image = server_image(tx, call, server.shelved_image_id)
    flavor = as_flavor(server, call.now)
    asked = request_for(tx, call, server, flavor, image.properties, zone or server.pinned_zone or "", host, None)
    try:
        chosen = placement.choose(tx, asked, call.now)
    except placement.NoValidHost as error:
        raise Conflict(str(error)) from error
    placement.claim(tx, server.id, chosen.id, asked, server.project_id, server.user_id, call.now)
    network_service.bind_ports(tx, server.id, chosen.name)
    boot = Boot(image=image.ref, kernel=server.boot.kernel, ramdisk=server.boot.ramdisk,
                root_bytes=max(server.boot.root_bytes, image.virtual_size_bytes))  # fmt: skip
    fields: dict[str, Any] = {"pinned_zone": zone} if zone is not None else {}
    tx.update(server, host=chosen.name)
    server = get_server(tx, call, server_id)
    wish(tx, call, server, "unshelve", power_wanted="running", boot=boot,
         availability_zone=chosen.availability_zone, **fields)  # fmt: skip


def as_flavor(server: Server, now: float) -> Flavor:
    """The flavor that a server keeps, as a row, for the scheduler."""
    shape = server.flavor
    return Flavor(
        id=shape.id, name=shape.name, memory_mib=shape.memory_mib, vcpus=shape.vcpus, root_gib=shape.root_gib,
        ephemeral_gib=shape.ephemeral_gib, swap_mib=shape.swap_mib, extra_specs=shape.extra_specs, created_at=now,
    )  # fmt: skip

