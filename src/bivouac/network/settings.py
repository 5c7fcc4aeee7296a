"""What an operator chose about networks. Set once when the whole is put together; every default is good."""

from bivouac.core.settings import Network

current = Network()


def configure(chosen: Network) -> None:
    """Take over the settings."""
    global current
    current = chosen


DNS_DOMAIN = "openstacklocal"
"""The domain that guests are told by DHCP and that ports' names end in."""
