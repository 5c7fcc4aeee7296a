"""Bodies of metadata definitions, as the API takes them (Image API v2, "Metadata Definitions")."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Name = Annotated[str, Meta(min_length=1, max_length=80)]
Kind = Literal["array", "boolean", "integer", "number", "object", "string"]
Count = Annotated[int, Meta(ge=0, le=(1 << 53))]


class Items(Struct, forbid_unknown_fields=True):
    """What the elements of an array property are."""

    type: Kind | UnsetType = UNSET
    enum: list[Any] | UnsetType = UNSET


class Property(Struct, forbid_unknown_fields=True, rename={"max_length": "maxLength", "min_length": "minLength",
               "max_items": "maxItems", "min_items": "minItems", "unique_items": "uniqueItems",
               "additional_items": "additionalItems"}):  # fmt: skip
    """One property: a JSON schema of its values, with a title."""

    title: str
    type: Kind
    name: Name | UnsetType = UNSET
    description: str | UnsetType = UNSET
    operators: list[str] | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET
    minimum: int | float | UnsetType = UNSET
    maximum: int | float | UnsetType = UNSET
    max_length: Count | UnsetType = UNSET
    min_length: Count | UnsetType = UNSET
    pattern: str | UnsetType = UNSET
    enum: list[Any] | UnsetType = UNSET
    readonly: bool | UnsetType = UNSET
    default: Any = UNSET
    items: Items | UnsetType = UNSET
    max_items: Count | UnsetType = UNSET
    min_items: Count | UnsetType = UNSET
    unique_items: bool | UnsetType = UNSET
    additional_items: bool | UnsetType = UNSET


class Object(Struct, forbid_unknown_fields=True):
    """A group of properties."""

    name: Name
    description: str | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET
    properties: dict[str, Property] | UnsetType = UNSET


class Tag(Struct, forbid_unknown_fields=True):
    """A tag."""

    name: Name


class Tags(Struct, forbid_unknown_fields=True):
    """Many tags."""

    tags: list[Tag]


class Association(Struct, forbid_unknown_fields=True):
    """A kind of resource that a namespace is for."""

    name: Name
    prefix: Annotated[str, Meta(max_length=80)] | UnsetType = UNSET
    properties_target: Annotated[str, Meta(max_length=80)] | UnsetType = UNSET


class Namespace(Struct, forbid_unknown_fields=True):
    """A namespace, with what is in it when it is made."""

    namespace: Name
    display_name: Annotated[str, Meta(max_length=80)] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    visibility: Literal["public", "private"] = "private"
    protected: bool = False
    owner: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    properties: dict[str, Property] = field(default_factory=dict)
    objects: list[Object] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    resource_type_associations: list[Association] = field(default_factory=list)
