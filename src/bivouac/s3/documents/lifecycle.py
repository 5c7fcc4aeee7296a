"""Lifecycle rules: reading, checking, writing, and which action a version of an object is due for.

Expiry of current and noncurrent versions, of lone delete markers, and of unfinished multipart uploads. Transitions to
other storage classes
are refused, since there is one kind of disk. Source: "Managing the lifecycle of objects", Amazon S3 User Guide.
"""

from __future__ import annotations

import itertools
import re

import msgspec
from msgspec import Struct

from bivouac.core.clock import parse_iso
from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

MAX_RULES = 1000
MAX_ID = 255
DAY_S = 86_400
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T.*)?")


class Filter(Struct, frozen=True):
    prefix: str = ""
    tags: dict[str, str] = {}
    greater_than: int | None = None
    less_than: int | None = None

    def fits(self, name: str, size: int, tags: dict[str, str]) -> bool:
        return (
            name.startswith(self.prefix)
            and (self.greater_than is None or size > self.greater_than)
            and (self.less_than is None or size < self.less_than)
            and all(tags.get(key) == value for key, value in self.tags.items())
        )


class Rule(Struct, frozen=True):
    """Days count from a version's creation, or for noncurrent ones from when it was succeeded. `date` is in seconds."""

    id: str
    enabled: bool
    filter: Filter
    days: int | None = None
    date: int | None = None
    delete_marker: bool = False
    noncurrent_days: int | None = None
    newer_noncurrent: int | None = None
    abort_days: int | None = None


class Configuration(Struct, frozen=True):
    """`text` is the document as it is given back."""

    rules: tuple[Rule, ...]
    text: str


def parse(body: bytes) -> Configuration:
    """A LifecycleConfiguration. Raises MalformedXML, InvalidArgument, InvalidRequest, InvalidStorageClass."""
    try:
        tree = xml.parse(body, "LifecycleConfiguration", max_bytes=1 << 20)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    rules, ids = [], set()
    numbers = itertools.count(1)
    for node in tree.all("Rule"):
        rule = _rule(node)
        if not rule.id:
            rule = msgspec.structs.replace(rule, id=f"rule-{next(numbers)}")
            node.children.insert(0, _text_node("ID", rule.id))
        if rule.id in ids:
            raise S3Error("InvalidArgument", f"Rule ID must be unique. Found same ID for more than one rule: {rule.id}")
        ids.add(rule.id)
        rules.append(rule)
    if not rules or len(rules) > MAX_RULES:
        raise S3Error("MalformedXML", f"A lifecycle configuration has 1 to {MAX_RULES} rules.")
    return Configuration(tuple(rules), "".join(xml.write(node) for node in tree.children))


def _text_node(name: str, text: str) -> xml.Element:
    node = xml.Element(name, {})
    node.text = text
    return node


def _days(text: str | None, what: str, least: int = 1) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[+-]?\d{1,9}", text):
        raise S3Error("MalformedXML")
    if int(text) < least:
        raise S3Error("InvalidArgument", f"'{what}' must be a positive integer", ArgumentName=what, ArgumentValue=text)
    return int(text)


def _rule(node: xml.Element) -> Rule:
    status, identifier = node.value("Status"), node.value("ID", "") or ""
    if status not in ("Enabled", "Disabled"):
        raise S3Error("MalformedXML")
    if len(identifier) > MAX_ID:
        raise S3Error("InvalidArgument", f"ID length should not exceed allowed limit of {MAX_ID}")
    if node.child("Transition") is not None or node.child("NoncurrentVersionTransition") is not None:
        raise S3Error("InvalidStorageClass", "Transitions are not offered: there is one storage class, STANDARD.")
    filter_ = _filter(node)
    days, date, marker = _expiration(node.child("Expiration"))
    noncurrent = node.child("NoncurrentVersionExpiration")
    abort = node.child("AbortIncompleteMultipartUpload")
    if marker and filter_.tags:
        raise S3Error("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with tags.")
    if abort is not None and (filter_.tags or filter_.greater_than is not None or filter_.less_than is not None):
        raise S3Error("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with tags or sizes.")
    if node.child("Expiration") is None and noncurrent is None and abort is None:
        raise S3Error("InvalidRequest", "At least one action needs to be specified in a rule")
    return Rule(
        id=identifier,
        enabled=status == "Enabled",
        filter=filter_,
        days=days,
        date=date,
        delete_marker=marker,
        noncurrent_days=None if noncurrent is None else _days(noncurrent.value("NoncurrentDays"), "NoncurrentDays"),
        newer_noncurrent=(
            None
            if noncurrent is None
            else _days(noncurrent.value("NewerNoncurrentVersions"), "NewerNoncurrentVersions")
        ),
        abort_days=None if abort is None else _days(abort.value("DaysAfterInitiation"), "DaysAfterInitiation"),
    )


