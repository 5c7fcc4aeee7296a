"""Unified limits: registered defaults, and those of projects and domains.

With the model `flat` a project's limit stands for itself, whatever those above it have. With `strict_two_level` no
project may be given more than the project or domain above it: its limit, or else the registered default.
Source: Identity API v3, "Unified Limits"; keystone's guide to unified limits.
"""

import math
from typing import Annotated, Any

from msgspec import Meta, Struct

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, Forbidden, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Tx
from ..catalog_records import Limit, Region, RegisteredLimit, Service
from ..records import Project
from . import targets
from .projects import ancestors, subtree

FLAT, STRICT_TWO_LEVEL = "flat", "strict_two_level"
MODELS = {
    FLAT: "Limit enforcement and validation does not take project hierarchy into consideration.",
    STRICT_TWO_LEVEL: "This model requires project hierarchy never exceeds a depth of two",
}


ResourceName = Annotated[str, Meta(min_length=1, max_length=255)]


class NewRegisteredLimit(Struct, kw_only=True, forbid_unknown_fields=True):
    service_id: str
    resource_name: ResourceName
    default_limit: int
    region_id: str | None = None
    description: str | None = None


class NewLimit(Struct, kw_only=True, forbid_unknown_fields=True):
    service_id: str
    resource_name: ResourceName
    resource_limit: int
    region_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    description: str | None = None


class Shown(Struct, frozen=True):
    """A limit with the registered one it stands for."""

    row: Limit
    registered: RegisteredLimit


def _checked(value: Any) -> None:
    if isinstance(value, int) and not -1 <= value < 2**31:
        raise BadRequest("A limit is a whole number from -1 (unlimited) to 2147483647.")


def list_registered(tx: Tx, call: Call, filters: dict[str, str]) -> list[RegisteredLimit]:
    call.enforce("identity:list_registered_limits", {})
    conditions = " AND ".join(f"{name} = ?" for name in filters)
    where = f"WHERE {conditions}" if conditions else ""
    return tx.select(RegisteredLimit, f"{where} ORDER BY service_id, resource_name, id", *filters.values())


def get_registered(
    tx: Tx, call: Call, limit_id: str, rule: str = "identity:get_registered_limit"
) -> RegisteredLimit:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, {})
    row = tx.get(RegisteredLimit, limit_id)
    if row is None:
        raise NotFound(f"Could not find registered limit for {limit_id}.")
    return row


def _check_place(tx: Tx, service_id: str | None, region_id: str | None) -> None:
    if service_id is not None and tx.get(Service, service_id) is None:
        raise BadRequest(f"Could not find service: {service_id}.")
    if region_id is not None and tx.get(Region, region_id) is None:
        raise BadRequest(f"Could not find region: {region_id}.")


def create_registered(tx: Tx, call: Call, new: list[NewRegisteredLimit]) -> list[RegisteredLimit]:
    """All or none. Raises Forbidden, BadRequest, Conflict."""
    call.enforce("identity:create_registered_limits", {})
    rows = []
    for one in new:
        _checked(one.default_limit)
        _check_place(tx, one.service_id, one.region_id)
        row = RegisteredLimit(
            id=new_hex(), service_id=one.service_id, resource_name=one.resource_name,
            default_limit=one.default_limit, region_id=one.region_id, description=one.description,
        )  # fmt: skip
        rows.append(_stored(lambda row=row: tx.insert(row), "registered_limit"))
    return rows


def _stored(action: Any, kind: str) -> Any:
    try:
        return action()
    except Duplicate as error:
        raise Conflict(f"Conflict occurred attempting to store {kind} - there is one for this resource.") from error


def _in_use(tx: Tx, row: RegisteredLimit) -> bool:
    return tx.count(Limit, "WHERE registered_limit_id = ?", row.id) > 0


def update_registered(tx: Tx, call: Call, limit_id: str, changes: dict[str, Any]) -> RegisteredLimit:
    """Raises Forbidden (in use), BadRequest, Conflict, NotFound."""
    row = get_registered(tx, call, limit_id, "identity:update_registered_limit")
    if _in_use(tx, row):
        raise Forbidden(f"Unable to update registered limit {limit_id} because there are limits of projects for it.")
    _checked(changes.get("default_limit"))
    _check_place(tx, changes.get("service_id"), changes.get("region_id"))
    return _stored(lambda: tx.update(row, **changes), "registered_limit")


def delete_registered(tx: Tx, call: Call, limit_id: str) -> None:
    """Raises Forbidden (in use), NotFound."""
    row = get_registered(tx, call, limit_id, "identity:delete_registered_limit")
    if _in_use(tx, row):
        raise Forbidden(f"Unable to delete registered limit {limit_id} because there are limits of projects for it.")
    tx.delete(row)


def _shown(tx: Tx, row: Limit) -> Shown:
    registered = tx.get(RegisteredLimit, row.registered_limit_id)
    assert registered is not None
    return Shown(row, registered)


