"""Routes and wire shapes of Identity v3, one file per resource; `mount` puts them under a prefix.

Source: OpenStack Identity API v3 reference.
"""

from ...core.http import Mount, Route, dialects
from ..identity import Identity
from . import (
    application_credentials,
    auth,
    catalog_entries,
    credentials,
    domain_config,
    domains,
    endpoint_filter,
    groups,
    limits,
    oauth1,
    policies,
    policy_explain,
    projects,
    revocation_events,
    role_assignments,
    roles,
    trusts,
    users,
    versions,
)

ROUTES: list[Route] = [
    *application_credentials.ROUTES,
    *auth.ROUTES,
    *catalog_entries.ROUTES,
    *credentials.ROUTES,
    *domain_config.ROUTES,
    *domains.ROUTES,
    *endpoint_filter.ROUTES,
    *groups.ROUTES,
    *limits.ROUTES,
    *oauth1.ROUTES,
    *policies.ROUTES,
    *policy_explain.ROUTES,
    *projects.ROUTES,
    *revocation_events.ROUTES,
    *role_assignments.ROUTES,
    *roles.ROUTES,
    *trusts.ROUTES,
    *users.ROUTES,
    *versions.ROUTES,
]


def mount(identity: Identity, prefix: str = "/identity") -> Mount:
    """Identity v3 under the prefix."""
    return Mount(
        prefix=prefix, service_type="identity", routes=ROUTES, dialect=dialects.KEYSTONE, service=identity
    )
