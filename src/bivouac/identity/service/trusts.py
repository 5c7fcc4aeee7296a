"""Trusts: a trustor lets a trustee act for it on a project. Source: Identity API v3, "OS-TRUST"."""

from typing import Any

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Forbidden, NotFound
from ...core.ids import new_hex
from ...core.store import Tx
from .. import revocation
from ..records import Role, Trust
from . import targets
from .delegation import RoleName, refuse_borrowed, refuse_restricted, resolve
from .effective import Scope, roles_of, with_implied

MAX_REDELEGATION = 3


class NewTrust(Struct, frozen=True, kw_only=True):
    """What a trust is made of."""

    trustor_user_id: str
    trustee_user_id: str
    impersonation: bool
    project_id: str | None = None
    roles: list[RoleName] = []
    expires_at: float | None = None
    remaining_uses: int | None = None
    allow_redelegation: bool = False
    redelegation_count: int | None = None
    extra: dict[str, Any] = {}


class Shown(Struct, frozen=True):
    """A trust with its roles."""

    row: Trust
    roles: list[Role]


def _shown(tx: Tx, row: Trust) -> Shown:
    return Shown(row, [role for role_id in row.role_ids if (role := tx.get(Role, role_id)) is not None])


def _target(row: Trust | None) -> targets.Target:
    if row is None:
        return {}
    return {"target.trust.trustor_user_id": row.trustor_user_id, "target.trust.trustee_user_id": row.trustee_user_id}


def list_trusts(tx: Tx, call: Call, trustor: str | None, trustee: str | None) -> list[Trust]:
    """Trusts that still count; without a filter for administrators only. Raises Forbidden."""
    conditions, args = ["(expires_at IS NULL OR expires_at > ?) AND coalesce(remaining_uses, 1) > 0"], [call.now]
    if trustor is None and trustee is None:
        call.enforce("identity:list_trusts", {})
    for side, user_id in (("trustor", trustor), ("trustee", trustee)):
        if user_id is not None:
            call.enforce(f"identity:list_trusts_for_{side}", {f"target.trust.{side}_user_id": user_id})
            conditions.append(f"{side}_user_id = ?")
            args.append(user_id)  # type: ignore[arg-type]
    return tx.select(Trust, f"WHERE {' AND '.join(conditions)} ORDER BY created_at, id", *args)


def get(tx: Tx, call: Call, trust_id: str, rule: str = "identity:get_trust") -> Shown:
    """Raises Forbidden, NotFound (expired and used up ones too)."""
    row = counting(tx, trust_id, call.now)
    _enforce_or_hide(call, rule, row, trust_id)
    assert row is not None
    return _shown(tx, row)


def counting(tx: Tx, trust_id: str, now: float) -> Trust | None:
    """The trust, unless it is expired or used up."""
    row = tx.get(Trust, trust_id)
    if row is None or row.remaining_uses == 0 or (row.expires_at is not None and row.expires_at <= now):
        return None
    return row


def _enforce_or_hide(call: Call, rule: str, row: Trust | None, trust_id: str) -> None:
    """A trust that is not there is NotFound for everybody, as Keystone's clients expect."""
    if row is None:
        call.enforced = True
        raise NotFound(f"Could not find trust: {trust_id}.")
    call.enforce(rule, _target(row))


