"""Encoded servers that are remembered, with the state of which each was made.

Nothing here knows whether an entry is still right: whoever reads compares its state with the database's
(`service.shown`), so nothing has to be dropped when something changes.
"""

from collections import OrderedDict
from collections.abc import Hashable

import msgspec

from .service.shown import Known, Seen, State

CAPACITY = 4096
"""Servers that are remembered, in all their looks together: about two KiB each."""


class Views:
    """The encoded servers of one process, by how they are looked at (version, rights, address of the API)."""

    def __init__(self) -> None:
        self._looks: OrderedDict[Hashable, dict[str, tuple[State, msgspec.Raw]]] = OrderedDict()
        self._size = 0

    def known(self, look: Hashable) -> Known:
        """What is remembered for a look, by id."""
        entries = self._looks.get(look)
        if entries is None:
            return {}
        self._looks.move_to_end(look)
        return entries

    def keep(self, look: Hashable, seen: Seen, encoded: dict[str, msgspec.Raw]) -> None:
        """Remember what was just encoded of a page. Looks that were not used for longest give way."""
        entries = self._looks.setdefault(look, {})
        for id, state in seen.states:
            if id in encoded:
                self._size += id not in entries
                entries[id] = (state, encoded[id])
        while self._size > CAPACITY:
            oldest, its = next(iter(self._looks.items()))
            if oldest == look:
                for id in list(its)[: self._size - CAPACITY]:
                    del its[id]
                self._size = CAPACITY
            else:
                self._size -= len(self._looks.pop(oldest))
