"""The memory of what was proven: dropped by bells, never kept when older than the last bell; and the upkeep."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from bivouac.core.clock import ManualClock
from bivouac.core.settings import Settings
from bivouac.core.store import Store, Tx
from bivouac.identity import memory as memories
from bivouac.identity import revocation
from bivouac.identity.identity import Identity
from bivouac.identity.loops import Upkeep
from bivouac.identity.memory import Memory
from bivouac.identity.records import RevocationEvent, TokenKey


class Value(Struct, frozen=True):
    name: str
    subjects: tuple[str, ...] = ("u",)


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store("bivouac.identity")


@pytest.fixture
def memory(store: Store) -> Memory:
    return Memory(store, ManualClock(0.0))


def kept(memory: Memory) -> list[str]:
    return [name for _, name in memory.remembered()]


def keep(memory: Memory, name: str, *subjects: str) -> None:
    memory.keep(("token", name), Value(name, subjects), 100.0, memory.generation)


def test_a_bell_drops_what_depends_on_its_subject_before_the_writer_is_answered(store: Store, memory: Memory) -> None:
    for name, subjects in (("a", ("u", "p")), ("b", ("v", "p")), ("c", ("w",))):
        keep(memory, name, *subjects)
    store.write_now(lambda tx: revocation.forget(tx, "u", "", None))
    assert kept(memory) == ["b", "c"]
    store.write_now(lambda tx: revocation.forget(tx, "p"))
    assert kept(memory) == ["c"]
    store.write_now(lambda tx: revocation.forget(tx, "w"), plan=True)
    assert kept(memory) == ["c"], "a plan changes nothing"
    store.write_now(revocation.forget_everything)
    assert kept(memory) == []


def test_what_was_read_before_a_bell_is_not_kept(store: Store, memory: Memory) -> None:
    def rule(tx: Tx) -> Value:
        bell_during_read()
        return Value("old")

    def bell_during_read() -> None:
        store.write_now(lambda tx: revocation.forget(tx, "other"))

    assert asyncio.run(memory.read(("token", "x"), 100.0, rule)).name == "old"
    assert kept(memory) == []


def test_time_capacity_and_values_that_depend_on_nothing(
    store: Store, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(memory, "a", "u")
    assert memory.get(("token", "a"), memories.RECHECK_S - 0.1) is not None
    assert memory.get(("token", "a"), memories.RECHECK_S) is None
    assert memory.get(("user", "a"), 0.0) is None, "of another kind"
    keep(memory, "nobody")
    monkeypatch.setattr(memories, "CAPACITY", 2)
    keep(memory, "b", "u")
    keep(memory, "c", "u")
    assert kept(memory) == ["b", "c"], "the oldest goes; what depends on nothing was never kept"
    memory.drop(("token", "b"))
    store.write_now(lambda tx: revocation.forget(tx, "u"))
    assert memory._by_subject == {}


def test_upkeep_run_twice_does_nothing_twice(store: Store, tmp_path: Path) -> None:
    clock = ManualClock(1_000_000.0)
    loop = Upkeep(Identity(store, clock, Settings(state=str(tmp_path))))

    def step() -> tuple[int, int]:
        for key in asyncio.run(loop.due()) * 2:
            assert asyncio.run(loop.step(key)) is None
        return store.read_now(lambda tx: (tx.count(TokenKey), tx.count(RevocationEvent)))

    assert step() == (1, 0)
    store.write_now(lambda tx: revocation.revoke(tx, clock.now(), audit_id="a"))
    clock.advance(3600)
    assert step() == (1, 1), "a token of that time may still live"
    clock.advance(90_000)
    assert step() == (2, 0)
    clock.advance(90_000)
    assert step() == (2, 0)
