"""Images: create, list, show, change, delete, tags, deactivate."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import msgspec

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, MethodNotAllowed, NotFound, UnsupportedMediaType
from bivouac.core.http import Request, Response, Route

from ..records import ImageRow
from ..service import images, imports, listing, patch
from ..transfer import ImageService
from .wire import image_view

MAX_BODY_BYTES = 1 << 20
SHORT_PAGE = 100
"""Longer pages are made in a thread: a thousand images take 20 ms, in which others would wait."""
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_any = msgspec.json.Decoder().decode


async def json_body(request: Request, decode: Any = _decode_object) -> Any:
    """The body as JSON, whatever its media type says. Raises BadRequest, TooLarge."""
    raw = await request.body_bytes(MAX_BODY_BYTES)
    if b"\\u0000" in raw:
        raise BadRequest("Strings may not contain NUL characters.")
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Malformed JSON in request body: {error}") from error


def import_methods(request: Request) -> dict[str, str]:
    """Headers that say how bytes may come in."""
    service: ImageService = request.mount.service
    return {
        "OpenStack-image-import-methods": ",".join(imports.METHODS),
        "OpenStack-image-store-ids": ",".join(service.store_names),
    }


async def create(request: Request) -> Response:
    """Create an image in status queued."""
    body = await json_body(request)
    image = await request.write(images.create, body)
    headers = {"Location": f"{request.base_url}/v2/images/{image.id}", **import_methods(request)}
    return Response(image_view(image, request.call), 201, headers)


async def list_images(request: Request) -> dict[str, Any]:
    """One page of the images that the caller sees."""
    if request.path.endswith("/"):
        raise NotFound("No image found with an empty ID")
    query = listing.parse(request.query)
    if query.page.limit is not None and query.page.limit <= SHORT_PAGE:
        found = await request.read(listing.list_images, query)
        views = _views(found, request.call)
    else:
        found, views = await asyncio.to_thread(_long_page, request, query)
    pairs = [(name, value) for name, value in request.query if name != "marker"]
    body = {
        "images": views,
        "first": "/v2/images" + (f"?{urlencode(pairs)}" if pairs else ""),
        "schema": "/v2/schemas/images",
    }
    if found and len(found) == query.page.limit:
        body["next"] = f"/v2/images?{urlencode([*pairs, ('marker', found[-1].id)])}"
    return body


def _views(found: list[ImageRow], call: Call) -> list[dict[str, Any]]:
    return [image_view(image, call) for image in found]


def _long_page(request: Request, query: listing.ImageQuery) -> tuple[list[ImageRow], list[dict[str, Any]]]:
    found = request.application.store.read_now(listing.list_images, request.call, query)
    return found, _views(found, request.call)


async def without_id(request: Request) -> None:
    """A verb that needs an image, without one."""
    if request.path.endswith("/"):
        raise NotFound("No image found with an empty ID")
    raise MethodNotAllowed("The method is not allowed for this resource.", headers={"Allow": "GET, POST"})


async def show(request: Request, image_id: str) -> dict[str, Any]:
    """Show an image."""
    return image_view(await request.read(images.show, image_id), request.call)


async def update(request: Request, image_id: str) -> dict[str, Any]:
    """Change an image by JSON patch."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (patch.MEDIA_TYPE, patch.OLD_MEDIA_TYPE):
        accepted = f"{patch.OLD_MEDIA_TYPE}, {patch.MEDIA_TYPE}"
        raise UnsupportedMediaType(
            f"Image PATCH expects Content-Type one of: {accepted}", headers={"Accept-Patch": accepted}
        )
    changes = patch.parse(await json_body(request, _decode_any), media_type)
    for url in patch.new_locations(changes):
        request.mount.service.outside.check(url)
    return image_view(await request.write(patch.apply, image_id, changes), request.call)


async def delete(request: Request, image_id: str) -> None:
    """Delete an image."""
    await request.write(images.delete, image_id)


async def add_tag(request: Request, image_id: str, tag: str) -> None:
    """Add a tag to an image."""
    await request.write(images.add_tag, image_id, tag)


async def remove_tag(request: Request, image_id: str, tag: str) -> None:
    """Remove a tag from an image."""
    await request.write(images.remove_tag, image_id, tag)


async def deactivate(request: Request, image_id: str) -> None:
    """Withhold the bytes of an image."""
    await request.write(images.set_active, image_id, False)


async def reactivate(request: Request, image_id: str) -> None:
    """Give the bytes of an image again."""
    await request.write(images.set_active, image_id, True)


_ONE = "/v2/images/{image_id}"
ROUTES = [
    Route(method="POST", path="/v2/images", handler=create, rule="add_image", status=201, late=True),
    Route(method="GET", path="/v2/images", handler=list_images, rule="get_images", late=True),
    Route(method="DELETE", path="/v2/images", handler=without_id, rule="get_images"),
    Route(method="PATCH", path="/v2/images", handler=without_id, rule="get_images"),
    Route(method="GET", path=_ONE, handler=show, rule="get_image", late=True),
    Route(method="PATCH", path=_ONE, handler=update, rule="modify_image", late=True),
    Route(method="DELETE", path=_ONE, handler=delete, rule="delete_image", status=204, late=True),
    Route(method="PUT", path=f"{_ONE}/tags/{{tag}}", handler=add_tag, rule="modify_image", status=204, late=True),
    Route(method="DELETE", path=f"{_ONE}/tags/{{tag}}", handler=remove_tag, rule="modify_image", status=204, late=True),
    Route(
        method="POST", path=f"{_ONE}/actions/deactivate", handler=deactivate, rule="deactivate", status=204, late=True
    ),
    Route(
        method="POST", path=f"{_ONE}/actions/reactivate", handler=reactivate, rule="reactivate", status=204, late=True
    ),
]
