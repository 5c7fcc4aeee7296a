"""Bytes of images: upload and download as streams, with ranges and conditions."""

import re

from bivouac.core.blobs import Blob
from bivouac.core.errors import BadRequest, NotFound, RangeNotSatisfiable, Unavailable, UnsupportedMediaType
from bivouac.core.http import Request, Response, Route

from ..outside import FetchFailed
from ..records import CacheRow, ImageRow
from ..service import cache, transfers
from ..service.images import CACHE, target_of
from ..transfer import ImageService

_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")
_OLD_RANGE = re.compile(r"^bytes +(\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)$")


async def upload(request: Request, image_id: str) -> None:
    """Fill a queued image with the request's body."""
    service: ImageService = request.mount.service
    check_octets(request)
    store = request.headers.get("x-image-meta-store", "")
    await service.upload(request.call, image_id, request.stream(), declared_size(request), store)


def check_octets(request: Request) -> None:
    """Raises UnsupportedMediaType unless the body is declared as plain bytes."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/octet-stream":
        raise UnsupportedMediaType(f"Invalid content type {media_type}: application/octet-stream is wanted.")


def declared_size(request: Request) -> int | None:
    """The size of the body as the client gives it, None when it does not. Raises BadRequest."""
    text = request.headers.get("x-openstack-image-size", request.headers.get("content-length"))
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,18}", text):
        raise BadRequest("Invalid or missing image size in request headers.")
    return int(text)


async def download(request: Request, image_id: str) -> Response:
    """The bytes of an image, or a range of them."""
    service: ImageService = request.mount.service
    image = await request.read(transfers.readable, image_id)
    if not image.stores and (blob := await _from_cache(service, request, image)):
        return _answer(request, image, blob, {"Accept-Ranges": "bytes"})
    if not image.stores:
        return await _from_outside(service, image) if image.locations else Response(None, 204)
    headers = {"Accept-Ranges": "bytes"}
    if image.checksum:
        headers |= {"Content-MD5": image.checksum, "ETag": f'"{image.checksum}"'}
    if _unchanged(request, image):
        return Response(None, 304, headers)
    preferred = _preferred_stores(request, image)
    blob = await _from_cache(service, request, image) or service.open(image, preferred)
    return _answer(request, image, blob, headers)


def _preferred_stores(request: Request, image: ImageRow) -> list[str]:
    """Stores that the client would rather have the bytes from. Raises Forbidden, BadRequest (no such store)."""
    service: ImageService = request.mount.service
    preferred = [one.strip() for one in (request.query_value("prefer") or "").split(",") if one.strip()]
    if preferred:
        request.call.enforce("download_from_store", target_of(image))
    if unknown := [one for one in preferred if one not in service.store_names]:
        raise BadRequest(f"Store '{unknown[0]}' is not configured.")
    return preferred


async def _from_cache(service: ImageService, request: Request, image: ImageRow) -> Blob | None:
    """The copy in the cache, if there is one."""
    if not await request.read(lambda tx, call: tx.get(CacheRow, image.id)):
        return None
    key = await service.store.write(cache.hit, image.id, request.call.now)
    try:
        return service.blobs[CACHE].open(key) if key else None
    except NotFound:
        return None


async def _from_outside(service: ImageService, image: ImageRow) -> Response:
    """The bytes of an image that lie elsewhere, passed on."""
    try:
        fetched = await service.outside.fetch(image.locations[0].url)
    except FetchFailed as error:
        raise Unavailable(f"The image's location does not answer: {error.message}") from error
    headers = {"Content-Length": str(fetched.size)} if fetched.size is not None else {}
    if image.checksum:
        headers["Content-MD5"] = image.checksum
    return Response(None, 200, headers, "application/octet-stream", fetched.stream())


def _answer(request: Request, image: ImageRow, blob: Blob, headers: dict[str, str]) -> Response:
    try:
        asked = byte_range(request.headers, blob.size, image.checksum)
    except (RangeNotSatisfiable, BadRequest):
        blob.close()
        raise
    start, stop = asked or (0, blob.size)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
    return Response(None, 206 if asked else 200, headers, "application/octet-stream", file=blob.part(start, stop))


def _unchanged(request: Request, image: ImageRow) -> bool:
    """RFC 9110, section 13.1.2: the client has these very bytes."""
    known = [one.strip().removeprefix("W/").strip('"') for one in request.headers.get("if-none-match", "").split(",")]
    return "*" in known or (image.checksum is not None and image.checksum in known)


def byte_range(headers: dict[str, str], size: int, checksum: str | None) -> tuple[int, int] | None:
    """[start, stop) of one asked range, None for all (RFC 9110, section 14). Older clients of Glance ask by
    `Content-Range`. Raises RangeNotSatisfiable, BadRequest (several ranges).
    """
    text = headers.get("range", "").strip()
    if not text and "content-range" in headers:
        old = _OLD_RANGE.match(headers["content-range"].strip())
        if old is None or int(old[2]) >= size:
            raise _no_range(size)
        text = f"bytes={old[1]}-{old[2]}"
    condition = headers.get("if-range", "").strip().strip('"')
    if not text or (condition and condition != checksum):
        return None
    match = _RANGE.match(text)
    if match is None or match.groups() == ("", ""):
        if "," in text:
            raise BadRequest("Requests with multiple ranges are not supported. Ask for them one by one.")
        raise _no_range(size)
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    if start >= stop:
        raise _no_range(size)
    return start, stop


def _no_range(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable("No byte of the asked range exists.", headers={"Content-Range": f"bytes */{size}"})


_FILE = "/v2/images/{image_id}/file"
ROUTES = [
    Route(method="PUT", path=_FILE, handler=upload, rule="upload_image", status=204, late=True),
    Route(method="GET", path=_FILE, handler=download, rule="download_image", late=True),
]
