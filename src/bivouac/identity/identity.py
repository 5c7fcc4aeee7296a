"""The service of one process: what handlers and the app need of Identity, put together."""

from ..core.clock import Clock
from ..core.http import Request
from ..core.settings import Settings
from ..core.store import Store
from .authenticate import Authenticator
from .catalog import Catalogs
from .login import Login
from .vault import Vault


class Identity:
    """Store, settings and the caches of one process. Handlers find it as `request.mount.service`."""

    def __init__(self, store: Store, clock: Clock, settings: Settings):
        self.store = store
        self.clock = clock
        self.settings = settings
        self.vault = Vault(settings.control_path / "credential-key")
        self.authenticator = Authenticator(store, clock, self.vault)
        self.catalogs = Catalogs(store)
        self.login = Login(store, clock, self.authenticator, settings.security, self.vault)


def identity_of(request: Request) -> Identity:
    """The service behind a request to it."""
    return request.mount.service
