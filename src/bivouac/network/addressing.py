"""Addresses as arithmetic: pools, gaps, EUI-64, MAC addresses. No I/O; tested by table and by property.

Sources: RFC 4291 (IPv6 addressing, appendix A on EUI-64), RFC 3021 (/31), Neutron's API reference on subnets.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Iterator, Sequence

from bivouac.core.errors import BadRequest

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Range = tuple[int, int]
"""First and last address, both included."""
MAC_BASE = "fa:16:3e"
"""The prefix that OpenStack's clouds use."""


def key(address: str | IpAddress) -> str:
    """The address as 32 hexadecimal digits: sorts as numbers do, on every database."""
    return f"{int(ipaddress.ip_address(address)):032x}"


def parse_cidr(text: str, what: str = "cidr") -> IpNetwork:
    """The network of a CIDR, host bits cleared. Raises BadRequest."""
    try:
        if "/" not in text:
            raise ValueError("a prefix length is missing")
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise BadRequest(
            f"Invalid input for {what}. Reason: '{text}' is not a valid IP subnet: {error}.", type="HTTPBadRequest"
        ) from error


def parse_address(text: str, what: str = "ip_address") -> IpAddress:
    """An address. Raises BadRequest."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise BadRequest(
            f"Invalid input for {what}. Reason: '{text}' is not a valid IP address.", type="HTTPBadRequest"
        ) from error
    if getattr(address, "scope_id", None):
        raise BadRequest(
            f"Invalid input for {what}. Reason: '{text}' is not a valid IP address.", type="HTTPBadRequest"
        )
    return address


def parse_mac(text: str, what: str = "mac_address") -> str:
    """A unicast MAC address in lower case with colons. Raises BadRequest."""
    parts = text.lower().replace("-", ":").split(":")
    good = len(parts) == 6 and all(len(one) == 2 and all(c in "0123456789abcdef" for c in one) for one in parts)
    if not good or ":".join(parts) == "00:00:00:00:00:00" or int(parts[0], 16) & 1:
        raise BadRequest(
            f"Invalid input for {what}. Reason: '{text}' is not a valid MAC address.", type="HTTPBadRequest"
        )
    return ":".join(parts)


def new_mac() -> str:
    """A random MAC address under the common prefix."""
    tail = secrets.token_bytes(3)
    return f"{MAC_BASE}:{tail[0]:02x}:{tail[1]:02x}:{tail[2]:02x}"


def eui64(network: IpNetwork, mac_address: str) -> str:
    """The address that a guest with this MAC address gives itself by SLAAC (RFC 4291, appendix A)."""
    bytes_ = [int(one, 16) for one in mac_address.split(":")]
    identifier = [bytes_[0] ^ 2, *bytes_[1:3], 0xFF, 0xFE, *bytes_[3:]]
    return str(ipaddress.IPv6Address(int(network.network_address) + int.from_bytes(bytes(identifier), "big")))


def usable(network: IpNetwork) -> Range:
    """The addresses that a host may have: without network and broadcast address, or the IPv6 router anycast."""
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4:
        return (first + 1, last - 1) if network.prefixlen < 31 else (first, last)
    return (first + 1, last) if network.prefixlen < 127 else (first, last)


def default_gateway(network: IpNetwork) -> str:
    """The first usable address."""
    return str(network.network_address + (1 if network.prefixlen < network.max_prefixlen else 0))


def default_pools(network: IpNetwork, gateway: str | None) -> list[tuple[str, str]]:
    """Everything usable but the gateway."""
    first, last = usable(network)
    ranges = [(first, last)]
    if gateway is not None:
        ranges = list(without([(first, last)], int(ipaddress.ip_address(gateway))))
    kind = type(network.network_address)
    return [(str(kind(start)), str(kind(end))) for start, end in ranges]


def without(ranges: Iterable[Range], number: int) -> Iterator[Range]:
    """The ranges with one number taken out."""
    for start, end in ranges:
        if start <= number <= end:
            if start < number:
                yield start, number - 1
            if number < end:
                yield number + 1, end
        else:
            yield start, end


def ranges_of(pools: Sequence[Sequence[str]]) -> list[Range]:
    return [(int(ipaddress.ip_address(start)), int(ipaddress.ip_address(end))) for start, end in pools]


def within(ranges: Iterable[Range], number: int) -> bool:
    return any(start <= number <= end for start, end in ranges)


def first_gap(start: int, end: int, taken: Iterable[int]) -> int | None:
    """The lowest number of start..end that is not among `taken` (ascending), or None."""
    candidate = start
    for number in taken:
        if number < candidate:
            continue
        if number > candidate:
            break
        candidate += 1
    return candidate if candidate <= end else None


def first_free_prefix(prefixes: Sequence[IpNetwork], taken: Sequence[IpNetwork], length: int) -> IpNetwork | None:
    """The lowest block of `length` within the prefixes that meets none of the taken blocks, or None."""
    for prefix in sorted(prefixes, key=lambda one: int(one.network_address)):
        if length < prefix.prefixlen:
            continue
        step = 1 << (prefix.max_prefixlen - length)
        candidate = int(prefix.network_address)
        blocks = sorted(
            (int(one.network_address), int(one.broadcast_address)) for one in taken if one.version == prefix.version
        )
        for start, end in blocks:
            if end < candidate:
                continue
            if start > candidate + step - 1:
                break
            candidate = (end // step + 1) * step
        if candidate + step - 1 <= int(prefix.broadcast_address):
            return type(prefix)((candidate, length))
    return None
