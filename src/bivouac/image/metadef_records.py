"""Tables of metadata definitions."""

from typing import Any, ClassVar

from bivouac.core.store import Row


class NamespaceRow(Row, frozen=True, kw_only=True):
    """A namespace. It may be renamed, so what belongs to it names its id."""

    TABLE: ClassVar[str] = "metadef_namespaces"
    id: str
    namespace: str
    display_name: str | None = None
    description: str | None = None
    visibility: str = "private"
    protected: bool = False
    owner: str = ""
    created_at: float
    updated_at: float


class ItemRow(Row, frozen=True, kw_only=True):
    """An object, property or tag of a namespace; `document` is what the API shows of it beside name and moments."""

    TABLE: ClassVar[str] = "metadef_items"
    id: str
    namespace_id: str
    kind: str
    """`object`, `property` or `tag`"""
    name: str
    document: dict[str, Any] = {}
    created_at: float
    updated_at: float


class ResourceTypeRow(Row, frozen=True, kw_only=True):
    """A kind of resource that definitions can be for (`OS::Nova::Server`)."""

    TABLE: ClassVar[str] = "metadef_resource_types"
    KEY: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    protected: bool = False
    created_at: float
    updated_at: float


class AssociationRow(Row, frozen=True, kw_only=True):
    """A namespace is for a kind of resource; `prefix` stands before its properties there."""

    TABLE: ClassVar[str] = "metadef_associations"
    KEY: ClassVar[tuple[str, ...]] = ("namespace_id", "resource_type")
    namespace_id: str
    resource_type: str
    prefix: str | None = None
    properties_target: str | None = None
    created_at: float
    updated_at: float
