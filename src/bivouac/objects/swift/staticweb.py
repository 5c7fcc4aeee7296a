"""Static web sites: containers that show an index page, listings and error pages to those who come without a
token."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchObject
from bivouac.objects.store.interface import Container, Kind, Listing
from bivouac.objects.swift.access import allows_read, authorize_container
from bivouac.objects.swift.call import TRUE, Call
from bivouac.objects.swift.errors import Refusal

if TYPE_CHECKING:
    from bivouac.objects.store.interface import ObjectRecord

LISTED = 10_000
DIRECTORY_TYPES = ("application/directory", "text/directory")


def applies(call: Call, container: Container | None) -> bool:
    if container is None or call.override:
        return False
    if not any(name in container.metadata for name in ("web-index", "web-listings", "web-error")):
        return False
    if call.caller is None:
        return call.method in ("GET", "HEAD")
    return call.flag("x-web-mode")


async def container_page(call: Call, container: Container | None) -> Response:
    assert container is not None
    if not call.request.target.endswith(b"/"):
        return _moved(call)
    return await _directory(call, container, "")


async def object_page(call: Call, container: Container) -> Response:
    """An object, a directory's page, or the error page."""
    from bivouac.objects.swift import objects

    assert call.name is not None
    try:
        await authorize_container(call, container)
        shown = await objects.show(call, container)
        return _moved(call) if _is_directory(shown) else shown
    except Refusal as refused:
        if refused.status not in (401, 403, 404):
            raise
        return await _error(call, container, refused)
    except NoSuchObject:
        pass
    if call.name.endswith("/"):
        return await _directory(call, container, call.name)
    if await _exists_below(call, container, call.name + "/"):
        return _moved(call)
    return await _error(call, container, Refusal(404))


def _is_directory(shown: Response) -> bool:
    """Whether an object only stands for a directory, as some clients make them."""
    headers = dict(shown.headers)
    return shown.status == 200 and headers.get("Content-Type", "").partition(";")[0] in DIRECTORY_TYPES


def _moved(call: Call) -> Response:
    scheme, host = "https" if call.request.secure else "http", call.request.header("host")
    location = f"{scheme}://{host}{call.request.target.decode('latin-1')}/"
    return Response(301, [("Location", location), ("Content-Type", "text/html; charset=UTF-8")])


async def _exists_below(call: Call, container: Container, prefix: str) -> bool:
    return bool((await call.store.list_objects(container, Listing(prefix=prefix, limit=1))).entries)


async def _directory(call: Call, container: Container, prefix: str) -> Response:
    index = container.metadata.get("web-index")
    if index:
        shown = await _show(call, container, prefix + index)
        if shown is not None:
            return shown
    if container.metadata.get("web-listings", "").lower() not in TRUE:
        return await _error(call, container, Refusal(404))
    if not allows_read(container, call.caller, call.referrer, False):
        return await _error(call, container, Refusal(401))
    page = await call.store.list_objects(container, Listing(prefix=prefix, delimiter="/", limit=LISTED))
    if prefix and not page.entries:
        return await _error(call, container, Refusal(404))
    return Response(
        200, [("Content-Type", "text/html; charset=UTF-8")], _listing(call, container, prefix, page.entries)
    )


def _listing(call: Call, container: Container, prefix: str, entries: list) -> bytes:
    style = container.metadata.get("web-listings-css")
    if style:
        href = style if "://" in style or style.startswith("/") else "../" * prefix.count("/") + quote(style)
        link = f'<link rel="stylesheet" type="text/css" href="{escape(href)}" />'
    else:
        link = '<style type="text/css">body{font:1em sans-serif}td,th{padding:.1em 1em .1em 0;text-align:left}</style>'
    label = container.metadata.get("web-listings-label") or f"/v1/AUTH_{call.account}/{container.name}"
    title = escape(f"{label}/{prefix}")
    rows = ['<tr id="parent"><td colspan="3"><a href="../">../</a></td></tr>'] if prefix else []
    for entry in entries:
        name = entry.name[len(prefix) :]
        if not name:
            continue
        size = "" if entry.prefix else str(entry.size)
        kind = "subdir" if entry.prefix else "item"
        cell = f'<a href="{escape("./" + quote(name))}">{escape(name)}</a>'
        rows.append(f'<tr class="{kind}"><td class="colname">{cell}</td><td class="colsize">{size}</td></tr>')
    body = "\n".join(rows)
    return (
        f"<!DOCTYPE html>\n<html><head><title>Listing of {title}</title>{link}</head>\n"
        f'<body><h1 id="title">Listing of {title}</h1>\n<table id="listing">\n'
        f'<tr id="heading"><th class="colname">Name</th><th class="colsize">Size</th></tr>\n'
        f"{body}\n</table></body></html>\n"
    ).encode("utf-8", "surrogateescape")


async def _show(call: Call, container: Container, name: str) -> Response | None:
    """An object of the site as the answer; None if it is not there."""
    from bivouac.objects.swift import objects

    try:
        record: ObjectRecord = await call.store.get_object(container, name)
    except NoSuchObject:
        return None
    if record.kind == Kind.SYMLINK or not allows_read(container, call.caller, call.referrer, True):
        return None
    return await objects.send(call, container, record, None, [])


async def _error(call: Call, container: Container, refused: Refusal) -> Response:
    """The site's own page for an error, named STATUSsuffix, if there is one."""
    suffix = container.metadata.get("web-error")
    if suffix:
        page = await _show(call, container, f"{refused.status}{suffix}")
        if page is not None and page.status == 200:
            page.status = refused.status
            return page
    raise refused
