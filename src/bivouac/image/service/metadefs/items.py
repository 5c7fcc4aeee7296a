"""Objects, properties and tags of a namespace: three kinds of one thing."""

import re
from typing import Any

import msgspec

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Page, Tx, select_page

from ...metadef_records import AssociationRow, ItemRow, NamespaceRow
from . import bodies, namespaces

_RULES = {
    "object": {"list": "get_metadef_objects", "show": "get_metadef_object", "add": "add_metadef_object",
               "modify": "modify_metadef_object", "delete": "delete_metadef_object"},
    "property": {"list": "get_metadef_properties", "show": "get_metadef_property", "add": "add_metadef_property",
                 "modify": "modify_metadef_property", "delete": "remove_metadef_property"},
    "tag": {"list": "get_metadef_tags", "show": "get_metadef_tag", "add": "add_metadef_tag",
            "modify": "modify_metadef_tag", "delete": "delete_metadef_tag"},
}  # fmt: skip
MAX_ITEMS = 2000
"""Of one kind in one namespace."""


def list_items(tx: Tx, call: Call, namespace: str, kind: str, page: Page) -> list[ItemRow]:
    """One page; the marker is a name. Raises NotFound, Forbidden."""
    owner = namespaces.find(tx, call, namespace, _RULES[kind]["list"])
    if page.marker is not None:
        page = Page(page.sort, _find(tx, owner, kind, page.marker).id, page.limit)
    conditions = ["metadef_items.namespace_id = ?", "metadef_items.kind = ?"]
    return select_page(tx, ItemRow, conditions, [owner.id, kind], page)


def show(tx: Tx, call: Call, namespace: str, kind: str, name: str, resource_type: str = "") -> ItemRow:
    """With a resource type, `name` begins with its prefix. Raises NotFound, Forbidden."""
    owner = namespaces.find(tx, call, namespace, _RULES[kind]["show"])
    if resource_type:
        association = tx.get(AssociationRow, owner.id, resource_type)
        prefix = (association.prefix or "") if association is not None else None
        if prefix is None or not name.startswith(prefix):
            raise NotFound(f"{name} does not start with the prefix of {resource_type} ({prefix or 'none'}).")
        name = name.removeprefix(prefix)
    return _find(tx, owner, kind, name)


def add(tx: Tx, call: Call, namespace: str, kind: str, body: Any, name: str = "") -> ItemRow:
    """Raises NotFound, Forbidden, BadRequest, Conflict (the name is taken)."""
    owner = namespaces.find(tx, call, namespace, _RULES[kind]["add"])
    return _insert(tx, call, owner, kind, name or body.name, body)


def _insert(tx: Tx, call: Call, owner: NamespaceRow, kind: str, name: str, body: Any) -> ItemRow:
    if not 1 <= len(name) <= 80:
        raise BadRequest("A name has 1 to 80 characters.")
    if tx.first(ItemRow, "WHERE namespace_id = ? AND kind = ? AND name = ?", owner.id, kind, name):
        raise Conflict(f"A metadata definition {kind} with name={name} already exists in {owner.namespace}.")
    if tx.count(ItemRow, "WHERE namespace_id = ? AND kind = ?", owner.id, kind) >= MAX_ITEMS:
        raise BadRequest(f"A namespace can have {MAX_ITEMS} definitions of one kind.")
    return tx.insert(
        ItemRow(
            id=new_uuid(),
            namespace_id=owner.id,
            kind=kind,
            name=name,
            document=_document(body),
            created_at=call.now,
            updated_at=call.now,
        )  # fmt: skip
    )


def _document(body: Any) -> dict[str, Any]:
    """What is kept beside the name. Raises BadRequest for a pattern that is no regular expression."""
    for one in [body, *(getattr(body, "properties", {}) or {}).values()]:
        if isinstance(one, bodies.Property) and isinstance(one.pattern, str):
            try:
                re.compile(one.pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise BadRequest(f"The pattern {one.pattern[:100]!r} is no regular expression.") from error
    document = msgspec.to_builtins(body)
    return {key: value for key, value in document.items() if key != "name"}


def set_tags(tx: Tx, call: Call, namespace: str, body: bodies.Tags, append: bool) -> list[str]:
    """These tags, in place of all that are there or beside them. Raises NotFound, Forbidden, Conflict."""
    owner = namespaces.find(tx, call, namespace, "add_metadef_tags")
    if not append:
        tx.delete_where(ItemRow, "namespace_id = ? AND kind = 'tag'", owner.id)
    return [_insert(tx, call, owner, "tag", tag.name, tag).name for tag in body.tags]


def update(tx: Tx, call: Call, namespace: str, kind: str, name: str, body: Any) -> ItemRow:
    """Replaces a definition, maybe under a new name. Raises NotFound, Forbidden, BadRequest, Conflict."""
    owner = namespaces.find(tx, call, namespace, _RULES[kind]["modify"])
    row = _find(tx, owner, kind, name)
    if body.name != name and tx.first(
        ItemRow, "WHERE namespace_id = ? AND kind = ? AND name = ?", owner.id, kind, body.name
    ):
        raise Conflict(f"A metadata definition {kind} with name={body.name} already exists in {namespace}.")
    return tx.update(row, name=body.name, document=_document(body), updated_at=call.now)


def delete(tx: Tx, call: Call, namespace: str, kind: str, name: str) -> None:
    """Raises NotFound, Forbidden."""
    owner = namespaces.find(tx, call, namespace, _RULES[kind]["delete"])
    _refuse_protected(owner)
    tx.delete(_find(tx, owner, kind, name))


def delete_all(tx: Tx, call: Call, namespace: str, kind: str) -> None:
    """All of a kind. Raises NotFound, Forbidden."""
    owner = namespaces.find(tx, call, namespace, "delete_metadef_namespace")
    _refuse_protected(owner)
    tx.delete_where(ItemRow, "namespace_id = ? AND kind = ?", owner.id, kind)


def _refuse_protected(owner: NamespaceRow) -> None:
    if owner.protected:
        raise Forbidden(f"Metadata definition namespace {owner.namespace} is protected.")


def _find(tx: Tx, owner: NamespaceRow, kind: str, name: str) -> ItemRow:
    row = tx.first(ItemRow, "WHERE namespace_id = ? AND kind = ? AND name = ?", owner.id, kind, name)
    if row is None:
        raise NotFound(f"The metadata definition {kind} with name={name} was not found in {owner.namespace}.")
    return row
