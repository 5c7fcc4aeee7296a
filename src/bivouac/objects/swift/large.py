"""Large objects: static (SLO, a manifest that lists segments) and dynamic (DLO, all objects with a prefix).

A static manifest is checked when it is put and again while it is read: a segment that changed since ends the
answer, because serving other
bytes under the promised ETag would be worse. Manifests may nest. Segments are read one after the other, so memory
stays small.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, unquote

from bivouac.core.http1 import Response
from bivouac.objects.sealed import is_sealed
from bivouac.objects.store.errors import NoSuchContainer, NoSuchObject
from bivouac.objects.store.interface import Container, DeleteObject, Kind, Listing, ObjectRecord, PutObject
from bivouac.objects.swift import bulk, objects, ranges, symlinks
from bivouac.objects.swift.access import may_read, refuse
from bivouac.objects.swift.call import Call, iso_time
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import LISTING, MANIFEST_DEPTH, MANIFEST_SEGMENTS, MANIFEST_SIZE, check_names
from bivouac.objects.swift.versions import asked_version

Segment = dict[str, Any]


# putting


async def put_manifest(call: Call, container: Container) -> Response:
    """PUT with multipart-manifest=put."""
    assert call.name is not None
    segments, errors = await _check_segments(call, _parse(await call.request.read(MANIFEST_SIZE)))
    if errors:
        return bulk.report(call, {"Errors": errors}, "400 Bad Request", 400)
    digest = hashlib.md5(usedforsecurity=False)
    for segment in segments:
        if "data" in segment:
            digest.update(hashlib.md5(base64.b64decode(segment["data"]), usedforsecurity=False).hexdigest().encode())
        elif "range" in segment:
            digest.update(f"{segment['hash']}:{segment['range']};".encode())
        else:
            digest.update(segment["hash"].encode())
    etag = digest.hexdigest()
    sent = call.request.header("etag").strip('"')
    if sent and sent != etag:
        raise Refusal(422)
    size = sum(length_of(segment) for segment in segments)
    manifest = json.dumps(segments, separators=(",", ":"))
    new = await objects.new_object(call, container)
    new |= {"kind": Kind.STATIC_LARGE, "manifest": manifest, "size": size, "etag": etag}
    new["documents"] = {"listing_hash": hashlib.md5(manifest.encode(), usedforsecurity=False).hexdigest()}
    stored = await call.store.put_object(PutObject(container=container, name=call.name, **new))
    return objects.created(container, stored, etag=f'"{etag}"')


async def _check_segments(call: Call, asked: list[Segment]) -> tuple[list[Segment], list[list[str]]]:
    """The manifest to keep, and what is wrong with it."""
    segments: list[Segment] = []
    errors: list[list[str]] = []
    for entry in asked:
        try:
            segments.append(await _check_segment(call, entry))
        except Refusal as refused:
            errors.append([quote(entry.get("path", "")), refused.text or str(refused.status)])
    return segments, errors


async def check_copied(call: Call, record: ObjectRecord) -> Response | None:
    """What is wrong with a manifest that is copied as such into another account; None if nothing is."""
    _, errors = await _check_segments(call, _as_put(record))
    return bulk.report(call, {"Errors": errors}, "400 Bad Request", 400) if errors else None


def _as_put(record: ObjectRecord) -> list[Segment]:
    """The manifest as it could be put again."""
    return [
        segment
        if "data" in segment
        else {"path": segment["name"], "etag": segment["hash"], "size_bytes": segment["bytes"]}
        | ({"range": segment["range"]} if "range" in segment else {})
        for segment in json.loads(record.manifest or "[]")
    ]


def _parse(body: bytes) -> list[Segment]:
    """The manifest as sent. Raises Refusal."""
    try:
        found = json.loads(body)
    except ValueError:
        raise Refusal(400, "Manifest must be valid JSON.\n") from None
    if not isinstance(found, list):
        raise Refusal(400, "Manifest must be a list.\n")
    if not found:
        raise Refusal(400, "Manifest must not be empty.\n")
    if len(found) > MANIFEST_SEGMENTS:
        raise Refusal(413, f"Too many segments; max {MANIFEST_SEGMENTS}")
    for index, entry in enumerate(found):
        if not isinstance(entry, dict):
            raise Refusal(400, f"Index {index}: not a JSON object\n")
        unknown = set(entry) - {"path", "etag", "size_bytes", "range", "data"}
        if unknown:
            raise Refusal(400, f"Index {index}: extraneous keys {', '.join(sorted(unknown))}\n")
        if ("path" in entry) == ("data" in entry):
            raise Refusal(400, f'Index {index}: expected keys to include one of "path" or "data"\n')
        if "data" in entry:
            _inline(entry, index)
        elif not isinstance(entry["path"], str) or "/" not in entry["path"].strip("/"):
            raise Refusal(
                400, f"Index {index}: path does not refer to an object. Path must be of the form /container/object.\n"
            )
        size = entry.get("size_bytes")
        if size is not None and not str(size).isdigit():
            raise Refusal(400, f"Index {index}: invalid size_bytes\n")
    if all("data" in entry for entry in found):
        raise Refusal(400, "Inline data segments require at least one object-backed segment.\n")
    return found


def _inline(entry: Segment, index: int) -> None:
    try:
        if not base64.b64decode(entry["data"], validate=True):
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise Refusal(400, f"Index {index}: data must be valid base64 and not empty\n") from None


async def _check_segment(call: Call, entry: Segment) -> Segment:
    """A stored manifest's entry for one that was sent. Raises Refusal with Swift's words for the report."""
    if "data" in entry:
        return {"data": entry["data"]}
    container_name, _, name = entry["path"].lstrip("/").partition("/")
    check_names(call.account, container_name, name)
    if (container_name, name) == (call.container, call.name):
        raise Refusal(409, "Manifest object name may not be that of a segment")
    try:
        container = await call.store.get_container(call.account, container_name)
        if not may_read(call, call.account, container) and not call.owner:
            raise Refusal(403, "403 Forbidden")
        record = await call.store.get_object(container, name)
    except NoSuchContainer:
        own = call.owner or (call.caller is not None and call.caller.project_id == call.account)
        raise Refusal(404, "404 Not Found") if own else Refusal(403, "403 Forbidden") from None
    except NoSuchObject:
        raise Refusal(404, "404 Not Found") from None
    if record.kind == Kind.SYMLINK:
        _, record, _ = await symlinks.follow(call, record)
    if entry.get("etag") and entry["etag"].strip('"') != record.etag:
        raise Refusal(400, "Etag Mismatch")
    if entry.get("size_bytes") is not None and int(entry["size_bytes"]) != record.size:
        raise Refusal(400, "Size Mismatch")
    found: Segment = {
        "name": f"/{container_name}/{name}",
        "hash": record.etag,
        "bytes": record.size,
        "content_type": record.content_type,
        "last_modified": iso_time(record.modified),
    }
    if entry.get("range"):
        wanted = ranges.parse(f"bytes={entry['range']}", record.size) if isinstance(entry["range"], str) else None
        if not wanted or len(wanted) != 1:
            raise Refusal(400, "Unsatisfiable Range")
        offset, length = wanted[0]
        found["range"] = f"{offset}-{offset + length - 1}"
    if record.kind == Kind.STATIC_LARGE:
        found["sub_slo"] = True
    if not length_of(found):
        raise Refusal(400, "Too Small; each segment must be at least 1 byte.")
    return found


def length_of(segment: Segment) -> int:
    if "data" in segment:
        return len(base64.b64decode(segment["data"]))
    if "range" in segment:
        first, _, last = segment["range"].partition("-")
        return int(last) - int(first) + 1
    return segment["bytes"]


def show_manifest(call: Call, record: ObjectRecord, headers: list[tuple[str, str]]) -> Response:
    """GET with multipart-manifest=get: as stored, or as it could be put again (`format=raw`). `headers` are the
    object's."""
    content_type, body = "application/json; charset=utf-8", (record.manifest or "[]").encode()
    if call.param("format") == "raw":
        content_type, body = record.content_type, json.dumps(_as_put(record)).encode()
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    headers = [pair for pair in headers if pair[0] != "Etag"]
    headers += [("Content-Type", content_type), ("Etag", etag)]
    return Response(200, headers, b"" if call.method == "HEAD" else body, len(body))


