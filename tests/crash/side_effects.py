"""Which side effect is crashed by which test: every one that the source names must be in this table.

A test that crashes at every side effect of a run gives what it saw to `covers`, which holds the table true;
`test_coverage` holds it complete.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import bivouac
from bivouac.core.crash import arm

SOURCE = Path(bivouac.__file__).parent


@cache
def sites() -> dict[tuple[str, int], str]:
    """(module, line) of every call of `side_effect` -> `module: name`, as the source has the name."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        module = ".".join(("bivouac", *parts)).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "side_effect":
                name = ast.unparse(node.args[0]).removeprefix("f").strip("'\"")
                for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                    found[module, line] = f"{module.removeprefix('bivouac.')}: {name}"
    return found


def covers(test: str, *armed: arm) -> None:
    """The run of a crash test passed all side effects that the table says it crashes at."""
    seen = {sites()[site] for one in armed for site in one.sites}
    missed = COVERED[test] - seen
    assert not missed, f"{test} no longer crashes at {sorted(missed)}"


COVERED: dict[str, frozenset[str]] = {
    "a server's life in control": frozenset(
        {
            "compute.hosts: commit reports",
            "compute.hosts: commit welcome",
            "compute.loops: tell host",
        }
    ),
    "welcome": frozenset(),
    "deadlines": frozenset(
        {
            "compute.loops: commit deadline",
        }
    ),
    "cleanup": frozenset(
        {
            "compute.loops: commit cleanup",
        }
    ),
    "projection": frozenset(
        {
            "network.projection.loop: northbound",
            "network.projection.loop: port states",
        }
    ),
    "simulated projection": frozenset(
        {
            "network.projection.simulated: port states",
        }
    ),
    "identity upkeep": frozenset(
        {
            "identity.loops: commit upkeep",
            "identity.loops: commit upkeep of the vault",
        }
    ),
    "image loops, store sound": frozenset(
        {
            "core.blobs: blob adopt",
            "core.blobs: blob commit",
            "core.blobs: blob delete",
            "image.importing: commit cached",
            "image.importing: commit claim of image",
            "image.importing: commit copy",
            "image.importing: commit failed import",
            "image.importing: commit import",
            "image.importing: commit what is not cached",
            "image.loops: commit claim of task",
            "image.loops: commit forgotten task",
            "image.loops: commit garbage",
            "image.loops: commit given up transfer",
            "image.loops: commit orphans",
            "image.loops: commit smaller cache",
        }
    ),
    "image loops, store broken": frozenset(
        {
            "image.importing: commit refused copy",
        }
    ),
    "agent: create": frozenset(
        {
            "drivers.disk.sim: fetch image",
            "drivers.disk.sim: make disk",
            "drivers.hypervisor.sim: start guest",
            "drivers.net.sim: plug {tap}",
        }
    ),
    "agent: create and delete": frozenset(
        {
            "drivers.disk.sim: remove disks",
            "drivers.hypervisor.sim: remove guest",
            "drivers.net.sim: unplug {self._ports[port_id]}",
        }
    ),
    "agent: devices": frozenset(
        {
            "drivers.disk.sim: remove disk",
            "drivers.hypervisor.sim: plug disk",
            "drivers.hypervisor.sim: plug port",
            "drivers.hypervisor.sim: unplug disk",
            "drivers.hypervisor.sim: unplug port",
        }
    ),
    "agent: password and interrupt": frozenset(
        {
            "agent.operations: forget operations",
            "agent.operations: record operation",
            "drivers.hypervisor.sim: nmi",
            "drivers.hypervisor.sim: set password",
        }
    ),
    "agent: pause, resume, stop": frozenset(
        {
            "drivers.hypervisor.sim: pause guest",
            "drivers.hypervisor.sim: stop guest",
            "drivers.hypervisor.sim: wake guest",
        }
    ),
    "agent: reboot": frozenset(
        {
            "drivers.hypervisor.sim: reset guest",
        }
    ),
    "agent: rebuild": frozenset(),
    "agent: snapshot": frozenset(
        {
            "agent.perform: upload image",
            "drivers.hypervisor.sim: snapshot file",
        }
    ),
    "agent: stop, start, delete": frozenset(),
    "agent: suspend and resume": frozenset(
        {
            "drivers.hypervisor.sim: suspend guest",
        }
    ),
    "disks": frozenset(
        {
            "drivers.disk.local.driver: disk directory",
            "drivers.disk.local.driver: grow disk",
            "drivers.disk.local.driver: make config drive",
            "drivers.disk.local.driver: make disk",
            "drivers.disk.local.driver: name disk",
            "drivers.disk.local.driver: remove disk",
            "drivers.disk.local.driver: remove disks",
            "drivers.disk.local.images: fetch image",
            "drivers.disk.local.images: keep image",
        }
    ),
    "unused images": frozenset(
        {
            "drivers.disk.local.images: remove image",
        }
    ),
    "guest's life": frozenset(
        {
            "drivers.hypervisor.qemu.driver: pause guest",
            "drivers.hypervisor.qemu.driver: power button",
            "drivers.hypervisor.qemu.driver: remove guest directory",
            "drivers.hypervisor.qemu.guest: end qemu",
            "drivers.hypervisor.qemu.guest: guest directory",
            "drivers.hypervisor.qemu.guest: record the process",
            "drivers.hypervisor.qemu.guest: resume guest",
            "drivers.hypervisor.qemu.guest: start qemu",
            "drivers.hypervisor.qemu.snapshot: keep memory",
            "drivers.hypervisor.qemu.snapshot: save memory",
        }
    ),
    "running guest": frozenset(
        {
            "drivers.hypervisor.qemu.driver: kill qemu",
            "drivers.hypervisor.qemu.driver: nmi",
            "drivers.hypervisor.qemu.driver: reset guest",
            "drivers.hypervisor.qemu.driver: set password",
            "drivers.hypervisor.qemu.hotplug: plug disk",
            "drivers.hypervisor.qemu.hotplug: plug port",
            "drivers.hypervisor.qemu.hotplug: unplug disk",
            "drivers.hypervisor.qemu.hotplug: unplug port",
            "drivers.hypervisor.qemu.snapshot: finished snapshot",
            "drivers.hypervisor.qemu.snapshot: snapshot file",
        }
    ),
    "conversion": frozenset(
        {
            "drivers.net.ovn.central: convert {path.name}",
        }
    ),
    "network up and down": frozenset(
        {
            "drivers.net.ovn.central: create {path.name}",
            "drivers.net.ovn.daemons: end {watched.daemon.name}",
            "drivers.net.ovn.daemons: start {daemon.name}",
            "drivers.net.ovn.driver: create {tap}",
            "drivers.net.ovn.driver: remove {device}",
            "drivers.net.ovn.driver: remove {tap}",
            "drivers.net.ovn.gateway: address {device}",
            "drivers.net.ovn.gateway: forward",
            "drivers.net.ovn.gateway: masquerade",
            "drivers.net.ovn.gateway: unforward",
            "drivers.net.ovn.gateway: unmasquerade",
            "drivers.net.ovn.metadata: configure namespace {namespace}",
            "drivers.net.ovn.metadata: create namespace {namespace}",
            "drivers.net.ovn.metadata: create {device}",
            "drivers.net.ovn.metadata: remove namespace {namespace}",
            "drivers.net.ovn.metadata: remove {device}",
            "drivers.net.ovn.switch: add bridge {name}",
            "drivers.net.ovn.switch: configure the switch",
            "drivers.net.ovn.switch: create the switch",
            "drivers.net.ovn.switch: plug {plugged.device}",
            "drivers.net.ovn.switch: unplug {device}",
        }
    ),
}
"""Test -> what it crashes at that no test above it does."""
