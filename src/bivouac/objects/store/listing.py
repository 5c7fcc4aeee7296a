"""Listings: one range scan per page. Names that share a prefix up to a delimiter are skipped by seeking past them,
so a page costs the same
in a container of any size.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any

import apsw

from bivouac.objects.store import rows
from bivouac.objects.store.interface import Container, ContainerEntry, Listing, ObjectEntry, Page
from bivouac.objects.store.schema import OBJECT_COLUMNS

SKIP = 8  # rows stepped over before a seek is cheaper
Row = tuple[Any, ...]
# (lower bound, inclusive, upper bound, inclusive, reverse) -> rows whose second column is the name
Scan = Callable[[str, bool, str | None, bool, bool], Iterator[Row]]
Bounds = tuple[str, bool, str | None, bool]


def successor(text: str) -> str | None:
    """The least string above all that begin with `text` (in UTF-8 order, which is code point order). None: there is
    no such."""
    while text:
        last = ord(text[-1])
        if last < 0x10FFFF:
            following = 0xE000 if last == 0xD7FF else last + 1
            return text[:-1] + chr(following)
        text = text[:-1]
    return None


def _bounds(listing: Listing, include_marker: bool = False) -> Bounds:
    """Between which names the listing begins and ends: lower, inclusive, upper (None: no end), inclusive."""
    lower, lower_inclusive = listing.prefix, True
    upper, upper_inclusive = successor(listing.prefix) if listing.prefix else None, False
    low_marker, high_marker = listing.marker, listing.end_marker
    if listing.reverse:
        low_marker, high_marker = high_marker, low_marker
    if low_marker and low_marker >= lower:
        lower, lower_inclusive = low_marker, include_marker and not listing.reverse
    if high_marker and (upper is None or high_marker <= upper):
        upper, upper_inclusive = high_marker, include_marker and listing.reverse
    return lower, lower_inclusive, upper, upper_inclusive


def walk(scan: Scan, listing: Listing, include_marker: bool = False) -> Iterator[Row | str]:
    """Rows in order, and for what a delimiter rolls up the common prefix as a string."""
    lower, lower_inclusive, upper, upper_inclusive = _bounds(listing, include_marker)
    start = len(listing.prefix)
    while True:
        rolled = None
        skipped = 0
        again = False
        for row in scan(lower, lower_inclusive, upper, upper_inclusive, listing.reverse):
            name = row[1]
            if rolled is not None:
                if name.startswith(rolled):
                    skipped += 1
                    if skipped < SKIP:
                        continue
                    again = True
                    break
                rolled, skipped = None, 0
            if listing.delimiter:
                end = name.find(listing.delimiter, start)
                if end >= 0:
                    rolled = name[: end + len(listing.delimiter)]
                    if rolled != listing.marker:
                        yield rolled
                    continue
            yield row
        if not again or rolled is None:
            return
        if listing.reverse:
            upper, upper_inclusive = rolled, False
        else:
            beyond = successor(rolled)
            if beyond is None:
                return
            lower, lower_inclusive = beyond, True


def _scan(
    connection: apsw.Connection, columns: str, table: str, owner: str, key: Any, order: str, limit: int = -1
) -> Scan:
    """`limit` of -1 is none."""

    def scan(
        lower: str, lower_inclusive: bool, upper: str | None, upper_inclusive: bool, reverse: bool
    ) -> Iterator[Row]:
        where, values = f"{owner} = ?", [key]
        if lower:
            where += f" AND name {'>=' if lower_inclusive else '>'} ?"
            values.append(lower)
        if upper is not None:
            where += f" AND name {'<=' if upper_inclusive else '<'} ?"
            values.append(upper)
        return connection.execute(
            f"SELECT {columns} FROM {table} WHERE {where} ORDER BY {order.format('DESC' if reverse else '')} LIMIT ?",
            (*values, limit),
        )

    return scan


def _page(items: Iterator[Any], limit: int, entry: Callable[[Any], ObjectEntry]) -> Page:
    entries: list[ObjectEntry] = []
    for item in items:
        if len(entries) >= limit:
            return Page(entries, True)
        entries.append(ObjectEntry(item, prefix=True) if isinstance(item, str) else entry(item))
    return Page(entries, False)


def list_objects(connection: apsw.Connection, container: Container, listing: Listing) -> Page:
    if listing.limit <= 0:
        return Page([], False)
    if not listing.delimiter:  # nothing to skip: one statement gives the page
        scan = _scan(connection, OBJECT_COLUMNS, "objects", "container_id", container.id, "name {}", listing.limit + 1)
        found = list(scan(*_bounds(listing), listing.reverse))
        return Page(rows.object_entries(found[: listing.limit]), len(found) > listing.limit)
    scan = _scan(connection, OBJECT_COLUMNS, "objects", "container_id", container.id, "name {}")
    return _page(walk(scan, listing), listing.limit, rows.object_entry)


def list_versions(connection: apsw.Connection, container: Container, listing: Listing) -> Page:
    """Current and older versions, merged: names ascending, newest first within a name; or all of it the other way
    round."""
    if listing.limit <= 0:
        return Page([], False)
    scan_current = _scan(connection, f"{OBJECT_COLUMNS}, 1", "objects", "container_id", container.id, "name {}")
    order = f"name {{}}, version {'' if listing.reverse else 'DESC'}"
    scan_older = _scan(connection, f"{OBJECT_COLUMNS}, 0", "versions", "container_id", container.id, order)

    def scan(*bounds: Any) -> Iterator[Row]:
        pair = (scan_current(*bounds), scan_older(*bounds))
        if bounds[4]:
            return heapq.merge(*pair, key=lambda row: (_Descending(row[1]), row[2]))
        return heapq.merge(*pair, key=lambda row: (row[1], -row[2]))

    items = walk(scan, listing, include_marker=listing.version_marker is not None)
    before = None
    if listing.version_marker is not None:
        items, before = _after(items, listing.marker, listing.version_marker, listing.reverse), listing.marker
    told = _tell_latest_reversed(items) if listing.reverse else _tell_latest(items, before)
    return _page(told, listing.limit, lambda pair: rows.object_entry(pair[0], pair[1]))


class _Descending(str):
    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _after(items: Iterator[Row | str], name: str, version: int, reverse: bool) -> Iterator[Row | str]:
    for item in items:
        if isinstance(item, str) or item[1] != name or (item[2] > version if reverse else item[2] < version):
            yield item


def _tell_latest_reversed(items: Iterator[Row | str]) -> Iterator[Any]:
    """As `_tell_latest`, where the latest of a name comes last."""
    held: Row | None = None
    for item in items:
        if held is not None:
            yield held, isinstance(item, str) or item[1] != held[1]
        held = None
        if isinstance(item, str):
            yield item
        else:
            held = item
    if held is not None:
        yield held, True


def _tell_latest(items: Iterator[Row | str], before: str | None) -> Iterator[Any]:
    """Rows become (row, is it the latest of its name); the latest may be a delete marker. `before` is the name
    already begun."""
    for item in items:
        if isinstance(item, str):
            yield item
        else:
            yield item, item[1] != before
            before = item[1]


def list_containers(connection: apsw.Connection, account: str, listing: Listing) -> list[ContainerEntry]:
    columns = (
        "containers.id, name, coalesce(objects, 0), coalesce(bytes, 0) + coalesce(older_bytes, 0),"
        " created, modified, policy"
    )
    table = "containers LEFT JOIN container_usage ON container_id = containers.id"
    scan = _scan(connection, columns, table, "account", account, "name {}")
    found: list[ContainerEntry] = []
    for item in walk(scan, listing):
        if len(found) >= listing.limit:
            break
        if isinstance(item, str):
            found.append(ContainerEntry(item, -1, 0, 0, 0, ""))
        else:
            found.append(ContainerEntry(*item[1:]))
    return found
