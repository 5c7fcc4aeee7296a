"""What a login asks to be scoped to, resolved to ids."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from ...core.errors import BadRequest, Unauthorized
from ...core.store import Tx
from ..records import Project, User
from .effective import Scope, roles_of

REFUSED = "The request you have made requires authentication."


class DomainName(Struct):
    """A domain by id or by name."""

    id: str | None = None
    name: str | None = None


class ProjectName(Struct):
    """A project by id, or by name and domain."""

    id: str | None = None
    name: str | None = None
    domain: DomainName | None = None


class TrustName(Struct):
    id: str


class ScopeRequest(Struct):
    """The `scope` of an authentication request. At most one of its members."""

    project: ProjectName | None = None
    domain: DomainName | None = None
    system: dict[str, Any] | None = None
    trust: TrustName | None = field(default=None, name="OS-TRUST:trust")
    unscoped: Any | UnsetType = UNSET

    def count(self) -> int:
        """How many targets it names."""
        named = [self.project, self.domain, self.system, self.trust]
        return sum(one is not None for one in named) + (self.unscoped is not UNSET)


def unauthorized() -> Unauthorized:
    """One answer for every reason, so that none can be told from another."""
    return Unauthorized(REFUSED)


def domain_of(tx: Tx, wanted: DomainName | None) -> Project:
    """The named domain. Raises BadRequest when unnamed, Unauthorized when there is none."""
    if wanted is None or not (wanted.id or wanted.name):
        raise BadRequest("Expecting to find id or name in domain. The server could not comply with the request since "
                         "it is either malformed or otherwise incorrect.")  # fmt: skip
    found = (
        tx.get(Project, wanted.id)
        if wanted.id
        else tx.first(Project, "WHERE name = ? AND domain_id IS NULL", wanted.name)
    )
    if found is None or not found.is_domain:
        raise unauthorized()
    return found


def resolve(tx: Tx, request: ScopeRequest | None, user: User) -> Scope:
    """The ids of the wanted scope; with none wanted, the user's default project if it can be had. Raises BadRequest,
    Unauthorized. Trusts are not resolved here."""
    if request is None:
        return default_scope(tx, user)
    if request.count() != 1:
        raise BadRequest("The scope must name exactly one of project, domain, system, OS-TRUST:trust and unscoped.")
    if request.system is not None:
        if request.system.get("all") is not True:
            raise BadRequest("The system scope must be {\"all\": true}.")
        return Scope(system=True)
    if request.domain is not None:
        return Scope(domain_id=domain_of(tx, request.domain).id)
    if request.project is not None:
        wanted = request.project
        if wanted.id:
            found = tx.get(Project, wanted.id)
        elif wanted.name:
            domain = domain_of(tx, wanted.domain)
            found = tx.first(Project, "WHERE domain_id = ? AND name = ?", domain.id, wanted.name)
        else:
            raise BadRequest("Expecting to find id or name in project. The server could not comply with the request "
                             "since it is either malformed or otherwise incorrect.")  # fmt: skip
        if found is None:
            raise unauthorized()
        return Scope(project_id=found.id)
    return Scope()


def default_scope(tx: Tx, user: User) -> Scope:
    """The user's default project, if it is enabled and the user has a role there; otherwise unscoped."""
    if not user.default_project_id:
        return Scope()
    project = tx.get(Project, user.default_project_id)
    if project is None or not project.enabled:
        return Scope()
    domain = tx.get(Project, project.domain_id or project.id)
    scope = Scope(project_id=project.id)
    if domain is None or not domain.enabled or not roles_of(tx, user.id, scope):
        return Scope()
    return scope
