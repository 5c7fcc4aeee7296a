"""The disk driver's verbs over this host's files."""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bivouac.core.crash import side_effect
from bivouac.core.run import CommandError, Limits, run
from bivouac.drivers.disk import Fetch
from bivouac.drivers.hypervisor import AttachedDisk, DriverError
from bivouac.drivers.hypervisor.guest_user import give, guest_user
from bivouac.hostspec.server import DiskSpec, ImageRef, ServerSpec

from .fat import FatError, filesystem
from .images import ImageCache
from .qcow2 import Qcow2Error, overlay, read_base, virtual_bytes

FICLONE = 0x40049409
SUFFIXES = (".qcow2", ".raw")
CONFIG = "config"
CONFIG_LABEL = "config-2"
KEEP_UNUSED_S = 24 * 3600.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAKE_FILESYSTEM = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "ext3": ["mkfs.ext3", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "vfat": ["mkfs.vfat"],
    "swap": ["mkswap", "-q"],
}
_TOOL_LIMITS = {"address_space_bytes": 1 << 30, "cpu_seconds": 120}

Render = Callable[[ServerSpec], dict[str, bytes]]
"""The files of a server's config drive, by path."""


class LocalDisks:
    """See `DiskDriver`."""

    def __init__(self, folder: Path, render: Render):
        self._disks = folder / "disks"
        self._images = ImageCache(folder / "images")
        self._render = render
        self._known: dict[str, dict[str, Path]] | None = None
        self._scanning = asyncio.Lock()
        self._locks: dict[str, asyncio.Lock] = {}

    async def ensure_image(self, image: ImageRef, fetch: Fetch) -> str:
        return str(await self._images.ensure(image, fetch))

    async def ensure_disk(self, server_id: str, disk: DiskSpec, fetch: Fetch) -> AttachedDisk:
        known = await self._server(server_id)
        path = known.get(disk.name)
        if path is None:
            base = await self._images.ensure(disk.image, fetch) if disk.image is not None else None
            async with self._locks.setdefault(f"{server_id}/{disk.name}", asyncio.Lock()):
                path = known.get(disk.name)
                if path is None:
                    with _in_users_words("The disk could not be made."):
                        path = await asyncio.to_thread(self._make, server_id, disk, base)
                    known[disk.name] = path
        elif disk.size_bytes and disk.kind != "cdrom":
            with _in_users_words("The disk could not be made larger."):
                await asyncio.to_thread(_grow, path, disk.size_bytes, guest_user(server_id))
        return AttachedDisk(
            name=disk.name,
            path=str(path),
            format="qcow2" if path.suffix == ".qcow2" else "raw",
            bus=disk.bus,
            serial=disk.serial,
            boot_index=disk.boot_index,
            cdrom=disk.kind == "cdrom",
            read_only=disk.kind == "cdrom",
        )

    async def ensure_config_drive(self, spec: ServerSpec) -> AttachedDisk:
        known = await self._server(spec.id)
        path = known.get(CONFIG)
        if path is None:
            try:
                content = filesystem(self._render(spec), CONFIG_LABEL)
            except FatError as error:
                raise DriverError("The config drive cannot hold what it should.", str(error)) from error
            with _in_users_words("The config drive could not be made."):
                path = known[CONFIG] = await asyncio.to_thread(self._write_config, spec.id, content)
        return AttachedDisk(CONFIG, str(path), "raw", read_only=True, serial="config-drive")

    async def remove_disks(self, server_id: str) -> None:
        known = await self._load()
        if server_id in known:
            side_effect("remove disks")
            await asyncio.to_thread(shutil.rmtree, self._disks / server_id, True)
            known.pop(server_id, None)

    async def remove_disk(self, server_id: str, name: str) -> None:
        known = (await self._load()).get(server_id, {})
        path = known.get(name)
        if path is not None:
            side_effect("remove disk")
            await asyncio.to_thread(path.unlink, True)
            del known[name]
            if not any(left.suffix == ".qcow2" for left in known.values()):
                for link in path.parent.glob("base-*"):  # nothing lies on it any more: it counts as unused
                    link.unlink(missing_ok=True)

    async def observe_disks(self) -> dict[str, tuple[str, ...]]:
        return {server_id: tuple(disks) for server_id, disks in (await self._load()).items()}

    async def remove_unused_images(self, keep: set[str]) -> None:
        await asyncio.to_thread(self._images.remove_unused, keep, time.time() - KEEP_UNUSED_S)

    # --- inside

    async def _load(self) -> dict[str, dict[str, Path]]:
        async with self._scanning:
            if self._known is None:
                self._known = await asyncio.to_thread(self._scan)
        return self._known

    def _scan(self) -> dict[str, dict[str, Path]]:
        """What an earlier process left; what it left half made goes."""
        self._disks.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._images.tidy()
        found: dict[str, dict[str, Path]] = {}
        for folder in self._disks.iterdir():
            disks = found[folder.name] = {}
            for path in folder.iterdir():
                if path.name.startswith(".new-"):
                    path.unlink(missing_ok=True)
                elif path.suffix in SUFFIXES and not path.name.startswith("base-"):
                    disks[path.stem] = path
        return found

    async def _server(self, server_id: str) -> dict[str, Path]:
        if not _NAME.fullmatch(server_id):
            raise DriverError("The server has an impossible name.", repr(server_id))
        known = await self._load()
        if server_id not in known:
            side_effect("disk directory")
            (self._disks / server_id).mkdir(mode=0o711, exist_ok=True)
            known[server_id] = {}
        return known[server_id]

    def _make(self, server_id: str, disk: DiskSpec, base: Path | None) -> Path:
        """Make a disk under a name that does not count, and give it its own at the end."""
        if not _NAME.fullmatch(disk.name) or disk.name.startswith("base-"):
            raise DriverError("A disk has an impossible name.", repr(disk.name))
        folder = self._disks / server_id
        new = folder / f".new-{disk.name}"
        new.unlink(missing_ok=True)
        side_effect("make disk")
        if base is None:
            suffix = ".raw"
            _make_empty(new, disk.size_bytes)
        else:
            suffix = self._clone(base, folder, new, disk.size_bytes)
        user = guest_user(server_id)
        new.chmod(0o600)
        give(new, user)
        kind = "swap" if disk.kind == "swap" else disk.filesystem
        if base is None and kind:
            _make_filesystem(new, kind, disk.name, user)
        side_effect("name disk")
        path = folder / f"{disk.name}{suffix}"
        new.rename(path)
        return path

    def _clone(self, base: Path, folder: Path, new: Path, size_bytes: int) -> str:
        """A disk that begins as its base and is of its own size."""
        is_raw = base.suffix == ".raw"
        virtual = base.stat().st_size if is_raw else read_base(base).virtual_bytes
        size = size_bytes or virtual
        if virtual > size:
            need, have = -(-virtual >> 30) or 1, size >> 30
            raise DriverError(f"The image needs a disk of {need} GiB, and the flavor gives {have} GiB.")
        if is_raw and _reflink(base, new):
            os.truncate(new, size)
            return ".raw"
        link = folder / f"base-{base.name}"
        if not link.exists():
            os.link(base, link)
        new.write_bytes(overlay(size, link.name, base.suffix[1:]))
        return ".qcow2"

    def _write_config(self, server_id: str, content: bytes) -> Path:
        new = self._disks / server_id / f".new-{CONFIG}"
        new.unlink(missing_ok=True)
        side_effect("make config drive")
        with open(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400), "wb") as file:
            end = len(content.rstrip(b"\0"))
            file.write(content[:end])
            file.truncate(len(content))  # the rest stays a hole
        give(new, guest_user(server_id))
        path = new.with_name(f"{CONFIG}.raw")
        new.rename(path)
        return path


