"""Requests on objects: HEAD, GET, PUT, POST, DELETE, COPY."""

from __future__ import annotations

import hashlib
import mimetypes
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from bivouac.core.http1 import BodyTooLarge, Response
from bivouac.core.http1.sending import http_date
from bivouac.objects.sealed import is_sealed
from bivouac.objects.store.interface import (
    Conditions,
    Container,
    DeleteObject,
    Kind,
    ObjectRecord,
    Piece,
    PutObject,
    Staged,
    Stored,
    UpdateObject,
    Versioning,
)
from bivouac.objects.swift import copying, formpost, large, metadata, ranges, staticweb, symlinks
from bivouac.objects.swift.access import authorize_container
from bivouac.objects.swift.call import Call, timestamp, whole_seconds
from bivouac.objects.swift.containers import find
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import MAX_FILE_SIZE, check_names
from bivouac.objects.swift.listings import DELETED, version_id
from bivouac.objects.swift.versions import archive_of, asked_version

METHODS = "HEAD, GET, PUT, POST, COPY, DELETE, OPTIONS"
FAR_FUTURE = 9_999_999_999  # seconds: what fits the ten digits that clients expect
HTML = ("Content-Type", "text/html; charset=UTF-8")


async def handle(call: Call) -> Response:
    method = call.method
    if method == "POST" and formpost.is_form(call):
        return await formpost.handle(call)
    container = await find(call)
    if method in ("GET", "HEAD"):
        if container is not None and staticweb.applies(call, container):
            return await staticweb.object_page(call, container)
        await authorize_container(call, container)
        if container is None:
            raise Refusal(404)
        return await show(call, container)
    if method == "COPY":
        return await copying.copy(call, container)
    if method not in ("PUT", "POST", "DELETE"):
        raise Refusal(405, headers=[("Allow", METHODS)])
    await authorize_container(call, container)
    if container is None:
        raise Refusal(404)
    if method == "PUT":
        return await put(call, container)
    if method == "POST":
        return await update(call, container)
    return await delete(call, container)


# reading


async def show(call: Call, container: Container) -> Response:
    """GET and HEAD."""
    assert call.name is not None
    store, data, extra = call.store, None, []
    if not call.request.query:
        record, data = await store.get_with_data(container, call.name)
    else:
        version, null_version = asked_version(call)
        record = await store.get_object(container, call.name, version, null_version)
        if record.kind == Kind.DELETE_MARKER:
            shown = version_id(record.version, record.null_version)
            raise Refusal(404, headers=[("X-Object-Version-Id", shown), ("Content-Type", DELETED)])
    if record.kind == Kind.SYMLINK:
        if call.param("symlink") == "get":
            extra = symlinks.headers(record)
        else:
            container, record, path = await symlinks.follow(call, record)
            data, extra = None, [("Content-Location", path)]
    elif container.versioning != Versioning.OFF and not record.null_version:
        place = f"/v1/AUTH_{call.account}/{quoted(container.name, record.name)}"
        extra = [("Content-Location", f"{place}?version-id={version_id(record.version, False)}")]
    if record.expires_at is not None and record.expires_at <= time.time():
        asked = call.param("version-id") is not None and not call.override
        if not asked and not call.flag("x-open-expired"):
            raise Refusal(404)
    return await send(call, container, record, data, extra)


async def send(
    call: Call, container: Container, record: ObjectRecord, data: bytes | None, extra: list[tuple[str, str]]
) -> Response:
    """The answer with an object's bytes, or the part of them that is asked for."""
    size, etag, content_type = record.size, record.etag, record.content_type
    part: tuple[int, int, int] | None = None
    read: ranges.Read
    if record.kind == Kind.STATIC_LARGE:
        if call.param("multipart-manifest") == "get":
            return large.show_manifest(call, record, object_headers(container, record, etag) + extra)
        etag, read = f'"{etag}"', large.reader(call, record)
        part = large.part(call, record)
    elif record.kind == Kind.DYNAMIC_LARGE and call.param("multipart-manifest") != "get":
        size, etag, read = await large.dynamic(call, record)
    elif is_sealed(record):
        read = sealed_reader(call, record)
    else:
        read = _reader(call, record, data)
    request = call.request
    headers = object_headers(container, record, etag) + extra
    status = check_conditions(request.headers, etag.strip('"'), record.modified)
    if status == 304:
        return Response(304, headers)
    if status:
        raise Refusal(status, headers=[("Etag", etag), *extra])
    wanted = None
    if part is not None:
        headers.append(("X-Parts-Count", str(part[2])))
        if not part[1]:
            text = b"The requested part number is not satisfiable"
            headers += [("Content-Range", f"bytes */{size}"), HTML]
            return Response(416, headers, b"" if call.method == "HEAD" else text)
        wanted = [part[:2]]
    elif b"range" in request.headers and _range_applies(request.headers, etag, record.modified):
        wanted = ranges.parse(request.header("range"), size)
        if record.kind == Kind.DYNAMIC_LARGE and wanted is not None and len(wanted) > 1:
            wanted = None  # as in Swift: what it is made of may change between the ranges
    return await ranges.respond(headers, size, wanted, read, content_type, call.method == "HEAD")


