"""Listing role assignments, as they were made or as they take effect.

Source: Identity API v3, "List role assignments".
"""

from typing import Any

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest
from ...core.store import Tx
from ..records import Group, GroupMember, Project, Role, RoleAssignment, User
from . import targets
from .effective import SYSTEM, implied_map
from .projects import subtree


class Wanted(Struct, frozen=True, kw_only=True):
    """What a list of assignments is asked for; empty means any."""

    user_id: str = ""
    group_id: str = ""
    role_id: str = ""
    project_id: str = ""
    domain_id: str = ""
    system: bool = False
    inherited: bool = False
    effective: bool = False
    include_subtree: bool = False


class Assignment(Struct, frozen=True, kw_only=True):
    """One line: the assignment as made (`row`), and how it takes effect."""

    row: RoleAssignment
    actor_type: str
    actor_id: str
    target_type: str
    target_id: str
    role_id: str
    inherited: bool = False
    via_group: str = ""
    prior_role_id: str = ""


def _refuse_nonsense(wanted: Wanted) -> None:
    """Raises BadRequest for filters that exclude each other."""
    if sum(map(bool, (wanted.project_id, wanted.domain_id, wanted.system))) > 1:
        raise BadRequest("Specify at most one of scope.project.id, scope.domain.id and scope.system.")
    if wanted.user_id and wanted.group_id:
        raise BadRequest("Specify a user or group, not both.")
    if wanted.effective and wanted.group_id:
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    if wanted.effective and wanted.inherited and wanted.domain_id:
        raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")
    if wanted.include_subtree and not wanted.project_id:
        raise BadRequest("scope.project.id must be specified if include_subtree is also specified.")


def list_assignments(tx: Tx, call: Call, wanted: Wanted) -> list[Assignment]:
    """The assignments asked for; with a domain scope only those in the domain. Raises BadRequest, Forbidden."""
    target = targets.own_domain(call)
    if wanted.include_subtree:
        project = tx.get(Project, wanted.project_id)
        if project is not None and project.domain_id:
            target = {**target, "target.project.domain_id": project.domain_id}
        call.enforce("identity:list_role_assignments_for_tree", target)
    else:
        call.enforce("identity:list_role_assignments", target)
    _refuse_nonsense(wanted)
    projects = [wanted.project_id] if wanted.project_id else []
    if wanted.include_subtree:
        projects += [one.id for one in subtree(tx, wanted.project_id)]
    found = _effective(tx, wanted, projects) if wanted.effective else _direct(tx, wanted, projects)
    if call.caller.domain_id:
        own = {row[0] for row in tx.query("SELECT id FROM projects WHERE domain_id = ?", call.caller.domain_id)}
        own.add(call.caller.domain_id)
        found = [one for one in found if one.target_id in own]
    return found


def _conditions(pairs: list[tuple[str, Any]]) -> tuple[str, list[Any]]:
    texts, args = [], []
    for text, value in pairs:
        values = value if isinstance(value, list) else [value]
        texts.append(text.replace("??", ", ".join("?" for _ in values)))
        args += values
    return (f"WHERE {' AND '.join(texts)}" if texts else ""), args


def _direct(tx: Tx, wanted: Wanted, projects: list[str]) -> list[Assignment]:
    pairs: list[tuple[str, Any]] = []
    if wanted.user_id:
        pairs.append(("actor_type = 'user' AND actor_id = ?", wanted.user_id))
    if wanted.group_id:
        pairs.append(("actor_type = 'group' AND actor_id = ?", wanted.group_id))
    if wanted.role_id:
        pairs.append(("role_id = ?", wanted.role_id))
    if projects:
        pairs.append(("target_type = 'project' AND target_id IN (??)", projects))
    if wanted.domain_id:
        pairs.append(("target_type = 'domain' AND target_id = ?", wanted.domain_id))
    if wanted.system:
        pairs.append(("target_type = 'system' AND target_id = ?", SYSTEM))
    if wanted.inherited:
        pairs.append(("inherited = ?", 1))
    where, args = _conditions(pairs)
    order = "ORDER BY target_type, target_id, actor_type, actor_id, role_id, inherited"
    return [_as_made(row) for row in tx.select(RoleAssignment, f"{where} {order}", *args)]


