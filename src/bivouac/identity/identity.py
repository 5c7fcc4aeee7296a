"""The service of one process: what handlers and the app need of Identity, put together."""

from ..core.clock import Clock
from ..core.settings import Settings
from ..core.store import Store
from .authenticate import Authenticator
from .catalog import Catalogs
from .login import Login


class Identity:
    """Store, settings and the caches of one process. Handlers find it as `request.mount.service`."""

    def __init__(self, store: Store, clock: Clock, settings: Settings):
        self.store = store
        self.clock = clock
        self.settings = settings
        self.authenticator = Authenticator(store, clock)
        self.catalogs = Catalogs(store)
        self.login = Login(store, clock, self.authenticator, settings.security)
