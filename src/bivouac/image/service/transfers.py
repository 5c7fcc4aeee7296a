"""What the database knows of bytes on their way: begin, lease, finish, fail. The bytes are moved by `transfer`."""

from typing import Any

from msgspec import Struct

from bivouac.core.blobs import Digests
from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Forbidden, NotFound
from bivouac.core.ids import new_hex
from bivouac.core.store import Tx

from .. import states
from ..records import BootDisk, ImageRow
from . import images, quota

LEASE_S = 60.0
"""A transfer whose process has not been heard of for so long is given up."""
HASH_ALGORITHM = "sha512"


class Arrival(Struct, frozen=True, kw_only=True):
    """Bytes that lie in a store, checked and durable."""

    store: str
    blob: str
    digests: Digests
    virtual_size: int
    boot: BootDisk | None = None
    unusable: str = ""
    properties: dict[str, str] = {}
    """What a look inside found out; it never overrides what the user said."""


def begin_upload(tx: Tx, call: Call, image_id: str, size: int | None = None) -> ImageRow:
    """Queued to saving; `size` in bytes, if it was announced. Raises NotFound, Forbidden, BadRequest (no formats yet),
    Conflict (not queued), OverQuota."""
    image = images.for_change(tx, call, image_id, "upload_image")
    quota.enforce(tx, image.owner, image_size_total=quota.mib(size or 0), image_count_uploading=1)
    return begin(tx, image, "upload", call.now)


def begin(tx: Tx, image: ImageRow, action: str, now: float) -> ImageRow:
    """Claim the image for a transfer: its id stands in `transfer`."""
    if image.disk_format is None or image.container_format is None:
        raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
    status = states.after(image.status, action)
    return images.save(tx, image, now, status=status, transfer=new_hex(), transfer_until=now + LEASE_S)


def renew(tx: Tx, image_id: str, transfer: str, until: float) -> bool:
    """Prolong the lease. False when the transfer is not wanted any more."""
    return (
        tx.execute("UPDATE images SET transfer_until = ? WHERE id = ? AND transfer = ?", until, image_id, transfer) > 0
    )


def finish(
    tx: Tx, image_id: str, transfer: str, arrival: Arrival, now: float, stores: dict[str, str] | None = None
) -> ImageRow | None:
    """To active. None when the image is gone or the transfer was given up: the blobs are left to the loop."""
    image = tx.get(ImageRow, image_id)
    if image is None or image.transfer != transfer:
        images.discard(tx, arrival.store, arrival.blob, now)
        if arrival.boot is not None:
            images.discard(tx, arrival.boot.store, arrival.boot.blob, now)
        return None
    return images.save(
        tx,
        image,
        now,
        status=image.status if image.status == "active" else states.after(image.status, "finish"),
        size=arrival.digests.size,
        virtual_size=arrival.virtual_size,
        checksum=arrival.digests.md5,
        os_hash_algo=HASH_ALGORITHM,
        os_hash_value=arrival.digests.sha512,
        stores=stores or {arrival.store: arrival.blob},
        boot=arrival.boot,
        unusable=arrival.unusable,
        properties={**arrival.properties, **image.properties},
        transfer="",
        transfer_until=None,
    )


def fail(
    tx: Tx, image_id: str, transfer: str, now: float, action: str = "fail", stores_failed: dict[str, str] | None = None
) -> ImageRow | None:
    """Back to queued (or killed), if the transfer is still the image's own. Nothing stays of what was stored."""
    image = tx.get(ImageRow, image_id)
    if image is None or image.transfer != transfer or not transfer:
        return None
    status = states.after(image.status, action)
    fields: dict[str, Any] = {"status": status, "transfer": "", "transfer_until": None, **(stores_failed or {})}
    for store, blob in image.stores.items():
        images.discard(tx, store, blob, now)
    if image.staged is not None:
        images.discard(tx, images.STAGING, image.staged.blob, now)
    fields |= {"stores": {}, "locations": [], "staged": None, "size": None}
    return images.save(tx, image, now, **fields)


def readable(tx: Tx, call: Call, image_id: str) -> ImageRow:
    """An image whose bytes the caller may have. Raises NotFound, Forbidden (policy, or deactivated)."""
    image = images.show(tx, call, image_id)
    member = images.membership(tx, image_id, call.project_id)
    call.enforce("download_image", {**images.target_of(image), **({"member_id": member.member_id} if member else {})})
    if image.status == "deactivated" and not call.is_admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    return image


def first_copy(image: ImageRow) -> tuple[str, str]:
    """(store, blob) of the image as it was sent. Raises NotFound."""
    for store, blob in image.stores.items():
        return store, blob
    raise NotFound("The image has no bytes here.")
