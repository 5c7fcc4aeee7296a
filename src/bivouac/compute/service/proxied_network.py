"""What old microversions did to the network through Compute, in terms of the network service's own rules.

Nova says 400 where Neutron says 409; quota is 403 in both tongues of Compute.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import UNSET, Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound, OverQuota
from bivouac.core.ids import is_uuid
from bivouac.core.store import Tx
from bivouac.network import bodies
from bivouac.network import for_compute as network_service
from bivouac.network.records import FloatingIp, Network, Port, SecurityGroup, SecurityGroupRule
from bivouac.network.service import floating_ips, security_groups
from bivouac.network.service.standard import get, visible

from .servers import get_server, require_unlocked

ANY = {4: "0.0.0.0/0", 6: "::/0"}


class GroupView(Struct, frozen=True):
    """A group with its ingress rules; `peers` names the groups that rules let in."""

    group: SecurityGroup
    rules: tuple[SecurityGroupRule, ...]
    peers: dict[str, SecurityGroup]


@contextmanager
def _in_nova_s_words() -> Iterator[None]:
    try:
        yield
    except OverQuota as error:
        raise Forbidden(error.message) from error
    except Conflict as error:
        raise BadRequest(error.message) from error


# --- security groups -----------------------------------------------------------------------------------------------


def list_groups(tx: Tx, call: Call, everybody: bool) -> list[GroupView]:
    """Groups of the caller's project, or of all."""
    where, args = ("", ()) if everybody else ("WHERE project_id = ?", (call.project_id,))
    groups = tx.select(SecurityGroup, f"{where} ORDER BY created_at, id", *args)
    return _views(tx, groups)


def ensure_default(tx: Tx, call: Call) -> None:
    """Make the project's default group, as listing does in Neutron."""
    security_groups.default_group(tx, call, call.project_id)


def _views(tx: Tx, groups: list[SecurityGroup]) -> list[GroupView]:
    if not groups:
        return []
    ids = [group.id for group in groups]
    marks = ", ".join("?" for _ in ids)
    rules = tx.select(
        SecurityGroupRule, f"WHERE security_group_id IN ({marks}) AND direction = 'ingress' ORDER BY created_at, id",
        *ids,
    )
    peer_ids = sorted({rule.remote_group_id for rule in rules if rule.remote_group_id})
    marks = ", ".join("?" for _ in peer_ids)
    peers = {row.id: row for row in tx.select(SecurityGroup, f"WHERE id IN ({marks})", *peer_ids)} if peer_ids else {}
    return [
        GroupView(group, tuple(rule for rule in rules if rule.security_group_id == group.id), peers) for group in groups
    ]


def get_group(tx: Tx, call: Call, id: str) -> GroupView:
    """Raises BadRequest (not an id), NotFound."""
    if not is_uuid(id):
        raise BadRequest(f"Security group id should be uuid: {id}")
    return _views(tx, [get(tx, call, SecurityGroup, id)])[0]


def create_group(tx: Tx, call: Call, name: str, description: str) -> GroupView:
    """Raises BadRequest, Forbidden."""
    with _in_nova_s_words():
        group = security_groups.create(tx, call, bodies.NewSecurityGroup(name=name, description=description))
    return _views(tx, [group])[0]


def update_group(tx: Tx, call: Call, id: str, name: str, description: str) -> GroupView:
    """Raises BadRequest, NotFound."""
    get_group(tx, call, id)
    with _in_nova_s_words():
        change = bodies.SecurityGroupChange(name=name, description=description)
        return _views(tx, [security_groups.update(tx, call, id, change)])[0]


def delete_group(tx: Tx, call: Call, id: str) -> None:
    """Raises BadRequest (in use, default), NotFound."""
    get_group(tx, call, id)
    with _in_nova_s_words():
        security_groups.delete(tx, call, id)


def create_rule(
    tx: Tx, call: Call, parent_id: str, protocol: str | None, low: int | None, high: int | None, cidr: str | None,
    peer_id: str | None,
) -> tuple[SecurityGroupRule, SecurityGroup | None]:  # fmt: skip
    """An ingress rule. Raises BadRequest, Forbidden, NotFound."""
    if not is_uuid(parent_id):
        raise BadRequest(f"Security group id should be uuid: {parent_id}")
    unset = (None, -1)
    with _in_nova_s_words():
        prefix = None if peer_id else cidr or ANY[4]
        rule = security_groups.create_rule(
            tx,
            call,
            bodies.NewSecurityGroupRule(
                security_group_id=parent_id, direction="ingress", protocol=protocol or UNSET,
                ethertype="IPv6" if prefix and ":" in prefix else "IPv4",
                port_range_min=UNSET if low in unset else low, port_range_max=UNSET if high in unset else high,
                remote_ip_prefix=prefix or UNSET, remote_group_id=peer_id or UNSET,
            ),
        )  # fmt: skip
    return rule, get(tx, call, SecurityGroup, peer_id) if peer_id else None


def delete_rule(tx: Tx, call: Call, id: str) -> None:
    """Raises BadRequest, NotFound."""
    if not is_uuid(id):
        raise BadRequest(f"Security group rule id should be uuid: {id}")
    security_groups.delete_rule(tx, call, id)


