"""Object lock: a bucket's default retention, and an object's retention and legal hold.

Source: "Locking objects with Object Lock", Amazon S3 User Guide.
"""

from __future__ import annotations

import math

import msgspec
from msgspec import Struct

from bivouac.core.clock import parse_iso
from bivouac.objects.store.interface import Lock
from bivouac.s3 import xml
from bivouac.s3.conditions import iso_millis
from bivouac.s3.errors import S3Error

MODES = ("GOVERNANCE", "COMPLIANCE")
MAX_YEARS = 100
DAY_S = 86_400


class Configuration(Struct, frozen=True):
    """Without a mode: locking is possible, but nothing is locked by default."""

    mode: str = ""
    days: int | None = None
    years: int | None = None


def _tree(body: bytes, root: str) -> xml.Element:
    try:
        return xml.parse(body, root, max_bytes=64 << 10)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None


def _period(text: str | None, most: int) -> int | None:
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        raise S3Error("MalformedXML") from None
    if not 1 <= value <= most:
        raise S3Error("InvalidRetentionPeriod", f"The retention period must be between 1 and {most}.")
    return value


def parse(body: bytes) -> Configuration:
    """An ObjectLockConfiguration. Raises MalformedXML or InvalidRetentionPeriod."""
    tree = _tree(body, "ObjectLockConfiguration")
    if tree.value("ObjectLockEnabled") != "Enabled":
        raise S3Error("MalformedXML")
    if tree.child("Rule") is None:
        return Configuration()
    default = tree.path("Rule", "DefaultRetention")
    if default is None:
        raise S3Error("MalformedXML")
    mode, days, years = default.value("Mode"), default.value("Days"), default.value("Years")
    if mode not in MODES or (days is None) == (years is None):
        raise S3Error("MalformedXML")
    return Configuration(mode, _period(days, MAX_YEARS * 365), _period(years, MAX_YEARS))


def dump(configuration: Configuration) -> str:
    return msgspec.json.encode(configuration).decode()


def load(text: str) -> Configuration:
    return msgspec.json.decode(text, type=Configuration)


def to_xml(configuration: Configuration) -> bytes:
    inner = xml.leaf("ObjectLockEnabled", "Enabled")
    if configuration.mode:
        period = xml.optional("Days", configuration.days) + xml.optional("Years", configuration.years)
        inner += f"<Rule><DefaultRetention>{xml.leaf('Mode', configuration.mode)}{period}</DefaultRetention></Rule>"
    return xml.document("ObjectLockConfiguration", inner)


def default_lock(configuration: Configuration, now: float) -> Lock | None:
    """What a new version gets without headers of its own."""
    if not configuration.mode:
        return None
    days = configuration.days if configuration.days is not None else (configuration.years or 0) * 365
    return Lock(configuration.mode, math.ceil(now + days * DAY_S))


def parse_moment(text: str) -> int:
    """Whole seconds, rounded up so that nothing is freed early. Raises InvalidArgument."""
    try:
        return math.ceil(parse_iso(text))
    except (ValueError, OverflowError):
        raise S3Error(
            "InvalidArgument",
            "The retain until date must be provided in ISO 8601 format",
            ArgumentName="x-amz-object-lock-retain-until-date",
            ArgumentValue=text,
        ) from None


def parse_retention(body: bytes, now: float) -> Lock:
    """A Retention; an empty one takes retention away. Raises MalformedXML or InvalidArgument."""
    tree = _tree(body, "Retention")
    mode, until = tree.value("Mode"), tree.value("RetainUntilDate")
    if mode is None and until is None:
        return Lock()
    if mode not in MODES or until is None:
        raise S3Error("MalformedXML")
    moment = parse_moment(until)
    if moment <= now:
        raise S3Error("InvalidArgument", "The retain until date must be in the future!")
    return Lock(mode, moment)


def parse_legal_hold(body: bytes) -> bool:
    """Raises MalformedXML."""
    status = _tree(body, "LegalHold").value("Status")
    if status not in ("ON", "OFF"):
        raise S3Error("MalformedXML")
    return status == "ON"


def retention_xml(lock: Lock) -> bytes:
    until = iso_millis((lock.retain_until or 0) * 1_000_000)
    return xml.document("Retention", xml.leaf("Mode", lock.mode) + xml.leaf("RetainUntilDate", until))


def legal_hold_xml(lock: Lock | None) -> bytes:
    return xml.document("LegalHold", xml.leaf("Status", "ON" if lock and lock.legal_hold else "OFF"))


def from_headers(headers: dict[str, str], now: float) -> Lock | None:
    """What x-amz-object-lock-... headers ask for a new version; None without them. Raises InvalidArgument."""
    mode, until = headers.get("x-amz-object-lock-mode"), headers.get("x-amz-object-lock-retain-until-date")
    hold = headers.get("x-amz-object-lock-legal-hold")
    if mode is None and until is None and hold is None:
        return None
    if (mode is None) != (until is None):
        raise S3Error(
            "InvalidArgument", "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        )
    if mode is not None and mode not in MODES:
        raise S3Error(
            "InvalidArgument", "Unknown wormMode directive", ArgumentName="x-amz-object-lock-mode", ArgumentValue=mode
        )
    if hold is not None and hold not in ("ON", "OFF"):
        raise S3Error("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'")
    moment = None
    if until is not None:
        moment = parse_moment(until)
        if moment <= now:
            raise S3Error("InvalidArgument", "The retain until date must be in the future!")
    return Lock(mode or "", moment, hold == "ON")


def to_headers(lock: Lock) -> dict[str, str]:
    """What GET and HEAD tell."""
    headers = {}
    if lock.mode:
        headers["x-amz-object-lock-mode"] = lock.mode
        headers["x-amz-object-lock-retain-until-date"] = iso_millis((lock.retain_until or 0) * 1_000_000)
    if lock.legal_hold:
        headers["x-amz-object-lock-legal-hold"] = "ON"
    return headers