# reading


def part(call: Call, record: ObjectRecord) -> tuple[int, int, int] | None:
    """Of `part-number=N`: that segment's offset and length, and how many there are. None: not asked for. Raises
    Refusal."""
    asked = call.param("part-number")
    if asked is None:
        return None
    if not asked.isdigit() or not int(asked):
        raise Refusal(400, "Part number must be an integer greater than 0")
    if b"range" in call.request.headers:
        raise Refusal(400, "Range requests are not supported with part number queries")
    lengths = [length_of(segment) for segment in json.loads(record.manifest or "[]")]
    number = int(asked)
    if number > len(lengths):
        return 0, 0, len(lengths)
    return sum(lengths[: number - 1]), lengths[number - 1], len(lengths)


def reader(call: Call, record: ObjectRecord, account: str = "") -> ranges.Stream:
    """`account` is the manifest's, if it is not the request's."""

    async def read(offset: int, length: int) -> AsyncIterator[Any]:
        pieces = _static_pieces(call, account or call.account, record, offset, length, 0)
        # The first segment is read before the answer begins, so that a broken manifest is a proper error.
        return await _started(pieces)

    return read


async def _started(pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        first = b""

    async def rest() -> AsyncIterator[Any]:
        yield first
        async for piece in pieces:
            yield piece

    return rest()


async def _static_pieces(
    call: Call, account: str, record: ObjectRecord, offset: int, length: int, depth: int
) -> AsyncIterator[Any]:
    if depth >= MANIFEST_DEPTH:
        raise Refusal(409)
    for segment in json.loads(record.manifest or "[]"):
        if length <= 0:
            return
        size = length_of(segment)
        if offset >= size:
            offset -= size
            continue
        taken = min(size - offset, length)
        begin = offset + (int(segment["range"].partition("-")[0]) if "range" in segment else 0)
        if "data" in segment:
            yield base64.b64decode(segment["data"])[begin : begin + taken]
        else:
            async for piece in _segment_pieces(call, account, record, segment, begin, taken, depth):
                yield piece
        offset, length = 0, length - taken


async def _segment_pieces(
    call: Call, account: str, manifest: ObjectRecord, segment: Segment, offset: int, length: int, depth: int
) -> AsyncIterator[Any]:
    container_name, _, name = segment["name"].lstrip("/").partition("/")
    try:
        container = await call.store.get_container(account, container_name)
        if not may_read(call, account, container):
            raise Refusal(409)
        record = await call.store.get_object(container, name)
    except (NoSuchContainer, NoSuchObject):
        raise Refusal(409, f"Segment {segment['name']} of {manifest.name} is missing") from None
    if record.kind == Kind.SYMLINK:
        _, record, _ = await symlinks.follow(call, record)
    if record.etag != segment["hash"] or record.size != segment["bytes"]:
        raise Refusal(409, f"Segment {segment['name']} of {manifest.name} has changed")
    if record.kind == Kind.STATIC_LARGE:
        async for piece in _static_pieces(call, account, record, offset, length, depth + 1):
            yield piece
    elif is_sealed(record):
        async for piece in call.unseal(record)(offset, length):
            yield piece
    else:
        for piece in await call.store.read(record, offset, length):
            yield piece


# dynamic


def check_dynamic(call: Call) -> str:
    """X-Object-Manifest as it is kept. Raises Refusal."""
    value = call.text("x-object-manifest") or ""
    container, separator, prefix = unquote(value).lstrip("/").partition("/")
    if not separator or not container or not prefix or "?" in value or "&" in value:
        raise Refusal(400, "X-Object-Manifest must be in the format container/prefix")
    return value


async def dynamic(call: Call, record: ObjectRecord, account: str = "") -> tuple[int, str, ranges.Stream]:
    """Size, ETag and reader of all objects that the manifest's prefix names now."""
    account = account or call.account
    container_name, _, prefix = unquote(record.headers["x-object-manifest"]).lstrip("/").partition("/")
    try:
        container = await call.store.get_container(account, container_name)
    except NoSuchContainer:
        raise Refusal(404) from None
    if not may_read(call, account, container):
        raise refuse(call)
    entries, marker = [], ""
    while True:
        page = await call.store.list_objects(container, Listing(prefix=prefix, marker=marker, limit=LISTING))
        entries += page.entries
        if not page.truncated:
            break
        marker = page.entries[-1].name
    digest = hashlib.md5("".join(entry.etag for entry in entries).encode(), usedforsecurity=False).hexdigest()

    async def pieces(offset: int, length: int) -> AsyncIterator[Any]:
        for entry in entries:
            if length <= 0:
                return
            if offset >= entry.size:
                offset -= entry.size
                continue
            taken = min(entry.size - offset, length)
            segment = {"name": f"/{container_name}/{entry.name}", "hash": entry.etag, "bytes": entry.size}
            async for piece in _segment_pieces(call, account, record, segment, offset, taken, 0):
                yield piece
            offset, length = 0, length - taken

    async def read(offset: int, length: int) -> AsyncIterator[Any]:
        return await _started(pieces(offset, length))

    return sum(entry.size for entry in entries), f'"{digest}"', read


# deleting


async def delete(call: Call, container: Container) -> Response:
    """DELETE with multipart-manifest=delete: the segments, nested ones too, then the manifest."""
    assert call.name is not None
    version, null_version = asked_version(call)
    record = await call.store.get_object(container, call.name, version, null_version)
    paths = await _all_segments(call, record, 0) if record.kind == Kind.STATIC_LARGE else []
    if version is None and not null_version:
        return await bulk.delete_paths(call, [*paths, f"/{container.name}/{call.name}"])
    # A named version goes for good; a path in the list would only hide it.
    named = DeleteObject(container, call.name, version=version, null_version=null_version)
    await call.store.delete_object(named)
    return await bulk.delete_paths(call, paths, deleted=1)


async def _all_segments(call: Call, record: ObjectRecord, depth: int) -> list[str]:
    found: list[str] = []
    for segment in json.loads(record.manifest or "[]"):
        if "data" in segment:
            continue
        if segment.get("sub_slo") and depth < MANIFEST_DEPTH:
            container_name, _, name = segment["name"].lstrip("/").partition("/")
            try:
                container = await call.store.get_container(call.account, container_name)
                inner = await call.store.get_object(container, name)
                found += await _all_segments(call, inner, depth + 1)
            except (NoSuchContainer, NoSuchObject):
                pass
        if segment["name"] not in found:
            found.append(segment["name"])
    return found
