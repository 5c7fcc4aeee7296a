"""What a host must know of a network that its servers use: where to answer metadata, and of which port is whose."""

from msgspec import Struct


class MetadataPort(Struct, frozen=True):
    """The localport on which every host answers 169.254.169.254. `id` is the logical switch port's name."""

    id: str
    mac_address: str
    addresses: tuple[str, ...]
    """In CIDR form, `10.0.0.2/24`."""


class NetworkSpec(Struct, frozen=True):
    """A network with at least one server on the host."""

    id: str
    generation: int
    mtu: int
    metadata_port: MetadataPort | None
    servers: dict[str, str] = {}
    """Source address of a guest on this network -> server id, for metadata: address pairs are never listed."""
