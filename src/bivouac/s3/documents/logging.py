"""Server access logging: which bucket gets the records of another, in which form and under which names.

The records are Amazon's ("Amazon S3 server access log format"). As in Ceph, three more elements are read:
`LoggingType` (Standard, or
Journal with the short record of writes), `ObjectRollTime` (seconds until a log object is written) and `Filter` (key
prefix and suffix of
journal records).
"""

from __future__ import annotations

import secrets
import time
from urllib.parse import quote

import msgspec
from msgspec import Struct

from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

ROLL_S = 300


class Logging(Struct, frozen=True):
    """`partitioned` is the source of the date in partitioned names, EventTime or DeliveryTime; "" for simple names."""

    bucket: str
    prefix: str = ""
    partitioned: str = ""
    journal: bool = False
    roll_s: int = ROLL_S
    batch: int = 0
    key_prefix: str = ""
    key_suffix: str = ""
    extended: bool = False
    changed: int = 0
    """Microseconds since the epoch; not part of what the user sets."""


def parse(body: bytes) -> Logging | None:
    """A BucketLoggingStatus; None for an empty one, which turns logging off. Raises MalformedXML, InvalidArgument."""
    try:
        tree = xml.parse(body, "BucketLoggingStatus", max_bytes=64 << 10)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    node = tree.child("LoggingEnabled")
    if node is None:
        return None
    bucket, kind = node.value("TargetBucket"), node.value("LoggingType", "Standard")
    if not bucket or kind not in ("Standard", "Journal"):
        raise S3Error("MalformedXML")
    prefix = node.child("TargetPrefix")
    key_filter = {}
    for rule in (node.path("Filter", "S3Key") or node.path("Filter", "Key") or xml.Element("", {})).all("FilterRule"):
        name = (rule.value("Name", "") or "").lower()
        if name not in ("prefix", "suffix"):
            raise S3Error("InvalidArgument", "A filter rule's name must be prefix or suffix.")
        value = rule.child("Value")
        key_filter[name] = value.text if value is not None else ""
    return Logging(
        bucket,
        prefix.text if prefix is not None else "",
        _partitioned(node),
        kind == "Journal",
        _number(node, "ObjectRollTime", ROLL_S),
        _number(node, "RecordsBatchSize", 0),
        key_filter.get("prefix", ""),
        key_filter.get("suffix", ""),
        any(node.child(name) is not None for name in ("LoggingType", "ObjectRollTime", "RecordsBatchSize", "Filter")),
    )


def _partitioned(node: xml.Element) -> str:
    key_format = node.child("TargetObjectKeyFormat")
    if key_format is None or key_format.child("SimplePrefix") is not None:
        return ""
    partitioned = key_format.child("PartitionedPrefix")
    source = partitioned.value("PartitionDateSource", "DeliveryTime") if partitioned is not None else None
    if source not in ("EventTime", "DeliveryTime"):
        raise S3Error("MalformedXML")
    return source


def _number(node: xml.Element, name: str, default: int) -> int:
    text = node.value(name)
    if text is None:
        return default
    if not text.isdigit() or len(text) > 9:
        raise S3Error("MalformedXML")
    return int(text)


def dump(logging: Logging) -> str:
    return msgspec.json.encode(logging).decode()


def load(text: str) -> Logging:
    return msgspec.json.decode(text, type=Logging)


def to_xml(logging: Logging | None) -> bytes:
    if logging is None:
        return xml.document("BucketLoggingStatus", "")
    inner = xml.leaf("TargetBucket", logging.bucket) + xml.leaf("TargetPrefix", logging.prefix)
    if logging.partitioned:
        date = xml.leaf("PartitionDateSource", logging.partitioned)
        inner += f"<TargetObjectKeyFormat><PartitionedPrefix>{date}</PartitionedPrefix></TargetObjectKeyFormat>"
    else:
        inner += "<TargetObjectKeyFormat><SimplePrefix></SimplePrefix></TargetObjectKeyFormat>"
    if logging.extended:
        inner += xml.leaf("LoggingType", "Journal" if logging.journal else "Standard")
        inner += xml.leaf("ObjectRollTime", logging.roll_s) + xml.leaf("RecordsBatchSize", logging.batch)
        inner += _filter_xml(logging)
    return xml.document("BucketLoggingStatus", f"<LoggingEnabled>{inner}</LoggingEnabled>")


def _filter_xml(logging: Logging) -> str:
    rules = ""
    for name, value in (("prefix", logging.key_prefix), ("suffix", logging.key_suffix)):
        if value:
            rules += f"<FilterRule>{xml.leaf('Name', name)}{xml.leaf('Value', value)}</FilterRule>"
    return f"<Filter><S3Key>{rules}</S3Key></Filter>" if rules else ""


def object_name(logging: Logging, owner: str, region: str, bucket: str, moment: float) -> str:
    """The name of a new log object. Names rise with time, also within one second."""
    unique = f"{int(moment % 1 * 1_000_000):06X}" + secrets.token_hex(5).upper()
    day = time.strftime("%Y/%m/%d/", time.gmtime(moment))
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S-", time.gmtime(moment)) + unique
    return logging.prefix + (f"{owner}/{region}/{bucket}/{day}{stamp}" if logging.partitioned else stamp)


class Record(Struct, frozen=True):
    """One request, as the log tells of it."""

    owner: str
    bucket: str
    moment: float
    remote: str
    requester: str
    request_id: str
    operation: str
    key: str
    uri: str
    status: int
    error: str
    sent: int
    object_size: int
    total_ms: int
    referrer: str
    agent: str
    version: str
    host_id: str
    signature: str
    auth_type: str
    host: str
    acl_required: bool
    etag: str = ""


def _text(value: object) -> str:
    return str(value) if value not in ("", 0, None) else "-"


def _quoted(text: str) -> str:
    """User text between quotes; what could end them or the line is taken out."""
    return '"' + "".join(" " if c in '"\r\n\\' else c for c in text) + '"' if text else '"-"'


def line(record: Record, journal: bool) -> str:
    """The record's line, without its end. Keys are encoded, so that a space or a quote in one cannot shift the
    fields."""
    moment = time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime(record.moment))
    key = quote(record.key, safe="/-_.~!*'()") if record.key else "-"
    if journal:
        fields = (
            record.owner,
            record.bucket,
            moment,
            record.operation,
            key,
            _text(record.object_size),
            _text(record.version),
            _text(record.etag),
        )
        return " ".join(fields)
    fields = (
        record.owner,
        record.bucket,
        moment,
        _text(record.remote),
        _text(record.requester),
        record.request_id,
        record.operation,
        key,
        _quoted(record.uri),
        str(record.status),
        _text(record.error),
        _text(record.sent),
        _text(record.object_size),
        str(record.total_ms),
        "-",
        _quoted(record.referrer),
        _quoted(record.agent),
        _text(record.version),
        record.host_id,
        _text(record.signature),
        "-",
        _text(record.auth_type),
        _text(record.host),
        "-",
        "-",
        "Yes" if record.acl_required else "-",
    )
    return " ".join(fields)