def sealed_reader(call: Call, record: ObjectRecord) -> ranges.Read:
    """Reads what S3's door encrypted. Raises Sealed, but not for HEAD, which reads nothing."""
    plain = call.unseal(record) if call.method != "HEAD" else None

    async def read(offset: int, length: int) -> AsyncIterator[bytes]:
        assert plain is not None
        return plain(offset, length)

    return read


def _reader(call: Call, record: ObjectRecord, data: bytes | None) -> ranges.Read:
    """Of an object that is one piece; `data` are its bytes if they are at hand."""

    async def read(offset: int, length: int) -> bytes | list[Piece]:
        if data is None:
            return await call.store.read(record, offset, length)
        return data[offset : offset + length] if length != len(data) else data

    return read


def object_headers(container: Container, record: ObjectRecord, etag: str) -> list[tuple[str, str]]:
    """All but Content-Type."""
    headers = [
        ("Etag", etag),
        ("Last-Modified", http_date(whole_seconds(record.modified))),
        ("X-Timestamp", timestamp(record.modified)),
        ("Accept-Ranges", "bytes"),
    ]
    if record.metadata:
        headers += [(f"X-Object-Meta-{name.title()}", value) for name, value in record.metadata.items()]
    if record.headers:
        headers += [(name.title(), value) for name, value in record.headers.items()]
    if record.expires_at is not None:
        headers.append(("X-Delete-At", str(record.expires_at)))
    if record.kind == Kind.STATIC_LARGE:
        headers.append(("X-Static-Large-Object", "True"))
        headers.append(("X-Manifest-Etag", record.documents.get("listing_hash", "")))
    if container.versioning != Versioning.OFF:
        headers.append(("X-Object-Version-Id", version_id(record.version, record.null_version)))
    return headers


def _etags(value: bytes) -> list[str]:
    return [tag.strip().removeprefix("W/").strip('"') for tag in value.decode("latin-1").split(",")]


def check_conditions(headers: dict[bytes, bytes], etag: str, modified: int) -> int:
    """304 or 412 for a read whose conditions do not hold, else 0 (RFC 9110, section 13.2.2)."""
    if (value := headers.get(b"if-match")) is not None:
        tags = _etags(value)
        if "*" not in tags and etag not in tags:
            return 412
    # Unlike RFC 9110, which lets If-Match overrule it, Swift holds both.
    if (value := headers.get(b"if-unmodified-since")) is not None:
        since = parse_date(value)
        if since is not None and whole_seconds(modified) > since:
            return 412
    if (value := headers.get(b"if-none-match")) is not None:
        tags = _etags(value)
        if "*" in tags or etag in tags:
            return 304
    elif (value := headers.get(b"if-modified-since")) is not None:
        since = parse_date(value)
        if since is not None and whole_seconds(modified) <= since:
            return 304
    return 0


def _range_applies(headers: dict[bytes, bytes], etag: str, modified: int) -> bool:
    """If-Range: only if the object is still the one the client has a part of."""
    value = headers.get(b"if-range")
    if value is None:
        return True
    since = parse_date(value)
    return (
        whole_seconds(modified) <= since if since is not None else value.decode("latin-1").strip('"') == etag.strip('"')
    )


