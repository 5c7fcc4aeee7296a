"""The agent above real disks and real guests: it stops at every side effect, and nothing is left over.

The network is taps and no switch: what OVN does with them has its own tests.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

# ruff: noqa: E402 - what follows lies there
sys.path[:0] = [str(Path(__file__).parents[1] / "unit" / name) for name in ("agent", "drivers")]

from crash.side_effects import covers
from hosts import complete, eventually

from bivouac.agent import loop as loops
from bivouac.agent.loop import HostLoop
from bivouac.agent.metadata.drive import config_drive
from bivouac.agent.operations import Operations
from bivouac.agent.perform import Drivers, Performer
from bivouac.core.clock import Clock
from bivouac.core.crash import Crashed, arm
from bivouac.core.ids import new_uuid
from bivouac.drivers.disk.local import LocalDisks
from bivouac.drivers.hypervisor.qemu import QemuHypervisor
from bivouac.drivers.hypervisor.qemu.accelerator import Verdict
from bivouac.drivers.hypervisor.qemu.state import processes_below
from bivouac.drivers.net.sim import SimNetDriver
from bivouac.guestimage.tiny import COMMAND_LINE, TinyImage, build_tiny
from bivouac.hostspec.server import (
    DiskSpec,
    GuestMetadata,
    ImageRef,
    OperationSpec,
    PortSpec,
    ServerReport,
    ServerSpec,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="taps and guests' users need root")
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def image() -> Iterator[TinyImage]:
    folder = Path(tempfile.mkdtemp(prefix="bivouac-image-"))
    yield build_tiny(folder)
    shutil.rmtree(folder)


class TapNet(SimNetDriver):
    """Real taps, no switch."""

    async def ensure_port(self, server_id: str, port: PortSpec) -> str:
        tap = await super().ensure_port(server_id, port)
        if tap not in taps():
            MADE.add(tap)
            subprocess.run(["ip", "tuntap", "add", tap, "mode", "tap"], check=True)
        return tap

    async def remove_port(self, port_id: str) -> None:
        tap = (await self.observe_ports()).get(port_id)
        if tap in taps():
            subprocess.run(["ip", "link", "del", tap], check=True)
        await super().remove_port(port_id)


MADE: set[str] = set()
"""Taps of this process: another worker's tests may have some of the same kind."""


def taps() -> list[str]:
    return [name for name in os.listdir("/sys/class/net") if name in MADE]


