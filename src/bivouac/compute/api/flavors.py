"""`/flavors`, their extra specs and access lists."""

import re
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from bivouac.core.errors import BadRequest
from bivouac.core.http import Request, Response
from bivouac.core.store import Page

from ..records import Flavor
from ..service import flavors as service
from .fields import MAX_INT, Body, Name, bookmark, flag, next_link, operation, whole_number, window

Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
Positive = Annotated[int, Meta(ge=1, le=MAX_INT)]
FlavorId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A(?! )[a-zA-Z0-9. _-]+(?<! )\Z")]
Specs = dict[
    Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9\-_:. ]{1,255}\Z")],
    Annotated[str, Meta(max_length=255)] | int | float,
]
_MEMORY_PAGES = re.compile(r"\A(large|small|any|\d+([kMGT]i?(b|bit|B)?)?)\Z")
CHECKED: dict[str, re.Pattern[str]] = {
    "hw:cpu_policy": re.compile(r"\A(dedicated|shared|mixed)\Z"),
    "hw:cpu_thread_policy": re.compile(r"\A(prefer|isolate|require)\Z"),
    "hw:numa_nodes": re.compile(r"\A[1-9]\d*\Z"),
    "hw:mem_page_size": _MEMORY_PAGES,
    "hw:cpu_sockets": re.compile(r"\A[1-9]\d*\Z"),
    "hw:cpu_cores": re.compile(r"\A[1-9]\d*\Z"),
    "hw:cpu_threads": re.compile(r"\A[1-9]\d*\Z"),
    "hw:watchdog_action": re.compile(r"\A(none|pause|poweroff|reset|disabled)\Z"),
}


class NewFlavor(Body):
    name: Name
    ram: Positive
    vcpus: Positive
    disk: Count
    id: FlavorId | int | None = None
    ephemeral: Count = field(default=0, name="OS-FLV-EXT-DATA:ephemeral")
    swap: Count = 0
    rxtx_factor: Annotated[float, Meta(gt=0, le=3.40282e38)] = 1.0
    is_public: bool = field(default=True, name="os-flavor-access:is_public")
    description: Annotated[str, Meta(max_length=65535)] | None | UnsetType = UNSET


class FlavorChange(Body):
    description: Annotated[str, Meta(max_length=65535)] | None


def view(request: Request, flavor: Flavor, detail: bool = True) -> dict[str, Any]:
    """A flavor as the API shows it."""
    shape: dict[str, Any] = {"id": flavor.id, "name": flavor.name, "links": bookmark(request, "flavors", flavor.id)}
    if request.version >= (2, 55):
        shape["description"] = flavor.description
    if not detail:
        return shape
    shape |= {
        "ram": flavor.memory_mib,
        "disk": flavor.root_gib,
        "vcpus": flavor.vcpus,
        "swap": flavor.swap_mib or (0 if request.version >= (2, 75) else ""),
        "rxtx_factor": flavor.rxtx_factor,
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gib,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "os-flavor-access:is_public": flavor.is_public,
    }
    if request.version >= (2, 61):
        shape["extra_specs"] = flavor.extra_specs
    return shape


async def create(request: Request) -> dict[str, Any]:
    new: NewFlavor = request.body
    if new.description is not UNSET and request.version < (2, 55):
        raise BadRequest("Additional properties are not allowed ('description' was unexpected)")
    fields = {
        "id": "" if new.id in (None, "auto") else str(new.id), "name": new.name, "memory_mib": new.ram,
        "vcpus": new.vcpus, "root_gib": new.disk, "ephemeral_gib": new.ephemeral, "swap_mib": new.swap,
        "rxtx_factor": new.rxtx_factor, "is_public": new.is_public,
        "description": None if new.description is UNSET else new.description,
    }  # fmt: skip
    return {"flavor": view(request, await request.write(service.create_flavor, fields))}


async def listing(request: Request, detail: bool = False) -> dict[str, Any]:
    part = window(request)
    sort_key = request.query_value("sort_key", "flavorid") or "flavorid"
    way = request.query_value("sort_dir", "asc")
    if sort_key not in service.SORT_COLUMNS or way not in ("asc", "desc"):
        raise BadRequest(f"Invalid sort: {sort_key} {way}.")
    word = (request.query_value("is_public") or "").lower()
    is_public = None if word == "none" else True if not word else flag("is_public", word)
    floors = [whole_number(name, request.query_value(name) or "0") for name in ("minDisk", "minRam")]
    page = Page(((service.SORT_COLUMNS[sort_key], way),), part.marker, part.limit)
    found = await request.read(service.list_flavors, page, is_public, *floors)
    shapes = [view(request, flavor, detail) for flavor in found]
    return {"flavors": shapes, **next_link(request, "flavors", [flavor.id for flavor in found], part.limit)}


async def detail(request: Request) -> dict[str, Any]:
    return await listing(request, detail=True)


async def show(request: Request, flavor_id: str) -> dict[str, Any]:
    return {"flavor": view(request, await request.read(service.get_flavor, flavor_id))}


async def update(request: Request, flavor_id: str) -> dict[str, Any]:
    return {"flavor": view(request, await request.write(service.update_flavor, flavor_id, request.body.description))}


async def delete(request: Request, flavor_id: str) -> None:
    await request.write(service.delete_flavor, flavor_id)


