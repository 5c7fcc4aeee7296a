"""The agent stops at its n-th side effect, for every n; a new one takes over, and nothing is left over or done twice.

The drivers are the host: they live on. tests/real has the same with real files and processes.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "agent"))

from crash.side_effects import covers
from hosts import SimHost, network, server

from bivouac.agent import loop as loops
from bivouac.core.crash import Crashed, arm
from bivouac.hostspec.link import Wanted
from bivouac.hostspec.server import DiskSpec, OperationSpec, PortSpec, ServerSpec

replace = msgspec.structs.replace
PORTS = tuple(PortSpec(f"port-{n}", "net-1", f"fa:16:3e:00:00:0{n}", 1442) for n in (1, 2))
DATA = DiskSpec("data", 1 << 20, kind="volume")
FIRST = server("server-1", ports=PORTS[:1], config_drive=True)
SECOND = server("server-2", ports=())


def story(*changes: dict[str, Any]) -> list[ServerSpec]:
    """The first server as it is wanted one generation after the other."""
    specs = [FIRST]
    for change in changes:
        specs.append(replace(specs[-1], generation=specs[-1].generation + 1, **change))
    return specs


STORIES = {
    "create": story(),
    "create and delete": story({"power": "absent"}),
    "pause, resume, stop": story({"power": "paused"}, {"power": "running"}, {"power": "stopped"}),
    "suspend and resume": story({"power": "suspended"}, {"power": "running"}),
    "devices": story({"disks": (*FIRST.disks, DATA), "ports": PORTS}, {"disks": FIRST.disks, "ports": PORTS[1:]}),
    "reboot": story({"operations": (OperationSpec("op-1", "reboot_hard"),)}, {"operations": ()}),
    "rebuild": story({"operations": (OperationSpec("op-1", "rebuild"),)}),
    "snapshot": story({"operations": (OperationSpec("op-1", "snapshot", {"image_id": "image-2"}),)}),
    "password and interrupt": story(
        {"operations": (OperationSpec("op-1", "set_password", {"user": "u", "password": "p"}),)},
        {"operations": (OperationSpec("op-2", "nmi"),)},
    ),
    "stop, start, delete": story({"power": "stopped"}, {"power": "running"}, {"power": "absent"}),
}


async def tell(
    folder: Path, specs: list[ServerSpec], crash_at: int, twice: bool = False
) -> tuple[dict[str, Any], arm]:
    """Tell the host what is wanted, one after the other, with a crash on the way; all that it has in the end."""
    host = SimHost(folder)
    restarts = 0
    await host.start_agent()

    async def converge(spec: ServerSpec, gone: bool) -> None:
        listed = (SECOND,) if gone else (SECOND, spec)
        await host.loop.want(Wanted(complete=True, servers=listed, networks=(network(),)))
        await host.loop.idle()

    with arm(crash_at) as count:
        gone = False
        for spec in specs:
            for _ in range(2 if twice else 1):
                try:
                    await converge(spec, gone)
                except Crashed:
                    restarts += 1
                    await host.loop.stop()
                    await host.start_agent()
                    await converge(spec, gone)
            report = host.report(spec.id)
            assert report is not None and report.observed_generation == spec.generation and not report.fault
            gone = report.power == "gone"
        await host.loop.stop()
    assert restarts == (1 if crash_at else 0)
    return await host.everything(), count


def world(everything: dict[str, Any]) -> dict[str, Any]:
    """What counts of it: which generation a guest was last started for depends on who started it."""
    guests = {id: (one.power, set(one.ports), set(one.disks)) for id, one in everything["guests"].items()}
    return {**everything, "guests": guests, "disks": {id: sorted(names) for id, names in everything["disks"].items()}}


@pytest.mark.parametrize("name", STORIES)
def test_a_crash_at_every_side_effect_converges(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "FIRST_RETRY_S", 0.001)
    specs = STORIES[name]
    (tmp_path / "smooth").mkdir()
    smooth, count = asyncio.run(tell(tmp_path / "smooth", specs, 0))
    effects = count.seen
    covers(f"agent: {name}", count)
    assert len(effects) >= 6
    for n in range(1, len(effects) + 1):
        folder = tmp_path / str(n)
        folder.mkdir()
        crashed, point = asyncio.run(tell(folder, specs, n))
        seen = point.seen
        assert world(crashed) == world(smooth), f"crash {n} at {effects[n - 1]!r}"
        over = Counter(seen) - Counter(effects) - Counter([seen[n - 1]])
        assert not over - Counter(_REPEATED), f"crash {n} at {effects[n - 1]!r} did more than once: {over}"


_REPEATED = ["reset guest", "snapshot file", "upload image", "remove guest", "remove disk", "stop guest"]
_REPEATED += ["set password", "nmi"]
"""What belongs to operations that were cut off before they were recorded: they are executed again."""


@pytest.mark.parametrize("name", STORIES)
def test_every_step_twice_is_as_once(name: str, tmp_path: Path) -> None:
    for kind in ("once", "twice"):
        (tmp_path / kind).mkdir()
    once, effects = asyncio.run(tell(tmp_path / "once", STORIES[name], 0))
    twice, again = asyncio.run(tell(tmp_path / "twice", STORIES[name], 0, twice=True))
    assert world(once) == world(twice) and Counter(effects.seen) == Counter(again.seen)
