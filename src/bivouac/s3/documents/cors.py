"""Cross-origin rules of a bucket: reading, writing, and which rule a browser's request meets.

Source: "Using cross-origin resource sharing (CORS)", Amazon S3 User Guide.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
from msgspec import Struct

from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
MAX_RULES = 100


class Rule(Struct, frozen=True):
    id: str | None
    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age_s: int | None


def parse(body: bytes) -> tuple[Rule, ...]:
    """A CORSConfiguration. Raises MalformedXML or InvalidRequest."""
    try:
        tree = xml.parse(body, "CORSConfiguration", max_bytes=64 << 10)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    rules = []
    for item in tree.all("CORSRule"):
        texts = {
            name: tuple(node.text.strip() for node in item.all(name))
            for name in ("AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader")
        }
        age = item.value("MaxAgeSeconds")
        if not texts["AllowedOrigin"] or not texts["AllowedMethod"] or (age is not None and not age.isdigit()):
            raise S3Error("MalformedXML")
        for method in texts["AllowedMethod"]:
            if method not in METHODS:
                raise S3Error(
                    "InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )
        for text in (*texts["AllowedOrigin"], *texts["AllowedHeader"]):
            if text.count("*") > 1:
                raise S3Error(
                    "InvalidRequest", f'AllowedOrigin or AllowedHeader "{text}" can not have more than one wildcard.'
                )
        rules.append(
            Rule(
                item.value("ID"),
                texts["AllowedOrigin"],
                texts["AllowedMethod"],
                texts["AllowedHeader"],
                texts["ExposeHeader"],
                None if age is None else int(age),
            )
        )
    if not rules or len(rules) > MAX_RULES:
        raise S3Error("MalformedXML", f"A CORS configuration has 1 to {MAX_RULES} rules.")
    return tuple(rules)


def dump(rules: tuple[Rule, ...]) -> str:
    return msgspec.json.encode(rules).decode()


@lru_cache(maxsize=512)
def load(text: str) -> tuple[Rule, ...]:
    return msgspec.json.decode(text, type=tuple[Rule, ...])


def to_xml(rules: tuple[Rule, ...]) -> bytes:
    inner = ""
    for rule in rules:
        one = xml.optional("ID", rule.id)
        for name, values in (
            ("AllowedMethod", rule.methods),
            ("AllowedOrigin", rule.origins),
            ("AllowedHeader", rule.headers),
            ("ExposeHeader", rule.exposed),
        ):
            one += "".join(xml.leaf(name, value) for value in values)
        inner += f"<CORSRule>{one}{xml.optional('MaxAgeSeconds', rule.max_age_s)}</CORSRule>"
    return xml.document("CORSConfiguration", inner)


def _matches(pattern: str, text: str) -> bool:
    head, star, tail = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)


def match(rules: tuple[Rule, ...], origin: str, method: str, requested: tuple[str, ...] = ()) -> Rule | None:
    """The first rule that lets a page of `origin` send `method` with the `requested` header names."""
    for rule in rules:
        if (
            method in rule.methods
            and any(_matches(pattern, origin) for pattern in rule.origins)
            and all(any(_matches(p.lower(), name.lower()) for p in rule.headers) for name in requested)
        ):
            return rule
    return None


def answer_headers(rule: Rule, origin: str, requested: tuple[str, ...] = ()) -> dict[str, str]:
    """The header fields that tell the browser. A rule for every origin says `*`, without credentials."""
    anybody = "*" in rule.origins
    headers = {"access-control-allow-origin": "*" if anybody else origin, "vary": "Origin"}
    if not anybody:
        headers["access-control-allow-credentials"] = "true"
    headers["access-control-allow-methods"] = ", ".join(rule.methods)
    if requested:
        headers["access-control-allow-headers"] = ", ".join(requested).lower()
    if rule.exposed:
        headers["access-control-expose-headers"] = ", ".join(rule.exposed)
    if rule.max_age_s is not None:
        headers["access-control-max-age"] = str(rule.max_age_s)
    return headers
