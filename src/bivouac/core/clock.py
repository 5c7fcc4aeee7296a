"""Time as an argument: services get a `Clock`, tests move theirs by hand.

Moments are seconds since the epoch as float, in UTC. Each dialect formats them with the functions below.
"""

import time
from datetime import UTC, datetime


class Clock:
    """The wall clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class ManualClock(Clock):
    """A clock for tests: it stands until moved."""

    def __init__(self, start: float = 1_700_000_000.0):
        self.time = start

    def now(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


def iso_seconds(moment: float | None) -> str | None:
    """`2026-01-31T12:00:00Z`, as Nova, Glance and Neutron write moments; None stays None."""
    return None if moment is None else datetime.fromtimestamp(int(moment), UTC).isoformat()[:19] + "Z"


def iso_micro(moment: float | None, suffix: str = "Z") -> str | None:
    """`2026-01-31T12:00:00.000000Z`, as Keystone writes moments (Cinder and parts of Nova without the Z)."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")[:26] + suffix


def parse_iso(text: str) -> float:
    """Any ISO 8601 moment (a missing zone means UTC). Raises ValueError."""
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
