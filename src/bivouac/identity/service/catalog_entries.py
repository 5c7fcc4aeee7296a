"""Regions, services and endpoints. Source: Identity API v3, "Service catalog and endpoints", "Regions"."""

from typing import Any

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, Forbidden, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Page, Referenced, Tx
from .. import catalog
from ..catalog_records import Endpoint, PolicyAssociation, Region, RegisteredLimit, Service
from .filters import Filters, select

INTERFACES = ("public", "internal", "admin")


# --- regions -----------------------------------------------------------------------------------------------------


def list_regions(tx: Tx, call: Call, filters: Filters, page: Page) -> list[Region]:
    call.enforce("identity:list_regions", {})
    return select(tx, Region, filters, page)


def get_region(tx: Tx, call: Call, region_id: str, rule: str = "identity:get_region") -> Region:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, {})
    row = tx.get(Region, region_id)
    if row is None:
        raise NotFound(f"Could not find region: {region_id}.")
    return row


def create_region(
    tx: Tx, call: Call, region_id: str | None, description: str, parent_id: str | None, extra: dict[str, Any]
) -> Region:
    """Raises Forbidden, Conflict, NotFound (parent)."""
    call.enforce("identity:create_region", {})
    if parent_id is not None and tx.get(Region, parent_id) is None:
        raise NotFound(f"Could not find region: {parent_id}.")
    row = Region(id=region_id or new_hex(), description=description, parent_region_id=parent_id, extra=extra)
    try:
        return tx.insert(row)
    except Duplicate as error:
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {row.id}.") from error


def update_region(tx: Tx, call: Call, region_id: str, changes: dict[str, Any]) -> Region:
    """Raises Forbidden, NotFound, BadRequest (a circle)."""
    row = get_region(tx, call, region_id, "identity:update_region")
    changes = dict(changes)
    parent_id = changes.get("parent_region_id")
    while parent_id is not None:
        if parent_id == region_id:
            raise BadRequest("A region cannot be below itself.")
        parent = tx.get(Region, parent_id)
        if parent is None:
            raise NotFound(f"Could not find region: {parent_id}.")
        parent_id = parent.parent_region_id
    fields = {name: changes.pop(name) for name in ("description", "parent_region_id") if name in changes}
    if fields.get("description", "") is None:
        fields["description"] = ""
    if changes:
        fields["extra"] = {**row.extra, **changes}
    return tx.update(row, **fields)


def delete_region(tx: Tx, call: Call, region_id: str) -> None:
    """Delete it with the regions below. Raises NotFound, Forbidden (endpoints or limits are there)."""
    row = get_region(tx, call, region_id, "identity:delete_region")
    try:
        _delete_tree(tx, row)
    except Referenced as error:
        raise Forbidden(
            f"Unable to delete region {region_id} because it or its child regions have associated endpoints or limits."
        ) from error
    catalog.changed(tx)


def _delete_tree(tx: Tx, region: Region) -> None:
    for child in tx.select(Region, "WHERE parent_region_id = ?", region.id):
        _delete_tree(tx, child)
    tx.delete(region)


# --- services ----------------------------------------------------------------------------------------------------


def list_services(tx: Tx, call: Call, filters: Filters, page: Page) -> list[Service]:
    call.enforce("identity:list_services", {})
    return select(tx, Service, filters, page)


def get_service(tx: Tx, call: Call, service_id: str, rule: str = "identity:get_service") -> Service:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, {})
    row = tx.get(Service, service_id)
    if row is None:
        raise NotFound(f"Could not find service: {service_id}.")
    return row


def create_service(
    tx: Tx, call: Call, type: str, name: str, enabled: bool, description: str | None, extra: dict[str, Any]
) -> Service:
    """Raises Forbidden."""
    call.enforce("identity:create_service", {})
    catalog.changed(tx)
    return tx.insert(
        Service(id=new_hex(), type=type, name=name, enabled=enabled, description=description, extra=extra)
    )


