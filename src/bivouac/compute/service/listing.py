"""Lists of servers: what narrows them and in which order they come, as one SQL clause."""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest
from bivouac.core.store import Page, Tx
from bivouac.core.store.listing import MarkerNotFound, page_clause
from bivouac.network import for_compute as network_service

from ..records import Server
from ..states import pairs_of_status

MAX_REPEATS = 2
"""Most unbounded repetitions in a name pattern: more could take minutes to match."""


class Filters(Struct, frozen=True):
    """What a list of servers is narrowed to. Conditions are ready SQL over `servers`; patterns need Python."""

    conditions: tuple[str, ...] = ()
    args: tuple[Any, ...] = ()
    name: str = ""
    ip: str = ""
    ip6: str = ""
    statuses: tuple[str, ...] = ()
    host_id: str = ""


def list_servers(tx: Tx, call: Call, filters: Filters, page: Page) -> list[tuple[str, str]]:
    """Ids and names of a page of servers. Raises BadRequest (marker, pattern)."""
    clause, args = list_clause(tx, call, filters, page)
    return tx.query(f"SELECT servers.id, servers.name FROM servers {clause}", *args)  # type: ignore[return-value]


def list_clause(tx: Tx, call: Call, filters: Filters, page: Page) -> tuple[str, list[Any]]:
    """What follows FROM servers, with its arguments, to select a page. Raises BadRequest (marker, pattern)."""
    conditions, args = list(filters.conditions), list(filters.args)
    if filters.statuses:
        pairs = sorted({pair for status in filters.statuses for pair in pairs_of_status(status)})
        text, values = _status_condition(pairs) if pairs else ("1 = 0", [])
        conditions.append(text)
        args += values
    if filters.name:
        text, values = _name_condition(tx, filters.name, conditions, args)
        conditions.append(text)
        args += values
    for version, pattern in ((4, filters.ip), (6, filters.ip6)):
        if pattern:
            compiled_pattern(pattern)
            project_id = "" if call.is_admin else call.project_id
            ids = network_service.servers_with_address(tx, version, pattern, project_id)  # type: ignore[arg-type]
            conditions.append(within("servers.id", ids))
            args += ids
    try:
        return page_clause(tx, Server, conditions, args, page)
    except MarkerNotFound as error:
        raise BadRequest(f"marker [{page.marker}] not found") from error


def _status_condition(pairs: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """(phase, task) pairs as SQL, where a task counts only while it is under way."""
    task = "CASE WHEN servers.observed_generation < servers.generation THEN servers.task ELSE '' END"
    by_phase: dict[str, list[str]] = {}
    for phase, name in pairs:
        by_phase.setdefault(phase, []).append(name)
    choices, args = [], []
    for phase, tasks in by_phase.items():
        choices.append(f"(servers.phase = ? AND {within(task, tasks)})")
        args += [phase, *tasks]
    return f"({' OR '.join(choices)})", args


def within(column: str, values: Sequence[Any]) -> str:
    """`column IN (?, ...)`, also where there are no values."""
    return f"{column} IN ({', '.join('?' for _ in values)})" if values else "1 = 0"


def _name_condition(tx: Tx, pattern: str, conditions: list[str], args: list[Any]) -> tuple[str, list[Any]]:
    """Nova's `name` is a regular expression, most often plain text: then it is a search for a part of the name."""
    if re.fullmatch(r"[\w \-@:/]*", pattern):
        escaped = re.sub(r"([\\%_])", r"\\\1", pattern.lower())
        return "lower(servers.name) LIKE ? ESCAPE '\\'", [f"%{escaped}%"]
    matches = compiled_pattern(pattern)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    names = tx.query(f"SELECT servers.id, servers.name FROM servers {where}", *args)
    ids = [id for id, name in names if matches.search(name)]
    return within("servers.id", ids), ids


def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression that cannot run away: bounded length, no repeated groups. Raises BadRequest."""
    repeats = len(re.findall(r"(?<!\\)[*+{]", pattern))
    if len(pattern) > 255 or repeats > MAX_REPEATS or re.search(r"(?<!\\)\)[*+{?]", pattern) or "(?" in pattern:
        raise BadRequest(f"The pattern '{pattern}' repeats too much: at most {MAX_REPEATS} of * + {{}} and no groups.")
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise BadRequest(f"The pattern '{pattern}' is not a regular expression: {error}") from error
