"""Opening the S3 door inside the object store's process, with its loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from bivouac.core.http1 import Server
from bivouac.core.settings import Settings
from bivouac.objects.identity import Unavailable
from bivouac.objects.store.interface import Store
from bivouac.s3.door import S3Door
from bivouac.s3.errors import S3Error
from bivouac.s3.lifecycle_loop import LifecycleLoop
from bivouac.s3.request import Credential

DOMAINS = ("s3.localhost",)
"""Under these names a bucket is BUCKET.NAME, and its website BUCKET.s3-website.NAME without `s3.`."""


class Credentials(Protocol):
    """Who knows EC2 access keys: the object store's `Identity`."""

    async def ec2_credential(self, access: str) -> tuple[str, Any] | None: ...


def lookup_of(identity: Credentials) -> Callable[[str], Awaitable[Credential | None]]:
    """The lookup that the door authenticates with."""

    async def lookup(access_key: str) -> Credential | None:
        try:
            found = await identity.ec2_credential(access_key)
        except Unavailable as error:
            raise S3Error("ServiceUnavailable", f"The credential cannot be checked now: {error}") from error
        return None if found is None else Credential(*found)

    return lookup


class S3Server:
    """The door with its listener and its loops: lifecycle rules and access logs."""

    def __init__(self, door: S3Door) -> None:
        self.door = door
        self._server = Server(door.handle)
        self._loops: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port."""
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(LifecycleLoop(self.door).run()), loop.create_task(self.door.logs.run())]
        return await self._server.start(host, port)

    async def stop(self) -> None:
        await self._server.stop()
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.door.close()


async def open_door(store: Store, settings: Settings, identity: Credentials) -> S3Server:
    """The S3 door over an open store. The master key of SSE-S3 and waiting log records are kept beside the store."""
    directory = Path(settings.objects_path)
    return S3Server(S3Door(store, lookup_of(identity), directory, region=settings.region.name, domains=DOMAINS))
