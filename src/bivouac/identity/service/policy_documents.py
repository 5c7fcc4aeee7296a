"""Policies kept for other services, and what they are associated with.

Source: Identity API v3, "Policies", "OS-ENDPOINT-POLICY".
"""

from typing import Any

from ...core.call import Call
from ...core.errors import NotFound
from ...core.ids import new_hex
from ...core.store import Tx
from ..catalog_records import Endpoint, PolicyAssociation, PolicyDocument, Region
from .catalog_entries import get_endpoint, get_region, get_service


def list_policies(tx: Tx, call: Call, type: str | None) -> list[PolicyDocument]:
    call.enforce("identity:list_policies", {})
    where, args = ("WHERE type = ?", [type]) if type is not None else ("", [])
    return tx.select(PolicyDocument, f"{where} ORDER BY id", *args)


def get(tx: Tx, call: Call, policy_id: str, rule: str = "identity:get_policy") -> PolicyDocument:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, {})
    row = tx.get(PolicyDocument, policy_id)
    if row is None:
        raise NotFound(f"Could not find policy: {policy_id}.")
    return row


def create(tx: Tx, call: Call, type: str, blob: str, extra: dict[str, Any]) -> PolicyDocument:
    call.enforce("identity:create_policy", {})
    return tx.insert(PolicyDocument(id=new_hex(), type=type, blob=blob, extra=extra))


def update(tx: Tx, call: Call, policy_id: str, changes: dict[str, Any]) -> PolicyDocument:
    """Raises Forbidden, NotFound."""
    row = get(tx, call, policy_id, "identity:update_policy")
    changes = dict(changes)
    fields = {name: changes.pop(name) for name in ("type", "blob") if name in changes}
    if changes:
        fields["extra"] = {**row.extra, **changes}
    return tx.update(row, **fields)


def delete(tx: Tx, call: Call, policy_id: str) -> None:
    """Raises Forbidden, NotFound."""
    tx.delete(get(tx, call, policy_id, "identity:delete_policy"))


# --- associations ------------------------------------------------------------------------------------------------


def _rule(verb: str, place: dict[str, str]) -> str:
    what = "endpoint" if "endpoint_id" in place else "region_and_service" if "region_id" in place else "service"
    return f"identity:{verb}_policy_association_for_{what}"


def _find(tx: Tx, place: dict[str, str]) -> PolicyAssociation | None:
    conditions, args = [], []
    for name in ("endpoint_id", "service_id", "region_id"):
        if name in place:
            conditions.append(f"{name} = ?")
            args.append(place[name])
        else:
            conditions.append(f"{name} IS NULL")
    return tx.first(PolicyAssociation, f"WHERE {' AND '.join(conditions)}", *args)


def _checked(tx: Tx, call: Call, verb: str, policy_id: str, place: dict[str, str]) -> PolicyDocument:
    rule = _rule(verb, place)
    policy = get(tx, call, policy_id, rule)
    for name, check in (("endpoint_id", get_endpoint), ("service_id", get_service), ("region_id", get_region)):
        if name in place:
            check(tx, call, place[name], rule)
    return policy


def associate(tx: Tx, call: Call, policy_id: str, place: dict[str, str]) -> None:
    """Let the policy be that of an endpoint, a service, or a service in a region. Raises Forbidden, NotFound."""
    policy = _checked(tx, call, "create", policy_id, place)
    existing = _find(tx, place)
    if existing is not None:
        tx.update(existing, policy_id=policy.id)
    else:
        tx.insert(PolicyAssociation(id=new_hex(), policy_id=policy.id, **place))


def check(tx: Tx, call: Call, policy_id: str, place: dict[str, str], verb: str = "check") -> PolicyAssociation:
    """Raises Forbidden, NotFound."""
    policy = _checked(tx, call, verb, policy_id, place)
    found = _find(tx, place)
    if found is None or found.policy_id != policy.id:
        raise NotFound(f"No policy association of {policy_id} with {', '.join(place.values())}.")
    return found


def dissociate(tx: Tx, call: Call, policy_id: str, place: dict[str, str]) -> None:
    """Raises Forbidden, NotFound."""
    tx.delete(check(tx, call, policy_id, place, "delete"))


def policy_of_endpoint(tx: Tx, call: Call, endpoint_id: str) -> PolicyDocument:
    """Its own, else that of its service in its region or one above, else its service's. Raises NotFound."""
    endpoint = get_endpoint(tx, call, endpoint_id, "identity:get_policy_for_endpoint")
    for place in _places(tx, endpoint):
        if (found := _find(tx, place)) is not None:
            return get(tx, call, found.policy_id, "identity:get_policy_for_endpoint")
    raise NotFound(f"No policy is associated with endpoint {endpoint_id}.")


def _places(tx: Tx, endpoint: Endpoint) -> list[dict[str, str]]:
    """Where an endpoint's policy may be found, nearest first."""
    places = [{"endpoint_id": endpoint.id}]
    region_id = endpoint.region_id
    while region_id is not None:
        places.append({"service_id": endpoint.service_id, "region_id": region_id})
        region = tx.get(Region, region_id)
        region_id = region.parent_region_id if region else None
    return [*places, {"service_id": endpoint.service_id}]


def endpoints_of_policy(tx: Tx, call: Call, policy_id: str) -> list[Endpoint]:
    """Endpoints whose policy this is. Raises Forbidden, NotFound."""
    policy = get(tx, call, policy_id, "identity:list_endpoints_for_policy")
    found = []
    for endpoint in tx.select(Endpoint, "ORDER BY id"):
        for place in _places(tx, endpoint):
            association = _find(tx, place)
            if association is not None:
                if association.policy_id == policy.id:
                    found.append(endpoint)
                break
    return found
