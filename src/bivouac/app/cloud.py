"""The control process: every service on one store, behind one listener, with its loops.

Built once by `build` from the settings; `Cloud.run` serves until told to stop. Nothing here decides anything: each
service is handed what it needs and gives back a mount, its policy defaults and its loops.
"""

import asyncio
import logging
from pathlib import Path

from bivouac.compute import agent_api
from bivouac.compute import api as compute_api
from bivouac.compute import policy as compute_policy
from bivouac.compute.compute import Compute
from bivouac.core import lag
from bivouac.core.clock import Clock
from bivouac.core.errors import Error
from bivouac.core.http import Application, Mount, Request
from bivouac.core.http1 import Server, tcp_socket, unix_socket
from bivouac.core.loops import Loop, Loops
from bivouac.core.policy import Policy, load_overrides
from bivouac.core.settings import Settings
from bivouac.core.store import Store, Tx, open_store
from bivouac.core.tls import ServerTls
from bivouac.drivers.net.ovn.central import Central, Secured
from bivouac.identity import api as identity_api
from bivouac.identity import policy as identity_policy
from bivouac.identity.bootstrap import ServiceUrl, bootstrap
from bivouac.identity.identity import Identity
from bivouac.identity.loops import Upkeep
from bivouac.image import agent_api as image_agent_api
from bivouac.image import api as image_api
from bivouac.image import loops as image_loops
from bivouac.image import policy as image_policy
from bivouac.image.transfer import ImageService
from bivouac.network import api as network_api
from bivouac.network import policy as network_policy
from bivouac.network import settings as network_settings
from bivouac.network.projection.loop import Projection
from bivouac.network.projection.simulated import SimulatedProjection

from .bearers import Forgotten, bearers_mount
from .hosts import host_states
from .passwords import admin_password
from .root import root_mount, status_mount

log = logging.getLogger(__name__)
PACKAGES = tuple(
    f"bivouac.{name}" for name in ("core", "identity", "image", "network", "placement", "compute")
)
"""Packages with tables, in the order in which they are migrated."""
RULES = [*identity_policy.POLICY, *image_policy.POLICY, *network_policy.POLICY, *compute_policy.POLICY]
LAST_ANSWERS_S = 3.0
"""So long answers under way may take once the process is to end."""
MAX_UNIX_PATH = 90
"""sun_path holds 108 bytes (unix(7)); OVN's sockets lie deeper than the state directory itself."""


class StateError(Error):
    """The state directory cannot be used as it is."""


