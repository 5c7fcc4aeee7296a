"""Asking control who a token's or an access key's bearer is, and remembering the answers as long as they hold.

An answer holds until something it depends on is revoked. Control numbers its revocations in memory that it shares
with this process, so each request sees at the price of reading a number whether there is a new one; only then is
control asked which. So a revocation counts here from the moment it is answered. Where that cannot be told, nothing is
remembered. An answer is believed for at most `LIFETIME_S` in any case, which bounds how long this process goes on
when control is away: then it refuses, saying so. Failures are not remembered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from bivouac.core.call import AccessRule
from bivouac.core.sequence import Sequence
from bivouac.objects.caller import Caller

log = logging.getLogger(__name__)
LIFETIME_S = 5.0
TIMEOUT_S = 10.0
PATIENCE_S = 2.0
"""How long a control that does not listen, because it is being started again, is waited for."""
RETRY_S = 0.05
KEPT = 50_000  # tokens
ANSWER = 1024 * 1024  # bytes of an answer that are read
EVERYTHING = "*"
_Bearer = tuple[str, Caller]  # the secret of an access key, and whom it stands for
T = TypeVar("T")


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


class _Bounds(msgspec.Struct):
    """Of the caller, what does not concern the doors."""

    expires_at: float = float("inf")  # seconds since the epoch


class _Answer(msgspec.Struct):
    caller: msgspec.Raw
    secret: str = ""
    subjects: tuple[str, ...] = ()


class _Forgotten(msgspec.Struct):
    number: int
    subjects: tuple[str, ...]


class _Project(msgspec.Struct):
    project_id: str


class Identity:
    """`socket` is control's internal one, which only its own user's processes can open; `sequence` the file in which
    it numbers revocations."""

    def __init__(
        self,
        socket: str,
        sequence: Path,
        lifetime_s: float = LIFETIME_S,
        patience_s: float = PATIENCE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._socket = socket
        self._now = now
        self._path = sequence
        self._lifetime_s, self._patience_s = lifetime_s, patience_s
        self._sequence: Sequence | None = None
        self._seen = 0
        self._known: dict[str, tuple[float, _Bearer]] = {}
        self._dependent: dict[str, set[str]] = {}  # subject -> keys of `_known`
        self._asking: dict[str, asyncio.Task[_Bearer | None]] = {}
        self._catching_up: asyncio.Task[None] | None = None

    async def authenticate(self, token: str) -> Caller | None:
        """The token's bearer; None if it is not good. Raises Unavailable."""
        known = await self._remembered(token)
        if known is not None:
            return known[1]
        if any(character < "!" or character > "~" for character in token):
            return None
        bearer = await self._ask_once(token, "/bearers/token", {"X-Subject-Token": token})
        return bearer[1] if bearer else None

    async def ec2_credential(self, access: str) -> tuple[str, Caller] | None:
        """Secret and owner of an EC2 access key; None if it is not good. Raises Unavailable."""
        key = f"access key {access}"  # no token has a space
        known = await self._remembered(key)
        if known is not None:
            return known
        return await self._ask_once(key, f"/bearers/access-key/{quote(access, safe='')}", {})

    async def project_exists(self, project: str) -> bool:
        """Whether there is a project of this id. Raises Unavailable."""
        return await self._ask_control(f"/bearers/project/{quote(project, safe='')}", {}) is not None

    async def find_email(self, address: str) -> str | None:
        """The project that grants to an e-mail address go to; None if nobody has it. Raises Unavailable."""
        body = await self._ask_control(f"/bearers/address/{quote(address, safe='')}", {})
        return None if body is None else _decoded(body, _Project).project_id

    async def _remembered(self, key: str) -> _Bearer | None:
        """What is known of it, if nothing it depends on was revoked since."""
        if self._sequence is None:
            return None
        if self._sequence.value != self._seen:
            await self._catch_up()
        known = self._known.get(key)
        return known[1] if known is not None and known[0] > time.monotonic() else None

    async def _catch_up(self) -> None:
        """Learn what was revoked; one question for all requests that wait. Raises Unavailable."""
        if self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._forget_revoked())
            self._catching_up.add_done_callback(lambda done: setattr(self, "_catching_up", None))
        await asyncio.shield(self._catching_up)

    async def _forget_revoked(self) -> None:
        body = await self._ask_control(f"/bearers/forgotten/{self._seen}", {})
        if body is None:
            raise Unavailable("control does not know of revocations")
        found = _decoded(body, _Forgotten)
        if EVERYTHING in found.subjects:
            self._forget_all()
        for subject in found.subjects:
            for key in self._dependent.pop(subject, ()):
                self._known.pop(key, None)
        self._seen = found.number

    def _forget_all(self) -> None:
        self._known.clear()
        self._dependent.clear()

    async def _ask_once(self, key: str, path: str, headers: dict[str, str]) -> _Bearer | None:
        """One question for all requests that wait for the same answer."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.get_running_loop().create_task(self._ask(key, path, headers))
            task.add_done_callback(lambda done: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, key: str, path: str, headers: dict[str, str]) -> _Bearer | None:
        self._open_sequence()
        asked_at, seen = time.monotonic(), self._seen
        body = await self._ask_control(path, headers)
        if body is None:
            self._known.pop(key, None)
            return None
        found = _decoded(body, _Answer)
        bearer = found.secret, Caller(**msgspec.structs.asdict(_decoded(found.caller, _Caller)))
        # What was revoked while control was answering is told with the next number, unless that was seen already.
        if self._sequence is not None and seen == self._seen:
            lasts_s = min(self._lifetime_s, _decoded(found.caller, _Bounds).expires_at - self._now())
            self._keep(key, asked_at + lasts_s, bearer, found.subjects)
        return bearer

    def _open_sequence(self) -> None:
        if self._sequence is None:
            try:
                self._sequence = Sequence(self._path)
            except OSError as error:
                log.warning("nothing is remembered of tokens: revocations cannot be seen (%s)", error)
                return
            self._seen = self._sequence.value

    def _keep(self, key: str, until: float, bearer: _Bearer, subjects: tuple[str, ...]) -> None:
        if len(self._known) >= KEPT:
            self._forget_all()
        self._known[key] = (until, bearer)
        for subject in subjects:
            self._dependent.setdefault(subject, set()).add(key)

    async def _ask_control(self, path: str, headers: dict[str, str]) -> bytes | None:
        """The body of control's answer; None for 404. Raises Unavailable."""
        status, body = await self._request(path, headers)
        if status == 404:
            return None
        if status != 200:
            raise Unavailable(f"control answered {status}")
        return body

    async def _request(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """One HTTP exchange with control: status and body. Raises Unavailable."""
        patient_until = time.monotonic() + self._patience_s
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    try:
                        return await _exchange(self._socket, path, headers)
                    except (ConnectionError, FileNotFoundError):
                        if time.monotonic() >= patient_until:
                            raise
                        await asyncio.sleep(RETRY_S)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"control does not answer: {error}") from error


def _decoded(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable(f"control answered unreadably: {error}") from error


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
