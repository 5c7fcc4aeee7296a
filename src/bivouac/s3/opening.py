"""Opening the S3 door inside the object store's process, with its loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from bivouac.core.http1 import Server
from bivouac.core.settings import Settings
from bivouac.objects.store.interface import Store
from bivouac.s3.door import S3Door
from bivouac.s3.lifecycle_loop import LifecycleLoop
from bivouac.s3.request import Credential


class Credentials(Protocol):
    """Who knows EC2 access keys, projects and addresses: the object store's `Identity`."""

    async def ec2_credential(self, access: str) -> tuple[str, Any] | None: ...
    async def find_email(self, address: str) -> str | None: ...
    async def project_exists(self, project: str) -> bool: ...


def lookup_of(identity: Credentials) -> Callable[[str], Awaitable[Credential | None]]:
    """The lookup that the door authenticates with."""

    async def lookup(access_key: str) -> Credential | None:
        found = await identity.ec2_credential(access_key)
        return None if found is None else Credential(*found)

    return lookup


class S3Server:
    """The door with its listener and its loops: lifecycle rules and access logs."""

    def __init__(self, door: S3Door) -> None:
        self.door = door
        self._server = Server(door.handle)
        self._loops: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; gives the port."""
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(LifecycleLoop(self.door).run()), loop.create_task(self.door.logs.run())]
        return await self._server.start(host, port, tls)

    async def stop(self) -> None:
        await self._server.stop()
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.door.close()


async def open_door(store: Store, settings: Settings, identity: Credentials) -> S3Server:
    """The S3 door over an open store. The master key of SSE-S3 and waiting log records are kept beside the store."""
    door = S3Door(
        store,
        lookup_of(identity),
        settings.objects_path,
        region=settings.region.name,
        domains=tuple(settings.object_store.s3_domains),
        find_email=identity.find_email,
        project_exists=identity.project_exists,
    )
    return S3Server(door)
