"""OAuth 1.0a: consumers, request tokens that a user authorizes, and the access tokens they become.

Source: Identity API v3, OS-OAUTH1; RFC 5849.
"""

from typing import Any

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Forbidden, NotFound, Unauthorized
from ...core.ids import new_hex
from ...core.store import Tx
from .. import oauth_signature, revocation
from ..oauth_signature import SignedRequest
from ..records import AccessToken, Consumer, Project, RequestToken
from .effective import Scope, roles_of
from .login_facts import use_once

REQUEST_TOKEN_LIFETIME_S = 8 * 3600
ACCESS_TOKEN_LIFETIME_S = 24 * 3600


class RoleName(Struct):
    """A role by id or by name."""

    id: str | None = None
    name: str | None = None


def _refused() -> Unauthorized:
    return Unauthorized("The OAuth signature, token or consumer is not valid.")


def _checked(tx: Tx, request: SignedRequest, token_secret: str, now: float) -> Consumer:
    """The consumer whose signature it is, used once. Raises Unauthorized."""
    consumer = tx.get(Consumer, request.parameters.get("oauth_consumer_key", ""))
    if consumer is None or not oauth_signature.holds(request, consumer.secret, token_secret, now):
        raise _refused()
    nonce = f"oauth {consumer.id} {request.parameters.get('oauth_timestamp')} {request.parameters.get('oauth_nonce')}"
    if not use_once(tx, nonce[:300], now, 2 * oauth_signature.MAX_AGE_S):
        raise _refused()
    return consumer


def verify_access(tx: Tx, request: SignedRequest, now: float) -> AccessToken:
    """The access token that a signed request proves. Raises Unauthorized."""
    access = tx.get(AccessToken, request.parameters.get("oauth_token", ""))
    if access is None or (access.expires_at is not None and access.expires_at <= now):
        raise _refused()
    if _checked(tx, request, access.secret, now).id != access.consumer_id:
        raise _refused()
    return access


def create_request_token(tx: Tx, request: SignedRequest, now: float) -> RequestToken:
    """A request token for the consumer that signed. Raises Unauthorized, NotFound (project)."""
    consumer = _checked(tx, request, "", now)
    if tx.get(Project, request.requested_project_id) is None:
        raise NotFound(f"Could not find project: {request.requested_project_id}.")
    return tx.insert(
        RequestToken(
            id=new_hex(),
            secret=new_hex(),
            consumer_id=consumer.id,
            requested_project_id=request.requested_project_id,
            expires_at=now + REQUEST_TOKEN_LIFETIME_S,
        )
    )


def authorize(tx: Tx, call: Call, token_id: str, wanted: list[RoleName]) -> str:
    """Let the request token have some of the caller's roles on its project; returns the verifier."""
    call.enforce("identity:authorize_request_token", {})
    refuse_delegated(call)
    token = tx.get(RequestToken, token_id)
    if token is None:
        raise NotFound(f"Could not find request token: {token_id}.")
    if token.expires_at <= call.now:
        raise Forbidden("The request token has expired.")
    held = roles_of(tx, call.user_id, Scope(project_id=token.requested_project_id))
    by_name, ids = {name: role_id for role_id, name in held}, {role_id for role_id, _ in held}
    chosen = [by_name.get(one.name or "", "") if one.id is None else one.id for one in wanted]
    if not chosen or not ids.issuperset(chosen):
        raise Unauthorized("The authorizing user does not have these roles on the requested project.")
    verifier = new_hex()[:8]
    tx.update(token, verifier=verifier, authorizing_user_id=call.user_id, role_ids=sorted(set(chosen)))
    return verifier


def refuse_delegated(call: Call) -> None:
    """Who acts for another may not pass that on. Raises Forbidden."""
    if call.caller.trust_id or call.caller.oauth_access_token_id:
        raise Forbidden("A token of a trust or an OAuth consumer may not delegate or manage delegation.")


