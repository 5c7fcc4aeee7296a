"""The QEMU driver keeps the hypervisor contract, with real guests."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "drivers"))

from hypervisor_contract import HypervisorContract, eventually

from bivouac.core.ids import new_uuid
from bivouac.drivers.hypervisor import AttachedDisk, GuestDevices
from bivouac.drivers.hypervisor.guest_user import give, guest_user
from bivouac.drivers.hypervisor.qemu import QemuHypervisor
from bivouac.drivers.hypervisor.qemu.accelerator import Verdict, try_accelerator
from bivouac.drivers.hypervisor.qemu.state import processes_below
from bivouac.guestimage.tiny import COMMAND_LINE, TinyImage, build_tiny
from bivouac.hostspec.server import PortSpec, ServerSpec

READY = b"guest: READY"


@pytest.fixture(scope="module")
def image() -> Iterator[TinyImage]:
    folder = Path(tempfile.mkdtemp(prefix="bivouac-image-"))
    folder.chmod(0o755)
    yield build_tiny(folder)
    shutil.rmtree(folder)


class QemuHost:
    """A state directory that guests' users may walk through, which pytest's own is not."""

    def __init__(self, folder: Path, image: TinyImage):
        self.folder = folder
        self.image = image
        self.changed: list[str] = []
        self.taps: list[str] = []
        self.driver = self._driver()

    def _driver(self) -> QemuHypervisor:
        return QemuHypervisor(self.folder, self.changed.append, verdict=Verdict("tcg", "tests"))

    async def restart(self) -> None:
        await self.driver.stop()
        self.driver = self._driver()
        await self.driver.start()

    def spec(self) -> ServerSpec:
        port = PortSpec(new_uuid(), "net", "fa:16:3e:00:00:01", 1442)
        return ServerSpec(new_uuid(), 1, "running", 1, 256, ports=(port,), kernel_command_line=COMMAND_LINE)

    def devices(self, spec: ServerSpec) -> GuestDevices:
        kernel, ramdisk = str(self.image.kernel_elf), str(self.image.initramfs)
        taps = {port.id: self.tap(port) for port in spec.ports}
        return GuestDevices((self.disk(spec.id, "root"),), taps, kernel, ramdisk)

    def disk(self, server_id: str, name: str) -> AttachedDisk:
        path = self.folder / f"{server_id}-{name}.raw"
        if not path.exists():
            path.write_bytes(b"data")
            os.truncate(path, 32 << 20)
            give(path, guest_user(server_id))
            path.chmod(0o600)
        return AttachedDisk(name, str(path), "raw", serial=name)

    def tap(self, port: PortSpec) -> str:
        name = "tap" + port.id[:11]
        if name not in self.taps:
            subprocess.run(["ip", "tuntap", "add", name, "mode", "tap"], check=True)
            self.taps.append(name)
        return name

    async def booted(self, server_id: str, times: int = 1) -> None:
        async def look() -> bool:
            return (await self.driver.console_log(server_id, 1 << 20)).count(READY) >= times

        await eventually(f"boot {times}", look, 90)

    async def kill(self, server_id: str) -> None:
        os.kill(processes_below(self.folder / "guests")[server_id], signal.SIGKILL)

    async def switch_off_inside(self, server_id: str) -> None:
        guest = self.driver._guests[server_id]
        await guest.monitor.execute("system_powerdown")

    def leftovers(self) -> list[str]:
        found = [str(path) for path in (self.folder / "guests").iterdir()]
        return found + [str(pid) for pid in processes_below(self.folder / "guests").values()]


@pytest.mark.skipif(os.geteuid() != 0, reason="taps and guests' users need root")
class TestQemu(HypervisorContract):
    @pytest.fixture(autouse=True)
    def _host(self, image: TinyImage) -> None:
        @asynccontextmanager
        async def qemu_host(_: Path) -> AsyncIterator[QemuHost]:
            folder = Path(tempfile.mkdtemp(prefix="bivouac-guests-"))
            folder.chmod(0o711)
            host = QemuHost(folder, image)
            await host.driver.start()
            try:
                yield host
            finally:
                for server_id in await host.driver.observe_servers():
                    await host.driver.remove_server(server_id)
                await host.driver.stop()
                for tap in host.taps:
                    subprocess.run(["ip", "link", "del", tap], check=True)
                shutil.rmtree(folder)

        self.host = qemu_host

    def test_consoles_password_and_pictures(self, tmp_path: Path) -> None:
        async def body(host: QemuHost, spec: ServerSpec) -> None:
            driver = host.driver
            await driver.ensure_running(spec, host.devices(spec))
            await host.booted(spec.id)
            reader, writer = await asyncio.open_unix_connection(await driver.console_socket(spec.id, "vnc"))
            assert (await reader.readexactly(12)).startswith(b"RFB 003.")
            writer.close()
            assert (await driver.screenshot(spec.id)).startswith(b"\x89PNG")
            await driver.set_password(spec.id, "cirros", "another one")
            reader, writer = await asyncio.open_unix_connection(await driver.console_socket(spec.id, "serial"))
            for expected, answer in (("login: ", "cirros"), ("assword: ", "another one"), ("$ ", "id -un")):
                writer.write(b"\n" if expected == "login: " else b"")
                await asyncio.wait_for(reader.readuntil(expected.encode()), 30)
                writer.write(answer.encode() + b"\n")
            await asyncio.wait_for(reader.readuntil(b"\ncirros"), 30)
            writer.close()
            seen = await driver.diagnostics(spec.id)
            assert (seen["num_cpus"], seen["num_disks"], seen["num_nics"]) == (1, 1, 1)
            await driver.inject_nmi(spec.id)

        self.run(body, tmp_path)

    def test_a_guest_runs_as_a_user_of_its_own_in_a_session_of_its_own(self, tmp_path: Path) -> None:
        async def body(host: QemuHost, spec: ServerSpec) -> None:
            await host.driver.ensure_running(spec, host.devices(spec))
            pid = processes_below(host.folder / "guests")[spec.id]
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
            )
            user = str(guest_user(spec.id))
            assert status["Uid"].split() == [user] * 4 and status["Gid"].split() == [user] * 4
            assert status["Groups"].strip() == "" and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
            assert os.getsid(pid) == pid != os.getsid(0)

        self.run(body, tmp_path)

    def test_a_broken_kernel_is_a_fault_in_plain_words(self, tmp_path: Path) -> None:
        async def body(host: QemuHost, spec: ServerSpec) -> None:
            from bivouac.drivers.hypervisor import DriverError

            good = host.devices(spec)
            text = host.folder / "text"
            text.write_text("not a kernel")
            text.chmod(0o644)
            with pytest.raises(DriverError) as caught:
                await host.driver.ensure_running(spec, GuestDevices(good.disks, good.taps, str(text)))
            assert str(host.folder) not in caught.value.public
            assert (await host.driver.observe_servers())[spec.id].power == "stopped"
            await host.driver.ensure_running(spec, good)
            await host.driver.remove_server(spec.id)
            assert host.leftovers() == []

        self.run(body, tmp_path)


def test_the_probe_really_runs_a_guest() -> None:
    assert try_accelerator("tcg", 20, "qemu-system-x86_64") == (True, "a 64-bit guest ran")
    assert not try_accelerator("tcg", 20, "/nowhere/qemu")[0]
