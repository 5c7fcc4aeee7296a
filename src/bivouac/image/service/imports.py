"""Imports: what is asked, what must hold before, and how the image's row moves while a task works on it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bivouac.core.blobs import Digests
from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Error, NotFound
from bivouac.core.ids import is_uuid, new_hex
from bivouac.core.store import Tx

from .. import states
from ..records import ImageRow, Location, Staged, TaskRow
from . import images, locations, quota, tasks, transfers

METHODS = ("glance-direct", "web-download", "copy-image", "glance-download")
STAGED_FOR_S = 24 * 3600.0
"""Staged bytes that nobody imports are given up after this."""
COPIED_PROPERTIES = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
"""What glance-download takes over from the other image (Glance's `extra_properties`)."""
_ACTION = {"glance-direct": "import_staged", "web-download": "import", "glance-download": "import"}


class ImportRequest(Struct, frozen=True):
    """A checked request. `stores`: where the bytes go, in order."""

    method: str
    parameters: dict[str, Any]
    stores: tuple[str, ...]
    all_must_succeed: bool
    body: dict[str, Any]


def parse(body: Mapping[str, Any], store_names: Sequence[str]) -> ImportRequest:
    """Raises BadRequest, Conflict (a store that is not there)."""
    method = body.get("method")
    if not isinstance(method, dict) or "name" not in method:
        raise BadRequest("Import request requires a 'method' field with a 'name'.")
    name = method["name"]
    if name not in METHODS:
        raise BadRequest(f"Unknown import method name '{name}'.")
    flags = {"all_stores": False, "all_stores_must_succeed": True}
    for flag in flags:
        flags[flag] = body.get(flag, flags[flag])
        if not isinstance(flags[flag], bool):
            raise BadRequest(f"'{flag}' must be boolean value only")
    stores = body.get("stores")
    if stores is not None and (not isinstance(stores, list) or not all(isinstance(one, str) for one in stores)):
        raise BadRequest("'stores' must be a list of store identifiers")
    if stores and flags["all_stores"]:
        raise BadRequest("'stores' and 'all_stores' cannot be combined")
    wanted = list(store_names) if flags["all_stores"] else list(dict.fromkeys(stores or store_names[:1]))
    if unknown := [one for one in wanted if one not in store_names]:
        raise Conflict(f"Store {unknown[0]} is not available; there are: {', '.join(store_names)}.")
    parameters = {key: value for key, value in method.items() if key != "name"}
    _check_parameters(name, parameters)
    return ImportRequest(name, parameters, tuple(wanted), flags["all_stores_must_succeed"], dict(body))


def _check_parameters(name: str, parameters: dict[str, Any]) -> None:
    if name == "web-download" and not isinstance(parameters.get("uri"), str):
        raise BadRequest("'uri' needs to be set for web-download import method")
    if name == "glance-download":
        for needed in ("glance_region", "glance_image_id"):
            if not isinstance(parameters.get(needed), str):
                raise BadRequest(f"'{needed}' needs to be set for glance-download import method")
        if not is_uuid(parameters["glance_image_id"]):
            raise BadRequest(f"Remote image id does not look like a UUID: {parameters['glance_image_id'][:100]}")


def request_import(tx: Tx, call: Call, image_id: str, asked: ImportRequest) -> TaskRow | None:
    """Claim the image and leave a task. None when there is nothing to copy. Raises NotFound, Forbidden, Conflict."""
    image = images.show(tx, call, image_id)
    if asked.method == "copy-image":
        return _request_copy(tx, call, image, asked)
    call.enforce("modify_image", images.target_of(image))
    if tasks.busy(tx, image_id):
        raise Conflict(f"New operation on image '{image_id}' is not permitted as prior operation is still in progress")
    if asked.method == "glance-direct" and image.status == "queued":
        raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
    states.after(image.status, _ACTION[asked.method])
    if asked.method == "glance-direct" and image.staged is None:
        raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
    size = image.staged.size if image.staged is not None else 0
    quota.enforce(tx, image.owner, image_size_total=quota.mib(size) * len(asked.stores))
    for needed in ("container_format", "disk_format"):
        if not getattr(image, needed):
            raise Conflict(f"'{needed}' needs to be set before import")
    claimed = transfers.begin(tx, image, _ACTION[asked.method], call.now)
    return _add_task(tx, call, claimed, asked)


def _request_copy(tx: Tx, call: Call, image: ImageRow, asked: ImportRequest) -> TaskRow | None:
    if image.status != "active":
        raise Conflict("Only images with status active can be targeted for copying")
    call.enforce("copy_image", images.target_of(image))
    if tasks.busy(tx, image.id):
        raise Conflict(f"New operation on image '{image.id}' is not permitted as prior operation is still in progress")
    wanted = tuple(store for store in asked.stores if store not in image.stores)
    if not wanted:
        if not asked.body.get("all_stores"):
            raise BadRequest(f"Image is already present at store '{asked.stores[0]}'")
        images.save(tx, image, call.now, importing_to_stores="", failed_import="")
        return None
    quota.enforce(tx, image.owner, image_size_total=quota.mib(image.size or 0) * len(wanted))
    return _add_task(tx, call, image, replace(asked, stores=wanted))


def _add_task(tx: Tx, call: Call, image: ImageRow, asked: ImportRequest) -> TaskRow:
    images.save(tx, image, call.now, importing_to_stores=",".join(asked.stores), failed_import="")
    details = {"image_id": image.id, "import_req": asked.body, "backend": list(asked.stores)}
    return tasks.add(tx, call, "api_image_import", details, image.id, image.owner)


def claim_image(tx: Tx, image_id: str, now: float) -> ImageRow:
    """The image of a task, with a transfer of its own: a task that is begun anew leaves the first one behind.

    Raises NotFound, Conflict (given up meanwhile).
    """
    image = tx.get(ImageRow, image_id)
    if image is None:
        raise NotFound("The image was deleted meanwhile.")
    if image.status not in ("importing", "active"):
        raise Conflict(f"The image is {image.status} meanwhile.")
    return tx.update(image, transfer=new_hex(), transfer_until=now + transfers.LEASE_S)


def stored(tx: Tx, image_id: str, transfer: str, store: str, blob: str, now: float) -> bool:
    """One more store has the bytes. False when nobody wants them any more."""
    image = tx.get(ImageRow, image_id)
    if image is None or image.transfer != transfer:
        images.discard(tx, store, blob, now)
        return False
    left = [one for one in (image.importing_to_stores or "").split(",") if one and one != store]
    images.save(tx, image, now, stores={**image.stores, store: blob}, importing_to_stores=",".join(left))
    return True


def not_stored(tx: Tx, image_id: str, transfer: str, store: str, now: float) -> None:
    """A store could not take the bytes."""
    image = tx.get(ImageRow, image_id)
    if image is not None and image.transfer == transfer:
        images.save(tx, image, now, **_failed(image, [store]))


def _failed(image: ImageRow, stores: Sequence[str]) -> dict[str, str]:
    left = [one for one in (image.importing_to_stores or "").split(",") if one and one not in stores]
    failed = [one for one in (image.failed_import or "").split(",") if one]
    return {"importing_to_stores": ",".join(left), "failed_import": ",".join(dict.fromkeys([*failed, *stores]))}


def succeed(tx: Tx, task_id: str, image_id: str, transfer: str, arrival: transfers.Arrival | None, now: float,
            changes: Mapping[str, Any] | None = None) -> bool:  # fmt: skip
    """Image and task done together. Without an arrival the image keeps what it has. False when it was given up."""
    image = tx.get(ImageRow, image_id)
    if image is None or image.transfer != transfer:
        if arrival is not None:
            transfers.finish(tx, image_id, transfer, arrival, now)
        tasks.end(tx, task_id, now, "The image was deleted or given up meanwhile.")
        return False
    if image.staged is not None:
        images.discard(tx, images.STAGING, image.staged.blob, now)
    fields: dict[str, Any] = {"staged": None, **(changes or {})}
    if arrival is None:
        status = image.status if image.status == "active" else states.after(image.status, "finish")
        images.save(tx, image, now, status=status, transfer="", transfer_until=None, **fields)
    else:
        images.save(tx, image, now, **fields)
        stores = dict(image.stores)
        transfers.finish(tx, image_id, transfer, arrival, now, {arrival.store: arrival.blob, **stores})
    done = tx.get(ImageRow, image_id)
    assert done is not None
    images.save(tx, done, now, importing_to_stores="")
    tasks.end(tx, task_id, now, result={"image_id": image_id})
    return True


def give_up(tx: Tx, task_id: str, image_id: str, transfer: str, reason: str, now: float) -> None:
    """The import failed: image back to queued (a copy leaves it active), the task says why."""
    image = tx.get(ImageRow, image_id)
    if image is not None and image.transfer == transfer and transfer:
        stores = [one for one in (image.importing_to_stores or "").split(",") if one]
        if image.status == "active":
            images.save(tx, image, now, transfer="", transfer_until=None, **_failed(image, stores))
        else:
            transfers.fail(tx, image_id, transfer, now, stores_failed=_failed(image, stores))
    tasks.end(tx, task_id, now, reason[:1000])


def begin_staging(tx: Tx, call: Call, image_id: str, size: int) -> ImageRow:
    """Queued to uploading; `size` in bytes as announced. Raises NotFound, Forbidden, Conflict, OverQuota."""
    image = images.for_change(tx, call, image_id, "modify_image")
    status = states.after(image.status, "stage")
    quota.enforce(tx, image.owner, image_stage_total=quota.mib(size), image_count_uploading=1)
    return images.save(
        tx, image, call.now, status=status, transfer=new_hex(), transfer_until=call.now + transfers.LEASE_S
    )


def end_staging(tx: Tx, image_id: str, transfer: str, blob: str, digests: Digests, now: float) -> ImageRow | None:
    """The bytes wait for their import; None when nobody wants them any more."""
    image = tx.get(ImageRow, image_id)
    if image is None or image.transfer != transfer:
        images.discard(tx, images.STAGING, blob, now)
        return None
    staged = Staged(blob, digests.size, digests.md5, digests.sha512)
    return images.save(tx, image, now, staged=staged, size=digests.size, transfer_until=now + STAGED_FOR_S)


# --- locations by their own call ---------------------------------------------------------------------------------


def request_location(tx: Tx, call: Call, image_id: str, url: str, validation: Mapping[str, str]) -> TaskRow:
    """A location whose bytes are read once, for their digests. Raises NotFound, Forbidden, Conflict, BadRequest."""
    image = images.show(tx, call, image_id)
    call.enforce("add_image_location", images.target_of(image))
    if image.status != "queued":
        raise Conflict(f"It's not allowed to add locations if image status is {image.status}.")
    if tasks.busy(tx, image_id):
        raise Conflict(f"New operation on image '{image_id}' is not permitted as prior operation is still in progress")
    claimed = transfers.begin(tx, image, "import", call.now)
    images.save(tx, claimed, call.now, locations=[Location(locations.check_url(url))])
    details = {"image_id": image_id, "loc_url": url, "validation_data": dict(validation)}
    return tasks.add(tx, call, "location_import", details, image_id, image.owner)


def check_validation(data: Any) -> dict[str, str]:
    """`validation_data` of a location. Raises BadRequest."""
    if data in (None, {}):
        return {}
    if not isinstance(data, dict) or data.keys() != {"os_hash_algo", "os_hash_value"}:
        raise BadRequest("validation_data has os_hash_algo and os_hash_value.")
    algorithm, value = data["os_hash_algo"], data["os_hash_value"]
    length = locations.DIGEST_HEX.get(algorithm) if isinstance(algorithm, str) else None
    if length is None:
        raise BadRequest(f"os_hash_algo must be one of {', '.join(locations.DIGEST_HEX)}.")
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", value):
        raise BadRequest(f"os_hash_value is not the correct size for {algorithm}: {length} hexadecimal digits.")
    return {"os_hash_algo": algorithm, "os_hash_value": value.lower()}


def fetch_locations(tx: Tx, call: Call, image_id: str) -> list[dict[str, Any]]:
    """All locations, for services. Raises NotFound, Forbidden."""
    image = images.show(tx, call, image_id)
    call.enforce("fetch_image_location", images.target_of(image))
    return locations.listed(image)


# --- the tasks API -----------------------------------------------------------------------------------------------


def request_task(tx: Tx, call: Call, body: Mapping[str, Any]) -> TaskRow:
    """A task of type import: it makes its image itself. Raises Forbidden, BadRequest."""
    call.enforce("tasks_api_access")
    if body.get("type") != "import":
        raise BadRequest("Task 'type' is required, and must be import.")
    details = body.get("input")
    if not isinstance(details, dict):
        raise BadRequest("Task 'input' is required.")
    for needed in ("import_from", "import_from_format", "image_properties"):
        if needed not in details:
            raise BadRequest(f"Input does not contain '{needed}' field")
    if not isinstance(details["image_properties"], dict):
        raise BadRequest("'image_properties' must be an object")
    fields = details["image_properties"] or {"disk_format": "qcow2", "container_format": "bare"}
    image = images.create(tx, call, fields)
    claimed = transfers.begin(tx, image, "import", call.now)
    images.save(tx, claimed, call.now, importing_to_stores="", failed_import="")
    return tasks.add(tx, call, "import", dict(details), image.id, image.owner)


def task_failure(error: Exception) -> str:
    """What a user reads of an error."""
    return error.message if isinstance(error, Error) else f"{type(error).__name__}: {error}"
