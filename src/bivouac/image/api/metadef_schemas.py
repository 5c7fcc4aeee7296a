"""JSON schemas of metadata definitions (`/v2/schemas/metadefs/...`)."""

from typing import Any

Schema = dict[str, Any]
_KINDS = ["array", "boolean", "integer", "number", "object", "string", None]
_COUNT: Schema = {"$ref": "#/definitions/positiveInteger"}
_COUNT_FROM_0: Schema = {"$ref": "#/definitions/positiveIntegerDefault0"}
_MOMENT: Schema = {"type": "string", "readOnly": True, "format": "date-time"}
_LINK: Schema = {"type": "string", "readOnly": True}

PROPERTY_MEMBERS: Schema = {
    "name": {"type": "string", "maxLength": 80},
    "title": {"type": "string"},
    "description": {"type": "string"},
    "operators": {"type": "array", "items": {"type": "string"}},
    "type": {"type": "string", "enum": _KINDS},
    "required": {"$ref": "#/definitions/stringArray"},
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": _COUNT,
    "minLength": _COUNT_FROM_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "readonly": {"type": "boolean"},
    "default": {},
    "items": {"type": "object", "properties": {"type": {"type": "string", "enum": _KINDS}, "enum": {"type": "array"}}},
    "maxItems": _COUNT,
    "minItems": _COUNT_FROM_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": {"type": "boolean"},
}
DEFINITIONS: Schema = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [_COUNT, {"default": 0}]},
    "stringArray": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    "property": {
        "type": "object",
        "additionalProperties": {"type": "object", "required": ["title", "type"], "properties": PROPERTY_MEMBERS},
    },
}
_OBJECT_MEMBERS: Schema = {
    "name": {"type": "string", "maxLength": 80},
    "description": {"type": "string"},
    "required": {"$ref": "#/definitions/stringArray"},
    "properties": {"$ref": "#/definitions/property"},
}
_ASSOCIATION: Schema = {
    "name": {"type": "string", "maxLength": 80, "description": "Resource type names should be aligned with Heat's."},
    "prefix": {"type": "string", "maxLength": 80, "description": "Stands before the namespace's properties there."},
    "properties_target": {"type": "string", "maxLength": 80, "description": "Which of its properties are meant."},
}
_MOMENTS: Schema = {"created_at": _MOMENT, "updated_at": _MOMENT}
_LINKS: Schema = {"self": _LINK, "schema": _LINK}


def _schema(name: str, properties: Schema, required: list[str], definitions: bool = False) -> Schema:
    schema: Schema = {"name": name, "properties": properties, "additionalProperties": False, "required": required}
    return schema | ({"definitions": DEFINITIONS} if definitions else {})


NAMESPACE = _schema(
    "namespace",
    {
        "namespace": {"type": "string", "maxLength": 80, "description": "The unique namespace text."},
        "display_name": {"type": "string", "maxLength": 80},
        "description": {"type": "string", "maxLength": 500},
        "visibility": {"type": "string", "enum": ["public", "private"]},
        "protected": {"type": "boolean", "description": "If true, namespace will not be deletable."},
        "owner": {"type": "string", "maxLength": 255},
        **_MOMENTS,
        **_LINKS,
        "resource_type_associations": {"type": "array", "items": {"type": "object", "properties": _ASSOCIATION}},
        "properties": {"$ref": "#/definitions/property"},
        "objects": {"type": "array", "items": {"type": "object", "properties": _OBJECT_MEMBERS}},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
    ["namespace"],
    definitions=True,
)
OBJECT = _schema("object", {**_OBJECT_MEMBERS, **_LINKS, **_MOMENTS}, ["name"], definitions=True)
PROPERTY = _schema("property", PROPERTY_MEMBERS, ["title", "type", "name"], definitions=True)
TAG = _schema("tag", {"name": {"type": "string", "maxLength": 80}, **_MOMENTS}, ["name"])
RESOURCE_TYPE = _schema("resource_type_association", {**_ASSOCIATION, **_MOMENTS}, ["name"])


def _collection(name: str, item: Schema, mapping: bool = False) -> Schema:
    inner = {key: value for key, value in item.items() if key != "definitions"}
    elements: Schema = {"type": "object", "additionalProperties": inner} if mapping else {"type": "array",
                                                                                          "items": inner}  # fmt: skip
    members = {name: elements, "first": {"type": "string"}, "next": {"type": "string"}, "schema": {"type": "string"}}
    links = [{"rel": rel, "href": f"{{{rel}}}"} for rel in ("first", "next")]
    schema: Schema = {
        "name": name,
        "properties": members,
        "links": [*links, {"rel": "describedby", "href": "{schema}"}],
    }
    return schema | ({"definitions": item["definitions"]} if "definitions" in item else {})


SCHEMAS: dict[str, Schema] = {
    "namespace": NAMESPACE,
    "namespaces": _collection("namespaces", NAMESPACE),
    "object": OBJECT,
    "objects": _collection("objects", OBJECT),
    "property": PROPERTY,
    "properties": _collection("properties", PROPERTY, mapping=True),
    "tag": TAG,
    "tags": _collection("tags", TAG),
    "resource_type": RESOURCE_TYPE,
    "resource_types": _collection("resource_type_associations", RESOURCE_TYPE),
}
