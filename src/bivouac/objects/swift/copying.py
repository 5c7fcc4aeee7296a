"""Copies: COPY, PUT with X-Copy-From, and putting an older version back. Bytes are shared, not moved, except those
of large objects."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from bivouac.core.http1 import BodyTooLarge, Response
from bivouac.core.http1.sending import http_date
from bivouac.objects.sealed import DOCUMENT, is_sealed
from bivouac.objects.store.errors import NoSuchContainer, NoSuchObject
from bivouac.objects.store.interface import Container, CopySource, Kind, ObjectRecord, PutObject, Staged
from bivouac.objects.swift import large, objects, ranges, symlinks
from bivouac.objects.swift.access import authorize_container, may_read, refuse
from bivouac.objects.swift.call import RESELLER_PREFIX, Call, whole_seconds
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import MAX_FILE_SIZE, check_names
from bivouac.objects.swift.versions import archive_of, asked_version

ATTEMPTS = 5  # a source that is replaced while it is copied is looked up again
CHUNK = 1024 * 1024


def _place(text: str, header: str) -> tuple[str, str]:
    container, separator, name = unquote(text).lstrip("/").partition("/")
    if not separator or not container or not name:
        raise Refusal(412, f"{header} header must be of the form <container name>/<object name>")
    return container, name


def _account(text: str | None, default: str) -> str:
    if not text:
        return default
    account = unquote(text)
    if "/" in account or not account.startswith(RESELLER_PREFIX):
        raise Refusal(412, "Account name cannot contain slashes")
    return account[len(RESELLER_PREFIX) :]


async def copy(call: Call, source_container: Container | None) -> Response:
    """COPY: the request's path is the source, Destination the target."""
    await authorize_container(call, source_container, "GET")
    destination = call.text("destination")
    if not destination:
        raise Refusal(412, "Destination header required")
    assert call.container is not None and call.name is not None
    source = (call.account, call.container, call.name)
    call.container, call.name = _place(destination, "Destination")
    call.account = _account(call.text("destination-account"), call.account)
    check_names(call.account, call.container, call.name)
    target = await objects.find(call)
    call.owner = False
    await authorize_container(call, target, "PUT")
    if target is None:
        raise Refusal(404)
    return await _copy(call, source, target)


async def copy_from(call: Call, target: Container) -> Response:
    """PUT with X-Copy-From: the request's path is the target."""
    if call.request.content_length:
        raise Refusal(400, "Copy requests require a zero byte body")
    container, name = _place(call.text("x-copy-from") or "", "X-Copy-From")
    account = _account(call.text("x-copy-from-account"), call.account)
    return await _copy(call, (account, container, name), target)


async def restore(call: Call, target: Container, version: int | None, null_version: bool) -> Response:
    """PUT with `version-id`: that version's bytes and metadata become the newest."""
    assert call.name is not None
    if null_version:
        raise Refusal(400, "The null version cannot be restored")
    record = await call.store.get_object(target, call.name, version)
    if record.kind == Kind.DELETE_MARKER:
        raise Refusal(404)
    new = _carried(record)
    if is_sealed(record):  # the bytes stay as they lie, and so must what opens them
        new["documents"] |= {DOCUMENT: record.documents[DOCUMENT]}
    stored = await call.store.put_object(PutObject(target, call.name, CopySource(record), **new))
    return objects.created(target, stored)


async def _find_source(call: Call, source: tuple[str, str, str]) -> tuple[Container, ObjectRecord]:
    account, container_name, name = source
    try:
        container = await call.store.get_container(account, container_name)
    except NoSuchContainer:
        if account != call.path.account:
            raise refuse(call) from None
        raise Refusal(404) from None
    if not call.owner and not may_read(call, account, container):
        raise refuse(call)
    if account != call.path.account and not may_read(call, account, container):
        raise refuse(call)
    version, null_version = asked_version(call)
    record = await call.store.get_object(container, name, version, null_version)
    if record.kind == Kind.SYMLINK and call.param("symlink") != "get":
        container, record, _ = await symlinks.follow(call, record)
    if record.kind == Kind.DELETE_MARKER or (record.expires_at is not None and record.expires_at <= time.time()):
        raise Refusal(404)
    return container, record


