"""What compute calls inside its own transactions: ports for servers, their addresses, what guests and hosts must know.

None of these open a transaction. Each rings `server-specs` with a server's id when its guest or its host must learn
of something.
"""

import ipaddress
import re
import time
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound
from bivouac.core.store import Tx
from bivouac.hostspec.network import MetadataPort, NetworkSpec

from . import records as r
from .service import auto_topology, ports, quotas
from .service import security_groups as groups_service
from .service.standard import (
    SPEC_BELL,
    addresses_of,
    changed,
    get,
    set_port_groups,
    touch,
    visible,
)
from .shown import address_lines, group_names, state_sql

__all__ = [
    "SPEC_BELL",
    "address_lines",
    "attach_port",
    "bind_ports",
    "detach_port",
    "group_names",
    "state_sql",
    "network_data",
    "network_specs",
    "ports_of",
    "release_ports",
    "resolve_requests",
    "servers_with_address",
    "set_server_security_group",
]

LONGEST_PATTERN = 128


class NetworkRequest(Struct, frozen=True):
    """One entry of a server's `networks`: a port that exists, or a network to make one on."""

    network_id: str = ""
    port_id: str = ""
    fixed_ip: str = ""
    tag: str = ""


class Address(Struct, frozen=True):
    """An address of a port. `kind` as Nova says it in `OS-EXT-IPS:type`."""

    address: str
    version: Literal[4, 6]
    subnet_id: str = ""
    kind: Literal["fixed", "floating"] = "fixed"


class ServerPort(Struct, frozen=True):
    """A port as compute needs it. `addresses`: the fixed ones, each followed by the floating IPs that lead to it."""

    id: str
    server_id: str
    network_id: str
    network_name: str
    mac_address: str
    mtu: int
    status: str
    addresses: tuple[Address, ...] = ()
    security_groups: tuple[str, ...] = ()
    """Names."""
    tag: str = ""
    made_by_compute: bool = True
    """A port that compute made goes with its server; one that was given is only unbound."""


# --- before anything is made ------------------------------------------------------------------------------------------


def resolve_requests(
    tx: Tx, call: Call, requests: Sequence[Any] | Literal["auto", "none"] | None, servers: int = 1
) -> tuple[NetworkRequest, ...]:
    """The networks and ports for each of so many servers, checked before anything is made.

    None: the project's only network (shared ones count when it has none of its own), nothing when there is none.
    `auto`: the project's network, made on the spot (network, subnet, router) if there is none. Raises BadRequest
    (unknown network or port, malformed, port in use by several), Conflict (several networks and none named; a port in
    use; an address in use), Forbidden, OverQuota (ports).
    """
    if requests == "none":
        return ()
    if requests is None or requests == "auto":
        networks = _usable_networks(tx, call)
        if len(networks) > 1:
            raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
        if not networks and requests == "auto":
            try:
                networks = [auto_topology.ensure(tx, call, call.project_id)]
            except Conflict as error:
                words = f"Unable to automatically allocate a network for project {call.project_id}"
                raise BadRequest(f"{words}: {error}") from error
        found = [NetworkRequest(network_id=one.id) for one in networks]
    else:
        found = [_checked(tx, call, one, servers) for one in requests]
        given = [one.port_id for one in found if one.port_id]
        if len(set(given)) != len(given):
            raise BadRequest("Invalid input for networks: a port is named twice.")
    made = sum(1 for one in found if not one.port_id) * servers
    if made:
        quotas.claim(tx, call.project_id, "port", made)
    return tuple(found)


def _usable_networks(tx: Tx, call: Call) -> list[r.Network]:
    own = tx.select(r.Network, "WHERE project_id = ? AND external = 0 ORDER BY created_at, id", call.project_id)
    return own or tx.select(
        r.Network, "WHERE shared = 1 AND external = 0 AND project_id <> ? ORDER BY created_at, id", call.project_id
    )


