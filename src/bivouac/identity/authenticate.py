"""What every request of every service goes through: from the token's text to its caller, in a few microseconds.

A proven token stays in memory until it expires, until something it depends on changes (`revocation.forget` rings a
bell, which goes off before whoever made the change is answered), or for `RECHECK_S`, so that a bell lost between two
processes costs seconds at most.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from ..core.call import Caller
from ..core.clock import Clock
from ..core.errors import Forbidden
from ..core.http import Request
from ..core.store import Store
from . import access_rules, revocation
from .service.access_keys import prove_access_key
from .service.validity import Proven, Refused, prove
from .tokens import InvalidToken, Keys

RECHECK_S = 5.0
_ACCESS = " access key "
"""Before an access key, where a token's text would stand: no token holds a space."""
CAPACITY = 10_000
"""Proven tokens kept: about 3 KiB each."""


class Entry(Struct, frozen=True):
    """A proven token and until when it may be used without another look."""

    proven: Proven
    good_until: float


class Authenticator:
    """Proves tokens for one process. Bells may come from any thread."""

    def __init__(self, store: Store, clock: Clock, keys: Keys | None = None):
        self._store = store
        self._clock = clock
        self.keys = keys or Keys(store)
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._by_subject: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._generation = 0
        store.on_bell(self._bell)

    async def __call__(self, token: str, request: Request) -> Caller | None:
        """The token's caller, or None when it does not count. Raises Forbidden when its application credential's
        access rules do not cover the request."""
        entry = self._entries.get(token)
        if entry is None or self._clock.now() >= entry.good_until:
            proven = await self.prove(token)
            if proven is None:
                return None
        else:
            proven = entry.proven
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
        now = self._clock.now()
        entry = self._entries.get(text)
        if entry is not None and now < entry.good_until:
            return entry.proven
        try:
            token = self.keys.prove(text)
        except InvalidToken:
            return None
        if now >= token.expires_us / 1e6:
            self._drop(text)
            return None
        return await self._read(text, prove, token)

    async def access_key(self, access: str) -> Proven | None:
        """Whom an EC2 access key stands for now, with its secret in `access_secret`; None when it does not count.

        For the object store's signatures: from memory where that is exact, as with tokens.
        """
        entry = self._entries.get(_ACCESS + access)
        if entry is not None and self._clock.now() < entry.good_until:
            return entry.proven
        return await self._read(_ACCESS + access, prove_access_key, access, self._clock.now())

    async def _read(self, key: str, rule: Callable[..., Proven], *args: Any) -> Proven | None:
        """What a rule proves, kept under the key."""
        generation = self._generation
        try:
            proven = await self._store.read(rule, *args)
        except Refused:
            self._drop(key)
            return None
        until = min(self._clock.now() + RECHECK_S, proven.token.expires_us / 1e6)
        self._remember(key, Entry(proven, until), generation)
        return proven

    def remember(self, text: str, proven: Proven, generation: int) -> None:
        """Keep a token that was just issued from what was read at `generation`."""
        until = min(self._clock.now() + RECHECK_S, proven.token.expires_us / 1e6)
        self._remember(text, Entry(proven, until), generation)

    @property
    def generation(self) -> int:
        """Rises with every bell: what was read before it may be stale."""
        return self._generation

    def _remember(self, text: str, entry: Entry, generation: int) -> None:
        with self._lock:
            if generation != self._generation:
                return
            self._entries[text] = entry
            for subject in entry.proven.subjects:
                self._by_subject.setdefault(subject, set()).add(text)
            if len(self._entries) > CAPACITY:
                oldest, gone = self._entries.popitem(last=False)
                self._unlink(oldest, gone)

    def _drop(self, text: str) -> None:
        with self._lock:
            entry = self._entries.pop(text, None)
            if entry is not None:
                self._unlink(text, entry)

    def _unlink(self, text: str, entry: Entry) -> None:
        for subject in entry.proven.subjects:
            texts = self._by_subject.get(subject)
            if texts is not None:
                texts.discard(text)
                if not texts:
                    del self._by_subject[subject]

    def _bell(self, name: str, subject: str) -> None:
        if name == "identity.keys":
            self.keys.load()
        if name != revocation.BELL:
            return
        with self._lock:
            self._generation += 1
            if subject == revocation.EVERYTHING:
                self._entries.clear()
                self._by_subject.clear()
                return
            for text in list(self._by_subject.get(subject, ())):
                entry = self._entries.pop(text, None)
                if entry is not None:
                    self._unlink(text, entry)
