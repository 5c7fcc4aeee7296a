"""`/v3/projects` with tags, and `/v3/users/{user_id}/projects`. Source: Identity API v3, "Projects", "Project tags"."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.errors import BadRequest
from ...core.http import Request, Response, Route
from ...core.store import Tx
from ..identity import identity_of
from ..records import Project, User
from ..service import available, projects, targets
from . import shapes
from .shapes import Id64, Name64, Text

_TEXTS = ("name", "domain_id", "parent_id", "id")
_FLAGS = ("enabled", "is_domain")
_RELATIVES = frozenset({"parents_as_list", "parents_as_ids", "subtree_as_list", "subtree_as_ids"})


class NewProject(Struct):
    name: Name64
    domain_id: Id64 | None = None
    parent_id: Id64 | None = None
    is_domain: bool = False
    enabled: bool = True
    description: Text | None = ""
    tags: list[str] = []
    options: dict[str, Any] = {}


class ProjectChanges(Struct):
    name: Name64 | UnsetType = UNSET
    domain_id: Id64 | None | UnsetType = UNSET
    parent_id: Id64 | None | UnsetType = UNSET
    is_domain: bool | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


def view(request: Request, row: Project) -> dict[str, Any]:
    """A project on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "parent_id": row.parent_id,
        "is_domain": row.is_domain,
        "enabled": row.enabled,
        "description": row.description,
        "tags": row.tags,
        "options": row.options,
        "links": shapes.self_link(request, f"projects/{row.id}"),
    }


def to_new(known: Any, extra: dict[str, Any], **more: Any) -> projects.NewProject:
    """The rule's input from a body."""
    return projects.NewProject(
        name=known.name, enabled=known.enabled, description=known.description or "", tags=known.tags,
        options=known.options, extra=extra, **more,
    )  # fmt: skip


def tag_filters(request: Request) -> projects.TagFilters:
    """`tags`, `tags-any`, `not-tags`, `not-tags-any`: comma-separated."""

    def names(key: str) -> list[str]:
        return [one for one in (request.query_value(key) or "").split(",") if one]

    return projects.TagFilters(names("tags"), names("tags-any"), names("not-tags"), names("not-tags-any"))


async def list_projects(request: Request) -> dict[str, Any]:
    filters = projects.with_tags(shapes.filters(request, _TEXTS, _FLAGS), tag_filters(request))
    page = shapes.page(request, ("name",))
    rows = await request.read(projects.list_projects, filters, page)
    return shapes.listing(request, "projects", rows, lambda row: view(request, row), page)


async def create_project(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(NewProject, request.body)
    new = to_new(known, extra, domain_id=known.domain_id, parent_id=known.parent_id, is_domain=known.is_domain)
    max_depth = projects.MAX_DEPTH_OF_MODEL[identity_of(request).settings.identity.limit_model]
    return {"project": view(request, await request.write(projects.create, new, max_depth))}


async def show_project(request: Request, project_id: str) -> dict[str, Any]:
    wanted = {name for name in _RELATIVES if shapes.flag(request, name)}
    for kind in ("parents", "subtree"):
        if {f"{kind}_as_list", f"{kind}_as_ids"} <= wanted:
            raise BadRequest(f"Cannot use {kind}_as_list and {kind}_as_ids query params at the same time.")
    row, relatives = await request.read(_show, project_id, wanted)
    shaped = {
        name: [{"project": view(request, one)} for one in value] if isinstance(value, list) else value
        for name, value in relatives.items()
    }
    return {"project": {**view(request, row), **shaped}}


def _show(tx: Tx, call: Any, project_id: str, wanted: set[str]) -> tuple[Project, dict[str, Any]]:
    row = projects.get(tx, call, project_id)
    return row, projects.relatives(tx, call, row, wanted)


async def update_project(request: Request, project_id: str) -> dict[str, Any]:
    changes = shapes.patch(ProjectChanges, request.body, project_id, may_be_empty=True)
    row = await request.write(projects.update, project_id, changes)
    return {"project": view(request, row)}


async def delete_project(request: Request, project_id: str) -> None:
    await request.write(projects.delete, project_id)


async def list_user_projects(request: Request, user_id: str) -> dict[str, Any]:
    filters = projects.with_tags(shapes.filters(request, _TEXTS, _FLAGS), tag_filters(request))
    rows = await request.read(_user_projects, user_id, filters)
    return shapes.listing(request, "projects", rows, lambda row: view(request, row))


def _user_projects(tx: Tx, call: Any, user_id: str, filters: Any) -> list[Project]:
    call.enforce("identity:list_user_projects", targets.of_user(tx.get(User, user_id)))
    targets.user(tx, user_id)
    condition = "".join(f" AND {one}" for one in filters.conditions)
    return available.projects_of(tx, user_id, condition, *filters.args)


# --- tags --------------------------------------------------------------------------------------------------------


async def list_tags(request: Request, project_id: str) -> dict[str, Any]:
    row = await request.read(projects.get, project_id, "identity:list_project_tags")
    return {"tags": row.tags, "links": {"self": request.url, "previous": None, "next": None}}


async def replace_tags(request: Request, project_id: str) -> dict[str, Any]:
    tags = await request.write(projects.set_tags, project_id, request.body)
    return {"tags": tags, "links": {"self": request.url, "previous": None, "next": None}}


async def delete_tags(request: Request, project_id: str) -> None:
    await request.write(projects.remove_tags, project_id)


async def check_tag(request: Request, project_id: str, value: str) -> None:
    await request.read(projects.check_tag, project_id, value)


async def add_tag(request: Request, project_id: str, value: str) -> Response:
    await request.write(projects.add_tag, project_id, value)
    return Response(None, 201, {"Location": request.url})


async def delete_tag(request: Request, project_id: str, value: str) -> None:
    await request.write(projects.remove_tag, project_id, value)


_ONE = "/v3/projects/{project_id}"
_TAGS, _TAG = f"{_ONE}/tags", f"{_ONE}/tags/{{value}}"
ROUTES = [
    Route(method="GET", path="/v3/projects", handler=list_projects, rule="identity:list_projects", late=True),
    Route(method="POST", path="/v3/projects", handler=create_project, rule="identity:create_project", late=True,
          status=201, body=dict[str, Any], envelope="project"),
    Route(method="GET", path=_ONE, handler=show_project, rule="identity:get_project", late=True),
    Route(method="PATCH", path=_ONE, handler=update_project, rule="identity:update_project", late=True,
          body=dict[str, Any], envelope="project"),
    Route(method="DELETE", path=_ONE, handler=delete_project, rule="identity:delete_project", late=True, status=204),
    Route(method="GET", path="/v3/users/{user_id}/projects", handler=list_user_projects,
          rule="identity:list_user_projects", late=True),
    Route(method="GET", path=_TAGS, handler=list_tags, rule="identity:list_project_tags", late=True),
    Route(method="PUT", path=_TAGS, handler=replace_tags, rule="identity:update_project_tags", late=True,
          body=list[str], envelope="tags"),
    Route(method="DELETE", path=_TAGS, handler=delete_tags, rule="identity:delete_project_tags", late=True,
          status=204),
    Route(method="GET", path=_TAG, handler=check_tag, rule="identity:get_project_tag", late=True, status=204),
    Route(method="PUT", path=_TAG, handler=add_tag, rule="identity:create_project_tag", late=True, status=201),
    Route(method="DELETE", path=_TAG, handler=delete_tag, rule="identity:delete_project_tag", late=True, status=204),
]  # fmt: skip
