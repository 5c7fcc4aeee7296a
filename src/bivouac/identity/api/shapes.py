"""Bodies in and out: decoding with free extra attributes, links, lists with filters and pages.

Keystone's resources take any further attribute and give it back; it is kept as `extra`. Filters of lists compare
exactly, or by `name__contains`, `__startswith`, `__endswith` and their case-blind forms with an `i` in front.
Source: Identity API v3, "Identity API Operations", sections on extra attributes, links, filtering and list limits.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct

from ...core.errors import BadRequest
from ...core.http import Request
from ...core.store import Page, Row
from ..service.filters import Filters, parse_bool

S = TypeVar("S", bound=Struct)

Name64 = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]
Name255 = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
Id64 = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-_]+$")]
Text = str
LONGEST_LIMIT = 18
"""Digits of a number that every engine takes."""


def decode(struct: type[S], body: dict[str, Any]) -> tuple[S, dict[str, Any]]:
    """The body's known fields, and all others; names lose the blanks around them. Raises BadRequest."""
    if isinstance(name := body.get("name"), str):
        body = {**body, "name": name.strip()}
    try:
        known = msgspec.convert(body, struct)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input: {error}") from error
    names = set(struct.__struct_encode_fields__)
    return known, {key: value for key, value in body.items() if key not in names and key not in ("links", "id")}


def changes(patch: Struct) -> dict[str, Any]:
    """The fields that a PATCH body really held."""
    return {name: value for name in patch.__struct_fields__ if (value := getattr(patch, name)) is not UNSET}


def patch(
    struct: type[Struct], body: dict[str, Any], resource_id: str, *, may_be_empty: bool = False
) -> dict[str, Any]:
    """What a PATCH body changes, known fields and further attributes. Raises BadRequest: also for a body without
    anything in it, which Keystone takes for projects only, and for one with another id."""
    if not body and not may_be_empty:
        raise BadRequest("Invalid input: nothing to change, the body is empty.")
    if body.get("id", resource_id) != resource_id:
        raise BadRequest("Cannot change the id of a resource.")
    known, extra = decode(struct, body)
    return {**changes(known), **extra}


def self_link(request: Request, path: str) -> dict[str, str]:
    """`links` of one resource; `path` begins after `/v3/`."""
    return {"self": f"{request.base_url}/v3/{path}"}


def filters(request: Request, texts: Iterable[str] = (), flags: Iterable[str] = ()) -> Filters:
    """The query's filters on these columns. Raises BadRequest."""
    return Filters.parse(request.query, frozenset(texts), frozenset(flags))


def page(request: Request, sort: tuple[str, ...] = ()) -> Page:
    """`limit` and `marker`, one row more than asked, to know whether there is a next page. Raises BadRequest."""
    limit = None
    if (text := request.query_value("limit")) is not None:
        if not text.isascii() or not text.isdigit() or len(text) > LONGEST_LIMIT:
            raise BadRequest(f"limit must be a whole number, 0 or more, of at most {LONGEST_LIMIT} digits.")
        limit = int(text) or None
    return Page(
        tuple((column, "asc") for column in sort), request.query_value("marker"), limit + 1 if limit else None
    )


R = TypeVar("R", bound=Row)


def listing(
    request: Request, key: str, rows: list[R], shape: Callable[[R], dict[str, Any]], asked: Page | None = None
) -> dict[str, Any]:
    """A collection with its links; `next` when the page is full and there is more."""
    following = None
    if asked is not None and asked.limit is not None and len(rows) >= asked.limit:
        rows = rows[: asked.limit - 1]
        query = [(name, value) for name, value in request.query if name != "marker"]
        query.append(("marker", str(getattr(rows[-1], "id", ""))))
        following = request.url + "?" + _query(query)
    found = collection(request, key, [shape(row) for row in rows])
    if following is not None:
        found["links"]["next"] = following
        found["truncated"] = True
    return found


def collection(request: Request, key: str, items: list[Any]) -> dict[str, Any]:
    """A collection of things that are shaped already."""
    return {key: items, "links": {"self": _self(request), "previous": None, "next": None}}


def _self(request: Request) -> str:
    raw = request.message.query.decode("latin-1")
    return f"{request.url}?{raw}" if raw else request.url


def _query(pairs: list[tuple[str, str]]) -> str:
    from urllib.parse import urlencode  # noqa: PLC0415 - only for the rare full page

    return urlencode(pairs)


def flag(request: Request, name: str) -> bool:
    """A boolean of the query: `?name`, `?name=1`, `?name=true`; absent, `0` and `false` are False."""
    text = request.query_value(name)
    return text is not None and parse_bool(text)
