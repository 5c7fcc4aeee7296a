"""Many objects in one request: unpacking archives, deleting lists. The report says what could not be done."""

from __future__ import annotations

import asyncio
import hashlib
import json
import mimetypes
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchContainer, StoreError
from bivouac.objects.store.interface import Container, DeleteObject, PutObject, Staged, Store
from bivouac.objects.swift.access import authorize_container
from bivouac.objects.swift.call import Call
from bivouac.objects.swift.errors import TITLES, Refusal, refusal
from bivouac.objects.swift.limits import (
    BULK_CONTAINERS,
    BULK_DELETES,
    BULK_FAILURES,
    MAX_FILE_SIZE,
    META_NAME,
    META_VALUE,
    OBJECT_NAME,
    POLICIES,
    check_names,
)
from bivouac.objects.swift.versions import archive_of

ARCHIVES: dict[str, Literal["r:", "r:gz", "r:bz2"]] = {"tar": "r:", "tar.gz": "r:gz", "tar.bz2": "r:bz2"}
TOGETHER = 32  # small objects that share a commit
CHUNK = 1024 * 1024


def report(call: Call, counts: dict[str, Any], status: str, code: int = 200, text: str = "") -> Response:
    """The report in the format that Accept asks for; `Errors` is a list of (path, status)."""
    counts = {"Response Status": status, "Response Body": text} | counts
    accept = call.request.header("accept").lower()
    if "json" in accept:
        return Response(code, [("Content-Type", "application/json")], json.dumps(counts).encode())
    errors = counts.pop("Errors")
    if "xml" in accept:
        lines = [
            f"<{tag}>{escape(str(value))}</{tag}>"
            for key, value in counts.items()
            for tag in (key.lower().replace(" ", "_"),)
        ]
        lines += [
            "<errors>",
            *(f"<object><name>{escape(path)}</name><status>{escape(what)}</status></object>" for path, what in errors),
            "</errors>",
        ]
        body = '<?xml version="1.0" encoding="UTF-8"?>\n<delete>\n' + "\n".join(lines) + "\n</delete>\n"
        return Response(code, [("Content-Type", "application/xml")], body.encode())
    lines = [f"{key}: {value}" for key, value in counts.items()]
    lines += ["Errors:", *(f"{path}, {what}" for path, what in errors)]
    return Response(code, [("Content-Type", "text/plain")], ("\n".join(lines) + "\n").encode())


def _status(error: Exception) -> str:
    refused = refusal(error)
    code = refused.status if refused else 500
    return f"{code} {TITLES.get(code, ('Error',))[0]}"


# deleting


async def delete(call: Call) -> Response:
    """POST or DELETE with `bulk-delete`: one URL-encoded /container[/object] a line."""
    body = await call.request.read(BULK_DELETES * (OBJECT_NAME * 3 + 1000))
    paths, errors = [], []
    for raw in body.split(b"\n"):
        line = raw.strip()
        if not line:
            continue
        try:
            paths.append("/" + unquote(line.decode(), errors="strict").lstrip("/"))
        except UnicodeDecodeError:
            errors.append([quote(line), "412 Precondition Failed"])
    if len(paths) > BULK_DELETES:
        raise Refusal(413, f"Maximum Bulk Deletes: {BULK_DELETES} per request")
    return await delete_paths(call, paths, errors)


async def delete_paths(
    call: Call, paths: list[str], errors: list[list[str]] | None = None, deleted: int = 0
) -> Response:
    """Objects first, TOGETHER at a time; containers, which must be empty, one by one in their place."""
    errors = errors or []
    counts = {"Number Deleted": deleted, "Number Not Found": 0}
    waiting: list[str] = []

    async def flush() -> None:
        outcomes = await asyncio.gather(*(_delete_one(call, path) for path in waiting), return_exceptions=True)
        for path, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, Refusal | StoreError):
                if _status(outcome).startswith("404"):
                    counts["Number Not Found"] += 1
                else:
                    errors.append([quote(path), _status(outcome)])
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                counts["Number Deleted" if outcome else "Number Not Found"] += 1
        waiting.clear()

    for path in paths:
        waiting.append(path)
        if len(waiting) >= TOGETHER or "/" not in path.strip("/"):
            last = waiting.pop() if "/" not in path.strip("/") else None
            await flush()
            if last is not None:
                waiting.append(last)
                await flush()
        if len(errors) >= BULK_FAILURES:
            return report(call, counts | {"Errors": errors}, "400 Bad Request", text="Max delete failures exceeded")
    await flush()
    if errors:
        status = "401 Unauthorized" if any(error[1].startswith("401") for error in errors) else "400 Bad Request"
        return report(call, counts | {"Errors": errors}, status)
    nothing = not counts["Number Deleted"] and not counts["Number Not Found"]
    text = "Invalid bulk delete." if nothing else ""
    return report(call, counts | {"Errors": []}, "400 Bad Request" if nothing else "200 OK", text=text)


async def _delete_one(call: Call, path: str) -> bool:
    container_name, _, name = path[1:].partition("/")
    check_names(call.account, container_name, name or None)
    container = await call.store.get_container(call.account, container_name)
    if not name:
        await call.store.delete_container(container)
        return True
    path_of = call.path._replace(container=container_name, object=name)
    inner = Call(call.request, call.store, path_of, call.caller, call.trans_id)
    inner.override = call.override
    await authorize_container(inner, container, "DELETE")
    archive = await archive_of(call, container)
    deleted = await call.store.delete_object(DeleteObject(container, name, archive=archive))
    return deleted.found or deleted.marker is not None


