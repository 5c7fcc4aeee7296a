"""Members: the projects with which a shared image is shared."""

from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound, OverQuota
from bivouac.core.store import Duplicate, Tx

from ..records import ImageRow, MemberRow
from . import images

STATUSES = ("pending", "accepted", "rejected")
MAX_MEMBERS = 128


def _target(image: ImageRow, member_id: str) -> dict[str, Any]:
    return {**images.target_of(image), "member_id": member_id}


def list_members(tx: Tx, call: Call, image_id: str) -> list[MemberRow]:
    """The owner sees all, a member itself. Raises NotFound, Forbidden (not shared)."""
    image = _shared(tx, call, image_id)
    own = images.membership(tx, image_id, call.project_id)
    call.enforce("get_members", _target(image, own.member_id if own else ""))
    if call.is_admin or image.owner == call.project_id:
        return tx.select(MemberRow, "WHERE image_id = ? ORDER BY created_at, member_id", image_id)
    return [own] if own else []


def show(tx: Tx, call: Call, image_id: str, member_id: str) -> MemberRow:
    """Raises NotFound, also when the image is not shared, Forbidden."""
    image = images.show(tx, call, image_id)
    member = tx.get(MemberRow, image_id, member_id) if image.visibility == "shared" else None
    if member is None or not (call.is_admin or call.project_id in (image.owner, member_id)):
        raise NotFound(f"{member_id} not found in the member list of the image {image_id}.")
    call.enforce("get_member", _target(image, member_id))
    return member


def add(tx: Tx, call: Call, image_id: str, member_id: str) -> MemberRow:
    """Raises NotFound, Forbidden (not shared, not the owner), Conflict, OverQuota."""
    image = _shared(tx, call, image_id)
    call.enforce("add_member", images.target_of(image))
    if not member_id or len(member_id) > 255:
        raise BadRequest("Member can't be empty")
    if tx.count(MemberRow, "WHERE image_id = ?", image_id) >= MAX_MEMBERS:
        raise OverQuota(f"The limit has been exceeded on the number of allowed image members: {MAX_MEMBERS}.")
    try:
        return tx.insert(MemberRow(image_id=image_id, member_id=member_id, created_at=call.now, updated_at=call.now))
    except Duplicate as error:
        raise Conflict(f"Image member {member_id} already exists for image {image_id}") from error


def set_status(tx: Tx, call: Call, image_id: str, member_id: str, status: str) -> MemberRow:
    """What the member says to it: only itself may. Raises BadRequest, NotFound, Forbidden."""
    image = _shared(tx, call, image_id)
    member = tx.get(MemberRow, image_id, member_id)
    if member is None or not (call.is_admin or call.project_id in (image.owner, member_id)):
        raise NotFound(f"{member_id} not found in the member list of the image {image_id}.")
    call.enforce("modify_member", _target(image, member_id))
    if status not in STATUSES:
        raise BadRequest(f'Status must be "pending", "accepted" or "rejected", not {status[:60]!r}.')
    return tx.update(member, status=status, updated_at=call.now)


def remove(tx: Tx, call: Call, image_id: str, member_id: str) -> None:
    """Raises NotFound, Forbidden."""
    image = _shared(tx, call, image_id)
    call.enforce("delete_member", images.target_of(image))
    member = tx.get(MemberRow, image_id, member_id)
    if member is None:
        raise NotFound(f"{member_id} not found in the member list of the image {image_id}.")
    tx.delete(member)


def _shared(tx: Tx, call: Call, image_id: str) -> ImageRow:
    """A shared image that the caller sees. Raises NotFound, Forbidden."""
    image = images.show(tx, call, image_id)
    if image.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    return image
