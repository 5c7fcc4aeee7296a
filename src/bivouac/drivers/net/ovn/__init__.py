"""OVN on one host: `OvnDriver` for what an agent owns, `Central` for the databases and northd that control owns.

- Daemons are ours: run directory, databases and sockets below the state directory, nothing of the system's own Open
  vSwitch is touched. They run in sessions of their own and outlive us; a new process adopts them by their pid files.
- Everything is named after the resource: tap `tap` + port id, namespace `bivouac-` + cloud + network id.
- OVS and OVN are configured over their own database protocol, in one transaction per verb.
"""

from .central import Central
from .driver import HostNetwork, OvnDriver

__all__ = ["Central", "HostNetwork", "OvnDriver"]