class RealHost:
    """One state directory, and agents that come and go above it."""

    def __init__(self, image: TinyImage):
        self.folder = Path(tempfile.mkdtemp(prefix="bivouac-agent-"))
        self.folder.chmod(0o711)
        self.net = TapNet()
        self.reports: list[ServerReport] = []
        self.loop: HostLoop
        self.hypervisor: QemuHypervisor
        self.uploads: dict[str, int] = {}
        self.files: dict[str, Path] = {}
        self.disk = self._image("guest", image.disk, "qcow2")
        self.kernel = self._image("kernel", image.kernel_elf, "aki")
        self.ramdisk = self._image("ramdisk", image.ramdisk, "ari")

    def _image(self, id: str, path: Path, disk_format: str) -> ImageRef:
        self.files[id] = path
        return ImageRef(id, disk_format, path.stat().st_size, hashlib.sha512(path.read_bytes()).hexdigest())

    def spec(self, id: str) -> ServerSpec:
        return ServerSpec(
            id, 1, "running", 1, 256,
            disks=(DiskSpec("root", 1 << 30, image=self.disk, boot_index=0),),
            ports=(PortSpec("host-" + new_uuid()[:6], "net", "fa:16:3e:00:00:01", 1442),),
            metadata=GuestMetadata(hostname="camp.example.org", name="camp", project_id="p", availability_zone="nova"),
            kernel=self.kernel, ramdisk=self.ramdisk, kernel_command_line=COMMAND_LINE, config_drive=True,
            stop_timeout_s=1.0,
        )  # fmt: skip

    async def start_agent(self) -> None:
        self.hypervisor = QemuHypervisor(
            self.folder, lambda id: self.loop.guest_changed(id), verdict=Verdict("tcg", "tests")
        )
        await self.hypervisor.start()
        disks = LocalDisks(self.folder, lambda spec: config_drive(spec, b"seed"))
        operations = Operations(self.folder / "operations.json")
        performer = Performer(
            Drivers(self.hypervisor, disks, self.net), operations, self.folder, self.fetch, self.upload
        )
        self.loop = HostLoop(performer, Clock(), self.reports.append, self.serve)
        await self.loop.start()

    async def stop_agent(self) -> None:
        await self.loop.stop()
        await self.hypervisor.stop()

    async def fetch(self, image: ImageRef) -> AsyncIterator[bytes]:
        async def chunks() -> AsyncIterator[bytes]:
            with self.files[image.id].open("rb") as file:
                while data := file.read(1 << 20):
                    yield data

        return chunks()

    async def upload(self, image_id: str, path: Path) -> None:
        subprocess.run(["qemu-img", "check", "-q", str(path)], check=True)
        self.uploads[image_id] = path.stat().st_size

    async def serve(self, network_id: str, listening: Any) -> None:
        return

    async def converge(self, *specs: ServerSpec) -> None:
        await self.loop.want(complete(*specs))
        await self.loop.idle()

    def leftovers(self) -> list[str]:
        """All that a host without servers should not have."""
        found = [str(path) for name in ("guests", "disks") for path in (self.folder / name).rglob("*")]
        found += [str(path) for path in self.folder.iterdir() if path.suffix in (".qcow2", ".new", ".partial")]
        found += [path.name for path in (self.folder / "images").iterdir() if path.name.startswith(".")]
        return found + [str(pid) for pid in processes_below(self.folder / "guests").values()] + taps()


@asynccontextmanager
async def real_host(image: TinyImage) -> AsyncIterator[RealHost]:
    host = RealHost(image)
    await host.start_agent()
    try:
        yield host
    finally:
        await host.stop_agent()
        await host.start_agent()
        await host.converge()
        await host.stop_agent()
        for tap in taps():
            subprocess.run(["ip", "link", "del", tap], check=True)
        shutil.rmtree(host.folder)


def test_a_server_boots_from_its_image_reads_its_config_drive_and_is_snapshotted(image: TinyImage) -> None:
    async def body() -> None:
        async with real_host(image) as host:
            spec = host.spec(new_uuid())
            await host.converge(spec)
            report = host.reports[-1]
            assert (report.power, report.fault, report.disks) == ("running", "", ("root", "config"))

            def console() -> bytes:
                path = host.folder / "guests" / spec.id / "run" / "console.log"
                return path.read_bytes() if b"guest: READY" in path.read_bytes() else b""

            text = await eventually("boot", console, 90)
            assert b"DATASOURCE config-drive" in text and b"GROWROOT" in text
            operation = OperationSpec("op-1", "snapshot", {"image_id": "copy", "disk_format": "qcow2"})
            await host.converge(replace(spec, generation=2, operations=(operation,)))
            assert host.reports[-1].operations[0].state == "done" and host.uploads["copy"] > 10 << 20
            await host.converge()
            assert host.leftovers() == []

    asyncio.run(body())


