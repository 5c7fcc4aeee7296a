"""Listing images: what a caller sees, every filter and operator of Glance, sorting by several keys, pages."""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.clock import parse_iso
from bivouac.core.errors import BadRequest
from bivouac.core.store import Page, Tx, select_page
from bivouac.core.store.listing import MarkerNotFound

from ..records import ImageRow

SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
DEFAULT_LIMIT, MAX_LIMIT = 25, 1000
_TEXT = ("name", "id", "status", "container_format", "disk_format")
_EXACT = ("owner", "checksum", "os_hash_algo", "os_hash_value")
_NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "<>"}
_VISIBILITIES = ("community", "public", "private", "shared", "all")
_MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
_LISTED = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",]*)')
_MAX_LISTED = 500


class ImageQuery(Struct, frozen=True):
    """What is asked. `filters` are pairs as they stand in the query string."""

    filters: tuple[tuple[str, str], ...] = ()
    page: Page = Page()


def parse(pairs: Sequence[tuple[str, str]]) -> ImageQuery:
    """The query string as filters, sorting and page. Raises BadRequest."""
    filters, keys, ways = [], [], []
    sort, marker, limit = None, None, DEFAULT_LIMIT
    for name, value in pairs:
        if name == "limit":
            limit = _limit(value)
        elif name == "marker":
            marker = value
        elif name == "sort":
            sort = value
        elif name == "sort_key":
            keys.append(_one_of("sort key", value.strip(), SORT_KEYS))
        elif name == "sort_dir":
            ways.append(_one_of("sort direction", value.strip(), ("asc", "desc")))
        elif name == "changes-since":
            raise BadRequest('The "changes-since" filter is no longer available on v2.')
        else:
            filters.append((name, value))
    order = _sorting(sort, keys, ways)
    return ImageQuery(tuple(filters), Page(sort=order, marker=marker, limit=limit))


