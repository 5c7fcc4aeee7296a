"""Byte ranges (RFC 9110, section 14) and the answers that carry them."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Piece

MOST = 50  # ranges of one request: more are a mistake or an attack
_RANGE = re.compile(r"(\d{0,18})[ \t]*-[ \t]*(\d{0,18})")
# (offset, length) -> the bytes, as pieces or as a stream of pieces
Stream = Callable[[int, int], Awaitable[AsyncIterator[Any]]]
Read = Callable[[int, int], Awaitable[bytes | list[Piece] | AsyncIterator[Any]]]


def parse(header: str, size: int) -> list[tuple[int, int]] | None:
    """(offset, length) of each satisfiable range. None: no ranges, or malformed (then all is sent). Empty: none can
    be satisfied."""
    unit, separator, rest = header.partition("=")
    if not separator or unit.strip().lower() != "bytes":
        return None
    found, parts = [], rest.split(",")
    for part in parts:
        match = _RANGE.fullmatch(part.strip())
        if match is None or match.groups() == ("", ""):
            return None
        first, last = match[1], match[2]
        if not first:
            length = min(int(last), size)
            if length:
                found.append((size - length, length))
            continue
        start = int(first)
        if last and int(last) < start:
            return None
        stop = min(int(last) + 1 if last else size, size)
        if start < stop:
            found.append((start, stop - start))
    return [] if len(found) > MOST else found


async def respond(
    headers: list[tuple[str, str]],
    size: int,
    ranges: list[tuple[int, int]] | None,
    read: Read,
    content_type: str,
    head: bool,
) -> Response:
    """200, 206 (one range, or multipart/byteranges) or 416. `headers` without Content-Type."""
    if ranges is None:
        headers = [*headers, ("Content-Type", content_type)]
        return Response(200, headers, b"" if head else await read(0, size), size)
    if not ranges:
        text = b"<html><h1>Requested Range Not Satisfiable</h1><p>The Range requested is not available.</p></html>"
        headers = [*headers, ("Content-Type", "text/html; charset=UTF-8"), ("Content-Range", f"bytes */{size}")]
        return Response(416, headers, b"" if head else text, len(text))
    if len(ranges) == 1:
        [(offset, length)] = ranges
        headers = [*headers, ("Content-Type", content_type)]
        headers.append(("Content-Range", f"bytes {offset}-{offset + length - 1}/{size}"))
        return Response(206, headers, b"" if head else await read(offset, length), length)
    boundary = secrets.token_hex(16)
    heads = [
        (
            f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n"
            f"Content-Range: bytes {offset}-{offset + length - 1}/{size}\r\n\r\n"
        ).encode()
        for offset, length in ranges
    ]
    heads[0] = heads[0][2:]
    end = f"\r\n--{boundary}--".encode()
    total = sum(map(len, heads)) + sum(length for _, length in ranges) + len(end)
    headers = [*headers, ("Content-Type", f"multipart/byteranges;boundary={boundary}")]
    if head:
        return Response(206, headers, length=total)

    async def stream() -> AsyncIterator[Any]:
        for part, (offset, length) in zip(heads, ranges, strict=True):
            yield part
            content = await read(offset, length)
            if isinstance(content, bytes):
                yield content
            elif isinstance(content, list):
                for piece in content:
                    yield piece
            else:
                async for piece in content:
                    yield piece
        yield end

    return Response(206, headers, stream(), total)
