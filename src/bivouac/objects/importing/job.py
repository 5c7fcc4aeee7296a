"""A job: through the containers of a source, page by page.

An imported object remembers the source's state that it was made of (`STATE`), so that it is copied again only when
that has changed. An object here that no import wrote is somebody's own and is kept. The job's place is kept at the
container (`PLACE`) after each page of which every object is durable, and removed at the end.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from bivouac.objects.importing.s3 import S3Source
from bivouac.objects.importing.source import Entry, Fetched, Source, SourceError, Vanished
from bivouac.objects.importing.swift import Login, SwiftSource
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.store.errors import (
    ContainerExists,
    NoSuchObject,
    PreconditionFailed,
    StoreError,
    StoreFailed,
    StoreFull,
)
from bivouac.objects.store.interface import Conditions, Container, PutObject, Staged

STATE, PLACE = "import:state", "import:place"
AT_ONCE = 8  # objects under way
CHUNK = 1 << 20
ATTEMPTS = 3
REST_S = 1.0
SIGN_OF_LIFE_S = 5.0
T = TypeVar("T")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to import, and whose it becomes (`project` is an id). Exactly one of `s3` and `swift`. Without `containers`
    all of them."""

    project: str
    s3: S3Login | None = None
    swift: Login | None = None
    containers: list[str] = []


class S3Login(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with a key of it."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"


class Progress(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of what a job says. The counts are of the whole job: `skipped` were imported before and have not changed,
    `kept` are somebody's own here, `gone` vanished from the source meanwhile."""

    container: str = ""
    name: str = ""
    error: str = ""
    copied: int = 0
    bytes: int = 0
    skipped: int = 0
    kept: int = 0
    gone: int = 0
    failed: int = 0
    done: bool = False


async def run(store: EmbeddedStore, job: Job) -> AsyncIterator[Progress]:
    """Import. Gives a line for each failure and each page, and a last one with `done`; the job may be abandoned at any
    of them. Raises SourceError when the source cannot be used at all, StoreFull, StoreFailed."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="import") as threads:

        async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
            return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

        source = await in_thread(_open, job)
        try:
            importer = _Importer(store, source, job.project, in_thread)
            for name in job.containers or await in_thread(source.containers):
                async for line in importer.container(name):
                    yield line
            yield msgspec.structs.replace(importer.counts, done=True)
        finally:
            source.close()


def _open(job: Job) -> Source:
    if job.s3 is not None:
        return S3Source(job.s3.endpoint, job.s3.access_key, job.s3.secret_key, job.s3.region)
    if job.swift is not None:
        return SwiftSource(job.swift)
    raise SourceError("neither an S3 nor a Swift endpoint is given")


class _Importer:
    def __init__(
        self, store: EmbeddedStore, source: Source, project: str, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._store, self._source, self._project, self._in_thread = store, source, project, in_thread
        self.counts = Progress()
        self._errors: list[Progress] = []

    async def container(self, name: str) -> AsyncIterator[Progress]:
        """All objects of one container."""
        try:
            container, _ = await self._store.create_container(self._project, name, bucket=self._source.global_names)
        except ContainerExists:
            self.counts.failed += 1
            yield Progress(container=name, error="the bucket belongs to another project here")
            return
        marker, sound = self._place(container), True
        while True:
            try:
                entries = await self._retried(self._source.page, name, marker)
            except SourceError as error:
                self.counts.failed += 1
                yield Progress(container=name, error=str(error))
                return
            if not entries:
                break
            page = asyncio.get_running_loop().create_task(self._page(container, entries))
            try:
                while not page.done():
                    await asyncio.wait((page,), timeout=SIGN_OF_LIFE_S)
                    while self._errors:
                        yield self._errors.pop()
                    if not page.done():
                        yield msgspec.structs.replace(self.counts, container=name)
                sound = page.result() and sound
            finally:
                page.cancel()
            marker = entries[-1].name
            if sound:  # else the next run begins where something is missing
                place = json.dumps({"source": self._source.name, "marker": marker})
                await self._store.update_container(container, documents={PLACE: place})
            yield msgspec.structs.replace(self.counts, container=name)
        if sound:
            await self._store.update_container(container, documents={PLACE: None})

    def _place(self, container: Container) -> str:
        """The name after which to go on."""
        place = json.loads(container.documents.get(PLACE, "{}"))
        return place.get("marker", "") if place.get("source") == self._source.name else ""

    async def _page(self, container: Container, entries: list[Entry]) -> bool:
        """Whether everything is here now."""
        waiting = iter(entries)
        outcomes: list[bool] = []

        async def work() -> None:
            for entry in waiting:
                outcomes.append(await self._entry(container, entry))

        tasks = [asyncio.get_running_loop().create_task(work()) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return all(outcomes)

    async def _entry(self, container: Container, entry: Entry) -> bool:
        try:
            here = await self._store.get_object(container, entry.name)
        except NoSuchObject:
            here = None
        if here is not None:
            state = here.documents.get(STATE)
            if state is None:
                self.counts.kept += 1
                return True
            if state == entry.state:
                self.counts.skipped += 1
                return True
        # What somebody writes here meanwhile is theirs.
        unchanged = Conditions(if_none_match=("*",)) if here is None else Conditions(if_match=(here.etag,))
        try:
            size = await self._retried_copy(container, entry, unchanged)
        except Vanished:
            self.counts.gone += 1
            return True
        except PreconditionFailed:
            self.counts.kept += 1
            return True
        except (StoreFull, StoreFailed):
            raise
        except (SourceError, StoreError, ValueError) as error:
            self.counts.failed += 1
            self._errors.append(Progress(container=container.name, name=entry.name, error=str(error) or repr(error)))
            return False
        self.counts.copied += 1
        self.counts.bytes += size
        return True

    async def _retried(self, function: Callable[..., T], *arguments: Any) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._in_thread(function, *arguments)
            except Vanished:
                raise
            except SourceError:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(REST_S * attempt)
        raise AssertionError

    async def _retried_copy(self, container: Container, entry: Entry, unchanged: Conditions) -> int:
        for attempt in range(1, ATTEMPTS + 1):
            fetched = await self._retried(self._source.fetch, container.name, entry.name)
            try:
                return await self._copy(container, entry, fetched, unchanged)
            except (OSError, http.client.HTTPException, SourceError) as error:
                if attempt == ATTEMPTS:
                    raise SourceError(f"it broke off: {error}") from error
                await asyncio.sleep(REST_S * attempt)
        raise AssertionError

    async def _copy(self, container: Container, entry: Entry, fetched: Fetched, unchanged: Conditions) -> int:
        staged = await self._receive(fetched)
        if staged.size != fetched.size or (fetched.md5 and staged.md5 != fetched.md5):
            await self._store.discard(staged)
            raise SourceError(f"{staged.size} of {fetched.size} bytes came, or not those that its ETag names")
        await self._store.put_object(
            PutObject(
                container,
                entry.name,
                staged,
                content_type=fetched.content_type,
                etag=fetched.etag or None,
                metadata=fetched.metadata,
                headers=fetched.headers,
                tags=fetched.tags,
                documents={STATE: entry.state},
                owner=self._project,
                expires_at=fetched.expires_at,
                conditions=unchanged,
            )
        )
        return staged.size

    async def _receive(self, fetched: Fetched) -> Staged:
        upload = self._store.upload(fetched.size)
        try:
            while data := await self._in_thread(fetched.read, CHUNK):
                await upload.write(data)
            return await upload.finish()
        except BaseException:
            upload.abort()
            raise
        finally:
            fetched.close()
