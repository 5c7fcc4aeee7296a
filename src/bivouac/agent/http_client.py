"""Bytes of images over HTTP, on the same socket or address as the link. One connection for each transfer.

HTTP/1.1 (RFC 9112) as far as a GET with a body of known or chunked length and a PUT need it; httptools parses.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httptools

from bivouac.drivers.hypervisor import DriverError
from bivouac.hostspec.server import ImageRef

CHUNK = 1 << 20
PATIENCE_S = 60.0
"""Longest silence of the other side."""


class Endpoint:
    """Where control is: `unix:/path/control.sock`, or `https://host:port` with a TLS context."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None):
        self.address = address
        self.tls = tls
        self.is_unix = address.startswith("unix:")
        self.path = address.removeprefix("unix:") if self.is_unix else ""
        url = urlsplit("//" if self.is_unix else address)
        self.host, self.port = url.hostname or "control", url.port or 5001

    @property
    def websocket_url(self) -> str:
        return "ws://control" if self.is_unix else f"{'wss' if self.tls else 'ws'}://{self.host}:{self.port}"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection. Raises OSError."""
        if self.is_unix:
            return await asyncio.open_unix_connection(self.path, limit=CHUNK)
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls, limit=CHUNK)


class _Answer:
    """Callbacks of the parser."""

    def __init__(self) -> None:
        self.complete = False
        self.body: list[bytes] = []
        self.headers_complete = False

    def on_headers_complete(self) -> None:
        self.headers_complete = True

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


async def download(endpoint: Endpoint, image: ImageRef) -> AsyncIterator[bytes]:
    """The bytes of an image, as they come. Raises DriverError."""
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    reader, writer = await _connect(endpoint)
    try:
        writer.write(_head(endpoint, "GET", image.id))
        while not answer.complete:
            async with asyncio.timeout(PATIENCE_S):
                data = await reader.read(CHUNK)
            if not data:
                raise DriverError("The image could not be fetched.", "control hung up in the middle")
            parser.feed_data(data)
            if answer.headers_complete and parser.get_status_code() != 200:
                raise DriverError("The image could not be fetched.", f"control answered {parser.get_status_code()}")
            chunks, answer.body = answer.body, []
            for chunk in chunks:
                yield chunk
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        raise DriverError("The image could not be fetched.", f"{type(error).__name__}: {error}") from error
    finally:
        writer.close()


async def upload(endpoint: Endpoint, image_id: str, path: Path) -> None:
    """Send a file as the bytes of an image. Raises DriverError."""
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    reader, writer = await _connect(endpoint)
    words = "The image could not be stored."
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            writer.write(_head(endpoint, "PUT", image_id, size))
            while data := await asyncio.to_thread(file.read, CHUNK):
                writer.write(data)
                async with asyncio.timeout(PATIENCE_S):
                    await writer.drain()
        while not answer.complete:
            async with asyncio.timeout(PATIENCE_S * 10):
                data = await reader.read(CHUNK)
            if not data:
                break
            parser.feed_data(data)
        if not answer.headers_complete or parser.get_status_code() >= 300:
            status = parser.get_status_code() if answer.headers_complete else "nothing"
            raise DriverError(words, f"control answered {status}: {b''.join(answer.body)[:200]!r}")
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        raise DriverError(words, f"{type(error).__name__}: {error}") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(10):
            return await endpoint.open()
    except (OSError, TimeoutError) as error:
        raise DriverError("The host cannot reach the cloud's control.", str(error)) from error


def _head(endpoint: Endpoint, method: str, image_id: str, size: int | None = None) -> bytes:
    lines = [f"{method} /agent/v1/images/{quote(image_id, safe='')} HTTP/1.1", f"Host: {endpoint.host}"]
    if size is not None:
        lines += [f"Content-Length: {size}", "Content-Type: application/octet-stream"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()
