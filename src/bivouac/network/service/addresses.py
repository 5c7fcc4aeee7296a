"""Claims of addresses, in the transaction that needs them: the primary key of `addresses` is the claim."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from bivouac.core.errors import Conflict
from bivouac.core.store import Duplicate, Tx

from .. import addressing
from ..records import FLOATING_IP, METADATA, ROUTER_OWNERS, Address, Port, Subnet
from .standard import invalid

MAX_FIXED_IPS = 64
"""An upper bound on what one port may ask for."""


class Exhausted(Conflict):
    """No address is left."""


def claim(
    tx: Tx, port: Port, wanted: Sequence[dict[str, Any]] | None, subnets: Sequence[Subnet] | None = None
) -> list[Address]:
    """Take addresses for a port that has none yet. `wanted` as the API's fixed_ips; None: one of each kind.

    Raises BadRequest (no such subnet here, address outside), Conflict (taken, none left).
    """
    if subnets is None:
        subnets = tx.select(Subnet, "WHERE network_id = ? ORDER BY created_at, id", port.network_id)
    if wanted is None:
        return _by_default(tx, port, _serving(subnets, port.device_owner))
    if len(wanted) > MAX_FIXED_IPS:
        raise invalid("Exceeded maximum amount of fixed ips per port.")
    taken = []
    for position, one in enumerate(_in_order(wanted)):
        taken.append(_claim_wanted(tx, port, one, subnets, position))
    return taken


def release(tx: Tx, port_id: str) -> None:
    """Give all addresses of a port back."""
    tx.delete_where(Address, "port_id = ?", port_id)


def replace(tx: Tx, port: Port, wanted: Sequence[dict[str, Any]]) -> list[Address]:
    """Make a port's addresses those wanted, keeping each that still fits (a bare subnet keeps what the port has)."""
    have = tx.select(Address, "WHERE port_id = ? ORDER BY position, number", port.id)
    left = list(have)
    resolved: list[dict[str, Any]] = []
    for one in _in_order(wanted):
        resolved.append(dict(one))
        if not one.get("ip_address"):
            kept = next((row for row in left if row.subnet_id == one.get("subnet_id")), None)
            if kept is not None:
                left.remove(kept)
                resolved[-1]["ip_address"] = kept.address
    release(tx, port.id)
    return claim(tx, port, resolved)


def add_automatic(tx: Tx, port: Port, subnet: Subnet) -> None:
    """The address that a guest on an auto-addressed subnet makes for itself."""
    position = int(tx.value("SELECT coalesce(max(position), -1) FROM addresses WHERE port_id = ?", port.id)) + 1
    _take(tx, port, subnet, addressing.eui64(addressing.parse_cidr(subnet.cidr), port.mac_address), position)


def is_automatic(subnet: Subnet, port: Port) -> bool:
    return subnet.is_auto_addressed and port.device_owner not in (*ROUTER_OWNERS, FLOATING_IP, METADATA)


