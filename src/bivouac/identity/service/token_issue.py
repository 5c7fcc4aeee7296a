"""Issuing tokens: resolve the scope, take the trust's turn, and prove the new token like any other."""

from msgspec import Struct
from msgspec.structs import replace

from ...core.errors import Forbidden
from ...core.store import Tx
from ..records import Project, Trust, User
from ..tokens import Token, new_audit_id
from . import scope as scopes
from .effective import Scope
from .trusts import counting
from .validity import MICROSECONDS, Proven, Refused, prove

CLOCK_SKEW_S = 5.0
"""How far the clocks of two control processes may be apart without a fresh token being taken for a void one."""


class Verified(Struct, frozen=True, kw_only=True):
    """What the methods of an authentication request have proven."""

    user_id: str
    methods: tuple[str, ...]
    parent: Token | None = None
    """The token that was presented, for method `token`."""
    application_credential_id: str = ""
    application_credential_project_id: str = ""
    application_credential_expires_at: float | None = None
    access_token_id: str = ""
    access_token_project_id: str = ""


def issue(tx: Tx, verified: Verified, request: scopes.ScopeRequest | None, now: float, lifetime_s: float) -> Proven:
    """A new token's content, proven. Raises Unauthorized, Forbidden, BadRequest.

    Writes only when the scope is a trust that counts its uses; `needs_write` tells.
    """
    user = tx.get(User, verified.user_id)
    if user is None:
        raise scopes.unauthorized()
    expires_at = now + lifetime_s
    trust: Trust | None = None
    if verified.application_credential_id:
        if request is not None:
            raise scopes.unauthorized()
        scope = Scope(project_id=verified.application_credential_project_id)
        expires_at = min(expires_at, verified.application_credential_expires_at or expires_at)
    elif verified.access_token_id:
        scope = Scope(project_id=verified.access_token_project_id)
    elif request is not None and request.trust is not None and request.count() == 1:
        trust = take_trust(tx, request.trust.id, user, now)
        scope = Scope(project_id=trust.project_id or "")
        expires_at = min(expires_at, trust.expires_at or expires_at)
    else:
        scope = scopes.resolve(tx, request, user)
        if verified.parent is not None and verified.parent.system and (scope.project_id or scope.domain_id):
            raise Forbidden(
                "Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed."
            )
    audit_ids: tuple[str, ...] = (new_audit_id(),)
    if verified.parent is not None:
        audit_ids += verified.parent.audit_ids[-1:]
        expires_at = min(expires_at, verified.parent.expires_us / MICROSECONDS)
    token = Token(
        user_id=user.id,
        issued_us=_issue_moment(tx, user, scope, now),
        expires_us=int(expires_at) * 1_000_000,
        methods=verified.methods,
        audit_ids=audit_ids,
        project_id=scope.project_id,
        domain_id=scope.domain_id,
        system=scope.system,
        trust_id=trust.id if trust else "",
        application_credential_id=verified.application_credential_id,
        access_token_id=verified.access_token_id,
    )
    try:
        proven = prove(tx, token)
        if user.default_project_id:
            proven = replace(proven, subjects=(*proven.subjects, user.default_project_id), encoded=[])
        return proven
    except Refused as error:
        if trust is not None:
            raise Forbidden("The trust's roles are not all held by its trustor any more.") from error
        raise scopes.unauthorized() from error


def issue_again(earlier: Proven, verified: Verified, now: float, lifetime_s: float) -> Proven:
    """A token like one of the same user and scope, as long as what that one was proven from has not changed."""
    issued_us = max(round(now * MICROSECONDS), earlier.token.issued_us)
    token = replace(
        earlier.token,
        issued_us=issued_us,
        expires_us=int(now + lifetime_s) * 1_000_000,
        methods=verified.methods,
        audit_ids=(new_audit_id(),),
    )
    caller = replace(
        earlier.caller,
        methods=token.methods,
        audit_ids=token.audit_ids,
        issued_at=issued_us / MICROSECONDS,
        expires_at=token.expires_us / MICROSECONDS,
    )
    subjects = tuple(one for one in earlier.subjects if one not in earlier.token.audit_ids) + token.audit_ids
    return replace(earlier, token=token, caller=caller, subjects=subjects, encoded=[])


def _issue_moment(tx: Tx, user: User, scope: Scope, now: float) -> int:
    """Now, or the moment at which older tokens became void when another process' clock is a little ahead."""
    moments = [user.tokens_not_before]
    for project_id in {user.domain_id, scope.project_id, scope.domain_id} - {""}:
        if (project := tx.get(Project, project_id)) is not None:
            moments.append(project.tokens_not_before)
    latest = max(moments)
    return round((latest if now < latest <= now + CLOCK_SKEW_S else now) * MICROSECONDS)


def take_trust(tx: Tx, trust_id: str, user: User, now: float) -> Trust:
    """The trust for its trustee, one use taken. Raises Unauthorized (absent, expired, used up), Forbidden."""
    trust = counting(tx, trust_id, now)
    if trust is None:
        raise scopes.unauthorized()
    if trust.trustee_user_id != user.id:
        raise Forbidden("User is not a trustee.")
    if trust.remaining_uses is not None:
        trust = tx.update(trust, remaining_uses=trust.remaining_uses - 1)
    return trust


def needs_write(request: scopes.ScopeRequest | None) -> bool:
    """Whether `issue` may write, so must run in a writing transaction."""
    return request is not None and request.trust is not None
