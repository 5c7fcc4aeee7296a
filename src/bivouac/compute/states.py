"""What a server is, what is being done to it, and what may be done next: one table each.

A server has a *phase*, which only reports from its host change, and at most one *task*, the wish under way, which the
API sets with a new `generation`. The task is over when `observed_generation` has caught up. Everything on the wire
follows: `vm_state` is the phase, `task_state` the task's word, `power_state` what the host saw last, and `status` is
looked up by both. Sources: Nova's API guide, "Server concepts", and the `status` words of its API reference.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from msgspec import Struct

Phase = Literal[
    "building", "active", "stopped", "paused", "suspended", "rescued", "resized", "shelved", "shelved_offloaded",
    "error", "deleted",
]  # fmt: skip

STATUS_OF_PHASE: dict[str, str] = {
    "building": "BUILD",
    "active": "ACTIVE",
    "stopped": "SHUTOFF",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "rescued": "RESCUE",
    "resized": "VERIFY_RESIZE",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
    "error": "ERROR",
    "deleted": "DELETED",
}

POWER_STATES: dict[str, int] = {
    "": 0, "building": 0, "gone": 0, "running": 1, "paused": 3, "stopped": 4, "crashed": 6, "suspended": 4,
}  # fmt: skip
"""Numbers of `OS-EXT-STS:power_state`. A suspended guest's process has ended: Nova shows SHUTDOWN for it."""

HOUR = 3600.0


class Task(Struct, frozen=True):
    """A wish under way.

    `task_state` is the word on the wire; `status` replaces the phase's status meanwhile; `phase` is what the server
    becomes when it is done ("" leaves it); `power` is what the host must have reached; `failed_phase` what it becomes
    when it fails ("" leaves it); `operation` is the one-shot kind that the host must have finished.
    """

    task_state: str
    action: str
    event: str
    phase: str = ""
    power: str = ""
    status: str = ""
    failed_phase: str = "error"
    operation: str = ""
    deadline_s: float = 300.0
    restarts: bool = False
    """Whether the guest must be stopped first: it is made anew of other parts, or its disk is read."""


TASKS: dict[str, Task] = {
    "create": Task("spawning", "create", "compute__do_build_and_run_instance", "active", "running", deadline_s=600),
    "start": Task("powering-on", "start", "compute_start_instance", "active", "running"),
    "stop": Task("powering-off", "stop", "compute_stop_instance", "stopped", "stopped"),
    "reboot_soft": Task("rebooting", "reboot", "compute_reboot_instance", "active", "running", "REBOOT",
                        operation="reboot_soft"),
    "reboot_hard": Task("rebooting_hard", "reboot", "compute_reboot_instance", "active", "running", "HARD_REBOOT",
                        operation="reboot_hard"),
    "pause": Task("pausing", "pause", "compute_pause_instance", "paused", "paused"),
    "unpause": Task("unpausing", "unpause", "compute_unpause_instance", "active", "running"),
    "suspend": Task("suspending", "suspend", "compute_suspend_instance", "suspended", "suspended"),
    "resume": Task("resuming", "resume", "compute_resume_instance", "active", "running"),
    "rebuild": Task("rebuilding", "rebuild", "compute_rebuild_instance", "", "", "REBUILD", operation="rebuild",
                    deadline_s=600),
    "snapshot": Task("image_uploading", "createImage", "compute_snapshot_instance", failed_phase="",
                     operation="snapshot", deadline_s=HOUR),
    "backup": Task("image_backup", "createBackup", "compute_backup_instance", failed_phase="", operation="snapshot",
                   deadline_s=HOUR),
    "set_password": Task("updating_password", "changePassword", "compute_set_admin_password", status="PASSWORD",
                         failed_phase="", operation="set_password", deadline_s=60),
    "inject_nmi": Task("", "trigger_crash_dump", "compute_trigger_crash_dump", failed_phase="", operation="nmi",
                       deadline_s=60),
    "resize": Task("resize_migrating", "resize", "compute_resize_instance", "resized", "", "RESIZE",
                   deadline_s=HOUR, restarts=True),
    "migrate": Task("resize_migrating", "migrate", "compute_resize_instance", "resized", "", "RESIZE",
                    deadline_s=HOUR, restarts=True),
    "revert_resize": Task("resize_reverting", "revertResize", "compute_finish_revert_resize", "", "",
                          "REVERT_RESIZE", deadline_s=HOUR, restarts=True),
    "rescue": Task("rescuing", "rescue", "compute_rescue_instance", "rescued", "running", restarts=True),
    "unrescue": Task("unrescuing", "unrescue", "compute_unrescue_instance", "active", "running", restarts=True),
    "shelve": Task("shelving_image_uploading", "shelve", "compute_shelve_instance", "shelved", "",
                   failed_phase="", operation="snapshot", deadline_s=HOUR, restarts=True),
    "shelve_offload": Task("shelving_offloading", "shelveOffload", "compute_shelve_offload_instance",
                           "shelved_offloaded", "gone"),
    "unshelve": Task("spawning", "unshelve", "compute_unshelve_instance", "active", "running", deadline_s=600),
    "attach_interface": Task("", "attach_interface", "compute_attach_interface", failed_phase=""),
    "detach_interface": Task("", "detach_interface", "compute_detach_interface", failed_phase=""),
    "delete": Task("deleting", "delete", "compute_terminate_instance", "deleted", "gone"),
}  # fmt: skip
"""Every task by its name in `Server.task`; "" is none. `action` and `event` are the names of its instance action."""

