"""Which roles somebody really has somewhere: direct, by group, inherited from above, implied by other roles."""

from collections.abc import Sequence

from msgspec import Struct

from ...core.store import Tx
from ..records import Role

SYSTEM = "all"
"""The one system target, as on the wire."""


class Scope(Struct, frozen=True):
    """Exactly one of project, domain and system; none of them is unscoped."""

    project_id: str = ""
    domain_id: str = ""
    system: bool = False

    @property
    def is_unscoped(self) -> bool:
        return not (self.project_id or self.domain_id or self.system)


_ACTOR = """((a.actor_type = 'user' AND a.actor_id = ?)
    OR (a.actor_type = 'group' AND a.actor_id IN (SELECT group_id FROM group_members WHERE user_id = ?)))"""

_IMPLIED = """
    UNION SELECT i.implied_role_id FROM implied_roles i JOIN held ON i.prior_role_id = held.role_id)
SELECT roles.id, roles.name FROM roles JOIN held ON roles.id = held.role_id
WHERE roles.domain_id IS NULL ORDER BY roles.name, roles.id"""

_ON_PROJECT = (
    """WITH RECURSIVE above(id, parent_id) AS (
    SELECT id, parent_id FROM projects WHERE id = ?
    UNION SELECT p.id, p.parent_id FROM projects p JOIN above ON p.id = above.parent_id),
held(role_id) AS (
    SELECT a.role_id FROM role_assignments a WHERE a.inherited = 0 AND a.target_type = 'project' AND a.target_id = ?
    AND """
    + _ACTOR
    + """
    UNION SELECT a.role_id FROM role_assignments a JOIN above ON a.target_id = above.id WHERE a.inherited = 1
    AND above.id <> ? AND """
    + _ACTOR
    + _IMPLIED
)

_ON_TARGET = (
    """WITH RECURSIVE held(role_id) AS (
    SELECT a.role_id FROM role_assignments a WHERE a.inherited = 0 AND a.target_type = ? AND a.target_id = ? AND """
    + _ACTOR
    + _IMPLIED
)


def roles_of(tx: Tx, user_id: str, scope: Scope) -> list[tuple[str, str]]:
    """(id, name) of the user's effective roles in the scope. Roles of a domain count only by what they imply."""
    if scope.project_id:
        project = scope.project_id
        return tx.query(_ON_PROJECT, project, project, user_id, user_id, project, user_id, user_id)  # type: ignore[return-value]
    if scope.domain_id:
        return tx.query(_ON_TARGET, "domain", scope.domain_id, user_id, user_id)  # type: ignore[return-value]
    if scope.system:
        return tx.query(_ON_TARGET, "system", SYSTEM, user_id, user_id)  # type: ignore[return-value]
    return []


def with_implied(tx: Tx, role_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(id, name) of these roles and of all that they imply."""
    if not role_ids:
        return []
    marks = ", ".join("?" for _ in role_ids)
    sql = f"WITH RECURSIVE held(role_id) AS (SELECT r.id FROM roles r WHERE r.id IN ({marks})" + _IMPLIED
    return tx.query(sql, *role_ids)  # type: ignore[return-value]


def implied_map(tx: Tx) -> dict[str, list[str]]:
    """Role id -> ids of all roles it implies, directly or by others."""
    direct: dict[str, list[str]] = {}
    for prior, implied in tx.query("SELECT prior_role_id, implied_role_id FROM implied_roles"):
        direct.setdefault(prior, []).append(implied)
    closed: dict[str, list[str]] = {}
    for start in direct:
        seen: dict[str, None] = {}
        waiting = list(direct[start])
        while waiting:
            role = waiting.pop()
            if role not in seen:
                seen[role] = None
                waiting += direct.get(role, ())
        closed[start] = list(seen)
    return closed


def roles_by_id(tx: Tx) -> dict[str, Role]:
    """All roles."""
    return {role.id: role for role in tx.select(Role)}
