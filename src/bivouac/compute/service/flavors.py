"""Flavors: what a server may be made of, who may use it, and its extra specs."""

from typing import Any

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Duplicate, Page, Tx, select_page
from bivouac.core.store.listing import MarkerNotFound

from ..records import Flavor, FlavorAccess

SORT_COLUMNS = {
    "flavorid": "id", "id": "id", "name": "name", "memory_mb": "memory_mib", "root_gb": "root_gib", "vcpus": "vcpus",
    "created_at": "created_at", "updated_at": "created_at", "ephemeral_gb": "ephemeral_gib", "swap": "swap_mib",
    "rxtx_factor": "rxtx_factor", "is_public": "is_public", "disabled": "disabled",
}  # fmt: skip


def create_flavor(tx: Tx, call: Call, fields: dict[str, Any]) -> Flavor:
    """Add a flavor. Raises Conflict when its id or name is taken."""
    flavor = Flavor(created_at=call.now, **{**fields, "id": fields.get("id") or new_uuid()})
    if tx.get(Flavor, flavor.id) is not None:
        raise Conflict(f"Flavor with ID {flavor.id} already exists.")
    if tx.first(Flavor, "WHERE name = ?", flavor.name) is not None:
        raise Conflict(f"Flavor with name {flavor.name} already exists.")
    return tx.insert(flavor)


def get_flavor(tx: Tx, call: Call, flavor_id: str) -> Flavor:
    """A flavor that the caller may see. Raises NotFound."""
    flavor = tx.get(Flavor, flavor_id)
    if flavor is None or not (flavor.is_public or call.is_admin or tx.get(FlavorAccess, flavor_id, call.project_id)):
        raise NotFound(f"Flavor {flavor_id} could not be found.")
    return flavor


def list_flavors(
    tx: Tx, call: Call, page: Page, is_public: bool | None, min_disk: int = 0, min_ram: int = 0
) -> list[Flavor]:
    """Flavors that the caller may see; `is_public` None shows an admin all. Raises BadRequest (marker)."""
    conditions = ["flavors.memory_mib >= ?", "flavors.root_gib >= ?"]
    args: list[str | int] = [min_ram, min_disk]
    access = "flavors.id IN (SELECT flavor_id FROM flavor_access WHERE project_id = ?)"
    if not call.is_admin or is_public is True:
        conditions.append(f"(flavors.is_public = 1 OR {access})")
        args.append(call.project_id)
    elif is_public is False:
        conditions.append("flavors.is_public = 0")
    try:
        return select_page(tx, Flavor, conditions, args, page)
    except MarkerNotFound as error:
        raise BadRequest(f"Marker {page.marker} could not be found.") from error


def update_flavor(tx: Tx, call: Call, flavor_id: str, description: str | None) -> Flavor:
    """Change a flavor's description. Raises NotFound."""
    return tx.update(get_flavor(tx, call, flavor_id), description=description)


def delete_flavor(tx: Tx, call: Call, flavor_id: str) -> None:
    """Remove a flavor; servers made of it keep what they have. Raises NotFound."""
    tx.delete(get_flavor(tx, call, flavor_id))


# --- extra specs ---------------------------------------------------------------------------------------------------


def set_extra_specs(tx: Tx, call: Call, flavor_id: str, specs: dict[str, str]) -> Flavor:
    """Add or change extra specs. Raises NotFound."""
    flavor = get_flavor(tx, call, flavor_id)
    return tx.update(flavor, extra_specs={**flavor.extra_specs, **specs})


def get_extra_spec(tx: Tx, call: Call, flavor_id: str, key: str) -> str:
    """One extra spec's value. Raises NotFound."""
    specs = get_flavor(tx, call, flavor_id).extra_specs
    if key not in specs:
        raise NotFound(f"Flavor {flavor_id} has no extra specs with key {key}.")
    return specs[key]


def delete_extra_spec(tx: Tx, call: Call, flavor_id: str, key: str) -> None:
    """Remove one extra spec. Raises NotFound."""
    get_extra_spec(tx, call, flavor_id, key)
    flavor = get_flavor(tx, call, flavor_id)
    tx.update(flavor, extra_specs={name: value for name, value in flavor.extra_specs.items() if name != key})


# --- access --------------------------------------------------------------------------------------------------------


def list_access(tx: Tx, call: Call, flavor_id: str) -> list[str]:
    """Ids of the projects that may use a flavor. Raises NotFound when the flavor is public: all may."""
    if get_flavor(tx, call, flavor_id).is_public:
        raise NotFound("Access list not available for public flavors.")
    return _projects(tx, flavor_id)


def add_access(tx: Tx, call: Call, flavor_id: str, project_id: str) -> list[str]:
    """Let a project use a flavor. Raises Conflict when it may already (a public one: from 2.7)."""
    flavor = get_flavor(tx, call, flavor_id)
    if flavor.is_public and call.version >= (2, 7):
        raise Conflict("Can not add access to a public flavor.")
    try:
        tx.insert(FlavorAccess(flavor_id=flavor.id, project_id=project_id))
    except Duplicate as error:
        raise Conflict(f"Flavor access already exists for flavor {flavor_id} and project {project_id}.") from error
    return _projects(tx, flavor_id)


def remove_access(tx: Tx, call: Call, flavor_id: str, project_id: str) -> list[str]:
    """Take a project's access away. Raises NotFound."""
    get_flavor(tx, call, flavor_id)
    row = tx.get(FlavorAccess, flavor_id, project_id)
    if row is None:
        raise NotFound(f"Flavor access not found for {flavor_id} / {project_id} combination.")
    tx.delete(row)
    return _projects(tx, flavor_id)


def _projects(tx: Tx, flavor_id: str) -> list[str]:
    rows = tx.query("SELECT project_id FROM flavor_access WHERE flavor_id = ? ORDER BY project_id", flavor_id)
    return [project_id for (project_id,) in rows]
