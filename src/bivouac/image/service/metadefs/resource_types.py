"""Resource types, and which namespaces are for them."""

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import Conflict, Forbidden, NotFound
from bivouac.core.store import Tx

from ...metadef_records import AssociationRow, ResourceTypeRow
from . import bodies, namespaces


def list_types(tx: Tx, call: Call) -> list[ResourceTypeRow]:
    """All kinds of resources. Raises Forbidden."""
    call.enforce("list_metadef_resource_types")
    return tx.select(ResourceTypeRow, "ORDER BY name")


def list_associations(tx: Tx, call: Call, namespace: str) -> list[AssociationRow]:
    """What a namespace is for. Raises NotFound, Forbidden."""
    owner = namespaces.find(tx, call, namespace, "get_metadef_resource_type")
    return tx.select(AssociationRow, "WHERE namespace_id = ? ORDER BY resource_type", owner.id)


def associate(tx: Tx, call: Call, namespace: str, body: bodies.Association) -> AssociationRow:
    """A type that is not known yet becomes so. Raises NotFound, Forbidden, Conflict."""
    owner = namespaces.find(tx, call, namespace, "add_metadef_resource_type_association")
    if tx.get(ResourceTypeRow, body.name) is None:
        tx.insert(ResourceTypeRow(name=body.name, created_at=call.now, updated_at=call.now))
    if tx.get(AssociationRow, owner.id, body.name) is not None:
        raise Conflict(f"The resource type {body.name} is already associated with namespace {namespace}.")
    return tx.insert(
        AssociationRow(
            namespace_id=owner.id,
            resource_type=body.name,
            prefix=None if body.prefix is UNSET else body.prefix,
            properties_target=None if body.properties_target is UNSET else body.properties_target,
            created_at=call.now,
            updated_at=call.now,
        )
    )


def dissociate(tx: Tx, call: Call, namespace: str, resource_type: str) -> None:
    """Raises NotFound, Forbidden."""
    owner = namespaces.find(tx, call, namespace, "remove_metadef_resource_type_association")
    if owner.protected:
        raise Forbidden(f"Metadata definition namespace {namespace} is protected.")
    row = tx.get(AssociationRow, owner.id, resource_type)
    if row is None:
        raise NotFound(f"The resource type {resource_type} is not associated with namespace {namespace}.")
    tx.delete(row)
