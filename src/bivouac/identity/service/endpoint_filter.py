"""Which endpoints a project sees: endpoint groups and associations. Source: Identity API v3, "OS-EP-FILTER"."""

from typing import Any

from ...core.call import Call
from ...core.errors import BadRequest, NotFound
from ...core.ids import new_hex
from ...core.store import Tx
from .. import catalog
from ..catalog_records import Endpoint, EndpointGroup, ProjectEndpoint, ProjectEndpointGroup
from ..records import Project
from . import targets
from .catalog_entries import INTERFACES, get_endpoint

FILTERS = frozenset({"service_id", "region_id", "interface", "enabled"})


def _check_filters(filters: dict[str, Any]) -> None:
    if filters.get("interface", "public") not in INTERFACES:
        raise BadRequest(f"The interface is one of {', '.join(INTERFACES)}.")
    if unknown := set(filters) - FILTERS:
        raise BadRequest(f"An endpoint group filters by {', '.join(sorted(FILTERS))}, not by {', '.join(unknown)}.")


def list_groups(tx: Tx, call: Call, name: str | None) -> list[EndpointGroup]:
    call.enforce("identity:list_endpoint_groups", {})
    where, args = ("WHERE name = ?", [name]) if name is not None else ("", [])
    return tx.select(EndpointGroup, f"{where} ORDER BY name, id", *args)


def get_group(tx: Tx, call: Call, group_id: str, rule: str = "identity:get_endpoint_group") -> EndpointGroup:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, {})
    row = tx.get(EndpointGroup, group_id)
    if row is None:
        raise NotFound(f"Could not find Endpoint Group: {group_id}.")
    return row


def create_group(
    tx: Tx, call: Call, name: str, description: str | None, filters: dict[str, Any]
) -> EndpointGroup:
    """Raises Forbidden, BadRequest."""
    call.enforce("identity:create_endpoint_group", {})
    if not filters:
        raise BadRequest("An endpoint group needs filters.")
    _check_filters(filters)
    return tx.insert(EndpointGroup(id=new_hex(), name=name, description=description, filters=filters))


def update_group(tx: Tx, call: Call, group_id: str, changes: dict[str, Any]) -> EndpointGroup:
    """Raises Forbidden, BadRequest, NotFound."""
    row = get_group(tx, call, group_id, "identity:update_endpoint_group")
    if "filters" in changes:
        _check_filters(changes["filters"])
    catalog.changed(tx)
    return tx.update(row, **changes)


def delete_group(tx: Tx, call: Call, group_id: str) -> None:
    """Raises Forbidden, NotFound."""
    tx.delete(get_group(tx, call, group_id, "identity:delete_endpoint_group"))
    catalog.changed(tx)


def endpoints_of_group(tx: Tx, call: Call, group_id: str) -> list[Endpoint]:
    """Raises Forbidden, NotFound."""
    group = get_group(tx, call, group_id, "identity:list_endpoints_associated_with_endpoint_group")
    return [one for one in tx.select(Endpoint, "ORDER BY id") if catalog.matches(group.filters, one)]


def projects_of_group(tx: Tx, call: Call, group_id: str) -> list[Project]:
    """Raises Forbidden, NotFound."""
    get_group(tx, call, group_id, "identity:list_projects_associated_with_endpoint_group")
    join = "JOIN project_endpoint_groups j ON j.project_id = projects.id WHERE j.endpoint_group_id = ? ORDER BY name"
    return tx.select(Project, join, group_id)


def groups_of_project(tx: Tx, call: Call, project_id: str) -> list[EndpointGroup]:
    """Raises Forbidden, NotFound."""
    call.enforce("identity:list_endpoint_groups_for_project", {})
    targets.project(tx, project_id)
    join = "JOIN project_endpoint_groups j ON j.endpoint_group_id = endpoint_groups.id WHERE j.project_id = ?"
    return tx.select(EndpointGroup, join, project_id)


def check_group_in_project(
    tx: Tx, call: Call, group_id: str, project_id: str, rule: str = "identity:get_endpoint_group_in_project"
) -> EndpointGroup:
    """Raises Forbidden, NotFound."""
    group = get_group(tx, call, group_id, rule)
    targets.project(tx, project_id)
    if tx.get(ProjectEndpointGroup, project_id, group_id) is None:
        raise NotFound(f"Endpoint Group {group_id} is not associated with project {project_id}.")
    return group


def add_group_to_project(tx: Tx, call: Call, group_id: str, project_id: str) -> None:
    """Raises Forbidden, NotFound."""
    get_group(tx, call, group_id, "identity:add_endpoint_group_to_project")
    targets.project(tx, project_id)
    tx.upsert(ProjectEndpointGroup(project_id=project_id, endpoint_group_id=group_id))
    catalog.changed(tx)


def remove_group_from_project(tx: Tx, call: Call, group_id: str, project_id: str) -> None:
    """Raises Forbidden, NotFound."""
    check_group_in_project(tx, call, group_id, project_id, "identity:remove_endpoint_group_from_project")
    tx.delete(ProjectEndpointGroup(project_id=project_id, endpoint_group_id=group_id))
    catalog.changed(tx)


def endpoints_of_project(tx: Tx, call: Call, project_id: str) -> list[Endpoint]:
    """Endpoints associated directly or by a group. Raises Forbidden, NotFound."""
    call.enforce("identity:list_endpoints_for_project", {})
    targets.project(tx, project_id)
    endpoints = tx.select(Endpoint, "ORDER BY id")
    ids = catalog.endpoint_ids_of_project(tx, project_id, endpoints)
    return [one for one in endpoints if one.id in ids]


def projects_of_endpoint(tx: Tx, call: Call, endpoint_id: str) -> list[Project]:
    """Raises Forbidden, NotFound."""
    get_endpoint(tx, call, endpoint_id, "identity:list_projects_for_endpoint")
    join = "JOIN project_endpoints j ON j.project_id = projects.id WHERE j.endpoint_id = ? ORDER BY name"
    return tx.select(Project, join, endpoint_id)


def check_endpoint_in_project(
    tx: Tx, call: Call, project_id: str, endpoint_id: str, rule: str = "identity:check_endpoint_in_project"
) -> None:
    """Raises Forbidden, NotFound."""
    get_endpoint(tx, call, endpoint_id, rule)
    targets.project(tx, project_id)
    if tx.get(ProjectEndpoint, project_id, endpoint_id) is None:
        raise NotFound(f"Endpoint {endpoint_id} not found in project {project_id}.")


def add_endpoint_to_project(tx: Tx, call: Call, project_id: str, endpoint_id: str) -> None:
    """Raises Forbidden, NotFound."""
    get_endpoint(tx, call, endpoint_id, "identity:add_endpoint_to_project")
    targets.project(tx, project_id)
    tx.upsert(ProjectEndpoint(project_id=project_id, endpoint_id=endpoint_id))
    catalog.changed(tx)


def remove_endpoint_from_project(tx: Tx, call: Call, project_id: str, endpoint_id: str) -> None:
    """Raises Forbidden, NotFound."""
    check_endpoint_in_project(tx, call, project_id, endpoint_id, "identity:remove_endpoint_from_project")
    tx.delete(ProjectEndpoint(project_id=project_id, endpoint_id=endpoint_id))
    catalog.changed(tx)
