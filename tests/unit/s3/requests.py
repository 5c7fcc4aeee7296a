"""Requests made by hand, for the parts of the door that need no socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bivouac.s3.request import Request


class NoBody:
    async def read(self, limit: int) -> bytes:
        return b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""


def make(method: str, target: str, headers: dict[str, str] | None = None) -> Request:
    path, _, query = target.partition("?")
    return Request(method, path.encode(), query.encode(), headers or {}, NoBody())
