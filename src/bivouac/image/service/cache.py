"""The image cache: copies of images that lie elsewhere (at a location, in a slow store), kept beside us.

A request only queues; the loop `image-cache` fetches. What is cached serves every later download.
"""

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest
from bivouac.core.store import Tx

from ..records import CacheRow, ImageRow
from . import images

BELL = "image-cache"
TARGETS = ("", "cache", "queue")


def show_all(tx: Tx, call: Call) -> list[tuple[CacheRow, ImageRow | None]]:
    """What is cached and queued. Raises Forbidden."""
    call.enforce("cache_list")
    rows = tx.select(CacheRow, "ORDER BY queued_at, image_id")
    found: dict[str, ImageRow] = {}
    if rows:
        marks = ", ".join("?" for _ in rows)
        chosen = tx.select(ImageRow, f"WHERE id IN ({marks})", *(row.image_id for row in rows))
        found = {image.id: image for image in chosen}
    return [(row, found.get(row.image_id)) for row in rows]


def queue(tx: Tx, call: Call, image_id: str) -> None:
    """Want a copy. Raises NotFound, Forbidden, BadRequest (not active)."""
    image = images.show(tx, call, image_id)
    call.enforce("cache_image", images.target_of(image))
    if image.status != "active":
        raise BadRequest("Only images with status active can be targeted for queueing")
    if tx.get(CacheRow, image_id) is None:
        tx.insert(CacheRow(image_id=image_id, queued_at=call.now))
        tx.ring(BELL, image_id)


def remove(tx: Tx, call: Call, image_id: str) -> None:
    """Forget a copy, or the wish for it. Raises NotFound, Forbidden."""
    row = tx.get(CacheRow, image_id)
    if row is None:
        images.show(tx, call, image_id)
        call.enforce("cache_delete")
        return
    call.enforce("cache_delete")
    drop(tx, row, call.now)


def clear(tx: Tx, call: Call, target: str) -> None:
    """Forget all copies, all wishes, or both. Raises Forbidden, BadRequest."""
    call.enforce("cache_delete")
    if target not in TARGETS:
        raise BadRequest("If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.")
    for row in tx.select(CacheRow):
        if not target or (target == "cache") == (row.status == "cached"):
            drop(tx, row, call.now)


def drop(tx: Tx, row: CacheRow, now: float) -> None:
    """Take a row away and leave its blob to the loop."""
    if row.blob:
        images.discard(tx, images.CACHE, row.blob, now)
    tx.delete(row)


def cached(tx: Tx, image_id: str, blob: str, size: int, now: float) -> None:
    """The copy is there; if it is not wanted any more, it goes."""
    row = tx.get(CacheRow, image_id)
    if row is None or row.status == "cached":
        if row is None or row.blob != blob:
            images.discard(tx, images.CACHE, blob, now)
        return
    tx.update(row, status="cached", blob=blob, size=size, cached_at=now, accessed_at=now)


def hit(tx: Tx, image_id: str, now: float) -> str:
    """The blob that serves a download, empty when there is none."""
    row = tx.get(CacheRow, image_id)
    if row is None or row.status != "cached":
        return ""
    tx.execute("UPDATE image_cache SET hits = hits + 1, accessed_at = ? WHERE image_id = ?", now, image_id)
    return row.blob
