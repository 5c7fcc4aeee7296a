"""Metadata definitions: namespaces, objects, properties, tags, resource types."""

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from bivouac.core.clock import iso_seconds
from bivouac.core.errors import BadRequest, Forbidden
from bivouac.core.http import Request, Response, Route
from bivouac.core.store import Page

from ..metadef_records import AssociationRow, ItemRow, NamespaceRow
from ..service import listing
from ..service.metadefs import bodies, items, namespaces, resource_types
from .images import MAX_BODY_BYTES

_READ_ONLY = ("self", "schema", "created_at", "updated_at")
_BASE = "/v2/metadefs/namespaces"


async def _body(request: Request, kind: Any) -> Any:
    """The body as a Struct. Raises BadRequest, Forbidden (read-only members)."""
    raw = await request.body_bytes(MAX_BODY_BYTES)
    try:
        tree = msgspec.json.decode(raw)
        if isinstance(tree, dict) and (found := [name for name in _READ_ONLY if name in tree]):
            raise Forbidden(f"Attribute '{found[0]}' is read-only.")
        if b"\\u0000" in raw:
            raise BadRequest("Strings may not contain NUL characters.")
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid input: {error}") from error


def _page(request: Request) -> Page:
    value = dict(request.query)
    parsed = listing.parse([(name, text) for name, text in request.query if name == "limit"])
    key, way = value.get("sort_key", "created_at"), value.get("sort_dir", "desc")
    if key not in ("created_at", "updated_at", "namespace", "name", "id") or way not in ("asc", "desc"):
        raise BadRequest(f"Invalid sort key or direction: {key[:60]}, {way[:60]}.")
    return Page(((key, way),), value.get("marker"), parsed.page.limit)


def _paged(request: Request, path: str, schema: str, name: str, views: list[Any], last: str, page: Page) -> Any:
    pairs = [pair for pair in request.query if pair[0] != "marker"]
    body = {name: views, "first": path + (f"?{urlencode(pairs)}" if pairs else ""), "schema": schema}
    if views and len(views) == page.limit:
        body["next"] = f"{path}?{urlencode([*pairs, ('marker', last)])}"
    return body


# --- views -------------------------------------------------------------------------------------------------------


def _moments(row: Any) -> dict[str, Any]:
    return {"created_at": iso_seconds(row.created_at), "updated_at": iso_seconds(row.updated_at)}


def _association(row: AssociationRow) -> dict[str, Any]:
    view = {"name": row.resource_type, "prefix": row.prefix, "properties_target": row.properties_target}
    return {key: value for key, value in view.items() if value is not None} | _moments(row)


def _namespace(row: NamespaceRow, associations: list[AssociationRow]) -> dict[str, Any]:
    view = {"namespace": row.namespace, "display_name": row.display_name, "description": row.description}
    view = {key: value for key, value in view.items() if value is not None}
    view |= {"visibility": row.visibility, "protected": row.protected, "owner": row.owner, **_moments(row)}
    view |= {"self": f"{_BASE}/{quote(row.namespace, safe='')}", "schema": "/v2/schemas/metadefs/namespace"}
    if associations:
        view["resource_type_associations"] = [_association(one) for one in associations]
    return view


def _object(namespace: str, row: ItemRow, prefix: str = "") -> dict[str, Any]:
    view = {"name": row.name, "required": [], "properties": {}, **row.document, **_moments(row)}
    if prefix:
        view["properties"] = {prefix + key: value for key, value in view["properties"].items()}
        view["required"] = [prefix + key for key in view["required"]]
    path = f"{_BASE}/{quote(namespace, safe='')}/objects/{quote(row.name, safe='')}"
    return view | {"self": path, "schema": "/v2/schemas/metadefs/object"}


def _property(row: ItemRow) -> dict[str, Any]:
    return {"name": row.name, **row.document}


def _tag(row: ItemRow) -> dict[str, Any]:
    return {"name": row.name, **_moments(row)}


# --- namespaces --------------------------------------------------------------------------------------------------


async def list_namespaces(request: Request) -> Any:
    """One page of namespaces."""
    page = _page(request)
    visibility = request.query_value("visibility", "") or ""
    if visibility not in ("", "public", "private"):
        raise BadRequest(f"Invalid visibility value: {visibility[:60]}")
    if page.sort[0][0] == "name":
        raise BadRequest("Invalid sort key: name")
    kinds = [one for one in (request.query_value("resource_types") or "").split(",") if one]
    found = await request.read(namespaces.list_namespaces, visibility, kinds, page)
    views = [_namespace(row, associations) for row, associations in found]
    last = found[-1][0].namespace if found else ""
    return _paged(request, _BASE, "/v2/schemas/metadefs/namespaces", "namespaces", views, last, page)


