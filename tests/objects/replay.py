"""Random operations of both dialects, replayed against a model in plain dictionaries.

    python tests/objects/replay.py --operations 1000000 --seed 7

Both doors stand over one store in this process and are asked as the server asks them, so what is checked is all but
the socket. Operations on different names run together, as clients' do; after each its answer must be what the model
says, now and then every listing and every byte is compared in both dialects, and the store is opened anew.
`test_replay` runs a slice of it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import html
import json
import random
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from msgspec import Struct
from msgspec.structs import replace

from bivouac.core.call import Caller as S3Caller
from bivouac.core.http1 import Request, Response
from bivouac.core.http1.body import Body
from bivouac.objects.caller import Caller
from bivouac.objects.store import EmbeddedStore, maintenance
from bivouac.objects.store.upload import SMALL
from bivouac.objects.swift.door import SwiftDoor
from bivouac.s3.door import S3Door
from bivouac.s3.request import Credential
from bivouac.s3.signing.v2 import SUBRESOURCES

PROJECT = KEY = "replay"
CALLER = Caller("u", "u", "default", PROJECT, PROJECT, "default", frozenset(("member",)))
CREDENTIAL = Credential(KEY, S3Caller(user_id="u", user_name="u", project_id=PROJECT, roles=("member",)))
PLAIN, KEPT = "plain", "kept"  # a container, and a bucket that keeps versions
STEMS = ("a", "a/b", "a&b", "é", "x%y", "z z", "deep/1/2", "q+r")
NAMES = tuple(f"{stem}{end}" for stem in STEMS for end in ("", "/x", "-1", "~"))
SIZES = (0, 1, 100, 4096, SMALL, SMALL + 1, 200_000)
TOGETHER = 16
COMPARED_EACH, REOPENED_EACH = 2_000, 20_000  # operations


class Answer(Struct):
    status: int
    headers: dict[str, str]
    body: bytes


class Version(Struct, frozen=True):
    """What the model holds of one; `body` None is a delete marker."""

    body: bytes | None
    etag: str = ""
    content_type: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    id: str = "null"


class Mismatch(AssertionError):
    pass


class Doors:
    """The two doors over a store in `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    async def open(self) -> None:
        async def authenticate(token: str) -> Caller | None:
            return CALLER if token == KEY else None

        async def lookup(access_key: str) -> Credential | None:
            return CREDENTIAL if access_key == KEY else None

        self.store = await EmbeddedStore.open(f"{self._directory}/store")
        self._swift = SwiftDoor(self.store, authenticate)
        self._s3 = S3Door(self.store, lookup, Path(self._directory))

    async def close(self) -> None:
        await self._s3.close()
        await self.store.close()

    async def swift(
        self, method: str, path: str, query: str = "", headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        head = {"x-auth-token": KEY} | (headers or {})
        return await _ask(self._swift.handle, method, quote(f"/v1/AUTH_{PROJECT}/{path}"), query, head, body)

    async def s3(
        self, method: str, path: str, query: str = "", headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        head = {"host": "localhost", "date": formatdate(usegmt=True)} | (headers or {})
        target = quote(f"/{path}")
        head["authorization"] = f"AWS {KEY}:{_signature(method, target, query, head)}"
        return await _ask(self._s3.handle, method, target, query, head, body)


def _signature(method: str, target: str, query: str, headers: dict[str, str]) -> str:
    """Signature version 2, the cheaper one."""
    asked = sorted((name, value) for name, value in parse_qsl(query, True) if name in SUBRESOURCES)
    resource = target + ("?" if asked else "") + "&".join(f"{name}={value}" if value else name for name, value in asked)
    amz = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()) if name.startswith("x-amz-"))
    text = f"{method}\n\n{headers.get('content-type', '')}\n{headers['date']}\n{amz}{resource}"
    return base64.b64encode(hmac.digest(KEY.encode(), text.encode(), "sha1")).decode()


async def _ask(
    handle: Callable[[Request], Awaitable[Response]],
    method: str,
    target: str,
    query: str,
    headers: dict[str, str],
    data: bytes | None,
) -> Answer:
    fields = {name.encode(): value.encode() for name, value in headers.items()}
    if data is not None:
        fields[b"content-length"] = str(len(data)).encode()
    body = Body(None if data is None else len(data), False, lambda pause: None, lambda: None)
    if data:
        body.feed(data)
    response = await handle(Request(method, target.encode(), query.encode(), fields, "127.0.0.1", False, body))
    body.answered()
    content: Any = response.body
    if not isinstance(content, bytes):
        pieces = content if isinstance(content, list) else [piece async for piece in content]
        content = b"".join(piece if isinstance(piece, bytes) else _read(piece) for piece in pieces)
    return Answer(response.status, {name.lower(): value for name, value in response.headers}, content)


def _read(piece: Any) -> bytes:
    with piece:
        return piece.read()


class Replay:
    """`model`: bucket -> name -> versions, oldest first; without versions there is at most one."""

    def __init__(self, directory: str, seed: int) -> None:
        self.doors, self.chance = Doors(directory), random.Random(seed)
        self.model: dict[str, dict[str, list[Version]]] = {PLAIN: {}, KEPT: {}}
        self.done = 0
        # Cut out of one block, so that a million bodies cost no time to make.
        self._block = random.Random(seed).randbytes(2 * max(SIZES))

    async def begin(self) -> None:
        await self.doors.open()
        self._expect((await self.doors.swift("PUT", PLAIN, body=b"")).status, 201)
        self._expect((await self.doors.s3("PUT", KEPT, body=b"")).status, 200)
        wanted = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        self._expect((await self.doors.s3("PUT", KEPT, "versioning", body=wanted)).status, 200)

    async def run(self, operations: int) -> None:
        compared = reopened = 0
        while self.done < operations:
            names = self.chance.sample([(bucket, name) for bucket in self.model for name in NAMES], TOGETHER)
            # In pairs, because a copy touches two names.
            await asyncio.gather(*(self._one(*names[i], *names[i + 1]) for i in range(0, TOGETHER, 2)))
            self.done += TOGETHER // 2
            await self._list()
            if self.done - compared >= COMPARED_EACH:
                compared = self.done
                await self.compare()
            if self.done - reopened >= REOPENED_EACH:
                reopened = self.done
                await self.reopen()

    async def end(self) -> None:
        await self.compare()
        await self.reopen()
        await self.compare()
        await self.doors.store.idle()
        self._expect(await maintenance.check(self.doors.store), [])
        await self.doors.close()

    async def reopen(self) -> None:
        await self.doors.close()
        await self.doors.open()

    def _expect(self, found: object, wanted: object, *of: object) -> None:
        if found != wanted:
            raise Mismatch(f"operation {self.done}, {of}: found {found!r:.300}, expected {wanted!r:.300}")

    # the model

    def current(self, bucket: str, name: str) -> Version | None:
        held = self.model[bucket].get(name)
        return held[-1] if held and held[-1].body is not None else None

    def _add(self, bucket: str, name: str, version: Version) -> None:
        if bucket == KEPT:
            self.model[bucket].setdefault(name, []).append(version)
        else:
            self.model[bucket][name] = [version]

    # operations

    async def _one(self, bucket: str, name: str, other_bucket: str, other: str) -> None:
        operation = self.chance.choice(self.OPERATIONS)
        if operation is Replay._copy:
            await self._copy(bucket, name, other_bucket, other)
        else:
            await operation(self, bucket, name)

    def _new(self) -> tuple[bytes, str, dict[str, str]]:
        size = self.chance.choice(SIZES)
        begin = self.chance.randrange(max(SIZES))
        metadata = {f"k{n}": f"v{self.chance.randrange(1000)}" for n in range(self.chance.randrange(3))}
        return self._block[begin : begin + size], self.chance.choice(("text/plain", "image/png")), metadata

    async def _put(self, bucket: str, name: str) -> None:
        data, kind, metadata = self._new()
        only_new = self.chance.random() < 0.2
        condition = {"if-none-match": "*"} if only_new else {}
        there = self.current(bucket, name) is not None
        if self.chance.random() < 0.5:
            fields = {f"x-object-meta-{key}": value for key, value in metadata.items()}
            head = fields | condition | {"content-type": kind}
            answer, made = await self.doors.swift("PUT", f"{bucket}/{name}", headers=head, body=data), 201
        else:
            fields = {f"x-amz-meta-{key}": value for key, value in metadata.items()}
            head = fields | condition | {"content-type": kind}
            answer, made = await self.doors.s3("PUT", f"{bucket}/{name}", headers=head, body=data), 200
        if only_new and there:
            self._expect(answer.status, 412, "put", bucket, name)
            return
        self._expect(answer.status, made, "put", bucket, name, answer.body)
        etag = hashlib.md5(data).hexdigest()
        self._expect(answer.headers["etag"].strip('"'), etag, "put", bucket, name)
        self._add(
            bucket, name, Version(data, etag, kind, tuple(sorted(metadata.items())), await self._id(bucket, name))
        )

    async def _id(self, bucket: str, name: str) -> str:
        """The newest version's id, as S3 names it."""
        if bucket == PLAIN:
            return "null"
        return (await self.doors.s3("HEAD", f"{bucket}/{name}")).headers.get("x-amz-version-id", "")

    async def _multipart(self, bucket: str, name: str) -> None:
        data, kind, metadata = self._new()
        head = {f"x-amz-meta-{key}": value for key, value in metadata.items()} | {"content-type": kind}
        path = f"{bucket}/{name}"
        begun = await self.doors.s3("POST", path, "uploads", head)
        upload = re.search(rb"<UploadId>(.*?)</UploadId>", begun.body)
        assert upload is not None, begun.body
        query = urlencode({"partNumber": 1, "uploadId": upload[1].decode()})
        part = await self.doors.s3("PUT", path, query, body=data)
        self._expect(part.status, 200, "part", path)
        if self.chance.random() < 0.2:
            gone = await self.doors.s3("DELETE", path, f"uploadId={upload[1].decode()}")
            self._expect(gone.status, 204, "abort", path)
            return
        listed = f"<Part><PartNumber>1</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        ended = await self.doors.s3("POST", path, f"uploadId={upload[1].decode()}", body=body)
        self._expect(ended.status, 200, "complete", path, ended.body)
        etag = f"{hashlib.md5(hashlib.md5(data).digest()).hexdigest()}-1"
        self._add(
            bucket, name, Version(data, etag, kind, tuple(sorted(metadata.items())), await self._id(bucket, name))
        )

    async def _copy(self, bucket: str, name: str, other_bucket: str, other: str) -> None:
        source = self.current(bucket, name)
        if self.chance.random() < 0.5:
            head = {"x-copy-from": quote(f"{bucket}/{name}")}
            answer, made = await self.doors.swift("PUT", f"{other_bucket}/{other}", headers=head, body=b""), 201
        else:
            head = {"x-amz-copy-source": quote(f"{bucket}/{name}")}
            answer, made = await self.doors.s3("PUT", f"{other_bucket}/{other}", headers=head), 200
        if source is None:
            self._expect(answer.status, 404, "copy", bucket, name)
            return
        self._expect(answer.status, made, "copy", bucket, name, answer.body)
        # A copy's tag may be the source's or one of its own; what it is must stay.
        etag = (await self.doors.s3("HEAD", f"{other_bucket}/{other}")).headers["etag"].strip('"')
        self._add(other_bucket, other, replace(source, etag=etag, id=await self._id(other_bucket, other)))

    async def _delete(self, bucket: str, name: str) -> None:
        there = self.current(bucket, name) is not None
        if self.chance.random() < 0.5:
            answer = await self.doors.swift("DELETE", f"{bucket}/{name}")
            self._expect(answer.status, 204 if there else 404, "delete", bucket, name)
            marker = None
        else:
            answer = await self.doors.s3("DELETE", f"{bucket}/{name}")
            self._expect(answer.status, 204, "delete", bucket, name)
            marker = answer.headers.get("x-amz-version-id")
        if bucket == PLAIN:
            self.model[bucket].pop(name, None)
            return
        self._add(bucket, name, Version(None, id=marker or await self._id(bucket, name)))

    async def _delete_version(self, bucket: str, name: str) -> None:
        held = self.model[bucket].get(name)
        if bucket == PLAIN or not held:
            return
        gone = held.pop(self.chance.randrange(len(held)))
        answer = await self.doors.s3("DELETE", f"{bucket}/{name}", f"versionId={quote(gone.id)}")
        self._expect(answer.status, 204, "delete version", bucket, name)

    async def _delete_many(self, bucket: str, name: str) -> None:
        body = f"<Delete><Object><Key>{html.escape(name)}</Key></Object></Delete>".encode()
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        answer = await self.doors.s3("POST", bucket, "delete", {"x-amz-checksum-sha256": digest}, body)
        self._expect(answer.status, 200, "delete many", bucket, name, answer.body)
        marker = re.search(rb"<DeleteMarkerVersionId>(.*?)<", answer.body)
        if bucket == PLAIN:
            self.model[bucket].pop(name, None)
        else:
            assert marker is not None, answer.body
            self._add(bucket, name, Version(None, id=marker[1].decode()))

    async def _post(self, bucket: str, name: str) -> None:
        _, kind, metadata = self._new()
        head = {f"x-object-meta-{key}": value for key, value in metadata.items()} | {"content-type": kind}
        answer = await self.doors.swift("POST", f"{bucket}/{name}", headers=head, body=b"")
        held = self.current(bucket, name)
        self._expect(answer.status, 404 if held is None else 202, "post", bucket, name)
        if held is not None:
            changed = replace(held, content_type=kind, metadata=tuple(sorted(metadata.items())))
            self.model[bucket][name][-1] = changed

    async def _get(self, bucket: str, name: str) -> None:
        held = self.current(bucket, name)
        asking = self.doors.swift if self.chance.random() < 0.5 else self.doors.s3
        if held is None:
            self._expect((await asking("GET", f"{bucket}/{name}")).status, 404, "get", bucket, name)
            return
        assert held.body is not None
        if held.body and self.chance.random() < 0.3:
            first = self.chance.randrange(len(held.body))
            last = self.chance.randrange(first, len(held.body) + 10)
            answer = await asking("GET", f"{bucket}/{name}", headers={"range": f"bytes={first}-{last}"})
            self._expect((answer.status, answer.body), (206, held.body[first : last + 1]), "range", bucket, name)
            return
        answer = await asking(self.chance.choice(("GET", "HEAD")), f"{bucket}/{name}")
        self._expect(answer.status, 200, "get", bucket, name)
        self._check_headers(answer, held, bucket, name)
        if answer.body:
            self._expect(answer.body, held.body, "get", bucket, name)

    def _check_headers(self, answer: Answer, held: Version, *of: str) -> None:
        found = {
            name.removeprefix("x-object-meta-").removeprefix("x-amz-meta-"): value
            for name, value in answer.headers.items()
            if name.startswith(("x-object-meta-", "x-amz-meta-"))
        }
        self._expect(found, dict(held.metadata), "metadata", *of)
        self._expect(answer.headers["etag"].strip('"'), held.etag, "etag", *of)
        self._expect(answer.headers["content-type"].partition(";")[0], held.content_type, "content type", *of)

    async def _get_version(self, bucket: str, name: str) -> None:
        held = self.model[bucket].get(name)
        if bucket == PLAIN or not held:
            return
        version = self.chance.choice(held)
        answer = await self.doors.s3("GET", f"{bucket}/{name}", f"versionId={quote(version.id)}")
        if version.body is None:
            self._expect(answer.status, 405, "get marker", bucket, name)
        else:
            self._expect((answer.status, answer.body), (200, version.body), "get version", bucket, name)
            self._check_headers(answer, version, bucket, name)

    OPERATIONS = (
        *(_put, _put, _put, _multipart, _copy, _copy, _delete, _delete_version, _delete_many),
        *(_post, _get, _get, _get, _get_version),
    )

    # listings

    def _names(self, bucket: str) -> list[str]:
        return sorted(name for name in self.model[bucket] if self.current(bucket, name))

    async def _list(self) -> None:
        """A page in one of the dialects."""
        bucket = self.chance.choice((PLAIN, KEPT))
        prefix = self.chance.choice(("", "", "a", "a/", "deep/", "é"))
        delimiter = self.chance.choice(("", "/"))
        marker = "" if delimiter else self.chance.choice(("", *NAMES))
        limit = self.chance.choice((1, 3, 7, 1000))
        rolled: list[str] = []
        names = [name for name in self._names(bucket) if name.startswith(prefix)]
        reverse = self.chance.random() < 0.3
        if reverse:
            names.reverse()
        for name in names:
            if marker and (name >= marker if reverse else name <= marker):
                continue
            end = name.find(delimiter, len(prefix)) if delimiter else -1
            shown = name if end < 0 else name[: end + 1]
            if not rolled or rolled[-1] != shown:
                rolled.append(shown)
        wanted = rolled[:limit]
        if reverse or self.chance.random() < 0.5:
            asked = {"format": "json", "prefix": prefix, "delimiter": delimiter, "marker": marker, "limit": limit}
            if reverse:
                asked["reverse"] = "on"
            answer = await self.doors.swift("GET", bucket, urlencode(asked))
            found = [item.get("name") or item["subdir"] for item in json.loads(answer.body)]
        else:
            asked = {"list-type": 2, "prefix": prefix, "delimiter": delimiter, "max-keys": limit, "start-after": marker}
            answer = await self.doors.s3("GET", bucket, urlencode(asked))
            keys = re.findall(r"<(?:Contents><Key|CommonPrefixes><Prefix)>(.*?)<", answer.body.decode())
            found = sorted(map(html.unescape, keys))
        self._expect(found, wanted, "list", bucket, asked)

    async def compare(self) -> None:
        """Everything, in both dialects."""
        for bucket in self.model:
            names = self._names(bucket)
            listed = json.loads((await self.doors.swift("GET", bucket, "format=json")).body)
            self._expect([item["name"] for item in listed], names, "all", bucket)
            for item in listed:
                held = self.current(bucket, item["name"])
                assert held is not None and held.body is not None
                self._expect((item["bytes"], item["hash"]), (len(held.body), held.etag), bucket, item["name"])
                for asking in (self.doors.swift, self.doors.s3):
                    answer = await asking("GET", f"{bucket}/{item['name']}")
                    self._expect((answer.status, answer.body), (200, held.body), bucket, item["name"])
                    self._check_headers(answer, held, bucket, item["name"])
            usage = await self.doors.swift("HEAD", bucket)
            self._expect(int(usage.headers["x-container-object-count"]), len(names), "count", bucket)
            held = [len(version.body or b"") for versions in self.model[bucket].values() for version in versions]
            self._expect(int(usage.headers["x-container-bytes-used"]), sum(held), "bytes", bucket)
        wanted = {(name, version.id) for name, held in self.model[KEPT].items() for version in held}
        listed = await self._versions()
        self._expect(listed ^ wanted, set(), "versions")

    async def _versions(self) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        asked = {"versions": "", "max-keys": "1000"}
        while True:
            text = (await self.doors.s3("GET", KEPT, urlencode(asked))).body.decode()
            pairs = re.findall(r"<Key>(.*?)</Key><VersionId>(.*?)</VersionId>", text)
            found |= {(html.unescape(name), version) for name, version in pairs}
            if "<IsTruncated>true" not in text:
                return found
            for field, tag in (("key-marker", "NextKeyMarker"), ("version-id-marker", "NextVersionIdMarker")):
                more = re.search(f"<{tag}>(.*?)</{tag}>", text)
                assert more is not None
                asked[field] = html.unescape(more[1])


async def replay(directory: str, seed: int, operations: int) -> Replay:
    """Raises Mismatch."""
    run = Replay(directory, seed)
    await run.begin()
    await run.run(operations)
    await run.end()
    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        run = asyncio.run(replay(directory, options.seed, options.operations))
    took_s = time.monotonic() - begun
    print(f"{run.done:,} operations of both dialects agreed with the model (seed {options.seed}, {took_s:.0f} s)")


if __name__ == "__main__":
    main()
