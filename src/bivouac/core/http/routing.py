"""Routes, microversions and the trie that finds a route by its path."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct, field

from ..errors import BadRequest, NotAcceptable

PUBLIC = ""
Version = tuple[int, int]


class Route(Struct, kw_only=True):
    """One operation. `path` segments in braces are parameters; `{name:rest}` at the end takes all that follows.

    `body` is a Struct (with `envelope`, the body is `{envelope: Struct}`), decoded strictly; None leaves the body
    unread for `request.stream()` or `request.body_bytes()`. `since` and `until` bound the microversion, both included.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    rule: str
    status: int = 200
    body: Any = None
    envelope: str = ""
    optional_body: bool = False
    since: Version | None = None
    until: Version | None = None
    late: bool = False
    media_types: tuple[str, ...] = ("application/json",)
    max_body_bytes: int = 10 << 20
    decode: Callable[[bytes], Any] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.body is not None:
            wire = self.body
            if self.envelope:
                wire = msgspec.defstruct(
                    f"{self.handler.__name__}_body", [(self.envelope, self.body)], forbid_unknown_fields=True
                )
            self.decode = msgspec.json.Decoder(wire).decode

    def fits(self, version: Version) -> bool:
        return (self.since is None or version >= self.since) and (self.until is None or version <= self.until)


class HasHeader(Protocol):
    """A request, as far as versions need one."""

    def header(self, name: bytes) -> str: ...


class Microversions(Struct, frozen=True):
    """What a service speaks. `service` is the word in `OpenStack-API-Version: compute 2.1`; `legacy_header` is
    Nova's own older header."""

    service: str
    minimum: Version
    maximum: Version
    legacy_header: str = ""

    def negotiate(self, request: HasHeader) -> Version:
        """The version to serve. Raises BadRequest (malformed) and NotAcceptable (outside the range)."""
        asked = ""
        if said := request.header(b"openstack-api-version"):
            for part in said.split(","):
                name, _, version = part.strip().partition(" ")
                if name.lower() == self.service:
                    asked = version.strip()
        if not asked and self.legacy_header:
            asked = request.header(self.legacy_header.lower().encode()).strip()
        if not asked:
            return self.minimum
        if asked == "latest":
            return self.maximum
        major, dot, minor = asked.partition(".")
        if not (dot and major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()) or (
            len(minor) > 1 and minor[0] == "0"
        ):
            raise BadRequest(
                f"API Version String '{asked}' is of invalid format. Must be of format MajorNum.MinorNum."
            )
        version = (int(major), int(minor))
        if not self.minimum <= version <= self.maximum:
            raise NotAcceptable(
                f"Version {asked} is not supported by the API. Minimum is {text(self.minimum)} and maximum is "
                f"{text(self.maximum)}."
            )
        return version

    @lru_cache(maxsize=1000)  # noqa: B019 - one object a service, for as long as the process lives
    def answer_headers(self, version: Version) -> tuple[tuple[str, str], ...]:
        """Headers that say which version was served."""
        said = text(version)
        headers = [("openstack-api-version", f"{self.service} {said}"), ("vary", "OpenStack-API-Version")]
        if self.legacy_header:
            headers += [(self.legacy_header.lower(), said), ("vary", self.legacy_header)]
        return tuple(headers)


def text(version: Version) -> str:
    """`2.90`"""
    return f"{version[0]}.{version[1]}"


class Node:
    """A place in the trie: fixed children, a parameter child, a rest child, and the routes that end here."""

    __slots__ = ("children", "parameter", "rest", "routes")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.rest: Node | None = None
        self.routes: dict[str, list[tuple[Route, tuple[str, ...]]]] = {}


Routes = dict[str, list[tuple[Route, tuple[str, ...]]]]
"""By method: routes with the names of their parameters."""


class Router:
    """All routes of one mount."""

    def __init__(self, routes: list[Route]):
        self._root = Node()
        self._fixed: dict[str, Routes] = {}
        """Of paths without parameters: fixed segments win everywhere, so these need no walk."""
        self.routes = routes
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in _segments(route.path):
            if segment.startswith("{"):
                name, _, kind = segment[1:-1].partition(":")
                names.append(name)
                if kind == "rest":
                    node.rest = node.rest or Node()
                    node = node.rest
                else:
                    node.parameter = node.parameter or Node()
                    node = node.parameter
            else:
                node = node.children.setdefault(segment, Node())
        node.routes.setdefault(route.method, []).append((route, tuple(names)))
        if not names:
            self._fixed["/".join(_segments(route.path))] = node.routes

    def find(self, path: str) -> tuple[Routes, list[str]] | None:
        """(routes by method, decoded values of the parameters) of a path as it was sent, or None. Raises BadRequest
        for a path that is not UTF-8 or holds NUL."""
        path = path.strip("/")
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, []
        segments = path.split("/") if path else []
        if "%" in path or not path.isascii():
            segments = [decode_segment(one.encode("latin-1")) for one in segments]
        return _find(self._root, segments, 0)


def decode_segment(segment: bytes) -> str:
    """A path segment as text. Raises BadRequest for NUL and for what is not UTF-8."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The path is not valid UTF-8.") from error
    if "\0" in text:
        raise BadRequest("The path may not contain NUL.")
    return text


def _find(node: Node, segments: list[str], at: int) -> Any:
    """Fixed segments win over parameters, parameters over the rest."""
    if at == len(segments):
        return (node.routes, []) if node.routes else None
    segment = segments[at]
    if (child := node.children.get(segment)) is not None and (found := _find(child, segments, at + 1)):
        return found
    if node.parameter is not None and segment and (found := _find(node.parameter, segments, at + 1)):
        return found[0], [segment, *found[1]]
    if node.rest is not None:
        return node.rest.routes, ["/".join(segments[at:])]
    return None


def _segments(path: str) -> list[str]:
    return [one for one in path.strip("/").split("/") if one]
