"""Wishes: how the API asks for something to be done to a server, and how it ends.

A wish is one update of the server's row (what is wanted, `generation` + 1, the task and its deadline), one instance
action, and the bell. Only one task is under way at once, except that deleting and resetting supersede any other.
"""

from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import Conflict
from bivouac.core.store import Tx
from bivouac.network.for_compute import SPEC_BELL

from ..records import Fault, Server, ServerAction
from ..states import TASKS, refusal

WIRE_ACTION = {
    "reboot_soft": "reboot", "reboot_hard": "reboot", "snapshot": "createImage", "backup": "createBackup",
    "set_password": "changePassword", "inject_nmi": "trigger_crash_dump", "confirm_resize": "confirmResize",
    "revert_resize": "revertResize", "shelve_offload": "shelveOffload",
}  # fmt: skip
"""What an action is called in a refusal, where that differs."""


def require(call: Call, server: Server, action: str) -> None:
    """Raise Conflict unless the action is allowed now: not locked against the caller, and the state permits it."""
    if server.locked_by and not call.allows("os_compute_api:os-lock-server:unlock:unlock_override"):
        raise Conflict(f"Instance {server.id} is locked")
    words = refusal(action, WIRE_ACTION.get(action, action), server.id, server.phase, server.current_task)
    if words:
        raise Conflict(words)


def wish(
    tx: Tx, call: Call, server: Server, task: str, arguments: dict[str, Any] | None = None, **fields: Any
) -> Server:
    """Want a task done and set `fields` with it. The caller has called `require`."""
    entry = TASKS[task]
    restart = entry.restarts and server.power_observed not in ("", "stopped", "gone")
    supersede(tx, server, call.now)
    generation = server.generation + 1
    record_action(tx, call, server, task, arguments, generation)
    tx.ring(SPEC_BELL, server.id)
    return tx.update(
        server, generation=generation, task=task, action_id=call.request_id, updated_at=call.now,
        deadline=call.now + entry.deadline_s, restart=restart, **fields,
    )  # fmt: skip


def quiet_wish(tx: Tx, call: Call, server: Server, task: str = "", **fields: Any) -> Server:
    """Want something that shows no task: its host learns of it, whatever else is under way."""
    generation = server.generation + 1
    if task:
        record_action(tx, call, server, task, None, generation)
    tx.ring(SPEC_BELL, server.id)
    under_way = server.current_task
    return tx.update(
        server, generation=generation, task=under_way, updated_at=call.now,
        deadline=server.deadline if under_way else call.now + 300.0, **fields,
    )  # fmt: skip


def record_action(
    tx: Tx, call: Call, server: Server, task: str, arguments: dict[str, Any] | None, generation: int
) -> None:
    """Write the instance action that a request began."""
    tx.upsert(
        ServerAction(
            server_id=server.id, request_id=call.request_id, action=TASKS[task].action, task=task,
            user_id=call.user_id, project_id=call.project_id or server.project_id, start_time=call.now,
            updated_at=call.now, host=server.host, arguments=arguments or {}, generation=generation,
        )
    )  # fmt: skip


def instant_action(tx: Tx, call: Call, server: Server, action: str) -> None:
    """Write an instance action that was over in the request itself (lock, confirm of a resize, ...)."""
    tx.upsert(
        ServerAction(
            server_id=server.id, request_id=call.request_id, action=action, task="", user_id=call.user_id,
            project_id=call.project_id or server.project_id, start_time=call.now, updated_at=call.now,
            finish_time=call.now, state="done", host=server.host, generation=server.generation,
        )
    )  # fmt: skip


def supersede(tx: Tx, server: Server, now: float) -> None:
    """End actions that a stronger wish overtakes."""
    finish_actions(tx, server.id, now, "superseded by a later action")


def finish_actions(tx: Tx, server_id: str, now: float, failure: str = "", up_to: int | None = None) -> None:
    """End a server's pending actions (those up to a generation), well or with a reason."""
    where, args = "server_id = ? AND state = 'pending'", [server_id]
    if up_to is not None:
        where, args = f"{where} AND generation <= ?", [server_id, up_to]  # type: ignore[list-item]
    tx.update_where(
        ServerAction, where, args, state="failed" if failure else "done", message=failure, updated_at=now,
        finish_time=now,
    )  # fmt: skip


def fail(tx: Tx, server: Server, message: str, now: float, phase: str | None = None) -> Server:
    """End the task under way with a fault. `phase` None: what the task's table says."""
    task = server.current_task
    after = phase if phase is not None else (TASKS[task].failed_phase if task else "error")
    finish_actions(tx, server.id, now, message)
    return tx.update(
        server, fault=Fault(message, now), phase=after or server.phase, observed_generation=server.generation,
        task="", restart=False, deadline=None, updated_at=now,
    )  # fmt: skip
