"""Tasks: imports that go on after their request is answered. One row each, taken by one process at a time.

pending -> processing -> success | failure. A process that dies leaves a lease that runs out; the next one begins the
task anew, until its deadline.
"""

from collections.abc import Sequence
from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.ids import is_uuid, new_uuid
from bivouac.core.store import Page, Tx, select_page
from bivouac.core.store.listing import MarkerNotFound

from ..records import TaskRow

BELL = "image-tasks"
LEASE_S = 60.0
DEADLINE_S = 6 * 3600.0
"""Longer than a terabyte takes at 50 MB/s."""
KEPT_S = 48 * 3600.0
"""How long a task that has ended can be looked at (Glance's task_time_to_live)."""
STATUSES = ("pending", "processing", "success", "failure")
TYPES = ("import", "api_image_import", "location_import")
OPEN = ("pending", "processing")


def add(tx: Tx, call: Call, type: str, input: dict[str, Any], image_id: str | None, owner: str | None) -> TaskRow:
    """A new task, for the loop to take."""
    task = tx.insert(
        TaskRow(
            id=new_uuid(),
            type=type,
            owner=owner or "",
            image_id=image_id,
            user_id=call.user_id,
            request_id=call.request_id,
            input=input,
            deadline=call.now + DEADLINE_S,
            created_at=call.now,
            updated_at=call.now,
        )
    )
    tx.ring(BELL, task.id)
    return task


def claim(tx: Tx, task_id: str, now: float) -> TaskRow | None:
    """Take a task that nobody works on; None when there is nothing to do."""
    task = tx.get(TaskRow, task_id)
    if task is None or task.status not in OPEN or (task.lease_until is not None and task.lease_until > now):
        return None
    return tx.update(task, status="processing", lease_until=now + LEASE_S, updated_at=now)


def renew(tx: Tx, task_id: str, until: float) -> None:
    """Prolong the lease."""
    tx.execute("UPDATE image_tasks SET lease_until = ? WHERE id = ? AND status = 'processing'", until, task_id)


def end(tx: Tx, task_id: str, now: float, failure: str = "", result: dict[str, Any] | None = None) -> None:
    """Success, or failure for a reason."""
    task = tx.get(TaskRow, task_id)
    if task is not None and task.status in OPEN:
        status = "failure" if failure else "success"
        tx.update(task, status=status, message=failure, result=result, lease_until=None, updated_at=now,
                  expires_at=now + KEPT_S)  # fmt: skip


def due(tx: Tx, now: float) -> list[str]:
    """Tasks that nobody works on, and those that have been kept long enough."""
    free = "status IN ('pending', 'processing') AND (lease_until IS NULL OR lease_until <= ?)"
    rows = tx.query(f"SELECT id FROM image_tasks WHERE {free} OR expires_at <= ? ORDER BY created_at", now, now)
    return [row[0] for row in rows]


def of_image(tx: Tx, image_id: str) -> list[TaskRow]:
    """Tasks that work or worked on an image, oldest first."""
    return tx.select(TaskRow, "WHERE image_id = ? ORDER BY created_at, id", image_id)


def busy(tx: Tx, image_id: str) -> bool:
    """Whether a task is at work on the image."""
    return any(task.status in OPEN for task in of_image(tx, image_id))


def show(tx: Tx, call: Call, task_id: str) -> TaskRow:
    """Raises NotFound, Forbidden."""
    call.enforce("tasks_api_access")
    task = tx.get(TaskRow, task_id) if is_uuid(task_id) else None
    if task is None or not (call.is_admin or task.owner == call.project_id):
        raise NotFound(f"No task found with ID {task_id}")
    return task


def list_tasks(tx: Tx, call: Call, filters: Sequence[tuple[str, str]], page: Page) -> list[TaskRow]:
    """One page. Raises Forbidden, BadRequest."""
    call.enforce("tasks_api_access")
    conditions, args = [], []
    if not call.is_admin:
        conditions.append("image_tasks.owner = ?")
        args.append(call.project_id)
    for name, value in filters:
        if name == "status" and value not in STATUSES:
            raise BadRequest(f"Invalid status value: {value}")
        if name == "type" and value not in TYPES:
            raise BadRequest(f"Invalid type value: {value}")
        if name in ("status", "type", "owner"):
            conditions.append(f"image_tasks.{name} = ?")
            args.append(value)
    try:
        return select_page(tx, TaskRow, conditions, args, page)
    except MarkerNotFound as error:
        raise BadRequest(f"Task {page.marker} (the marker) could not be found.") from error
