"""Doing what was planned: one action through the drivers. What is independent is done at the same time."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bivouac.core.crash import side_effect
from bivouac.drivers.disk import DiskDriver, Fetch
from bivouac.drivers.hypervisor import AttachedDisk, DriverError, GuestDevices, Hypervisor
from bivouac.drivers.net import NetDriver
from bivouac.hostspec.server import DiskSpec, OperationReport, OperationSpec, ServerSpec

from . import plan
from .operations import Operations

log = logging.getLogger(__name__)
TOO_LATE = "The host could not do this in time."


class Drivers(Struct, frozen=True):
    """What touches the host."""

    hypervisor: Hypervisor
    disk: DiskDriver
    net: NetDriver


Upload = Callable[[str, Path], Awaitable[None]]
"""Sends a file to control as the bytes of an image."""


class Performer:
    """Performs actions. `ports` is the agent's own view of what is plugged: port id -> server id."""

    def __init__(self, drivers: Drivers, operations: Operations, folder: Path | None, fetch: Fetch, upload: Upload):
        self.drivers = drivers
        self.operations = operations
        self.ports: dict[str, str] = {}
        self._folder = folder
        self._fetch = fetch
        self._upload = upload

    async def perform(self, server_id: str, spec: ServerSpec | None, action: plan.Action) -> None:
        """One action for one server. Raises DriverError."""
        drivers = self.drivers
        match action:
            case plan.Start():
                assert spec is not None
                guest = (await drivers.hypervisor.observe_servers()).get(server_id)
                paused = guest is not None and guest.power == "paused"  # it has all it needs, and has it open
                devices = GuestDevices((), {}) if paused else await self._devices(spec)
                await drivers.hypervisor.ensure_running(spec, devices)
            case plan.Power(to="stopped"):
                timeout_s = spec.stop_timeout_s if spec is not None else 0.0
                await drivers.hypervisor.ensure_stopped(server_id, timeout_s)
            case plan.Power(to="paused"):
                await drivers.hypervisor.ensure_paused(server_id)
            case plan.Power():
                await drivers.hypervisor.ensure_suspended(server_id)
            case plan.AttachDisk(disk=disk):
                assert spec is not None
                await drivers.hypervisor.ensure_disk_attached(server_id, await self._disk(spec, disk))
            case plan.DetachDisk(name=name):
                await drivers.hypervisor.ensure_disk_detached(server_id, name)
            case plan.AttachPort(port=port):
                tap = await self._plug(server_id, port)
                await drivers.hypervisor.ensure_port_attached(server_id, port, tap)
            case plan.DetachPort(port_id=port_id):
                await drivers.hypervisor.ensure_port_detached(server_id, port_id)
            case plan.Operate(operation=operation):
                assert spec is not None
                await self._operate(spec, operation)
            case plan.RemoveGuest():
                await drivers.hypervisor.remove_server(server_id)
            case plan.RemovePorts(port_ids=port_ids):
                await together(*(self._unplug(port_id) for port_id in port_ids))
            case plan.RemoveDisks():
                await drivers.disk.remove_disks(server_id)
            case plan.RemoveDisk(name=name):
                await drivers.disk.remove_disk(server_id, name)

    # --- devices

    async def _devices(self, spec: ServerSpec) -> GuestDevices:
        """Everything a guest starts with: disks, ports, kernel and ramdisk, all at the same time."""
        disks: list[DiskSpec | None] = [*spec.disks, *([None] if spec.config_drive else [])]
        files = [image for image in (spec.kernel, spec.ramdisk) if image is not None]
        attached, taps, paths = await together(
            together(*(self._disk(spec, disk) for disk in disks)),
            together(*(self._plug(spec.id, port) for port in spec.ports)),
            together(*(self.drivers.disk.ensure_image(image, self._fetch) for image in files)),
        )
        named = iter(paths)
        return GuestDevices(
            disks=tuple(attached),
            taps={port.id: tap for port, tap in zip(spec.ports, taps, strict=True)},
            kernel=next(named) if spec.kernel is not None else "",
            ramdisk=next(named) if spec.ramdisk is not None else "",
        )

    async def _disk(self, spec: ServerSpec, disk: DiskSpec | None) -> AttachedDisk:
        if disk is None:
            return await self.drivers.disk.ensure_config_drive(spec)
        return await self.drivers.disk.ensure_disk(spec.id, disk, self._fetch)

    async def _plug(self, server_id: str, port: Any) -> str:
        tap = await self.drivers.net.ensure_port(server_id, port)
        self.ports[port.id] = server_id
        return tap

    async def _unplug(self, port_id: str) -> None:
        await self.drivers.net.remove_port(port_id)
        self.ports.pop(port_id, None)

    # --- operations

    async def _operate(self, spec: ServerSpec, operation: OperationSpec) -> None:
        """Execute once, and remember how it ended: a refusal is an end too."""
        state, message = "done", ""
        if operation.deadline and time.time() > operation.deadline:
            state, message = "failed", TOO_LATE
        else:
            try:
                await self._execute(spec, operation)
            except DriverError as error:
                about = {"server_id": spec.id, "operation": operation.id, "kind": operation.kind}
                log.warning("operation failed", extra={**about, "error": str(error)})
                state, message = "failed", error.public
        self.operations.record(spec.id, OperationReport(operation.id, state, message))  # type: ignore[arg-type]

    async def _execute(self, spec: ServerSpec, operation: OperationSpec) -> None:
        hypervisor = self.drivers.hypervisor
        guest = (await hypervisor.observe_servers()).get(spec.id)
        up = guest is not None and guest.power in ("running", "paused")
        match operation.kind:
            case "reboot_soft" | "reboot_hard":
                if up:  # one that is down is started by the next visit: it is wanted running
                    await hypervisor.reboot(spec.id, operation.kind == "reboot_hard", spec.stop_timeout_s)
                elif guest is not None and guest.power == "stopped":
                    await hypervisor.ensure_stopped(spec.id, 0)
            case "snapshot":
                await self._snapshot(spec, operation)
            case "rebuild":
                await hypervisor.remove_server(spec.id)
                for disk in spec.disks:
                    if disk.kind in ("root", "ephemeral", "swap"):
                        await self.drivers.disk.remove_disk(spec.id, disk.name)
                await self.drivers.disk.remove_disk(spec.id, plan.CONFIG)
            case "set_password":
                arguments = _text(operation, "user"), _text(operation, "password")
                await hypervisor.set_password(spec.id, *arguments)
            case "nmi":
                await hypervisor.inject_nmi(spec.id)

    async def _snapshot(self, spec: ServerSpec, operation: OperationSpec) -> None:
        image_id = _text(operation, "image_id")
        if self._folder is None:
            raise DriverError("A simulated host has no bytes to make an image of.")
        target = self._folder / f"snapshot-{spec.id}.qcow2"
        root = next((disk.name for disk in spec.disks if disk.kind == "root"), "root")
        try:
            await self.drivers.hypervisor.snapshot_disk(spec.id, root, str(target))
            side_effect("upload image")
            await self._upload(image_id, target)
        finally:
            with contextlib.suppress(OSError):
                target.unlink()


def _text(operation: OperationSpec, name: str) -> str:
    try:
        return msgspec.convert(operation.arguments.get(name), str)
    except msgspec.ValidationError as error:
        raise DriverError("The request cannot be understood by the host.", f"{operation.kind}: {name}") from error


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All results, or the first error when all have ended: nothing goes on behind our back."""
    results = await asyncio.gather(*work, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise next((error for error in errors if not isinstance(error, Exception)), errors[0])
    return results
