"""FormPost: a browser's form uploads files below a signed prefix."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchContainer
from bivouac.objects.store.interface import PutObject
from bivouac.objects.swift import tempurl
from bivouac.objects.swift.call import MOUNT, Call
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import MAX_FILE_SIZE, check_names
from bivouac.objects.swift.versions import archive_of

FIELD = 64 * 1024  # bytes of a field that is no file
HEADERS = 16 * 1024
_NAME = re.compile(r'\bname="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILENAME = re.compile(r'\bfilename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


def is_form(call: Call) -> bool:
    return call.request.header("content-type").lower().startswith("multipart/form-data")


class Malformed(Exception):
    """The form is not what its content type says."""


async def handle(call: Call) -> Response:
    """POST of a form on a container (or on a prefix in it)."""
    fields: dict[str, str] = {}
    status, message = 201, "The files were uploaded."
    try:
        await _receive(call, fields)
    except Malformed as error:
        status, message = 400, str(error)
    except Refusal as refused:
        status, message = refused.status, refused.text or str(refused)
    redirect = fields.get("redirect", "")
    if not redirect:
        body = f"<html><body><p>{'201 Created' if status == 201 else f'FormPost: {message}'}</p></body></html>".encode()
        return Response(status, [("Content-Type", "text/html; charset=UTF-8")], body)
    separator = "&" if "?" in redirect else "?"
    text = "" if status == 201 else message
    location = f"{redirect}{separator}status={status}&message={tempurl.quote(text)}"
    if any(ord(character) < 32 for character in location):
        raise Refusal(400, "Invalid redirect")
    body = f'<html><body><p><a href="{_escape(location)}">Click to continue...</a></p></body></html>'.encode()
    return Response(303, [("Location", location), ("Content-Type", "text/html; charset=UTF-8")], body)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


async def _receive(call: Call, fields: dict[str, str]) -> None:
    match = re.search(r'boundary="?([^";]+)"?', call.request.header("content-type"))
    if match is None:
        raise Malformed("no boundary")
    form = _Form(call.request.chunks(), b"\r\n--" + match[1].encode("latin-1"))
    count, authorised = 0, False
    async for name, filename, kind in form.parts():
        if filename is None:
            value = b""
            async for data in form.content():
                value += data
                if len(value) > FIELD:
                    raise Malformed("field too long")
            fields[name.lower()] = value.decode("utf-8", "replace")
            continue
        if not authorised:
            await _authorize(call, fields)
            authorised = True
        if not filename:
            async for _ in form.content():
                pass
            continue
        count += 1
        if count > int(fields.get("max_file_count") or 0):
            raise Refusal(400, "max file count exceeded")
        await _store(call, form, fields, filename, kind)
    if not count:
        raise Refusal(400, "no files to process")


async def _authorize(call: Call, fields: dict[str, str]) -> None:
    """Raises Refusal 401 unless the form's fields are signed with one of the keys."""
    try:
        expires = int(fields.get("expires", ""))
        for name in ("max_file_size", "max_file_count"):
            int(fields.get(name, ""))
    except ValueError:
        raise Malformed("expires, max_file_size and max_file_count must be numbers") from None
    if expires < time.time():
        raise Refusal(401, "Form Expired")
    signature = tempurl._signature(fields.get("signature", ""))
    if signature is None:
        raise Refusal(401, "Invalid Signature")
    algorithm, digest = signature
    path = f"/{call.path.version}/AUTH_{call.account}/{call.container}" + (f"/{call.name}" if call.name else "")
    for prefix in ("", MOUNT.decode()):
        text = "\n".join(
            (
                prefix + path,
                fields.get("redirect", ""),
                fields.get("max_file_size", ""),
                fields.get("max_file_count", ""),
                fields.get("expires", ""),
            )
        )
        for _, key in await tempurl.keys(call):
            if hmac.compare_digest(hmac.new(key, text.encode(), algorithm).digest(), digest):
                return
    raise Refusal(401, "Invalid Signature")


async def _store(call: Call, form: _Form, fields: dict[str, str], filename: str, kind: str) -> None:
    assert call.container is not None
    limit = min(int(fields["max_file_size"]), MAX_FILE_SIZE)
    try:
        container = await call.store.get_container(call.account, call.container)
    except NoSuchContainer:
        raise Refusal(404) from None
    name = f"{call.name or ''}{filename}"
    check_names(call.account, call.container, name)
    expires_at = _expiry(fields)
    upload = call.store.upload()
    try:
        async for data in form.content():
            if upload.size + len(data) > limit:
                raise Refusal(400, "max_file_size exceeded")
            await upload.write(data)
        staged = await upload.finish()
    except BaseException:
        upload.abort()
        raise
    new: dict[str, Any] = {"archive": await archive_of(call, container), "expires_at": expires_at}
    encoding = fields.get("content-encoding")
    if encoding:
        new["headers"] = {"content-encoding": encoding}
    await call.store.put_object(PutObject(container, name, staged, kind, **new))


def _expiry(fields: dict[str, str]) -> int | None:
    at, after = fields.get("x_delete_at"), fields.get("x_delete_after")
    try:
        if after:
            return int(time.time()) + int(after)
        return int(at) if at else None
    except ValueError:
        raise Malformed("x_delete_at and x_delete_after must be numbers") from None


class _Form:
    """A multipart/form-data body (RFC 7578) as it arrives; a file's bytes are never held as a whole."""

    def __init__(self, chunks: AsyncIterator[memoryview], boundary: bytes) -> None:
        self._chunks, self._boundary = chunks, boundary
        self._held = b"\r\n"  # the first boundary has no line before it
        self._ended = False

    async def _more(self) -> bool:
        try:
            self._held += bytes(await anext(self._chunks))
            return True
        except StopAsyncIteration:
            return False

    async def parts(self) -> AsyncIterator[tuple[str, str | None, str]]:
        """(field name, file name or None, content type); `content` must be read before the next."""
        async for _ in self.content():
            pass  # what comes before the first boundary
        while not self._ended:
            while (end := self._held.find(b"\r\n\r\n")) < 0:
                if len(self._held) > HEADERS or not await self._more():
                    raise Malformed("malformed part")
            head, self._held = self._held[:end].decode("utf-8", "replace"), self._held[end + 4 :]
            name, filename, kind = "", None, "application/octet-stream"
            for line in head.split("\r\n"):
                header, _, value = line.partition(":")
                if header.strip().lower() == "content-disposition":
                    found = _NAME.search(value)
                    name = found[1] if found else ""
                    found = _FILENAME.search(value)
                    filename = found[1].replace('\\"', '"') if found else None
                elif header.strip().lower() == "content-type":
                    kind = value.strip()
            yield name, filename, kind

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes up to the next boundary."""
        boundary = self._boundary
        while (found := self._held.find(boundary)) < 0:
            safe = len(self._held) - len(boundary)
            if safe > 0:
                part, self._held = self._held[:safe], self._held[safe:]
                yield part
            if not await self._more():
                raise Malformed("form ends early")
        if found:
            yield self._held[:found]
        self._held = self._held[found + len(boundary) :]
        while len(self._held) < 2:
            if not await self._more():
                raise Malformed("form ends early")
        self._ended = self._held.startswith(b"--")
        self._held = self._held[2:]
