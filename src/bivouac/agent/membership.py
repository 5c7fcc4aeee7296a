"""What makes a machine a further host of a cloud: its name, where control is, and the certificates of both sides.

`bivouac host add` writes it as one file, `bivouac host join` takes it on the other machine. There the agent's folder
holds `membership.json`, and the certificates as files of their own beside it, as OVN's daemons want them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from bivouac.core.certificates import replace_file
from bivouac.core.errors import Error

FILE = "membership.json"


class NoMembership(Error):
    """A file is not what `bivouac host add` writes."""


class Membership(Struct, frozen=True):
    """`control` is the agents' URL, `southbound` OVN's database as OVS spells it; `authority` and `certificate` (with
    its key) are PEM. `address` is this host's, for the tunnels between hosts; empty until it has joined."""

    name: str
    control: str
    southbound: str
    authority: str
    certificate: str
    address: str = ""


def encode(membership: Membership) -> bytes:
    """As it is written to a file."""
    return msgspec.json.format(msgspec.json.encode(membership)) + b"\n"


def read(path: Path) -> Membership:
    """Raises NoMembership, OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Membership)
    except msgspec.DecodeError as error:
        raise NoMembership(f"{path} is not a file that `bivouac host add` has written: {error}") from error


def store(folder: Path, membership: Membership) -> None:
    """Make the machine whose agent's folder this is a host, from its agent's next start on. Raises OSError."""
    replace_file(authority_file(folder), membership.authority.encode(), 0o600)
    replace_file(certificate_file(folder), membership.certificate.encode(), 0o600)
    replace_file(folder / FILE, encode(membership), 0o600)


def load(folder: Path) -> Membership | None:
    """What this machine joined with; None on the cloud's own first machine. Raises NoMembership, OSError."""
    return read(folder / FILE) if (folder / FILE).exists() else None


def authority_file(folder: Path) -> Path:
    """The authority's certificate, beside the membership."""
    return folder / "authority.pem"


def certificate_file(folder: Path) -> Path:
    """This host's certificate and key, beside the membership."""
    return folder / "host.pem"
