"""Conditional requests and ranges (RFC 9110, sections 13 and 14), as S3 reads them."""

from __future__ import annotations

import re
import time
from calendar import timegm
from email.utils import parsedate_tz
from functools import lru_cache

from bivouac.core.clock import parse_iso
from bivouac.objects.store.interface import Conditions
from bivouac.s3.errors import S3Error

_RANGE = re.compile(r"bytes[ \t]*=(?:[ \t]*(\d{1,18}))?[ \t]*-(?:[ \t]*(\d{1,18}))?[ \t]*")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """`Sat, 31 Jan 2026 12:00:00 GMT`."""
    t = time.gmtime(seconds)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
        f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} GMT"
    )


def iso_millis(microseconds: int) -> str:
    """`2026-01-31T12:00:00.123Z`, as S3 writes moments in XML."""
    return f"{_iso_seconds(microseconds // 1_000_000)}.{microseconds % 1_000_000 // 1000:03d}Z"


@lru_cache(maxsize=1024)
def _iso_seconds(seconds: int) -> str:
    """A listing's entries often share their second."""
    t = time.gmtime(seconds)
    return f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"


def parse_http_date(text: str) -> int | None:
    """Seconds since the epoch; None for what is no date (then the condition is ignored, RFC 9110 section 13.1.3)."""
    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else timegm(parsed[:9]) - (parsed[9] or 0)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def etags(text: str) -> tuple[str, ...]:
    """The entity tags of a list, without quotes and weakness; `*` stands for any."""
    return tuple(item.strip().removeprefix("W/").strip('"') for item in text.split(",") if item.strip())


def matches(wanted: tuple[str, ...], etag: str) -> bool:
    return "*" in wanted or etag in wanted


def check_read(headers: dict[str, str], etag: str, modified: int, prefix: str = "", copying: bool = False) -> None:
    """Raise NotModified or PreconditionFailed as the If-... headers say. `modified` is in microseconds.

    With `copying` (the source's conditions of a copy, whose headers bear a prefix) every failure is a 412.
    """
    last = modified // 1_000_000
    text = headers.get(prefix + "if-match")
    if text is not None:
        if not matches(etags(text), etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")
    elif (text := headers.get(prefix + "if-unmodified-since")) is not None:
        moment = parse_http_date(text)
        if moment is not None and last > moment:
            raise S3Error("PreconditionFailed", Condition="If-Unmodified-Since")
    text = headers.get(prefix + "if-none-match")
    not_modified = S3Error("PreconditionFailed", Condition="If-None-Match") if copying else None
    if text is not None:
        if matches(etags(text), etag):
            raise not_modified or _not_modified(etag, last)
    elif (text := headers.get(prefix + "if-modified-since")) is not None:
        moment = parse_http_date(text)
        if moment is not None and last <= moment:
            raise not_modified or _not_modified(etag, last)


def _not_modified(etag: str, last: int) -> S3Error:
    return S3Error("NotModified", headers={"etag": f'"{etag}"', "last-modified": http_date(last)})


def for_write(headers: dict[str, str]) -> Conditions | None:
    """The conditions of a write, which the store holds inside its commit."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return None
    return Conditions(
        if_match=None if match is None else etags(match),
        if_none_match=None if none_match is None else etags(none_match),
    )


def for_delete(etag: str | None, size: str | None, modified: str | None) -> Conditions | None:
    """The conditions of a delete: If-Match, x-amz-if-match-size, x-amz-if-match-last-modified-time. Raises
    InvalidArgument."""
    if etag is None and size is None and modified is None:
        return None
    moment = None
    if modified is not None:
        moment = parse_http_date(modified)
        if moment is None:
            try:
                moment = int(parse_iso(modified))
            except ValueError:
                raise S3Error("InvalidArgument", "The last modification time is no date.") from None
    if size is not None and not size.isdigit():
        raise S3Error("InvalidArgument", "The size to match is no number.")
    return Conditions(
        if_match=None if etag is None else etags(etag), if_size=None if size is None else int(size), if_modified=moment
    )


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """(offset, length) of a Range header; None if it is not of a form that S3 honours. Raises InvalidRange."""
    found = _RANGE.fullmatch(text)
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        wanted = min(int(last), size)
        if wanted == 0:
            raise unsatisfiable(text, size)
        return size - wanted, wanted
    start = int(first)
    end = int(last) if last else size - 1
    if last and end < start:
        return None
    if start >= size:
        raise unsatisfiable(text, size)
    return start, min(end, size - 1) - start + 1


def unsatisfiable(text: str, size: int) -> S3Error:
    return S3Error(
        "InvalidRange", headers={"content-range": f"bytes */{size}"}, RangeRequested=text, ActualObjectSize=str(size)
    )


def parse_copy_range(text: str, size: int) -> tuple[int, int]:
    """(offset, length) of x-amz-copy-source-range, which must lie inside. Raises InvalidArgument or InvalidRange."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", text.strip())
    if not found or int(found[2]) < int(found[1]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where "
            "first and last are the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    first, last = int(found[1]), int(found[2])
    if last >= size:
        raise S3Error("InvalidRange", f"Range specified is not valid for source object of size: {size}")
    return first, last - first + 1
