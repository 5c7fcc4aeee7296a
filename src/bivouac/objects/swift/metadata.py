"""Metadata in headers: reading it from requests, checking it, writing it into answers."""

from __future__ import annotations

from bivouac.core.http1 import Request
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import check_metadata

# Signing keys let others in: only who owns the account sees them.
PRIVATE = frozenset(("temp-url-key", "temp-url-key-2", "sync-key"))
SYSTEM_HEADERS = (
    "content-disposition",
    "content-encoding",
    "content-language",
    "cache-control",
    "expires",
    "x-robots-tag",
)


def changes(request: Request, kind: str) -> dict[str, str | None]:
    """X-KIND-Meta-* and X-Remove-KIND-Meta-* as changes: None (or an empty value) removes. Raises Refusal."""
    prefix, remove = f"x-{kind}-meta-".encode(), f"x-remove-{kind}-meta-".encode()
    found: dict[str, str | None] = {}
    for name, value in request.headers.items():
        if name.startswith(prefix):
            found[_name(name[len(prefix) :])] = _value(name, value) or None
        elif name.startswith(remove):
            found.setdefault(_name(name[len(remove) :]), None)
    if found:
        check_metadata(found, kind.title())
    return found


def of_object(request: Request) -> dict[str, str]:
    """X-Object-Meta-*, those with an empty value too. Raises Refusal."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        if name.startswith(b"x-object-meta-"):
            found[_name(name[14:])] = _value(name, value)
    if found:
        check_metadata(dict(found), "Object")
    return found


def system_headers(request: Request) -> dict[str, str]:
    return {
        name: _value(name.encode(), value) for name in SYSTEM_HEADERS if (value := request.headers.get(name.encode()))
    }


def _name(name: bytes) -> str:
    return name.decode("ascii").replace("_", "-")


def _value(name: bytes, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refusal(400, f"{name.decode().title()} must be valid UTF-8") from None


def headers(kind: str, metadata: dict[str, str], private: bool) -> list[tuple[str, str]]:
    """As response headers. `private`: the caller may see the keys."""
    return [
        (f"X-{kind}-Meta-{name.title()}", value) for name, value in metadata.items() if private or name not in PRIVATE
    ]


def check_overall(current: dict[str, str], change: dict[str, str | None], kind: str) -> None:
    """What is there already counts against the limits too. Raises Refusal."""
    if change:
        merged = {name: value for name, value in (current | change).items() if value is not None}
        check_metadata(dict(merged), kind)
