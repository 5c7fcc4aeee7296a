"""Which host is chosen, and what is said when none is."""

from collections.abc import Callable
from typing import Any

import pytest

from bivouac.core.settings import Compute
from bivouac.core.store import Store, Tx
from bivouac.hostspec.link import HostFacts
from bivouac.placement import service
from bivouac.placement.records import Host
from bivouac.placement.scheduling import Candidate, Request, best, judge, refusal

SMALL = Request(vcpus=1, memory_mib=512, disk_gib=1)


def host(name: str = "h", **fields: Any) -> Candidate:
    known = {"availability_zone": "nova", "vcpus_free": 4, "memory_free_mib": 1024, "disk_free_gib": 10}
    return Candidate(id=name, name=name, **{**known, **fields})


@pytest.mark.parametrize(
    ("there", "asked", "kind"),
    [
        ({}, {}, ""),
        ({"disabled": True}, {}, "disabled"),
        ({"up": False}, {}, "down"),
        ({}, {"host": "other"}, "name"),
        ({}, {"availability_zone": "east"}, "zone"),
        ({"availability_zone": "east"}, {"availability_zone": "east"}, ""),
        ({}, {"architecture": "aarch64"}, "architecture"),
        ({}, {"required_traits": frozenset({"AVX"})}, "traits"),
        ({"traits": frozenset({"AVX"})}, {"required_traits": frozenset({"AVX"})}, ""),
        ({"traits": frozenset({"AVX"})}, {"forbidden_traits": frozenset({"AVX"})}, "traits"),
        ({}, {"aggregate_properties": {"ssd": "true"}}, "aggregate"),
        ({"aggregates": ({"ssd": "true"},)}, {"aggregate_properties": {"ssd": "true"}}, ""),
        ({}, {"only_hosts": frozenset()}, "affinity"),
        ({}, {"never_hosts": frozenset({"h"})}, "affinity"),
        ({}, {"memory_mib": 1025}, "memory"),
        ({}, {"vcpus": 5}, "vcpus"),
        ({}, {"disk_gib": 11}, "disk"),
    ],
)
def test_a_verdict(there: dict, asked: dict, kind: str) -> None:
    known = {"vcpus": 1, "memory_mib": 512, "disk_gib": 1}
    assert judge(host(**there), Request(**{**known, **asked}))[0] == kind


def test_the_roomiest_is_best_and_affinity_comes_before_room() -> None:
    hosts = [host("a"), host("b", memory_free_mib=4096), host("c", memory_free_mib=2048)]
    assert best(hosts, SMALL).name == "b"  # type: ignore[union-attr]
    liked = Request(vcpus=1, memory_mib=512, disk_gib=1, liked_hosts={"a": 1})
    assert best(hosts, liked).name == "a"  # type: ignore[union-attr]
    disliked = Request(vcpus=1, memory_mib=512, disk_gib=1, liked_hosts={"b": -1})
    assert best(hosts, disliked).name == "c"  # type: ignore[union-attr]
    assert best([], SMALL) is None


def test_a_refusal_names_hosts_and_counts_the_rest() -> None:
    hosts = [host(f"h{number:02}", memory_free_mib=100) for number in range(14)]
    words = refusal(hosts, SMALL)
    assert "h00: needs 512 MiB of memory, 100 free" in words
    assert "and 4 more (4 for memory)" in words
    assert "no agent has registered" in refusal([], SMALL)


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    store = make_store("bivouac.placement")
    for number in range(3):
        facts = HostFacts(f"host-{number}", 4, 4096, 100, accelerator="sim")
        store.write_now(service.register_host, facts, Compute(), 1000.0)
    return store


def test_claims_and_releases_never_drift(store: Store) -> None:
    def fill(tx: Tx, prefix: str) -> int:
        made = 0
        while True:
            try:
                chosen = service.choose(tx, SMALL, 1001.0)
            except service.NoValidHost:
                return made
            service.claim(tx, f"{prefix}{made}", chosen.id, SMALL, "p", "u", 1001.0)
            made += 1

    assert store.write_now(fill, "c") == 24
    assert store.read_now(service.drift) == []
    store.write_now(lambda tx: [service.release(tx, f"c{number}") for number in range(0, 24, 2)])
    store.write_now(lambda tx: service.release(tx, "c0"))
    assert store.read_now(service.drift) == []
    assert store.write_now(fill, "d") == 12
    assert store.read_now(service.drift) == []


def test_a_claim_replaces_the_one_before(store: Store) -> None:
    big = Request(vcpus=2, memory_mib=2048, disk_gib=1)

    def twice(tx: Tx) -> None:
        chosen = service.choose(tx, SMALL, 1001.0)
        service.claim(tx, "c", chosen.id, SMALL, "p", "u", 1001.0)
        service.claim(tx, "c", chosen.id, big, "p", "u", 1001.0)

    store.write_now(twice)
    assert store.read_now(service.drift) == []
    assert store.read_now(lambda tx: tx.query("SELECT count(*), sum(memory_mib) FROM allocations")) == [(1, 2048)]


def test_a_host_that_says_hello_again_keeps_its_row_and_its_claims(store: Store) -> None:
    store.write_now(lambda tx: service.claim(tx, "c", service.choose(tx, SMALL, 1001.0).id, SMALL, "p", "u", 1001.0))
    before = store.read_now(lambda tx: tx.select(Host, "ORDER BY name"))
    facts = HostFacts("host-0", 8, 8192, 100, accelerator="sim")
    store.write_now(service.register_host, facts, Compute(), 1002.0)
    after = store.read_now(lambda tx: tx.select(Host, "ORDER BY name"))
    assert [one.id for one in after] == [one.id for one in before]
    assert after[0].memory_mib == 8192
    assert store.read_now(service.drift) == []


def test_silent_hosts_get_nothing(store: Store) -> None:
    with pytest.raises(service.NoValidHost, match="host-0: is down; host-1: is down; host-2: is down"):
        store.write_now(service.choose, SMALL, 2000.0)
