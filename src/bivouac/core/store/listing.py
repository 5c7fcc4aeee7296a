"""Pages of a table by key: one statement a page, however deep, and none per row."""

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import Struct

from .row import Row, Shape, shape
from .tx import Tx

R = TypeVar("R", bound=Row)


class Page(Struct, frozen=True):
    """What part of a list is asked: `sort` is (column, "asc" or "desc") pairs, `marker` the key of the last row of
    the page before, `limit` the most rows to return (None: all)."""

    sort: tuple[tuple[str, str], ...] = ()
    marker: str | None = None
    limit: int | None = None
    reverse: bool = False


class MarkerNotFound(Exception):
    """The marker names no row (of this table)."""


def select_page(
    tx: Tx, row_class: type[R], conditions: Sequence[str], args: Sequence[Any], page: Page, join: str = ""
) -> list[R]:
    """Rows that meet all `conditions`, sorted with the key as the last tie-break, after the marker.

    Nulls sort before everything. Raises MarkerNotFound. Columns in `page.sort` must be the table's own: the caller
    has checked them.
    """
    clause, args = page_clause(tx, row_class, conditions, args, page)
    rows = tx.select(row_class, f"{join} {clause}", *args)
    return rows[::-1] if page.reverse else rows


def page_clause(
    tx: Tx, row_class: type[Row], conditions: Sequence[str], args: Sequence[Any], page: Page
) -> tuple[str, list[Any]]:
    """WHERE, ORDER BY and LIMIT of a page with their arguments, for statements that want other columns than a row's.
    A reversed page comes backwards. Raises MarkerNotFound."""
    known = shape(row_class)
    order = [(column, way) for column, way in page.sort if column in known.column_set]
    order += [(column, order[-1][1] if order else "asc") for column in known.key if column not in dict(order)]
    if page.reverse:
        order = [(column, "asc" if way == "desc" else "desc") for column, way in order]
    conditions, args = list(conditions), list(args)
    if page.marker is not None:
        marker = tx.get(row_class, page.marker)
        if marker is None:
            raise MarkerNotFound(page.marker)
        text, values = _after(known.table, order, [known.dump(column, getattr(marker, column)) for column, _ in order])
        conditions.append(text)
        args += values
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    keys = ", ".join(_sort_key(known, column, way) for column, way in order)
    limit = f"LIMIT {int(page.limit)}" if page.limit is not None else ""
    return f"{where} ORDER BY {keys} {limit}", args


def _sort_key(known: Shape, column: str, way: str) -> str:
    """Nulls first on both engines, which differ by themselves. What is never null sorts by the bare column, which an
    index may serve."""
    name = f"{known.table}.{column}"
    return f"({name} IS NOT NULL) {way}, {name} {way}" if column in known.nullable else f"{name} {way}"


def _after(table: str, order: Sequence[tuple[str, str]], values: Sequence[Any]) -> tuple[str, list[Any]]:
    """`(a, b) > (x, y)` written out, since directions may differ and values may be null."""
    choices, args, equal, equal_args = [], [], [], []
    for (column, way), value in zip(order, values, strict=True):
        name = f"{table}.{column}"
        if value is None:
            if way == "asc":
                choices.append(" AND ".join([*equal, f"{name} IS NOT NULL"]))
                args += equal_args
            equal.append(f"{name} IS NULL")
            continue
        step = f"{name} > ?" if way == "asc" else f"({name} < ? OR {name} IS NULL)"
        choices.append(" AND ".join([*equal, step]))
        args += [*equal_args, value]
        equal.append(f"{name} = ?")
        equal_args.append(value)
    return ("(" + " OR ".join(f"({one})" for one in choices) + ")" if choices else "(1 = 0)"), args