def create(tx: Tx, call: Call, new: NewTrust) -> Shown:
    """Raises Forbidden, BadRequest, NotFound (trustee, project, role)."""
    call.enforce("identity:create_trust", {"target.trust.trustor_user_id": new.trustor_user_id})
    refuse_restricted(call)
    if call.caller.oauth_access_token_id:
        raise Forbidden("A token of an OAuth consumer may not make a trust.")
    targets.user(tx, new.trustee_user_id)
    if new.expires_at is not None and new.expires_at <= call.now:
        raise BadRequest("expires_at must be in the future.")
    if new.remaining_uses is not None and new.remaining_uses < 1:
        raise BadRequest("remaining_uses must be a positive integer or null.")
    if new.remaining_uses is not None and new.allow_redelegation:
        raise BadRequest("remaining_uses must not be set if redelegation is allowed")
    roles = resolve(tx, new.roles)
    if new.project_id:
        targets.project(tx, new.project_id)
        if not roles:
            raise Forbidden("At least one role should be specified.")
    parent, count = _redelegated(tx, call, new, [role.id for role in roles])
    held = _delegable(tx, call, new, parent)
    for role in roles:
        if role.id not in held:
            raise NotFound(f"Could not find role: {role.id}: the trustor does not have it on the project.")
    row = Trust(
        id=new_hex(), trustor_user_id=new.trustor_user_id, trustee_user_id=new.trustee_user_id,
        project_id=new.project_id, impersonation=new.impersonation, expires_at=new.expires_at,
        remaining_uses=new.remaining_uses, redelegated_trust_id=parent.id if parent else None,
        redelegation_count=count, role_ids=[role.id for role in roles], extra=new.extra, created_at=call.now,
    )  # fmt: skip
    return _shown(tx, tx.insert(row))


def _delegable(tx: Tx, call: Call, new: NewTrust, parent: Trust | None) -> set[str]:
    """Ids of the roles that the trustor can pass on."""
    if not new.project_id:
        return set()
    held = {role_id for role_id, _ in roles_of(tx, new.trustor_user_id, Scope(project_id=new.project_id))}
    if parent is not None:
        held &= {role_id for role_id, _ in with_implied(tx, parent.role_ids)}
    return held


def _redelegated(tx: Tx, call: Call, new: NewTrust, role_ids: list[str]) -> tuple[Trust | None, int]:
    """The trust that is passed on, if the caller acts under one, and how often the new one may be. Raises Forbidden."""
    wanted = new.redelegation_count
    if wanted is not None and not 0 <= wanted <= MAX_REDELEGATION:
        raise Forbidden(f"Requested redelegation depth of {wanted} is greater than allowed {MAX_REDELEGATION}.")
    if not call.caller.trust_id:
        if not new.allow_redelegation:
            return None, 0
        return None, MAX_REDELEGATION if wanted is None else wanted
    parent = tx.get(Trust, call.caller.trust_id)
    if parent is None or parent.redelegation_count < 1:
        raise Forbidden("The trust may not be redelegated (any further).")
    if new.remaining_uses is not None:
        raise Forbidden("Field remaining_uses is set while it should be None: a redelegated trust can't count uses.")
    if new.impersonation and not parent.impersonation:
        raise Forbidden("Impersonation is not allowed because redelegated trust does not specify impersonation.")
    if parent.expires_at is not None and (new.expires_at is None or new.expires_at > parent.expires_at):
        raise Forbidden("Requested expiration time is more than the redelegated trust can provide.")
    if new.project_id != parent.project_id or not set(role_ids) <= set(parent.role_ids):
        raise Forbidden("Some of the requested roles or the project are not in the redelegated trust.")
    most = parent.redelegation_count - 1
    if not new.allow_redelegation:
        return parent, 0
    if wanted is not None and wanted > most:
        raise Forbidden(f"Requested redelegation depth of {wanted} is greater than allowed {most}.")
    return parent, most if wanted is None else wanted


def delete(tx: Tx, call: Call, trust_id: str) -> None:
    """Delete it and what was redelegated from it. Raises Forbidden, NotFound."""
    row = tx.get(Trust, trust_id)
    _enforce_or_hide(call, "identity:delete_trust", row, trust_id)
    refuse_borrowed(call)
    assert row is not None
    _remove(tx, call, row)


def _remove(tx: Tx, call: Call, row: Trust) -> None:
    for one in tx.select(Trust, "WHERE redelegated_trust_id = ?", row.id):
        _remove(tx, call, one)
    tx.delete(row)
    revocation.revoke(tx, call.now, trust_id=row.id)


def get_role(tx: Tx, call: Call, trust_id: str, role_id: str) -> Role:
    """Raises Forbidden, NotFound."""
    shown = get(tx, call, trust_id, "identity:get_role_for_trust")
    for role in shown.roles:
        if role.id == role_id:
            return role
    raise NotFound(f"Could not find role: {role_id}.")