def _limit(value: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", value):
        raise BadRequest("limit param must be an integer")
    if value.startswith("-"):
        raise BadRequest("limit param must be positive")
    return min(int(value), MAX_LIMIT)


def _one_of(what: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise BadRequest(f"Invalid {what}: {value}. It must be one of the following: {', '.join(choices)}.")
    return value


def _sorting(sort: str | None, keys: list[str], ways: list[str]) -> tuple[tuple[str, str], ...]:
    if sort is not None:
        if keys or ways:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        for part in sort.strip().split(","):
            key, _, way = part.partition(":")
            keys.append(_one_of("sort key", key.strip(), SORT_KEYS))
            ways.append(_one_of("sort direction", way.strip() or "desc", ("asc", "desc")))
    if len(ways) > 1 and len(ways) != len(keys):
        raise BadRequest("Number of sort dirs does not match the number of sort keys")
    keys = keys or ["created_at"]
    ways = ways or ["desc"]
    if len(ways) < len(keys):
        ways = ways * len(keys)
    order: dict[str, str] = {}
    for key, way in zip(keys, ways, strict=False):
        order.setdefault(key, way)
    return tuple(order.items())


def list_images(tx: Tx, call: Call, query: ImageQuery) -> list[ImageRow]:
    """One page, one statement. Raises BadRequest, Forbidden."""
    call.enforce("get_images", {"project_id": call.project_id or None})
    conditions, args = _conditions(call, query.filters)
    try:
        return select_page(tx, ImageRow, conditions, args, query.page)
    except MarkerNotFound as error:
        raise BadRequest(f"Image {query.page.marker} (the marker) could not be found.") from error


def _conditions(call: Call, filters: Sequence[tuple[str, str]]) -> tuple[list[str], list[Any]]:
    conditions, args = [], []
    given = dict(filters)
    visibility = _one_of("visibility value", given.get("visibility", "all"), _VISIBILITIES)
    member_status = _one_of("status", given.get("member_status", "accepted"), _MEMBER_STATUSES)
    if not call.is_admin:
        shared = "SELECT 1 FROM image_members m WHERE m.image_id = images.id AND m.member_id = ?"
        seen = [call.project_id]
        if member_status != "all":
            shared += " AND m.status = ?"
            seen.append(member_status)
        conditions.append(
            "(images.owner = ? OR images.visibility IN ('public', 'community') OR "
            f"(images.visibility = 'shared' AND EXISTS ({shared})))"
        )
        args += [call.project_id, *seen]
    if "visibility" not in given:
        conditions.append("(images.visibility <> 'community' OR images.owner = ?)")
        args.append(call.project_id)
    elif visibility != "all":
        conditions.append("images.visibility = ?")
        args.append(visibility)
    hidden = _boolean("os_hidden", given.get("os_hidden", "false"))
    conditions.append("images.os_hidden = ?")
    args.append(int(hidden))
    for name, value in filters:
        if name not in ("visibility", "member_status", "os_hidden"):
            condition, values = _filter(name, value)
            conditions.append(condition)
            args += values
    return conditions, args


def _filter(name: str, value: str) -> tuple[str, list[Any]]:
    """The condition of one filter."""
    if name == "tag":
        return _label("tag", value.strip(), None)
    if name == "protected":
        return "images.protected = ?", [int(_boolean("protected", value))]
    if name in _TEXT:
        return _text_filter(name, value)
    if name in ("created_at", "updated_at"):
        return _time_filter(name, value)
    base = name.removesuffix("_min").removesuffix("_max")
    if base in _NUMBERS:
        if not re.fullmatch(r"-?\d{1,18}", value):
            raise BadRequest(f"Unable to filter on a range with a non-numeric value ({name}).")
        comparison = "=" if base == name else ">=" if name.endswith("_min") else "<="
        return f"images.{base} {comparison} ?", [int(value)]
    if name in _EXACT:
        return f"images.{name} = ?", [value]
    return _label("property", name, value)


def _label(kind: str, name: str, value: str | None) -> tuple[str, list[Any]]:
    condition = "SELECT 1 FROM image_labels l WHERE l.image_id = images.id AND l.kind = ? AND l.name = ?"
    if value is None:
        return f"EXISTS ({condition})", [kind, name]
    return f"EXISTS ({condition} AND l.value = ?)", [kind, name, value]


def _text_filter(name: str, value: str) -> tuple[str, list[Any]]:
    operator, colon, rest = value.partition(":")
    if colon and operator == "in":
        listed = _listed(rest)
        return f"images.{name} IN ({', '.join('?' for _ in listed)})", list(listed)
    if colon and operator in ("eq", "neq"):
        return f"images.{name} {_COMPARISONS[operator]} ?", [rest]
    if name == "status" and value == "all":
        return "1 = 1", []
    return f"images.{name} = ?", [value]


def _listed(text: str) -> list[str]:
    """`a,b,"c,d"`. Raises BadRequest."""
    values, rest = [], text.strip()
    while True:
        match = _LISTED.match(rest)
        assert match is not None
        quoted, plain = match.groups()
        values.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip())
        rest = rest[match.end() :].lstrip()
        if not rest:
            return values
        if not rest.startswith(","):
            raise BadRequest(f"Invalid filter value {text}: a comma-separated list, with quotes around commas.")
        if len(values) == _MAX_LISTED:
            raise BadRequest(f"Invalid filter value: at most {_MAX_LISTED} values can be listed.")
        rest = rest[1:].lstrip()


def _time_filter(name: str, value: str) -> tuple[str, list[Any]]:
    """Moments are shown in whole seconds, so they are compared in whole seconds."""
    operator, colon, rest = value.partition(":")
    if not (colon and operator.isalpha()):
        operator, rest = "eq", value
    if operator not in _COMPARISONS:
        raise BadRequest(f"Unable to filter by unknown operator '{operator}'.")
    try:
        moment = int(parse_iso(rest))
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"Invalid time {rest} for {name}: an ISO 8601 moment is wanted.") from error
    column = f"images.{name}"
    if operator == "eq":
        return f"({column} >= ? AND {column} < ?)", [moment, moment + 1]
    if operator == "neq":
        return f"({column} < ? OR {column} >= ?)", [moment, moment + 1]
    if operator in ("gt", "lte"):
        return f"{column} {'>=' if operator == 'gt' else '<'} ?", [moment + 1]
    return f"{column} {_COMPARISONS[operator]} ?", [moment]


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadRequest(f"Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'.")
    return value.lower() == "true"
