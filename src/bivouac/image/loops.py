"""Loops of images: what no request finishes.

- `image-garbage` (G = rows of `image_garbage`, F = blobs in the stores, R = blobs that rows of images name): every
  blob in G is removed, then its row; every blob in F that is in neither G nor R, and older than a transfer can be
  silent, was left by a crash between its commit and its row, and goes to G.
- `image-tasks`: an import that waits, or whose process died, is worked on from its beginning.
- `image-transfers`: an image whose lease ran out was left by a process that died; it goes back to `queued`.
"""

import asyncio
import logging

from bivouac.core.blobs import Blobs
from bivouac.core.crash import side_effect
from bivouac.core.loops import Loop
from bivouac.core.store import Tx

from . import states
from .importing import Importer
from .records import CacheRow, GarbageRow, ImageRow, TaskRow
from .service import cache, images, tasks, transfers
from .transfer import ImageService

log = logging.getLogger(__name__)
ORPHAN_AGE_S = 3600.0
"""Younger blobs may belong to a transfer that is about to finish."""


def _older(blobs: Blobs, moment: float) -> list[str]:
    return [key for key, changed in blobs.keys() if changed < moment]  # noqa: SIM118


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
            try:
                found = await asyncio.to_thread(_older, blobs, old)
            except OSError as error:
                log.warning("store cannot be listed", extra={"store": store, "error": str(error)})
                continue
            if found:
                side_effect("commit orphans")
                await self.service.store.write(discard_orphans, store, found, self.service.clock.now())
        rows = await self.service.store.read(lambda tx: tx.select(GarbageRow, "ORDER BY added_at LIMIT 1000"))
        return [f"{row.store}/{row.blob}" for row in rows]

    async def step(self, key: str) -> float | None:
        store, _, blob = key.partition("/")
        row = await self.service.store.read(lambda tx: tx.get(GarbageRow, store, blob))
        if row is not None:
            if store in self.service.blobs:
                await asyncio.to_thread(self.service.blobs[store].delete, blob)
            side_effect("commit garbage")
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
        side_effect("commit given up transfer")
        await self.service.store.write(give_up, key, self.service.clock.now())
        return None


class TaskLoop(Loop):
    """Works on imports, and forgets those that ended long ago."""

    name = tasks.BELL
    interval_s = tasks.LEASE_S / 2
    concurrency = 4

    def __init__(self, service: ImageService):
        self.service = service
        self.importer = Importer(service)

    async def due(self) -> list[str]:
        return await self.service.store.read(tasks.due, self.service.clock.now())

    async def step(self, key: str) -> float | None:
        side_effect("commit forgotten task")
        await self.service.store.write(forget_task, key, self.service.clock.now())
        side_effect("commit claim of task")
        task = await self.service.store.write(tasks.claim, key, self.service.clock.now())
        if task is not None:
            await self.importer.run(task)
        return None


class CacheLoop(Loop):
    """Fetches what shall be cached, and keeps the cache at its size."""

    name = cache.BELL
    interval_s = 60.0
    concurrency = 2

    def __init__(self, service: ImageService):
        self.service = service

    async def due(self) -> list[str]:
        rows = await self.service.store.read(lambda tx: tx.select(CacheRow, "WHERE status = 'queued'"))
        return [row.image_id for row in rows]

    async def step(self, key: str) -> float | None:
        await Importer(self.service).cache(key)
        side_effect("commit smaller cache")
        await self.service.store.write(cache.shrink, self.service.settings.cache_max_bytes, self.service.clock.now())
        return None


def forget_task(tx: Tx, task_id: str, now: float) -> None:
    """Remove a task that has been kept long enough."""
    task = tx.get(TaskRow, task_id)
    if task is not None and task.expires_at is not None and task.expires_at <= now:
        tx.delete(task)


def give_up(tx: Tx, image_id: str, now: float) -> None:
    """Put an image back whose lease ran out. One that a task works on is the task's."""
    image = tx.get(ImageRow, image_id)
    if image is None or image.transfer_until is None or image.transfer_until >= now or tasks.busy(tx, image_id):
        return
    if image.status in states.UNDER_WAY:
        transfers.fail(tx, image_id, image.transfer, now)
    else:
        tx.update(image, transfer="", transfer_until=None)


def discard_orphans(tx: Tx, store: str, blobs: list[str], now: float) -> None:
    """Those of the blobs that neither an image nor the garbage names become garbage."""
    for blob in blobs:
        if store == images.CACHE and tx.first(CacheRow, "WHERE blob = ?", blob):
            continue
        image = tx.get(ImageRow, blob.partition(".")[0])
        if image is not None:
            boot = image.boot.blob if image.boot else ""
            staged = image.staged.blob if image.staged else ""
            if blob in (image.stores.get(store), boot, staged) or (image.transfer and image.transfer in blob):
                continue
        images.discard(tx, store, blob, now)


def loops(service: ImageService) -> list[Loop]:
    """All loops of the image service."""
    return [GarbageLoop(service), TransferLoop(service), TaskLoop(service), CacheLoop(service)]