async def show_namespace(request: Request, namespace: str) -> dict[str, Any]:
    """A namespace with all that is in it."""
    row, found, associations = await request.read(namespaces.show, namespace)
    view = _namespace(row, associations)
    wanted = request.query_value("resource_type")
    prefix = next((one.prefix or "" for one in associations if one.resource_type == wanted), "")
    if properties := {prefix + one.name: one.document for one in found if one.kind == "property"}:
        view["properties"] = properties
    if objects := [_object(namespace, one, prefix) for one in found if one.kind == "object"]:
        view["objects"] = objects
    if tags := [{"name": one.name} for one in found if one.kind == "tag"]:
        view["tags"] = tags
    return view


async def create_namespace(request: Request) -> Response:
    """Create a namespace with what is in it."""
    body: bodies.Namespace = await _body(request, bodies.Namespace)
    name = await request.write(namespaces.create, body)
    if request.call.plan:
        return Response({"namespace": name}, 201)
    view = await show_namespace(request, name)
    return Response(
        view, 201, {"Location": f"{request.application.origin(request)}{request.mount.prefix}{view['self']}"}
    )


async def update_namespace(request: Request, namespace: str) -> dict[str, Any]:
    """Change what a namespace says of itself."""
    body = await _body(request, bodies.Namespace)
    return _namespace(await request.write(namespaces.update, namespace, body), [])


async def delete_namespace(request: Request, namespace: str) -> None:
    """Delete a namespace with all that is in it."""
    await request.write(namespaces.delete, namespace)


# --- objects, properties, tags -----------------------------------------------------------------------------------


async def list_objects(request: Request, namespace: str) -> Any:
    """Objects of a namespace."""
    page = _page(request)
    found = await request.read(items.list_items, namespace, "object", page)
    path = f"{_BASE}/{quote(namespace, safe='')}/objects"
    views = [_object(namespace, row) for row in found]
    last = found[-1].name if found else ""
    return _paged(request, path, "/v2/schemas/metadefs/objects", "objects", views, last, page)


async def show_object(request: Request, namespace: str, name: str) -> Any:
    """One object."""
    return _object(namespace, await request.read(items.show, namespace, "object", name))


async def create_object(request: Request, namespace: str) -> Any:
    """Create an object."""
    body = await _body(request, bodies.Object)
    return _object(namespace, await request.write(items.add, namespace, "object", body))


async def update_object(request: Request, namespace: str, name: str) -> Any:
    """Replace an object."""
    body = await _body(request, bodies.Object)
    return _object(namespace, await request.write(items.update, namespace, "object", name, body))


async def delete_object(request: Request, namespace: str, name: str) -> None:
    """Delete an object."""
    await request.write(items.delete, namespace, "object", name)


async def delete_objects(request: Request, namespace: str) -> None:
    """Delete all objects."""
    await request.write(items.delete_all, namespace, "object")


async def list_properties(request: Request, namespace: str) -> Any:
    """Properties of a namespace."""
    found = await request.read(items.list_items, namespace, "property", Page((("name", "asc"),)))
    return {"properties": {row.name: row.document for row in found}}


async def show_property(request: Request, namespace: str, name: str) -> Any:
    """One property."""
    kind = request.query_value("resource_type") or ""
    return _property(await request.read(items.show, namespace, "property", name, kind))


async def _named_property(request: Request) -> bodies.Property:
    """A property by itself, which must say its name."""
    body: bodies.Property = await _body(request, bodies.Property)
    if body.name is msgspec.UNSET:
        raise BadRequest("Invalid input: Object missing required field `name`")
    return body


async def create_property(request: Request, namespace: str) -> Any:
    """Create a property."""
    body = await _named_property(request)
    return _property(await request.write(items.add, namespace, "property", body))


async def update_property(request: Request, namespace: str, name: str) -> Any:
    """Replace a property."""
    body = await _named_property(request)
    return _property(await request.write(items.update, namespace, "property", name, body))


async def delete_property(request: Request, namespace: str, name: str) -> None:
    """Delete a property."""
    await request.write(items.delete, namespace, "property", name)


async def delete_properties(request: Request, namespace: str) -> None:
    """Delete all properties."""
    await request.write(items.delete_all, namespace, "property")


async def list_tags(request: Request, namespace: str) -> Any:
    """Tags of a namespace."""
    page = _page(request)
    found = await request.read(items.list_items, namespace, "tag", page)
    path = f"{_BASE}/{quote(namespace, safe='')}/tags"
    last = found[-1].name if found else ""
    views = [{"name": row.name} for row in found]
    return _paged(request, path, "/v2/schemas/metadefs/tags", "tags", views, last, page)


async def set_tags(request: Request, namespace: str) -> Any:
    """Put many tags."""
    body = await _body(request, bodies.Tags)
    append = request.headers.get("x-openstack-append", "").lower() in ("true", "1", "yes", "on")
    names = await request.write(items.set_tags, namespace, body, append)
    return {"tags": [{"name": name} for name in names]}