def test_a_crash_at_every_side_effect_leaves_nothing_over(image: TinyImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "FIRST_RETRY_S", 0.01)

    async def tell(crash_at: int) -> tuple[arm, int, str]:
        async with real_host(image) as host:
            spec = host.spec(new_uuid())
            restarts = 0
            pid = 0
            with arm(crash_at) as count:
                for power in ("running", "paused", "suspended", "running", "stopped", "absent"):
                    spec = replace(spec, generation=spec.generation + 1, power=power)
                    try:
                        await host.converge(spec)
                    except Crashed:
                        restarts += 1
                        await host.stop_agent()
                        await host.start_agent()
                        await host.converge(spec)
                    report = host.reports[-1]
                    assert (report.fault, report.observed_generation) == ("", spec.generation), report
                    assert report.power == ("gone" if power == "absent" else power)
                    if power == "running" and not pid:
                        pid = processes_below(host.folder / "guests")[spec.id]
                assert host.leftovers() == []
            return count, restarts, spec.id

    count, _, _ = asyncio.run(tell(0))
    covers("guest's life", count)
    smooth = count.seen
    assert len(smooth) >= 15
    for n in range(1, len(smooth) + 1):
        try:
            _, restarts, _ = asyncio.run(tell(n))
        except BaseException as error:
            error.add_note(f"crash {n} of {len(smooth)}, at {smooth[n - 1]!r}")
            raise
        assert restarts == 1, smooth[n - 1]


def test_a_crash_at_every_side_effect_of_what_is_done_to_a_running_guest(
    image: TinyImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices that come and go and operations, over and over on one guest, which outlives every agent."""
    monkeypatch.setattr(loops, "FIRST_RETRY_S", 0.01)

    async def body() -> list[arm]:
        async with real_host(image) as host:
            spec = host.spec(new_uuid())
            await host.converge(spec)
            console = host.folder / "guests" / spec.id / "run" / "console.log"
            await eventually("boot", lambda: b"guest: READY" in console.read_bytes(), 180)

            async def say(n: int, *changes: dict[str, Any]) -> arm:
                nonlocal spec
                with arm(n) as point:
                    for change in changes:
                        spec = replace(spec, generation=spec.generation + 1, **change)
                        try:
                            await host.converge(spec)
                        except Crashed:
                            await host.stop_agent()
                            await host.start_agent()
                            await host.converge(spec)
                        report = host.reports[-1]
                        assert (report.fault, report.observed_generation) == ("", spec.generation), report
                        assert all(one.state == "done" for one in report.operations), report
                return point

            def operation(kind: str, **arguments: str) -> dict[str, Any]:
                one = OperationSpec(f"{kind}-{spec.generation}-{new_uuid()}", kind, arguments)  # type: ignore[arg-type]
                return {"operations": (one,)}

            few = {"disks": spec.disks, "ports": spec.ports}
            more = {
                "disks": (*spec.disks, DiskSpec("data", 1 << 20, kind="volume")),
                "ports": (*spec.ports, PortSpec("host-" + new_uuid()[:6], "net", "fa:16:3e:00:00:02", 1442)),
            }
            n, points = 0, []
            while not points:
                n += 1
                point = await say(
                    n, more, few, operation("set_password", user="cirros", password="another one"), operation("nmi"),
                    operation("snapshot", image_id="copy", disk_format="qcow2"), {"operations": ()},
                )  # fmt: skip
                assert processes_below(host.folder / "guests")[spec.id] == host.hypervisor._guests[spec.id].state.pid
                assert (host.reports[-1].disks, len(host.reports[-1].ports)) == (("root", "config"), 1)
                if len(point.seen) < n:
                    points.append(point)
            points.append(await say(1, operation("reboot_hard"), {"operations": ()}))
            points.append(await say(1, {"power": "absent"}))
            assert host.leftovers() == []
            return points

    covers("running guest", *asyncio.run(body()))


def test_a_running_guest_does_not_notice_that_the_agent_restarts(image: TinyImage) -> None:
    async def body() -> None:
        async with real_host(image) as host:
            spec = host.spec(new_uuid())
            await host.converge(spec)
            before = processes_below(host.folder / "guests")
            for _ in range(3):
                await host.stop_agent()
                with arm() as count:
                    await host.start_agent()
                    await host.converge(spec)
                assert count.seen == [] and processes_below(host.folder / "guests") == before
            assert host.reports[-1].power == "running"

    asyncio.run(body())
