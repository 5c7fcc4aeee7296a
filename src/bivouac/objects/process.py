"""The `objects` process: one store, its front doors on one port each, and the store's housekeeping.

One process owns the store, because SQLite has one writer and a commit is shared best by those who wait in the same
place (figures in
docs/decisions). The S3 door lies above this package, so it is found by name, not imported.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import signal
from typing import Any

from bivouac.core.settings import Settings
from bivouac.objects import expirer
from bivouac.objects.http import Server
from bivouac.objects.identity import Identity
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.store.auditor import Auditor
from bivouac.objects.swift.door import SwiftDoor

log = logging.getLogger(__name__)
# Doors of other floors: a module with `async def open_door(store, settings, identity)`, giving a handler for
# `http.Server` or an object with
# `start(host, port)` and `stop()`.
OTHER_DOORS = (("bivouac.s3.opening", "s3_port"),)


async def _open_other(name: str, store: EmbeddedStore, settings: Settings, identity: Identity) -> Any:
    """The door of another floor; None if this installation has none."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            return None
        raise
    door = await module.open_door(store, settings, identity)
    return door if hasattr(door, "start") else Server(door)


async def run(settings: Settings, identity: Identity | None = None, ready: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    store = await EmbeddedStore.open(str(settings.objects_path))
    identity = identity or Identity(str(settings.control_socket))
    host = settings.http.host
    servers: list[Any] = []
    try:
        swift = Server(SwiftDoor(store, identity.authenticate).handle)
        await swift.start(host, settings.object_store.swift_port)
        servers.append(swift)
        for name, setting in OTHER_DOORS:
            server = await _open_other(name, store, settings, identity)
            if server is not None:
                await server.start(host, getattr(settings.object_store, setting))
                servers.append(server)
        loops = [loop.create_task(expirer.run(store)), loop.create_task(Auditor(store).run())]
        gc.collect()
        gc.freeze()
        if ready is not None:
            ready.set()
        await stopping.wait()
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
        await store.close()