def _expiration(node: xml.Element | None) -> tuple[int | None, int | None, bool]:
    """(days, date, expire lone delete markers): exactly one of them."""
    if node is None:
        return None, None, False
    days = _days(node.value("Days"), "Days")
    text = node.value("Date")
    date = None
    if text is not None:
        if not _DATE.fullmatch(text):
            raise S3Error("MalformedXML", "'Date' must be in ISO 8601 format")
        try:
            date = int(parse_iso(text))
        except ValueError:
            raise S3Error("MalformedXML", "'Date' must be in ISO 8601 format") from None
        if date % DAY_S:
            raise S3Error("InvalidArgument", "'Date' must be at midnight GMT")
    marker_text = node.value("ExpiredObjectDeleteMarker")
    if (days is not None) + (date is not None) + (marker_text is not None) != 1:
        raise S3Error("MalformedXML")
    return days, date, marker_text == "true"


def _filter(node: xml.Element) -> Filter:
    prefix, inner = node.value("Prefix"), node.child("Filter")
    if (prefix is not None) and inner is not None:
        raise S3Error("MalformedXML")
    if inner is None:
        return Filter(prefix=prefix or "")
    found = inner.child("And") or inner
    tags = {}
    for tag in found.all("Tag"):
        key, value = tag.child("Key"), tag.child("Value")
        if key is None or value is None or not key.text:
            raise S3Error("InvalidTag")
        if key.text in tags:
            raise S3Error("InvalidRequest", "Duplicate Tag Keys are not allowed.")
        tags[key.text] = value.text
    return Filter(
        prefix=(node_text(found, "Prefix") or ""),
        tags=tags,
        greater_than=_days(found.value("ObjectSizeGreaterThan"), "ObjectSizeGreaterThan", 0),
        less_than=_days(found.value("ObjectSizeLessThan"), "ObjectSizeLessThan", 0),
    )


def node_text(node: xml.Element, name: str) -> str | None:
    """The text as it is: spaces belong to a prefix."""
    child = node.child(name)
    return None if child is None else child.text


def dump(configuration: Configuration) -> str:
    return msgspec.json.encode(configuration).decode()


def load(text: str) -> Configuration:
    return msgspec.json.decode(text, type=Configuration)


def to_xml(configuration: Configuration) -> bytes:
    return xml.document("LifecycleConfiguration", configuration.text)


def due(since: float, days: int, day_s: float = DAY_S) -> float:
    """When something that began at `since` has aged `days`: rounded up to the next midnight UTC, as S3 does.

    Tests shorten the day; then nothing is rounded.
    """
    moment = since + days * day_s
    return moment if day_s != DAY_S else -(-moment // DAY_S) * DAY_S


def expiration(
    rules: tuple[Rule, ...], name: str, size: int, tags: dict[str, str], created: float
) -> tuple[int, str] | None:
    """(moment in seconds, rule id) of the earliest rule that will expire a current version; None if none does."""
    found: tuple[int, str] | None = None
    for rule in rules:
        if not rule.enabled or not rule.filter.fits(name, size, tags):
            continue
        moment = rule.date if rule.date is not None else None if rule.days is None else int(due(created, rule.days))
        if moment is not None and (found is None or moment < found[0]):
            found = (moment, rule.id)
    return found
