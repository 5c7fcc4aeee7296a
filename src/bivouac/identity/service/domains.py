"""Domains: containers of users, groups and projects. Source: Identity API v3, "Domains"."""

from typing import Any

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, Forbidden
from ...core.ids import new_hex
from ...core.store import Page, Tx
from .. import revocation
from ..records import Group, Project, Role, RoleAssignment, User
from . import groups, projects, targets, users
from .filters import Filters, select


def list_domains(tx: Tx, call: Call, filters: Filters, page: Page) -> list[Project]:
    """All domains; with a domain scope only that one."""
    own = {"target.domain.id": call.caller.domain_id} if call.caller.domain_id else {}
    call.enforce("identity:list_domains", own)
    if own:
        filters = filters.having("id = ?", call.caller.domain_id)
    return select(tx, Project, filters.having("is_domain = 1"), page)


def get(tx: Tx, call: Call, domain_id: str, rule: str = "identity:get_domain") -> Project:
    """Raises Forbidden, NotFound."""
    found = tx.get(Project, domain_id)
    call.enforce(rule, targets.of_domain(found if found and found.is_domain else None))
    return targets.domain(tx, domain_id)


def create(tx: Tx, call: Call, new: projects.NewProject, explicit_id: str | None) -> Project:
    """Raises Conflict, BadRequest."""
    call.enforce("identity:create_domain", {})
    if explicit_id is not None and not (len(explicit_id) == 32 and all(c in "0123456789abcdef" for c in explicit_id)):
        raise BadRequest("explicit_domain_id must be 32 lower-case hexadecimal digits.")
    if explicit_id is not None and tx.get(Project, explicit_id) is not None:
        raise Conflict(f"Conflict occurred attempting to store domain - there is one with id {explicit_id}.")
    return projects.insert_domain(tx, new, explicit_id or new_hex())


def update(tx: Tx, call: Call, domain_id: str, changes: dict[str, Any]) -> Project:
    """Raises Conflict, Forbidden, NotFound."""
    domain = get(tx, call, domain_id, "identity:update_domain")
    return projects.apply(tx, call, domain, changes)


def delete(tx: Tx, call: Call, domain_id: str) -> None:
    """Delete a disabled domain with everything in it. Raises Forbidden, NotFound."""
    domain = get(tx, call, domain_id, "identity:delete_domain")
    targets.refuse_immutable(domain.options)
    if domain.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    for user in tx.select(User, "WHERE domain_id = ?", domain.id):
        users.remove(tx, call, user)
    for group in tx.select(Group, "WHERE domain_id = ?", domain.id):
        groups.remove(tx, group)
    below = projects.subtree(tx, domain.id)
    while below:
        parents = {one.parent_id for one in below}
        for leaf in [one for one in below if one.id not in parents]:
            projects.remove(tx, call, leaf)
            below.remove(leaf)
    for role in tx.select(Role, "WHERE domain_id = ?", domain.id):
        tx.delete_where(RoleAssignment, "role_id = ?", role.id)
        tx.delete(role)
    projects.remove(tx, call, domain)
    revocation.revoke(tx, call.now, domain_id=domain.id)
    revocation.forget_everything(tx)
