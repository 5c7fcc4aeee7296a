"""Identifiers: UUIDs as OpenStack writes them."""

import os
import re

_UUID = re.compile(r"^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$", re.IGNORECASE)

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""RFC 9562's variant bits, by the random digit they replace."""


def new_uuid() -> str:
    """A random UUID with dashes (servers, images, networks, volumes)."""
    text = new_hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_hex() -> str:
    """A random UUID without dashes (Keystone's users, projects, domains, roles)."""
    text = os.urandom(16).hex()
    return f"{text[:12]}4{text[13:16]}{_VARIANT[text[16]]}{text[17:]}"


def is_uuid(text: str) -> bool:
    """Whether the text has the form of a UUID, with dashes or without."""
    return bool(_UUID.match(text))


def new_request_id() -> str:
    """`req-` and a UUID, as every OpenStack service sends it. Random bytes are drawn for many at once: a request
    costs too little to pay a system call for its name."""
    global _pool
    if len(_pool) < 32:
        _pool = os.urandom(4096).hex()
    text, _pool = _pool[:32], _pool[32:]
    return f"req-{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


_pool = ""
