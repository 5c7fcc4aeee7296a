"""A Swift door on a real port over a real store, and a plain HTTP client. Users and tokens are a fixed table."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from typing import Any

import msgspec

from bivouac.core.call import AccessRule
from bivouac.core.http1 import Server
from bivouac.objects.caller import Caller
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.swift.door import SwiftDoor
from bivouac.objects.swift.ratelimit import RateLimit


def caller(user: str, project: str, *roles: str) -> Caller:
    return Caller(f"{user}-id", user, "default", project, f"{project}-name", "default", frozenset(roles))


CALLERS = {
    "operator": caller("ann", "p1", "member"),
    "reader": caller("rob", "p1", "reader"),
    "roleless": caller("nil", "p1"),
    "other": caller("bob", "p2", "member"),
    "restricted": msgspec.structs.replace(
        caller("ann", "p1", "member"), access_rules=(AccessRule("object-store", "GET", "/v1/AUTH_p1/open/*"),)
    ),
    "reseller": caller("res", "p0", "ResellerAdmin"),
}


class Answer:
    """Status, headers (lower-case names) and body."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[str]:
        return self.body.decode().splitlines()


class Cloud:
    """`call` speaks to account p1 as its operator unless told otherwise."""

    def __init__(self, directory: str, rate_limit: RateLimit | None = None) -> None:
        self.directory, self.rate_limit = directory, rate_limit
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.do(self._start())

    def do(self, work: Any) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def _start(self) -> None:
        async def authenticate(token: str) -> Caller | None:
            return CALLERS.get(token)

        self.store = await EmbeddedStore.open(self.directory)
        self.server = Server(SwiftDoor(self.store, authenticate, self.rate_limit).handle)
        self.port = await self.server.start("127.0.0.1", 0)

    def stop(self) -> None:
        async def end() -> None:
            await self.server.stop(1)
            await self.store.close()

        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def call(
        self,
        method: str,
        path: str = "",
        body: Any = None,
        headers: dict[str, str] | None = None,
        token: str | None = "operator",
        raw: bool = False,
    ) -> Answer:
        """`path` is below /v1/AUTH_p1 unless `raw`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            sent = dict(headers or {})
            if token:
                sent["X-Auth-Token"] = token
            if body is None and method in ("PUT", "POST"):
                body = b""
            target = path if raw else f"/v1/AUTH_p1{path}"
            chunked = not isinstance(body, bytes | str | None)
            connection.request(method, target, body, sent, encode_chunked=chunked)
            return Answer(connection.getresponse())
        finally:
            connection.close()
