"""Disk drivers: `local` (files of this host) and `sim`; Ceph follows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from bivouac.drivers.hypervisor import AttachedDisk
from bivouac.hostspec.server import DiskSpec, ImageRef, ServerSpec

Fetch = Callable[[ImageRef], Awaitable[AsyncIterator[bytes]]]
"""Opens the bytes of an image at control. The driver checks size and sha512 before it uses them."""


class DiskDriver(Protocol):
    async def ensure_image(self, image: ImageRef, fetch: Fetch) -> str:
        """Path of the checked base file, fetched once however many ask at a time."""
        ...

    async def ensure_disk(self, server_id: str, disk: DiskSpec, fetch: Fetch) -> AttachedDisk:
        """Make the disk if it is absent (cloned from its image's base, or empty, at least `size_bytes`), and larger if
        it has become too small. No guest has it open."""
        ...

    async def ensure_config_drive(self, spec: ServerSpec) -> AttachedDisk:
        """The read-only disk labelled `config-2`."""
        ...

    async def remove_disks(self, server_id: str) -> None: ...

    async def remove_disk(self, server_id: str, name: str) -> None: ...

    async def observe_disks(self) -> dict[str, tuple[str, ...]]:
        """Server id -> names of the disks that exist."""
        ...

    async def remove_unused_images(self, keep: set[str]) -> None: ...
