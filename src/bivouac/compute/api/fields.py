"""Types of body fields, decoders of bodies, and the parts of answers that resources share."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import Request, Route
from bivouac.core.ids import is_uuid

MAX_LIMIT = 1000
"""Most things in one page (Nova's `max_limit`)."""
_NAME = r"\A(?!\s)[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(?<!\s)\Z"
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_NAME)]
Description = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x08\x0b-\x1f\x7f]*\Z")]
Uuid = Annotated[str, Meta(pattern=r"\A[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z")]
Tag = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"\A[^,/]*\Z")]
Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9\-_:. ]{1,255}\Z")]
Value = Annotated[str, Meta(max_length=255)]
Metadata = dict[Key, Value]
MAX_INT = 0x7FFFFFFF


class Body(Struct, forbid_unknown_fields=True):
    """Base of bodies: what is not declared is refused."""


def operation(
    method: str, path: str, handler: Callable[..., Any], rule: str, *, body: Any = None, envelope: str = "", **more: Any
) -> Route:
    """A route of compute. Its body takes numbers and booleans as strings too, as Nova's schemas do."""
    route = Route(method=method, path=path, handler=handler, rule=rule, body=body, envelope=envelope, **more)
    if body is not None:
        wire = body
        if envelope:
            wire = msgspec.defstruct(f"{handler.__name__}_body", [(envelope, body)], forbid_unknown_fields=True)
        route.decode = msgspec.json.Decoder(wire, strict=False).decode
    return route


def convert(value: Any, kind: Any) -> Any:
    """Part of a decoded body as a Struct. Raises BadRequest."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input: {error}") from error


def bookmark(request: Request, kind: str, id: str, self_link: bool = True) -> list[dict[str, str]]:
    """The `links` of a thing: its own address and the version-free one."""
    base = request.base_url
    links = [{"rel": "self", "href": f"{base}/{kind}/{id}"}] if self_link else []
    return [*links, {"rel": "bookmark", "href": f"{base.removesuffix('/v2.1')}/{kind}/{id}"}]


class Window(Struct, frozen=True):
    """Which part of a list is asked."""

    limit: int
    marker: str | None
    asked: bool = False
    """Whether a limit was given at all."""


def window(request: Request) -> Window:
    """`limit` and `marker`. Raises BadRequest."""
    text, marker = request.query_value("limit"), request.query_value("marker")
    if text is None:
        return Window(MAX_LIMIT, marker)
    return Window(min(whole_number("limit", text), MAX_LIMIT), marker, True)


def whole_number(name: str, text: str) -> int:
    """A query parameter that is a number from 0. Raises BadRequest."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a whole number.")
    return int(text)


def next_link(request: Request, name: str, ids: list[str], limit: int) -> dict[str, Any]:
    """`{name_links: [...]}` when the page is full, else nothing."""
    if not ids or len(ids) < limit:
        return {}
    pairs = [(key, value) for key, value in request.query if key != "marker"] + [("marker", ids[-1])]
    return {f"{name}_links": [{"rel": "next", "href": f"{request.url}?{urlencode(pairs)}"}]}


def flag(name: str, text: str | None) -> bool | None:
    """A boolean query parameter, as oslo's strict bool_from_string. Raises BadRequest."""
    if text is None:
        return None
    word = text.strip().lower()
    if word in ("1", "t", "true", "on", "y", "yes"):
        return True
    if word in ("0", "f", "false", "off", "n", "no"):
        return False
    raise BadRequest(f"Invalid value '{text}' for {name}: it wants true or false.")


def pick(request: Request, shape: Mapping[str, Any], since: Iterable[tuple[tuple[int, int], str]]) -> dict[str, Any]:
    """The shape without the keys that came after the request's version."""
    hidden = {key for version, key in since if request.version < version}
    return {key: value for key, value in shape.items() if key not in hidden}


def strict_query(request: Request, known: Iterable[str], since: tuple[int, int] = (2, 75)) -> None:
    """From a microversion on, unknown query parameters are refused. Raises BadRequest."""
    if request.version < since:
        return
    unknown = sorted({name for name, _ in request.query} - set(known))
    if unknown:
        raise BadRequest(f"Additional properties are not allowed ({', '.join(unknown)} was unexpected)")


def checked_uuid(kind: str, id: str) -> str:
    """An id that is a UUID; anything else names nothing. Raises NotFound."""
    if not is_uuid(id):
        raise NotFound(f"{kind} {id} could not be found.")
    return id
