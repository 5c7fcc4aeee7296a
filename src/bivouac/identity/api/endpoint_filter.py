"""`/v3/OS-EP-FILTER`. Source: Identity API v3, "OS-EP-FILTER"."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.http import Request, Route
from ..catalog_records import EndpointGroup
from ..service import endpoint_filter as rules
from . import shapes
from .catalog_entries import endpoint_view
from .projects import view as project_view
from .shapes import Name255, Text


class EndpointGroupBody(Struct, forbid_unknown_fields=True):
    name: Name255
    filters: dict[str, Any]
    description: Text | None = None


class EndpointGroupChanges(Struct, forbid_unknown_fields=True):
    name: Name255 | UnsetType = UNSET
    filters: dict[str, Any] | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET


def view(request: Request, row: EndpointGroup) -> dict[str, Any]:
    """An endpoint group on the wire."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "filters": row.filters,
        "links": shapes.self_link(request, f"OS-EP-FILTER/endpoint_groups/{row.id}"),
    }


async def list_groups(request: Request) -> dict[str, Any]:
    rows = await request.read(rules.list_groups, request.query_value("name"))
    return shapes.listing(request, "endpoint_groups", rows, lambda row: view(request, row))


async def create_group(request: Request) -> dict[str, Any]:
    known, _ = shapes.decode(EndpointGroupBody, request.body)
    row = await request.write(rules.create_group, known.name, known.description, known.filters)
    return {"endpoint_group": view(request, row)}


async def show_group(request: Request, endpoint_group_id: str) -> dict[str, Any]:
    return {"endpoint_group": view(request, await request.read(rules.get_group, endpoint_group_id))}


async def update_group(request: Request, endpoint_group_id: str) -> dict[str, Any]:
    changes = shapes.patch(EndpointGroupChanges, request.body, endpoint_group_id)
    row = await request.write(rules.update_group, endpoint_group_id, changes)
    return {"endpoint_group": view(request, row)}


async def delete_group(request: Request, endpoint_group_id: str) -> None:
    await request.write(rules.delete_group, endpoint_group_id)


async def list_group_endpoints(request: Request, endpoint_group_id: str) -> dict[str, Any]:
    rows = await request.read(rules.endpoints_of_group, endpoint_group_id)
    return shapes.listing(request, "endpoints", rows, lambda row: endpoint_view(request, row))


async def list_group_projects(request: Request, endpoint_group_id: str) -> dict[str, Any]:
    rows = await request.read(rules.projects_of_group, endpoint_group_id)
    return shapes.listing(request, "projects", rows, lambda row: project_view(request, row))


async def list_project_groups(request: Request, project_id: str) -> dict[str, Any]:
    rows = await request.read(rules.groups_of_project, project_id)
    return shapes.listing(request, "endpoint_groups", rows, lambda row: view(request, row))


async def show_group_in_project(request: Request, endpoint_group_id: str, project_id: str) -> dict[str, Any]:
    await request.read(rules.check_group_in_project, endpoint_group_id, project_id)
    return {"project_endpoint_group": {"endpoint_group_id": endpoint_group_id, "project_id": project_id}}


async def add_group_to_project(request: Request, endpoint_group_id: str, project_id: str) -> None:
    await request.write(rules.add_group_to_project, endpoint_group_id, project_id)


async def remove_group_from_project(request: Request, endpoint_group_id: str, project_id: str) -> None:
    await request.write(rules.remove_group_from_project, endpoint_group_id, project_id)


async def list_project_endpoints(request: Request, project_id: str) -> dict[str, Any]:
    rows = await request.read(rules.endpoints_of_project, project_id)
    return shapes.listing(request, "endpoints", rows, lambda row: endpoint_view(request, row))


async def list_endpoint_projects(request: Request, endpoint_id: str) -> dict[str, Any]:
    rows = await request.read(rules.projects_of_endpoint, endpoint_id)
    return shapes.listing(request, "projects", rows, lambda row: project_view(request, row))


async def check_endpoint(request: Request, project_id: str, endpoint_id: str) -> None:
    await request.read(rules.check_endpoint_in_project, project_id, endpoint_id)


async def add_endpoint(request: Request, project_id: str, endpoint_id: str) -> None:
    await request.write(rules.add_endpoint_to_project, project_id, endpoint_id)


async def remove_endpoint(request: Request, project_id: str, endpoint_id: str) -> None:
    await request.write(rules.remove_endpoint_from_project, project_id, endpoint_id)


_BASE = "/v3/OS-EP-FILTER"
_ALL, _ONE = f"{_BASE}/endpoint_groups", f"{_BASE}/endpoint_groups/{{endpoint_group_id}}"
_IN_PROJECT = f"{_ONE}/projects/{{project_id}}"
_OF_PROJECT = f"{_BASE}/projects/{{project_id}}/endpoints"
_ENDPOINT = f"{_OF_PROJECT}/{{endpoint_id}}"
ROUTES = [
    Route(method="GET", path=_ALL, handler=list_groups, rule="identity:list_endpoint_groups", late=True),
    Route(method="POST", path=_ALL, handler=create_group, rule="identity:create_endpoint_group", late=True,
          status=201, body=dict[str, Any], envelope="endpoint_group"),
    Route(method="GET", path=_ONE, handler=show_group, rule="identity:get_endpoint_group", late=True),
    Route(method="PATCH", path=_ONE, handler=update_group, rule="identity:update_endpoint_group", late=True,
          body=dict[str, Any], envelope="endpoint_group"),
    Route(method="DELETE", path=_ONE, handler=delete_group, rule="identity:delete_endpoint_group", late=True,
          status=204),
    Route(method="GET", path=f"{_ONE}/endpoints", handler=list_group_endpoints,
          rule="identity:list_endpoints_associated_with_endpoint_group", late=True),
    Route(method="GET", path=f"{_ONE}/projects", handler=list_group_projects,
          rule="identity:list_projects_associated_with_endpoint_group", late=True),
    Route(method="GET", path=_IN_PROJECT, handler=show_group_in_project,
          rule="identity:get_endpoint_group_in_project", late=True),
    Route(method="PUT", path=_IN_PROJECT, handler=add_group_to_project,
          rule="identity:add_endpoint_group_to_project", late=True, status=204),
    Route(method="DELETE", path=_IN_PROJECT, handler=remove_group_from_project,
          rule="identity:remove_endpoint_group_from_project", late=True, status=204),
    Route(method="GET", path=f"{_BASE}/projects/{{project_id}}/endpoint_groups", handler=list_project_groups,
          rule="identity:list_endpoint_groups_for_project", late=True),
    Route(method="GET", path=_OF_PROJECT, handler=list_project_endpoints,
          rule="identity:list_endpoints_for_project", late=True),
    Route(method="GET", path=_ENDPOINT, handler=check_endpoint, rule="identity:check_endpoint_in_project", late=True,
          status=204),
    Route(method="PUT", path=_ENDPOINT, handler=add_endpoint, rule="identity:add_endpoint_to_project", late=True,
          status=204),
    Route(method="DELETE", path=_ENDPOINT, handler=remove_endpoint, rule="identity:remove_endpoint_from_project",
          late=True, status=204),
    Route(method="GET", path=f"{_BASE}/endpoints/{{endpoint_id}}/projects", handler=list_endpoint_projects,
          rule="identity:list_projects_for_endpoint", late=True),
]  # fmt: skip
