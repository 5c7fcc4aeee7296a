"""Every side effect that the source names, and every loop, is crashed by some test."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from crash.side_effects import COVERED, sites

from bivouac.app.cloud import build
from bivouac.core.settings import load


def test_every_side_effect_is_crashed_at_by_a_test() -> None:
    named, covered = set(sites().values()), frozenset().union(*COVERED.values())
    assert named - covered == set(), "no crash test: add one, and it to the table in side_effects"
    assert covered - named == set(), "the source no longer has these: take them from the table"


@pytest.mark.parametrize("drivers", ["real", "sim"])
def test_every_loop_marks_what_it_commits(tmp_path: Path, drivers: str) -> None:
    """A write to the database that no side effect stands before could not be crashed at."""
    cloud = build(load(str(tmp_path), {"BIVOUAC_DRIVERS": drivers}))
    loops = [runner.loop for runner in cloud.loops.runners.values()]
    cloud.store.close()
    assert len(loops) >= 9
    for loop in loops:
        source = Path(inspect.getfile(type(loop)))
        for line in unmarked_writes(ast.parse(source.read_text())):
            pytest.fail(f"{source.name}:{line} writes without a side effect before it")


def unmarked_writes(tree: ast.AST) -> list[int]:
    """Lines of statements that write to the store, and do not follow a `side_effect` in their block."""
    found = []
    for node in ast.walk(tree):
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            statements = block if isinstance(block, list) else []
            for before, statement in zip([None, *statements], statements, strict=False):
                marked = before is not None and "side_effect(" in ast.unparse(before)
                if not marked and isinstance(statement, ast.Expr | ast.Assign | ast.Return) and _writes(statement):
                    found.append(statement.lineno)
    return found


def _writes(statement: ast.stmt) -> bool:
    text = ast.unparse(statement)
    return "store.write(" in text or "store.write_now(" in text


def test_an_unmarked_write_would_be_found() -> None:
    marked = "async def step(self):\n    side_effect('x')\n    await self.store.write(rule)\n"
    assert unmarked_writes(ast.parse(marked)) == []
    assert unmarked_writes(ast.parse(marked.replace("side_effect('x')", "pass"))) == [3]
