"""Changing an image by JSON patch: the two media types that Glance reads, and what each operation means."""

import re
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, OverQuota
from bivouac.core.store import Tx

from ..records import ImageRow
from . import images, locations

OLD_MEDIA_TYPE = "application/openstack-images-v2.0-json-patch"
"""`{"replace": "/name", "value": ...}` (draft 4 of JSON Patch)."""
MEDIA_TYPE = "application/openstack-images-v2.1-json-patch"
"""`{"op": "replace", "path": "/name", "value": ...}` (draft 10, as RFC 6902)."""
_OPERATIONS = ("add", "remove", "replace")
_LOCATION_DEPTH = {"add": 2, "remove": 2, "replace": 1}


class Change(Struct, frozen=True):
    """One operation: `path` is the decoded pointer."""

    operation: Literal["add", "remove", "replace"]
    path: tuple[str, ...]
    value: Any = None
    strict_add: bool = False
    """The old media type: adding what is there is a conflict."""


def parse(body: Any, media_type: str) -> list[Change]:
    """The operations of a body. Raises BadRequest, Forbidden (read-only and reserved names)."""
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    changes = []
    for raw in body:
        if not isinstance(raw, dict):
            raise BadRequest("Operations must be JSON objects.")
        operation, pointer = _operation(raw, media_type == OLD_MEDIA_TYPE)
        path = _path(pointer)
        wanted = _LOCATION_DEPTH[operation] if path[0] == "locations" else 1
        if len(path) != wanted:
            raise BadRequest(f"Invalid JSON pointer for this resource: '/{'/'.join(path)}'")
        if operation != "remove" and "value" not in raw:
            raise BadRequest(f'Operation "{operation}" requires a member named "value".')
        _check_name(path[0])
        changes.append(Change(operation, path, raw.get("value"), media_type == OLD_MEDIA_TYPE))
    return changes


def _operation(raw: dict[str, Any], old: bool) -> tuple[Any, Any]:
    if old:
        found = [name for name in _OPERATIONS if name in raw]
        if len(found) != 1:
            raise BadRequest('Operation objects must contain exactly one member named "add", "remove", or "replace".')
        return found[0], raw[found[0]]
    operation = raw.get("op")
    if operation not in _OPERATIONS:
        raise BadRequest(f"Invalid operation: `{operation}`. It must be one of the following: add, remove, replace.")
    if "path" not in raw:
        raise BadRequest("Unable to find 'path' in JSON Schema change")
    return operation, raw["path"]


def _path(pointer: Any) -> tuple[str, ...]:
    """A JSON pointer's decoded parts (RFC 6901)."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise BadRequest(f'Pointer `{pointer}` does not start with "/".')
    if re.search(r"~(?![01])", pointer):
        raise BadRequest(f'Pointer `{pointer}` contains "~" not part of a recognized escape sequence.')
    parts = tuple(part.replace("~1", "/").replace("~0", "~").strip() for part in pointer[1:].split("/"))
    if not all(parts):
        raise BadRequest(f"Pointer `{pointer}` has an empty part.")
    return parts


def _check_name(name: str) -> None:
    if name in images.READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in images.RESERVED or name.startswith(images.RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def new_locations(changes: list[Change]) -> list[str]:
    """URLs that the changes bring in, to be held against what may be fetched."""
    values: list[Any] = []
    for change in changes:
        if change.path[0] == "locations" and change.operation != "remove":
            values += change.value if isinstance(change.value, list) else [change.value]
    urls = [value.get("url") for value in values if isinstance(value, dict)]
    return [url for url in urls if isinstance(url, str) and not url.startswith(locations.OWN_SCHEME)]


def apply(tx: Tx, call: Call, image_id: str, changes: list[Change]) -> ImageRow:
    """All changes or none. Raises NotFound, BadRequest, Forbidden, Conflict, OverQuota."""
    image = images.show(tx, call, image_id)
    if not any(change.path[0] == "visibility" or change.path[0] == "locations" for change in changes):
        call.enforce("modify_image", images.target_of(image))
    properties = dict(image.properties)
    fields: dict[str, Any] = {}
    for change in changes:
        name = change.path[0]
        if name == "locations":
            fields |= locations.change(call, images_with(image, fields), change)
        elif name in images.SETTABLE:
            fields |= _change_field(tx, call, images_with(image, fields), change)
        else:
            call.enforce("modify_image", images.target_of(image))
            _change_property(properties, change)
    if len(properties) > images.MAX_PROPERTIES:
        raise OverQuota(
            f"The limit has been exceeded on the number of allowed image properties: {images.MAX_PROPERTIES}."
        )
    return images.save(tx, image, call.now, properties=properties, **fields)


def images_with(image: ImageRow, fields: dict[str, Any]) -> ImageRow:
    """The image as the changes so far make it."""
    return replace(image, **fields) if fields else image


def _change_field(tx: Tx, call: Call, image: ImageRow, change: Change) -> dict[str, Any]:
    name = change.path[0]
    if change.operation == "remove":
        raise Forbidden(f"Property {name} may not be removed.")
    if change.operation == "add" and change.strict_add:
        raise Conflict(f"Property {name} already present.")
    return images.set_field(tx, call, image, name, change.value)


def _change_property(properties: dict[str, str], change: Change) -> None:
    name = change.path[0]
    if change.operation == "add":
        if change.strict_add and name in properties:
            raise Conflict(f"Property {name} already present.")
    elif name not in properties:
        raise Conflict(f"Property {name} does not exist.")
    if change.operation == "remove":
        del properties[name]
    else:
        properties[name] = images.checked_property(name, change.value)
