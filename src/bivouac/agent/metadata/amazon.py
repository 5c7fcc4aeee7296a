"""Amazon's metadata tree, as images made for EC2 read it: every folder lists its entries, folders end in a slash.

Amazon EC2 User Guide, "Instance metadata categories"; the versions are those that OpenStack has always served.
"""

from collections.abc import Mapping
from typing import Any

from bivouac.hostspec.server import GuestMetadata

from .openstack import user_data

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "latest",
)


def short_id(prefix: str, uuid: str) -> str:
    """`i-0123456789abcdef0` of a UUID: Amazon's form, 17 digits."""
    return f"{prefix}-{uuid.replace('-', '')[:17]}"


def tree(server_id: str, metadata: GuestMetadata) -> dict[str, Any]:
    """The content of `meta-data/`: a value is text, or a folder."""
    address = metadata.fixed_ips[0] if metadata.fixed_ips else ""
    found: dict[str, Any] = {
        "ami-id": short_id("ami", metadata.image_id) if metadata.image_id else "",
        "ami-launch-index": str(metadata.launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": metadata.hostname,
        "instance-action": "none",
        "instance-id": short_id("i", server_id),
        "instance-type": metadata.instance_type,
        "local-hostname": metadata.hostname,
        "local-ipv4": address,
        "placement": {"availability-zone": metadata.availability_zone},
        "public-hostname": metadata.hostname,
        "public-ipv4": metadata.floating_ip,
        "reservation-id": metadata.reservation_id,
        "security-groups": "\n".join(metadata.security_groups),
    }
    if metadata.public_keys:
        found["public-keys"] = {
            str(number): {"_name": f"{number}={name}", "openssh-key": data}
            for number, (name, data) in enumerate(metadata.public_keys.items())
        }
    return found


def answer(server_id: str, metadata: GuestMetadata, path: list[str]) -> bytes | None:
    """The content of `<version>/<path>`; None where there is none."""
    if not path:
        return b"meta-data/\nuser-data" if metadata.user_data else b"meta-data/"
    if path == ["user-data"]:
        return user_data(metadata) if metadata.user_data else None
    if path[0] != "meta-data":
        return None
    place: Any = tree(server_id, metadata)
    for step in path[1:]:
        if not isinstance(place, Mapping) or step.startswith("_") or step not in place:
            return None
        place = place[step]
    return _listing(place) if isinstance(place, Mapping) else str(place).encode()


def _listing(folder: Mapping[str, Any]) -> bytes:
    lines = []
    for name, value in folder.items():
        if name == "_name":
            continue
        if isinstance(value, Mapping):
            name = value.get("_name", f"{name}/")
        lines.append(name)
    return "\n".join(lines).encode()
