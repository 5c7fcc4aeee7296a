"""The compute service of one control process: what the application builds once and mounts."""


from bivouac.core.clock import Clock
from bivouac.core.loops import Loop
from bivouac.core.settings import Settings
from bivouac.core.store import Store

from .consoles import Consoles
from .hosts import HostLinks
from .loops import loops
from .views import Views


class Compute:
    """Links to hosts, consoles and loops on one store. `run` must run while agents are connected."""

    def __init__(self, store: Store, clock: Clock, settings: Settings):
        self.store = store
        self.clock = clock
        self.settings = settings
        self.hosts = HostLinks(store, clock, settings.compute, settings.region.availability_zone)
        self.consoles = Consoles(store, self.hosts)
        self.views = Views()

    def loops(self) -> list[Loop]:
        """Compute's loops, for `core.loops.Loops`."""
        return loops(self.store, self.clock, self.hosts)

    async def run(self) -> None:
        """Write what hosts report, until cancelled."""
        await self.hosts.run()