# --- extra specs ---------------------------------------------------------------------------------------------------


def _checked(request: Request, specs: dict[str, Any]) -> dict[str, str]:
    """Values as text; from 2.86 on, known keys must have values that mean something. Raises BadRequest."""
    texts = {key: str(value) for key, value in specs.items()}
    if request.version >= (2, 86):
        for key, value in texts.items():
            if key in CHECKED and not CHECKED[key].match(value):
                raise BadRequest(f"Validation failed; '{value}' is not a value of extra spec '{key}'.")
            if key.startswith("hw:") and key not in CHECKED and not _known_hw(key):
                raise BadRequest(f"Validation failed; extra spec '{key}' does not appear to be a valid extra spec.")
    return texts


def _known_hw(key: str) -> bool:
    return bool(re.match(r"\Ahw:(cpu_|numa_|mem_|pci_|pmem|boot_|locked_|maxphys|tpm_|viommu|vif_|virtio_|emulator_|"
                         r"watchdog_|serial_port_count|hide_hypervisor_id|pointer_model|input_bus|ephemeral_encryption)"
                         , key))  # fmt: skip


async def list_specs(request: Request, flavor_id: str) -> dict[str, Any]:
    return {"extra_specs": (await request.read(service.get_flavor, flavor_id)).extra_specs}


async def add_specs(request: Request, flavor_id: str) -> dict[str, Any]:
    specs = _checked(request, request.body)
    await request.write(service.set_extra_specs, flavor_id, specs)
    return {"extra_specs": specs}


async def show_spec(request: Request, flavor_id: str, key: str) -> dict[str, str]:
    return {key: await request.read(service.get_extra_spec, flavor_id, key)}


async def set_spec(request: Request, flavor_id: str, key: str) -> dict[str, str]:
    if set(request.body) != {key}:
        raise BadRequest("Request body and URI mismatch")
    specs = _checked(request, request.body)
    await request.write(service.set_extra_specs, flavor_id, specs)
    return specs


async def delete_spec(request: Request, flavor_id: str, key: str) -> Response:
    await request.write(service.delete_extra_spec, flavor_id, key)
    return Response(None, 200)


# --- access --------------------------------------------------------------------------------------------------------


class Access(Body):
    tenant: Annotated[str, Meta(min_length=1, max_length=255)]


class AccessAction(Body):
    add: Access | None = field(default=None, name="addTenantAccess")
    remove: Access | None = field(default=None, name="removeTenantAccess")


def _access(flavor_id: str, projects: list[str]) -> dict[str, Any]:
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project_id} for project_id in projects]}


async def list_access(request: Request, flavor_id: str) -> dict[str, Any]:
    return _access(flavor_id, await request.read(service.list_access, flavor_id))


async def act(request: Request, flavor_id: str) -> dict[str, Any]:
    body: AccessAction = request.body
    if (body.add is None) == (body.remove is None):
        raise BadRequest("There is no such action, or there are several: it wants addTenantAccess or "
                         "removeTenantAccess.")  # fmt: skip
    if body.add is not None:
        request.enforce(rule="os_compute_api:os-flavor-access:add_tenant_access")
        return _access(flavor_id, await request.write(service.add_access, flavor_id, body.add.tenant))
    assert body.remove is not None
    request.enforce(rule="os_compute_api:os-flavor-access:remove_tenant_access")
    return _access(flavor_id, await request.write(service.remove_access, flavor_id, body.remove.tenant))


_P = "os_compute_api:"
ROUTES = [
    operation("GET", "/flavors", listing, _P + "flavors"),
    operation("POST", "/flavors", create, _P + "os-flavor-manage:create", body=NewFlavor, envelope="flavor"),
    operation("GET", "/flavors/detail", detail, _P + "flavors"),
    operation("GET", "/flavors/{flavor_id}", show, _P + "flavors"),
    operation(
        "PUT",
        "/flavors/{flavor_id}",
        update,
        _P + "os-flavor-manage:update",
        body=FlavorChange,
        envelope="flavor",
        since=(2, 55),
    ),
    operation("DELETE", "/flavors/{flavor_id}", delete, _P + "os-flavor-manage:delete", status=202),
    operation("GET", "/flavors/{flavor_id}/os-extra_specs", list_specs, _P + "os-flavor-extra-specs:index"),
    operation(
        "POST",
        "/flavors/{flavor_id}/os-extra_specs",
        add_specs,
        _P + "os-flavor-extra-specs:create",
        body=Specs,
        envelope="extra_specs",
    ),
    operation("GET", "/flavors/{flavor_id}/os-extra_specs/{key}", show_spec, _P + "os-flavor-extra-specs:show"),
    operation(
        "PUT", "/flavors/{flavor_id}/os-extra_specs/{key}", set_spec, _P + "os-flavor-extra-specs:update", body=Specs
    ),
    operation("DELETE", "/flavors/{flavor_id}/os-extra_specs/{key}", delete_spec, _P + "os-flavor-extra-specs:delete"),
    operation("GET", "/flavors/{flavor_id}/os-flavor-access", list_access, _P + "os-flavor-access"),
    operation(
        "POST",
        "/flavors/{flavor_id}/action",
        act,
        _P + "os-flavor-access:add_tenant_access",
        body=AccessAction,
        late=True,
    ),
]
