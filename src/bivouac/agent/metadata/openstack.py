"""OpenStack's metadata documents.

Versions and fields: nova, doc/source/user/metadata.rst and api-ref; each version has what came up to its date.
"""

import base64
import binascii
from typing import Any

import msgspec

from bivouac.hostspec.server import GuestMetadata

VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
)
LATEST = "latest"
SEED_BYTES = 512
_SINCE = {
    "password": "2013-04-04",
    "vendor_data.json": "2013-10-17",
    "network_data.json": "2015-10-15",
    "vendor_data2.json": "2016-10-06",
}
encode = msgspec.json.Encoder(order="sorted").encode


def has(version: str, since: str) -> bool:
    """Whether a version (or `latest`) contains what came at a date."""
    return version == LATEST or version >= since


def user_data(metadata: GuestMetadata) -> bytes:
    """The bytes that the server's owner gave; nothing where they are not base64."""
    try:
        return base64.b64decode(metadata.user_data, validate=True)
    except (binascii.Error, ValueError):
        return b""


def files_of(metadata: GuestMetadata) -> list[tuple[str, bytes]]:
    """Injected files: path in the guest, content."""
    found = []
    for path, encoded in metadata.files:
        try:
            found.append((path, base64.b64decode(encoded)))
        except (binascii.Error, ValueError):
            continue
    return found


def meta_data(server_id: str, metadata: GuestMetadata, version: str, seed: bytes) -> dict[str, Any]:
    """`meta_data.json` of a version."""
    document: dict[str, Any] = {
        "uuid": server_id,
        "hostname": metadata.hostname,
        "name": metadata.name,
        "launch_index": metadata.launch_index,
        "availability_zone": metadata.availability_zone,
    }
    if metadata.meta:
        document["meta"] = metadata.meta
    if metadata.public_keys:
        document["public_keys"] = metadata.public_keys
        document["keys"] = [
            {"name": name, "type": metadata.key_types.get(name, "ssh"), "data": data}
            for name, data in metadata.public_keys.items()
        ]
    if metadata.files:
        document["files"] = [
            {"content_path": f"/content/{number:04d}", "path": path}
            for number, (path, _) in enumerate(files_of(metadata))
        ]
    if metadata.admin_password:
        document["admin_pass"] = metadata.admin_password
    if has(version, "2013-04-04"):
        document["random_seed"] = base64.b64encode(seed).decode()
    if has(version, "2015-10-15"):
        document["project_id"] = metadata.project_id
    if has(version, "2016-06-30"):
        document["devices"] = list(metadata.devices)
    if has(version, "2020-10-14"):
        document["dedicated_cpus"] = []
    return document


def names(metadata: GuestMetadata, version: str) -> list[str]:
    """The documents of a version."""
    listed = ["meta_data.json"]
    if metadata.user_data:
        listed.append("user_data")
    return listed + [name for name, since in _SINCE.items() if has(version, since)]


def document(server_id: str, metadata: GuestMetadata, version: str, name: str, seed: bytes) -> bytes | None:
    """The content of `openstack/<version>/<name>`; None where there is none. `password` is not a document."""
    if name not in names(metadata, version) or name == "password":
        return None
    if name == "meta_data.json":
        return encode(meta_data(server_id, metadata, version, seed))
    if name == "user_data":
        return user_data(metadata)
    if name == "network_data.json":
        return encode(metadata.network_data or {"links": [], "networks": [], "services": []})
    return b"{}"
