"""Copies of a guest's disk and of its memory, as files that need nothing else.

A running guest's disk is copied by a backup job (the state at the moment it began; the guest goes on), a stopped
one's by `qemu-img`. Both write below the guest's own directory as the guest's own user, and only the finished
file is moved to where it was wanted.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from bivouac.core.crash import side_effect
from bivouac.core.run import CommandError, Limits, run
from bivouac.drivers.hypervisor import AttachedDisk, DriverError
from bivouac.drivers.hypervisor.guest_user import give, guest_user

from .faults import in_users_words
from .guest import Guest
from .machine import device_id
from .monitor import MonitorError

JOB = "snapshot"
TARGET = "snapshot-target"
FAILED = "The snapshot could not be taken."
QEMU_IMG_LIMITS = {"address_space_bytes": 1 << 30, "cpu_seconds": 600}
QEMU_IMG_TIMEOUT_S = 3600.0


async def snapshot_disk(guest: Guest, name: str, target: Path) -> None:
    """Write the disk as a self-contained qcow2 to `target`. Raises DriverError."""
    machine = guest.state.machine
    placed = next((p for p in machine.disks if p.disk.name == name), None) if machine else None
    if placed is None:
        raise DriverError("The server has no such disk.", f"{guest.id}: {name}")
    copy = guest.work / "snapshot.qcow2"
    side_effect("snapshot file")
    try:
        if guest.alive:
            await _copy_running(guest, placed.disk, copy)
        else:
            await asyncio.to_thread(_copy_stopped, guest.id, placed.disk, copy)
        side_effect("finished snapshot")
        give(copy, 0)
        copy.replace(target)
    except (MonitorError, CommandError, OSError) as error:
        raise DriverError(in_users_words(str(error), FAILED), str(error)) from error
    finally:
        copy.unlink(missing_ok=True)


def _copy_stopped(server_id: str, disk: AttachedDisk, copy: Path) -> None:
    user = guest_user(server_id)
    command = ["qemu-img", "convert", "-f", disk.format, "-O", "qcow2", disk.path, str(copy)]
    run(command, timeout_s=QEMU_IMG_TIMEOUT_S, limits=Limits(user=(user, user), **QEMU_IMG_LIMITS), cwd=copy.parent)


async def _copy_running(guest: Guest, disk: AttachedDisk, copy: Path) -> None:
    source = device_id("disk", disk.name)
    monitor = guest.monitor
    await _clear(guest)
    nodes = await monitor.execute("query-named-block-nodes", flat=True)
    size = next(node["image"]["virtual-size"] for node in nodes if node.get("node-name") == source)
    user = guest_user(guest.id)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", str(copy), str(size)]
    limits = Limits(user=(user, user), **QEMU_IMG_LIMITS)
    await asyncio.to_thread(run, command, limits=limits, cwd=copy.parent)
    file = {"driver": "file", "filename": copy.name}
    await monitor.call("blockdev-add", {"driver": "qcow2", "node-name": TARGET, "file": file, "discard": "unmap"})
    try:
        ended = monitor.expect(
            lambda event: (
                event.name == "JOB_STATUS_CHANGE"
                and event.data.get("id") == JOB
                and event.data.get("status") == "concluded"
            )
        )
        job = {"job-id": JOB, "device": source, "target": TARGET, "sync": "full", "auto-dismiss": False}
        await monitor.call("blockdev-backup", job)
        await ended
        for job in await monitor.execute("query-jobs"):
            if job["id"] == JOB and job.get("error"):
                raise MonitorError(job["error"])
    finally:
        await _clear(guest)


async def _clear(guest: Guest) -> None:
    """Take away what a snapshot leaves in QEMU, also one that was cut off."""
    if not guest.monitor.is_open:
        return
    for job in await guest.monitor.execute("query-jobs"):
        if job["id"] == JOB:
            if job["status"] != "concluded":
                gone = guest.monitor.expect(
                    lambda event: (
                        event.name == "JOB_STATUS_CHANGE"
                        and event.data.get("id") == JOB
                        and event.data.get("status") == "concluded"
                    )
                )
                await guest.monitor.execute("job-cancel", id=JOB)
                await gone
            await guest.monitor.execute("job-dismiss", id=JOB)
    with contextlib.suppress(MonitorError):
        await guest.monitor.execute("blockdev-del", node_name=TARGET)


async def save_memory(guest: Guest) -> None:
    """Pause the guest and write its memory beside its record; the file is whole or not there. Raises MonitorError."""
    partial = guest.folder / "memory.partial"
    state = (await guest.monitor.execute("query-migrate")).get("status", "")
    if not (state == "completed" and (partial.exists() or (guest.folder / "memory").exists())):
        side_effect("save memory")
        with contextlib.suppress(MonitorError):
            await guest.monitor.execute("migrate_cancel")
        await guest.monitor.execute("stop")
        partial.unlink(missing_ok=True)
        saved = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            await guest.monitor.call("getfd", {"fdname": "memory"}, fds=[saved])
        finally:
            os.close(saved)
        # the default of 128 MiB/s is meant for networks
        await guest.monitor.call("migrate-set-parameters", {"max-bandwidth": 10 << 30})
        await guest.monitor.execute("migrate", uri="fd:memory")
        while (progress := await guest.monitor.execute("query-migrate")).get("status") != "completed":
            if progress.get("status") in ("failed", "cancelled"):
                raise MonitorError(progress.get("error-desc", "memory could not be saved"))
            await asyncio.sleep(0.02)
    side_effect("keep memory")
    if partial.exists():
        partial.replace(guest.folder / "memory")
    guest.record(ended="suspended")
