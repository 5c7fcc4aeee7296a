"""The body of a token. Source: Identity API v3, "Authentication and token management"."""

from typing import Any

import msgspec

from ...core.clock import iso_micro
from ..service.validity import MICROSECONDS, Proven


def encoded(proven: Proven, catalog: bytes | None) -> bytes:
    """The body for a proven token, with a catalog that is encoded already. Encoded once for each token."""
    if not proven.encoded:
        proven.encoded.append(msgspec.json.encode(document(proven)))
    body = proven.encoded[0]
    who = proven.caller
    if catalog is None or not (who.system or who.domain_id or who.project_id):
        return body
    return b"".join((body[:-2], b',"catalog":', catalog, b"}}"))


def document(proven: Proven) -> dict[str, Any]:
    """`{"token": {...}}` for a proven token, without a catalog."""
    who, said = proven.caller, proven.token
    token: dict[str, Any] = {
        "methods": said.methods,
        "user": {
            "domain": {"id": who.user_domain_id, "name": who.user_domain_name},
            "id": who.user_id,
            "name": who.user_name,
            "password_expires_at": iso_micro(proven.user.password_expires_at, ""),
        },
        "audit_ids": said.audit_ids,
        "expires_at": iso_micro(said.expires_us / MICROSECONDS),
        "issued_at": iso_micro(said.issued_us / MICROSECONDS),
    }
    if who.system:
        token["system"] = {"all": True}
    elif who.domain_id:
        token["domain"] = {"id": who.domain_id, "name": who.domain_name}
    elif who.project_id:
        token["project"] = {
            "domain": {"id": who.project_domain_id, "name": who.project_domain_name},
            "id": who.project_id,
            "name": who.project_name,
        }
        token["is_domain"] = proven.is_domain
    if who.system or who.domain_id or who.project_id:
        token["roles"] = [
            {"id": role_id, "name": name} for role_id, name in zip(who.role_ids, who.roles, strict=True)
        ]
    if proven.trust is not None:
        token["OS-TRUST:trust"] = {
            "id": proven.trust.id,
            "trustor_user": {"id": proven.trust.trustor_user_id},
            "trustee_user": {"id": proven.trust.trustee_user_id},
            "impersonation": proven.trust.impersonation,
        }
    if proven.access_token is not None:
        token["OS-OAUTH1"] = {
            "access_token_id": proven.access_token.id,
            "consumer_id": proven.access_token.consumer_id,
        }
    if proven.application_credential is not None:
        credential: dict[str, Any] = {
            "id": proven.application_credential.id,
            "name": proven.application_credential.name,
            "restricted": who.restricted,
        }
        if who.access_rules is not None:
            ids = proven.application_credential.access_rule_ids or []
            credential["access_rules"] = [
                {"id": rule_id, "service": rule.service, "method": rule.method, "path": rule.path}
                for rule_id, rule in zip(ids, who.access_rules, strict=False)
            ]
        token["application_credential"] = credential
    return {"token": token}
