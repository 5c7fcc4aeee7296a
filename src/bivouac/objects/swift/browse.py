"""Public containers for people with a browser: `/object-store/browse/AUTH_PROJECT/`, read-only and without a token.

A project's page lists those of its containers whose read ACL lets anybody read and list; a container's page lists its
objects, folder by folder, with links to the objects themselves. What is not public is not there (404), whoever asks.
Unlike static web sites this needs no setting but the ACL.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from bivouac.core.http1 import Request, Response
from bivouac.objects.store.errors import NoSuchContainer
from bivouac.objects.store.interface import Listing, Store
from bivouac.objects.swift.access import allows_read
from bivouac.objects.swift.call import MOUNT, RESELLER_PREFIX, iso_time, parse_path, parse_query
from bivouac.objects.swift.errors import Refusal

PATH = b"/browse"
AT_ONCE = 1000
STYLE = (
    "body{font:1em/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.2em 1em .2em 0;border-bottom:1px solid #ddd}"
    "td.number,th.number{text-align:right}"
)
# Names are other people's: no script may run here, whatever they hold.
HEADERS = [
    ("Content-Type", "text/html; charset=UTF-8"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("X-Content-Type-Options", "nosniff"),
]


async def page(request: Request, store: Store, target: bytes) -> Response:
    """`target` is the path below `/browse`. Raises Refusal."""
    if request.method not in ("GET", "HEAD"):
        raise Refusal(405, headers=[("Allow", "GET, HEAD")])
    path = parse_path(b"/v1" + target)
    if path is None:
        raise Refusal(404)
    marker = parse_query(request.query).get("marker", "")
    if path.container is None:
        body = await _account(store, path.account, marker)
    else:
        body = await _container(store, path.account, path.container, path.object or "", marker)
    return Response(200, list(HEADERS), b"" if request.method == "HEAD" else body, len(body))


def _here(account: str, *names: str) -> str:
    return MOUNT.decode() + PATH.decode() + f"/{RESELLER_PREFIX}{quote(account)}/" + "".join(map(quote, names))


async def _account(store: Store, account: str, marker: str) -> bytes:
    rows, more = [], ""
    entries = await store.list_containers(account, Listing(marker=marker, limit=AT_ONCE))
    for entry in entries:
        try:
            container = await store.get_container(account, entry.name)
        except NoSuchContainer:
            continue
        if allows_read(container, None, "", False):
            rows.append(_row(_here(account, entry.name, "/"), entry.name, f"{entry.objects:,} objects", entry.modified))
    if len(entries) == AT_ONCE:
        more = _more(entries[-1].name)
    elif not rows and not marker:
        raise Refusal(404)  # an account without anything public is as one that does not exist
    return _document("Public containers", rows, more)


async def _container(store: Store, account: str, name: str, prefix: str, marker: str) -> bytes:
    try:
        container = await store.get_container(account, name)
    except NoSuchContainer:
        raise Refusal(404) from None
    if not allows_read(container, None, "", False) or (prefix and not prefix.endswith("/")):
        raise Refusal(404)
    listing = Listing(prefix=prefix, delimiter="/", marker=marker, limit=AT_ONCE)
    found = await store.list_objects(container, listing)
    if not found.entries and prefix and not marker:
        raise Refusal(404)
    above = prefix.rstrip("/").rpartition("/")[0]
    parent = _here(account, name, "/", f"{above}/" if above else "") if prefix else _here(account)
    rows = [f'<tr><td colspan="3"><a href="{escape(parent)}">..</a></td></tr>']
    for entry in found.entries:
        shown = entry.name[len(prefix) :]
        if entry.prefix:
            rows.append(_row(_here(account, name, "/", entry.name), shown, "", 0))
        elif shown:
            link = f"{MOUNT.decode()}/v1/{RESELLER_PREFIX}{quote(account)}/{quote(name)}/{quote(entry.name)}"
            rows.append(_row(link, shown, f"{entry.size:,}", entry.modified))
    return _document(f"{name}/{prefix}", rows, _more(found.entries[-1].name) if found.truncated else "")


def _row(link: str, name: str, size: str, modified: int) -> str:
    when = iso_time(modified)[:16].replace("T", " ") if modified else ""
    shown = escape(name)
    return f'<tr><td><a href="{escape(link)}">{shown}</a></td><td class="number">{size}</td><td>{when}</td></tr>'


def _more(marker: str) -> str:
    return f'<p><a href="?marker={quote(marker, safe="")}">more</a></p>'


def _document(title: str, rows: list[str], more: str) -> bytes:
    shown = escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{shown}</title>'
        f"<style>{STYLE}</style></head>\n"
        f"<body><h1>{shown}</h1>\n<table>\n"
        '<tr><th>Name</th><th class="number">Size</th><th>Changed (UTC)</th></tr>\n'
        + "\n".join(rows)
        + f"\n</table>{more}</body></html>\n"
    ).encode("utf-8", "surrogateescape")
