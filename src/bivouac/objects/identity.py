"""Asking the identity service who a token's bearer is, over HTTP, with a cache of bounded age.

A token validates itself (its bearer may ask about it), so the object store needs no credentials. An answer is
believed for at most
`LIFETIME_S`; a feed of revocations can shorten that to nothing with `forget` and `forget_all`. Failures are not
remembered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bivouac.objects.caller import Caller

log = logging.getLogger(__name__)
LIFETIME_S = 5.0
TIMEOUT_S = 10.0
KEPT = 50_000  # tokens
ANSWER = 4 * 1024 * 1024  # bytes of an answer that are read


class Unavailable(Exception):
    """The identity service cannot be asked."""


class _Named(msgspec.Struct, frozen=True):
    id: str = ""
    name: str = ""


class _Scoped(_Named, frozen=True):
    domain: _Named = _Named()


class _Token(msgspec.Struct):
    user: _Scoped = _Scoped()
    project: _Scoped = _Scoped()
    roles: list[_Named] = []


class _Answer(msgspec.Struct):
    token: _Token


class Identity:
    """`url` is the identity service's, such as http://127.0.0.1:5000/identity/v3."""

    def __init__(self, url: str, lifetime_s: float = LIFETIME_S) -> None:
        self._url = url.rstrip("/")
        self._lifetime_s = lifetime_s
        self._known: dict[str, tuple[float, Caller]] = {}
        self._asking: dict[str, asyncio.Task[Caller | None]] = {}

    async def authenticate(self, token: str) -> Caller | None:
        """The token's bearer; None if it is not good. Raises Unavailable."""
        known = self._known.get(token)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        # One question for all requests that wait for the same answer.
        task = self._asking.get(token)
        if task is None:
            task = self._asking[token] = asyncio.get_running_loop().create_task(self._ask(token))
            task.add_done_callback(lambda done: self._asking.pop(token, None))
        return await asyncio.shield(task)

    def forget(self, token: str) -> None:
        """It was revoked."""
        self._known.pop(token, None)

    def forget_all(self) -> None:
        """Something was revoked that cannot be told by token (a user, a role)."""
        self._known.clear()

    async def _ask(self, token: str) -> Caller | None:
        asked_at = time.monotonic()
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        status, body = await self.request("GET", "/auth/tokens?nocatalog", headers)
        if status in (401, 403, 404):
            self._known.pop(token, None)
            return None
        if status != 200:
            raise Unavailable(f"token validation was answered {status}")
        try:
            found = msgspec.json.decode(body, type=_Answer).token
        except msgspec.DecodeError as error:
            raise Unavailable(f"token validation was answered unreadably: {error}") from error
        caller = Caller(
            user_id=found.user.id,
            user_name=found.user.name,
            user_domain_id=found.user.domain.id,
            project_id=found.project.id,
            project_name=found.project.name,
            project_domain_id=found.project.domain.id,
            roles=frozenset(role.name for role in found.roles),
        )
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[token] = (asked_at + self._lifetime_s, caller)
        return caller

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """One HTTP exchange with the identity service: status and body. Raises Unavailable."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await _exchange(method, self._url + path, headers, body)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"the identity service does not answer: {error}") from error


async def _exchange(method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """A request on a connection of its own, which the server is asked to close, so that reading ends by itself."""
    parts = urlsplit(url)
    if any("\r" in value or "\n" in value for value in headers.values()):
        raise ValueError("line break in a header")
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), ssl=parts.scheme == "https" or None
    )
    try:
        lines = [f"{method} {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode("utf-8", "surrogateescape") + body)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        fields: dict[str, Any] = {}
        for line in head.split(b"\r\n")[1:-2]:
            name, _, value = line.partition(b":")
            fields[name.strip().lower().decode("latin-1")] = value.strip()
        if b"chunked" in fields.get("transfer-encoding", b""):
            return status, await _chunked(reader)
        length = int(fields["content-length"]) if "content-length" in fields else None
        if length is not None and length > ANSWER:
            raise ValueError("answer too long")
        return status, await (reader.readexactly(length) if length is not None else reader.read(ANSWER))
    finally:
        writer.close()


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        if sum(map(len, parts)) + size > ANSWER:
            raise ValueError("answer too long")
        parts.append(await reader.readexactly(size))
        await reader.readline()
    return b"".join(parts)