def create_access_token(tx: Tx, request: SignedRequest, now: float) -> AccessToken:
    """The access token for an authorized request token, which is used up. Raises Unauthorized."""
    token = tx.get(RequestToken, request.parameters.get("oauth_token", ""))
    if token is None or token.expires_at <= now or token.authorizing_user_id is None:
        raise _refused()
    consumer = _checked(tx, request, token.secret, now)
    if consumer.id != token.consumer_id or request.parameters.get("oauth_verifier") != token.verifier:
        raise _refused()
    tx.delete(token)
    return tx.insert(
        AccessToken(
            id=new_hex(),
            secret=new_hex(),
            consumer_id=consumer.id,
            authorizing_user_id=token.authorizing_user_id,
            project_id=token.requested_project_id,
            role_ids=token.role_ids,
            expires_at=now + ACCESS_TOKEN_LIFETIME_S,
        )
    )


def list_access_tokens(tx: Tx, call: Call, user_id: str) -> list[AccessToken]:
    call.enforce("identity:list_access_tokens", {"user_id": user_id})
    refuse_delegated(call)
    return tx.select(AccessToken, "WHERE authorizing_user_id = ? ORDER BY id", user_id)


def get_access_token(
    tx: Tx, call: Call, user_id: str, token_id: str, rule: str = "identity:get_access_token"
) -> AccessToken:
    call.enforce(rule, {"user_id": user_id})
    token = tx.get(AccessToken, token_id)
    if token is None or token.authorizing_user_id != user_id:
        raise NotFound(f"Could not find access token: {token_id}.")
    return token


def delete_access_token(tx: Tx, call: Call, user_id: str, token_id: str) -> None:
    """Delete it, and with it every token that was issued for it."""
    token = get_access_token(tx, call, user_id, token_id, "identity:delete_access_token")
    refuse_delegated(call)
    revocation.revoke(tx, call.now, access_token_id=token.id)
    tx.delete(token)


def list_consumers(tx: Tx, call: Call) -> list[Consumer]:
    call.enforce("identity:list_consumers", {})
    return tx.select(Consumer, "ORDER BY id")


def get_consumer(tx: Tx, call: Call, consumer_id: str, rule: str = "identity:get_consumer") -> Consumer:
    call.enforce(rule, {})
    consumer = tx.get(Consumer, consumer_id)
    if consumer is None:
        raise NotFound(f"Could not find consumer: {consumer_id}.")
    return consumer


def create_consumer(tx: Tx, call: Call, description: str | None, extra: dict[str, Any]) -> Consumer:
    call.enforce("identity:create_consumer", {})
    return tx.insert(Consumer(id=new_hex(), secret=new_hex(), description=description, extra=extra))


def update_consumer(tx: Tx, call: Call, consumer_id: str, changes: dict[str, Any]) -> Consumer:
    """Change the description. Raises BadRequest when asked to change id or secret."""
    consumer = get_consumer(tx, call, consumer_id, "identity:update_consumer")
    changes = dict(changes)
    if "secret" in changes:
        raise BadRequest("Cannot change consumer secret.")
    if changes.get("id", consumer.id) != consumer.id:
        raise BadRequest("Cannot change consumer ID.")
    changes.pop("id", None)
    description = changes.pop("description", consumer.description)
    return tx.update(consumer, description=description, extra={**consumer.extra, **changes})


def delete_consumer(tx: Tx, call: Call, consumer_id: str) -> None:
    """Delete it with its tokens."""
    consumer = get_consumer(tx, call, consumer_id, "identity:delete_consumer")
    for token in tx.delete_where(AccessToken, "consumer_id = ?", consumer.id):
        revocation.forget(tx, token.id)
    tx.delete_where(RequestToken, "consumer_id = ?", consumer.id)
    revocation.revoke(tx, call.now, consumer_id=consumer.id)
    tx.delete(consumer)