def _in_order(wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Exact addresses first, so that a free choice does not take what is named later."""
    return sorted(wanted, key=lambda one: not one.get("ip_address"))


def _serving(subnets: Sequence[Subnet], device_owner: str) -> list[Subnet]:
    """Subnets for a device owner: those made for it, else those made for anybody."""
    special = [one for one in subnets if device_owner and device_owner in one.service_types]
    return special or [one for one in subnets if not one.service_types]


def _by_default(tx: Tx, port: Port, subnets: Sequence[Subnet]) -> list[Address]:
    taken: list[Address] = []
    by_choice = [one for one in subnets if not one.is_auto_addressed]
    for version in (4, 6):
        candidates = [one for one in by_choice if one.ip_version == version]
        if not candidates:
            continue
        for subnet in candidates:
            try:
                taken.append(_take_free(tx, port, subnet, len(taken)))
                break
            except Exhausted:
                continue
        else:
            raise Exhausted(
                f"No more IP addresses available on network {port.network_id}.", type="IpAddressGenerationFailure"
            )
    for subnet in subnets:
        if is_automatic(subnet, port):
            address = addressing.eui64(addressing.parse_cidr(subnet.cidr), port.mac_address)
            taken.append(_take(tx, port, subnet, address, len(taken)))
    return taken


def _claim_wanted(tx: Tx, port: Port, wanted: dict[str, Any], subnets: Sequence[Subnet], position: int) -> Address:
    subnet_id, text = wanted.get("subnet_id"), wanted.get("ip_address")
    if set(wanted) - {"subnet_id", "ip_address"} or not (subnet_id or text):
        raise invalid("IP allocation requires subnet_id or ip_address.")
    subnet = next((one for one in subnets if one.id == subnet_id), None)
    if subnet_id and subnet is None:
        raise invalid(
            f"Failed to create port on network {port.network_id}, because fixed_ips included invalid subnet "
            f"{subnet_id}.",
            "InvalidInput",
        )
    if not text:
        assert subnet is not None
        if is_automatic(subnet, port):
            network = addressing.parse_cidr(subnet.cidr)
            return _take(tx, port, subnet, addressing.eui64(network, port.mac_address), position)
        return _take_free(tx, port, subnet, position)
    address = addressing.parse_address(text, "fixed_ips")
    if subnet is None:
        subnet = next((one for one in subnets if address in ipaddress.ip_network(one.cidr)), None)
        if subnet is None:
            raise invalid(
                f"IP address {text} is not a valid IP for any of the subnets on the specified network.",
                "InvalidIpForNetwork",
            )
    _check_fits(port, subnet, address)
    return _take(tx, port, subnet, str(address), position)


def _check_fits(port: Port, subnet: Subnet, address: addressing.IpAddress) -> None:
    network = addressing.parse_cidr(subnet.cidr)
    first, last = addressing.usable(network)
    if address.version != network.version or not first <= int(address) <= last:
        raise invalid(f"IP address {address} is not a valid IP for the specified subnet.", "InvalidIpForSubnet")
    if is_automatic(subnet, port) and str(address) != addressing.eui64(network, port.mac_address):
        raise invalid(
            f"IPv6 address {address} can not be directly assigned to a port on subnet {subnet.id} since the subnet "
            "is configured for automatic addresses",
            "AllocationOnAutoAddressSubnet",
        )


def _take_free(tx: Tx, port: Port, subnet: Subnet, position: int) -> Address:
    """The address after the highest taken one of a pool while there is room above, else the lowest gap."""
    kind = ipaddress.IPv4Address if subnet.ip_version == 4 else ipaddress.IPv6Address
    for start, end in addressing.ranges_of(subnet.allocation_pools):
        bounds = (subnet.id, f"{start:032x}", f"{end:032x}")
        highest = tx.value("SELECT max(number) FROM addresses WHERE subnet_id = ? AND number BETWEEN ? AND ?", *bounds)
        number: int | None = start if highest is None else int(highest, 16) + 1
        if number is not None and number > end:
            rows = tx.query(
                "SELECT number FROM addresses WHERE subnet_id = ? AND number BETWEEN ? AND ? ORDER BY number", *bounds
            )
            number = addressing.first_gap(start, end, (int(row[0], 16) for row in rows))
        if number is not None:
            return _take(tx, port, subnet, str(kind(number)), position)
    raise Exhausted(
        f"No more IP addresses available on network {subnet.network_id}.", type="IpAddressGenerationFailure"
    )


def _take(tx: Tx, port: Port, subnet: Subnet, address: str, position: int) -> Address:
    number = addressing.key(address)
    # Asked first, since a failed insert would end the whole transaction on PostgreSQL.
    if tx.value("SELECT 1 FROM addresses WHERE subnet_id = ? AND number = ?", subnet.id, number):
        raise Conflict(
            f"IP address {address} already allocated in subnet {subnet.id}", type="IpAddressAlreadyAllocated"
        )
    row = Address(subnet_id=subnet.id, number=number, address=address, port_id=port.id, position=position)
    try:
        return tx.insert(row)
    except Duplicate as error:
        raise Conflict(
            f"IP address {address} already allocated in subnet {subnet.id}", type="IpAddressAlreadyAllocated"
        ) from error
