"""The store on both engines: rows, transactions, changes, bells, pages."""

import asyncio
import threading
from collections.abc import Callable
from typing import ClassVar

import pytest

from bivouac.core.errors import Unavailable
from bivouac.core.store import Duplicate, Page, Row, Stale, Store, Tx, select_page


class Thing(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "things"
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret"})
    id: str
    name: str = ""
    size: int | None = None
    weight: float = 0.0
    flag: bool = False
    tags: list[str] = []
    document: dict[str, int] | None = None
    secret: str = ""
    data: bytes | None = None


class Counted(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "counted"
    COUNTED: ClassVar[str] = "revision"
    id: str
    name: str
    revision: int = 1


TABLE = """CREATE TABLE things (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, size BIGINT, weight DOUBLE PRECISION,
flag BIGINT, tags TEXT, document TEXT, secret TEXT, data BYTEA)"""


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    store = make_store()
    store.engine.script([TABLE])
    return store


def add(tx: Tx, *things: Thing) -> None:
    for thing in things:
        tx.insert(thing)


def test_a_row_comes_back_as_it_was_put_in(store: Store) -> None:
    thing = Thing(id="1", name="ä%?", size=2**40, weight=0.5, flag=True, tags=["a", "b"], document={"x": 1},
                  secret="s", data=b"\0\xff")  # fmt: skip
    store.write_now(add, thing, Thing(id="2", name="plain"))
    assert store.read_now(lambda tx: tx.get(Thing, "1")) == thing
    assert store.read_now(lambda tx: tx.get(Thing, "2")) == Thing(id="2", name="plain")
    assert store.read_now(lambda tx: tx.get(Thing, "3")) is None


def test_changes_hold_before_and_after_and_no_secret(store: Store) -> None:
    store.write_now(add, Thing(id="1", name="a", secret="hush"))
    store.write_now(lambda tx: tx.update(tx.get(Thing, "1"), name="b", secret="still"))
    store.write_now(lambda tx: tx.update(tx.get(Thing, "1"), name="b"))
    store.write_now(lambda tx: tx.delete(tx.get(Thing, "1")))
    lines = store.read_now(lambda tx: tx.query("SELECT resource, resource_key, before, after FROM changes ORDER BY 1"))
    assert [line[:2] for line in lines] == [("things", "1")] * 3
    assert lines[1][2:] == ('{"name":"a","secret":"***"}', '{"name":"b","secret":"***"}')
    assert lines[2][3] is None
    assert "hush" not in str(lines) and "still" not in str(lines)


def test_a_failing_rule_leaves_nothing_and_hurts_no_other(store: Store) -> None:
    store.write_now(add, Thing(id="1", name="a"))

    async def both() -> list[object]:
        good = store.write(add, Thing(id="2", name="b"))
        bad = store.write(add, Thing(id="3", name="c"), Thing(id="4", name="a"))
        return await asyncio.gather(good, bad, return_exceptions=True)

    assert isinstance(asyncio.run(both())[1], Duplicate)
    assert store.read_now(lambda tx: [row.id for row in tx.select(Thing, "ORDER BY id")]) == ["1", "2"]


def test_a_plan_answers_and_changes_nothing(store: Store) -> None:
    heard: list[tuple[str, str]] = []
    store.on_bell(lambda loop, key: heard.append((loop, key)))

    def rule(tx: Tx) -> int:
        tx.insert(Thing(id="1", name="a"))
        tx.ring("loop", "1")
        return tx.count(Thing)

    assert store.write_now(rule, plan=True) == 1
    assert store.read_now(lambda tx: tx.count(Thing)) == 0
    assert heard == []


def test_update_of_a_row_that_is_gone_is_stale(store: Store) -> None:
    with pytest.raises(Stale):
        store.write_now(lambda tx: tx.update(Thing(id="1", name="a"), name="b"))


def test_bells_ring_after_the_commit(store: Store) -> None:
    heard: list[tuple[str, str, int]] = []
    import threading

    rang = threading.Event()

    def listen(loop: str, key: str) -> None:
        heard.append((loop, key, store.read_now(lambda tx: tx.count(Thing))))
        rang.set()

    store.on_bell(listen)

    def rule(tx: Tx) -> None:
        tx.insert(Thing(id="1", name="a"))
        tx.ring("servers", "1")
        tx.ring("servers", "1")

    store.write_now(rule)
    assert rang.is_set(), "bells of this process ring before the writer has its answer"
    store.write_now(lambda tx: tx.ring("end"))
    assert heard == [("servers", "1", 1), ("end", "", 1)]


def test_counters_under_contention_lose_nothing(store: Store) -> None:
    store.write_now(add, Thing(id="1", name="a", size=0))

    def step(tx: Tx) -> None:
        thing = tx.get(Thing, "1")
        assert thing is not None and thing.size is not None
        tx.update(thing, size=thing.size + 1)

    async def many() -> None:
        await asyncio.gather(*(store.write(step) for _ in range(40)))

    asyncio.run(many())
    assert store.read_now(lambda tx: tx.get(Thing, "1").size) == 40


@pytest.mark.parametrize("sort", [(), (("size", "asc"),), (("size", "desc"), ("name", "asc")), (("name", "desc"),)])
@pytest.mark.parametrize("reverse", [False, True])
def test_pages_cover_everything_once_and_in_order(store: Store, sort: tuple, reverse: bool) -> None:
    sizes = [3, None, 1, 1, None, 2, 3]
    store.write_now(add, *(Thing(id=str(i), name=f"n{9 - i}", size=size) for i, size in enumerate(sizes)))

    def page(tx: Tx, marker: str | None, limit: int | None) -> list[str]:
        found = select_page(tx, Thing, ["things.weight = ?"], [0.0], Page(sort, marker, limit, reverse))
        return [row.id for row in found]

    everything = store.read_now(page, None, None)
    assert sorted(everything) == [str(i) for i in range(len(sizes))]
    pages: list[str] = []
    while True:
        got = store.read_now(page, (pages[0] if reverse else pages[-1]) if pages else None, 2)
        if not got:
            break
        pages = got + pages if reverse else pages + got
    assert pages == everything


class Pair(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "pairs"
    KEY: ClassVar[tuple[str, ...]] = ("name", "flag")
    name: str
    flag: bool
    size: int = 0


def test_a_key_may_have_a_boolean(store: Store) -> None:
    store.engine.script(["CREATE TABLE pairs (name TEXT, flag BIGINT, size BIGINT, PRIMARY KEY (name, flag))"])
    store.write_now(lambda tx: [tx.insert(Pair(name="a", flag=flag)) for flag in (True, False)])
    store.write_now(lambda tx: tx.upsert(Pair(name="a", flag=True, size=1)))
    store.write_now(lambda tx: tx.delete(Pair(name="a", flag=False)))
    assert store.read_now(lambda tx: tx.select(Pair)) == [Pair(name="a", flag=True, size=1)]


def test_a_write_that_nobody_waits_for_any_more_hurts_no_other(store: Store) -> None:
    """Cancelled before its turn, it is left out; cancelled in the middle, it is done all the same."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        begun.set()
        assert go_on.wait(20)
        tx.insert(Thing(id="slow", name="slow"))

    async def main() -> None:
        under_way = asyncio.create_task(store.write(slow))
        assert await asyncio.to_thread(begun.wait, 20)
        tasks = [asyncio.create_task(store.write(add, Thing(id=f"{n}", name=f"{n}"))) for n in range(100)]
        await asyncio.sleep(0)
        for task in (under_way, *tasks[::2]):
            task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*tasks[1::2])

    asyncio.run(main())
    found = {row[0] for row in store.read_now(lambda tx: tx.query("SELECT id FROM things"))}
    assert {"slow", *(f"{n}" for n in range(1, 100, 2))} <= found
    store.write_now(add, Thing(id="after", name="after"))


def test_a_counted_column_names_each_state_of_a_row(store: Store) -> None:
    store.engine.script(["CREATE TABLE counted (id TEXT PRIMARY KEY, name TEXT NOT NULL, revision BIGINT NOT NULL)"])
    store.write_now(lambda tx: tx.insert(Counted(id="1", name="a")))
    assert store.write_now(lambda tx: tx.update(tx.get(Counted, "1"), name="b")).revision == 2
    assert store.write_now(lambda tx: tx.update(tx.get(Counted, "1"), name="b")).revision == 2
    store.write_now(lambda tx: tx.update_where(Counted, "name = ?", ["b"], name="c"))
    store.write_now(lambda tx: tx.upsert(Counted(id="1", name="d", revision=0)))
    store.write_now(lambda tx: tx.update(tx.get(Counted, "1"), name="e"), plan=True)
    assert store.read_now(lambda tx: tx.get(Counted, "1")) == Counted(id="1", name="d", revision=4)


def test_a_full_disk_is_said_in_words_and_nothing_is_half_done(make_store: Callable[..., Store]) -> None:
    store = make_store()
    if store.engine.name != "sqlite":
        pytest.skip("PostgreSQL's disk is its own")
    store.engine.script([TABLE])
    store.write_now(add, Thing(id="1", name="one"))
    pages = store.read_now(lambda tx: tx.value("PRAGMA page_count"))
    store.engine.script([f"PRAGMA max_page_count={pages + 3}"])
    with pytest.raises(Unavailable, match="disk of the cloud's database is full"):
        store.write_now(add, Thing(id="2", name="two", data=bytes(1 << 20)))

    async def several() -> list[Thing | BaseException | None]:
        work = [store.write(add, Thing(id=str(number), name=str(number), data=bytes(9000))) for number in range(3, 9)]
        return await asyncio.gather(*work, return_exceptions=True)

    answers = asyncio.run(several())
    assert {type(answer) for answer in answers} <= {type(None), Unavailable} and Unavailable in map(type, answers)
    kept = {str(number) for number, answer in enumerate(answers, 3) if answer is None}
    store.engine.script(["PRAGMA max_page_count=1000000"])
    store.write_now(add, Thing(id="9", name="nine"))
    assert {row[0] for row in store.read_now(lambda tx: tx.query("SELECT id FROM things"))} == {"1", "9", *kept}
