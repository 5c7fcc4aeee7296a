"""What every disk driver promises."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bivouac.core.ids import new_uuid
from bivouac.drivers.disk import DiskDriver
from bivouac.drivers.hypervisor import DriverError
from bivouac.hostspec.server import DiskSpec, ImageRef, ServerSpec


class Source:
    """Bytes of images, and how often they were asked for."""

    def __init__(self, content: bytes):
        self.content = content
        self.asked = 0

    def image(self, disk_format: str = "raw") -> ImageRef:
        return ImageRef(new_uuid(), disk_format, len(self.content), hashlib.sha512(self.content).hexdigest())

    async def fetch(self, image: ImageRef) -> AsyncIterator[bytes]:
        self.asked += 1

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(self.content), 100_000):
                await asyncio.sleep(0)
                yield self.content[start : start + 100_000]

        return chunks()


class DiskContract:
    make: Callable[[Path], DiskDriver]

    def run(self, folder: Path, test: Callable[[DiskDriver, Source], Awaitable[Any]]) -> None:
        asyncio.run(test(self.make(folder), Source(b"bootable".ljust(250_000, b"."))))

    def test_a_life(self, tmp_path: Path) -> None:
        async def body(driver: DiskDriver, source: Source) -> None:
            server, image = new_uuid(), source.image()
            spec = ServerSpec(server, 1, "running", 1, 128)
            root = DiskSpec("root", 1 << 20, image=image, boot_index=0, serial="abc")
            empty = DiskSpec("ephemeral0", 1 << 20, kind="ephemeral")
            assert await driver.observe_disks() == {}
            first = await driver.ensure_disk(server, root, source.fetch)
            assert (first.name, first.boot_index, first.serial) == ("root", 0, "abc")
            assert await driver.ensure_disk(server, root, source.fetch) == first
            await driver.ensure_disk(server, empty, source.fetch)
            assert (await driver.ensure_config_drive(spec)).read_only
            seen = await driver.observe_disks()
            assert list(seen) == [server] and sorted(seen[server]) == ["config", "ephemeral0", "root"]
            for _ in range(2):
                await driver.remove_disk(server, "root")
                assert sorted((await driver.observe_disks())[server]) == ["config", "ephemeral0"]
            for _ in range(2):
                await driver.remove_disks(server)
                await driver.remove_disk(server, "root")
                assert await driver.observe_disks() == {}

        self.run(tmp_path, body)

    def test_an_image_is_fetched_once_however_many_ask(self, tmp_path: Path) -> None:
        async def body(driver: DiskDriver, source: Source) -> None:
            root = DiskSpec("root", 1 << 20, image=source.image())
            await asyncio.gather(*(driver.ensure_disk(new_uuid(), root, source.fetch) for _ in range(5)))
            assert source.asked == 1
            assert len(await driver.observe_disks()) == 5

        self.run(tmp_path, body)

    def test_a_wrong_checksum_is_refused(self, tmp_path: Path) -> None:
        async def body(driver: DiskDriver, source: Source) -> None:
            root = DiskSpec("root", 1 << 20, image=source.image())
            source.content = source.content[:-1] + b"!"
            for _ in range(2):
                with pytest.raises(DriverError) as caught:
                    await driver.ensure_disk(new_uuid(), root, source.fetch)
                assert "checksum" in caught.value.public
            assert source.asked == 2

        self.run(tmp_path, body)
