"""Why somebody may or may not do something: which rule decides, what it asks, what is lacking, what would mend it."""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ...core.call import Call, Caller
from ...core.store import Tx
from ..records import Role
from ..tokens import Token, new_audit_id
from . import targets
from .effective import Scope, implied_map
from .validity import MICROSECONDS, Refused, prove

MOMENT_S = 60


class Explanation(Struct, frozen=True, kw_only=True):
    """`message` is what a 403 says; `sufficient_roles` names roles any of which, granted in the scope, would do."""

    allowed: bool
    rule: str
    check: str
    roles: tuple[str, ...] = ()
    not_met: tuple[str, ...] = ()
    sufficient_roles: tuple[str, ...] = ()
    message: str = ""


def explain(
    tx: Tx, call: Call, rule: str, target: dict[str, Any], user_id: str | None, scope: Scope | None
) -> Explanation:
    """The decision for the caller, or for another user in a scope. Raises Forbidden, NotFound (user)."""
    if user_id is None and scope is None:
        call.enforce("identity:explain_policy", {})
        return decide(tx, call, rule, target)
    call.enforce("identity:explain_policy_for_others", {})
    user = targets.user(tx, user_id or call.user_id)
    scope = scope or Scope()
    token = Token(
        user_id=user.id,
        issued_us=round(max(call.now, user.tokens_not_before) * MICROSECONDS),
        expires_us=round((call.now + MOMENT_S) * MICROSECONDS),
        methods=("password",),
        audit_ids=(new_audit_id(),),
        project_id=scope.project_id,
        domain_id=scope.domain_id,
        system=scope.system,
    )
    try:
        caller = prove(tx, token).caller
    except Refused as refused:
        nobody = Caller(
            user_id=user.id, user_name=user.name, project_id=scope.project_id, domain_id=scope.domain_id,
            system=scope.system,
        )  # fmt: skip
        found = decide(tx, _as(call, nobody), rule, target)
        words = f"{user.name} gets no token for this scope: {refused}."
        return replace(found, allowed=False, message=words)
    return decide(tx, _as(call, caller), rule, target)


def _as(call: Call, caller: Caller) -> Call:
    return Call(caller=caller, policy=call.policy, now=call.now)


def decide(tx: Tx, call: Call, rule: str, target: dict[str, Any]) -> Explanation:
    """The decision on a rule for a caller and a target (by default the caller's own things)."""
    whole = {**call.own_target(), **target}
    policy = call.policy
    allowed = policy.allows(rule, whole, call.credentials)
    found = Explanation(allowed=allowed, rule=rule, check=policy.texts[rule], roles=call.roles)
    if allowed:
        return replace(found, message=f"Policy allows {rule}.")
    return replace(
        found,
        not_met=tuple(sorted(policy.missing(rule, whole, call.credentials))),
        sufficient_roles=_sufficient(tx, call, rule, target),
        message=policy.refusal(rule, whole, call.credentials),
    )


def _sufficient(tx: Tx, call: Call, rule: str, target: dict[str, Any]) -> tuple[str, ...]:
    """Roles any of which would do, with what they imply; the least powerful first."""
    roles = {role.id: role for role in tx.select(Role, "WHERE domain_id IS NULL ORDER BY name")}
    implied = implied_map(tx)
    found: list[tuple[int, str]] = []
    for role in roles.values():
        gained = [role.name, *(roles[one].name for one in implied.get(role.id, ()) if one in roles)]
        other = _as(call, replace(call.caller, roles=tuple(dict.fromkeys((*call.roles, *gained)))))
        if call.policy.allows(rule, {**other.own_target(), **target}, other.credentials):
            found.append((len(gained), role.name))
    return tuple(name for _, name in sorted(found))
