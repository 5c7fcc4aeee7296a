"""What every hypervisor driver promises. The same tests run on `sim` here and on QEMU in tests/real."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from bivouac.core.ids import new_uuid
from bivouac.drivers.hypervisor import AttachedDisk, DriverError, GuestDevices, Hypervisor
from bivouac.hostspec.server import PortSpec, ServerSpec


async def eventually(what: str, look: Callable[[], Awaitable[Any]], timeout_s: float = 60.0) -> Any:
    """The first true answer; fails with what was seen last."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not (seen := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not in {timeout_s} s; seen last: {seen!r}"
        await asyncio.sleep(0.02)
    return seen


class Host(Protocol):
    """A host to test on."""

    driver: Hypervisor
    changed: list[str]

    async def restart(self) -> None:
        """A new driver over the same guests, as after a restart of the agent."""

    def spec(self) -> ServerSpec: ...

    def devices(self, spec: ServerSpec) -> GuestDevices: ...

    def disk(self, server_id: str, name: str) -> AttachedDisk: ...

    def tap(self, port: PortSpec) -> str: ...

    async def booted(self, server_id: str, times: int = 1) -> None:
        """Wait until the guest's system is up for the n-th time."""

    async def kill(self, server_id: str) -> None: ...

    async def switch_off_inside(self, server_id: str) -> None: ...

    def leftovers(self) -> list[str]:
        """Files and processes of guests."""
        ...


