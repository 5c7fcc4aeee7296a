"""Serving buckets as static websites, under BUCKET.s3-website.DOMAIN.

Anonymous, GET and HEAD only: index documents, error documents, redirections. What may be seen is decided as for any
anonymous reader.
Source: "Website endpoints", Amazon S3 User Guide.
"""

from __future__ import annotations

import html

from bivouac.core.http1 import Response
from bivouac.objects.store import errors as store_errors
from bivouac.s3 import refusals
from bivouac.s3.call import Call
from bivouac.s3.documents import keys, website
from bivouac.s3.documents.website import Website
from bivouac.s3.errors import S3Error
from bivouac.s3.operations import reading

LABEL = "s3-website"


def bucket_of(host: str, domains: tuple[str, ...]) -> str:
    """The bucket whose website a host name is; "" if it is none."""
    name = host.partition(":")[0].lower()
    for domain in domains:
        suffix = f".{LABEL}.{domain.removeprefix('s3.')}"
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return ""


async def serve(call: Call) -> Response:
    """One request to a website. Errors are HTML, or the bucket's error document."""
    call.operation = f"WEBSITE.{call.request.method}.OBJECT"
    call.authorised = True
    try:
        if call.request.method not in ("GET", "HEAD"):
            raise S3Error("MethodNotAllowed")
        container = await call.load_bucket()
        text = container.documents.get(keys.WEBSITE)
        if text is None:
            raise S3Error("NoSuchWebsiteConfiguration", BucketName=container.name)
    except (S3Error, store_errors.StoreError) as error:
        refused = error if isinstance(error, S3Error) else refusals.refusal(error, call)
        return _page(call, refused)
    return await _serve(call, website.load(text))


async def _serve(call: Call, site: Website) -> Response:
    protocol = "https" if call.request.secure else "http"
    host = call.request.headers.get("host", "")
    asked = call.key
    target = website.redirection(site, asked, None, protocol, host) if site.redirect_host else None
    target = target or website.redirection(_before(site), asked, None, protocol, host)
    if target is not None:
        return _moved(target)
    try:
        return await _object(call, website.index_key(site, asked))
    except S3Error as error:
        refused = error
    if refused.status == 304:
        return Response(304, list(refused.headers.items()))
    if (
        refused.status in (403, 404)
        and asked
        and not asked.endswith("/")
        and await _exists(call, f"{asked}/{site.index}")
    ):
        return _moved((302, f"/{asked}/"))
    target = website.redirection(_after(site), asked, refused.status, protocol, host)
    if target is not None:
        return _moved(target)
    if site.error:
        try:
            found = await _object(call, site.error)
            return Response(refused.status, found.headers, found.body, found.length)
        except S3Error:
            pass
    return _page(call, refused)


def _before(site: Website) -> Website:
    """Rules that look at the address only."""
    return Website(rules=tuple(rule for rule in site.rules if rule.error_code is None))


def _after(site: Website) -> Website:
    return Website(rules=tuple(rule for rule in site.rules if rule.error_code is not None))


async def _object(call: Call, key: str) -> Response:
    """The object as an anonymous GET answers it, or where its redirect leads. Raises S3Error."""
    call.key = key
    call.request.query.clear()
    try:
        response = await reading.get(call)
    except store_errors.StoreError as error:
        raise refusals.refusal(error, call) from None
    for name, value in response.headers:
        if name == "x-amz-website-redirect-location":
            return _moved((301, value))
    return response


async def _exists(call: Call, key: str) -> bool:
    try:
        await call.store.get_object(call.container, key)
    except store_errors.StoreError:
        return False
    return True


def _moved(target: tuple[int, str]) -> Response:
    return Response(target[0], [("location", target[1])])


def _page(call: Call, error: S3Error) -> Response:
    title = f"{error.status} {html.escape(error.code)}"
    shown = f"<h1>{title}</h1><p>{html.escape(error.message)}</p>"
    text = f"<html><head><title>{title}</title></head><body>{shown}</body></html>\n"
    body = text.encode()
    headers = [("content-type", "text/html; charset=utf-8"), ("x-amz-error-code", error.code)]
    return Response(error.status, headers, b"" if call.request.method == "HEAD" else body, len(body))
