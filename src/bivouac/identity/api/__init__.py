"""Routes and wire shapes of Identity v3, one file per resource; `mount` puts them under a prefix.

Source: OpenStack Identity API v3 reference.
"""

from ...core.http import Mount, Route, dialects
from ..identity import Identity
from . import auth, domains, groups, projects, users, versions

ROUTES: list[Route] = [
    *versions.ROUTES,
    *auth.ROUTES,
    *domains.ROUTES,
    *projects.ROUTES,
    *users.ROUTES,
    *groups.ROUTES,
]


def mount(identity: Identity, prefix: str = "/identity") -> Mount:
    """Identity v3 under the prefix."""
    return Mount(
        prefix=prefix, service_type="identity", routes=ROUTES, dialect=dialects.KEYSTONE, service=identity
    )
