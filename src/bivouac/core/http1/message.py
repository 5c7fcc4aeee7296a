"""What a front door sees of HTTP: a request, and the answer it gives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bivouac.core.http1.body import Body


class FileRange(Protocol):
    """Bytes of an open file, for sendfile. Close it when done (`with` does)."""

    offset: int
    length: int

    @property
    def fd(self) -> int: ...
    def close(self) -> None: ...
    def read(self) -> bytes: ...
    def __enter__(self) -> FileRange: ...
    def __exit__(self, *exc: object) -> None: ...


Piece = bytes | FileRange


class BodyTooLarge(Exception):
    """The body is longer than the door is willing to read."""


class Disconnected(Exception):
    """The client went away, or broke the framing, before its body was complete."""


class Request:
    """`target` is the path exactly as sent, `query` what follows the `?`. Header names are lower case; repeated
    ones are joined by commas. `peer` is the client's address, or the name in its certificate if it had to show one."""

    __slots__ = ("method", "target", "query", "headers", "peer", "secure", "_body")

    def __init__(
        self, method: str, target: bytes, query: bytes, headers: dict[bytes, bytes], peer: str, secure: bool, body: Body
    ) -> None:
        self.method, self.target, self.query, self.headers = method, target, query, headers
        self.peer, self.secure, self._body = peer, secure, body

    def header(self, name: str, default: str = "") -> str:
        """A header's value as text: UTF-8, with bytes that are not kept as surrogates."""
        value = self.headers.get(name.encode())
        return default if value is None else value.decode("utf-8", "surrogateescape")

    @property
    def content_length(self) -> int | None:
        """None: there is no body, or its length is not known beforehand."""
        return self._body.declared

    @property
    def has_body(self) -> bool:
        return self._body.expected

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLarge above `limit` bytes, Disconnected."""
        body = self._body
        if body.declared is not None and body.declared > limit:
            raise BodyTooLarge
        if body.complete_at_once is not None:
            return body.complete_at_once
        parts, size = [], 0
        async for chunk in body.chunks():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge
            parts.append(bytes(chunk))
        return b"".join(parts)

    def read_now(self) -> bytes | None:
        """The whole body if it has arrived already: small ones have before the door is asked."""
        return self._body.complete_at_once

    def chunks(self) -> AsyncIterator[memoryview]:
        """The body in order. Each view is good until the third step after it. Raises Disconnected."""
        return self._body.chunks()


class Response:
    """An answer. The server adds Date, Content-Length or Transfer-Encoding, and Connection.

    `length` is needed for an iterator whose length is known, and for the answer to HEAD (whose body is empty).
    """

    __slots__ = ("status", "headers", "body", "length", "reason")

    def __init__(
        self,
        status: int,
        headers: list[tuple[str, str]] | None = None,
        body: bytes | list[Piece] | AsyncIterator[bytes] = b"",
        length: int | None = None,
        reason: str = "",
    ) -> None:
        self.status, self.headers, self.body, self.length, self.reason = status, headers or [], body, length, reason