def _checked(tx: Tx, call: Call, request: Any, servers: int) -> NetworkRequest:
    """One request with its network known."""
    if request.port_id:
        if servers > 1:
            raise BadRequest("Invalid inputs: a port can be given to one server only, and several are asked for.")
        if request.fixed_ip:
            raise BadRequest("Invalid input for networks: a port brings its own address, fixed_ip may not be given.")
        port = tx.get(r.Port, request.port_id)
        if port is None or not visible(call, port):
            raise BadRequest(f"Port {request.port_id} could not be found.")
        if port.device_id:
            raise Conflict(f"Port {port.id} is still in use.")
        has_subnets = tx.value("SELECT 1 FROM subnets WHERE network_id = ? LIMIT 1", port.network_id)
        if has_subnets and not addresses_of(tx, [port.id])[port.id]:
            raise BadRequest(f"Port {port.id} requires a FixedIP in order to be used.")
        return NetworkRequest(network_id=port.network_id, port_id=port.id, tag=request.tag)
    network = tx.get(r.Network, request.network_id)
    if network is None or not visible(call, network):
        raise BadRequest(f"Network {request.network_id} could not be found.")
    if network.external and not network.shared and not call.is_admin:
        raise Forbidden(f"It is not allowed to create an interface on external network {network.id}")
    subnets = tx.select(r.Subnet, "WHERE network_id = ?", network.id)
    if not subnets:
        raise BadRequest(f"Network {network.id} requires a subnet in order to boot instances on.")
    if request.fixed_ip:
        if servers > 1:
            raise BadRequest("Invalid inputs: a fixed IP can be given to one server only, and several are asked for.")
        _check_fixed_ip(tx, request.fixed_ip, subnets)
    return NetworkRequest(network_id=network.id, fixed_ip=request.fixed_ip, tag=request.tag)


def _check_fixed_ip(tx: Tx, text: str, subnets: Sequence[r.Subnet]) -> None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise BadRequest(f"Invalid fixed IP Address {text} in request.") from None
    if not any(address in ipaddress.ip_network(one.cidr) for one in subnets):
        raise BadRequest(f"Fixed IP {text} is not a valid ip address for network {subnets[0].network_id}.")
    if tx.value(
        "SELECT 1 FROM addresses JOIN subnets ON subnets.id = addresses.subnet_id WHERE subnets.network_id = ? AND "
        "addresses.address = ?", subnets[0].network_id, str(address),
    ):  # fmt: skip
        raise Conflict(f"Fixed IP address {text} is already in use on instance.")


# --- attaching and detaching ------------------------------------------------------------------------------------------


def attach_port(
    tx: Tx, call: Call, request: Any, *, server_id: str, project_id: str, host: str, availability_zone: str,
    hostname: str, security_groups: Sequence[str] = (),
) -> ServerPort:  # fmt: skip
    """Make (or take) a port for a server: device_id, device_owner `compute:ZONE`, dns_name, binding to `host`.

    `security_groups` are names or ids of the project's groups (empty: the default group) and count for ports that are
    made here. Raises BadRequest (unknown group or several of the name), Conflict, NotFound, OverQuota.
    """
    fields = {
        "device_id": server_id, "device_owner": r.COMPUTE + availability_zone, "binding_host": host,
        "device_tag": request.tag, "attached_at": _next_attached_at(tx, server_id), "up": False,
    }  # fmt: skip
    if request.port_id:
        port = get(tx, call, r.Port, request.port_id)
        if port.device_id and port.device_id != server_id:
            raise Conflict(f"Port {port.id} is still in use.")
        port = touch(tx, call, port, **fields, made_by_compute=False, dns_name=port.dns_name or _dns_name(hostname))
    else:
        port = _make(tx, call, request, project_id, security_groups)
        port = touch(tx, call, port, **fields, made_by_compute=True, dns_name=_dns_name(hostname))
    changed(tx)
    tx.ring(SPEC_BELL, server_id)
    return _server_ports(tx, "ports.id", [port.id])[0]


def _make(tx: Tx, call: Call, request: Any, project_id: str, groups: Sequence[str]) -> r.Port:
    """A plain port on a network, by the rules for anybody's ports except who may name an address."""
    network = get(tx, call, r.Network, request.network_id)
    quotas.claim(tx, project_id, "port")
    if network.port_security_enabled:
        ids = sorted({_group_id(tx, call, project_id, one) for one in groups})
        ids = ids or [groups_service.default_group(tx, call, project_id).id]
    else:
        ids = []
    port = ports.draft(tx, call, network, project_id, ids)
    return ports.insert(tx, port, [{"ip_address": request.fixed_ip}] if request.fixed_ip else None)


