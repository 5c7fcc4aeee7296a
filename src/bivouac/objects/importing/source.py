"""What a job needs of the place that objects come from. Sources block: the job runs them in threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec


class SourceError(Exception):
    """The source refused or could not be understood; the text is for the operator."""


class Vanished(SourceError):
    """The object is not there any more."""


class Entry(msgspec.Struct, frozen=True):
    """A line of a listing. `state` changes whenever the object does."""

    name: str
    size: int
    state: str


class Fetched(msgspec.Struct):
    """An object with its bytes still to be read. `etag` is kept as the new object's own if it is that of a multipart
    upload; `md5` is of the bytes, "" if the source does not tell."""

    size: int
    content_type: str
    read: Callable[[int], bytes]
    close: Callable[[], None]
    etag: str = ""
    md5: str = ""
    metadata: dict[str, str] = {}
    headers: dict[str, str] = {}
    tags: dict[str, str] = {}
    expires_at: int | None = None


class Source(Protocol):
    """`name` tells two sources apart and is kept with a job's place."""

    name: str
    global_names: bool
    """Whether its containers are buckets, whose names are one space for all projects."""

    def containers(self) -> list[str]:
        """All that can be imported. Raises SourceError."""
        ...

    def page(self, container: str, marker: str) -> list[Entry]:
        """The next entries after `marker`, in order; none at the end. Raises SourceError."""
        ...

    def fetch(self, container: str, name: str) -> Fetched:
        """Raises SourceError, Vanished."""
        ...

    def close(self) -> None: ...


KEPT_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")


def kept_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in KEPT_HEADERS if name in headers}


def with_prefix(headers: dict[str, str], prefix: str) -> dict[str, str]:
    """The user's metadata, its prefix taken off."""
    return {name[len(prefix) :]: value for name, value in headers.items() if name.startswith(prefix)}


def plain_md5(etag: str) -> str:
    """The ETag if it can be the MD5 of the bytes."""
    return etag if len(etag) == 32 and all(character in "0123456789abcdef" for character in etag) else ""