async def _copy(call: Call, source: tuple[str, str, str], target: Container) -> Response:
    assert call.name is not None
    attempt = 1
    while True:
        container, record = await _find_source(call, source)
        status = objects.check_conditions(call.request.headers, record.etag, record.modified)
        if status and b"if-none-match" not in call.request.headers:
            raise Refusal(412)
        new = await _new(call, record, target)
        if new["kind"] == Kind.STATIC_LARGE and container.account != target.account:
            wrong = await large.check_copied(call, record)
            if wrong is not None:
                return wrong
        try:
            body = await _body(call, container.account, record, new)
            stored = await call.store.put_object(PutObject(container=target, name=call.name, body=body, **new))
        except NoSuchObject:
            if attempt == ATTEMPTS:
                raise
            attempt += 1
            continue
        break
    account, container_name, name = source
    extra = [
        ("X-Copied-From", objects.quoted(container_name, name)),
        ("X-Copied-From-Account", RESELLER_PREFIX + account),
        ("X-Copied-From-Last-Modified", http_date(whole_seconds(record.modified))),
        *((f"X-Object-Meta-{key.title()}", value) for key, value in new["metadata"].items()),
    ]
    return objects.created(target, stored, extra)


def _carried(record: ObjectRecord) -> dict[str, Any]:
    """What of an object goes with its bytes."""
    return {
        "metadata": record.metadata,
        "headers": record.headers,
        "content_type": record.content_type,
        "expires_at": record.expires_at,
        "kind": record.kind,
        "manifest": record.manifest,
        "documents": {key: value for key, value in record.documents.items() if ":" not in key},
        "size": record.size,
        "etag": record.etag,
        "checksums": record.checksums,
    }


async def _new(call: Call, record: ObjectRecord, target: Container) -> dict[str, Any]:
    """The source's properties, with those that the request gives over them."""
    new = _carried(record)
    given = await objects.new_object(call, target)
    if call.flag("x-fresh-metadata"):
        new |= {"metadata": given["metadata"], "headers": given["headers"], "expires_at": None}
    else:
        new["metadata"] = new["metadata"] | given["metadata"]
        new["headers"] = new["headers"] | given["headers"]
    if call.text("content-type"):
        new["content_type"] = given["content_type"]
    if given.get("expires_at"):
        new["expires_at"] = given["expires_at"]
    if record.kind in (Kind.STATIC_LARGE, Kind.DYNAMIC_LARGE) and call.param("multipart-manifest") != "get":
        new |= {"kind": Kind.PLAIN, "manifest": None, "documents": {}, "size": None, "etag": None}
        new["headers"].pop("x-object-manifest", None)
    elif is_sealed(record):
        new |= {"documents": {}, "checksums": {}, "etag": None}  # the copy is not encrypted
    if record.kind == Kind.PLAIN and b"range" in call.request.headers:
        wanted = ranges.parse(call.request.header("range"), record.size)
        if wanted is not None:
            if len(wanted) != 1:
                raise Refusal(416)
            new |= {"_range": wanted[0], "size": None, "etag": None, "checksums": {}, "documents": {}}
    new |= {key: given[key] for key in ("conditions", "owner") if key in given}
    new["archive"] = await archive_of(call, target)
    return new


async def _body(call: Call, account: str, record: ObjectRecord, new: dict[str, Any]) -> CopySource | Staged:
    if is_sealed(record):
        offset, length = new.pop("_range", (0, record.size))
        return await _staged(call, call.unseal(record)(offset, length), length)
    if new["kind"] == record.kind:
        return CopySource(record, *new.pop("_range", (0, None)))
    if record.kind == Kind.DYNAMIC_LARGE:
        size, _, read = await large.dynamic(call, record, account)
        return await _staged(call, await read(0, size), size)
    part = large.part(call, record)
    if part is not None and not part[1]:
        raise Refusal(416)
    offset, size = part[:2] if part is not None else (0, record.size)
    read = large.reader(call, record, account)
    return await _staged(call, await read(offset, size), size)


async def _staged(call: Call, pieces: AsyncIterator[Any], size: int) -> Staged:
    """Bytes that are copied because they cannot be shared."""
    if size > MAX_FILE_SIZE:
        raise BodyTooLarge
    upload = call.store.upload(size)
    try:
        async for piece in pieces:
            if isinstance(piece, bytes):
                await upload.write(piece)
                continue
            with piece:
                for offset in range(0, piece.length, CHUNK):
                    length = min(CHUNK, piece.length - offset)
                    await upload.write(os.pread(piece.fd, length, piece.offset + offset))
        return await upload.finish()
    except BaseException:
        upload.abort()
        raise
