"""What an operator chose about networks, kept in the database so that rules read it as they read everything else."""

from typing import ClassVar

from bivouac.core.settings import Network as Chosen
from bivouac.core.store import Row, Tx

DNS_DOMAIN = "openstacklocal"
"""The domain that guests are told by DHCP and that ports' names end in."""


class NetworkDefaults(Row, frozen=True, kw_only=True):
    """One row. `mtu`: of a network that names none; `physical_network`: what provider networks may be on."""

    TABLE: ClassVar[str] = "network_defaults"
    LOGGED: ClassVar[bool] = False
    id: int = 1
    mtu: int
    physical_network: str


def record(tx: Tx, chosen: Chosen) -> None:
    """Take over the settings: at every start of a control process."""
    tx.upsert(NetworkDefaults(mtu=chosen.mtu, physical_network=chosen.physical_network))


def defaults(tx: Tx) -> NetworkDefaults:
    """The settings in force; the built-in ones where none were taken over yet."""
    built_in = Chosen()
    return tx.get(NetworkDefaults, 1) or NetworkDefaults(mtu=built_in.mtu, physical_network=built_in.physical_network)
