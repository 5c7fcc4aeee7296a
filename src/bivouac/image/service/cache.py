"""The image cache: copies of images that lie elsewhere (at a location, in a slow store), kept beside us.

A request only queues; the loop `image-cache` fetches. What is cached serves every later download.
"""

from collections.abc import Sequence

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


def all_cached(tx: Tx, call: Call) -> list[CacheRow]:
    """What is cached, for a look whether it is still there. Raises Forbidden."""
    call.enforce("cache_clean")
    return tx.select(CacheRow, "WHERE status = 'cached' ORDER BY image_id")


def forget(tx: Tx, call: Call, lost: Sequence[CacheRow]) -> None:
    """Rows whose copies are not there any more."""
    for row in lost:
        if tx.get(CacheRow, row.image_id) == row:
            tx.delete(row)


def prune(tx: Tx, call: Call, max_bytes: int) -> tuple[int, int]:
    """(copies, bytes) that went so that the cache fits its size. Raises Forbidden."""
    call.enforce("cache_prune")
    return shrink(tx, max_bytes, call.now)


def shrink(tx: Tx, max_bytes: int, now: float) -> tuple[int, int]:
    """Drop copies, those first that were read longest ago, until the cache fits; (copies, bytes) that went."""
    rows = tx.select(CacheRow, "WHERE status = 'cached' ORDER BY accessed_at, image_id")
    left, gone = sum(row.size for row in rows), 0
    total = left
    for row in rows:
        if left <= max_bytes:
            break
        drop(tx, row, now)
        left, gone = left - row.size, gone + 1
    return gone, total - left


def is_cached(tx: Tx, call: Call, image_id: str) -> bool:
    """Whether a copy of the image is beside us. Raises NotFound, Forbidden."""
    call.enforce("list_cached_nodes")
    images.show(tx, call, image_id)
    row = tx.get(CacheRow, image_id)
    return row is not None and row.status == "cached"


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
