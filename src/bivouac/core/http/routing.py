"""Routes, microversions and the trie that finds a route by its path."""

from collections.abc import Callable
from typing import Any, Protocol

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

    def answer_headers(self, version: Version) -> list[tuple[bytes, bytes]]:
        """Headers that say which version was served."""
        said = text(version).encode()
        headers = [(b"openstack-api-version", self.service.encode() + b" " + said), (b"vary", b"OpenStack-API-Version")]
        if self.legacy_header:
            headers += [(self.legacy_header.lower().encode(), said), (b"vary", self.legacy_header.encode())]
        return headers


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


class Router:
    """All routes of one mount."""

    def __init__(self, routes: list[Route]):
        self._root = Node()
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

    def find(self, segments: list[str]) -> tuple[dict[str, list[tuple[Route, tuple[str, ...]]]], list[str]] | None:
        """(routes by method, values of the parameters) of a path's decoded segments, or None."""
        return _find(self._root, segments, 0)


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
