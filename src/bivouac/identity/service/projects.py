"""Projects and their tree. Source: Identity API v3, "Projects"; keystone's `max_project_tree_depth`."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, Forbidden, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Page, Tx
from .. import catalog, revocation
from ..records import AccessToken, ApplicationCredential, Credential, Project, RequestToken, RoleAssignment, Trust, User
from . import targets
from .available import project_ids
from .filters import Filters, like, select

MAX_DEPTH = 5
"""Levels below a domain; two with the limits' model `strict_two_level`."""
MAX_DEPTH_OF_MODEL = {"flat": MAX_DEPTH, "strict_two_level": 2}


class NewProject(Struct, frozen=True, kw_only=True):
    """What a project is made of."""

    name: str
    domain_id: str | None = None
    parent_id: str | None = None
    is_domain: bool = False
    enabled: bool = True
    description: str = ""
    tags: list[str] = []
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}


class TagFilters(Struct, frozen=True):
    """Lists of tags: all of `all`, one of `any`, not all of `not_all`, none of `none`."""

    all: Sequence[str] = ()
    any: Sequence[str] = ()
    not_all: Sequence[str] = ()
    none: Sequence[str] = ()


def with_tags(filters: Filters, tags: TagFilters) -> Filters:
    """The filters and those on tags."""
    for names, joiner, negation in (
        (tags.all, " AND ", ""),
        (tags.any, " OR ", ""),
        (tags.not_all, " AND ", "NOT "),
        (tags.none, " OR ", "NOT "),
    ):
        if names:
            condition = joiner.join("tags LIKE ? ESCAPE '!'" for _ in names)
            filters = filters.having(f"{negation}({condition})", *(_tag_pattern(name) for name in names))
    return filters


def _tag_pattern(tag: str) -> str:
    """Tags are a JSON list of strings, so each stands in quotes."""
    return f"%{like(msgspec.json.encode(tag).decode())}%"


def list_projects(tx: Tx, call: Call, filters: Filters, page: Page) -> list[Project]:
    """Projects that are no domains, unless domains are asked for."""
    call.enforce("identity:list_projects", targets.own_domain(call))
    if call.caller.domain_id:
        filters = filters.having("domain_id = ?", call.caller.domain_id)
    if not any(condition.startswith("is_domain") for condition in filters.conditions):
        filters = filters.having("is_domain = 0")
    return select(tx, Project, filters, page)


def get(tx: Tx, call: Call, project_id: str, rule: str = "identity:get_project") -> Project:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, targets.of_project(tx.get(Project, project_id)))
    return targets.project(tx, project_id)


def create(tx: Tx, call: Call, new: NewProject, max_depth: int) -> Project:
    """Make a project below its parent (by default its domain), or a domain. Raises Conflict, Forbidden, BadRequest,
    NotFound."""
    if new.is_domain:
        if new.parent_id or new.domain_id:
            raise BadRequest("Project acting as a domain can't have a domain or a parent.")
        call.enforce("identity:create_project", {})
        return insert_domain(tx, new, new_hex())
    parent = tx.get(Project, new.parent_id) if new.parent_id else None
    domain_id = new.domain_id or (_domain_of(parent) if parent else targets.default_domain(call, None))
    call.enforce("identity:create_project", targets.of_new("project", domain_id))
    if new.parent_id:
        if parent is None:
            raise BadRequest(f"Could not find project: {new.parent_id}.")
        if _domain_of(parent) != domain_id:
            raise BadRequest("A project must be in the domain of its parent.")
    else:
        parent = tx.get(Project, domain_id)
        if parent is None or not parent.is_domain:
            raise BadRequest(f"Could not find domain: {domain_id}.")
    if not parent.enabled:
        raise BadRequest("Cannot create a project in a branch that contains a disabled project.")
    if len(ancestors(tx, parent)) + 1 > max_depth:
        raise Forbidden(f"The tree of projects may be {max_depth} deep.")
    project = Project(
        id=new_hex(), name=new.name, domain_id=domain_id, parent_id=parent.id, enabled=new.enabled,
        description=new.description, tags=_clean_tags(new.tags), options=targets.merge_immutable({}, new.options),
        extra=new.extra,
    )  # fmt: skip
    return _stored(lambda: tx.insert(project), new.name)


