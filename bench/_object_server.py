"""The object store's Swift door with one fixed token, for benchmarks: `_object_server.py DIRECTORY PORT`."""

import asyncio
import gc
import signal
import sys

import uvloop

from bivouac.core.http1 import Server
from bivouac.objects.caller import Caller
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.swift.door import SwiftDoor

PROJECT = TOKEN = "bench"
CALLER = Caller("u", "u", "default", PROJECT, PROJECT, "default", frozenset(("member",)))


async def main(directory: str, port: int) -> None:
    async def authenticate(token: str) -> Caller | None:
        return CALLER if token == TOKEN else None

    store = await EmbeddedStore.open(directory)
    await store.create_container(PROJECT, "bench")
    server = Server(SwiftDoor(store, authenticate).handle)
    await server.start("127.0.0.1", port)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await server.stop()
    await store.close()


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
