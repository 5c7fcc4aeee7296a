"""The tables of states: what shows as what, and what is allowed when."""

import pytest

from bivouac.compute.states import ALLOWED, POWER_STATES, STATUS_OF_PHASE, TASKS, pairs_of_status, refusal, wire

POWER_STATES_OF_NOVA = {0, 1, 3, 4, 6, 7}


def test_every_pair_shows_as_something_and_is_found_by_it() -> None:
    for phase in STATUS_OF_PHASE:
        for task in ("", *TASKS):
            shown = wire(phase, task, "running")
            assert (phase, task) in pairs_of_status(shown.status)
            assert shown.vm_state == phase
            assert shown.power_state in POWER_STATES_OF_NOVA


@pytest.mark.parametrize(
    ("phase", "task", "status", "task_state"),
    [
        ("building", "create", "BUILD", "spawning"),
        ("active", "", "ACTIVE", None),
        ("active", "stop", "ACTIVE", "powering-off"),
        ("active", "reboot_soft", "REBOOT", "rebooting"),
        ("stopped", "reboot_hard", "HARD_REBOOT", "rebooting_hard"),
        ("active", "rebuild", "REBUILD", "rebuilding"),
        ("active", "resize", "RESIZE", "resize_migrating"),
        ("resized", "", "VERIFY_RESIZE", None),
        ("resized", "revert_resize", "REVERT_RESIZE", "resize_reverting"),
        ("active", "set_password", "PASSWORD", "updating_password"),
        ("active", "delete", "ACTIVE", "deleting"),
        ("shelved_offloaded", "", "SHELVED_OFFLOADED", None),
        ("error", "", "ERROR", None),
    ],
)
def test_what_clients_see(phase: str, task: str, status: str, task_state: str | None) -> None:
    shown = wire(phase, task, "")
    assert (shown.status, shown.task_state) == (status, task_state)


def test_nothing_is_allowed_to_the_deleted_and_everything_may_be_deleted() -> None:
    assert all("deleted" not in allowed.phases for allowed in ALLOWED.values())
    for phase in STATUS_OF_PHASE:
        for task in ("", *TASKS):
            assert (refusal("delete", "delete", "id", phase, task) == "") is (phase != "deleted")


def test_only_one_task_at_once() -> None:
    for action in ("start", "stop", "pause", "rebuild", "resize", "snapshot", "rescue", "shelve"):
        for phase in ALLOWED[action].phases:
            assert refusal(action, action, "id", phase, "") == ""
            assert "task_state" in refusal(action, action, "id", phase, "rebuild")


def test_every_task_ends_in_a_phase_that_exists_and_has_a_deadline() -> None:
    for name, task in TASKS.items():
        assert task.phase in ("", *STATUS_OF_PHASE), name
        assert task.failed_phase in ("", *STATUS_OF_PHASE), name
        assert task.deadline_s > 0
        assert task.power in ("", *POWER_STATES), name