def insert_domain(tx: Tx, new: NewProject, domain_id: str) -> Project:
    """Make a domain. Raises Conflict."""
    domain = Project(
        id=domain_id, name=new.name, is_domain=True, enabled=new.enabled, description=new.description,
        tags=_clean_tags(new.tags), options=targets.merge_immutable({}, new.options), extra=new.extra,
    )  # fmt: skip
    return _stored(lambda: tx.insert(domain), new.name, "domain")


def _stored(action: Any, name: str, kind: str = "project") -> Project:
    try:
        return action()
    except Duplicate as error:
        raise Conflict(
            f"Conflict occurred attempting to store {kind} - Duplicate entry found with name {name}"
            + (" in its domain." if kind == "project" else ".")
        ) from error


def _domain_of(project: Project) -> str:
    return project.domain_id or project.id


def ancestors(tx: Tx, project: Project) -> list[Project]:
    """The project's parents, nearest first; the last is its domain."""
    found: list[Project] = []
    while project.parent_id is not None:
        parent = tx.get(Project, project.parent_id)
        if parent is None:
            break
        found.append(parent)
        project = parent
    return found


def subtree(tx: Tx, project_id: str) -> list[Project]:
    """All projects below, level by level."""
    return tx.select(
        Project,
        """WHERE id IN (WITH RECURSIVE below(id) AS (SELECT id FROM projects WHERE parent_id = ?
        UNION SELECT p.id FROM projects p JOIN below ON p.parent_id = below.id) SELECT id FROM below) ORDER BY name""",
        project_id,
    )


def update(tx: Tx, call: Call, project_id: str, changes: dict[str, Any]) -> Project:
    """Change a project or a domain. Raises Conflict, Forbidden, BadRequest, NotFound."""
    project = get(tx, call, project_id, "identity:update_project")
    return apply(tx, call, project, changes)


def apply(tx: Tx, call: Call, project: Project, changes: dict[str, Any]) -> Project:
    """The change itself, when it is allowed."""
    changes = dict(changes)  # rules may be run again: what they are given stays as it is
    targets.refuse_immutable(project.options, changes)
    for name in ("domain_id", "is_domain", "parent_id"):
        if name in changes and changes.pop(name) != getattr(project, name):
            raise (Forbidden if name == "parent_id" else BadRequest)(f"Update of `{name}` is not allowed.")
    fields: dict[str, Any] = {}
    for name in ("name", "description", "enabled"):
        if name in changes:
            fields[name] = changes.pop(name)
    if fields.get("description", "") is None:
        fields["description"] = ""
    if "tags" in changes:
        fields["tags"] = _clean_tags(changes.pop("tags"))
    if "options" in changes:
        fields["options"] = targets.merge_immutable(project.options, changes.pop("options"))
    if changes:
        fields["extra"] = {**project.extra, **changes}
    enabling = fields.get("enabled") is True and not project.enabled
    if enabling and any(not one.enabled for one in ancestors(tx, project)):
        raise Forbidden("Cannot enable a project since a project above it is disabled.")
    if fields.get("enabled") is False and project.enabled:
        if not project.is_domain and any(one.enabled for one in subtree(tx, project.id)):
            raise Forbidden("Cannot disable a project since its subtree contains enabled projects.")
        fields["tokens_not_before"] = call.now
        if project.is_domain:
            revocation.revoke(tx, call.now, domain_id=project.id)
        else:
            revocation.revoke(tx, call.now, project_id=project.id)
    revocation.forget(tx, project.id)
    kind = "domain" if project.is_domain else "project"
    return _stored(lambda: tx.update(project, **fields), fields.get("name", project.name), kind)


def delete(tx: Tx, call: Call, project_id: str) -> None:
    """Delete a project without children, and all that only makes sense with it. Raises Forbidden, NotFound."""
    project = get(tx, call, project_id, "identity:delete_project")
    targets.refuse_immutable(project.options)
    if project.is_domain and project.enabled:
        raise Forbidden("Cannot delete a project acting as a domain that is enabled, please disable it first.")
    if tx.count(Project, "WHERE parent_id = ?", project.id):
        raise Forbidden(f"Cannot delete the project {project.id} since it is not a leaf in the hierarchy.")
    if project.is_domain and tx.count(User, "WHERE domain_id = ?", project.id):
        raise Forbidden(f"Cannot delete the project {project.id} since it is a domain with users; delete the domain.")
    remove(tx, call, project)


