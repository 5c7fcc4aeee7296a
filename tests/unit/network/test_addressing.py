"""Addresses as arithmetic, by table and by property."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bivouac.core.errors import BadRequest
from bivouac.network import addressing

networks = st.one_of(
    st.builds(lambda n, p: ipaddress.ip_network((n, p), strict=False), st.integers(0, 2**32 - 1), st.integers(8, 32)),
    st.builds(
        lambda n, p: ipaddress.ip_network((ipaddress.IPv6Address(n), p), strict=False),
        st.integers(0, 2**128 - 1),
        st.integers(32, 128),
    ),
)


@given(networks, st.data())
def test_default_pools_are_everything_usable_but_the_gateway(
    network: addressing.IpNetwork, data: st.DataObject
) -> None:
    first, last = addressing.usable(network)
    gateway = data.draw(st.integers(first, last))
    kind = type(network.network_address)
    ranges = addressing.ranges_of(addressing.default_pools(network, str(kind(gateway))))
    assert sum(end - start + 1 for start, end in ranges) == last - first
    assert not addressing.within(ranges, gateway)
    assert all(first <= start <= end <= last for start, end in ranges)


@given(st.integers(0, 50), st.integers(0, 50), st.sets(st.integers(0, 120)))
def test_the_first_gap_is_the_lowest_free_number(start: int, length: int, taken: set[int]) -> None:
    end = start + length
    free = [number for number in range(start, end + 1) if number not in taken]
    assert addressing.first_gap(start, end, sorted(taken)) == (free[0] if free else None)


@given(st.lists(st.integers(24, 30), max_size=30), st.integers(20, 23))
def test_blocks_cut_from_a_prefix_never_meet(lengths: list[int], prefix: int) -> None:
    pool = ipaddress.ip_network(("10.0.0.0", prefix))
    taken: list[addressing.IpNetwork] = []
    for length in lengths:
        block = addressing.first_free_prefix([pool], taken, length)
        if block is None:
            assert sum(one.num_addresses for one in taken) + 2 ** (32 - length) > pool.num_addresses / 2
            continue
        assert block.subnet_of(pool)  # type: ignore[arg-type]
        assert not any(block.overlaps(one) for one in taken)  # type: ignore[arg-type]
        taken.append(block)


@given(st.binary(min_size=6, max_size=6))
def test_eui64_lies_in_the_network_and_keeps_the_mac(mac: bytes) -> None:
    network = ipaddress.ip_network("fd00::/64")
    text = ":".join(f"{byte:02x}" for byte in mac)
    address = ipaddress.ip_address(addressing.eui64(network, text))
    assert address in network
    tail = address.packed[8:]
    assert bytes([tail[0] ^ 2]) + tail[1:3] + tail[5:] == mac


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_keys_sort_as_numbers(one: addressing.IpAddress, two: addressing.IpAddress) -> None:
    assert (addressing.key(one) < addressing.key(two)) == (int(one) < int(two))


@pytest.mark.parametrize(("cidr", "gateway", "first", "last"), [
    ("10.0.0.0/24", "10.0.0.1", "10.0.0.1", "10.0.0.254"), ("10.0.0.0/31", "10.0.0.1", "10.0.0.0", "10.0.0.1"),
    ("10.0.0.5/32", "10.0.0.5", "10.0.0.5", "10.0.0.5"),
    ("fd00::/64", "fd00::1", "fd00::1", "fd00::ffff:ffff:ffff:ffff"),
])  # fmt: skip
def test_ends_of_networks(cidr: str, gateway: str, first: str, last: str) -> None:
    network = addressing.parse_cidr(cidr)
    assert addressing.default_gateway(network) == gateway
    assert addressing.usable(network) == (int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last)))


@pytest.mark.parametrize("text", ["", "x", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "١.0.0.0/8"])
def test_what_is_no_cidr_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        addressing.parse_cidr(text)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (addressing.parse_cidr, addressing.parse_address, addressing.parse_mac):
        try:
            parse(text)
        except BadRequest:
            pass
