"""Application credentials and their access rules. Source: Identity API v3, "Application Credentials"."""

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, Forbidden, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Tx
from .. import revocation
from ..records import AccessRuleRow, ApplicationCredential, Role
from . import targets
from .delegation import RoleName, refuse_borrowed, resolve
from .effective import Scope, roles_of

MAX_RULES = 64
"""Every request with the credential is held against all of its rules."""


class NewAccessRule(Struct, frozen=True):
    """A rule by its content, or by the id of one that the user has."""

    service: str | None = None
    method: str | None = None
    path: str | None = None
    id: str | None = None


class NewApplicationCredential(Struct, frozen=True, kw_only=True):
    """What one is made of; the secret as its hash, `roles` None for all the caller has."""

    name: str
    secret_hash: str
    description: str | None = None
    roles: list[RoleName] | None = None
    expires_at: float | None = None
    unrestricted: bool = False
    access_rules: list[NewAccessRule] | None = None


class Shown(Struct, frozen=True):
    """An application credential with its roles and rules."""

    row: ApplicationCredential
    roles: list[Role]
    rules: list[AccessRuleRow]


def _shown(tx: Tx, row: ApplicationCredential) -> Shown:
    roles = [role for role_id in row.role_ids if (role := tx.get(Role, role_id)) is not None]
    rules = [rule for rule_id in row.access_rule_ids or () if (rule := tx.get(AccessRuleRow, rule_id)) is not None]
    return Shown(row, roles, rules)


def list_of(tx: Tx, call: Call, user_id: str, name: str | None) -> list[Shown]:
    """The user's application credentials. Raises Forbidden, NotFound."""
    call.enforce("identity:list_application_credentials", {"user_id": user_id})
    targets.user(tx, user_id)
    where, args = "WHERE user_id = ?", [user_id]
    if name is not None:
        where, args = where + " AND name = ?", [user_id, name]
    return [_shown(tx, row) for row in tx.select(ApplicationCredential, f"{where} ORDER BY name", *args)]


def get(
    tx: Tx, call: Call, user_id: str, credential_id: str, rule: str = "identity:get_application_credential"
) -> Shown:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, {"user_id": user_id})
    row = tx.get(ApplicationCredential, credential_id)
    if row is None or row.user_id != user_id:
        raise NotFound(f"Could not find application credential: {credential_id}.")
    return _shown(tx, row)


def create(tx: Tx, call: Call, user_id: str, new: NewApplicationCredential) -> Shown:
    """Raises Forbidden, BadRequest, Conflict, NotFound (role)."""
    call.enforce("identity:create_application_credential", {"user_id": user_id})
    refuse_borrowed(call)
    who = call.caller
    if not who.project_id:
        raise BadRequest("An application credential is made for a project: use a token with a project scope.")
    held = {role_id for role_id, _ in roles_of(tx, user_id, Scope(project_id=who.project_id))} & set(who.role_ids)
    roles = sorted(held) if new.roles is None else [role.id for role in resolve(tx, new.roles)]
    if not roles:
        raise BadRequest("An application credential needs a role.")
    if not held.issuperset(roles):
        raise BadRequest("Invalid application credential: Could not find role assignment for all of its roles.")
    if new.expires_at is not None and new.expires_at <= call.now:
        raise BadRequest("expires_at must be in the future.")
    if len(new.access_rules or ()) > MAX_RULES:
        raise BadRequest(f"An application credential may have {MAX_RULES} access rules.")
    rules = None if new.access_rules is None else [_access_rule(tx, user_id, one).id for one in new.access_rules]
    row = ApplicationCredential(
        id=new_hex(), name=new.name, user_id=user_id, project_id=who.project_id, description=new.description,
        secret_hash=new.secret_hash, expires_at=new.expires_at, unrestricted=new.unrestricted, role_ids=roles,
        access_rule_ids=rules,
    )  # fmt: skip
    try:
        tx.insert(row)
    except Duplicate as error:
        raise Conflict(
            "Conflict occurred attempting to store application_credential - Duplicate entry found with name "
            f"{new.name}."
        ) from error
    return _shown(tx, row)


def _access_rule(tx: Tx, user_id: str, wanted: NewAccessRule) -> AccessRuleRow:
    """The user's rule with this id or content, made if it is new. Raises BadRequest, NotFound."""
    if wanted.id is not None:
        row = tx.get(AccessRuleRow, wanted.id)
        if row is None or row.user_id != user_id:
            raise NotFound(f"Could not find access rule: {wanted.id}.")
        return row
    if not (wanted.service and wanted.method and wanted.path):
        raise BadRequest("An access rule needs service, method and path.")
    content = (user_id, wanted.service, wanted.method, wanted.path)
    row = tx.first(AccessRuleRow, "WHERE user_id = ? AND service = ? AND method = ? AND path = ?", *content)
    return row or tx.insert(
        AccessRuleRow(
            id=new_hex(), user_id=user_id, service=wanted.service, method=wanted.method, path=wanted.path
        )
    )


def delete(tx: Tx, call: Call, user_id: str, credential_id: str) -> None:
    """Raises Forbidden, NotFound."""
    row = get(tx, call, user_id, credential_id, "identity:delete_application_credential").row
    refuse_borrowed(call)
    tx.delete(row)
    revocation.forget(tx, row.id)


# --- access rules ------------------------------------------------------------------------------------------------


def list_rules(tx: Tx, call: Call, user_id: str, filters: dict[str, str]) -> list[AccessRuleRow]:
    """Raises Forbidden."""
    call.enforce("identity:list_access_rules", {"target.user.id": user_id})
    conditions = "".join(f" AND {name} = ?" for name in filters)
    return tx.select(AccessRuleRow, f"WHERE user_id = ?{conditions} ORDER BY id", user_id, *filters.values())


def get_rule(
    tx: Tx, call: Call, user_id: str, rule_id: str, policy_rule: str = "identity:get_access_rule"
) -> AccessRuleRow:
    """Raises Forbidden, NotFound."""
    call.enforce(policy_rule, {"target.user.id": user_id})
    row = tx.get(AccessRuleRow, rule_id)
    if row is None or row.user_id != user_id:
        raise NotFound(f"Could not find access rule: {rule_id}.")
    return row


def delete_rule(tx: Tx, call: Call, user_id: str, rule_id: str) -> None:
    """Raises Forbidden (also while an application credential has it), NotFound."""
    row = get_rule(tx, call, user_id, rule_id, "identity:delete_access_rule")
    refuse_borrowed(call)
    for credential in tx.select(ApplicationCredential, "WHERE user_id = ?", user_id):
        if rule_id in (credential.access_rule_ids or ()):
            raise Forbidden(f"The access rule is in use by the application credential {credential.id}.")
    tx.delete(row)
