"""Asking control who a token's or an access key's bearer is, with a cache of bounded age.

An answer is believed for at most `LIFETIME_S`; a feed of revocations can shorten that to nothing with `forget` and
`forget_all`. Failures are not remembered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import quote

import msgspec

from bivouac.core.call import AccessRule
from bivouac.objects.caller import Caller

log = logging.getLogger(__name__)
LIFETIME_S = 5.0
TIMEOUT_S = 10.0
KEPT = 50_000  # tokens
ANSWER = 1024 * 1024  # bytes of an answer that are read
_Bearer = tuple[str, Caller]  # the secret of an access key, and whom it stands for


class Unavailable(Exception):
    """The identity service cannot be asked."""


class _Caller(msgspec.Struct):
    user_id: str
    user_name: str
    user_domain_id: str = "default"
    project_id: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    roles: frozenset[str] = frozenset()
    access_rules: tuple[AccessRule, ...] | None = None


class _Answer(msgspec.Struct):
    caller: _Caller
    secret: str = ""


class Identity:
    """`socket` is control's internal one, which only its own user's processes can open."""

    def __init__(self, socket: str, lifetime_s: float = LIFETIME_S) -> None:
        self._socket = socket
        self._lifetime_s = lifetime_s
        self._known: dict[str, tuple[float, _Bearer]] = {}
        self._asking: dict[str, asyncio.Task[_Bearer | None]] = {}

    async def authenticate(self, token: str) -> Caller | None:
        """The token's bearer; None if it is not good. Raises Unavailable."""
        known = self._known.get(token)
        if known is not None and known[0] > time.monotonic():
            return known[1][1]
        if any(character < "!" or character > "~" for character in token):
            return None
        bearer = await self._ask_once(token, "/bearers/token", {"X-Subject-Token": token})
        return bearer[1] if bearer else None

    async def ec2_credential(self, access: str) -> tuple[str, Caller] | None:
        """Secret and owner of an EC2 access key; None if it is not good. Raises Unavailable."""
        key = f"access key {access}"  # no token has a space
        known = self._known.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        return await self._ask_once(key, f"/bearers/access-key/{quote(access, safe='')}", {})

    async def _ask_once(self, key: str, path: str, headers: dict[str, str]) -> _Bearer | None:
        """One question for all requests that wait for the same answer."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.get_running_loop().create_task(self._ask(key, path, headers))
            task.add_done_callback(lambda done: self._asking.pop(key, None))
        return await asyncio.shield(task)

    def forget(self, token: str) -> None:
        """It was revoked."""
        self._known.pop(token, None)

    def forget_all(self) -> None:
        """Something was revoked that cannot be told by token (a user, a role)."""
        self._known.clear()

    async def _ask(self, key: str, path: str, headers: dict[str, str]) -> _Bearer | None:
        asked_at = time.monotonic()
        status, body = await self._request(path, headers)
        if status == 404:
            self._known.pop(key, None)
            return None
        if status != 200:
            raise Unavailable(f"control answered {status}")
        try:
            found = msgspec.json.decode(body, type=_Answer)
        except msgspec.DecodeError as error:
            raise Unavailable(f"control answered unreadably: {error}") from error
        bearer = found.secret, Caller(**msgspec.structs.asdict(found.caller))
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[key] = (asked_at + self._lifetime_s, bearer)
        return bearer

    async def _request(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """One HTTP exchange with control: status and body. Raises Unavailable."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await _exchange(self._socket, path, headers)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"control does not answer: {error}") from error


async def _exchange(socket: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """A request on a connection of its own; it is rare, the answers being remembered."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        lines = [f"GET {path} HTTP/1.1", "Host: control", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:-2])
        length = int(fields[b"content-length"])
        if length > ANSWER:
            raise ValueError("answer too long")
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)
    except KeyError:
        raise ValueError("answer without a length") from None
    finally:
        writer.close()
