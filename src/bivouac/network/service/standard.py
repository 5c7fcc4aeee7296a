"""What all rules share: finding visible rows, Neutron's words for errors, revisions, bells."""

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import UNSET, Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Tx

from ..records import COMPUTE, Address, Network, Port, PortSecurityGroup, Standard

R = TypeVar("R", bound=Standard)
PROJECTION = "network-projection"
SPEC_BELL = "server-specs"
_NOUNS = {
    "networks": "Network", "subnets": "Subnet", "subnetpools": "SubnetPool", "ports": "Port", "routers": "Router",
    "floating_ips": "Floating IP", "security_groups": "Security group",
    "security_group_rules": "Security group rule",
}  # fmt: skip
_NOT_FOUND = {"floating_ips": "FloatingIPNotFound", "security_groups": "SecurityGroupNotFound",
              "security_group_rules": "SecurityGroupRuleNotFound"}  # fmt: skip


def not_found(row_class: type[Standard], id: str) -> NotFound:
    """Neutron's 404 for a kind of row."""
    noun = _NOUNS[row_class.TABLE]
    message = f"{noun} {id} could not be found." if noun[0:8] != "Security" else f"{noun} {id} does not exist"
    return NotFound(message, type=_NOT_FOUND.get(row_class.TABLE, noun + "NotFound"))


def invalid(message: str, type: str = "InvalidInput") -> BadRequest:
    """Neutron's 400 for a value that has the right form and a wrong meaning."""
    return BadRequest(message, type=type)


def in_use(message: str, type: str) -> Conflict:
    return Conflict(message, type=type)


def visible(call: Call, row: Standard) -> bool:
    """Whether the caller may know that the row exists."""
    if call.is_admin or row.project_id == call.project_id:
        return True
    return bool(getattr(row, "shared", False) or getattr(row, "external", False))


def get(tx: Tx, call: Call, row_class: type[R], id: str) -> R:
    """The row, if the caller may see it. Raises NotFound."""
    row = tx.get(row_class, id)
    if row is None or not (visible(call, row) or _own_network(tx, call, row)):
        raise not_found(row_class, id)
    return row


def _own_network(tx: Tx, call: Call, row: Standard) -> bool:
    """Subnets of a network that one may see, and ports and subnets on a network one owns, are seen too."""
    network_id = getattr(row, "network_id", None)
    network = tx.get(Network, network_id) if network_id else None
    if network is None:
        return False
    if row.TABLE == "subnets" and visible(call, network):
        return True
    return network.project_id == call.project_id


def target(row: Standard, **more: Any) -> dict[str, Any]:
    """The policy target of a row."""
    return {"project_id": row.project_id, "tenant_id": row.project_id, **more}


def owner(call: Call, wanted: Any) -> str:
    """The project a new thing is for: the one named in the body, or the caller's."""
    if wanted is not UNSET and wanted:
        return str(wanted)
    if not call.project_id:
        raise invalid("project_id is required: the token has no project.", "HTTPBadRequest")
    return call.project_id


def project_of(body: Struct) -> Any:
    """`project_id` or its older name. Raises BadRequest when they differ."""
    new, old = getattr(body, "project_id", UNSET), getattr(body, "tenant_id", UNSET)
    if new is not UNSET and old is not UNSET and new != old:
        raise invalid("'project_id' and 'tenant_id' do not match", "HTTPBadRequest")
    return new if new is not UNSET else old


def fresh(call: Call, project_id: str, description: Any = "") -> dict[str, Any]:
    """The standard fields of a new row."""
    return {
        "id": new_uuid(),
        "project_id": project_id,
        "description": description if description not in (UNSET, None) else "",
        "created_at": call.now,
        "updated_at": call.now,
    }


def given(body: Struct, *names: str) -> dict[str, Any]:
    """The fields of a body that were sent."""
    return {name: value for name in names if (value := getattr(body, name)) is not UNSET}


def touch(tx: Tx, call: Call, row: R, **fields: Any) -> R:
    """Write changed fields with a new revision; nothing when nothing changed."""
    if all(getattr(row, name) == value for name, value in fields.items()):
        return row
    new = tx.update(row, **{"updated_at": call.now, **fields, "revision_number": row.revision_number + 1})
    changed(tx)
    return new


def check_revision(call_revision: int | None, row: Standard) -> None:
    """`If-Match: revision_number=N`. Raises PreconditionFailed."""
    from bivouac.core.errors import PreconditionFailed  # noqa: PLC0415

    if call_revision is not None and call_revision != row.revision_number:
        raise PreconditionFailed(
            f"Constrained to {call_revision}, but current revision is {row.revision_number}",
            type="RevisionNumberConstraintFailed",
        )


def changed(tx: Tx) -> None:
    """Wake the projection."""
    tx.ring(PROJECTION, "all")


def tell_server(tx: Tx, port: Port) -> None:
    """Wake compute for the server that the port belongs to."""
    if port.device_owner.startswith(COMPUTE) and port.device_id:
        tx.ring(SPEC_BELL, port.device_id)


def enforce_given(call: Call, rule: str, fields: Mapping[str, Any], policy_target: Mapping[str, Any]) -> None:
    """Check the attribute rules (`create_network:shared`) of those fields that were sent."""
    for name in fields:
        full = f"{rule}:{name}"
        if full in call.policy.texts:
            call.enforce(full, policy_target)


def addresses_of(tx: Tx, port_ids: list[str]) -> dict[str, list[Address]]:
    """Addresses of many ports, in the order they were given."""
    found: dict[str, list[Address]] = {id: [] for id in port_ids}
    for start in range(0, len(port_ids), 500):
        batch = port_ids[start : start + 500]
        marks = ", ".join("?" for _ in batch)
        for row in tx.select(Address, f"WHERE port_id IN ({marks}) ORDER BY port_id, position, number", *batch):
            found[row.port_id].append(row)
    return found


def set_port_groups(tx: Tx, port_id: str, groups: list[str]) -> None:
    """Make the join table say what the port's own list says."""
    tx.execute("DELETE FROM port_security_groups WHERE port_id = ?", port_id)
    for group in groups:
        tx.insert(PortSecurityGroup(port_id=port_id, security_group_id=group))
