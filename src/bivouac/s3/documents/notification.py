"""Event notifications: which events of a bucket go to which address.

Amazon sends to SNS, SQS and Lambda; here the target is a web hook, written in the ARN's place as an http(s) address.
Events go out as
CloudEvents 1.0 in structured JSON, with Amazon's record as their data. Source: "Event notification structure", Amazon
S3 User Guide.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import msgspec
from msgspec import Struct

from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

_KINDS = {
    "TopicConfiguration": "Topic",
    "QueueConfiguration": "Queue",
    "CloudFunctionConfiguration": "CloudFunction",
}
EVENTS = (
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
)
_WILD = {"s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:LifecycleExpiration:*"}
_URL = re.compile(r"https?://[^\s/]+(/\S*)?")
MAX_RULES = 100


class Rule(Struct, frozen=True):
    kind: str
    id: str
    url: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def wants(self, event: str, key: str) -> bool:
        return (
            key.startswith(self.prefix)
            and key.endswith(self.suffix)
            and any(event == one or (one.endswith("*") and event.startswith(one[:-1])) for one in self.events)
        )


def parse(body: bytes) -> tuple[Rule, ...]:
    """A NotificationConfiguration; empty turns notifications off. Raises MalformedXML or InvalidArgument."""
    try:
        tree = xml.parse(body, "NotificationConfiguration", max_bytes=256 << 10)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    rules = []
    for node in tree:
        if node.name == "EventBridgeConfiguration":
            raise S3Error("NotImplemented", "EventBridge is not offered; give the address of a web hook.")
        if node.name not in _KINDS:
            raise S3Error("MalformedXML")
        rules.append(_rule(node))
    if len(rules) > MAX_RULES or len({rule.id for rule in rules}) != len(rules):
        raise S3Error("InvalidArgument", f"At most {MAX_RULES} configurations, each with an id of its own.")
    return tuple(rules)


def _rule(node: xml.Element) -> Rule:
    url = node.value(_KINDS[node.name], "") or ""
    events = tuple(item.text.strip() for item in node.all("Event"))
    if not _URL.fullmatch(url):
        raise S3Error(
            "InvalidArgument",
            "The destination must be the address of a web hook: http(s)://...",
            ArgumentName=_KINDS[node.name],
            ArgumentValue=url,
        )
    if not events or any(event not in EVENTS and event not in _WILD for event in events):
        raise S3Error("InvalidArgument", "The event is not supported for notifications")
    names = {"prefix": "", "suffix": ""}
    for rule in (node.path("Filter", "S3Key") or xml.Element("", {})).all("FilterRule"):
        name, value = (rule.value("Name", "") or "").lower(), rule.child("Value")
        if name not in names or value is None:
            raise S3Error("InvalidArgument", "filter rule name must be either prefix or suffix")
        names[name] = value.text
    return Rule(node.name, node.value("Id") or uuid.uuid4().hex, url, events, names["prefix"], names["suffix"])


def dump(rules: tuple[Rule, ...]) -> str:
    return msgspec.json.encode(rules).decode()


def load(text: str) -> tuple[Rule, ...]:
    return msgspec.json.decode(text, type=tuple[Rule, ...])


def to_xml(rules: tuple[Rule, ...]) -> bytes:
    inner = ""
    for rule in rules:
        one = xml.leaf("Id", rule.id) + xml.leaf(_KINDS[rule.kind], rule.url)
        one += "".join(xml.leaf("Event", event) for event in rule.events)
        names = "".join(
            f"<FilterRule>{xml.leaf('Name', name)}{xml.leaf('Value', value)}</FilterRule>"
            for name, value in (("prefix", rule.prefix), ("suffix", rule.suffix))
            if value
        )
        if names:
            one += f"<Filter><S3Key>{names}</S3Key></Filter>"
        inner += f"<{rule.kind}>{one}</{rule.kind}>"
    return xml.document("NotificationConfiguration", inner)


def cloud_event(event: str, moment: str, region: str, bucket: str, owner: str, record: dict[str, Any]) -> bytes:
    """The body that a web hook gets (content type application/cloudevents+json). `record` describes the object."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "type": "com.amazonaws." + event.replace(":", "."),
            "source": f"bivouac:s3:{region}:{bucket}",
            "subject": record.get("key", ""),
            "time": moment,
            "datacontenttype": "application/json",
            "data": {
                "eventVersion": "2.2",
                "eventSource": "bivouac:s3",
                "awsRegion": region,
                "eventTime": moment,
                "eventName": event.removeprefix("s3:"),
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "bucket": {
                        "name": bucket,
                        "ownerIdentity": {"principalId": owner},
                        "arn": f"arn:aws:s3:::{bucket}",
                    },
                    "object": record,
                },
            },
        }
    )
