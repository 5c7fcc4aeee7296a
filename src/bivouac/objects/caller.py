"""Who is calling, as the object store's front doors know it, and the seam to whoever can tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from bivouac.core.call import AccessRule


class Caller(msgspec.Struct, frozen=True):
    """An authenticated user acting in a project. Names are for ACLs that use them (default domain only)."""

    user_id: str
    user_name: str
    user_domain_id: str
    project_id: str
    project_name: str
    project_domain_id: str
    roles: frozenset[str]
    access_rules: tuple[AccessRule, ...] | None = None  # of an application credential; None: not restricted


# Token to caller; None: the token is not (or no longer) good. Revocation is the callable's to keep exact: the doors
# ask on every request.
Authenticate = Callable[[str], Awaitable[Caller | None]]