def parse_date(value: bytes) -> int | None:
    try:
        return int(parsedate_to_datetime(value.decode("latin-1")).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


# writing


async def put(call: Call, container: Container) -> Response:
    assert call.name is not None
    check_names(call.account, call.container, call.name)
    request = call.request
    if b"x-copy-from" in request.headers:
        return await copying.copy_from(call, container)
    version, null_version = asked_version(call)
    if version is not None or null_version:
        return await copying.restore(call, container, version, null_version)
    if call.param("multipart-manifest") == "put":
        return await large.put_manifest(call, container)
    length = request.content_length
    if length is None and not request.has_body and b"content-length" not in request.headers:
        raise Refusal(411)
    if length is not None and length > MAX_FILE_SIZE:
        raise Refusal(413)
    link = await symlinks.documents(call) if b"x-symlink-target" in request.headers else {}
    new = await new_object(call, container)
    if link:
        new |= {"kind": Kind.SYMLINK, "documents": link}
        new["content_type"] = call.text("content-type") or link.pop("content_type", "application/symlink")
        link.pop("content_type", None)
    body = await receive(call)
    check_etag(request.headers.get(b"etag"), body.md5) if not body.extents else await _check_large_etag(call, body)
    stored = await call.store.put_object(PutObject(container=container, name=call.name, body=body, **new))
    return created(container, stored)


def created(
    container: Container, stored: Stored, extra: list[tuple[str, str]] | None = None, etag: str = ""
) -> Response:
    """201."""
    headers = [
        HTML,
        ("Etag", etag or stored.etag),
        ("Last-Modified", http_date(whole_seconds(stored.version))),
        *(extra or ()),
    ]
    if not stored.null_version:
        headers.append(("X-Object-Version-Id", version_id(stored.version, False)))
    return Response(201, headers)


async def receive(call: Call) -> Staged:
    """The request's body, in memory or in a file."""
    body = call.request.read_now()
    if body is not None:
        return Staged(len(body), hashlib.md5(body, usedforsecurity=False).hexdigest(), small=body)
    upload = call.store.upload(call.request.content_length)
    try:
        async for chunk in call.request.chunks():
            if upload.size + len(chunk) > MAX_FILE_SIZE:
                raise BodyTooLarge
            await upload.write(chunk)
        return await upload.finish()
    except BaseException:
        upload.abort()
        raise


def check_etag(sent: bytes | None, md5: str) -> None:
    """The client's own MD5 of the body. Raises Refusal."""
    if sent is not None and sent.decode("latin-1").strip('"').lower() != md5:
        raise Refusal(422)


async def _check_large_etag(call: Call, body: Staged) -> None:
    try:
        check_etag(call.request.headers.get(b"etag"), body.md5)
    except Refusal:
        await call.store.discard(body)
        raise


async def new_object(call: Call, container: Container) -> dict[str, Any]:
    """What the headers say of an object that is being put, as keywords of PutObject. Raises Refusal."""
    request = call.request
    assert call.name is not None
    headers = metadata.system_headers(request)
    found: dict[str, Any] = {"metadata": metadata.of_object(request), "headers": headers}
    found["content_type"] = content_type(call)
    if b"x-delete-at" in request.headers or b"x-delete-after" in request.headers:
        found["expires_at"] = expiry(call)
    if b"x-object-manifest" in request.headers:
        headers["x-object-manifest"] = large.check_dynamic(call)
        found["kind"] = Kind.DYNAMIC_LARGE
    if b"if-none-match" in request.headers or b"if-match" in request.headers:
        found["conditions"] = write_conditions(request.headers)
    if container.documents:
        found["archive"] = await archive_of(call, container)
    if call.caller is not None:
        found["owner"] = call.caller.project_id
    return found


def write_conditions(headers: dict[bytes, bytes]) -> Conditions:
    """`If-None-Match: *`, as in Swift, which takes nothing else there; and If-Match, which it ignores. Raises
    Refusal."""
    match, none = headers.get(b"if-match"), headers.get(b"if-none-match")
    if none is not None and none.strip() != b"*":
        raise Refusal(400, "If-None-Match only supports *")
    return Conditions(
        if_match=tuple(_etags(match)) if match is not None else None,
        if_none_match=tuple(_etags(none)) if none is not None else None,
    )


def content_type(call: Call) -> str:
    sent = call.text("content-type")
    if sent and not call.flag("x-detect-content-type"):
        return sent
    assert call.name is not None
    return mimetypes.guess_type(call.name)[0] or "application/octet-stream"


def expiry(call: Call) -> int | None:
    """From X-Delete-At or X-Delete-After, in seconds. Raises Refusal."""
    now = int(time.time())
    after, at = call.text("x-delete-after"), call.text("x-delete-at")
    if after:
        if not after.strip().lstrip("+-").isdigit():
            raise Refusal(400, "Non-integer X-Delete-After")
        at = str(now + int(after))
    if not at:
        return None
    if not at.strip().lstrip("+-").isdigit():
        raise Refusal(400, "Non-integer X-Delete-At")
    if int(at) <= now:
        raise Refusal(400, "X-Delete-At in past")
    return min(int(at), FAR_FUTURE)


async def update(call: Call, container: Container) -> Response:
    """POST: the user's metadata and the headers are replaced as a whole."""
    assert call.name is not None
    if b"x-symlink-target" in call.request.headers:
        raise Refusal(400, "A PUT request is required to set a symlink target")
    record = await call.store.get_object(container, call.name)
    if record.kind == Kind.SYMLINK:
        # The link gets what is sent, and the client is told where it leads.
        own: dict[str, Any] = {"metadata": metadata.of_object(call.request)}
        if call.text("content-type"):
            own["content_type"] = call.text("content-type")
        await call.store.update_object(UpdateObject(container, call.name, **own))
        account = f"/v1/AUTH_{call.account}"
        moved = [("Location", record.documents.get("symlink_path", account))]
        if "symlink_etag" in record.documents:
            moved.append(("X-Symlink-Target-Etag", record.documents["symlink_etag"]))
        raise Refusal(307, "The requested POST was applied to a symlink.", moved)
    if record.expires_at is not None and record.expires_at <= time.time() and not call.flag("x-open-expired"):
        raise Refusal(404)
    headers = metadata.system_headers(call.request)
    if b"x-object-manifest" in call.request.headers:
        headers["x-object-manifest"] = large.check_dynamic(call)
    change: dict[str, Any] = {
        "metadata": metadata.of_object(call.request),
        "headers": headers,
        "expires_at": expiry(call),
    }
    if record.kind in (Kind.PLAIN, Kind.DYNAMIC_LARGE):  # as the headers do, so this comes and goes with each POST
        change["kind"] = Kind.DYNAMIC_LARGE if "x-object-manifest" in headers else Kind.PLAIN
    sent = call.text("content-type")
    if sent:
        change["content_type"] = sent
    if b"x-remove-delete-at" in call.request.headers:
        change["expires_at"] = None
    await call.store.update_object(UpdateObject(container, call.name, **change))
    return Response(202, [HTML])


async def delete(call: Call, container: Container) -> Response:
    assert call.name is not None
    if call.param("multipart-manifest") == "delete":
        return await large.delete(call, container)
    version, null_version = asked_version(call)
    await _check_delete_at(call, container)
    archive = await archive_of(call, container)
    deleted = await call.store.delete_object(
        DeleteObject(
            container,
            call.name,
            version=version,
            null_version=null_version and archive is None,  # there every object is a null version
            archive=archive,
            conditions=write_conditions(call.request.headers) if b"if-match" in call.request.headers else None,
        )
    )
    headers: list[tuple[str, str]] = [HTML]
    if deleted.marker is not None and version is None and not null_version:
        headers.append(("X-Object-Version-Id", version_id(deleted.marker, deleted.null_version)))
        if not deleted.found:  # a marker was made all the same
            raise Refusal(404, headers=headers[1:])
    elif not deleted.found:
        raise Refusal(404)
    elif version is not None or null_version:
        headers.append(("X-Object-Version-Id", version_id(deleted.version or 0, deleted.null_version)))
    return Response(204, headers)


async def _check_delete_at(call: Call, container: Container) -> None:
    """X-If-Delete-At: delete only what is to expire at that time, as expirers ask. Raises Refusal."""
    asked = call.text("x-if-delete-at")
    if asked is None:
        return
    if not asked.strip().isdigit():
        raise Refusal(400, "Bad X-If-Delete-At header value")
    assert call.name is not None
    if (await call.store.get_object(container, call.name)).expires_at != int(asked):
        raise Refusal(412, "X-If-Delete-At does not match")


def quoted(container: str, name: str) -> str:
    return f"{quote(container)}/{quote(name)}"
