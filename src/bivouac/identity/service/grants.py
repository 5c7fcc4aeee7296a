"""Granting a role to a user or group on a project, a domain or the system, and taking it back.

Source: Identity API v3, "Roles" (assignments), "System Role Assignments", "OS-INHERIT".
"""

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Forbidden, NotFound
from ...core.store import Tx
from .. import revocation
from ..records import Group, Project, Role, RoleAssignment, User
from . import targets
from .effective import SYSTEM


class Grant(Struct, frozen=True):
    """Who (`user` or `group`) on what (`project`, `domain`, `system`); inherited: for the projects below."""

    actor_type: str
    actor_id: str
    target_type: str
    target_id: str = SYSTEM
    inherited: bool = False

    def row(self, role_id: str) -> RoleAssignment:
        """The assignment of one role."""
        return RoleAssignment(
            actor_type=self.actor_type, actor_id=self.actor_id, target_type=self.target_type,
            target_id=self.target_id, role_id=role_id, inherited=self.inherited,
        )  # fmt: skip

    def rule(self, verb: str) -> str:
        """The policy rule for a verb of list, check, create, revoke."""
        plural = "s" if verb == "list" else ""
        if self.target_type == "system":
            return f"identity:{verb}_system_grant{plural}_for_{self.actor_type}"
        return f"identity:{verb}_grant{plural}"


def _check(tx: Tx, call: Call, grant: Grant, verb: str, role_id: str | None) -> Role | None:
    """Enforce the verb and see that everything named exists. Raises Forbidden, NotFound."""
    target: targets.Target = {}
    if grant.actor_type == "user":
        target |= targets.of_user(tx.get(User, grant.actor_id))
        target.pop("user_id", None)
    else:
        target |= targets.of_group(tx.get(Group, grant.actor_id))
    if grant.target_type == "project":
        target |= targets.of_project(tx.get(Project, grant.target_id))
    elif grant.target_type == "domain":
        target |= targets.of_domain(tx.get(Project, grant.target_id))
    if role_id is not None:
        target |= targets.of_role(tx.get(Role, role_id))
    call.enforce(grant.rule(verb), target)
    (targets.user if grant.actor_type == "user" else targets.group)(tx, grant.actor_id)
    if grant.target_type != "system":
        (targets.project if grant.target_type == "project" else targets.domain)(tx, grant.target_id)
    return targets.role(tx, role_id) if role_id is not None else None


def roles_of(tx: Tx, call: Call, grant: Grant) -> list[Role]:
    """Roles granted exactly so. Raises Forbidden, NotFound."""
    _check(tx, call, grant, "list", None)
    return tx.select(
        Role,
        """JOIN role_assignments a ON a.role_id = roles.id WHERE a.actor_type = ? AND a.actor_id = ?
        AND a.target_type = ? AND a.target_id = ? AND a.inherited = ? ORDER BY name, id""",
        grant.actor_type, grant.actor_id, grant.target_type, grant.target_id, int(grant.inherited),
    )  # fmt: skip


def check(tx: Tx, call: Call, grant: Grant, role_id: str, verb: str = "check") -> RoleAssignment:
    """Raises Forbidden, NotFound."""
    _check(tx, call, grant, verb, role_id)
    found = tx.count(
        RoleAssignment,
        """WHERE actor_type = ? AND actor_id = ? AND target_type = ? AND target_id = ? AND role_id = ?
        AND inherited = ?""",
        grant.actor_type, grant.actor_id, grant.target_type, grant.target_id, role_id, int(grant.inherited),
    )  # fmt: skip
    if not found:
        raise NotFound(
            f"Could not find role assignment with role: {role_id}, {grant.actor_type}: {grant.actor_id}, "
            f"{grant.target_type}: {grant.target_id}."
        )
    return grant.row(role_id)


def create(tx: Tx, call: Call, grant: Grant, role_id: str) -> None:
    """Grant the role; nothing if it is granted. Raises Forbidden, NotFound."""
    role = _check(tx, call, grant, "create", role_id)
    if role is not None and role.domain_id is not None:
        if grant.target_type == "system":
            raise BadRequest("A role of a domain can't be granted on the system.")
        project = targets.project(tx, grant.target_id)
        if (project.domain_id or project.id) != role.domain_id:
            raise Forbidden("A role of a domain can only be granted within that domain.")
    tx.upsert(grant.row(role_id))
    _forget(tx, grant)


def revoke(tx: Tx, call: Call, grant: Grant, role_id: str) -> None:
    """Take the role back. Raises Forbidden, NotFound."""
    tx.delete(check(tx, call, grant, role_id, "revoke"))
    _forget(tx, grant)


def _forget(tx: Tx, grant: Grant) -> None:
    if grant.actor_type == "user":
        revocation.forget(tx, grant.actor_id)
    else:
        revocation.forget_everything(tx)
