"""Tags of objects and buckets: as XML, and as the query string of x-amz-tagging.

Source: "Categorizing your storage using tags", Amazon S3 User Guide.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

MAX_OBJECT_TAGS, MAX_BUCKET_TAGS = 10, 50
MAX_KEY, MAX_VALUE = 128, 256


def _checked(pairs: list[tuple[str, str]], most: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        if not 1 <= len(key) <= MAX_KEY:
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if len(value) > MAX_VALUE:
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
        tags[key] = value
    if len(tags) > most:
        kind = "Object" if most == MAX_OBJECT_TAGS else "Bucket"
        raise S3Error("InvalidTag", f"{kind} tags cannot be greater than {most}")
    return tags


def parse(body: bytes, most: int = MAX_OBJECT_TAGS) -> dict[str, str]:
    """A Tagging document. Raises MalformedXML or InvalidTag."""
    try:
        tree = xml.parse(body, "Tagging", max_bytes=256 << 10)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    tag_set = tree.child("TagSet")
    if tag_set is None:
        raise S3Error("MalformedXML")
    pairs = []
    for tag in tag_set.all("Tag"):
        key, value = tag.child("Key"), tag.child("Value")
        if key is None or value is None:
            raise S3Error("MalformedXML")
        pairs.append((key.text, value.text))
    return _checked(pairs, most)


def parse_header(text: str | None) -> dict[str, str]:
    """`x-amz-tagging: key=value&...`. Raises InvalidArgument or InvalidTag."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        raise S3Error(
            "InvalidArgument",
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters.",
            ArgumentName="x-amz-tagging",
            ArgumentValue=text,
        ) from None
    return _checked(pairs, MAX_OBJECT_TAGS)


def to_xml(tags: dict[str, str]) -> bytes:
    inner = "".join(
        f"<Tag>{xml.leaf('Key', key)}{xml.leaf('Value', value)}</Tag>" for key, value in sorted(tags.items())
    )
    return xml.document("Tagging", f"<TagSet>{inner}</TagSet>")
