"""The S3 door alone, for ceph/s3-tests: `s3_server.py PORT DIRECTORY`. It says "ready" when it listens.

Four projects with one key each, as the suite's configuration names them. A day of lifecycle rules takes ten seconds
and access logs are delivered after four, because the suite waits for both.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from bivouac.core.call import Caller
from bivouac.core.http1 import Server
from bivouac.objects.store import EmbeddedStore
from bivouac.s3.door import S3Door
from bivouac.s3.lifecycle_loop import LifecycleLoop
from bivouac.s3.request import Credential

DAY_S, LOG_ROLL_S = 10.0, 4.0
NAMES = ("main", "alt", "tenant", "iam")


def credential(name: str) -> Credential:
    project = f"{name}-id"
    who = Caller(user_id=name, user_name=name, project_id=project, project_name=project, roles=("member",))
    return Credential(f"{name}-secret", who)


async def main(port: int, directory: Path) -> None:
    credentials = {f"{name}-key": credential(name) for name in NAMES}

    async def lookup(access_key: str) -> Credential | None:
        return credentials.get(access_key)

    async def find_email(address: str) -> str | None:
        name = address.removesuffix("@example.com")
        return f"{name}-id" if name in NAMES else None

    async def project_exists(project: str) -> bool:
        return project.removesuffix("-id") in NAMES

    store = await EmbeddedStore.open(str(directory / "objects"))
    door = S3Door(
        store, lookup, directory, region="default", find_email=find_email, project_exists=project_exists,
        log_roll_s=LOG_ROLL_S,
    )  # fmt: skip
    await Server(door.handle).start("127.0.0.1", port)
    print("ready", flush=True)
    await asyncio.gather(door.logs.run(), LifecycleLoop(door, day_s=DAY_S, pause_s=1).run())


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
