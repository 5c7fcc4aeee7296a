"""The tasks API: imports as an administrator's script asks for them, and how they went."""

from typing import Any
from urllib.parse import urlencode

from bivouac.core.clock import iso_seconds
from bivouac.core.errors import BadRequest, MethodNotAllowed
from bivouac.core.http import Request, Response, Route
from bivouac.core.ids import is_uuid
from bivouac.core.store import Page

from ..records import TaskRow
from ..service import imports, listing, tasks
from ..transfer import ImageService
from .images import json_body

_SORT_KEYS = ("id", "type", "status", "created_at", "updated_at", "expires_at")


def task_stub(task: TaskRow) -> dict[str, Any]:
    """A task in a list."""
    view = {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "created_at": iso_seconds(task.created_at),
        "updated_at": iso_seconds(task.updated_at),
        "self": f"/v2/tasks/{task.id}",
        "schema": "/v2/schemas/task",
    }
    return view | ({"expires_at": iso_seconds(task.expires_at)} if task.expires_at else {})


def task_view(task: TaskRow) -> dict[str, Any]:
    """A task with what it was asked and how it went."""
    view = {
        **task_stub(task),
        "input": task.input,
        "result": task.result,
        "message": task.message,
        "request_id": task.request_id,
        "user_id": task.user_id,
    }
    return view | ({"image_id": task.image_id} if task.image_id else {})


async def create(request: Request) -> Response:
    """Create a task of type import."""
    service: ImageService = request.mount.service
    request.enforce()
    body = await json_body(request)
    details = body.get("input")
    if isinstance(details, dict) and isinstance(details.get("import_from"), str):
        service.outside.check(details["import_from"])
    elif isinstance(details, dict) and "import_from" in details:
        raise BadRequest("'import_from' must be a URL")
    task = await request.write(imports.request_task, body)
    return Response(task_view(task), 201, {"Location": f"{request.base_url}/v2/tasks/{task.id}"})


async def list_tasks(request: Request) -> dict[str, Any]:
    """One page of tasks."""
    request.enforce()
    value = dict(request.query)
    query = listing.parse([(name, text) for name, text in request.query if name == "limit"])
    way, key = value.get("sort_dir", "desc"), value.get("sort_key", "created_at")
    if way not in ("asc", "desc") or key not in _SORT_KEYS:
        raise BadRequest("Invalid sort direction or key.")
    marker = value.get("marker")
    if marker is not None and not is_uuid(marker):
        raise BadRequest("Invalid marker format")
    page = Page(sort=((key, way),), marker=marker, limit=query.page.limit)
    found = await request.read(tasks.list_tasks, request.query, page)
    pairs = [pair for pair in request.query if pair[0] != "marker"]
    body = {
        "tasks": [task_stub(task) for task in found],
        "first": "/v2/tasks" + (f"?{urlencode(pairs)}" if pairs else ""),
        "schema": "/v2/schemas/tasks",
    }
    if found and len(found) == page.limit:
        body["next"] = f"/v2/tasks?{urlencode([*pairs, ('marker', found[-1].id)])}"
    return body


async def show(request: Request, task_id: str) -> dict[str, Any]:
    """Show a task."""
    return task_view(await request.read(tasks.show, task_id))


async def delete(request: Request, task_id: str) -> None:
    """Tasks go by themselves."""
    request.enforce()
    raise MethodNotAllowed("Tasks are deleted by themselves after they have expired.", headers={"Allow": "GET"})


ROUTES = [
    Route(method="POST", path="/v2/tasks", handler=create, rule="tasks_api_access", status=201, late=True),
    Route(method="GET", path="/v2/tasks", handler=list_tasks, rule="tasks_api_access", late=True),
    Route(method="GET", path="/v2/tasks/{task_id}", handler=show, rule="tasks_api_access", late=True),
    Route(method="DELETE", path="/v2/tasks/{task_id}", handler=delete, rule="tasks_api_access", late=True),
]
