"""Identifiers: UUIDs as OpenStack writes them."""

import os
import re
import uuid

_UUID = re.compile(r"^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$", re.IGNORECASE)


def new_uuid() -> str:
    """A random UUID with dashes (servers, images, networks, volumes)."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


def new_hex() -> str:
    """A random UUID without dashes (Keystone's users, projects, domains, roles)."""
    return uuid.UUID(bytes=os.urandom(16), version=4).hex


def is_uuid(text: str) -> bool:
    """Whether the text has the form of a UUID, with dashes or without."""
    return bool(_UUID.match(text))


def new_request_id() -> str:
    """`req-` and a UUID, as every OpenStack service sends it."""
    return "req-" + new_uuid()
