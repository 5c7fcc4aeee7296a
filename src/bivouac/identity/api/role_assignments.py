"""`/v3/role_assignments`. Source: Identity API v3, "List role assignments"."""

from typing import Any

from ...core.errors import BadRequest
from ...core.http import Request, Route
from ...core.store import Tx
from ..records import Project
from ..service import assignments
from ..service.assignments import Assignment, Names, Wanted
from . import shapes


def _wanted(request: Request) -> Wanted:
    """The query's filters. Raises BadRequest."""
    inherited = request.query_value("scope.OS-INHERIT:inherited_to")
    if inherited not in (None, "projects"):
        raise BadRequest("scope.OS-INHERIT:inherited_to can only be projects.")

    def text(name: str) -> str:
        return request.query_value(name) or ""

    return Wanted(
        user_id=text("user.id"),
        group_id=text("group.id"),
        role_id=text("role.id"),
        project_id=text("scope.project.id"),
        domain_id=text("scope.domain.id"),
        system=bool(text("scope.system")),
        inherited=inherited is not None,
        effective=shapes.flag(request, "effective"),
        include_subtree=shapes.flag(request, "include_subtree"),
    )


def _read(tx: Tx, call: Any, wanted: Wanted, with_names: bool) -> tuple[list[Assignment], Names | None]:
    found = assignments.list_assignments(tx, call, wanted)
    return found, assignments.names(tx, found) if with_names else None


async def list_assignments(request: Request) -> dict[str, Any]:
    wanted = _wanted(request)
    found, names = await request.read(_read, wanted, shapes.flag(request, "include_names"))
    shaped = [view(request, one, wanted.effective, names) for one in found]
    return shapes.collection(request, "role_assignments", shaped)


def view(request: Request, line: Assignment, effective: bool, names: Names | None) -> dict[str, Any]:
    """One assignment on the wire."""
    base = f"{request.base_url}/v3"
    row = line.row
    place = "/system" if row.target_type == "system" else f"/{row.target_type}s/{row.target_id}"
    path = f"{place}/{row.actor_type}s/{row.actor_id}/roles/{row.role_id}"
    links = {"assignment": f"{base}/OS-INHERIT{path}/inherited_to_projects" if row.inherited else f"{base}{path}"}
    if line.via_group:
        links["membership"] = f"{base}/groups/{line.via_group}/users/{line.actor_id}"
    if line.prior_role_id:
        links["prior_role"] = f"{base}/prior_role/{line.prior_role_id}/implies/{line.role_id}"
    scope: dict[str, Any]
    if line.target_type == "system":
        scope = {"system": {"all": True}}
    else:
        scope = {line.target_type: _named_project(line.target_type, line.target_id, names)}
    if line.inherited and not (effective and line.target_type == "domain"):
        scope["OS-INHERIT:inherited_to"] = "projects"
    return {
        "role": _named_role(line.role_id, names),
        line.actor_type: _named_actor(line, names),
        "scope": scope,
        "links": links,
    }


def _domain(domain_id: str, names: Names) -> dict[str, Any]:
    return {"id": domain_id, "name": names.projects[domain_id].name}


def _named_project(kind: str, project_id: str, names: Names | None) -> dict[str, Any]:
    project: Project | None = names.projects.get(project_id) if names else None
    if names is None or project is None:
        return {"id": project_id}
    named: dict[str, Any] = {"id": project_id, "name": project.name}
    if kind == "project":
        named["domain"] = _domain(project.domain_id or project.id, names)
    return named


def _named_role(role_id: str, names: Names | None) -> dict[str, Any]:
    if names is None or role_id not in names.roles:
        return {"id": role_id}
    role = names.roles[role_id]
    named: dict[str, Any] = {"id": role_id, "name": role.name}
    if role.domain_id:
        named["domain"] = _domain(role.domain_id, names)
    return named


def _named_actor(line: Assignment, names: Names | None) -> dict[str, Any]:
    actor = None
    if names is not None:
        actor = (names.users if line.actor_type == "user" else names.groups).get(line.actor_id)
    if names is None or actor is None:
        return {"id": line.actor_id}
    return {"id": actor.id, "name": actor.name, "domain": _domain(actor.domain_id, names)}


ROUTES = [
    Route(method="GET", path="/v3/role_assignments", handler=list_assignments, rule="identity:list_role_assignments",
          late=True),
]  # fmt: skip
