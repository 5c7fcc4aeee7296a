"""Images: who sees them, making, changing and deleting them."""

from collections.abc import Mapping
from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound, OverQuota
from bivouac.core.ids import is_uuid, new_uuid
from bivouac.core.store import Duplicate, Tx

from .. import states
from ..formats import CONTAINER_FORMATS, DISK_FORMATS
from ..records import CacheRow, GarbageRow, ImageRow, LabelRow, MemberRow
from . import quota

READ_ONLY = frozenset({"created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self",
                       "file", "schema", "id", "os_hash_algo", "os_hash_value", "stores"})  # fmt: skip
RESERVED = frozenset({"location", "deleted", "deleted_at"})
RESERVED_PREFIX = "os_glance_"
VISIBILITIES = ("community", "public", "private", "shared")
MAX_PROPERTIES = 128
MAX_TAGS = 128
MAX_IMAGES_PER_PROJECT = 10_000
"""A bound against runaway scripts, far above what anybody keeps."""
_MAX_INTEGER = (1 << 31) - 1
SETTABLE = frozenset({"name", "visibility", "container_format", "disk_format", "min_disk", "min_ram", "protected",
                      "os_hidden", "owner", "tags"})  # fmt: skip
GARBAGE_BELL = "image-garbage"


def target_of(image: ImageRow) -> dict[str, Any]:
    """The image as policy rules see it."""
    return {"project_id": image.owner, "owner": image.owner, "visibility": image.visibility, "image_id": image.id}


def membership(tx: Tx, image_id: str, project_id: str) -> MemberRow | None:
    """The project's share in an image, whatever it said to it."""
    return tx.get(MemberRow, image_id, project_id) if project_id else None


def find(tx: Tx, call: Call, image_id: str) -> ImageRow:
    """An image that the caller may know of. Raises NotFound."""
    image = tx.get(ImageRow, image_id) if is_uuid(image_id) else None
    if image is not None and (
        call.is_admin
        or (image.owner == call.project_id and call.project_id)
        or image.visibility in ("public", "community")
        or (image.visibility == "shared" and membership(tx, image_id, call.project_id))
    ):
        return image
    raise NotFound(f"No image found with ID {image_id}")


def show(tx: Tx, call: Call, image_id: str) -> ImageRow:
    """Raises NotFound, also when the policy forbids to see it."""
    image = find(tx, call, image_id)
    try:
        call.enforce("get_image", target_of(image))
    except Forbidden as error:
        raise NotFound(f"No image found with ID {image_id}") from error
    return image


def for_change(tx: Tx, call: Call, image_id: str, rule: str) -> ImageRow:
    """An image that the rule lets the caller change. Raises NotFound, Forbidden."""
    image = show(tx, call, image_id)
    call.enforce(rule, target_of(image))
    return image


def create(tx: Tx, call: Call, body: Mapping[str, Any]) -> ImageRow:
    """A new image in `queued`. Raises BadRequest, Forbidden, Conflict (the id is taken), OverQuota."""
    fields: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in body.items():
        if name in ("direct_url", "self", "file", "schema", "stores"):
            raise Forbidden(f"Attribute '{name}' is read-only.")
        if name == "id":
            if not isinstance(value, str) or not is_uuid(value) or "-" not in value:
                raise BadRequest("Provided object does not match schema 'image': the id must be a UUID.")
            fields["id"] = value.lower()
        elif name in READ_ONLY:
            raise Forbidden(f"Attribute '{name}' is read-only.")
        elif name in SETTABLE:
            fields[name] = checked_field(name, value)
        elif name == "locations":
            raise Forbidden("Attribute 'locations' is reserved: locations are given after the image is created.")
        else:
            properties[name] = checked_property(name, value)
    owner = fields.setdefault("owner", call.project_id or None)
    if len(properties) > MAX_PROPERTIES:
        raise OverQuota(f"The limit has been exceeded on the number of allowed image properties: {MAX_PROPERTIES}.")
    call.enforce("add_image", {"project_id": owner, "owner": owner})
    image = ImageRow(properties=properties, created_at=call.now, updated_at=call.now, **{"id": new_uuid(), **fields})
    if "visibility" in fields:
        _enforce_visibility(call, image, image.visibility)
    check_count(tx, owner)
    try:
        tx.insert(image)
    except Duplicate as error:
        raise Conflict(f"Image ID {image.id} already exists!") from error
    save_labels(tx, None, image)
    return image


def check_count(tx: Tx, owner: str | None) -> None:
    """Raises OverQuota when a project has as many images as it may."""
    quota.enforce(tx, owner, image_count_total=1)
    if owner and tx.count(ImageRow, "WHERE owner = ?", owner) >= MAX_IMAGES_PER_PROJECT:
        raise OverQuota(f"The project has {MAX_IMAGES_PER_PROJECT} images, which is the limit.")


def save(tx: Tx, image: ImageRow, now: float, **fields: Any) -> ImageRow:
    """Set fields of an image and the moment of it, and keep its labels as they are in the row."""
    new = tx.update(image, **fields)
    if new is not image:
        new = tx.update(new, updated_at=now)
        save_labels(tx, image, new)
    return new


def save_labels(tx: Tx, old: ImageRow | None, new: ImageRow) -> None:
    """Repeat properties and tags in the table that filters use: only what differs."""
    before = _labels(old) if old else {}
    after = _labels(new)
    for kind, name in before.keys() - after.keys():
        tx.delete(LabelRow(image_id=new.id, kind=kind, name=name))
    for (kind, name), value in after.items():
        if before.get((kind, name)) != value:
            tx.upsert(LabelRow(image_id=new.id, kind=kind, name=name, value=value))


