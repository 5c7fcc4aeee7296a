"""What a report makes of a server: pure, case by case."""

from typing import Any

import pytest

from bivouac.compute.records import FlavorShape, Server
from bivouac.compute.reports import settle
from bivouac.hostspec.server import OperationReport, ServerReport

FLAVOR = FlavorShape(id="f", name="f", memory_mib=64, vcpus=1, root_gib=1)


def server(**fields: Any) -> Server:
    known: dict[str, Any] = {
        "id": "s", "project_id": "p", "user_id": "u", "name": "n", "hostname": "n", "created_at": 1.0,
        "updated_at": 1.0, "reservation_id": "r", "flavor": FLAVOR, "flavor_id": "f", "vcpus": 1, "memory_mib": 64,
        "host": "h", "generation": 5, "observed_generation": 4, "deadline": 99.0,
    }  # fmt: skip
    return Server(**{**known, **fields})


def report(generation: int, power: str, fault: str = "") -> ServerReport:
    return ServerReport("s", generation, power, fault=fault)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "said", "operation", "phase", "task", "power_wanted"),
    [
        # Reached.
        ({"task": "create"}, report(5, "running"), None, "active", "", "running"),
        ({"task": "stop", "phase": "active", "power_wanted": "stopped"}, report(5, "stopped"), None, "stopped", "",
         "stopped"),
        # Not yet: of an older generation, or of another power.
        ({"task": "create"}, report(4, "running"), None, "building", "create", "running"),
        ({"task": "create"}, report(5, "building"), None, "building", "create", "running"),
        # Failed.
        ({"task": "create"}, report(5, "stopped", "no"), None, "error", "", "running"),
        ({"task": "snapshot", "phase": "active"}, report(5, "running"), OperationReport("a", "failed", "full"),
         "active", "", "running"),
        # An operation must be done, whatever the power.
        ({"task": "reboot_hard", "phase": "active"}, report(5, "running"), None, "active", "reboot_hard", "running"),
        ({"task": "reboot_hard", "phase": "active"}, report(5, "running"), OperationReport("a", "running"), "active",
         "reboot_hard", "running"),
        ({"task": "reboot_hard", "phase": "active"}, report(5, "running"), OperationReport("a", "done"), "active", "",
         "running"),
        # The guest went by itself, and stays so.
        ({"observed_generation": 5, "phase": "active"}, report(5, "stopped"), None, "stopped", "", "stopped"),
        ({"observed_generation": 5, "phase": "active"}, report(5, "crashed"), None, "stopped", "", "stopped"),
        # The host got there after all.
        ({"observed_generation": 5, "phase": "error"}, report(5, "running"), None, "active", "", "running"),
    ],
)  # fmt: skip
def test_settle(
    before: dict, said: ServerReport, operation: Any, phase: str, task: str, power_wanted: str
) -> None:
    after = settle(server(**before), said, operation, 10.0).server
    assert (after.phase, after.current_task, after.power_wanted) == (phase, task, power_wanted)


def test_an_older_report_changes_nothing_at_all() -> None:
    row = server(observed_generation=5, phase="active", power_observed="running")
    assert settle(row, report(4, "stopped"), None, 10.0).server is row


def test_the_same_report_twice_is_the_same_once() -> None:
    once = settle(server(task="create"), report(5, "running"), None, 10.0).server
    assert settle(once, report(5, "running"), None, 11.0).server == once


def test_a_restart_stops_first_and_goes_on_by_itself() -> None:
    row = server(task="resize", phase="active", restart=True)
    assert settle(row, report(5, "running"), None, 10.0).server.restart
    stopped = settle(row, report(5, "stopped"), None, 10.0).server
    assert (stopped.restart, stopped.generation, stopped.current_task) == (False, 6, "resize")
    assert settle(stopped, report(6, "running"), None, 10.0).server.phase == "resized"


def test_a_delete_ends_only_when_it_is_gone() -> None:
    row = server(task="delete", power_wanted="absent")
    assert not settle(row, report(5, "stopped"), None, 10.0).gone
    assert settle(row, report(5, "gone"), None, 10.0).gone
