"""What the door knows of one request before anybody is authenticated: method, address, header fields, body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from bivouac.core.call import Caller
from bivouac.s3.errors import S3Error


class Body(Protocol):
    """The body as it arrives, still in its transfer coding of S3 (aws-chunked), no longer in that of HTTP."""

    @property
    def has_body(self) -> bool: ...
    @property
    def content_length(self) -> int | None: ...
    async def read(self, limit: int) -> bytes: ...
    def read_now(self) -> bytes | None: ...
    def chunks(self) -> AsyncIterator[memoryview]: ...


class Credential(Struct, frozen=True):
    """An EC2 credential of Identity: the secret that signs, and whom it stands for."""

    secret: str
    caller: Caller


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Decoded pairs in order. A `+` is a space, as browsers write it. Bytes that are no UTF-8 survive as surrogates."""
    pairs = []
    for item in query.split(b"&"):
        if item:
            name, _, value = item.partition(b"=")
            pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(text: bytes) -> str:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    if b"%" in text:
        text = unquote_to_bytes(text)
    return text.decode("utf-8", "surrogateescape")


class Request:
    """One request. `headers` have lower-case names, repeated ones joined with a comma; `query` keeps each name's first
    value."""

    __slots__ = ("body", "headers", "method", "pairs", "query", "query_string", "raw_path", "remote", "secure")

    def __init__(
        self,
        method: str,
        raw_path: bytes,
        query_string: bytes,
        headers: dict[str, str],
        body: Body,
        remote: str = "",
        secure: bool = False,
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query_string = query_string
        self.headers = headers
        self.body = body
        self.remote = remote
        self.secure = secure
        self.pairs = parse_query(query_string) if query_string else []
        self.query: dict[str, str] = {}
        for name, value in self.pairs:
            self.query.setdefault(name, value)

    def content_length(self) -> int | None:
        """None: no body, or of a length not known beforehand."""
        if "content-length" in self.headers:
            return self.body.content_length or 0
        return None

    def integer(self, name: str, default: int, low: int = 0, high: int = 2**31 - 1) -> int:
        """A number from the query. Raises InvalidArgument."""
        text = self.query.get(name, "")
        if text == "":
            return default
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise S3Error(
                "InvalidArgument",
                f"Argument {name} must be an integer between {low} and {high}",
                ArgumentName=name,
                ArgumentValue=text,
            )
        return value