# unpacking


async def extract(call: Call, archive: str) -> Response:
    """PUT with `extract-archive=`: tar, tar.gz or tar.bz2, below the request's path."""
    mode = ARCHIVES.get(archive.lower())
    if mode is None:
        raise Refusal(400, f"Unsupported archive format: {archive}")
    if not call.request.has_body:
        raise Refusal(411)
    counts: dict[str, Any] = {"Number Files Created": 0}
    with tempfile.SpooledTemporaryFile(max_size=8 * CHUNK) as spool:
        size = 0
        async for chunk in call.request.chunks():
            size += len(chunk)
            if size > MAX_FILE_SIZE:
                raise Refusal(413)
            await asyncio.to_thread(spool.write, chunk)
        spool.seek(0)
        try:
            tar = await asyncio.to_thread(tarfile.open, fileobj=spool, mode=mode)
            unpacker = _Unpacker(call, tar)
            await unpacker.run()
        except (tarfile.TarError, OSError, EOFError) as error:
            return report(call, counts | {"Errors": []}, "400 Bad Request", text=f"Invalid Tar File: {error}")
    counts["Number Files Created"] = unpacker.created
    if unpacker.errors:
        return report(call, counts | {"Errors": unpacker.errors}, "400 Bad Request")
    if not unpacker.created:
        return report(call, counts | {"Errors": []}, "400 Bad Request", text="Invalid Tar File: No Valid Files")
    return report(call, counts | {"Errors": []}, "201 Created")


class _Unpacker:
    """Puts each file of an archive; only names and bytes are taken, never a path on this machine."""

    def __init__(self, call: Call, tar: tarfile.TarFile) -> None:
        self._call, self._tar = call, tar
        self._containers: dict[str, Container] = {}
        self.created = 0
        self.errors: list[list[str]] = []

    async def run(self) -> None:
        waiting: list[tuple[str, PutObject]] = []
        while (member := await asyncio.to_thread(self._tar.next)) is not None:
            if not member.isfile():
                continue
            if len(self.errors) >= BULK_FAILURES:
                break
            inside = member.name.removeprefix("./").strip("/")
            path = "/".join(filter(None, (self._call.container, self._call.name, inside)))
            try:
                waiting.append((path, await self._new(path, member)))
            except (Refusal, StoreError) as error:
                self.errors.append([quote(path), _status(error)])
            if len(waiting) >= TOGETHER:
                await self._put(waiting)
        await self._put(waiting)

    async def _new(self, path: str, member: tarfile.TarInfo) -> PutObject:
        container_name, _, name = path.partition("/")
        if not name:
            raise Refusal(400)
        if member.size > MAX_FILE_SIZE:
            raise Refusal(413)
        check_names(self._call.account, container_name, name)
        container = await self._container(container_name)
        body = await receive_file(self._call.store, self._tar.extractfile(member), member.size)
        headers = dict(_attributes(member))
        kind = headers.pop("content-type", None) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        archive = await archive_of(self._call, container)
        return PutObject(container, name, body, kind, metadata=headers, archive=archive)

    async def _container(self, name: str) -> Container:
        container = self._containers.get(name)
        if container is None:
            if len(self._containers) >= BULK_CONTAINERS:
                raise Refusal(400, f"More than {BULK_CONTAINERS} containers to create from tar.")
            try:
                container = await self._call.store.get_container(self._call.account, name)
            except NoSuchContainer:
                if not self._call.owner:
                    raise
                container, _ = await self._call.store.create_container(self._call.account, name, policy=POLICIES[0][0])
            self._containers[name] = container
        return container

    async def _put(self, waiting: list[tuple[str, PutObject]]) -> None:
        puts = (self._call.store.put_object(new) for _, new in waiting)
        for (path, _), outcome in zip(waiting, await asyncio.gather(*puts, return_exceptions=True), strict=True):
            if isinstance(outcome, StoreError):
                self.errors.append([quote(path), _status(outcome)])
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                self.created += 1
        waiting.clear()


def _attributes(member: tarfile.TarInfo) -> Iterator[tuple[str, str]]:
    """Content type and metadata from extended attributes, as tar --xattrs stores them."""
    for key, value in member.pax_headers.items():
        key = key.removeprefix("LIBARCHIVE.xattr.").removeprefix("SCHILY.xattr.")
        if key == "user.mime_type":
            yield "content-type", value
        elif key.startswith("user.meta.") and len(key) - 10 <= META_NAME and len(value) <= META_VALUE:
            yield key.removeprefix("user.meta.").lower(), value


async def receive_file(store: Store, file: Any, size: int) -> Staged:
    """A file's bytes, read in a thread."""
    if size <= CHUNK // 8:
        data = await asyncio.to_thread(file.read)
        return Staged(len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), small=data)
    upload = store.upload(size)
    try:
        while data := await asyncio.to_thread(file.read, CHUNK):
            await upload.write(data)
        return await upload.finish()
    except BaseException:
        upload.abort()
        raise
