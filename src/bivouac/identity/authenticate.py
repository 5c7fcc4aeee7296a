"""What every request of every service goes through: from the token's text to its caller, in about a microsecond.

A proven token stays in `Memory` until it expires or until something it depends on changes.
"""

from ..core.call import Caller
from ..core.clock import Clock
from ..core.errors import Forbidden
from ..core.http import Request
from ..core.store import Store
from . import access_rules
from .memory import Memory
from .service.access_keys import prove_access_key
from .service.validity import MICROSECONDS, Proven, Refused, prove
from .tokens import InvalidToken, Keys
from .vault import Vault

KEYS_BELL = "identity.keys"
TOKEN, ACCESS_KEY = "token", "access key"
"""Kinds in the memory."""


class Authenticator:
    """Proves tokens for one process."""

    def __init__(self, store: Store, clock: Clock, vault: Vault):
        self._clock = clock
        self._vault = vault
        self.keys = Keys(store)
        self.memory = Memory(store, clock)
        store.on_bell(self._bell)

    async def __call__(self, token: str, request: Request) -> Caller | None:
        """The token's caller, or None when it does not count. Raises Forbidden when its application credential's
        access rules do not cover the request."""
        proven = await self.prove(token)
        if proven is None:
            return None
        caller = proven.caller
        if caller.access_rules is not None and not access_rules.allow(
            caller.access_rules, request.mount.service_type, request.method, request.mount.prefix, request.path
        ):
            raise Forbidden(
                f"The application credential's access rules don't allow {request.method} {request.path} of the service "
                f"{request.mount.service_type}."
            )
        return caller

    async def prove(self, text: str) -> Proven | None:
        """The token as it counts now, or None. From memory where that is exact."""
        now, key = self._clock.now(), (TOKEN, text)
        proven: Proven | None = self.memory.get(key, now)
        if proven is not None:
            return proven
        try:
            token = self.keys.prove(text)
        except InvalidToken:
            return None
        expires_at = token.expires_us / MICROSECONDS
        if now >= expires_at:
            self.memory.drop(key)
            return None
        try:
            return await self.memory.read(key, expires_at, prove, token)
        except Refused:
            return None

    async def access_key(self, access: str) -> Proven | None:
        """Whom an EC2 access key stands for now, with its secret in `access_secret`; None when it does not count.

        For the object store's signatures: from memory where that is exact, as with tokens.
        """
        now = self._clock.now()
        try:
            key = (ACCESS_KEY, access)
            return await self.memory.read(key, float("inf"), prove_access_key, self._vault, access, now)
        except Refused:
            return None

    def _bell(self, name: str, key: str) -> None:
        if name == KEYS_BELL:
            self.keys.load()
