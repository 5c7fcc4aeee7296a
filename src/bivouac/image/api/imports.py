"""Interoperable import: staging, import methods, stores, tasks of an image, locations by their own call."""

from typing import Any

from bivouac.core.blobs import BLOCK_BYTES
from bivouac.core.errors import BadRequest, Conflict
from bivouac.core.http import Request, Response, Route

from ..records import TaskRow
from ..service import images, imports, stores, tasks
from ..transfer import LOCAL, ImageService
from .data import check_octets, declared_size
from .images import json_body
from .tasks import task_view


async def stage(request: Request, image_id: str) -> None:
    """Keep the bytes of an image for its import."""
    service: ImageService = request.mount.service
    check_octets(request)
    await service.stage(request.call, image_id, request.stream(), declared_size(request))


async def import_image(request: Request, image_id: str) -> Response:
    """Import an image by one of the methods."""
    service: ImageService = request.mount.service
    body = await json_body(request)
    await request.read(images.show, image_id)
    if "stores" not in body and "all_stores" not in body and (named := request.headers.get("x-image-meta-store")):
        body["stores"] = [named]
    asked = imports.parse(body, service.store_names)
    if asked.method == "web-download":
        service.outside.check(asked.parameters["uri"])
    await request.write(imports.request_import, image_id, asked)
    return Response(None, 202)


async def image_tasks(request: Request, image_id: str) -> dict[str, Any]:
    """Tasks that work or worked on an image."""
    found = await request.read(_tasks_of, image_id)
    return {"tasks": [task_view(task) for task in found]}


def _tasks_of(tx: Any, call: Any, image_id: str) -> list[TaskRow]:
    images.show(tx, call, image_id)
    return tasks.of_image(tx, image_id)


async def import_info(request: Request) -> dict[str, Any]:
    """The import methods."""
    value = list(imports.METHODS)
    return {"import-methods": {"description": "Import methods available.", "type": "array", "value": value}}


async def stores_info(request: Request) -> dict[str, Any]:
    """The stores."""
    service: ImageService = request.mount.service
    return {"stores": [_store_view(name) for name in service.store_names]}


def _store_view(name: str) -> dict[str, Any]:
    return {"id": name, "default": "true"} if name == LOCAL else {"id": name}


async def stores_detail(request: Request) -> dict[str, Any]:
    """The stores, with what an operator wants to know."""
    service: ImageService = request.mount.service
    return {
        "stores": [
            {
                **_store_view(name),
                "type": "file",
                "properties": {
                    "data_dir": str(service.blobs[name].folder),
                    "chunk_size": BLOCK_BYTES,
                    "thin_provisioning": False,
                    "free_bytes": service.blobs[name].free_bytes(),
                },
                "weight": 0,
            }
            for name in service.store_names
        ]
    }


async def delete_from_store(request: Request, store: str, image_id: str) -> None:
    """Remove one of several copies of an image."""
    service: ImageService = request.mount.service
    if store not in service.store_names:
        raise Conflict(f"The selected store {store} is not available on this node.")
    await request.write(stores.remove_copy, image_id, store)


async def add_location(request: Request, image_id: str) -> Response:
    """Give a queued image bytes that lie elsewhere."""
    service: ImageService = request.mount.service
    body = await json_body(request)
    await request.read(images.show, image_id)
    if not isinstance(body.get("url"), str) or not body.keys() <= {"url", "validation_data"}:
        raise BadRequest("A location has the members url and validation_data.")
    validation = imports.check_validation(body.get("validation_data"))
    service.outside.check(body["url"])
    await request.write(imports.request_location, image_id, body["url"], validation)
    return Response(None, 202)


async def show_locations(request: Request, image_id: str) -> list[dict[str, Any]]:
    """All locations of an image."""
    return await request.read(imports.fetch_locations, image_id)


_ONE = "/v2/images/{image_id}"
ROUTES = [
    Route(method="PUT", path=f"{_ONE}/stage", handler=stage, rule="modify_image", status=204, late=True),
    Route(method="POST", path=f"{_ONE}/import", handler=import_image, rule="modify_image", status=202, late=True),
    Route(method="GET", path=f"{_ONE}/tasks", handler=image_tasks, rule="get_image", late=True),
    Route(
        method="POST", path=f"{_ONE}/locations", handler=add_location, rule="add_image_location", status=202, late=True
    ),
    Route(method="GET", path=f"{_ONE}/locations", handler=show_locations, rule="fetch_image_location", late=True),
    Route(method="GET", path="/v2/info/import", handler=import_info, rule="authenticated"),
    Route(method="GET", path="/v2/info/stores", handler=stores_info, rule="authenticated"),
    Route(method="GET", path="/v2/info/stores/detail", handler=stores_detail, rule="stores_info_detail"),
    Route(
        method="DELETE", path="/v2/stores/{store}/{image_id}", handler=delete_from_store,
        rule="delete_image_location", status=204, late=True,
    ),
]  # fmt: skip
