"""The Compute API v2.1 on the wire: one file per resource, gathered here.

`mounts` gives what the application mounts: the version documents at `/compute`, the API at `/compute/v2.1` and the
console proxy at `/console`. Handlers find the service's object as `request.mount.service`.
"""

from bivouac.core.http import Mount, dialects

from ..compute import Compute
from . import (
    aggregates,
    console_proxy,
    consoles,
    extensions,
    flavors,
    groups,
    hypervisors,
    images,
    keypairs,
    proxied_network,
    quotas,
    server_actions,
    server_parts,
    servers,
    services,
    usage,
    versions,
)

ROUTES = [
    *versions.ROUTES,
    *flavors.ROUTES,
    *keypairs.ROUTES,
    *servers.ROUTES,
    *server_actions.ROUTES,
    *server_parts.ROUTES,
    *consoles.ROUTES,
    *groups.ROUTES,
    *quotas.ROUTES,
    *hypervisors.ROUTES,
    *services.ROUTES,
    *aggregates.ROUTES,
    *usage.ROUTES,
    *extensions.ROUTES,
    *images.ROUTES,
    *proxied_network.ROUTES,
]


def mounts(compute: Compute) -> list[Mount]:
    """The version documents, the API and the console proxy."""
    return [
        Mount(prefix="/compute", service_type="compute", routes=versions.ROOT_ROUTES, dialect=dialects.NOVA,
              id_headers=("x-compute-request-id",)),
        Mount(
            prefix="/compute/v2.1", service_type="compute", routes=ROUTES, dialect=dialects.NOVA,
            microversions=versions.MICROVERSIONS, id_headers=("x-compute-request-id",), service=compute,
        ),
        console_proxy.proxy_mount(compute.consoles),
    ]  # fmt: skip
