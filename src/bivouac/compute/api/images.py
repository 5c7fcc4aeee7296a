"""`/images` until 2.35 and their metadata until 2.38: what Compute passed on to the image service."""

from typing import Annotated, Any

from msgspec import Meta

from bivouac.core.clock import iso_seconds
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import Request
from bivouac.image.records import ImageRow

from ..service import proxied_images as service
from .fields import Body, Key, Metadata, Value, bookmark, next_link, operation, whole_number, window
from .server_filters import moment

LAST, LAST_METADATA = (2, 35), (2, 38)


def _links(request: Request, id: str) -> list[dict[str, str]]:
    alternate = f"{request.application.origin(request)}/image/v2/images/{id}"
    return [
        *bookmark(request, "images", id),
        {"rel": "alternate", "type": "application/vnd.openstack.image", "href": alternate},
    ]


def _brief(request: Request, row: ImageRow) -> dict[str, Any]:
    return {"id": row.id, "name": row.name or "", "links": _links(request, row.id)}


def _detail(request: Request, row: ImageRow) -> dict[str, Any]:
    status = service.status_of(row)
    shape = _brief(request, row) | {
        "status": status,
        "created": iso_seconds(row.created_at),
        "updated": iso_seconds(row.updated_at),
        "minDisk": row.min_disk,
        "minRam": row.min_ram,
        "progress": {"ACTIVE": 100, "SAVING": 25 if row.status == "queued" else 50}.get(status, 0),
        "metadata": row.properties,
        "OS-EXT-IMG-SIZE:size": row.size or 0,
    }
    if server_id := row.properties.get("instance_uuid"):
        bookmark_url = f"{request.base_url.removesuffix('/v2.1')}/servers/{server_id}"
        shape["server"] = {
            "id": server_id,
            "links": [
                {"rel": "self", "href": f"{request.base_url}/servers/{server_id}"},
                {"rel": "bookmark", "href": bookmark_url},
            ],
        }
    if (config := row.properties.get("auto_disk_config")) is not None:
        shape["OS-DCF:diskConfig"] = "AUTO" if config.lower() in ("true", "1") else "MANUAL"
    return shape


async def _list(request: Request, shape: Any) -> dict[str, Any]:
    part = window(request)
    query = dict(request.query)
    kind = query.get("type") or query.get("property-image_type") or ""
    server = query.get("server") or query.get("property-instance_uuid") or ""
    since = moment("changes-since", query["changes-since"]) if "changes-since" in query else None
    filters = service.ImageFilters(
        query.get("name", ""), query.get("status", ""), kind.lower(), server.rpartition("/")[2], since,
        whole_number("minDisk", query.get("minDisk") or "0"), whole_number("minRam", query.get("minRam") or "0"),
    )  # fmt: skip
    rows = await request.read(service.list_images, filters, part.limit, part.marker)
    more = next_link(request, "images", [row.id for row in rows], part.limit) if part.asked and part.limit else {}
    return {"images": [shape(request, row) for row in rows], **more}


async def listing(request: Request) -> dict[str, Any]:
    return await _list(request, _brief)


async def detail(request: Request) -> dict[str, Any]:
    return await _list(request, _detail)


async def show(request: Request, id: str) -> dict[str, Any]:
    return {"image": _detail(request, await request.read(service.get_image, id))}


async def delete(request: Request, id: str) -> None:
    await request.write(service.delete_image, id)


async def delete_nothing(request: Request) -> None:
    raise NotFound("The resource could not be found.")


# --- metadata ------------------------------------------------------------------------------------------------------


class MetaItem(Body):
    meta: Annotated[dict[Key, Value], Meta(min_length=1, max_length=1)]


async def list_metadata(request: Request, id: str) -> dict[str, Any]:
    return {"metadata": (await request.read(service.get_image, id)).properties}


async def set_metadata(request: Request, id: str) -> dict[str, Any]:
    return {"metadata": await request.write(service.set_metadata, id, request.body, True)}


async def add_metadata(request: Request, id: str) -> dict[str, Any]:
    return {"metadata": await request.write(service.set_metadata, id, request.body, False)}


async def show_item(request: Request, id: str, key: str) -> dict[str, Any]:
    properties = (await request.read(service.get_image, id)).properties
    if key not in properties:
        raise NotFound("Metadata item was not found")
    return {"meta": {key: properties[key]}}


async def set_item(request: Request, id: str, key: str) -> dict[str, Any]:
    if key not in request.body.meta:
        raise BadRequest("Request body and URI mismatch")
    await request.write(service.set_metadata, id, request.body.meta, False)
    return {"meta": request.body.meta}


async def delete_item(request: Request, id: str, key: str) -> None:
    await request.write(service.delete_metadata, id, key)


_R = "os_compute_api:images"
_M = "/images/{id}/metadata"
ROUTES = [
    operation("GET", "/images", listing, _R, until=LAST),
    operation("DELETE", "/images", delete_nothing, _R, status=204, until=LAST),
    operation("GET", "/images/detail", detail, _R, until=LAST),
    operation("GET", "/images/{id}", show, _R, until=LAST),
    operation("DELETE", "/images/{id}", delete, _R, status=204, until=LAST),
    operation("GET", _M, list_metadata, _R, until=LAST_METADATA),
    operation("PUT", _M, set_metadata, _R, body=Metadata, envelope="metadata", until=LAST_METADATA),
    operation("POST", _M, add_metadata, _R, body=Metadata, envelope="metadata", until=LAST_METADATA),
    operation("GET", _M + "/{key}", show_item, _R, until=LAST_METADATA),
    operation("PUT", _M + "/{key}", set_item, _R, body=MetaItem, until=LAST_METADATA),
    operation("DELETE", _M + "/{key}", delete_item, _R, status=204, until=LAST_METADATA),
]