def _as_made(row: RoleAssignment) -> Assignment:
    return Assignment(
        row=row, actor_type=row.actor_type, actor_id=row.actor_id, target_type=row.target_type,
        target_id=row.target_id, role_id=row.role_id, inherited=row.inherited,
    )  # fmt: skip


def _effective(tx: Tx, wanted: Wanted, projects: list[str]) -> list[Assignment]:
    """Groups become their users, inherited assignments the projects below, roles what they imply."""
    pairs: list[tuple[str, Any]] = []
    if wanted.user_id:
        pairs.append(
            (
                "((actor_type = 'user' AND actor_id = ?) OR (actor_type = 'group' AND actor_id IN "
                "(SELECT group_id FROM group_members WHERE user_id = ?)))",
                [wanted.user_id, wanted.user_id],
            )
        )
    if wanted.domain_id:
        pairs.append(("inherited = 0 AND target_type = 'domain' AND target_id = ?", wanted.domain_id))
    if wanted.system:
        pairs.append(("target_type = 'system' AND target_id = ?", SYSTEM))
    where, args = _conditions(pairs)
    rows = tx.select(RoleAssignment, f"{where} ORDER BY target_type, target_id, actor_id, role_id", *args)
    members: dict[str, list[str]] = {}
    for member in tx.select(GroupMember, "ORDER BY user_id"):
        members.setdefault(member.group_id, []).append(member.user_id)
    implied, roles = implied_map(tx), {role.id: role for role in tx.select(Role)}
    below = _Below(tx)
    found: list[Assignment] = []
    for row in rows:
        for place_type, place in below.places(row):
            if (projects and (place_type != "project" or place not in projects)) or (
                wanted.inherited and not row.inherited
            ):
                continue
            for user in members.get(row.actor_id, []) if row.actor_type == "group" else [row.actor_id]:
                if wanted.user_id and user != wanted.user_id:
                    continue
                for role_id in (row.role_id, *implied.get(row.role_id, ())):
                    if roles[role_id].domain_id is not None or (wanted.role_id and role_id != wanted.role_id):
                        continue
                    found.append(Assignment(
                        row=row, actor_type="user", actor_id=user, target_type=place_type, target_id=place,
                        role_id=role_id, inherited=row.inherited,
                        via_group=row.actor_id if row.actor_type == "group" else "",
                        prior_role_id=row.role_id if role_id != row.role_id else "",
                    ))  # fmt: skip
    return found


class _Below:
    """Projects below a target, read once."""

    def __init__(self, tx: Tx):
        self._children: dict[str, list[str]] | None = None
        self._tx = tx

    def places(self, row: RoleAssignment) -> list[tuple[str, str]]:
        """Where an assignment takes effect."""
        if not row.inherited:
            return [(row.target_type, row.target_id)]
        if self._children is None:
            self._children = {}
            for child, parent in self._tx.query("SELECT id, parent_id FROM projects WHERE parent_id IS NOT NULL"):
                self._children.setdefault(parent, []).append(child)
        waiting, found = list(self._children.get(row.target_id, ())), []
        while waiting:
            project = waiting.pop()
            found.append(("project", project))
            waiting += self._children.get(project, ())
        return found


class Names(Struct, frozen=True):
    """Everything an answer with `include_names` may have to name."""

    users: dict[str, User]
    groups: dict[str, Group]
    projects: dict[str, Project]
    roles: dict[str, Role]


def names(tx: Tx, lines: list[Assignment]) -> Names:
    """Names of what the lines name: whole small tables, or by id when the list is short."""
    users = {one.actor_id for one in lines if one.actor_type == "user"}
    wanted = (
        tx.select(User)
        if len(users) > 200
        else [user for user_id in users if (user := tx.get(User, user_id)) is not None]
    )
    return Names(
        {one.id: one for one in wanted},
        {one.id: one for one in tx.select(Group)},
        {one.id: one for one in tx.select(Project)},
        {one.id: one for one in tx.select(Role)},
    )