class HypervisorContract:
    host: Callable[..., AbstractAsyncContextManager[Host]]

    def run(self, test: Callable[[Host, ServerSpec], Awaitable[None]], *arguments: Any) -> None:
        async def main() -> None:
            async with self.host(*arguments) as host:
                await test(host, host.spec())

        asyncio.run(main())

    def test_a_life(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            driver = host.driver

            async def power() -> str:
                return (await driver.observe_servers())[spec.id].power

            assert await driver.observe_servers() == {}
            for _ in range(2):
                await driver.ensure_running(spec, host.devices(spec))
                assert await power() == "running"
            seen = (await driver.observe_servers())[spec.id]
            assert (seen.ports, seen.disks, seen.generation) == ((spec.ports[0].id,), ("root",), spec.generation)
            for verb, wanted in ((driver.ensure_paused, "paused"), (driver.ensure_suspended, "suspended")):
                for _ in range(2):
                    if await power() != wanted:
                        await verb(spec.id)
                    assert await power() == wanted
                await driver.ensure_running(msgspec.structs.replace(spec, generation=2), host.devices(spec))
                assert await power() == "running"
            for _ in range(2):
                await driver.ensure_stopped(spec.id, 0)
                assert await power() == "stopped"
            seen = (await driver.observe_servers())[spec.id]
            assert (seen.generation, seen.shut_itself_down) == (2, False)
            for _ in range(2):
                await driver.remove_server(spec.id)
                assert await driver.observe_servers() == {}
            assert host.leftovers() == []

        self.run(body, tmp_path)

    def test_guests_outlive_the_driver(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            await host.driver.ensure_running(spec, host.devices(spec))
            before = await host.driver.observe_servers()
            await host.restart()
            assert await host.driver.observe_servers() == before
            await host.driver.ensure_suspended(spec.id)
            await host.restart()
            assert (await host.driver.observe_servers())[spec.id].power == "suspended"
            await host.driver.ensure_running(spec, host.devices(spec))
            assert await host.driver.observe_servers() == before
            await host.driver.remove_server(spec.id)
            assert host.leftovers() == []

        self.run(body, tmp_path)

    def test_a_guest_wakes_without_the_card_that_was_taken_from_it_in_its_sleep(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            driver, devices = host.driver, host.devices(spec)
            await driver.ensure_running(spec, devices)
            await host.booted(spec.id)
            await driver.ensure_suspended(spec.id)
            without = msgspec.structs.replace(spec, generation=2, ports=())
            await driver.ensure_running(without, msgspec.structs.replace(devices, taps={}))
            seen = (await driver.observe_servers())[spec.id]
            assert seen.power == "running" and seen.ports == (spec.ports[0].id,)
            await driver.ensure_port_detached(spec.id, spec.ports[0].id)
            assert (await driver.observe_servers())[spec.id].ports == ()

        self.run(body, tmp_path)

    def test_devices_come_and_go(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            driver = host.driver
            await driver.ensure_running(spec, host.devices(spec))
            await host.booted(spec.id)
            port = PortSpec(new_uuid(), "net", "fa:16:3e:00:00:02", 1400)
            disk = host.disk(spec.id, new_uuid())
            for _ in range(2):
                await driver.ensure_disk_attached(spec.id, disk)
                await driver.ensure_port_attached(spec.id, port, host.tap(port))
                seen = (await driver.observe_servers())[spec.id]
                assert seen.disks == ("root", disk.name) and seen.ports == (spec.ports[0].id, port.id)
            await host.restart()
            driver = host.driver
            for _ in range(2):
                await driver.ensure_port_detached(spec.id, port.id)
                await driver.ensure_disk_detached(spec.id, disk.name)
                seen = (await driver.observe_servers())[spec.id]
                assert seen.disks == ("root",) and seen.ports == (spec.ports[0].id,)
            await driver.remove_server(spec.id)

        self.run(body, tmp_path)

    def test_reboots_keep_the_console_log(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            driver = host.driver
            await driver.ensure_running(spec, host.devices(spec))
            await host.booted(spec.id)
            before = await driver.console_log(spec.id, 1 << 20)
            assert before and await driver.console_log(spec.id, 10) == before[-10:]
            await driver.reboot(spec.id, False, 30)
            await host.booted(spec.id, 2)
            await driver.reboot(spec.id, True, 0)
            await host.booted(spec.id, 3)
            assert (await driver.console_log(spec.id, 1 << 20)).startswith(before)
            await driver.ensure_stopped(spec.id, 30)
            assert (await driver.console_log(spec.id, 1 << 20)).startswith(before)
            await driver.remove_server(spec.id)
            assert await driver.console_log(spec.id, 100) == b""

        self.run(body, tmp_path)

    def test_what_guests_do_by_themselves_is_seen_and_told(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            driver = host.driver

            async def seen(power: str) -> bool:
                return (await driver.observe_servers())[spec.id].power == power

            await driver.ensure_running(spec, host.devices(spec))
            await host.kill(spec.id)
            await eventually("crashed", lambda: seen("crashed"))
            assert "unexpectedly" in (await driver.observe_servers())[spec.id].reason and spec.id in host.changed
            await driver.ensure_running(spec, host.devices(spec))
            await host.booted(spec.id)
            host.changed.clear()
            await host.switch_off_inside(spec.id)
            await eventually("stopped", lambda: seen("stopped"))
            assert (await driver.observe_servers())[spec.id].shut_itself_down and host.changed
            await eventually("started again", lambda: seen_again(host, spec))
            await driver.remove_server(spec.id)
            assert host.leftovers() == []

        async def seen_again(host: Host, spec: ServerSpec) -> bool:
            await host.driver.ensure_running(spec, host.devices(spec))
            seen = (await host.driver.observe_servers())[spec.id]
            return seen.power == "running" and not seen.shut_itself_down

        self.run(body, tmp_path)

    def test_snapshots_of_running_and_of_stopped_guests(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            driver = host.driver
            await driver.ensure_running(spec, host.devices(spec))
            await driver.snapshot_disk(spec.id, "root", str(tmp_path / "running.qcow2"))
            await driver.ensure_stopped(spec.id, 0)
            await driver.snapshot_disk(spec.id, "root", str(tmp_path / "stopped.qcow2"))
            for name in ("running.qcow2", "stopped.qcow2"):
                assert (tmp_path / name).stat().st_size > 0
            await driver.remove_server(spec.id)
            assert host.leftovers() == []

        self.run(body, tmp_path)

    def test_refusals_say_why(self, tmp_path: Path) -> None:
        async def body(host: Host, spec: ServerSpec) -> None:
            driver = host.driver
            await driver.ensure_stopped("unknown", 10)
            await driver.remove_server("unknown")
            await driver.ensure_disk_detached("unknown", "root")
            refused = (
                lambda: driver.ensure_paused(spec.id),
                lambda: driver.ensure_suspended(spec.id),
                lambda: driver.reboot(spec.id, True, 0),
                lambda: driver.console_socket(spec.id, "vnc"),
                lambda: driver.diagnostics(spec.id),
                lambda: driver.screenshot(spec.id),
                lambda: driver.snapshot_disk(spec.id, "root", str(tmp_path / "none")),
                lambda: driver.set_password(spec.id, "root", "secret"),
                lambda: driver.inject_nmi(spec.id),
            )
            for verb in refused:
                with pytest.raises(DriverError) as caught:
                    await verb()
                assert caught.value.public.endswith(".") and str(tmp_path) not in caught.value.public
            devices = msgspec.structs.replace(host.devices(spec), taps={port.id: "no-such-tap" for port in spec.ports})
            if not devices.taps or type(driver).__name__ == "SimHypervisor":
                return
            with pytest.raises(DriverError) as caught:
                await driver.ensure_running(spec, devices)
            assert "network card" in caught.value.public
            assert (await driver.observe_servers())[spec.id].power == "stopped"
            await driver.remove_server(spec.id)
            assert host.leftovers() == []

        self.run(body, tmp_path)
