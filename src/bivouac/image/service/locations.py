"""Locations: bytes that lie elsewhere, at a URL that somebody gave.

The cloud's own blobs show up as a location too (`bivouac://STORE/IMAGE`), which can be removed like any other as long
as one stays, and which nobody can add.
"""

import re
from typing import TYPE_CHECKING, Any

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden

from .. import states
from ..records import ImageRow, Location
from . import images

if TYPE_CHECKING:
    from .patch import Change

OWN_SCHEME = "bivouac://"
HASH_ALGORITHM = "sha512"
DIGEST_HEX = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


def own_url(store: str, image_id: str) -> str:
    """What stands for the cloud's own copy."""
    return f"{OWN_SCHEME}{store}/{image_id}"


def listed(image: ImageRow) -> list[dict[str, Any]]:
    """All locations as the API shows them, own ones first."""
    own = [{"url": own_url(store, image.id), "metadata": {"store": store}} for store in image.stores]
    return own + [{"url": one.url, "metadata": one.metadata} for one in image.locations]


def change(call: Call, image: ImageRow, change: "Change") -> dict[str, Any]:
    """What a patch of `locations` sets. Raises BadRequest, Forbidden, Conflict."""
    if change.operation == "remove":
        call.enforce("delete_image_location", images.target_of(image))
        return _remove(image, change.path[1])
    call.enforce("set_image_location", images.target_of(image))
    if image.status not in ("queued", "active"):
        raise Conflict(f"It's not allowed to change locations if image status is {image.status}.")
    if change.operation == "add":
        return _add(image, change.path[1], change.value)
    return _replace(image, change.value)


def check_url(url: Any) -> str:
    """A URL that bytes can be read from. Raises BadRequest."""
    if not isinstance(url, str) or len(url) > 2048 or not re.match(r"^https?://[^/\s]+\S*$", url, re.IGNORECASE):
        raise BadRequest("Invalid location: only http and https URLs are taken.")
    return url


def _checked(value: Any) -> tuple[Location, dict[str, str]]:
    """(location, validation data) of an element. Raises BadRequest."""
    if not isinstance(value, dict) or not {"url", "metadata"} <= value.keys() <= {"url", "metadata", "validation_data"}:
        raise BadRequest("Invalid location: it has the members url, metadata and validation_data.")
    if not isinstance(value["metadata"], dict):
        raise BadRequest("Invalid location: metadata must be an object.")
    return Location(check_url(value["url"]), value["metadata"]), _checked_validation(value.get("validation_data", {}))


def _checked_validation(data: Any) -> dict[str, str]:
    if data == {}:
        return {}
    if (
        not isinstance(data, dict)
        or not {"os_hash_algo", "os_hash_value"} <= data.keys() <= {"checksum", "os_hash_algo", "os_hash_value"}
        or not all(isinstance(one, str) for one in data.values())
    ):
        raise BadRequest("Invalid validation_data: it has os_hash_algo, os_hash_value and, if wanted, checksum.")
    return data


def _add(image: ImageRow, position: str, value: Any) -> dict[str, Any]:
    location, validation = _checked(value)
    if location.url in [one["url"] for one in listed(image)]:
        raise BadRequest("The location already exists.")
    own, total = len(image.stores), len(image.stores) + len(image.locations)
    at = total if position == "-" else int(position) if position.isdigit() and len(position) < 6 else -1
    if not own <= at <= total:
        raise BadRequest("Invalid position for adding a location.")
    fields: dict[str, Any] = _validated(image, validation)
    fields["locations"] = [*image.locations[: at - own], location, *image.locations[at - own :]]
    if image.status == "queued":
        if image.disk_format is None or image.container_format is None:
            raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
        fields["status"] = states.after("queued", "add_location")
    return fields


def _validated(image: ImageRow, validation: dict[str, str]) -> dict[str, Any]:
    """Digests that a client vouches for: new ones only while queued, otherwise equal ones. Raises Conflict."""
    fields = {}
    for name, value in validation.items():
        current = getattr(image, name)
        if current == value:
            continue
        if current or image.status != "queued":
            raise Conflict(f"{name} is already set with a different value")
        fields[name] = value
    if fields:
        if fields.get("os_hash_algo") != HASH_ALGORITHM:
            raise Conflict(f"os_hash_algo must be {HASH_ALGORITHM}")
        for name, length in (("os_hash_value", DIGEST_HEX[HASH_ALGORITHM]), ("checksum", DIGEST_HEX["md5"])):
            if name in fields and not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", fields[name]):
                raise Conflict(f"{name} is not {length} hexadecimal digits")
    return fields


def _replace(image: ImageRow, value: Any) -> dict[str, Any]:
    """The same URLs with other metadata; other URLs only for an image without any."""
    if not isinstance(value, list):
        raise BadRequest("Invalid locations: a list is wanted.")
    if not value:
        raise Forbidden("Cannot set locations to empty list.")
    wanted = [_checked(one) if not str(one.get("url", "")).startswith(OWN_SCHEME) else None
              for one in value if isinstance(one, dict)]  # fmt: skip
    if len(wanted) != len(value):
        raise BadRequest("Invalid locations: a list of objects is wanted.")
    urls = [one["url"] for one in value]
    current = [one["url"] for one in listed(image)]
    if len(set(urls)) != len(urls):
        raise BadRequest("The location already exists.")
    if not current and image.status == "queued" and None not in wanted:
        if image.disk_format is None or image.container_format is None:
            raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
        fields: dict[str, Any] = {"status": states.after("queued", "add_location")}
        for one in wanted:
            assert one is not None
            fields |= _validated(image, one[1])
        return {**fields, "locations": [one[0] for one in wanted if one is not None]}
    if sorted(urls) != sorted(current):
        raise BadRequest("Original locations is not empty: it can be replaced only by the same URLs.")
    return {"locations": [one[0] for one in wanted if one is not None]}


def _remove(image: ImageRow, position: str) -> dict[str, Any]:
    if image.status != "active":
        raise Conflict(f"It's not allowed to remove locations if image status is {image.status}.")
    total = len(image.stores) + len(image.locations)
    at = total - 1 if position == "-" else int(position) if position.isdigit() and len(position) < 6 else -1
    if not 0 <= at < total:
        raise BadRequest("Invalid position for removing a location.")
    if total == 1:
        raise Forbidden("Cannot remove last location in the image.")
    if at < len(image.stores):
        raise Forbidden("A copy in a store is removed with DELETE /v2/stores/{store}/{image}.")
    at -= len(image.stores)
    return {"locations": [*image.locations[:at], *image.locations[at + 1 :]]}
