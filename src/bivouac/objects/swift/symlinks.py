"""Links from one object to another. A static one names the ETag its target must have."""

from __future__ import annotations

from urllib.parse import quote, unquote

from bivouac.objects.store.errors import NoSuchContainer, NoSuchObject
from bivouac.objects.store.interface import Container, Kind, ObjectRecord
from bivouac.objects.swift.access import may_read, refuse
from bivouac.objects.swift.call import RESELLER_PREFIX, Call
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import SYMLINK_LOOPS, check_names
from bivouac.objects.swift.listings import EMPTY_MD5

TARGET, TARGET_ACCOUNT, TARGET_ETAG = "x-symlink-target", "x-symlink-target-account", "x-symlink-target-etag"


async def documents(call: Call) -> dict[str, str]:
    """What a link that is being put remembers of its target. Empty: it is no link. Raises Refusal."""
    target = call.text(TARGET)
    if target is None:
        return {}
    if call.request.content_length:
        raise Refusal(400, "Symlink requests require a zero byte body")
    container, separator, name = unquote(target).lstrip("/").partition("/")
    if not separator or not container or not name or target.startswith("/"):
        raise Refusal(412, "X-Symlink-Target header must be of the form <container name>/<object name>")
    account = _account(call.text(TARGET_ACCOUNT))
    check_names(account or call.account, container, name)
    if (account or call.account, container, name) == (call.account, call.container, call.name):
        raise Refusal(400, "Symlink cannot target itself")
    path = f"/v1/{RESELLER_PREFIX}{account or call.account}/{quote(container)}/{quote(name)}"
    found = {"target": f"{container}/{name}", "symlink_path": path}
    if account:
        found["target_account"] = account
    etag = call.text(TARGET_ETAG)
    if etag:
        record = await _static_target(call, account or call.account, container, name)
        held = own_etag(record)
        if held != etag.strip('"'):
            raise Refusal(409, f"Object Etag {held!r} does not match X-Symlink-Target-Etag header {etag!r}")
        size = record.documents.get("symlink_bytes", str(record.size))
        found |= {"symlink_etag": held, "symlink_bytes": size, "content_type": record.content_type}
    return found


def own_etag(record: ObjectRecord) -> str:
    """What a static link to this object names: a link's own is that of its target if it is static, else that of no
    bytes; a static large object's is its manifest's."""
    if record.kind == Kind.SYMLINK:
        return record.documents.get("symlink_etag", EMPTY_MD5)
    if record.kind == Kind.STATIC_LARGE:
        return record.documents.get("listing_hash", record.etag)
    return record.etag


def _account(text: str | None) -> str | None:
    if not text:
        return None
    account = unquote(text)
    if "/" in account or not account.startswith(RESELLER_PREFIX):
        raise Refusal(412, "X-Symlink-Target-Account must be an account's name")
    return account[len(RESELLER_PREFIX) :]


async def _static_target(call: Call, account: str, container: str, name: str) -> ObjectRecord:
    try:
        return await call.store.get_object(await call.store.get_container(account, container), name)
    except (NoSuchContainer, NoSuchObject):
        raise Refusal(409, "X-Symlink-Target does not exist") from None


async def follow(call: Call, record: ObjectRecord) -> tuple[Container, ObjectRecord, str]:
    """The end of a chain of links: its container, its record, and its path for Content-Location. Raises Refusal."""
    path, account = "", call.account
    for _ in range(SYMLINK_LOOPS):
        link = record.documents
        account = link.get("target_account", account)
        container_name, _, name = link["target"].partition("/")
        path = link["symlink_path"]
        try:
            container = await call.store.get_container(account, container_name)
        except NoSuchContainer:
            raise Refusal(404, headers=[("Content-Location", path)]) from None
        if not may_read(call, account, container):
            raise refuse(call)
        try:
            record = await call.store.get_object(container, name)
        except NoSuchObject:
            raise Refusal(404, headers=[("Content-Location", path)]) from None
        if link.get("symlink_etag", own_etag(record)) != own_etag(record):
            text = f"Object Etag {own_etag(record)!r} does not match X-Symlink-Target-Etag header"
            raise Refusal(409, text, [("Content-Location", path)])
        if record.kind != Kind.SYMLINK:
            return container, record, path
    raise Refusal(409, f"Too many levels of symbolic links, maximum allowed is {SYMLINK_LOOPS}")


def headers(record: ObjectRecord) -> list[tuple[str, str]]:
    """Of the link itself (`symlink=get`)."""
    link = record.documents
    found = [("X-Symlink-Target", quote(link["target"]))]
    if "target_account" in link:
        found.append(("X-Symlink-Target-Account", RESELLER_PREFIX + link["target_account"]))
    if "symlink_etag" in link:
        found.append(("X-Symlink-Target-Etag", link["symlink_etag"]))
    return found
