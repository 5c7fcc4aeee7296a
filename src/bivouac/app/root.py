"""What is served beside the services: health, metrics, the index of endpoints, OpenAPI; and the operator's status on
the internal socket."""

import time
from collections.abc import Callable
from typing import Any

from bivouac import __version__
from bivouac.core import metrics
from bivouac.core.errors import NotFound
from bivouac.core.http import PUBLIC, Mount, Request, Response, Route, openapi
from bivouac.core.loops import Loops
from bivouac.core.store import Tx

Daemons = Callable[[], dict[str, str]]


def root_mount(services: list[Mount]) -> Mount:
    """The mount at `/` of the public listener."""

    async def index(request: Request) -> Response:
        """Where each service answers."""
        origin = request.application.origin(request)
        endpoints = {mount.service_type: origin + mount.prefix for mount in reversed(services)}
        return Response({"name": "Bivouac", "version": __version__, "endpoints": endpoints})

    async def health(request: Request) -> Response:
        """200 when the database answers."""
        await request.application.store.read(_ping)
        return Response(b"ok\n", media_type="text/plain")

    async def show_metrics(request: Request) -> Response:
        """Prometheus' text format."""
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def describe(request: Request, service: str) -> Response:
        """The OpenAPI document of one service, at `?version=` or the newest microversion."""
        found = [mount for mount in services if mount.service_type == service]
        if not found:
            known = ", ".join(sorted({mount.service_type for mount in services}))
            raise NotFound(f"There is no service {service}. Known: {known}.")
        return Response(openapi.document(max(found, key=lambda mount: len(mount.routes))))

    routes = [
        Route(method="GET", path="/", handler=index, rule=PUBLIC),
        Route(method="GET", path="/healthz", handler=health, rule=PUBLIC),
        Route(method="GET", path="/metrics", handler=show_metrics, rule=PUBLIC),
        Route(method="GET", path="/openapi/{service}", handler=describe, rule=PUBLIC),
    ]
    return Mount(prefix="", service_type="root", routes=routes)


def status_mount(loops: Callable[[], Loops | None], daemons: Daemons, hosts: Callable[[Tx], Any]) -> Mount:
    """`/status` for `bivouac status`: only on the internal socket, which only root and control's user can open."""
    started = time.time()

    async def status(request: Request) -> Response:
        running = loops()
        return Response(
            {
                "version": __version__,
                "started_at": started,
                "loops": running.states() if running else [],
                "daemons": daemons(),
                "hosts": await request.application.store.read(hosts),
            }
        )

    return Mount(
        prefix="/status", service_type="status", routes=[Route(method="GET", path="/", handler=status, rule=PUBLIC)]
    )


def _ping(tx: Tx) -> None:
    tx.query("SELECT 1")
