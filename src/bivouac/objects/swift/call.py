"""One Swift request on its way through the door: its path, parameters, caller, and what it may do."""

from __future__ import annotations

import re
from functools import lru_cache
from time import gmtime
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from bivouac.core.http1 import Request
from bivouac.objects.caller import Caller
from bivouac.objects.sealed import Unseal, nobody_can
from bivouac.objects.store.interface import Store
from bivouac.objects.swift.errors import Refusal

RESELLER_PREFIX = "AUTH_"
MOUNT = b"/object-store"  # the catalog's path; the plain one is served as well
TRUE = frozenset(("true", "1", "yes", "on", "t", "y"))
_TIMESTAMP = re.compile(r"^(\d{1,11})\.(\d{5})$")


class Path(NamedTuple):
    version: str
    account: str  # the project's id
    container: str | None
    object: str | None


def parse_path(target: bytes) -> Path | None:
    """None: not a path of the API. Raises Refusal for bytes that are no UTF-8."""
    if target.startswith(MOUNT + b"/"):
        target = target[len(MOUNT) :]
    if b"%" in target:
        target = unquote_to_bytes(target)
    try:
        text = target.decode()
    except UnicodeDecodeError:
        raise Refusal(412, "Invalid UTF8 or contains NULL") from None
    if "\0" in text:
        raise Refusal(412, "Invalid UTF8 or contains NULL")
    parts = text.split("/", 4)
    if len(parts) < 3 or parts[1] not in ("v1", "v1.0") or not parts[2].startswith(RESELLER_PREFIX):
        return None
    account = parts[2][len(RESELLER_PREFIX) :]
    container = parts[3] if len(parts) > 3 and parts[3] else None
    name = parts[4] if len(parts) > 4 and parts[4] else None
    if not account or (name and not container):
        return None
    return Path(parts[1], account, container, name)


class Call:
    """`override`: a signature (TempURL) has authorised the request already; `scope` is whose key it
    was, `account` or `container`, and what the request reads besides its own path must lie within. `owner`: the
    caller may see and set
    what is private."""

    __slots__ = (
        "request", "store", "path", "method", "account", "container", "name", "caller", "trans_id", "override",
        "scope", "owner", "referrer", "unseal", "_params",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        store: Store,
        path: Path,
        caller: Caller | None,
        trans_id: str,
        unseal: Unseal = nobody_can,
    ) -> None:
        self.request, self.store, self.path, self.caller, self.trans_id = request, store, path, caller, trans_id
        self.method = request.method
        self.account, self.container, self.name = path.account, path.container, path.object
        self.override = self.owner = False
        self.scope, self.unseal = "", unseal
        self._params: dict[str, str] | None = None
        self.referrer = request.header("referer") if b"referer" in request.headers else ""

    @property
    def params(self) -> dict[str, str]:
        """The query's parameters; the last of a name counts."""
        if self._params is None:
            self._params = parse_query(self.request.query)
        return self._params

    def param(self, name: str) -> str | None:
        return self.params.get(name) if self.request.query else None

    def flag(self, header: str) -> bool:
        return self.request.header(header).strip().lower() in TRUE

    def text(self, header: str) -> str | None:
        """A header's value if it is there. Raises Refusal unless it is UTF-8."""
        value = self.request.headers.get(header.encode())
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Refusal(400, f"{header.title()} must be valid UTF-8") from None


def parse_query(query: bytes) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Refusal(400, "Invalid query string") from None
    found = dict(pairs)
    if any("\0" in value for value in found.values()):
        raise Refusal(412, "Invalid UTF8 or contains NULL")
    return found


def timestamp(time: int) -> str:
    """Swift's form of the store's time: seconds with five decimals."""
    return f"{time // 1_000_000}.{time % 1_000_000 // 10:05d}"


def from_timestamp(text: str) -> int | None:
    found = _TIMESTAMP.match(text)
    return int(found[1]) * 1_000_000 + int(found[2]) * 10 if found else None


def iso_time(time: int) -> str:
    """As in listings: 2026-01-01T00:00:00.000000."""
    return f"{_iso_seconds(time // 1_000_000)}.{time % 1_000_000:06d}"


@lru_cache(maxsize=4096)
def _iso_seconds(seconds: int) -> str:
    """A listing's entries often share their second."""
    t = gmtime(seconds)
    return f"{t.tm_year}-{t.tm_mon:02d}-{t.tm_mday:02d}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"


def whole_seconds(time: int) -> int:
    """For Last-Modified: rounded up, so that what was told is never before what is."""
    return -(-time // 1_000_000)
