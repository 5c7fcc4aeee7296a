"""What the caller can be scoped to."""

from ...core.call import Call
from ...core.store import Tx
from ..records import Project
from .effective import SYSTEM

_MINE = """((a.actor_type = 'user' AND a.actor_id = ?)
    OR (a.actor_type = 'group' AND a.actor_id IN (SELECT group_id FROM group_members WHERE user_id = ?)))"""

_PROJECTS = (
    """WITH RECURSIVE below(id) AS (
    SELECT p.id FROM projects p JOIN role_assignments a ON p.parent_id = a.target_id WHERE a.inherited = 1 AND """
    + _MINE
    + """
    UNION SELECT p.id FROM projects p JOIN below ON p.parent_id = below.id),
mine(id) AS (
    SELECT a.target_id FROM role_assignments a WHERE a.inherited = 0 AND a.target_type = 'project' AND """
    + _MINE
    + """
    UNION SELECT id FROM below)
SELECT id FROM mine"""
)


def project_ids(tx: Tx, user_id: str) -> set[str]:
    """Ids of the projects on which the user has a role, inherited ones included."""
    return {row[0] for row in tx.query(_PROJECTS, user_id, user_id, user_id, user_id)}


def projects(tx: Tx, call: Call) -> list[Project]:
    """Enabled projects on which the caller has a role."""
    return projects_of(tx, call.user_id, "AND projects.enabled = 1")


def projects_of(tx: Tx, user_id: str, condition: str = "", *args: object) -> list[Project]:
    """Projects on which the user has a role, by name."""
    where = f"WHERE projects.id IN ({_PROJECTS}) {condition} ORDER BY name, id"
    return tx.select(Project, where, user_id, user_id, user_id, user_id, *args)


def domains(tx: Tx, call: Call) -> list[Project]:
    """Enabled domains on which the caller has a role."""
    where = f"""WHERE enabled = 1 AND is_domain = 1 AND id IN (SELECT a.target_id FROM role_assignments a
        WHERE a.inherited = 0 AND a.target_type = 'domain' AND {_MINE}) ORDER BY name, id"""
    return tx.select(Project, where, call.user_id, call.user_id)


def system(tx: Tx, call: Call) -> bool:
    """Whether the caller has a role on the system."""
    where = f"WHERE a.target_type = 'system' AND a.target_id = ? AND {_MINE}"
    return bool(tx.value(f"SELECT 1 FROM role_assignments a {where} LIMIT 1", SYSTEM, call.user_id, call.user_id))
