"""From what a token says to who it is now: everything that can have changed since it was issued is read here."""

from msgspec import Struct, field

from ...core.call import AccessRule, Caller
from ...core.store import Tx
from ..records import AccessRuleRow, AccessToken, ApplicationCredential, Project, RevocationEvent, Trust, User
from ..tokens import Token
from .effective import Scope, roles_of, with_implied

MICROSECONDS = 1e6


class Refused(Exception):
    """The token does not count (any more). The text is for logs and tests, never for clients."""


class Proven(Struct, frozen=True, kw_only=True):
    """A token that counts: the caller, what else its document shows, and the ids it depends on."""

    token: Token
    caller: Caller
    user: User
    project: Project | None = None
    is_domain: bool = False
    trust: Trust | None = None
    application_credential: ApplicationCredential | None = None
    access_token: AccessToken | None = None
    subjects: tuple[str, ...] = ()
    access_secret: str = ""
    """The secret of the EC2 access key, when it was one that was proven."""
    encoded: list[bytes] = field(default_factory=list)
    """The token's document without a catalog, once it has been asked for."""


def prove(tx: Tx, token: Token) -> Proven:
    """Who the token's bearer is now. Expiry is the caller's business. Raises Refused."""
    for audit_id in token.audit_ids[:1]:
        if tx.value("SELECT 1 FROM revocation_events WHERE audit_id = ?", audit_id):
            raise Refused("revoked")
    trust = _trust(tx, token)
    user = _user(tx, token.user_id, token.issued_us)
    shown = user
    if trust is not None:
        trustor = _user(tx, trust.trustor_user_id, token.issued_us)
        if trust.impersonation:
            shown = trustor
    domain = _domain(tx, shown.domain_id, token.issued_us)
    if shown is not user:
        _domain(tx, user.domain_id, token.issued_us)
    scope = Scope(token.project_id, token.domain_id, token.system)
    project = project_domain = scope_domain = None
    if token.project_id:
        project = _project(tx, token.project_id, token.issued_us)
        project_domain = _domain(tx, project.domain_id or project.id, token.issued_us)
    elif token.domain_id:
        scope_domain = _domain(tx, token.domain_id, token.issued_us)
    credential = _application_credential(tx, token)
    access_token = _access_token(tx, token)
    roles = _roles(tx, user, scope, trust, credential, access_token)
    if not roles and not scope.is_unscoped:
        raise Refused("no role in the scope is left")
    caller = Caller(
        user_id=shown.id,
        user_name=shown.name,
        user_domain_id=domain.id,
        user_domain_name=domain.name,
        project_id=token.project_id,
        project_name=project.name if project else "",
        project_domain_id=project_domain.id if project_domain else "",
        project_domain_name=project_domain.name if project_domain else "",
        domain_id=token.domain_id,
        domain_name=scope_domain.name if scope_domain else "",
        system=token.system,
        roles=tuple(name for _, name in roles),
        role_ids=tuple(role_id for role_id, _ in roles),
        methods=token.methods,
        audit_ids=token.audit_ids,
        issued_at=token.issued_us / MICROSECONDS,
        expires_at=token.expires_us / MICROSECONDS,
        trust_id=token.trust_id,
        trustor_id=trust.trustor_user_id if trust else "",
        trustee_id=trust.trustee_user_id if trust else "",
        application_credential_id=token.application_credential_id,
        access_rules=_access_rules(tx, credential),
        restricted=credential is not None and not credential.unrestricted,
        oauth_consumer_id=access_token.consumer_id if access_token else "",
        oauth_access_token_id=token.access_token_id,
    )
    return Proven(
        token=token,
        caller=caller,
        user=shown,
        project=project,
        is_domain=bool(project and project.is_domain),
        trust=trust,
        application_credential=credential,
        access_token=access_token,
        subjects=_subjects(token, caller, user, project),
    )