def update_service(tx: Tx, call: Call, service_id: str, changes: dict[str, Any]) -> Service:
    """Raises Forbidden, NotFound."""
    row = get_service(tx, call, service_id, "identity:update_service")
    changes = dict(changes)
    fields = {name: changes.pop(name) for name in ("type", "name", "enabled", "description") if name in changes}
    if changes:
        fields["extra"] = {**row.extra, **changes}
    catalog.changed(tx)
    return tx.update(row, **fields)


def delete_service(tx: Tx, call: Call, service_id: str) -> None:
    """Delete it with its endpoints. Raises Forbidden, NotFound, Conflict (limits)."""
    row = get_service(tx, call, service_id, "identity:delete_service")
    if tx.count(RegisteredLimit, "WHERE service_id = ?", row.id):
        raise Conflict(f"Service {service_id} has registered limits: remove those first.")
    tx.delete_where(Endpoint, "service_id = ?", row.id)
    tx.delete_where(PolicyAssociation, "service_id = ?", row.id)
    tx.delete(row)
    catalog.changed(tx)


# --- endpoints ---------------------------------------------------------------------------------------------------


def list_endpoints(tx: Tx, call: Call, filters: Filters, page: Page) -> list[Endpoint]:
    call.enforce("identity:list_endpoints", {})
    return select(tx, Endpoint, filters, page)


def get_endpoint(tx: Tx, call: Call, endpoint_id: str, rule: str = "identity:get_endpoint") -> Endpoint:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, {})
    row = tx.get(Endpoint, endpoint_id)
    if row is None:
        raise NotFound(f"Could not find endpoint: {endpoint_id}.")
    return row


def _checked(tx: Tx, fields: dict[str, Any]) -> None:
    """Raises BadRequest when service, region or a placeholder of the URL is not known."""
    service_id, region_id, url = fields.get("service_id"), fields.get("region_id"), fields.get("url")
    if service_id is not None and tx.get(Service, service_id) is None:
        raise BadRequest(f"Could not find service: {service_id}.")
    if region_id is not None and tx.get(Region, region_id) is None:
        raise BadRequest(f"Could not find region: {region_id}.")
    known = {"project_id": "", "tenant_id": "", "user_id": ""}
    filled = catalog.substitute(url, known) if url is not None else ""
    if filled is None or "%" in filled:
        raise BadRequest(f"The endpoint's URL may ask for project_id, tenant_id and user_id only: {url}")


def create_endpoint(tx: Tx, call: Call, fields: dict[str, Any], region: str | None, extra: dict[str, Any]) -> Endpoint:
    """`region` is the old name of a region that is made if it is not there. Raises Forbidden, BadRequest."""
    call.enforce("identity:create_endpoint", {})
    fields = dict(fields)
    if region and not fields.get("region_id"):
        if tx.get(Region, region) is None:
            tx.insert(Region(id=region))
        fields["region_id"] = region
    _checked(tx, fields)
    catalog.changed(tx)
    return tx.insert(Endpoint(id=new_hex(), extra=extra, **fields))


def update_endpoint(tx: Tx, call: Call, endpoint_id: str, changes: dict[str, Any]) -> Endpoint:
    """Raises Forbidden, BadRequest, NotFound."""
    row = get_endpoint(tx, call, endpoint_id, "identity:update_endpoint")
    changes = dict(changes)
    if (region := changes.pop("region", None)) and "region_id" not in changes:
        if tx.get(Region, region) is None:
            tx.insert(Region(id=region))
        changes["region_id"] = region
    names = ("service_id", "region_id", "interface", "url", "enabled")
    fields = {name: changes.pop(name) for name in names if name in changes}
    _checked(tx, fields)
    if changes:
        fields["extra"] = {**row.extra, **changes}
    catalog.changed(tx)
    return tx.update(row, **fields)


def delete_endpoint(tx: Tx, call: Call, endpoint_id: str) -> None:
    """Raises Forbidden, NotFound."""
    tx.delete(get_endpoint(tx, call, endpoint_id, "identity:delete_endpoint"))
    catalog.changed(tx)
