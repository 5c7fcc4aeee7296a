"""Tables of the catalog, policies, limits and domain configuration."""

from typing import Any, ClassVar

from ..core.store import Row


class Region(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "regions"
    id: str
    description: str = ""
    parent_region_id: str | None = None
    extra: dict[str, Any] = {}


class Service(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "services"
    id: str
    type: str
    name: str = ""
    enabled: bool = True
    description: str | None = None
    extra: dict[str, Any] = {}


class Endpoint(Row, frozen=True, kw_only=True):
    """`url` may hold `$(project_id)s`, `%(tenant_id)s` and `$(user_id)s`."""

    TABLE: ClassVar[str] = "endpoints"
    id: str
    service_id: str
    interface: str
    url: str
    region_id: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = {}


class EndpointGroup(Row, frozen=True, kw_only=True):
    """Endpoints chosen by `filters` (interface, service_id, region_id, enabled)."""

    TABLE: ClassVar[str] = "endpoint_groups"
    id: str
    name: str
    description: str | None = None
    filters: dict[str, Any] = {}


class ProjectEndpoint(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "project_endpoints"
    KEY: ClassVar[tuple[str, ...]] = ("project_id", "endpoint_id")
    project_id: str
    endpoint_id: str


class ProjectEndpointGroup(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "project_endpoint_groups"
    KEY: ClassVar[tuple[str, ...]] = ("project_id", "endpoint_group_id")
    project_id: str
    endpoint_group_id: str


class PolicyDocument(Row, frozen=True, kw_only=True):
    """A policy kept for other services (Keystone's `/policies`): stored, not interpreted."""

    TABLE: ClassVar[str] = "policy_documents"
    id: str
    type: str
    blob: str
    extra: dict[str, Any] = {}


class PolicyAssociation(Row, frozen=True, kw_only=True):
    """Exactly one of: an endpoint, a service, a service in a region."""

    TABLE: ClassVar[str] = "policy_associations"
    id: str
    policy_id: str
    endpoint_id: str | None = None
    service_id: str | None = None
    region_id: str | None = None


class RegisteredLimit(Row, frozen=True, kw_only=True):
    """A default limit of a resource of a service."""

    TABLE: ClassVar[str] = "registered_limits"
    id: str
    service_id: str
    resource_name: str
    default_limit: int
    region_id: str | None = None
    description: str | None = None


class Limit(Row, frozen=True, kw_only=True):
    """A limit of one project or domain that takes the registered one's place."""

    TABLE: ClassVar[str] = "limits"
    id: str
    registered_limit_id: str
    resource_limit: int
    project_id: str | None = None
    domain_id: str | None = None
    description: str | None = None


class DomainOption(Row, frozen=True, kw_only=True):
    """One option of a domain's configuration; `value` wraps it as `{"value": ...}`, whatever its type."""

    TABLE: ClassVar[str] = "domain_options"
    SECRET: ClassVar[frozenset[str]] = frozenset({"value"})
    KEY: ClassVar[tuple[str, ...]] = ("domain_id", "section", "name")
    domain_id: str
    section: str
    name: str
    value: dict[str, Any]
