"""`python -m bivouac.app.objects --state DIR`: the object store's process.

One store, its front doors (Swift, S3) on one port each, and the store's housekeeping. One process owns the store,
because SQLite has one writer and a commit is shared best by those who wait in the same place (figures in
docs/decisions).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
from typing import Any

import msgspec
import uvloop

from bivouac.core import log as logs
from bivouac.core import metrics
from bivouac.core.errors import Error
from bivouac.core.http1 import Server
from bivouac.core.settings import Settings, load
from bivouac.core.tls import ServerTls
from bivouac.objects import expirer
from bivouac.objects.administration import Administration
from bivouac.objects.identity import Identity
from bivouac.objects.measures import StoreMeasures
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.store.auditor import Auditor, remove_orphans
from bivouac.objects.swift.door import SwiftDoor
from bivouac.objects.swift.ratelimit import RateLimit
from bivouac.s3.opening import open_door


async def run(settings: Settings, identity: Identity | None = None, ready: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    store = await EmbeddedStore.open(str(settings.objects_path))
    identity = identity or Identity(str(settings.control_socket), settings.forgotten_path)
    auditor = Auditor(store)
    measures: Any = StoreMeasures(store, auditor)
    metrics.REGISTRY.register(measures)
    host = settings.http.host
    tls = ServerTls(settings.certificate) if settings.secure else None
    context = tls.context if tls else None
    servers: list[Any] = []
    try:
        s3 = await open_door(store, settings, identity)
        rates = RateLimit(settings.object_store.account_writes, settings.object_store.container_writes)
        swift = Server(SwiftDoor(store, identity.authenticate, rates, s3.door.unseal).handle)
        await swift.start(host, settings.object_store.swift_port, context)
        servers.append(swift)
        await s3.start(host, settings.object_store.s3_port, context)
        servers.append(s3)
        administration = Administration(store)
        await administration.start(settings.objects_path)
        servers.append(administration)
        loops = [loop.create_task(expirer.run(store)), loop.create_task(_audit(store, auditor))]
        if tls:
            loops.append(loop.create_task(tls.keep_fresh()))
        gc.collect()
        gc.freeze()
        if ready is not None:
            ready.set()
        await stopping.wait()
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    finally:
        metrics.REGISTRY.unregister(measures)
        await asyncio.gather(*(server.stop() for server in servers))
        await store.close()


async def _audit(store: EmbeddedStore, auditor: Auditor) -> None:
    await remove_orphans(store)
    await auditor.run()


def main() -> int:
    """Run until SIGTERM or SIGINT; 1 when it cannot start, with the reason in plain words."""
    parser = argparse.ArgumentParser(prog="python -m bivouac.app.objects", description="The object store.")
    parser.add_argument("--state", default="", help="state directory; the store is in its folder `objects`")
    parser.add_argument("--listen", default="", metavar="HOST:PORT", help="Swift's address, instead of the settings'")
    options = parser.parse_args()
    try:
        settings = load(options.state)
        if options.listen:
            host, _, port = options.listen.rpartition(":")
            doors = msgspec.structs.replace(settings.object_store, swift_port=int(port))
            http = msgspec.structs.replace(settings.http, host=host)
            settings = msgspec.structs.replace(settings, object_store=doors, http=http)
        logs.configure(settings.log_level)
        sys.setswitchinterval(0.0005)  # the commit thread must not wait 5 ms for the interpreter after each sync
        uvloop.run(run(settings))
    except (Error, RuntimeError, OSError, ValueError) as error:
        print(f"bivouac objects: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
