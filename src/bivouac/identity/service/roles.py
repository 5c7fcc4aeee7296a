"""Roles, and which imply which. Source: Identity API v3, "Roles"."""

from typing import Any

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, Forbidden, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Page, Tx
from .. import revocation
from ..records import ImpliedRole, Role, RoleAssignment
from . import targets
from .effective import implied_map
from .filters import Filters, select

NEVER_IMPLIED = frozenset({"admin"})
"""A role that implies admin would hide an administrator (keystone's `prohibited_implied_role`)."""


def list_roles(tx: Tx, call: Call, filters: Filters, page: Page) -> list[Role]:
    """Roles of no domain, or with `domain_id` those of that one."""
    if filters.values.get("domain_id"):
        call.enforce("identity:list_domain_roles", {"target.domain_id": filters.values["domain_id"]})
    else:
        call.enforce("identity:list_roles", {})
        if "domain_id" not in filters.values:
            filters = filters.having("domain_id IS NULL")
    return select(tx, Role, filters, page)


def _rule(verb: str, role: Role | None) -> str:
    return f"identity:{verb}_domain_role" if role is not None and role.domain_id else f"identity:{verb}_role"


def get(tx: Tx, call: Call, role_id: str, verb: str = "get") -> Role:
    """Raises Forbidden, NotFound."""
    role = tx.get(Role, role_id)
    call.enforce(_rule(verb, role), targets.of_role(role))
    return targets.role(tx, role_id)


def create(
    tx: Tx, call: Call, name: str, domain_id: str | None, description: str | None, options: dict[str, Any],
    extra: dict[str, Any],
) -> Role:  # fmt: skip
    """Raises Forbidden, Conflict, NotFound (domain)."""
    call.enforce("identity:create_domain_role" if domain_id else "identity:create_role", {})
    if domain_id:
        targets.domain(tx, domain_id)
    role = Role(
        id=new_hex(), name=name, domain_id=domain_id, description=description,
        options=targets.merge_immutable({}, options), extra=extra,
    )  # fmt: skip
    return _stored(lambda: tx.insert(role), name)


def _stored(action: Any, name: str) -> Role:
    try:
        return action()
    except Duplicate as error:
        raise Conflict(
            f"Conflict occurred attempting to store role - Duplicate entry found with name {name}."
        ) from error


def update(tx: Tx, call: Call, role_id: str, changes: dict[str, Any]) -> Role:
    """Raises Forbidden, BadRequest, Conflict, NotFound."""
    role = get(tx, call, role_id, "update")
    changes = dict(changes)
    targets.refuse_immutable(role.options, changes)
    if changes.pop("domain_id", role.domain_id) != role.domain_id:
        raise BadRequest("A role's domain can't be changed.")
    fields = {name: changes.pop(name) for name in ("name", "description") if name in changes}
    if "options" in changes:
        fields["options"] = targets.merge_immutable(role.options, changes.pop("options"))
    if changes:
        fields["extra"] = {**role.extra, **changes}
    revocation.forget_everything(tx)
    return _stored(lambda: tx.update(role, **fields), fields.get("name", role.name))


def delete(tx: Tx, call: Call, role_id: str) -> None:
    """Delete the role, its assignments and what it implies. Raises Forbidden, NotFound."""
    role = get(tx, call, role_id, "delete")
    targets.refuse_immutable(role.options)
    tx.delete_where(RoleAssignment, "role_id = ?", role.id)
    tx.delete_where(ImpliedRole, "prior_role_id = ? OR implied_role_id = ?", role.id, role.id)
    tx.delete(role)
    revocation.revoke(tx, call.now, role_id=role.id)
    revocation.forget_everything(tx)


# --- implied roles -----------------------------------------------------------------------------------------------


def _pair(tx: Tx, call: Call, prior_id: str, implied_id: str, rule: str) -> tuple[Role, Role]:
    call.enforce(rule, targets.of_role(tx.get(Role, prior_id)))
    return targets.role(tx, prior_id), targets.role(tx, implied_id)


def implied_by(tx: Tx, call: Call, prior_id: str) -> tuple[Role, list[Role]]:
    """The role and what it implies directly. Raises Forbidden, NotFound."""
    call.enforce("identity:list_implied_roles", targets.of_role(tx.get(Role, prior_id)))
    prior = targets.role(tx, prior_id)
    return prior, _implied(tx, prior_id)


def _implied(tx: Tx, prior_id: str) -> list[Role]:
    return tx.select(
        Role, "JOIN implied_roles i ON i.implied_role_id = roles.id WHERE i.prior_role_id = ? ORDER BY name", prior_id
    )


def get_implied(
    tx: Tx, call: Call, prior_id: str, implied_id: str, rule: str = "identity:get_implied_role"
) -> tuple[Role, Role]:
    """Both roles of an inference. Raises Forbidden, NotFound."""
    prior, implied = _pair(tx, call, prior_id, implied_id, rule)
    if tx.get(ImpliedRole, prior_id, implied_id) is None:
        raise NotFound(f"{prior_id} does not imply {implied_id}.")
    return prior, implied


def imply(tx: Tx, call: Call, prior_id: str, implied_id: str) -> tuple[Role, Role]:
    """From now on who has the prior role has the implied one. Raises Forbidden, NotFound, Conflict, BadRequest
    (a circle)."""
    prior, implied = _pair(tx, call, prior_id, implied_id, "identity:create_implied_role")
    if implied.name in NEVER_IMPLIED:
        raise Forbidden(f"{implied.id} cannot be an implied role.")
    if prior.domain_id is None and implied.domain_id is not None:
        raise Forbidden("A role of no domain cannot imply a role of a domain.")
    if prior_id == implied_id or prior_id in implied_map(tx).get(implied_id, ()):
        raise BadRequest("A role cannot imply itself, directly or by others.")
    try:
        tx.insert(ImpliedRole(prior_role_id=prior_id, implied_role_id=implied_id))
    except Duplicate as error:
        raise Conflict("Conflict occurred attempting to store implied_role - Duplicate entry.") from error
    revocation.forget_everything(tx)
    return prior, implied


def unimply(tx: Tx, call: Call, prior_id: str, implied_id: str) -> None:
    """Raises Forbidden, NotFound."""
    get_implied(tx, call, prior_id, implied_id, "identity:delete_implied_role")
    tx.delete(ImpliedRole(prior_role_id=prior_id, implied_role_id=implied_id))
    revocation.forget_everything(tx)


def inferences(tx: Tx, call: Call) -> list[tuple[Role, list[Role]]]:
    """Every role that implies others, with those it implies directly."""
    call.enforce("identity:list_role_inference_rules", {})
    roles = {role.id: role for role in tx.select(Role)}
    found: dict[str, list[Role]] = {}
    for row in tx.select(ImpliedRole, "ORDER BY prior_role_id, implied_role_id"):
        found.setdefault(row.prior_role_id, []).append(roles[row.implied_role_id])
    return [(roles[prior], implied) for prior, implied in found.items()]
