"""The grammar of a request's head (RFC 9112), strict: whatever two parsers might read differently is refused, so
nothing can be smuggled.

Written with what bytes can do by themselves, since each request pays for it: a regular expression over the same head
costs ten times as much. Names of fields are checked once and remembered.
"""

from __future__ import annotations

import re

HEAD_LIMIT = 64 * 1024  # bytes: above all metadata a dialect allows
KNOWN_NAMES = 1024  # field names that are remembered
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = bytes(range(0x21)) + b"\x7f"
_ONCE = frozenset(
    (b"content-length", b"transfer-encoding", b"host", b"authorization", b"x-auth-token", b"content-type")
)
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "COPY")}
_MODERN = {b"HTTP/1.1": True, b"HTTP/1.0": False}
_names: dict[bytes, bytes] = {}


class BadRequest(Exception):
    """The head is not HTTP/1.x; the message says what is wrong."""


class Head:
    """The parsed head: the request line, the headers, and how the body is framed."""

    __slots__ = ("method", "target", "query", "headers", "length", "chunked", "keep_alive", "expects_continue")

    def __init__(self, data: bytes) -> None:
        """`data` ends with the empty line. Raises BadRequest."""
        lines = data[:-4].split(b"\r\n")
        ends = len(lines) + 1
        if data.count(b"\r") != ends or data.count(b"\n") != ends or b"\0" in data:
            raise BadRequest("malformed header")
        modern = self._request_line(lines[0])
        headers: dict[bytes, bytes] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            key = _names.get(name) or _field_name(name)
            if not colon:
                raise BadRequest("malformed header")
            value = value.strip(b" \t")
            if key in headers:
                if key in _ONCE:
                    raise BadRequest(f"repeated {key.decode()}")
                value = headers[key] + b"," + value
            headers[key] = value
        self.headers = headers
        self._frame(modern)

    def _request_line(self, line: bytes) -> bool:
        """Whether it is of HTTP/1.1."""
        parts = line.split(b" ")
        modern = _MODERN.get(parts[-1])
        if len(parts) != 3 or modern is None:
            raise BadRequest("malformed request line")
        method, target, _ = parts
        known = _METHODS.get(method)
        if known is None:
            if _TOKEN.fullmatch(method) is None:
                raise BadRequest("malformed request line")
            known = method.decode("ascii")
        self.method = known
        if not target or len(target.translate(None, _CONTROLS)) != len(target):
            raise BadRequest("malformed request line")
        target, _, self.query = target.partition(b"?")
        self.target = target if target[:1] == b"/" else _origin_form(target)
        return modern

    def _frame(self, modern: bool) -> None:
        headers = self.headers
        self.length: int | None = None
        self.chunked = False
        declared = headers.get(b"content-length")
        if declared is not None:
            if not declared.isdigit() or len(declared) > 18:
                raise BadRequest("invalid Content-Length")
            self.length = int(declared)
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked" or not modern:
                raise BadRequest("unsupported Transfer-Encoding")
            if declared is not None:
                raise BadRequest("both Content-Length and Transfer-Encoding")
            self.chunked = True
        connection = headers.get(b"connection")
        self.keep_alive = modern
        if connection is not None:
            options = connection.lower()
            self.keep_alive = b"close" not in options if modern else b"keep-alive" in options
        self.expects_continue = modern and headers.get(b"expect", b"").lower() == b"100-continue"


def _field_name(name: bytes) -> bytes:
    """The name in lower case. Raises BadRequest."""
    if _TOKEN.fullmatch(name) is None:
        raise BadRequest("malformed header")
    lowered = name.lower()
    if len(_names) < KNOWN_NAMES and len(name) < 64:
        _names[name] = lowered
    return lowered


def _origin_form(target: bytes) -> bytes:
    """From the absolute form that proxies send. `*` stays as it is."""
    if target == b"*":
        return target
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise BadRequest("malformed request target")
    slash = rest.find(b"/")
    return rest[slash:] if slash >= 0 else b"/"
