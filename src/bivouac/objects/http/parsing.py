"""The grammar of a request's head (RFC 9112), strict: whatever two parsers might read differently is refused, so
nothing can be smuggled."""

from __future__ import annotations

import re

HEAD_LIMIT = 64 * 1024  # bytes: above all metadata a dialect allows
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\r\n")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*\r\n")
_HEADERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*")
_ONCE = (b"content-length", b"transfer-encoding", b"host", b"authorization", b"x-auth-token", b"content-type")


class BadRequest(Exception):
    """The head is not HTTP/1.x; the message says what is wrong."""


class Head:
    """The parsed head: the request line, the headers, and how the body is framed."""

    __slots__ = ("method", "target", "query", "headers", "length", "chunked", "keep_alive", "expects_continue")

    def __init__(self, data: bytes) -> None:
        """`data` ends with the empty line. Raises BadRequest."""
        line = _LINE.match(data)
        if line is None:
            raise BadRequest("malformed request line")
        self.method = line[1].decode("ascii")
        target, _, self.query = line[2].partition(b"?")
        if target[:1] != b"/":
            target = _origin_form(target)
        self.target = target
        end = len(data) - 2
        if _HEADERS.fullmatch(data, line.end(), end) is None:
            raise BadRequest("malformed header")
        headers: dict[bytes, bytes] = {}
        for name, value in _HEADER.findall(data, line.end(), end):
            name = name.lower()
            if name in headers:
                if name in _ONCE:
                    raise BadRequest(f"repeated {name.decode()}")
                value = headers[name] + b"," + value
            headers[name] = value
        self.headers = headers
        self._frame(line[3] == b"1")

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


def _origin_form(target: bytes) -> bytes:
    """From the absolute form that proxies send. `*` stays as it is."""
    if target == b"*":
        return target
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise BadRequest("malformed request target")
    slash = rest.find(b"/")
    return rest[slash:] if slash >= 0 else b"/"