def groups_of_server(tx: Tx, call: Call, server_id: str) -> list[GroupView]:
    """The groups that a server's ports are in. Raises NotFound."""
    server = get_server(tx, call, server_id)
    rows = tx.query(
        "SELECT DISTINCT port_security_groups.security_group_id FROM port_security_groups "
        "JOIN ports ON ports.id = port_security_groups.port_id WHERE ports.device_id = ?",
        server.id,
    )
    ids = sorted(id for (id,) in rows)
    marks = ", ".join("?" for _ in ids)
    return _views(tx, tx.select(SecurityGroup, f"WHERE id IN ({marks}) ORDER BY name", *ids) if ids else [])


# --- floating IPs --------------------------------------------------------------------------------------------------


class FloatingView(Struct, frozen=True):
    """A floating IP, the name of its pool, and the server that it leads to."""

    floating: FloatingIp
    pool: str
    server_id: str | None


def _floating(tx: Tx, row: FloatingIp) -> FloatingView:
    network = tx.get(Network, row.floating_network_id)
    port = tx.get(Port, row.port_id) if row.port_id else None
    return FloatingView(row, network.name if network else "", port.device_id or None if port else None)


def list_floating(tx: Tx, call: Call) -> list[FloatingView]:
    """Floating IPs of the caller's project."""
    rows = tx.select(FloatingIp, "WHERE project_id = ? ORDER BY created_at, id", call.project_id)
    return [_floating(tx, row) for row in rows]


def get_floating(tx: Tx, call: Call, id: str) -> FloatingView:
    """Raises NotFound."""
    row = tx.get(FloatingIp, id)
    if row is None or not visible(call, row):
        raise NotFound(f"Floating IP not found for ID {id}")
    return _floating(tx, row)


def pools(tx: Tx, call: Call) -> list[str]:
    """Names of the external networks."""
    rows = tx.select(Network, "WHERE external = 1 ORDER BY name")
    return [row.name for row in rows if visible(call, row)]


def create_floating(tx: Tx, call: Call, pool: str | None) -> FloatingView:
    """A floating IP of a pool by name or id (any when there is only one). Raises NotFound, Forbidden, BadRequest."""
    networks = [row for row in tx.select(Network, "WHERE external = 1 ORDER BY created_at") if visible(call, row)]
    found = [row for row in networks if pool is None or pool in (row.name, row.id)]
    if not found:
        raise NotFound("Floating IP pool not found.")
    with _in_nova_s_words():
        return _floating(tx, floating_ips.create(tx, call, bodies.NewFloatingIp(floating_network_id=found[0].id)))


def delete_floating(tx: Tx, call: Call, id: str) -> None:
    """Raises NotFound."""
    get_floating(tx, call, id)
    floating_ips.delete(tx, call, id)


def _by_address(tx: Tx, call: Call, address: str) -> FloatingIp:
    row = tx.first(FloatingIp, "WHERE floating_ip_address = ?", address)
    if row is None or not visible(call, row):
        raise NotFound(f"Floating IP {address} not found")
    return row


def add_floating(tx: Tx, call: Call, server_id: str, address: str, fixed: str | None) -> None:
    """Lead a floating IP to a server's first address, or to a given one. Raises NotFound, BadRequest, Conflict."""
    server = get_server(tx, call, server_id)
    require_unlocked(call, server)
    floating = _by_address(tx, call, address)
    ports = network_service.ports_of(tx, [server.id]).get(server.id, [])
    choices = [(port.id, one.address) for port in ports for one in port.addresses
               if one.version == 4 and one.kind == "fixed"]  # fmt: skip
    if not choices:
        raise BadRequest("No fixed IPs associated to instance")
    if fixed is not None:
        choices = [one for one in choices if one[1] == fixed]
        if not choices:
            raise BadRequest("Specified fixed address not assigned to instance")
    with _in_nova_s_words():
        change = bodies.FloatingIpChange(port_id=choices[0][0], fixed_ip_address=choices[0][1])
        try:
            floating_ips.update(tx, call, floating.id, change)
        except NotFound as error:
            raise BadRequest(f"Unable to associate floating IP {address}: {error.message}") from error


def remove_floating(tx: Tx, call: Call, server_id: str, address: str) -> None:
    """Raises NotFound, Conflict (it leads elsewhere)."""
    server = get_server(tx, call, server_id)
    require_unlocked(call, server)
    view = _floating(tx, _by_address(tx, call, address))
    if view.server_id != server.id:
        raise Conflict(f"Floating IP {address} is not associated with instance {server_id}.")
    floating_ips.disassociate(tx, call, view.floating)


# --- networks ------------------------------------------------------------------------------------------------------


def list_networks(tx: Tx, call: Call) -> list[Network]:
    """Networks that the caller may use."""
    return [row for row in tx.select(Network, "ORDER BY created_at, id") if visible(call, row)]


def get_network(tx: Tx, call: Call, id: str) -> Network:
    """Raises NotFound."""
    row = tx.get(Network, id)
    if row is None or not visible(call, row):
        raise NotFound(f"Network {id} could not be found.")
    return row

