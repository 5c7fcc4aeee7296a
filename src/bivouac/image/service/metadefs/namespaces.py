"""Namespaces: who sees them, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import Conflict, Forbidden, NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Duplicate, Page, Tx, select_page
from bivouac.core.store.listing import MarkerNotFound

from ...metadef_records import AssociationRow, ItemRow, NamespaceRow
from . import bodies


def target_of(namespace: NamespaceRow) -> dict[str, Any]:
    """The namespace as policy rules see it."""
    return {"project_id": namespace.owner, "owner": namespace.owner, "visibility": namespace.visibility}


def find(tx: Tx, call: Call, name: str, rule: str) -> NamespaceRow:
    """A namespace that the caller sees, and for which the rule lets it pass. Raises NotFound, Forbidden."""
    found = tx.first(NamespaceRow, "WHERE namespace = ?", name)
    if found is None or not (call.is_admin or found.visibility == "public" or found.owner == call.project_id):
        raise NotFound(f"Metadata definition namespace={name} not found.")
    call.enforce(rule, target_of(found))
    return found


def list_namespaces(
    tx: Tx, call: Call, visibility: str, resource_types: Sequence[str], page: Page
) -> list[tuple[NamespaceRow, list[AssociationRow]]]:
    """One page of what the caller sees, with what each is for. Raises NotFound (the marker), Forbidden."""
    call.enforce("get_metadef_namespaces")
    conditions, args = [], []
    if not call.is_admin:
        conditions.append("(metadef_namespaces.visibility = 'public' OR metadef_namespaces.owner = ?)")
        args.append(call.project_id)
    if visibility:
        conditions.append("metadef_namespaces.visibility = ?")
        args.append(visibility)
    if resource_types:
        marks = ", ".join("?" for _ in resource_types)
        conditions.append(
            "EXISTS (SELECT 1 FROM metadef_associations a WHERE a.namespace_id = metadef_namespaces.id "
            f"AND a.resource_type IN ({marks}))"
        )
        args += resource_types
    if page.marker is not None:
        page = Page(page.sort, find(tx, call, page.marker, "get_metadef_namespace").id, page.limit)
    try:
        rows = select_page(tx, NamespaceRow, conditions, args, page)
    except MarkerNotFound as error:
        raise NotFound("The marker could not be found.") from error
    marks = ", ".join("?" for _ in rows)
    by_namespace: dict[str, list[AssociationRow]] = {row.id: [] for row in rows}
    if rows:
        where = f"WHERE namespace_id IN ({marks}) ORDER BY resource_type"
        for association in tx.select(AssociationRow, where, *by_namespace):
            by_namespace[association.namespace_id].append(association)
    return [(row, by_namespace[row.id]) for row in rows]


def show(tx: Tx, call: Call, name: str) -> tuple[NamespaceRow, list[ItemRow], list[AssociationRow]]:
    """A namespace with all that is in it. Raises NotFound, also when the policy forbids to see it."""
    try:
        found = find(tx, call, name, "get_metadef_namespace")
    except Forbidden as error:
        raise NotFound(f"Metadata definition namespace={name} not found.") from error
    items = tx.select(ItemRow, "WHERE namespace_id = ? ORDER BY kind, name", found.id)
    associations = tx.select(AssociationRow, "WHERE namespace_id = ? ORDER BY resource_type", found.id)
    return found, items, associations


def create(tx: Tx, call: Call, body: bodies.Namespace) -> str:
    """A namespace with all that its body holds. Raises Forbidden, Conflict, NotFound (resource type)."""
    from . import items, resource_types  # noqa: PLC0415 - they look namespaces up

    call.enforce("add_metadef_namespace")
    row = NamespaceRow(
        id=new_uuid(), namespace=body.namespace, created_at=call.now, updated_at=call.now, **_fields(call, body)
    )
    try:
        tx.insert(row)
    except Duplicate as error:
        raise Conflict(f"The metadata definition namespace={body.namespace} already exists.") from error
    for association in body.resource_type_associations:
        resource_types.associate(tx, call, body.namespace, association)
    for one in body.objects:
        items.add(tx, call, body.namespace, "object", one)
    for tag in body.tags:
        items.add(tx, call, body.namespace, "tag", tag)
    for name, definition in body.properties.items():
        items.add(tx, call, body.namespace, "property", definition, name)
    return body.namespace


def update(tx: Tx, call: Call, name: str, body: bodies.Namespace) -> NamespaceRow:
    """Replaces what a namespace says of itself. Raises NotFound, Forbidden, Conflict (the new name is taken)."""
    row = find(tx, call, name, "modify_metadef_namespace")
    if body.namespace != name and tx.first(NamespaceRow, "WHERE namespace = ?", body.namespace):
        raise Conflict(f"Invalid parameters. The metadata definition namespace={body.namespace} already exists.")
    return tx.update(row, namespace=body.namespace, updated_at=call.now, **_fields(call, body))


def _fields(call: Call, body: bodies.Namespace) -> dict[str, Any]:
    return {
        "display_name": None if body.display_name is UNSET else body.display_name,
        "description": None if body.description is UNSET else body.description,
        "visibility": body.visibility,
        "protected": body.protected,
        "owner": call.project_id if body.owner is UNSET else body.owner,
    }


def delete(tx: Tx, call: Call, name: str) -> None:
    """With all that is in it. Raises NotFound, Forbidden (policy, or protected)."""
    row = find(tx, call, name, "delete_metadef_namespace")
    if row.protected:
        raise Forbidden(f"Metadata definition namespace {name} is protected and cannot be deleted.")
    tx.delete_where(ItemRow, "namespace_id = ?", row.id)
    tx.delete_where(AssociationRow, "namespace_id = ?", row.id)
    tx.delete(row)
