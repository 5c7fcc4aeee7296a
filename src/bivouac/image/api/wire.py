"""How images are written on the wire."""

from typing import Any

from bivouac.core.call import Call
from bivouac.core.clock import iso_seconds

from ..records import ImageRow, MemberRow
from ..service import locations
from ..service.images import target_of


def image_view(image: ImageRow, call: Call) -> dict[str, Any]:
    """An image: its properties beside our own attributes, as Glance flattens them.

    Where its bytes lie is shown only to those who may read them there.
    """
    view: dict[str, Any] = dict(image.properties)
    view["name"] = image.name
    view["disk_format"] = image.disk_format
    view["container_format"] = image.container_format
    view["visibility"] = image.visibility
    view["size"] = image.size
    view["virtual_size"] = image.virtual_size
    view["status"] = image.status
    view["checksum"] = image.checksum
    view["protected"] = image.protected
    view["min_ram"] = image.min_ram
    view["min_disk"] = image.min_disk
    view["owner"] = image.owner
    view["os_hidden"] = image.os_hidden
    view["os_hash_algo"] = image.os_hash_algo
    view["os_hash_value"] = image.os_hash_value
    view["id"] = image.id
    view["created_at"] = iso_seconds(image.created_at)
    view["updated_at"] = iso_seconds(image.updated_at)
    view["tags"] = image.tags
    view["self"] = f"/v2/images/{image.id}"
    view["file"] = f"/v2/images/{image.id}/file"
    view["schema"] = "/v2/schemas/image"
    if image.importing_to_stores is not None:
        view["os_glance_importing_to_stores"] = image.importing_to_stores
    if image.failed_import is not None:
        view["os_glance_failed_import"] = image.failed_import
    withheld = image.status == "deactivated" and not call.is_admin
    if image.stores and not withheld:
        view["stores"] = ",".join(sorted(image.stores))
    shown = not withheld and call.allows("get_image_location", target_of(image))
    view["locations"] = locations.listed(image) if shown else []
    return view


def member_view(member: MemberRow) -> dict[str, Any]:
    """A share of an image."""
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": iso_seconds(member.created_at),
        "updated_at": iso_seconds(member.updated_at),
        "schema": "/v2/schemas/member",
    }
