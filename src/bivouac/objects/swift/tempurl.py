"""TempURL: a signed address that lets its bearer do one thing with one object (or a prefix) until a time."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import time
from datetime import UTC, datetime
from urllib.parse import quote

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchContainer
from bivouac.objects.swift.call import MOUNT, Call
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import TEMPURL_DIGESTS, info

METHODS = tuple(info("")["tempurl"]["methods"])
SIZES = {40: "sha1", 64: "sha256", 128: "sha512"}
_ISO = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%s")


def asked(call: Call) -> bool:
    return bool(call.request.query) and ("temp_url_sig" in call.params or "temp_url_expires" in call.params)


async def keys(call: Call) -> list[tuple[str, bytes]]:
    """The keys that may sign, each with its scope."""
    account = await call.store.get_account(call.account)
    found = [("account", account.metadata.get(name, "")) for name in ("temp-url-key", "temp-url-key-2")]
    try:
        container = await call.store.get_container(call.account, call.container or "")
        found += [("container", container.metadata.get(name, "")) for name in ("temp-url-key", "temp-url-key-2")]
    except NoSuchContainer:
        pass
    return [(scope, key.encode()) for scope, key in found if key]


async def authorize(call: Call) -> None:
    """Let the call pass if its signature is good. Raises Refusal 401."""
    params = call.params
    signature, expires = _signature(params.get("temp_url_sig", "")), _expires(params.get("temp_url_expires", ""))
    if signature is None or expires is None or expires < time.time() or call.container is None or call.name is None:
        raise _invalid()
    if call.method not in METHODS:
        raise _invalid()
    prefix = params.get("temp_url_prefix")
    if prefix is not None and not call.name.startswith(prefix):
        raise _invalid()
    addresses = params.get("temp_url_ip_range")
    if addresses is not None and not _within(call.request.peer, addresses):
        raise _invalid()
    # A signature for writing includes reading, as documented: who may put may also look.
    methods = {"HEAD": ("HEAD", "GET", "PUT", "POST", "DELETE"), "GET": ("GET",)}.get(call.method, (call.method,))
    algorithm, digest = signature
    for scope, key in await keys(call):
        for method in methods:
            for path in _signed_paths(call, prefix):
                text = f"{method}\n{params['temp_url_expires'] if not _is_iso(params) else expires}\n{path}"
                if addresses is not None:
                    text = f"ip={addresses}\n{text}"
                if hmac.compare_digest(hmac.new(key, text.encode(), algorithm).digest(), digest):
                    _check_use(call)
                    call.override, call.scope = True, scope
                    return
    raise _invalid()


def _is_iso(params: dict[str, str]) -> bool:
    return not params["temp_url_expires"].isdigit()


def _invalid() -> Refusal:
    return Refusal(401, "401 Unauthorized: Temp URL invalid\n", [("Www-Authenticate", "Temp URL")])


def _check_use(call: Call) -> None:
    """A bearer may not point to what was not signed for."""
    for header in (b"x-object-manifest", b"x-symlink-target", b"x-copy-from"):
        if call.method in ("PUT", "POST") and header in call.request.headers:
            raise Refusal(400, f"The header {header.decode()!r} is not allowed in this tempurl")


def _signed_paths(call: Call, prefix: str | None) -> list[str]:
    """What may have been signed: with the catalog's path before it, or without."""
    version, account = call.path.version, call.path.account
    path = f"/{version}/AUTH_{account}/{call.container}/"
    path = f"prefix:{path}{prefix}" if prefix is not None else f"{path}{call.name}"
    if prefix is not None:
        return [path, path.replace("prefix:", f"prefix:{MOUNT.decode()}", 1)]
    return [path, MOUNT.decode() + path]


def _signature(text: str) -> tuple[str, bytes] | None:
    """The digest's name and bytes, from hex or from `name:base64`."""
    if ":" in text:
        name, _, encoded = text.partition(":")
        if name not in TEMPURL_DIGESTS:
            return None
        try:
            padded = encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4)
            return name, base64.b64decode(padded, validate=True)
        except ValueError:
            return None
    name = SIZES.get(len(text), "")
    try:
        return (name, bytes.fromhex(text)) if name else None
    except ValueError:
        return None


def _expires(text: str) -> int | None:
    if text.isdigit() and len(text) < 15:
        return int(text)
    for form in _ISO[:3]:
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


def _within(peer: str, addresses: str) -> bool:
    try:
        return ipaddress.ip_address(peer) in ipaddress.ip_network(addresses, strict=False)
    except ValueError:
        return False


def finish(call: Call, response: Response) -> None:
    """Hide metadata that is not marked public, and tell the browser what to call the file."""
    response.headers = [
        (name, value)
        for name, value in response.headers
        if not name.lower().startswith("x-object-meta-") or name.lower().startswith("x-object-meta-public-")
    ]
    if call.method not in ("GET", "HEAD") or response.status not in (200, 206):
        return
    params = call.params
    filename = params.get("filename")
    kind = "inline" if "inline" in params else "attachment"
    if kind == "inline" and not filename:
        disposition = "inline"
    else:
        name = filename or (call.name or "").rstrip("/").rpartition("/")[2]
        plain = name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "")
        plain = plain.encode("ascii", "replace").decode()
        disposition = f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    if not filename and "inline" not in params and any(name == "Content-Disposition" for name, _ in response.headers):
        return
    response.headers = [pair for pair in response.headers if pair[0] != "Content-Disposition"]
    response.headers.append(("Content-Disposition", disposition))
    expires = _expires(params.get("temp_url_expires", ""))
    if expires is not None:
        from bivouac.core.http1.sending import http_date

        response.headers.append(("Expires", http_date(expires)))
