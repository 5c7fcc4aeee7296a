"""Groups of users. Source: Identity API v3, "Groups"."""

from typing import Any

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Page, Tx
from .. import revocation
from ..records import Group, GroupMember, RoleAssignment, User
from . import targets
from .filters import Filters, select


def list_groups(tx: Tx, call: Call, filters: Filters, page: Page) -> list[Group]:
    """Groups; with a domain scope those of the domain."""
    own = {"target.group.domain_id": call.caller.domain_id} if call.caller.domain_id else {}
    call.enforce("identity:list_groups", own)
    if own:
        filters = filters.having("domain_id = ?", call.caller.domain_id)
    return select(tx, Group, filters, page)


def get(tx: Tx, call: Call, group_id: str, rule: str = "identity:get_group") -> Group:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, targets.of_group(tx.get(Group, group_id)))
    return targets.group(tx, group_id)


def create(
    tx: Tx, call: Call, name: str, domain_id: str | None, description: str, extra: dict[str, Any]
) -> Group:
    """Raises Forbidden, Conflict, NotFound (domain)."""
    domain_id = targets.default_domain(call, domain_id)
    call.enforce("identity:create_group", targets.of_new("group", domain_id))
    targets.domain(tx, domain_id)
    group = Group(id=new_hex(), name=name, domain_id=domain_id, description=description, extra=extra)
    return _stored(lambda: tx.insert(group), name)


def _stored(action: Any, name: str) -> Group:
    try:
        return action()
    except Duplicate as error:
        raise Conflict(
            f"Conflict occurred attempting to store group - Duplicate entry found with name {name} in its domain."
        ) from error


def update(tx: Tx, call: Call, group_id: str, changes: dict[str, Any]) -> Group:
    """Raises Forbidden, BadRequest, Conflict, NotFound."""
    group = get(tx, call, group_id, "identity:update_group")
    changes = dict(changes)
    if changes.pop("domain_id", group.domain_id) != group.domain_id:
        raise BadRequest("A group's domain can't be changed.")
    fields = {name: changes.pop(name) for name in ("name", "description") if name in changes}
    if fields.get("description", "") is None:
        fields["description"] = ""
    if changes:
        fields["extra"] = {**group.extra, **changes}
    return _stored(lambda: tx.update(group, **fields), fields.get("name", group.name))


def delete(tx: Tx, call: Call, group_id: str) -> None:
    """Raises Forbidden, NotFound."""
    remove(tx, get(tx, call, group_id, "identity:delete_group"))


def remove(tx: Tx, group: Group) -> None:
    """Delete the group, its memberships and its roles."""
    tx.delete_where(RoleAssignment, "actor_type = 'group' AND actor_id = ?", group.id)
    for member in tx.delete_where(GroupMember, "group_id = ?", group.id):
        revocation.forget(tx, member.user_id)
    tx.delete(group)


def _both(tx: Tx, call: Call, group_id: str, user_id: str, rule: str) -> tuple[Group, User]:
    group, user = tx.get(Group, group_id), tx.get(User, user_id)
    call.enforce(rule, {**targets.of_group(group), **targets.of_user(user)})
    return targets.group(tx, group_id), targets.user(tx, user_id)


def add_user(tx: Tx, call: Call, group_id: str, user_id: str) -> None:
    """Raises Forbidden, NotFound."""
    group, user = _both(tx, call, group_id, user_id, "identity:add_user_to_group")
    tx.upsert(GroupMember(group_id=group.id, user_id=user.id))
    revocation.forget(tx, user.id)


def check_user(
    tx: Tx, call: Call, group_id: str, user_id: str, rule: str = "identity:check_user_in_group"
) -> GroupMember:
    """Raises Forbidden, NotFound."""
    _both(tx, call, group_id, user_id, rule)
    member = tx.get(GroupMember, group_id, user_id)
    if member is None:
        raise NotFound(f"User {user_id} is not a member of group {group_id}.")
    return member


def remove_user(tx: Tx, call: Call, group_id: str, user_id: str) -> None:
    """Raises Forbidden, NotFound."""
    tx.delete(check_user(tx, call, group_id, user_id, "identity:remove_user_from_group"))
    revocation.forget(tx, user_id)


def users_of(tx: Tx, call: Call, group_id: str, filters: Filters, page: Page) -> list[User]:
    """Raises Forbidden, NotFound."""
    group = get(tx, call, group_id, "identity:list_users_in_group")
    members = "id IN (SELECT user_id FROM group_members WHERE group_id = ?)"
    return select(tx, User, filters.having(members, group.id), page)


def groups_of(tx: Tx, call: Call, user_id: str, filters: Filters, page: Page) -> list[Group]:
    """Raises Forbidden, NotFound."""
    call.enforce("identity:list_groups_for_user", targets.of_user(tx.get(User, user_id)))
    targets.user(tx, user_id)
    groups = "id IN (SELECT group_id FROM group_members WHERE user_id = ?)"
    return select(tx, Group, filters.having(groups, user_id), page)