def _subjects(token: Token, caller: Caller, user: User, project: Project | None) -> tuple[str, ...]:
    ids = {
        user.id, user.domain_id, caller.user_id, caller.user_domain_id, token.project_id, caller.project_domain_id,
        token.domain_id, token.trust_id, token.application_credential_id, token.access_token_id,
        caller.trustor_id, caller.oauth_consumer_id, *token.audit_ids[:1],
    }  # fmt: skip
    if project is not None and project.parent_id:
        ids.add(project.parent_id)
    return tuple(ids - {""})


def _user(tx: Tx, user_id: str, issued_us: int) -> User:
    user = tx.get(User, user_id)
    if user is None or not user.enabled:
        raise Refused("the user is disabled or gone")
    _not_before(user.tokens_not_before, issued_us, "user")
    return user


def _project(tx: Tx, project_id: str, issued_us: int) -> Project:
    project = tx.get(Project, project_id)
    if project is None or not project.enabled:
        raise Refused("the project is disabled or gone")
    _not_before(project.tokens_not_before, issued_us, "project")
    return project


def _domain(tx: Tx, domain_id: str, issued_us: int) -> Project:
    domain = tx.get(Project, domain_id)
    if domain is None or not domain.is_domain or not domain.enabled:
        raise Refused("the domain is disabled or gone")
    _not_before(domain.tokens_not_before, issued_us, "domain")
    return domain


def _not_before(moment: float, issued_us: int, what: str) -> None:
    if issued_us < round(moment * MICROSECONDS):
        raise Refused(f"issued before the tokens of its {what} were made void")


def _trust(tx: Tx, token: Token) -> Trust | None:
    if not token.trust_id:
        return None
    trust = tx.get(Trust, token.trust_id)
    if trust is None or trust.trustee_user_id != token.user_id:
        raise Refused("the trust is gone")
    return trust


def _application_credential(tx: Tx, token: Token) -> ApplicationCredential | None:
    if not token.application_credential_id:
        return None
    credential = tx.get(ApplicationCredential, token.application_credential_id)
    if credential is None or credential.user_id != token.user_id:
        raise Refused("the application credential is gone")
    return credential


def _access_token(tx: Tx, token: Token) -> AccessToken | None:
    if not token.access_token_id:
        return None
    access_token = tx.get(AccessToken, token.access_token_id)
    if access_token is None or access_token.authorizing_user_id != token.user_id:
        raise Refused("the access token is gone")
    return access_token


def _access_rules(tx: Tx, credential: ApplicationCredential | None) -> tuple[AccessRule, ...] | None:
    if credential is None or credential.access_rule_ids is None:
        return None
    rows = [tx.get(AccessRuleRow, rule_id) for rule_id in credential.access_rule_ids]
    return tuple(AccessRule(service=row.service, method=row.method, path=row.path) for row in rows if row)


def _roles(
    tx: Tx,
    user: User,
    scope: Scope,
    trust: Trust | None,
    credential: ApplicationCredential | None,
    access_token: AccessToken | None,
) -> list[tuple[str, str]]:
    """The bearer's roles. What is delegated counts only as long as who delegated it still has all of it."""
    if trust is not None:
        return delegated(tx, trust.trustor_user_id, scope, trust.role_ids)
    if credential is not None:
        return delegated(tx, user.id, scope, credential.role_ids)
    if access_token is not None:
        return delegated(tx, user.id, scope, access_token.role_ids)
    return roles_of(tx, user.id, scope)


def delegated(tx: Tx, owner_id: str, scope: Scope, role_ids: list[str]) -> list[tuple[str, str]]:
    """The delegated roles with what they imply. Raises Refused when their owner has lost one."""
    if scope.is_unscoped:
        return []
    held = {role_id for role_id, _ in roles_of(tx, owner_id, scope)}
    if not held.issuperset(role_ids):
        raise Refused("who delegated the roles does not hold them all any more")
    return with_implied(tx, role_ids)


def is_revoked(tx: Tx, audit_id: str) -> bool:
    """Whether the token of this audit id was revoked by name."""
    return tx.count(RevocationEvent, "WHERE audit_id = ?", audit_id) > 0