def remove(tx: Tx, call: Call, project: Project) -> None:
    """The deletion itself, of a project without children."""
    for table in (ApplicationCredential, Trust, Credential, AccessToken):
        tx.delete_where(table, "project_id = ?", project.id)
    tx.delete_where(RequestToken, "requested_project_id = ?", project.id)
    tx.delete_where(RoleAssignment, "target_type IN ('project', 'domain') AND target_id = ?", project.id)
    tx.update_where(User, "default_project_id = ?", [project.id], default_project_id=None)
    tx.delete(project)
    revocation.revoke(tx, call.now, project_id=project.id)
    catalog.changed(tx)


# --- tags --------------------------------------------------------------------------------------------------------


def _clean_tags(tags: Sequence[str]) -> list[str]:
    """Tags without repetition. Raises BadRequest."""
    for tag in tags:
        if not tag or len(tag) > 255 or "," in tag or "/" in tag:
            raise BadRequest("A tag has 1 to 255 characters, and no comma or slash.")
    if len(set(tags)) != len(tags):
        raise BadRequest("Tags must not repeat.")
    if len(tags) > 80:
        raise BadRequest("A project may have 80 tags.")
    return sorted(tags)


def set_tags(tx: Tx, call: Call, project_id: str, tags: Sequence[str]) -> list[str]:
    """Replace all tags."""
    project = get(tx, call, project_id, "identity:update_project_tags")
    return _tagged(tx, project, _clean_tags(tags)).tags


def _tagged(tx: Tx, project: Project, tags: list[str]) -> Project:
    targets.refuse_immutable(project.options)
    return tx.update(project, tags=tags)


def add_tag(tx: Tx, call: Call, project_id: str, tag: str) -> None:
    project = get(tx, call, project_id, "identity:create_project_tag")
    _tagged(tx, project, _clean_tags(list({*project.tags, tag})))


def check_tag(tx: Tx, call: Call, project_id: str, tag: str, rule: str = "identity:get_project_tag") -> Project:
    """Raises NotFound when the project has not the tag."""
    project = get(tx, call, project_id, rule)
    if tag not in project.tags:
        raise NotFound(f"Could not find project tag: {tag}.")
    return project


def remove_tag(tx: Tx, call: Call, project_id: str, tag: str) -> None:
    project = check_tag(tx, call, project_id, tag, "identity:delete_project_tag")
    _tagged(tx, project, [one for one in project.tags if one != tag])


def remove_tags(tx: Tx, call: Call, project_id: str) -> None:
    _tagged(tx, get(tx, call, project_id, "identity:delete_project_tags"), [])


# --- the tree on the wire ----------------------------------------------------------------------------------------


def relatives(tx: Tx, call: Call, project: Project, wanted: set[str]) -> dict[str, Any]:
    """`parents` and `subtree` as asked: lists hold what the caller has a role on, ids hold all."""
    found: dict[str, Any] = {}
    mine = project_ids(tx, call.user_id) if wanted & {"parents_as_list", "subtree_as_list"} else set()
    if "parents_as_list" in wanted:
        found["parents"] = [one for one in ancestors(tx, project) if one.id in mine]
    if "subtree_as_list" in wanted:
        found["subtree"] = [one for one in subtree(tx, project.id) if one.id in mine]
    if "parents_as_ids" in wanted:
        chain = None
        for one in reversed(ancestors(tx, project)):
            chain = {one.id: chain}
        found["parents"] = chain
    if "subtree_as_ids" in wanted:
        children: dict[str, list[str]] = {}
        for one in subtree(tx, project.id):
            children.setdefault(one.parent_id or "", []).append(one.id)
        found["subtree"] = _nested(children, project.id)
    return found


def _nested(children: dict[str, list[str]], project_id: str) -> dict[str, Any] | None:
    below = children.get(project_id)
    return {one: _nested(children, one) for one in below} if below else None