async def show_tag(request: Request, namespace: str, name: str) -> Any:
    """One tag."""
    return _tag(await request.read(items.show, namespace, "tag", name))


async def create_tag(request: Request, namespace: str, name: str) -> Any:
    """Create a tag."""
    if not 1 <= len(name) <= 80:
        raise BadRequest("A tag has 1 to 80 characters.")
    return _tag(await request.write(items.add, namespace, "tag", bodies.Tag(name)))


async def update_tag(request: Request, namespace: str, name: str) -> Any:
    """Rename a tag."""
    body = await _body(request, bodies.Tag)
    return _tag(await request.write(items.update, namespace, "tag", name, body))


async def delete_tag(request: Request, namespace: str, name: str) -> None:
    """Delete a tag."""
    await request.write(items.delete, namespace, "tag", name)


async def delete_tags(request: Request, namespace: str) -> None:
    """Delete all tags."""
    await request.write(items.delete_all, namespace, "tag")


# --- resource types ----------------------------------------------------------------------------------------------


async def list_resource_types(request: Request) -> Any:
    """All kinds of resources."""
    found = await request.read(resource_types.list_types)
    return {"resource_types": [{"name": row.name, **_moments(row)} for row in found]}


async def list_associations(request: Request, namespace: str) -> Any:
    """What a namespace is for."""
    found = await request.read(resource_types.list_associations, namespace)
    return {"resource_type_associations": [_association(row) for row in found]}


async def associate(request: Request, namespace: str) -> Any:
    """Say that a namespace is for a kind of resource."""
    body = await _body(request, bodies.Association)
    return _association(await request.write(resource_types.associate, namespace, body))


async def dissociate(request: Request, namespace: str, name: str) -> None:
    """Say so no more."""
    await request.write(resource_types.dissociate, namespace, name)


def _routes(kind: str, *entries: tuple[str, str, Any, str, int]) -> list[Route]:
    return [
        Route(
            method=method,
            path=f"{_BASE}/{{namespace}}/{kind}{rest}",
            handler=handler,
            rule=rule,
            status=status,
            late=True,
        )  # fmt: skip
        for method, rest, handler, rule, status in entries
    ]


_NS = f"{_BASE}/{{namespace}}"
ROUTES = [
    Route(method="GET", path="/v2/metadefs/resource_types", handler=list_resource_types,
          rule="list_metadef_resource_types", late=True),
    Route(method="GET", path=_BASE, handler=list_namespaces, rule="get_metadef_namespaces", late=True),
    Route(method="POST", path=_BASE, handler=create_namespace, rule="add_metadef_namespace", status=201, late=True),
    Route(method="GET", path=_NS, handler=show_namespace, rule="get_metadef_namespace", late=True),
    Route(method="PUT", path=_NS, handler=update_namespace, rule="modify_metadef_namespace", late=True),
    Route(method="DELETE", path=_NS, handler=delete_namespace, rule="delete_metadef_namespace", status=204, late=True),
    *_routes(
        "objects",
        ("GET", "", list_objects, "get_metadef_objects", 200),
        ("POST", "", create_object, "add_metadef_object", 201),
        ("DELETE", "", delete_objects, "delete_metadef_namespace", 204),
        ("GET", "/{name}", show_object, "get_metadef_object", 200),
        ("PUT", "/{name}", update_object, "modify_metadef_object", 200),
        ("DELETE", "/{name}", delete_object, "delete_metadef_object", 204),
    ),
    *_routes(
        "properties",
        ("GET", "", list_properties, "get_metadef_properties", 200),
        ("POST", "", create_property, "add_metadef_property", 201),
        ("DELETE", "", delete_properties, "delete_metadef_namespace", 204),
        ("GET", "/{name}", show_property, "get_metadef_property", 200),
        ("PUT", "/{name}", update_property, "modify_metadef_property", 200),
        ("DELETE", "/{name}", delete_property, "remove_metadef_property", 204),
    ),
    *_routes(
        "tags",
        ("GET", "", list_tags, "get_metadef_tags", 200),
        ("POST", "", set_tags, "add_metadef_tags", 201),
        ("DELETE", "", delete_tags, "delete_metadef_namespace", 204),
        ("GET", "/{name}", show_tag, "get_metadef_tag", 200),
        ("POST", "/{name}", create_tag, "add_metadef_tag", 201),
        ("PUT", "/{name}", update_tag, "modify_metadef_tag", 200),
        ("DELETE", "/{name}", delete_tag, "delete_metadef_tag", 204),
    ),
    *_routes(
        "resource_types",
        ("GET", "", list_associations, "get_metadef_resource_type", 200),
        ("POST", "", associate, "add_metadef_resource_type_association", 201),
        ("DELETE", "/{name}", dissociate, "remove_metadef_resource_type_association", 204),
    ),
]  # fmt: skip
