"""An image service in memory, for tests of compute alone."""

from collections.abc import AsyncIterator
from typing import Any

from bivouac.compute.neighbours import NewSnapshot, ServerImage
from bivouac.core.call import Call
from bivouac.core.errors import NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Store, Tx
from bivouac.hostspec.server import ImageRef

IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"


class FakeImage:
    def __init__(self) -> None:
        self.images: dict[str, ServerImage] = {}
        self.snapshots: dict[str, NewSnapshot] = {}
        self.failed: list[str] = []
        self.add(IMAGE)

    def add(self, id: str, **fields: Any) -> str:
        ref = ImageRef(id=id, disk_format="qcow2", size_bytes=1 << 20, sha512="0" * 128)
        known = {"name": "tiny", "min_disk_gib": 0, "min_ram_mib": 0, "virtual_size_bytes": 1 << 28, **fields}
        self.images[id] = ServerImage(ref=ref, **known)
        return id

    def server_image(self, tx: Tx, call: Call, image_id: str) -> ServerImage:
        if image_id not in self.images:
            raise NotFound(f"No image found with ID {image_id}")
        return self.images[image_id]

    def image_ref(self, tx: Tx, image_id: str) -> ImageRef | None:
        return self.images[image_id].ref if image_id in self.images else None

    def create_snapshot(self, tx: Tx, call: Call, snapshot: NewSnapshot) -> str:
        id = new_uuid()
        self.snapshots[id] = snapshot
        return id

    def fail_snapshot(self, tx: Tx, image_id: str) -> None:
        self.failed.append(image_id)

    async def open_image(self, store: Store, image_id: str) -> tuple[int, AsyncIterator[bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"image"

        if image_id not in self.images:
            raise NotFound("no such image")
        return 5, chunks()

    async def receive_image(self, store: Store, image_id: str, chunks: AsyncIterator[bytes]) -> None:
        self.add(image_id, name="".join([chunk.decode() async for chunk in chunks]))
