"""The loop that carries out lifecycle rules.

One pass walks the buckets that have rules and, in each, all versions in order of their names. What a name's versions
are due for is decided by
`due_actions`, a pure function; each deletion names the version it saw, so that what was written meanwhile stays.
Locked versions are left for a
later pass. A pass that is interrupted is simply done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from enum import Enum
from itertools import groupby

from bivouac.objects.store.errors import NoSuchUpload, StoreError
from bivouac.objects.store.interface import Conditions, Container, DeleteObject, Kind, Listing, ObjectEntry, Versioning
from bivouac.s3.documents import keys, lifecycle
from bivouac.s3.documents.lifecycle import Rule
from bivouac.s3.door import S3Door

log = logging.getLogger("bivouac.s3")
PAUSE_S = 3600.0
PAGE = 1000
AT_ONCE = 100
"""Deletions between two rests, so that clients are not kept waiting."""


class Action(Enum):
    EXPIRE = "expire"  # the current version: removed, or hidden by a delete marker
    REMOVE = "remove"  # this version, for good


def due_actions(
    rules: tuple[Rule, ...], versions: list[ObjectEntry], now: float, day_s: float = lifecycle.DAY_S
) -> list[tuple[Action, ObjectEntry]]:
    """What the versions of one name, newest first, are due for at `now` (seconds)."""
    newest = versions[0]
    found = []
    if newest.kind is Kind.DELETE_MARKER:
        if len(versions) == 1 and any(_marker_is_due(rule, newest, now, day_s) for rule in rules):
            found.append((Action.REMOVE, newest))
    elif any(_expiry_is_due(rule, newest, now, day_s) for rule in rules):
        found.append((Action.EXPIRE, newest))
    for index, entry in enumerate(versions[1:]):
        succeeded = versions[index].version / 1_000_000
        if any(_noncurrent_is_due(rule, entry, index, succeeded, now, day_s) for rule in rules):
            found.append((Action.REMOVE, entry))
    return found


def _fits(rule: Rule, entry: ObjectEntry) -> bool:
    return rule.enabled and rule.filter.fits(entry.name, entry.size, entry.tags)


def _expiry_is_due(rule: Rule, entry: ObjectEntry, now: float, day_s: float) -> bool:
    if not _fits(rule, entry):
        return False
    if rule.date is not None:
        return now >= rule.date
    return rule.days is not None and now >= lifecycle.due(entry.version / 1_000_000, rule.days, day_s)


def _marker_is_due(rule: Rule, entry: ObjectEntry, now: float, day_s: float) -> bool:
    """A delete marker with nothing behind it goes at once where asked, else when its days are over."""
    if not rule.enabled or not entry.name.startswith(rule.filter.prefix) or rule.filter.tags:
        return False
    return rule.delete_marker or _expiry_is_due(rule, entry, now, day_s)


def _noncurrent_is_due(rule: Rule, entry: ObjectEntry, newer: int, succeeded: float, now: float, day_s: float) -> bool:
    return (
        rule.noncurrent_days is not None
        and _fits(rule, entry)
        and newer >= (rule.newer_noncurrent or 0)
        and now >= lifecycle.due(succeeded, rule.noncurrent_days, day_s)
    )


class LifecycleLoop:
    """`day_s` is the length of a day, which tests shorten."""

    def __init__(self, door: S3Door, day_s: float = lifecycle.DAY_S, pause_s: float = PAUSE_S) -> None:
        self._door, self._day_s, self._pause_s = door, day_s, pause_s

    async def run(self) -> None:
        """Pass after pass, for ever."""
        while True:
            await asyncio.sleep(self._pause_s)
            try:
                await self.once()
            except Exception:
                log.exception("a lifecycle pass failed; the next one begins anew")

    async def once(self) -> None:
        """One pass over all buckets with rules."""
        async for container in self._buckets():
            rules = lifecycle.load(container.documents[keys.LIFECYCLE]).rules
            await self._objects(container, rules)
            await self._uploads(container, rules)

    async def _buckets(self) -> AsyncIterator[Container]:
        store, marker = self._door.store, ""
        while accounts := await store.list_accounts(marker, PAGE):
            for account in accounts:
                at = ""
                while page := await store.list_containers(account, Listing(marker=at, limit=PAGE)):
                    for entry in page:
                        try:
                            container = await store.get_container(account, entry.name)
                        except StoreError:
                            continue
                        if keys.LIFECYCLE in container.documents:
                            yield container
                    at = page[-1].name
            marker = accounts[-1]

    async def _objects(self, container: Container, rules: tuple[Rule, ...]) -> None:
        held: list[ObjectEntry] = []
        marker, version = "", None
        while True:
            listing = Listing(marker=marker, version_marker=version, limit=PAGE)
            page = await self._door.store.list_versions(container, listing)
            held += page.entries
            groups = [list(group) for _, group in groupby(held, key=lambda one: one.name)]
            held = groups.pop() if page.truncated and groups else []
            await self._carry_out(container, rules, groups)
            if not page.truncated:
                return
            marker, version = page.entries[-1].name, page.entries[-1].version

    async def _carry_out(self, container: Container, rules: tuple[Rule, ...], groups: list[list[ObjectEntry]]) -> None:
        done = 0
        for versions in groups:
            for action, entry in due_actions(rules, versions, self._door.now(), self._day_s):
                await self._delete(container, action, entry)
                done += 1
                if done % AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _delete(self, container: Container, action: Action, entry: ObjectEntry) -> None:
        hide = action is Action.EXPIRE and container.versioning is not Versioning.OFF
        if hide:
            delete = DeleteObject(
                container, entry.name, conditions=Conditions(if_match=(entry.etag,)), owner=container.account
            )
        else:
            delete = DeleteObject(container, entry.name, entry.version)
        try:
            deleted = await self._door.store.delete_object(delete)
        except StoreError:
            return  # locked, changed or gone: the next pass sees it anew
        event = "s3:LifecycleExpiration:" + ("DeleteMarkerCreated" if hide else "Delete")
        version = deleted.marker if hide else entry.version
        self._door.events.emit(container, self._door.now(), event, entry.name, entry.size, entry.etag, version)

    async def _uploads(self, container: Container, rules: tuple[Rule, ...]) -> None:
        aborting = [rule for rule in rules if rule.enabled and rule.abort_days is not None]
        if not aborting:
            return
        store, marker, id_marker = self._door.store, "", ""
        while page := await store.list_multiparts(container, "", marker, id_marker, PAGE):
            for upload in page:
                for rule in aborting:
                    due = lifecycle.due(upload.created / 1_000_000, rule.abort_days or 0, self._day_s)
                    if upload.name.startswith(rule.filter.prefix) and self._door.now() >= due:
                        try:
                            await store.abort_multipart(upload)
                        except NoSuchUpload:
                            pass
                        break
            marker, id_marker = page[-1].name, page[-1].id
