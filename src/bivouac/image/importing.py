"""Imports at work: what a task does, from its claim to its end, which may be another process's second try.

Every step names its files after the transfer, which is new with each try; so a try that died leaves only blobs that
no row names, and those go with the orphans.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bivouac.core.blobs import Digests
from bivouac.core.crash import side_effect
from bivouac.core.errors import BadRequest, Conflict, Error, NotFound
from bivouac.core.ids import new_hex
from bivouac.core.store import Tx

from .records import CacheRow, ImageRow, Location, MemberRow, TaskRow
from .service import cache, imports, tasks, transfers
from .service.images import CACHE, STAGING
from .service.transfers import Arrival

if TYPE_CHECKING:
    from .transfer import ImageService

log = logging.getLogger(__name__)
WATCH_S = 1.0
"""How soon an import notices that its image was deleted."""
TOO_LONG = "The import took too long."
_INTERFACES = ("public", "internal", "admin")


class Unwanted(Exception):
    """The image was deleted while its import was at work."""


class Importer:
    """Runs the tasks of one process."""

    def __init__(self, service: "ImageService"):
        self.service = service
        self.store = service.store

    async def run(self, task: TaskRow) -> None:
        """Work on a claimed task until it has ended, one way or the other."""
        now = self.service.clock.now()
        image = None
        try:
            if task.deadline <= now:
                raise Conflict(TOO_LONG)
            side_effect("commit claim of image")
            image = await self.store.write(imports.claim_image, task.image_id or "", now)
            await self._guarded(task, image)
        except Unwanted:
            await self._end(task, image, "The image was deleted meanwhile.")
        except Error as error:
            await self._end(task, image, error.message)
        except Exception as error:
            log.exception("import failed", extra={"task_id": task.id, "image_id": task.image_id})
            await self._end(task, image, f"An unexpected error: {type(error).__name__}.")

    async def _end(self, task: TaskRow, image: ImageRow | None, reason: str) -> None:
        now = self.service.clock.now()
        transfer = image.transfer if image is not None else ""
        side_effect("commit failed import")
        await self.store.write(imports.give_up, task.id, task.image_id or "", transfer, reason, now)

    async def _guarded(self, task: TaskRow, image: ImageRow) -> None:
        """Work while the leases are kept; stop when nobody wants the image any more. Raises Unwanted."""
        work = asyncio.create_task(self._work(task, image))
        keeper = asyncio.create_task(self._keep_leases(task, image))
        try:
            left = task.deadline - self.service.clock.now()
            await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED, timeout=left)
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                if not keeper.done():
                    raise Conflict(TOO_LONG)
                raise Unwanted
            await work
        finally:
            keeper.cancel()
            work.cancel()

    async def _keep_leases(self, task: TaskRow, image: ImageRow) -> None:
        """Returns when the image is gone."""
        seconds = 0.0
        while True:
            await asyncio.sleep(WATCH_S)
            seconds += WATCH_S
            if not await self.store.read(_still_wanted, image.id, image.transfer):
                return
            if seconds >= transfers.LEASE_S / 3:
                seconds = 0.0
                until = self.service.clock.now() + transfers.LEASE_S
                await self.store.write(transfers.renew, image.id, image.transfer, until)
                await self.store.write(tasks.renew, task.id, until)

    async def _work(self, task: TaskRow, image: ImageRow) -> None:
        if task.type == "location_import":
            await self._location(task, image)
        elif task.type == "import":
            await self._web_download(task, image, task.input["import_from"], [self.service.store_names[0]], True)
        else:
            asked = task.input["import_req"]
            method = asked["method"]["name"]
            stores = task.input["backend"]
            must = asked.get("all_stores_must_succeed", True)
            if method == "web-download":
                await self._web_download(task, image, asked["method"]["uri"], stores, must)
            elif method == "glance-direct":
                await self._staged(task, image, stores, must)
            elif method == "glance-download":
                await self._other_image(task, image, asked["method"], stores, must)
            else:
                await self._copy_image(task, image, stores, must)

    # --- the methods ---------------------------------------------------------------------------------------------

    async def _web_download(self, task: TaskRow, image: ImageRow, url: str, stores: list[str], must: bool) -> None:
        async def first(store: str) -> Arrival:
            fetched = await self.service.outside.fetch(url)
            return await self.service.receive(image, fetched.stream(), store)

        await self._spread(task, image, first, stores, must)

    async def _staged(self, task: TaskRow, image: ImageRow, stores: list[str], must: bool) -> None:
        staged = image.staged
        if staged is None:
            raise NotFound("The staged bytes are gone.")
        digests = Digests(size=staged.size, md5=staged.md5, sha512=staged.sha512)

        async def first(store: str) -> Arrival:
            return await self._take_over(image, STAGING, staged.blob, digests, store)

        await self._spread(task, image, first, stores, must)

    async def _other_image(
        self, task: TaskRow, image: ImageRow, asked: dict[str, Any], stores: list[str], must: bool
    ) -> None:
        """glance-download from this cloud's own region."""
        if asked["glance_region"] != self.service.region:
            raise BadRequest(f"No image service is known in region {asked['glance_region'][:100]}.")
        if asked.get("glance_service_interface", "public") not in _INTERFACES:
            raise BadRequest("The interface must be public, internal or admin.")
        source = await self.store.read(_visible_to, asked["glance_image_id"], task.owner)
        source_store, blob = transfers.first_copy(source)
        digests = Digests(size=source.size or 0, md5=source.checksum or "", sha512=source.os_hash_value or "")
        kept = {name: value for name, value in source.properties.items() if name.startswith(imports.COPIED_PROPERTIES)}
        changes = {
            "disk_format": source.disk_format,
            "container_format": source.container_format,
            "properties": {**image.properties, **kept},
        }
        alike = replace(image, disk_format=source.disk_format, container_format=source.container_format)

        async def first(store: str) -> Arrival:
            return await self._take_over(alike, source_store, blob, digests, store)

        await self._spread(task, image, first, stores, must, changes)

    async def _copy_image(self, task: TaskRow, image: ImageRow, stores: list[str], must: bool) -> None:
        """More copies of an active image; the first one of an image that has only locations."""
        if image.stores:
            await self._more_copies(image, *transfers.first_copy(image), stores, must)
            await self._succeed(task, image, None)
            return

        async def first(store: str) -> Arrival:
            fetched = await self.service.outside.fetch(image.locations[0].url)
            arrival = await self.service.receive(image, fetched.stream(), store)
            if image.os_hash_algo == "sha512" and image.os_hash_value not in (None, arrival.digests.sha512):
                self.service.blobs[store].delete(arrival.blob)
                raise Conflict("The bytes at the image's location are not those that its digest names.")
            return arrival

        await self._spread(task, image, first, stores, must)

    async def _location(self, task: TaskRow, image: ImageRow) -> None:
        """Read the bytes at a location once, for size and digests; they stay where they are."""
        validation = task.input["validation_data"]
        algorithm = validation.get("os_hash_algo", "sha512")
        fetched = await self.service.outside.fetch(task.input["loc_url"])
        digest, md5, size = hashlib.new(algorithm, usedforsecurity=False), hashlib.md5(usedforsecurity=False), 0
        async for block in fetched.stream():
            size += len(block)
            await asyncio.gather(asyncio.to_thread(digest.update, block), asyncio.to_thread(md5.update, block))
        if validation and digest.hexdigest() != validation["os_hash_value"]:
            raise Conflict("The bytes at the location are not those that os_hash_value names.")
        changes = {"size": size, "checksum": md5.hexdigest(), "os_hash_algo": algorithm,
                   "os_hash_value": digest.hexdigest(), "locations": [Location(task.input["loc_url"])]}  # fmt: skip
        await self._succeed(task, image, None, changes)

    async def cache(self, image_id: str) -> None:
        """A copy of the image beside us, linked when it is here anyway. Nothing when it cannot be had any more."""
        image = await self.store.read(lambda tx: tx.get(ImageRow, image_id))
        if image is None or image.status != "active":
            side_effect("commit what is not cached")
            await self.store.write(_unqueue, image_id)
            return
        key, blobs = f"{image_id}.{new_hex()}", self.service.blobs
        if image.stores:
            source, blob = transfers.first_copy(image)
            if not await asyncio.to_thread(blobs[CACHE].adopt, blobs[source], blob, key):
                await self._copy(blobs[source].open(blob).stream(), CACHE, key)
        else:
            fetched = await self.service.outside.fetch(image.locations[0].url)
            await self._copy(fetched.stream(), CACHE, key)
        with blobs[CACHE].open(key) as copy:
            size = copy.size
        side_effect("commit cached")
        await self.store.write(cache.cached, image_id, key, size, self.service.clock.now())

    # --- bytes into stores ---------------------------------------------------------------------------------------

    async def _spread(
        self,
        task: TaskRow,
        image: ImageRow,
        first: Callable[[str], Any],
        stores: list[str],
        must: bool,
        changes: dict[str, Any] | None = None,
    ) -> None:
        """The bytes into the first store that takes them, from there into the others, and the image active."""
        arrival: Arrival | None = None
        left = list(stores)
        while left and arrival is None:
            store = left.pop(0)
            try:
                arrival = await first(store)
            except OSError as error:
                await self._refused(image, store, error, must or not left)
        assert arrival is not None
        await self._more_copies(image, arrival.store, arrival.blob, left, must)
        await self._succeed(task, image, arrival, changes)

    async def _more_copies(self, image: ImageRow, store: str, blob: str, stores: list[str], must: bool) -> None:
        key = f"{image.id}.{image.transfer}"
        for target in stores:
            try:
                source = await asyncio.to_thread(self.service.blobs[store].open, blob)
                await self._copy(source.stream(), target, key)
            except OSError as error:
                await self._refused(image, target, error, must)
                continue
            side_effect("commit copy")
            await self.store.write(imports.stored, image.id, image.transfer, target, key, self.service.clock.now())

    async def _refused(self, image: ImageRow, store: str, error: OSError, fatal: bool) -> None:
        """A store cannot take the bytes: remember it, or give the import up."""
        log.warning("store refuses an image", extra={"store": store, "image_id": image.id, "error": str(error)})
        if fatal:
            raise Conflict(f"Store {store} could not take the image: {error.strerror}.") from error
        side_effect("commit refused copy")
        await self.store.write(imports.not_stored, image.id, image.transfer, store, self.service.clock.now())

    async def _take_over(self, image: ImageRow, source: str, blob: str, digests: Digests, store: str) -> Arrival:
        """Bytes that are in one of our directories, checked and then linked (or copied) into a store."""
        with await asyncio.to_thread(self.service.blobs[source].open, blob) as opened:
            arrival = await self.service.judge(image, opened, digests, store)
        blobs = self.service.blobs
        if not await asyncio.to_thread(blobs[store].adopt, blobs[source], blob, arrival.blob):
            await self._copy(blobs[source].open(blob).stream(), store, arrival.blob)
        return arrival

    async def _copy(self, chunks: AsyncIterator[bytes], store: str, key: str) -> None:
        writer = self.service.blobs[store].create(key)
        try:
            await self.service.pour(chunks, writer)
            await writer.commit()
        except BaseException:
            await writer.abort()
            raise

    async def _succeed(
        self, task: TaskRow, image: ImageRow, arrival: Arrival | None, changes: dict[str, Any] | None = None
    ) -> None:
        now = self.service.clock.now()
        side_effect("commit import")
        await self.store.write(imports.succeed, task.id, image.id, image.transfer, arrival, now, changes)


def _unqueue(tx: Tx, image_id: str) -> None:
    row = tx.get(CacheRow, image_id)
    if row is not None and row.status == "queued":
        tx.delete(row)


def _still_wanted(tx: Tx, image_id: str, transfer: str) -> bool:
    image = tx.get(ImageRow, image_id)
    return image is not None and image.transfer == transfer


def _visible_to(tx: Tx, image_id: str, project_id: str) -> ImageRow:
    """An active image that the project may read. Raises NotFound."""
    image = tx.get(ImageRow, image_id)
    if (
        image is None
        or image.status != "active"
        or not (
            image.owner == project_id
            or image.visibility in ("public", "community")
            or (image.visibility == "shared" and tx.get(MemberRow, image_id, project_id))
        )
    ):
        raise NotFound(f"No image found with ID {image_id}")
    return image