def _make_empty(path: Path, size_bytes: int) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.truncate(size_bytes)


def _grow(path: Path, size_bytes: int, user: int) -> None:
    """Make a disk as large as it should be; one that is larger stays so, for its end may be in use. No guest has it
    open when it is too small: whoever wants more has stopped the guest first. As the guest's own user, for a guest
    that broke out may have put a host's file below its disk."""
    if path.suffix == ".raw":
        if path.stat().st_size < size_bytes:
            side_effect("grow disk")
            os.truncate(path, size_bytes)
    elif virtual_bytes(path) < size_bytes:
        side_effect("grow disk")
        limits = Limits(user=(user, user), **_TOOL_LIMITS)
        run(["qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(size_bytes)], limits=limits)


def _make_filesystem(path: Path, kind: str, label: str, user: int) -> None:
    command = _MAKE_FILESYSTEM.get(kind)
    if command is None:
        raise DriverError(f"The host cannot make a filesystem of type {kind}.")
    label_option = [] if kind == "vfat" else ["-L", label[:12]]
    run([*command, *label_option, str(path)], limits=Limits(user=(user, user), **_TOOL_LIMITS))


def _reflink(source: Path, target: Path) -> bool:
    """Share the blocks of a file (ioctl_ficlone(2)); False where the filesystem cannot."""
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new, FICLONE, old.fileno())
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _in_users_words(otherwise: str):  # noqa: ANN202 - a context manager
    try:
        yield
    except OSError as error:
        full = error.errno in (28, 122)  # ENOSPC, EDQUOT
        raise DriverError("The host's disk is full." if full else otherwise, str(error)) from error
    except (CommandError, Qcow2Error) as error:
        raise DriverError(otherwise, str(error)) from error
