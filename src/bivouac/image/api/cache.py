"""The cache API: what is kept beside us, and what shall be."""

import asyncio
from typing import Any

from bivouac.core.blobs import Blobs
from bivouac.core.clock import iso_seconds
from bivouac.core.http import Request, Response, Route

from ..records import CacheRow
from ..service import cache, quota
from ..service.images import CACHE
from ..transfer import ImageService


async def show(request: Request) -> dict[str, Any]:
    """Images that are cached, and those that are queued for it."""
    found = await request.read(cache.show_all)
    return {
        "cached_images": [
            {
                "image_id": row.image_id,
                "hits": row.hits,
                "size": row.size,
                "checksum": image.checksum if image is not None else None,
                "last_accessed": row.accessed_at or 0.0,
                "last_modified": row.cached_at or 0.0,
                "cached_at": iso_seconds(row.cached_at),
            }
            for row, image in found
            if row.status == "cached"
        ],
        "queued_images": [row.image_id for row, _ in found if row.status == "queued"],
    }


async def queue(request: Request, image_id: str) -> Response:
    """Queue an image for caching."""
    await request.write(cache.queue, image_id)
    return Response(None, 202)


async def remove(request: Request, image_id: str) -> None:
    """Remove an image from cache and queue."""
    await request.write(cache.remove, image_id)


async def clear(request: Request) -> None:
    """Clear cache, queue or both."""
    await request.write(cache.clear, request.headers.get("x-image-cache-clear-target", "").lower())


async def clean(request: Request) -> None:
    """Forget copies that are not there any more, and what crashed fetches left."""
    service: ImageService = request.mount.service
    rows = await request.read(cache.all_cached)
    lost = await asyncio.to_thread(_lost, service.blobs[CACHE], rows)
    await request.write(cache.forget, lost)


def _lost(blobs: Blobs, rows: list[CacheRow]) -> list[CacheRow]:
    blobs.clean()
    return [row for row in rows if not blobs.exists(row.blob)]


async def prune(request: Request) -> dict[str, int]:
    """Make the cache as small as it shall be."""
    service: ImageService = request.mount.service
    files, size = await request.write(cache.prune, service.settings.cache_max_bytes)
    return {"total_files_pruned": files, "total_bytes_pruned": size}


async def nodes(request: Request, image_id: str) -> list[str]:
    """Where an image is cached: all of control shares one cache."""
    return [request.base_url] if await request.read(cache.is_cached, image_id) else []


async def usage(request: Request) -> dict[str, Any]:
    """Limits and use of the caller's project."""
    return {"usage": await request.read(quota.usage)}


ROUTES = [
    Route(method="GET", path="/v2/cache", handler=show, rule="cache_list", late=True),
    Route(method="DELETE", path="/v2/cache", handler=clear, rule="cache_delete", status=204, late=True),
    Route(method="PUT", path="/v2/cache/{image_id}", handler=queue, rule="cache_image", status=202, late=True),
    Route(method="DELETE", path="/v2/cache/{image_id}", handler=remove, rule="cache_delete", status=204, late=True),
    Route(method="POST", path="/v2/cache/clean", handler=clean, rule="cache_clean", late=True),
    Route(method="POST", path="/v2/cache/prune", handler=prune, rule="cache_prune", late=True),
    Route(method="GET", path="/v2/cache/nodes/{image_id}", handler=nodes, rule="list_cached_nodes", late=True),
    Route(method="GET", path="/v2/info/usage", handler=usage, rule="authenticated"),
]
