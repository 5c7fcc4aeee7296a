"""Base images: fetched once however many ask, checked while they stream in, never written again."""

import asyncio
import hashlib
import os
import re
from pathlib import Path

import msgspec

from bivouac.core.crash import side_effect
from bivouac.core.run import CommandError, Limits, run
from bivouac.drivers.disk import Fetch
from bivouac.drivers.hypervisor import DriverError
from bivouac.drivers.hypervisor.guest_user import give, guest_user
from bivouac.hostspec.server import ImageRef

from .qcow2 import Qcow2Error, read_base

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_AS_THEY_ARE = {"raw": "raw", "qcow2": "qcow2", "iso": "raw", "ami": "raw", "aki": "raw", "ari": "raw"}
_CONVERTED = {"vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}
"""Glance's names for what QEMU reads but a disk cannot lie on; they become qcow2."""
_CONVERT_LIMITS = {"address_space_bytes": 1 << 30, "cpu_seconds": 600}


class ImageCache:
    """The base images of this host."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._locks: dict[str, asyncio.Lock] = {}

    async def ensure(self, image: ImageRef, fetch: Fetch) -> Path:
        """The base file of an image. Raises DriverError."""
        path = self._path(image)
        if path.exists():
            return path
        async with self._locks.setdefault(image.id, asyncio.Lock()):
            if not path.exists():
                try:
                    await self._fetch(image, fetch, path)
                except OSError as error:
                    full = error.errno in (28, 122)  # ENOSPC, EDQUOT
                    words = "The host's disk is full." if full else "The image could not be fetched."
                    raise DriverError(words, str(error)) from error
        return path

    def tidy(self) -> None:
        """Remove what an earlier process left half fetched."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for path in self._folder.glob(".new-*"):
            path.unlink(missing_ok=True)

    def remove_unused(self, keep: set[str], before: float) -> None:
        """Remove bases that no disk links to, that are not in `keep` and were not used since `before`."""
        for path in self._folder.iterdir():
            status = path.stat()
            if path.stem not in keep and status.st_nlink == 1 and max(status.st_mtime, status.st_atime) < before:
                side_effect("remove image")
                path.unlink(missing_ok=True)

    def _path(self, image: ImageRef) -> Path:
        if not _ID.fullmatch(image.id):
            raise DriverError("The image has an impossible name.", repr(image.id))
        kind = _AS_THEY_ARE.get(image.disk_format) or ("qcow2" if image.disk_format in _CONVERTED else "")
        if not kind:
            raise DriverError(f"The host cannot use images of the format {image.disk_format}.")
        return self._folder / f"{image.id}.{kind}"

    async def _fetch(self, image: ImageRef, fetch: Fetch, path: Path) -> None:
        await asyncio.to_thread(self._folder.mkdir, 0o711, True, True)
        new = self._folder / f".new-{image.id}"
        side_effect("fetch image")
        try:
            await self._download(image, fetch, new)
            side_effect("keep image")
            await asyncio.to_thread(self._keep, image, new, path)
        finally:
            new.unlink(missing_ok=True)

    async def _download(self, image: ImageRef, fetch: Fetch, new: Path) -> None:
        digest = hashlib.sha512()
        size = 0
        with await asyncio.to_thread(open, new, "wb") as file:

            def take(data: bytes) -> None:
                digest.update(data)
                file.write(data)

            async for chunk in await fetch(image):
                size += len(chunk)
                if size > image.size_bytes:
                    raise DriverError("The image is longer than it should be.", f"{image.id}: {size} bytes")
                await asyncio.to_thread(take, chunk)
        if size != image.size_bytes:
            raise DriverError("The image is shorter than it should be.", f"{image.id}: {size} of {image.size_bytes}")
        if image.sha512 and digest.hexdigest() != image.sha512.lower():
            raise DriverError("The image does not match its checksum.", f"{image.id}: {digest.hexdigest()}")

    def _keep(self, image: ImageRef, new: Path, path: Path) -> None:
        if image.disk_format in _CONVERTED:
            self._convert(image, new, path)
            return
        if path.suffix == ".qcow2":
            try:
                read_base(new)
            except Qcow2Error as error:
                raise DriverError("The image is not one that the host may use.", f"{image.id}: {error}") from error
        new.chmod(0o644)
        with new.open("rb") as file:
            os.fdatasync(file.fileno())  # else a power cut may leave the name with nothing in it
        new.rename(path)

    def _convert(self, image: ImageRef, new: Path, path: Path) -> None:
        """Into a qcow2, by an unprivileged `qemu-img` that may write one file."""
        target = self._folder / f".new-{image.id}.qcow2"
        user = guest_user(image.id)
        try:
            for file in (new, target):
                file.touch()
                file.chmod(0o600)
                give(file, user)
            command = ["qemu-img", "convert", "-n", "-f", _CONVERTED[image.disk_format], "-O", "qcow2"]
            create = ["qemu-img", "create", "-q", "-f", "qcow2", str(target)]
            limits = Limits(user=(user, user), **_CONVERT_LIMITS)
            size = _virtual_bytes(new, _CONVERTED[image.disk_format], limits)
            run([*create, str(size)], limits=limits)
            run([*command, str(new), str(target)], timeout_s=1800, limits=limits)
            give(target, 0)
            target.chmod(0o644)
            with target.open("rb") as file:
                os.fdatasync(file.fileno())
            target.rename(path)
        except CommandError as error:
            raise DriverError("The image could not be converted.", str(error)) from error
        finally:
            target.unlink(missing_ok=True)


def _virtual_bytes(path: Path, kind: str, limits: Limits) -> int:
    found = run(["qemu-img", "info", "--output=json", "-f", kind, str(path)], limits=limits).stdout
    return msgspec.json.decode(found, type=dict)["virtual-size"]
