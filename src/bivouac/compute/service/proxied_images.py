"""What old microversions did to images through Compute, and the rotation of backups, by the image service's rules."""

from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Forbidden, NotFound
from bivouac.core.store import Page, Tx
from bivouac.image.records import ImageRow
from bivouac.image.service import images, listing

from .quotas import limit_of


class ImageFilters(Struct, frozen=True):
    """What a list is narrowed to. `kind`: `snapshot` or `image`; `server_id` the server it was taken of."""

    name: str = ""
    status: str = ""
    kind: str = ""
    server_id: str = ""
    changes_since: float | None = None
    min_disk: int = 0
    min_ram: int = 0


def list_images(tx: Tx, call: Call, filters: ImageFilters, limit: int, marker: str | None) -> list[ImageRow]:
    """Images that the caller sees, newest first. Raises BadRequest (marker)."""
    pairs = [("name", filters.name)] if filters.name else []
    if filters.server_id:
        pairs.append(("instance_uuid", filters.server_id))
    if filters.kind == "snapshot":
        pairs.append(("image_type", "snapshot"))
    found: list[ImageRow] = []
    while len(found) < limit:
        page = Page(sort=(("created_at", "desc"), ("id", "desc")), marker=marker, limit=1000)
        rows = listing.list_images(tx, call, listing.ImageQuery(tuple(pairs), page))
        found += [row for row in rows if _fits(row, filters)]
        if len(rows) < 1000:
            break
        marker = rows[-1].id
    return found[:limit]


def _fits(row: ImageRow, filters: ImageFilters) -> bool:
    if filters.status and row.status not in STATUSES.get(filters.status.upper(), ()):
        return False
    if filters.changes_since is not None and row.updated_at < filters.changes_since:
        return False
    if filters.kind == "image" and row.properties.get("image_type") == "snapshot":
        return False
    return row.min_disk >= filters.min_disk and row.min_ram >= filters.min_ram


STATUSES: dict[str, tuple[str, ...]] = {
    "ACTIVE": ("active",),
    "SAVING": ("queued", "saving", "importing", "uploading"),
    "ERROR": ("killed", "deactivated"),
    "DELETED": ("deleted", "pending_delete"),
}
"""Compute's words for Glance's statuses."""


def status_of(row: ImageRow) -> str:
    return next((word for word, statuses in STATUSES.items() if row.status in statuses), "UNKNOWN")


def get_image(tx: Tx, call: Call, id: str) -> ImageRow:
    """Raises NotFound."""
    try:
        return images.show(tx, call, id)
    except NotFound as error:
        raise NotFound("Image not found.") from error


def delete_image(tx: Tx, call: Call, id: str) -> None:
    """Raises NotFound, Forbidden, Conflict."""
    get_image(tx, call, id)
    try:
        images.delete(tx, call, id)
    except Forbidden as error:
        raise Forbidden("You are not allowed to delete the image.") from error


def set_metadata(tx: Tx, call: Call, id: str, metadata: dict[str, str], replace: bool) -> dict[str, str]:
    """Set properties, all or some. Raises Forbidden, NotFound."""
    get_image(tx, call, id)
    image = images.for_change(tx, call, id, "modify_image")
    new = dict(metadata) if replace else {**image.properties, **metadata}
    limit = limit_of(tx, call.project_id, "metadata_items")
    if 0 <= limit < len(new):
        raise Forbidden(f"Image metadata limit exceeded: at most {limit} items")
    for name, value in new.items():
        images.checked_property(name, value)
    return images.save(tx, image, call.now, properties=new).properties


def delete_metadata(tx: Tx, call: Call, id: str, key: str) -> None:
    """Raises NotFound."""
    if key not in get_image(tx, call, id).properties:
        raise NotFound("Invalid metadata key")
    image = images.for_change(tx, call, id, "modify_image")
    images.save(
        tx, image, call.now, properties={name: value for name, value in image.properties.items() if name != key}
    )


# --- backups -------------------------------------------------------------------------------------------------------


def check_rotation(rotation: int) -> None:
    """Raise BadRequest for a rotation below nothing."""
    if rotation < 0:
        raise BadRequest(f"Invalid input for field/attribute rotation. Value: {rotation}. It is less than 0.")


def rotate(tx: Tx, server_id: str, kind: str, keep: int, now: float) -> int:
    """Remove the oldest backups of a kind that a server has too many of; returns how many went."""
    rows = tx.select(
        ImageRow,
        "JOIN image_labels l ON l.image_id = images.id AND l.kind = 'property' AND l.name = 'instance_uuid' "
        "AND l.value = ? ORDER BY images.created_at DESC, images.id DESC",
        server_id,
    )
    backups = [row for row in rows if row.properties.get("image_type") == "backup"
               and row.properties.get("backup_type") == kind and not row.protected]  # fmt: skip
    for row in backups[keep:]:
        images.remove(tx, row, now)
    return len(backups[keep:])

