"""Claims of addresses over a real store: whatever is asked in whatever order, no address is given twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bivouac.core.errors import Error
from bivouac.core.store import Store, Tx, open_store
from bivouac.network.addressing import new_mac
from bivouac.network.records import Address, Network, Port, Subnet
from bivouac.network.service import addresses

STANDARD = {"project_id": "p", "created_at": 0.0, "updated_at": 0.0}
POOL = [("10.0.0.2", "10.0.0.9"), ("10.0.0.20", "10.0.0.23")]
SIZE = 12
steps = st.lists(
    st.one_of(
        st.just(("any", 0)),
        st.tuples(st.just("exact"), st.integers(0, 31)),
        st.tuples(st.just("free"), st.integers(0, 20)),
    ),
    max_size=40,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store("", tmp_path / "test.db")
    store.migrate(["bivouac.core", "bivouac.placement", "bivouac.network"])
    return store


def prepare(tx: Tx) -> None:
    for table in ("addresses", "ports", "subnets", "networks"):
        tx.execute(f"DELETE FROM {table}")
    tx.insert(Network(id="n", mtu=1442, **STANDARD))
    tx.insert(
        Subnet(
            id="s", network_id="n", ip_version=4, cidr="10.0.0.0/27", gateway_ip=None, allocation_pools=POOL, **STANDARD
        )
    )


def take(tx: Tx, number: int, wanted: list[dict[str, str]] | None) -> str:
    port = tx.insert(Port(id=f"port{number}", network_id="n", mac_address=new_mac(), **STANDARD))
    return addresses.claim(tx, port, wanted)[0].address


def give_back(tx: Tx, id: str) -> None:
    addresses.release(tx, id)
    tx.delete(tx.get(Port, id))  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True, max_examples=60)
@given(steps)
def test_no_address_is_held_twice_and_none_is_lost(store: Store, plan: list[tuple[str, int]]) -> None:
    store.write_now(prepare)
    held: dict[str, str] = {}
    for number, (what, value) in enumerate(plan):
        if what == "free":
            if held:
                port = sorted(held)[value % len(held)]
                store.write_now(give_back, port)
                del held[port]
            continue
        wanted = None if what == "any" else [{"ip_address": f"10.0.0.{value}"}]
        inside = sum(1 for one in held.values() if _in_pool(one))
        try:
            address = store.write_now(take, number, wanted)
        except Error:
            if what == "any":
                assert inside == SIZE, "refused although an address was free"
            else:
                assert f"10.0.0.{value}" in held.values() or value in (0, 31)
            continue
        assert address not in held.values()
        assert what == "exact" or _in_pool(address)
        held[f"port{number}"] = address
    rows = store.read_now(lambda tx: tx.select(Address))
    assert {row.port_id: row.address for row in rows} == held


def _in_pool(address: str) -> bool:
    number = int(address.rpartition(".")[2])
    return 2 <= number <= 9 or 20 <= number <= 23


def test_many_claims_at_once_are_all_different(make_store: Callable[..., Store]) -> None:
    """Several writers at once (PostgreSQL retries those that met)."""
    store = make_store("bivouac.placement", "bivouac.network")
    wide = [("10.1.0.2", "10.1.15.254")]

    def wide_subnet(tx: Tx) -> None:
        tx.insert(Network(id="n", mtu=1442, **STANDARD))
        tx.insert(
            Subnet(id="s", network_id="n", ip_version=4, cidr="10.1.0.0/20", gateway_ip=None, allocation_pools=wide,
                   **STANDARD)
        )  # fmt: skip

    store.write_now(wide_subnet)
    futures = [store.engine.write(take, (number, None), None, False) for number in range(40)]
    assert len({future.result() for future in futures}) == 40