KEEPS_POWER = frozenset({"rebuild", "resize", "migrate", "revert_resize"})
"""Tasks after which the server is on or off as it was wanted before."""


class Wire(Struct, frozen=True):
    """A server's state as the API shows it."""

    status: str
    vm_state: str
    task_state: str | None
    power_state: int


@lru_cache(maxsize=4096)
def wire(phase: str, task: str, power: str) -> Wire:
    """Derive what the API shows. `task` is empty when none is under way."""
    status = STATUS_OF_PHASE[phase]
    word: str | None = None
    if task:
        entry = TASKS[task]
        status = entry.status or status
        word = entry.task_state or None
    return Wire(status, phase, word, POWER_STATES.get(power, 0))


def pairs_of_status(status: str) -> list[tuple[str, str]]:
    """(phase, task) pairs that show as a status, for filters."""
    return [
        (phase, task) for phase in STATUS_OF_PHASE for task in ("", *TASKS) if wire(phase, task, "").status == status
    ]


STATUSES = frozenset(STATUS_OF_PHASE.values()) | {task.status for task in TASKS.values() if task.status}
ALL_STATUSES = STATUSES | {"MIGRATING", "SOFT_DELETED", "UNKNOWN"}
"""Every word that clients may filter by."""


class Allowed(Struct, frozen=True):
    """When an action may be asked: in these phases, and with no task under way unless it is one of `tasks`."""

    phases: frozenset[str]
    tasks: frozenset[str] | None = frozenset()
    """None: whatever is under way."""


def _in(phases: Iterable[str], tasks: Iterable[str] | None = ()) -> Allowed:
    return Allowed(frozenset(phases), None if tasks is None else frozenset(tasks))


_RUNS = ("active",)
ALLOWED: dict[str, Allowed] = {
    "start": _in(["stopped"]),
    "stop": _in(["active", "error"]),
    "reboot_soft": _in(_RUNS),
    "reboot_hard": _in(["active", "stopped", "paused", "suspended", "error"], ["reboot_soft", "reboot_hard", "pause",
                                                                             "suspend", "resume", "unpause"]),
    "pause": _in(["active", "rescued"]),
    "unpause": _in(["paused"]),
    "suspend": _in(["active", "rescued"]),
    "resume": _in(["suspended"]),
    "rebuild": _in(["active", "stopped", "error"]),
    "snapshot": _in(["active", "stopped", "paused", "suspended"]),
    "backup": _in(["active", "stopped", "paused", "suspended"]),
    "set_password": _in(_RUNS),
    "inject_nmi": _in(["active", "paused", "rescued", "resized", "error"]),
    "resize": _in(["active", "stopped"]),
    "migrate": _in(["active", "stopped"]),
    "confirm_resize": _in(["resized"]),
    "revert_resize": _in(["resized"]),
    "rescue": _in(["active", "stopped", "error"]),
    "unrescue": _in(["rescued"]),
    "shelve": _in(["active", "stopped", "paused", "suspended"]),
    "shelve_offload": _in(["shelved"]),
    "unshelve": _in(["shelved", "shelved_offloaded"]),
    "attach_interface": _in(["active", "paused", "stopped"]),
    "detach_interface": _in(["active", "paused", "stopped"]),
    "get_diagnostics": _in(["active", "rescued", "resized", "suspended", "paused", "stopped"], None),
    "update_metadata": _in(["active", "paused", "suspended", "stopped", "building", "rescued", "resized", "shelved",
                            "shelved_offloaded", "error"], None),
    "update_tags": _in(["active", "paused", "suspended", "stopped"], None),
    "delete": _in([phase for phase in STATUS_OF_PHASE if phase != "deleted"], None),
    "reset_state": _in([phase for phase in STATUS_OF_PHASE if phase != "deleted"], None),
}  # fmt: skip


def refusal(action: str, wire_action: str, server_id: str, phase: str, task: str) -> str:
    """Nova's words when an action is not allowed now, or empty when it is."""
    allowed = ALLOWED[action]
    if phase not in allowed.phases:
        return f"Cannot '{wire_action}' instance {server_id} while it is in vm_state {phase}"
    if allowed.tasks is not None and task and task not in allowed.tasks:
        word = TASKS[task].task_state or task
        return f"Cannot '{wire_action}' instance {server_id} while it is in task_state {word}"
    return ""