class Cloud:
    """All services of one control process."""

    def __init__(self, settings: Settings, clock: Clock, store: Store):
        self.settings = settings
        self.clock = clock
        self.store = store
        self.identity = Identity(store, clock, settings)
        blobs = settings.control_path / "blobs"
        self.image = ImageService(
            store, clock, settings.image, blobs, self.identity.vault, settings.region.name
        )
        overrides = load_overrides(settings.policy_file) if settings.policy_file else None
        self.compute = Compute(store, clock, settings)
        self.policy = Policy(RULES, overrides)
        self.services: list[Mount] = [
            identity_api.mount(self.identity),
            image_api.mount(self.image),
            network_api.mount(),
            *compute_api.mounts(self.compute),
        ]
        self.application = Application(
            store=store,
            policy=self.policy,
            clock=clock,
            mounts=[*self.services, root_mount(self.services)],
            authenticate=self.identity.authenticator,
            public_url=settings.http.public_url,
        )
        self.central = _central(settings) if settings.drivers == "real" else None
        self.projection = (
            Projection(store, self.central.northbound, self.central.southbound, settings.network.name_servers)
            if self.central
            else SimulatedProjection(store)
        )
        self.loops = Loops(store, self._loops())
        of_agents = [agent_api.mount(self.compute), image_agent_api.mount(self.image)]
        self.further_hosts = Application(
            store=store, policy=self.policy, clock=clock, mounts=of_agents, authenticate=_nobody
        )
        self.internal = Application(
            store=store,
            policy=self.policy,
            clock=clock,
            mounts=[
                status_mount(lambda: self.loops, self._daemons, host_states),
                *of_agents,
                bearers_mount(self.identity.authenticator, Forgotten(store, settings.forgotten_path)),
            ],
            authenticate=_nobody,
        )

    def _loops(self) -> list[Loop]:
        upkeep = Upkeep(self.identity)
        return [upkeep, *image_loops.loops(self.image), *self.compute.loops(), self.projection]

    def _daemons(self) -> dict[str, str]:
        return self.central.daemons() if self.central else {}

    def _tls(self) -> list[ServerTls]:
        """For the APIs, and for further hosts with their certificates; neither on loopback. Raises NoCertificate."""
        settings = self.settings
        if not settings.secure:
            return []
        authority = settings.authority_path / "certificate.pem"
        return [ServerTls(settings.certificate), ServerTls(settings.certificate, clients=authority)]

    async def run(self, stopping: asyncio.Event) -> None:
        """Listen and converge until `stopping` is set. Raises AddressTaken before anything is served."""
        settings = self.settings
        tls = self._tls()
        public = tcp_socket(settings.http.host, settings.http.port)
        listening = [(self.application, public, tls[0] if tls else None)]
        if tls:
            further = tcp_socket(settings.http.host, settings.hosts.agents_port)
            listening.append((self.further_hosts, further, tls[1]))
        listening.append((self.internal, unix_socket(settings.control_socket), None))
        self.image.start()
        if self.central:
            await self.central.start()
            self.central.watch()
        log.info("control listens", extra={"host": settings.http.host, "port": settings.http.port})
        working = [asyncio.create_task(one) for one in (self.loops.run(), self.compute.run(), lag.watch())]
        working += [asyncio.create_task(one.keep_fresh()) for one in tls]
        servers = [Server(one.handle, one.websocket) for one, _, _ in listening]
        try:
            for server, (_, listener, secured) in zip(servers, listening, strict=True):
                await server.listen(listener, secured.context if secured else None)
            await stopping.wait()
        finally:
            await asyncio.gather(*(server.stop(LAST_ANSWERS_S) for server in servers))
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            await self.projection.stop()
            settings.control_socket.unlink(missing_ok=True)
            if self.central:
                await self.central.stop()
            self.store.close()


def _central(settings: Settings) -> Central:
    """OVN's central part, open to further hosts where there can be any."""
    if not settings.secure:
        return Central(settings.control_path)
    host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    secured = Secured(settings.certificate, settings.authority_path / "certificate.pem")
    return Central(settings.control_path, f"pssl:{settings.hosts.southbound_port}:{host}", secured)


def build(settings: Settings, clock: Clock | None = None) -> Cloud:
    """Open (and migrate) the store, make what a first start needs, and put the services together. Raises StateError,
    VaultError."""
    clock = clock or Clock()
    _check_state(settings.control_path)
    store = open_store(settings.database.url, settings.control_path / "bivouac.db")
    if applied := store.migrate(PACKAGES):
        log.info("migrated the database", extra={"migrations": applied})
    password = admin_password(settings.control_path / "admin-password")
    store.write_now(_first_time, settings, clock.now(), password)
    cloud = Cloud(settings, clock, store)
    store.write_now(cloud.identity.vault.upkeep, clock.now())
    return cloud


def _check_state(path: Path) -> None:
    if len(str(path)) > MAX_UNIX_PATH:
        raise StateError(
            f"The state directory's path is too long for Unix sockets: {path} has {len(str(path))} characters, "
            f"{MAX_UNIX_PATH} are the most. Use a shorter --state."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise StateError(f"Cannot use {path}: {error.strerror}.") from error


def _first_time(tx: Tx, settings: Settings, now: float, password: str) -> None:
    """What must be there before the first call; all of it is left alone when it is."""
    network_settings.record(tx, settings.network)
    bootstrap(tx, now=now, admin_password=password, services=service_urls(settings), region=settings.region.name)


def service_urls(settings: Settings) -> list[ServiceUrl]:
    """The catalog of this cloud."""
    base, store = settings.public_url, settings.object_store
    swift = f"{settings.url(store.swift_port)}/object-store/v1/AUTH_$(project_id)s"
    return [
        ServiceUrl("identity", "keystone", f"{base}/identity/v3"),
        ServiceUrl("image", "glance", f"{base}/image"),
        ServiceUrl("network", "neutron", f"{base}/network"),
        ServiceUrl("compute", "nova", f"{base}/compute/v2.1"),
        ServiceUrl("object-store", "swift", swift),
        ServiceUrl("s3", "s3", settings.url(store.s3_port)),
    ]


async def _nobody(token: str, request: Request) -> None:
    return None
