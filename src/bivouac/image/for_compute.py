"""What the compute service may ask: within its own transaction the image of a server, and bytes for agents.

The agent is given what it can clone disks from: the image itself when it is raw or qcow2, otherwise its boot disk. An
`ImageRef` names that (its size and digest are of those bytes); its id stays the image's.
"""

from collections.abc import AsyncIterator

from msgspec import Struct

from bivouac.core.blobs import Blob
from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Tx
from bivouac.hostspec.server import ImageRef

from . import states
from .records import ImageRow
from .service import images, transfers
from .transfer import ImageService

_AS_RAW = ("raw", "iso", "ami", "ari", "aki")
_GIB = 1 << 30


class ServerImage(Struct, frozen=True):
    """An image that a server may be made from. `disk_format` is what its owner called it: an iso is a CD."""

    ref: ImageRef
    name: str
    min_disk_gib: int
    min_ram_mib: int
    virtual_size_bytes: int
    properties: dict[str, str] = {}
    container_format: str = "bare"
    project_id: str = ""
    disk_format: str = ""


class NewSnapshot(Struct, frozen=True):
    """An image about to be uploaded by a host. `properties` as Glance shows them."""

    name: str
    project_id: str
    user_id: str
    disk_format: str
    min_disk_gib: int
    min_ram_mib: int
    properties: dict[str, str] = {}
    container_format: str = "bare"


def usable_image(tx: Tx, call: Call, image_id: str) -> ImageRow:
    """An image that the caller may boot from. Raises NotFound (absent or invisible), BadRequest (not active, or not
    a disk)."""
    image = images.show(tx, call, image_id)
    if image.status != "active":
        raise BadRequest(f"Image {image_id} is not active (it is {image.status}).")
    if image.unusable:
        raise BadRequest(f"Image {image_id} cannot be booted: {image.unusable}")
    if not image.stores:
        raise BadRequest(f"Image {image_id} has only locations elsewhere; import it with copy-image to boot from it.")
    return image


def server_image(tx: Tx, call: Call, image_id: str) -> ServerImage:
    """An image the caller may use. Raises NotFound (absent or invisible), BadRequest (not active)."""
    image = usable_image(tx, call, image_id)
    ref = _ref(image)
    assert ref is not None
    return ServerImage(
        ref=ref,
        name=image.name or "",
        min_disk_gib=image.min_disk,
        min_ram_mib=image.min_ram,
        virtual_size_bytes=image.virtual_size or 0,
        properties=image.properties,
        container_format=image.container_format or "bare",
        project_id=image.owner or "",
        disk_format=image.disk_format or "raw",
    )


def image_ref(tx: Tx, image_id: str) -> ImageRef | None:
    """What an agent needs to fetch an image, whoever asks; None when it has no bytes."""
    image = tx.get(ImageRow, image_id)
    return _ref(image) if image is not None else None


def _ref(image: ImageRow) -> ImageRef | None:
    if not image.stores:
        return None
    minimum = max(image.min_disk * _GIB, image.virtual_size or 0)
    if image.boot is not None:
        boot = image.boot
        return ImageRef(image.id, boot.disk_format, boot.size, boot.sha512, minimum)
    disk_format = "raw" if image.disk_format in _AS_RAW else image.disk_format or "raw"
    return ImageRef(image.id, disk_format, image.size or 0, image.os_hash_value or "", minimum)


def create_snapshot(tx: Tx, call: Call, snapshot: NewSnapshot) -> str:
    """The id of a new image in `queued`. Raises OverQuota."""
    image = ImageRow(
        id=new_uuid(),
        name=snapshot.name,
        owner=snapshot.project_id or None,
        visibility="private",
        container_format=snapshot.container_format,
        disk_format=snapshot.disk_format,
        min_disk=snapshot.min_disk_gib,
        min_ram=snapshot.min_ram_mib,
        properties={**snapshot.properties, "user_id": snapshot.user_id},
        created_at=call.now,
        updated_at=call.now,
    )
    images.check_count(tx, image.owner)
    tx.insert(image)
    images.save_labels(tx, None, image)
    return image.id


def fail_snapshot(tx: Tx, image_id: str) -> None:
    """The bytes will not come: killed, so that its owner sees it. Nothing there is fine."""
    image = tx.get(ImageRow, image_id)
    if image is not None and (image.status, "kill") in states.TRANSITIONS:
        fields = {"status": states.after(image.status, "kill"), "transfer": "", "transfer_until": None}
        images.save(tx, image, image.updated_at, **fields)


def delete_snapshot(tx: Tx, image_id: str, now: float) -> None:
    """Its server needs it no more: gone, unless its owner protects it. Nothing there is fine."""
    image = tx.get(ImageRow, image_id)
    if image is not None and not image.protected:
        images.remove(tx, image, now)


def boot_source(tx: Tx, image_id: str) -> ImageRow:
    """An image with bytes, whoever asks. Raises NotFound."""
    image = tx.get(ImageRow, image_id)
    if image is None or not image.stores:
        raise NotFound(f"Image {image_id} has no bytes.")
    return image


def claim_snapshot(tx: Tx, image_id: str, now: float) -> ImageRow:
    """Queued to saving, for an agent's upload. Raises NotFound, Conflict."""
    image = tx.get(ImageRow, image_id)
    if image is None:
        raise NotFound(f"No image found with ID {image_id}")
    return transfers.begin(tx, image, "upload", now)


async def open_image(service: ImageService, image_id: str) -> Blob:
    """What a server boots from, for an agent. Raises NotFound."""
    image = await service.store.read(boot_source, image_id)
    return service.open_boot_disk(image)


async def receive_image(service: ImageService, image_id: str, chunks: AsyncIterator[bytes]) -> None:
    """Bytes of a snapshot, from an agent: `saving`, then `active`. Raises NotFound, Conflict, UnsupportedMediaType
    (not what was announced), TooLarge, Gone (deleted meanwhile)."""
    image = await service.store.write(claim_snapshot, image_id, service.clock.now())
    await service.fill(image, chunks, None)
