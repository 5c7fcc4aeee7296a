"""What is done next, as a table."""

from typing import Any

import pytest

from bivouac.agent.plan import (
    Action,
    AttachDisk,
    AttachPort,
    DetachDisk,
    DetachPort,
    Operate,
    Power,
    RemoveDisk,
    RemoveDisks,
    RemoveGuest,
    RemovePorts,
    Seen,
    Start,
    plan,
)
from bivouac.drivers.hypervisor import ObservedServer
from bivouac.hostspec.server import DiskSpec, OperationSpec, PortSpec, ServerSpec

ROOT, DATA = DiskSpec("root", 1), DiskSpec("data", 1)
PORT, OTHER = PortSpec("p1", "n", "fa:16:3e:00:00:01", 1400), PortSpec("p2", "n", "fa:16:3e:00:00:02", 1400)
REBOOT, NMI = OperationSpec("r1", "reboot_hard"), OperationSpec("n1", "nmi")


def spec(power: str = "running", **changes: Any) -> ServerSpec:
    values: dict[str, Any] = {"disks": (ROOT,), "ports": (PORT,)} | changes
    return ServerSpec("s", 3, power, 1, 64, **values)  # type: ignore[arg-type]


def guest(power: str = "running", **changes: Any) -> ObservedServer:
    there = power in ("running", "paused", "suspended")
    values: dict[str, Any] = {"disks": ("root",) if there else (), "ports": ("p1",) if there else (), "generation": 3}
    return ObservedServer("s", power, **(values | changes))  # type: ignore[arg-type]


def seen(what: ObservedServer | None = None, **changes: Any) -> Seen:
    values: dict[str, Any] = {"disks": ("root",), "ports": ("p1",)} | changes
    return Seen(what, **values)


NOTHING = Seen()
TABLE: list[tuple[str, ServerSpec | None, Seen, Action | None]] = [
    ("a new server is started", spec(), NOTHING, Start()),
    ("so is one that is to be paused", spec("paused"), NOTHING, Start()),
    ("one that runs is left alone", spec(), seen(guest()), None),
    ("a crashed one is started", spec(), seen(guest("crashed")), Start()),
    ("one that was stopped is started", spec(), seen(guest("stopped")), Start()),
    ("a suspended one is woken", spec(), seen(guest("suspended")), Start()),
    ("a paused one goes on", spec(), seen(guest("paused")), Start()),
    ("one that shut itself down rests", spec(), seen(guest("stopped", shut_itself_down=True), ports=()), None),
    ("its ports are shown as down", spec(), seen(guest("stopped", shut_itself_down=True)), RemovePorts(("p1",))),
    (
        "until it is wanted anew",
        spec(),
        seen(guest("stopped", shut_itself_down=True, generation=2), ports=()),
        Start(),
    ),
    ("a running one is paused", spec("paused"), seen(guest()), Power("paused")),
    ("a suspended one is woken to be paused", spec("paused"), seen(guest("suspended")), Start()),
    ("a running one is suspended", spec("suspended"), seen(guest()), Power("suspended")),
    ("a paused one too", spec("suspended"), seen(guest("paused")), Power("suspended")),
    ("a suspended one stays so", spec("suspended"), seen(guest("suspended")), None),
    ("a card taken from it has no port", spec("suspended", ports=()), seen(guest("suspended")), RemovePorts(("p1",))),
    ("a paused one keeps its port", spec("paused", ports=()), seen(guest("paused")), None),
    ("a running one is stopped", spec("stopped"), seen(guest()), Power("stopped")),
    ("a suspended one too", spec("stopped"), seen(guest("suspended")), Power("stopped")),
    ("a crashed one comes to rest", spec("stopped"), seen(guest("crashed"), ports=()), Power("stopped")),
    ("a stopped one gives up its ports", spec("stopped"), seen(guest("stopped")), RemovePorts(("p1",))),
    ("and then stays so", spec("stopped"), seen(guest("stopped"), ports=()), None),
    ("one that was never there stays so", spec("stopped"), NOTHING, None),
    ("a disk is attached", spec(disks=(ROOT, DATA)), seen(guest()), AttachDisk(DATA)),
    ("a disk is detached", spec(), seen(guest(disks=("root", "data")), disks=("root", "data")), DetachDisk("data")),
    ("but not while paused", spec("paused"), seen(guest("paused", disks=("root", "data"))), None),
    ("its file goes after it", spec(), seen(guest(), disks=("root", "data")), RemoveDisk("data")),
    ("not while the guest has it", spec("paused"), seen(guest("paused", disks=("root", "x")), disks=("x",)), None),
    ("a config drive belongs there", spec(config_drive=True), seen(guest(disks=("root", "config"))), None),
    ("a port is attached", spec(ports=(PORT, OTHER)), seen(guest()), AttachPort(OTHER)),
    ("a port that lost its plug gets it back", spec(), seen(guest(), ports=()), AttachPort(PORT)),
    ("a port is detached", spec(ports=()), seen(guest()), DetachPort("p1")),
    ("its plug goes after it", spec(ports=()), seen(guest(ports=())), RemovePorts(("p1",))),
    ("an operation comes first", spec(operations=(REBOOT,)), seen(guest()), Operate(REBOOT)),
    ("in order", spec(operations=(REBOOT, NMI)), seen(guest(), finished=frozenset({"r1"})), Operate(NMI)),
    ("and once", spec(operations=(REBOOT,)), seen(guest(), finished=frozenset({"r1"})), None),
    ("whatever the power", spec("stopped", operations=(NMI,)), seen(guest("stopped")), Operate(NMI)),
    ("what nobody wants goes: first the guest", None, seen(guest()), RemoveGuest()),
    ("also a stopped one", spec("absent"), seen(guest("stopped")), RemoveGuest()),
    ("then its ports", spec("absent"), seen(), RemovePorts(("p1",))),
    ("then its disks", spec("absent"), seen(ports=()), RemoveDisks()),
    ("then it is gone", spec("absent", operations=(REBOOT,)), NOTHING, None),
    ("the unknown too", None, NOTHING, None),
]


@pytest.mark.parametrize(("what", "wanted", "is_there", "action"), TABLE, ids=[row[0] for row in TABLE])
def test_plan(what: str, wanted: ServerSpec | None, is_there: Seen, action: Action | None) -> None:
    assert plan(wanted, is_there) == action
