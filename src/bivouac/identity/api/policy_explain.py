"""`POST /v3/policy/explain`: for a call and a user, which rule decides and which role is missing.

Bivouac's own; OpenStack has nothing like it. The words are those of the 403 that the call would get.
"""

from typing import Any
from urllib.parse import quote

from msgspec import Struct

from ...core.errors import BadRequest, NotFound
from ...core.http import Request, Route
from ...core.store import Tx
from ..service.effective import Scope
from ..service.explain import Explanation, explain
from ..service.scope import ScopeRequest


class Asked(Struct, forbid_unknown_fields=True):
    """A rule's name, or an operation as `method` and `path` (from the host on: `/compute/v2.1/servers`).

    `user` and `scope` name somebody else than the caller; `target` holds attributes of the thing the call is about.
    """

    rule: str = ""
    method: str = ""
    path: str = ""
    user: dict[str, str] | None = None
    scope: ScopeRequest | None = None
    target: dict[str, Any] = {}


def _operation(request: Request, asked: Asked) -> tuple[str, dict[str, str]]:
    """The rule of an operation, and the values in its path. Raises NotFound, BadRequest."""
    path = asked.path.partition("?")[0]
    for mount in request.application.mounts:
        below = path.removeprefix(mount.prefix)
        if mount.router is None or below == path and mount.prefix or (below and below[0] != "/"):
            continue
        found = mount.router.find(quote(below, safe="/%"))
        choices = found[0].get(asked.method.upper()) if found else None
        if found and not choices and asked.method.upper() == "HEAD":
            choices = found[0].get("GET")
        if found and choices:
            route, names = choices[-1]
            if not route.rule:
                raise BadRequest(f"{asked.method} {path} is public: no rule decides.")
            return route.rule, dict(zip(names, found[1], strict=True))
    raise NotFound(f"No service has the operation {asked.method} {path}.")


def _scope(asked: Asked) -> Scope | None:
    """The scope by ids. Raises BadRequest."""
    wanted = asked.scope
    if wanted is None:
        return None
    scope = Scope(
        project_id=(wanted.project and wanted.project.id) or "",
        domain_id=(wanted.domain and wanted.domain.id) or "",
        system=wanted.system is not None,
    )
    if wanted.count() != 1 or (scope.is_unscoped and (wanted.project or wanted.domain or wanted.trust)):
        raise BadRequest("The scope must name one project or domain by its id, or be system.")
    return scope


def _explain(tx: Tx, call: Any, rule: str, target: dict[str, Any], asked: Asked, scope: Scope | None) -> Explanation:
    user_id = asked.user.get("id") if asked.user else None
    return explain(tx, call, rule, target, user_id, scope)


async def explain_policy(request: Request) -> dict[str, Any]:
    asked: Asked = request.body
    rule, values = (asked.rule, {}) if asked.rule else _operation(request, asked)
    if rule not in request.call.policy.texts:
        raise NotFound(f"There is no policy rule named {rule}.")
    found = await request.read(_explain, rule, {**values, **asked.target}, asked, _scope(asked))
    return {
        "explanation": {
            "allowed": found.allowed,
            "rule": found.rule,
            "check": found.check,
            "roles": found.roles,
            "not_met": found.not_met,
            "sufficient_roles": found.sufficient_roles,
            "message": found.message,
        }
    }


ROUTES = [
    Route(method="POST", path="/v3/policy/explain", handler=explain_policy, rule="identity:explain_policy", late=True,
          body=Asked, envelope="explain"),
]  # fmt: skip
