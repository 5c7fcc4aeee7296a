"""Crash points: every side effect passes here, so that a test can stop the world at the n-th one.

Outside tests `side_effect` costs one comparison. In a test, `arm(n)` makes the n-th call raise `Crashed`, which is a
BaseException so that no error handling on the way mistakes it for a failure it may deal with.
"""

import sys
from collections.abc import Callable


class Crashed(BaseException):
    """The process ends here, as far as the code under test can tell."""


_hook: Callable[[str], None] | None = None


def side_effect(name: str) -> None:
    """Call immediately before a side effect (file, process, tap, OVN transaction, database commit of a loop)."""
    if _hook is not None:
        _hook(name)


class arm:  # noqa: N801 - reads as a verb: `with arm(3) as point:`
    """Within the block, the n-th side effect (from 1) raises Crashed; 0 only counts. `seen` lists the names so far,
    `sites` where they stand: module and line."""

    def __init__(self, n: int = 0):
        self.n = n
        self.seen: list[str] = []
        self.sites: list[tuple[str, int]] = []

    def __enter__(self) -> "arm":
        global _hook
        _hook = self._hit
        return self

    def __exit__(self, *_: object) -> None:
        global _hook
        _hook = None

    def _hit(self, name: str) -> None:
        self.seen.append(name)
        caller = sys._getframe(2)
        self.sites.append((caller.f_globals["__name__"], caller.f_lineno))
        if len(self.seen) == self.n:
            raise Crashed(name)
