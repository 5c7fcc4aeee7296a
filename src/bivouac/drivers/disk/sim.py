"""Disks in memory, for fleets of thousands of hosts in one process: no file, no thread.

`fail` maps a verb to how many times it fails before it works again (-1: always); `slow_s` is what a disk takes.
Images are really fetched and counted if `checks_images` is set, else taken for granted.
"""

import asyncio
import hashlib

from bivouac.core.crash import side_effect
from bivouac.drivers.disk import Fetch
from bivouac.drivers.hypervisor import AttachedDisk, DriverError
from bivouac.hostspec.server import DiskSpec, ImageRef, ServerSpec


class SimDisks:
    """See `DiskDriver`. The disks outlive the driver if `disks` is handed on to the next one."""

    def __init__(self, disks: dict[str, list[str]] | None = None, checks_images: bool = False):
        self.fail: dict[str, int] = {}
        self.slow_s = 0.0
        self.disks: dict[str, list[str]] = {} if disks is None else disks
        self._checks_images = checks_images
        self._images: set[str] = set()
        self._fetching = asyncio.Lock()

    async def ensure_image(self, image: ImageRef, fetch: Fetch) -> str:
        self._maybe_fail("ensure_image")
        async with self._fetching:
            if image.id not in self._images:
                side_effect("fetch image")
                if self._checks_images:
                    await self._check(image, fetch)
                self._images.add(image.id)
        return f"/simulated/images/{image.id}"

    async def ensure_disk(self, server_id: str, disk: DiskSpec, fetch: Fetch) -> AttachedDisk:
        self._maybe_fail("ensure_disk")
        if disk.image is not None:
            await self.ensure_image(disk.image, fetch)
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        self._make(server_id, disk.name)
        path = f"/simulated/disks/{server_id}/{disk.name}"
        return AttachedDisk(disk.name, path, "raw", disk.bus, disk.serial, disk.boot_index)

    async def ensure_config_drive(self, spec: ServerSpec) -> AttachedDisk:
        self._maybe_fail("ensure_config_drive")
        self._make(spec.id, "config")
        return AttachedDisk("config", f"/simulated/disks/{spec.id}/config", "raw", read_only=True)

    async def remove_disks(self, server_id: str) -> None:
        self._maybe_fail("remove_disks")
        if server_id in self.disks:
            side_effect("remove disks")
            self.disks.pop(server_id, None)

    async def remove_disk(self, server_id: str, name: str) -> None:
        self._maybe_fail("remove_disk")
        if name in self.disks.get(server_id, ()):
            side_effect("remove disk")
            self.disks[server_id].remove(name)

    async def observe_disks(self) -> dict[str, tuple[str, ...]]:
        return {server_id: tuple(names) for server_id, names in self.disks.items()}

    async def remove_unused_images(self, keep: set[str]) -> None:
        self._images &= keep

    def _make(self, server_id: str, name: str) -> None:
        disks = self.disks.setdefault(server_id, [])
        if name not in disks:
            side_effect("make disk")
            disks.append(name)

    async def _check(self, image: ImageRef, fetch: Fetch) -> None:
        digest = hashlib.sha512()
        async for chunk in await fetch(image):
            digest.update(chunk)
        if digest.hexdigest() != image.sha512:
            raise DriverError("The image does not match its checksum.", image.id)

    def _maybe_fail(self, verb: str) -> None:
        left = self.fail.get(verb, 0)
        if left:
            self.fail[verb] = left - 1 if left > 0 else left
            raise DriverError("The simulated disk failed as it was told to.", verb)
