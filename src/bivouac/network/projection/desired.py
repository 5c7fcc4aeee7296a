"""What OVN's northbound database should hold for a snapshot: a pure function."""

from . import firewall, routers, switches
from .model import Draft, Wanted
from .snapshot import Snapshot


def desired(snapshot: Snapshot) -> Wanted:
    """All rows we want, by table and key."""
    draft = Draft()
    switches.add(draft, snapshot)
    routers.add(draft, snapshot)
    firewall.add(draft, snapshot)
    return draft.rows