def _labels(image: ImageRow) -> dict[tuple[str, str], str]:
    labels = {("property", name): value for name, value in image.properties.items()}
    return labels | {("tag", tag): "" for tag in image.tags}


def set_field(tx: Tx, call: Call, image: ImageRow, name: str, value: Any) -> dict[str, Any]:
    """Checks one attribute of an existing image; returns what to store. Raises BadRequest, Forbidden."""
    value = checked_field(name, value)
    if name == "owner" and not call.is_admin:
        raise Forbidden("Owner can't be updated by non admin.")
    call.enforce("modify_image", target_of(image))
    if name == "visibility" and value != image.visibility:
        _enforce_visibility(call, image, value)
    if name in ("container_format", "disk_format") and image.status != "queued":
        raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")
    return {name: value}


def _enforce_visibility(call: Call, image: ImageRow, visibility: str) -> None:
    call.enforce("modify_image", target_of(image))
    if visibility == "public":
        call.enforce("publicize_image", target_of(image))
    elif visibility == "community":
        call.enforce("communitize_image", target_of(image))


def checked_field(name: str, value: Any) -> Any:
    """A value of one of our own attributes, as the schema allows it. Raises BadRequest."""

    def refuse(expected: str) -> BadRequest:
        return BadRequest(f"Provided object does not match schema 'image': {name} must be {expected}.")

    if name in ("name", "owner"):
        if value is not None and (not isinstance(value, str) or len(value) > 255):
            raise refuse("null or a string of at most 255 characters")
    elif name == "visibility":
        if value not in VISIBILITIES:
            raise refuse(f"one of {', '.join(VISIBILITIES)}")
    elif name in ("container_format", "disk_format"):
        choices = CONTAINER_FORMATS if name == "container_format" else DISK_FORMATS
        if value is not None and value not in choices:
            raise refuse(f"null or one of {', '.join(choices)}")
    elif name in ("min_disk", "min_ram"):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_INTEGER:
            raise refuse(f"an integer between 0 and {_MAX_INTEGER}")
    elif name in ("protected", "os_hidden"):
        if not isinstance(value, bool):
            raise refuse("a boolean")
    elif name == "tags":
        if not isinstance(value, list) or not all(isinstance(tag, str) and len(tag) <= 255 for tag in value):
            raise refuse("a list of strings of at most 255 characters")
        value = list(dict.fromkeys(value))
        if len(value) > MAX_TAGS:
            raise OverQuota(f"The limit has been exceeded on the number of allowed image tags: {MAX_TAGS}.")
    return value


def checked_property(name: str, value: Any) -> str:
    """A property of the user's own. Raises BadRequest, Forbidden (a reserved name)."""
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")
    if not 1 <= len(name) <= 255:
        raise BadRequest("Custom property should not be greater than 255 characters.")
    if not isinstance(value, str) or len(value) > 65535:
        raise BadRequest(f"Provided object does not match schema 'image': {name} must be a string.")
    return value


def delete(tx: Tx, call: Call, image_id: str) -> None:
    """Remove an image; its blobs go right after. Raises NotFound, Forbidden."""
    image = for_change(tx, call, image_id, "delete_image")
    if image.protected:
        raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
    remove(tx, image, call.now)


def remove(tx: Tx, image: ImageRow, now: float) -> None:
    """Take the row away and leave its blobs to the loop."""
    for store, blob in image.stores.items():
        discard(tx, store, blob, now)
    if image.boot is not None:
        discard(tx, image.boot.store, image.boot.blob, now)
    if image.staged is not None:
        discard(tx, STAGING, image.staged.blob, now)
    for row in tx.select(CacheRow, "WHERE image_id = ?", image.id):
        if row.blob:
            discard(tx, CACHE, row.blob, now)
        tx.delete(row)
    tx.delete(image)


CACHE = "cache"
"""The store that `PUT /v2/cache/{image}` keeps copies in."""
STAGING = "staging"
"""The store in which staged bytes wait for their import."""


def discard(tx: Tx, store: str, blob: str, now: float) -> None:
    """Leave a blob to the loop that removes it."""
    tx.upsert(GarbageRow(store=store, blob=blob, added_at=now))
    tx.ring(GARBAGE_BELL, f"{store}/{blob}")


def set_active(tx: Tx, call: Call, image_id: str, active: bool) -> None:
    """Withhold the bytes of an image, or give them again. Raises NotFound, Forbidden (wrong status)."""
    action = "reactivate" if active else "deactivate"
    image = for_change(tx, call, image_id, action)
    following = states.TRANSITIONS.get((image.status, action))
    if following is None:
        raise Forbidden(f"Not allowed to {action} image in status '{image.status}'")
    save(tx, image, call.now, status=following)


def add_tag(tx: Tx, call: Call, image_id: str, tag: str) -> None:
    """Raises NotFound, Forbidden, BadRequest (too long), OverQuota."""
    image = for_change(tx, call, image_id, "modify_image")
    save(tx, image, call.now, tags=checked_field("tags", [*image.tags, tag]))


def remove_tag(tx: Tx, call: Call, image_id: str, tag: str) -> None:
    """Raises NotFound (image or tag), Forbidden."""
    image = for_change(tx, call, image_id, "modify_image")
    if tag not in image.tags:
        raise NotFound(f"Image {image_id} has no tag {tag}.")
    save(tx, image, call.now, tags=[one for one in image.tags if one != tag])
