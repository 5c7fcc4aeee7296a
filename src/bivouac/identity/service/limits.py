"""Unified limits: registered defaults, and those of projects and domains.

The enforcement model is flat: a project's limit stands for itself, whatever its parents have.
Source: Identity API v3, "Unified Limits".
"""

from typing import Any

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, Forbidden, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Tx
from ..catalog_records import Limit, Region, RegisteredLimit, Service
from ..records import Project
from . import targets

MODEL = {"name": "flat", "description": "Limit enforcement and validation does not take project hierarchy into "
         "consideration."}  # fmt: skip


class NewRegisteredLimit(Struct, kw_only=True):
    service_id: str
    resource_name: str
    default_limit: int
    region_id: str | None = None
    description: str | None = None


class NewLimit(Struct, kw_only=True):
    service_id: str
    resource_name: str
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
    if set(changes) & {"service_id", "region_id", "resource_name"} and _in_use(tx, row):
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


def create(tx: Tx, call: Call, new: list[NewLimit]) -> list[Shown]:
    """All or none. Raises Forbidden (no registered limit), BadRequest, Conflict."""
    call.enforce("identity:create_limits", {})
    found = []
    for one in new:
        _checked(one.resource_limit)
        if bool(one.project_id) == bool(one.domain_id):
            raise BadRequest("A limit needs either a project_id or a domain_id.")
        owner = tx.get(Project, one.project_id or one.domain_id)
        if owner is None or owner.is_domain != bool(one.domain_id):
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
            project_id=one.project_id, domain_id=one.domain_id, description=one.description,
        )  # fmt: skip
        found.append(Shown(_stored(lambda row=row: tx.insert(row), "limit"), registered))
    return found


def update(tx: Tx, call: Call, limit_id: str, changes: dict[str, Any]) -> Shown:
    """Raises Forbidden, BadRequest, NotFound."""
    shown = get(tx, call, limit_id, "identity:update_limit")
    _checked(changes.get("resource_limit"))
    return Shown(tx.update(shown.row, **changes), shown.registered)


def delete(tx: Tx, call: Call, limit_id: str) -> None:
    """Raises Forbidden, NotFound."""
    tx.delete(get(tx, call, limit_id, "identity:delete_limit").row)
