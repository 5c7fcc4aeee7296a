"""Conditional requests (RFC 9110, section 13) as a pure function over the current version."""

from __future__ import annotations

from bivouac.objects.store.errors import PreconditionFailed
from bivouac.objects.store.interface import Conditions, ObjectRecord

MICROSECONDS = 1_000_000


def check(conditions: Conditions | None, current: ObjectRecord | None) -> None:
    """Raises PreconditionFailed naming the condition that does not hold. `current` None: there is no such object."""
    if conditions is None:
        return
    etag = current.etag if current else None
    if conditions.if_match is not None and (
        etag is None or ("*" not in conditions.if_match and etag not in conditions.if_match)
    ):
        raise PreconditionFailed("if_match", current)
    if (
        conditions.if_none_match is not None
        and etag is not None
        and ("*" in conditions.if_none_match or etag in conditions.if_none_match)
    ):
        raise PreconditionFailed("if_none_match", current)
    if current is None:
        return
    # HTTP dates have whole seconds, rounded up so that the date a client was told is "not modified since".
    seconds = -(-current.modified // MICROSECONDS)
    since = conditions.if_unmodified_since
    if since is not None and conditions.if_match is None and seconds > since:
        raise PreconditionFailed("if_unmodified_since", current)
    since = conditions.if_modified_since
    if since is not None and conditions.if_none_match is None and seconds <= since:
        raise PreconditionFailed("if_modified_since", current)
    if conditions.if_size is not None and current.size != conditions.if_size:
        raise PreconditionFailed("if_size", current)
    if conditions.if_modified is not None and conditions.if_modified not in (seconds, current.modified // MICROSECONDS):
        raise PreconditionFailed("if_modified", current)
