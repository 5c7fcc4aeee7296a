"""A real S3 door over a real store, on a port of loopback, with two projects and clients for them."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import boto3
import uvloop
from botocore.client import Config

from bivouac.core.call import Caller
from bivouac.core.http1 import Server
from bivouac.objects.caller import Caller as SwiftCaller
from bivouac.objects.identity import Unavailable
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.swift.door import SwiftDoor
from bivouac.s3.door import S3Door
from bivouac.s3.lifecycle_loop import LifecycleLoop
from bivouac.s3.request import Credential

DAY_S = 10.0


def credential(name: str, role: str = "member") -> Credential:
    who = Caller(user_id=f"user-{name}", user_name=name, project_id=f"project-{name}", project_name=name, roles=(role,))
    return Credential(f"secret-{name}", who)


class Service:
    """Runs in a thread of its own. `now` can be moved."""

    def __init__(self, directory: Path) -> None:
        reader = Caller(user_id="user-reader", user_name="reader", project_id="project-main", roles=("reader",))
        self.credentials = {
            "main": credential("main"),
            "other": credential("other"),
            "reader": Credential("secret-reader", reader),
        }
        self.directory = directory
        self.ahead_s = 0.0
        self.asked, self.hold_at = 0, -1  # requests so far; the one that waits for `release`
        self.port = 0
        self._ready, self.held = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        import time

        async def lookup(access_key: str) -> Credential | None:
            self.asked += 1
            if self.asked == self.hold_at:
                self._released.clear()
                self.held.set()
                await self._released.wait()
            if access_key == "cannot-be-asked":
                raise Unavailable("control does not answer")
            return self.credentials.get(access_key)

        self.loop = asyncio.get_running_loop()
        self.stopping, self._released = asyncio.Event(), asyncio.Event()
        self.store = await EmbeddedStore.open(str(self.directory / "store"))
        self.door = S3Door(
            self.store,
            lookup,
            self.directory,
            region="RegionOne",
            domains=("s3.localhost",),
            now=lambda: time.time() + self.ahead_s,
        )
        self.lifecycle = LifecycleLoop(self.door, day_s=DAY_S)
        server, swift = Server(self.door.handle), Server(self._swift_door().handle)
        self.port = await server.start("127.0.0.1", 0)
        self.swift_port = await swift.start("127.0.0.1", 0)
        self._ready.set()
        await self.stopping.wait()
        await asyncio.gather(server.stop(), swift.stop())
        await self.door.close()
        await self.store.close()

    def _swift_door(self) -> SwiftDoor:
        """The other dialect's door to the same store. A token is the name of an access key."""

        async def authenticate(token: str) -> SwiftCaller | None:
            found = self.credentials.get(token)
            if found is None:
                return None
            who = found.caller
            names = who.user_id, who.user_name, "default", who.project_id, who.project_name, "default"
            return SwiftCaller(*names, frozenset(who.roles))

        return SwiftDoor(self.store, authenticate, unseal=self.door.unseal)

    def swift(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        name: str = "main",
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a Swift request on the account of `name`'s project."""
        connection = http.client.HTTPConnection("127.0.0.1", self.swift_port, timeout=60)
        try:
            account = f"/v1/AUTH_{self.credentials[name].caller.project_id}"
            connection.request(method, account + path, body, {"X-Auth-Token": name} | (headers or {}))
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def run(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine on the service's loop."""
        return asyncio.run_coroutine_threadsafe(make(), self.loop).result(60)

    def release(self) -> None:
        """Let the request that waits at `hold_at` go on."""
        self.loop.call_soon_threadsafe(self._released.set)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.stopping.set)
        self._thread.join(30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, name: str = "main", signature: str = "s3v4", **config: Any) -> Any:
        """A boto3 client that signs as one of the projects."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=name,
            aws_secret_access_key=f"secret-{name}",
            region_name="RegionOne",
            config=Config(
                signature_version=signature, retries={"max_attempts": 1}, s3={"addressing_style": "path"}, **config
            ),
        )