def _group_id(tx: Tx, call: Call, project_id: str, name: str) -> str:
    """The id of a project's security group by id or name. Raises BadRequest."""
    if name == "default":
        return groups_service.default_group(tx, call, project_id).id
    group = tx.get(r.SecurityGroup, name)
    if group is not None and group.project_id == project_id:
        return group.id
    named = tx.select(r.SecurityGroup, "WHERE project_id = ? AND name = ? LIMIT 2", project_id, name)
    if not named:
        raise BadRequest(f"Security group {name} not found for project {project_id}.")
    if len(named) > 1:
        raise BadRequest(f"Multiple security_groups found matching '{name}'. Use an ID to be more specific.")
    return named[0].id


def _next_attached_at(tx: Tx, server_id: str) -> float:
    """Later than every port the server has, so that the order of attaching is kept within one transaction too."""
    last = tx.value("SELECT max(attached_at) FROM ports WHERE device_id = ?", server_id)
    return max(time.time(), (last or 0.0) + 0.001)


def _dns_name(hostname: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", hostname.lower()).strip("-")[:63]


def bind_ports(tx: Tx, server_id: str, host: str) -> None:
    """Bind all ports of a server to a host (empty: unbind), for moves and shelving."""
    for port in _ports_of(tx, [server_id]):
        if port.binding_host != host:
            _move(tx, port, binding_host=host, up=False)
            changed(tx)


def detach_port(tx: Tx, server_id: str, port_id: str) -> None:
    """Take a port from a server: delete it if compute made it, otherwise unbind it. Raises NotFound."""
    port = tx.get(r.Port, port_id)
    if port is None or port.device_id != server_id or not port.device_owner.startswith(r.COMPUTE):
        raise NotFound(f"Port {port_id} could not be found on instance {server_id}.")
    _release(tx, port)
    tx.ring(SPEC_BELL, server_id)


def release_ports(tx: Tx, server_id: str) -> None:
    """`detach_port` for all ports of a server that goes. Nothing there is fine."""
    for port in _ports_of(tx, [server_id]):
        _release(tx, port)


def _release(tx: Tx, port: r.Port) -> None:
    if port.made_by_compute:
        ports.remove(tx, port)
        return
    _move(tx, port, device_id="", device_owner="", binding_host="", up=False, device_tag="", attached_at=None)
    changed(tx)


def _move(tx: Tx, port: r.Port, **fields: Any) -> r.Port:
    return tx.update(port, **fields, revision_number=port.revision_number + 1, updated_at=time.time())


# --- looking ----------------------------------------------------------------------------------------------------------


def ports_of(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[ServerPort]]:
    """Ports of many servers in a few statements, in the order in which they were attached."""
    found: dict[str, list[ServerPort]] = {id: [] for id in server_ids}
    for port in _server_ports(tx, "ports.device_id", server_ids):
        found[port.server_id].append(port)
    return found


def servers_with_address(tx: Tx, version: Literal[4, 6], pattern: str, project_id: str = "") -> list[str]:
    """Ids of servers with an address that matches a regular expression (Nova's `ip` and `ip6` filters).

    Raises BadRequest for what is no regular expression.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise BadRequest(f"The pattern may have {LONGEST_PATTERN} characters.")
    try:
        matches = re.compile(pattern).match
    except re.error as error:
        raise BadRequest(f"Invalid regular expression '{pattern}': {error}") from error
    where, args = ("AND ports.project_id = ?", [project_id]) if project_id else ("", [])
    rows = tx.query(
        "SELECT ports.device_id, addresses.address FROM addresses JOIN ports ON ports.id = addresses.port_id "
        f"WHERE ports.device_owner LIKE 'compute:%' AND ports.device_id <> '' {where}", *args,
    )  # fmt: skip
    is_v6 = version == 6
    return sorted({server for server, address in rows if (":" in address) == is_v6 and matches(address)})


def set_server_security_group(tx: Tx, call: Call, server_id: str, name: str, present: bool) -> None:
    """Put all ports of a server into a group (name or id), or out of it. Raises NotFound, Conflict."""
    mine = _ports_of(tx, [server_id])
    if not mine:
        raise NotFound(f"Instance {server_id} has no ports.")
    try:
        group_id = _group_id(tx, call, mine[0].project_id, name)
    except BadRequest as error:
        raise NotFound(error.message) from error
    held = [port for port in mine if group_id in port.security_groups]
    if present and len(held) == len(mine):
        return
    if not present and not held:
        raise NotFound(f"Security group {name} is not associated with the instance {server_id}.")
    for port in mine:
        if present and not port.port_security_enabled:
            raise Conflict(f"Port {port.id} has no port security: it cannot be in a group.")
        groups = set(port.security_groups) | {group_id} if present else set(port.security_groups) - {group_id}
        _move(tx, port, security_groups=sorted(groups))
        set_port_groups(tx, port.id, sorted(groups))
    changed(tx)
    tx.ring(SPEC_BELL, server_id)


def _ports_of(tx: Tx, server_ids: Sequence[str]) -> list[r.Port]:
    found: list[r.Port] = []
    for start in range(0, len(server_ids), 500):
        batch = server_ids[start : start + 500]
        found += tx.select(
            r.Port, f"WHERE device_id IN ({', '.join('?' for _ in batch)}) AND device_owner LIKE 'compute:%' "
            "ORDER BY attached_at, created_at, id", *batch,
        )  # fmt: skip
    return found


_SERVER_PORTS = (
    "SELECT ports.device_id, ports.id, ports.network_id, networks.name, networks.mtu, ports.mac_address, "
    "ports.admin_state_up, ports.up, ports.binding_host, ports.security_groups, ports.device_tag, "
    "ports.made_by_compute, addresses.address, addresses.subnet_id, floating_ips.floating_ip_address "
    "FROM ports JOIN networks ON networks.id = ports.network_id "
    "LEFT JOIN addresses ON addresses.port_id = ports.id "
    "LEFT JOIN floating_ips ON floating_ips.port_id = ports.id AND "
    "floating_ips.fixed_ip_address = addresses.address WHERE {} "
    "ORDER BY ports.attached_at, ports.created_at, ports.id, addresses.position, addresses.number, floating_ips.id"
)
"""One row for each address of each port, and for each floating IP of an address: a page of servers costs two
statements, and no row is decoded further than it is needed."""
_decode_groups = msgspec.json.Decoder(list[str]).decode


def _server_ports(tx: Tx, column: str, ids: Sequence[str]) -> list[ServerPort]:
    """Ports of servers, by a column of `ports`."""
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(ids), 500):
        batch = ids[start : start + 500]
        where = f"{column} IN ({', '.join('?' for _ in batch)}) AND ports.device_owner LIKE 'compute:%'"
        rows += tx.query(_SERVER_PORTS.format(where), *batch)
    texts = {row[9] for row in rows}
    groups = {text: _decode_groups(text) for text in texts}
    names = dict(
        _by_ids(tx, "SELECT id, name FROM security_groups", sorted({one for g in groups.values() for one in g}))
    )
    named = {text: tuple(names[one] for one in group if one in names) for text, group in groups.items()}
    found: list[ServerPort] = []
    for id, group in groupby(rows, itemgetter(1)):
        lines = list(group)
        row = lines[0]
        addresses: list[Address] = []
        last = None
        for line in lines:
            address = line[12]
            if address is not None and address != last:
                addresses.append(Address(address, 6 if ":" in address else 4, line[13]))
                last = address
            if line[14] is not None:
                addresses.append(Address(line[14], 4, "", "floating"))
        found.append(
            ServerPort(
                id, row[0], row[2], row[3], row[5], row[4], "ACTIVE" if row[6] and row[7] and row[8] else "DOWN",
                tuple(addresses), named[row[9]], row[10], bool(row[11]),
            )
        )  # fmt: skip
    return found


def _by_ids(tx: Tx, select: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(ids), 500):
        batch = ids[start : start + 500]
        found += tx.query(f"{select} WHERE id IN ({', '.join('?' for _ in batch)})", *batch)
    return found


# --- what guests and hosts must know ----------------------------------------------------------------------------------


def network_data(tx: Tx, server_id: str) -> dict[str, Any]:
    """The finished `network_data.json` of a server: links, networks, services.

    Source: the schema in Nova's documentation, "Metadata service", network_data.json.
    """
    links, networks, services = [], [], []
    rows = _ports_of(tx, [server_id])
    held = addresses_of(tx, [row.id for row in rows])
    subnets = {
        one.id: one
        for row in rows
        for one in tx.select(r.Subnet, "WHERE network_id = ?", row.network_id)
    }  # fmt: skip
    mtus = dict(_by_ids(tx, "SELECT id, mtu FROM networks", sorted({row.network_id for row in rows})))
    for row in rows:
        link = "tap" + row.id[:11]
        links.append(
            {"id": link, "vif_id": row.id, "type": "ovs", "mtu": mtus[row.network_id],
             "ethernet_mac_address": row.mac_address}
        )  # fmt: skip
        for address in held[row.id]:
            subnet = subnets[address.subnet_id]
            entry = {"id": f"network{len(networks)}", "link": link, "network_id": row.network_id}
            networks.append({**entry, **_guest_network(subnet, address.address)})
            for server in subnet.dns_nameservers:
                if {"type": "dns", "address": server} not in services:
                    services.append({"type": "dns", "address": server})
    return {"links": links, "networks": networks, "services": services}


def _guest_network(subnet: r.Subnet, address: str) -> dict[str, Any]:
    """How a guest gets its address: by DHCP or router advertisement, or as given."""
    if subnet.ip_version == 4 and subnet.enable_dhcp:
        return {"type": "ipv4_dhcp"}
    if subnet.ip_version == 6 and subnet.enable_dhcp and subnet.ipv6_address_mode:
        mode = subnet.ipv6_address_mode
        kind = "ipv6_slaac" if mode == "slaac" else f"ipv6_{mode}"
    else:
        kind = f"ipv{subnet.ip_version}"
    network = ipaddress.ip_network(subnet.cidr)
    routes = [
        {
            "network": str(ipaddress.ip_network(one["destination"]).network_address),
            "netmask": str(ipaddress.ip_network(one["destination"]).netmask),
            "gateway": one["nexthop"],
        }
        for one in subnet.host_routes
    ]
    if subnet.gateway_ip is not None:
        anything = "0.0.0.0" if subnet.ip_version == 4 else "::"
        routes.append({"network": anything, "netmask": anything, "gateway": subnet.gateway_ip})
    return {
        "type": kind, "ip_address": address, "netmask": str(network.netmask), "routes": routes,
        "services": [{"type": "dns", "address": one} for one in subnet.dns_nameservers],
    }  # fmt: skip


def network_specs(tx: Tx, host: str, network_ids: Sequence[str] | None = None) -> tuple[NetworkSpec, ...]:
    """What a host must know of the networks (all, or some) that servers bound to it use."""
    rows = tx.query(
        "SELECT ports.network_id, ports.device_id, addresses.address FROM ports "
        "LEFT JOIN addresses ON addresses.port_id = ports.id "
        "WHERE ports.binding_host = ? AND ports.device_owner LIKE 'compute:%' ORDER BY ports.network_id", host,
    )  # fmt: skip
    servers: dict[str, dict[str, str]] = {}
    for network_id, server_id, address in rows:
        known = servers.setdefault(network_id, {})
        if address is not None:
            known[address] = server_id
    wanted = [id for id in servers if network_ids is None or id in network_ids]
    generation = time.time_ns() // 1_000_000
    return tuple(
        NetworkSpec(id=id, generation=generation, mtu=mtu, metadata_port=_metadata_port(tx, id), servers=servers[id])
        for id, mtu in _by_ids(tx, "SELECT id, mtu FROM networks", wanted)
    )


def _metadata_port(tx: Tx, network_id: str) -> MetadataPort | None:
    port = tx.first(r.Port, "WHERE network_id = ? AND device_owner = ?", network_id, r.METADATA)
    if port is None:
        return None
    prefixes = dict(tx.query("SELECT id, cidr FROM subnets WHERE network_id = ?", network_id))
    held = [
        f"{one.address}/{prefixes[one.subnet_id].partition('/')[2]}" for one in addresses_of(tx, [port.id])[port.id]
    ]
    return MetadataPort(port.id, port.mac_address, tuple(held)) if held else None
