"""Loops of images: what no request finishes.

- `image-garbage` (G = rows of `image_garbage`, F = blobs in the stores, R = blobs that rows of images name): every
  blob in G is removed, then its row; every blob in F that is in neither G nor R, and older than a transfer can be
  silent, was left by a crash between its commit and its row, and goes to G.
- `image-transfers`: an image whose lease ran out was left by a process that died; it goes back to `queued`.
"""

import asyncio

from bivouac.core.loops import Loop
from bivouac.core.store import Tx

from .records import GarbageRow, ImageRow
from .service import images, transfers
from .transfer import ImageService

ORPHAN_AGE_S = 3600.0
"""Younger blobs may belong to a transfer that is about to finish."""


class GarbageLoop(Loop):
    """Removes blobs that nobody needs."""

    name = images.GARBAGE_BELL
    interval_s = 300.0
    concurrency = 4

    def __init__(self, service: ImageService):
        self.service = service

    async def due(self) -> list[str]:
        for store, blobs in self.service.blobs.items():
            old = self.service.clock.now() - ORPHAN_AGE_S
            found = await asyncio.to_thread(lambda: [key for key, changed in blobs.keys() if changed < old])  # noqa: B023, SIM118
            if found:
                await self.service.store.write(discard_orphans, store, found, self.service.clock.now())
        rows = await self.service.store.read(lambda tx: tx.select(GarbageRow, "ORDER BY added_at LIMIT 1000"))
        return [f"{row.store}/{row.blob}" for row in rows]

    async def step(self, key: str) -> float | None:
        store, _, blob = key.partition("/")
        row = await self.service.store.read(lambda tx: tx.get(GarbageRow, store, blob))
        if row is not None:
            if store in self.service.blobs:
                await asyncio.to_thread(self.service.blobs[store].delete, blob)
            await self.service.store.write(lambda tx: tx.delete(row))
        return None


class TransferLoop(Loop):
    """Gives up transfers whose process died."""

    name = "image-transfers"
    interval_s = transfers.LEASE_S / 2
    concurrency = 4

    def __init__(self, service: ImageService):
        self.service = service

    async def due(self) -> list[str]:
        now = self.service.clock.now()
        rows = await self.service.store.read(lambda tx: tx.select(ImageRow, "WHERE transfer_until < ?", now))
        return [row.id for row in rows]

    async def step(self, key: str) -> float | None:
        await self.service.store.write(give_up, key, self.service.clock.now())
        return None


def give_up(tx: Tx, image_id: str, now: float) -> None:
    """Put an image back whose lease ran out."""
    image = tx.get(ImageRow, image_id)
    if image is not None and image.transfer_until is not None and image.transfer_until < now:
        transfers.fail(tx, image_id, image.transfer, now)


def discard_orphans(tx: Tx, store: str, blobs: list[str], now: float) -> None:
    """Those of the blobs that neither an image nor the garbage names become garbage."""
    for blob in blobs:
        image = tx.get(ImageRow, blob.partition(".")[0])
        if image is not None:
            boot = image.boot.blob if image.boot else ""
            if blob in (image.stores.get(store), boot, image.staged) or image.transfer and image.transfer in blob:
                continue
        images.discard(tx, store, blob, now)


def loops(service: ImageService) -> list[Loop]:
    """All loops of the image service."""
    return [GarbageLoop(service), TransferLoop(service)]
