"""What was proven lately, kept until something it depends on changes.

Every value names the ids it depends on (`subjects`). `revocation.forget` rings a bell that drops the values of a
subject before the writer is answered; in other processes the bell arrives as fast as the database passes it on, and
`RECHECK_S` bounds what a lost one can do. A value read from an older snapshot than the last bell is not kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from ..core.clock import Clock
from ..core.store import Store
from . import revocation

RECHECK_S = 5.0
CAPACITY = 10_000
"""Values kept: a few KiB each."""


class Dependent(Protocol):
    """A value that says what it depends on."""

    @property
    def subjects(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Dependent)
Key = tuple[str, str]
"""The kind of thing, and its name. The kind is ours and never from a request, so that a name that somebody sends can
only ever find a thing of the kind that it is looked for as."""


class Entry(Struct, frozen=True):
    """A value and until when it may be used without another look."""

    value: Any
    good_until: float


class Memory:
    """Values by key, for one process. Bells may come from any thread."""

    def __init__(self, store: Store, clock: Clock):
        self._store = store
        self._clock = clock
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._by_subject: dict[str, set[Key]] = {}
        self._lock = threading.Lock()
        self._generation = 0
        store.on_bell(self._bell)

    @property
    def generation(self) -> int:
        """Rises with every bell: what was read before it may be stale."""
        return self._generation

    def remembered(self) -> list[Key]:
        """What is remembered now."""
        with self._lock:
            return list(self._entries)

    def get(self, key: Key, now: float) -> Any:
        """The value, or None."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and now < entry.good_until else None

    async def read(self, key: Key, until: float, rule: Callable[..., T], *args: Any) -> T:
        """The value, or what `rule(tx, *args)` returns, kept at most until that moment. What it raises is not kept."""
        now = self._clock.now()
        entry = self._entries.get(key)
        if entry is not None and now < entry.good_until:
            return entry.value
        generation = self._generation
        try:
            value = await self._store.read(rule, *args)
        except Exception:
            self.drop(key)
            raise
        self.keep(key, value, until, generation)
        return value

    def keep(self, key: Key, value: Dependent, until: float, generation: int) -> None:
        """Keep a value that was read when the generation was as given. One without subjects, such as the answer that
        there is no such user, could not be dropped in time and is not kept."""
        if not value.subjects:
            return
        entry = Entry(value, min(self._clock.now() + RECHECK_S, until))
        with self._lock:
            if generation != self._generation:
                return
            old = self._entries.pop(key, None)
            if old is not None:
                self._unlink(key, old)
            self._entries[key] = entry
            for subject in value.subjects:
                self._by_subject.setdefault(subject, set()).add(key)
            if len(self._entries) > CAPACITY:
                self._unlink(*self._entries.popitem(last=False))

    def drop(self, key: Key) -> None:
        """Forget one value."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._unlink(key, entry)

    def _unlink(self, key: Key, entry: Entry) -> None:
        for subject in entry.value.subjects:
            keys = self._by_subject.get(subject)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._by_subject[subject]

    def _bell(self, name: str, subject: str) -> None:
        if name != revocation.BELL:
            return
        with self._lock:
            self._generation += 1
            if subject == revocation.EVERYTHING:
                self._entries.clear()
                self._by_subject.clear()
                return
            for key in list(self._by_subject.get(subject, ())):
                entry = self._entries.pop(key, None)
                if entry is not None:
                    self._unlink(key, entry)
