"""The object store's two doors with one fixed credential each, for benchmarks: `_object_server.py DIRECTORY PORT`.

Swift listens on PORT (token `bench`), S3 on PORT + 1 (access key `bench`, secret `bench`).
"""

import asyncio
import gc
import signal
import sys
from pathlib import Path

import uvloop

from bivouac.core.call import Caller as S3Caller
from bivouac.core.http1 import Server
from bivouac.objects.caller import Caller
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.swift.door import SwiftDoor
from bivouac.s3.door import S3Door
from bivouac.s3.request import Credential

PROJECT = TOKEN = KEY = "bench"
CALLER = Caller("u", "u", "default", PROJECT, PROJECT, "default", frozenset(("member",)))
CREDENTIAL = Credential(KEY, S3Caller(user_id="u", user_name="u", project_id=PROJECT, roles=("member",)))


async def main(directory: str, port: int) -> None:
    async def authenticate(token: str) -> Caller | None:
        return CALLER if token == TOKEN else None

    async def lookup(access_key: str) -> Credential | None:
        return CREDENTIAL if access_key == KEY else None

    store = await EmbeddedStore.open(directory)
    s3 = S3Door(store, lookup, Path(directory))
    servers = [Server(SwiftDoor(store, authenticate).handle), Server(s3.handle)]
    for number, server in enumerate(servers):
        await server.start("127.0.0.1", port + number)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await asyncio.gather(*(server.stop() for server in servers))
    await s3.close()
    await store.close()


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