def _target(tx: Tx, row: Limit | None) -> targets.Target:
    if row is None:
        return {}
    if row.domain_id:
        return {"target.limit.domain.id": row.domain_id}
    project = tx.get(Project, row.project_id)
    target: targets.Target = {"target.limit.project_id": row.project_id}
    if project is not None and project.domain_id:
        target["target.limit.project.domain_id"] = project.domain_id
    return target


def list_limits(tx: Tx, call: Call, filters: dict[str, str]) -> list[Shown]:
    """All for who may see all; otherwise those of the caller's project or domain. Raises Forbidden."""
    call.enforce("identity:list_limits", {})
    conditions, args = [], []
    for name, value in filters.items():
        table = "limits" if name in ("project_id", "domain_id") else "r"
        conditions.append(f"{table}.{name} = ?")
        args.append(value)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    join = "JOIN registered_limits r ON r.id = limits.registered_limit_id"
    rows = tx.select(Limit, f"{join} {where} ORDER BY limits.id", *args)
    return [_shown(tx, row) for row in rows if call.allows("identity:get_limit", _target(tx, row))]


def get(tx: Tx, call: Call, limit_id: str, rule: str = "identity:get_limit") -> Shown:
    """Raises Forbidden, NotFound."""
    row = tx.get(Limit, limit_id)
    call.enforce(rule, _target(tx, row))
    if row is None:
        raise NotFound(f"Could not find limit for {limit_id}.")
    return _shown(tx, row)


def create(tx: Tx, call: Call, model: str, new: list[NewLimit]) -> list[Shown]:
    """All or none. Raises Forbidden (no registered limit, more than the model allows), BadRequest, Conflict."""
    call.enforce("identity:create_limits", {})
    found = []
    for one in new:
        _checked(one.resource_limit)
        if bool(one.project_id) == bool(one.domain_id):
            raise BadRequest("A limit needs either a project_id or a domain_id.")
        owner = tx.get(Project, one.project_id or one.domain_id)
        if owner is None or (one.domain_id and not owner.is_domain):
            raise BadRequest(f"Could not find project or domain: {one.project_id or one.domain_id}.")
        _check_place(tx, one.service_id, one.region_id)
        registered = tx.first(
            RegisteredLimit,
            "WHERE service_id = ? AND resource_name = ? AND coalesce(region_id, '') = ?",
            one.service_id, one.resource_name, one.region_id or "",
        )  # fmt: skip
        if registered is None:
            raise Forbidden(f"No registered limit of {one.resource_name} for this service and region: make it first.")
        row = Limit(
            id=new_hex(), registered_limit_id=registered.id, resource_limit=one.resource_limit,
            project_id=None if owner.is_domain else owner.id, domain_id=owner.id if owner.is_domain else None,
            description=one.description,
        )  # fmt: skip
        found.append(Shown(_stored(lambda row=row: tx.insert(row), "limit"), registered))
    for shown in found:  # once all are there: a domain's may come in the same request as its projects'
        _hold_model(tx, model, shown)
    return found


def _hold_model(tx: Tx, model: str, shown: Shown) -> None:
    """Raises Forbidden when a limit is above that of what it lies in, or below that of what lies in it."""
    if model != STRICT_TWO_LEVEL:
        return
    row, registered = shown.row, shown.registered
    owner = tx.get(Project, row.project_id or row.domain_id)
    assert owner is not None
    limits = {
        one.project_id or one.domain_id: one.resource_limit
        for one in tx.select(Limit, "WHERE registered_limit_id = ?", registered.id)
    }
    above = next((one.id for one in ancestors(tx, owner) if one.id in limits), None)
    bound = limits.get(above, registered.default_limit)
    if not owner.is_domain and _size(row.resource_limit) > _size(bound):
        raise _unfit(shown, f"{bound} is the limit of what the project lies in")
    below = [limits[one.id] for one in subtree(tx, owner.id) if one.id in limits]
    if below and _size(row.resource_limit) < max(map(_size, below)):
        raise _unfit(shown, f"a project in it has a limit of {max(below, key=_size)}")


def _size(limit: int) -> float:
    """For comparing: -1 is no limit at all."""
    return math.inf if limit == -1 else limit


def _unfit(shown: Shown, reason: str) -> Forbidden:
    row, registered = shown.row, shown.registered
    owner = f"project_id: {row.project_id}" if row.project_id else f"domain_id: {row.domain_id}"
    return Forbidden(
        f"Invalid resource limit: The resource limit ({owner}, resource_name: {registered.resource_name}, "
        f"resource_limit: {row.resource_limit}, service_id: {registered.service_id}, region_id: "
        f"{registered.region_id}) doesn't satisfy current hierarchy model: {reason}."
    )


def update(tx: Tx, call: Call, model: str, limit_id: str, changes: dict[str, Any]) -> Shown:
    """Raises Forbidden, BadRequest, NotFound."""
    shown = get(tx, call, limit_id, "identity:update_limit")
    _checked(changes.get("resource_limit"))
    changed = Shown(tx.update(shown.row, **changes), shown.registered)
    _hold_model(tx, model, changed)
    return changed


def delete(tx: Tx, call: Call, limit_id: str) -> None:
    """Raises Forbidden, NotFound."""
    tx.delete(get(tx, call, limit_id, "identity:delete_limit").row)
