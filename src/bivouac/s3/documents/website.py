"""Static websites: index and error documents, redirection of everything, routing rules.

Source: "Hosting a static website using Amazon S3", Amazon S3 User Guide.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from msgspec import Struct

from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

MAX_RULES = 50


class RoutingRule(Struct, frozen=True):
    prefix: str | None
    error_code: int | None
    protocol: str | None
    host: str | None
    replace_prefix: str | None
    replace_key: str | None
    status: int


class Website(Struct, frozen=True):
    """`text` is the document as it is given back."""

    index: str = ""
    error: str = ""
    redirect_host: str = ""
    redirect_protocol: str = ""
    rules: tuple[RoutingRule, ...] = ()
    text: str = ""


def parse(body: bytes) -> Website:
    """A WebsiteConfiguration. Raises MalformedXML or InvalidArgument."""
    try:
        tree = xml.parse(body, "WebsiteConfiguration", max_bytes=128 << 10)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    text = "".join(xml.write(node) for node in tree.children)
    everything = tree.child("RedirectAllRequestsTo")
    if everything is not None:
        host = everything.value("HostName")
        if not host or len(tree.children) > 1:
            raise S3Error("MalformedXML")
        return Website(redirect_host=host, redirect_protocol=_protocol(everything) or "", text=text)
    index, error = tree.path("IndexDocument", "Suffix"), tree.path("ErrorDocument", "Key")
    if index is None or not index.text.strip():
        raise S3Error(
            "InvalidArgument", "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty"
        )
    if "/" in index.text:
        raise S3Error("InvalidArgument", "The IndexDocument Suffix is not well formed")
    rules_node = tree.child("RoutingRules")
    rules = tuple(_routing_rule(node) for node in rules_node.all("RoutingRule")) if rules_node is not None else ()
    if len(rules) > MAX_RULES:
        raise S3Error("InvalidRequest", f"At most {MAX_RULES} routing rules are allowed.")
    return Website(index.text.strip(), "" if error is None else error.text.strip(), rules=rules, text=text)


def _protocol(node: xml.Element) -> str | None:
    value = node.value("Protocol")
    if value is not None and value not in ("http", "https"):
        raise S3Error("InvalidRequest", "Invalid protocol, protocol can be http or https.")
    return value


def _routing_rule(node: xml.Element) -> RoutingRule:
    redirect, condition = node.child("Redirect"), node.child("Condition")
    if redirect is None:
        raise S3Error("MalformedXML")
    code = condition.value("HttpErrorCodeReturnedEquals") if condition is not None else None
    status = redirect.value("HttpRedirectCode", "301") or "301"
    replace_prefix, replace_key = redirect.value("ReplaceKeyPrefixWith"), redirect.value("ReplaceKeyWith")
    if (code is not None and not code.isdigit()) or not status.isdigit() or not 301 <= int(status) <= 399:
        raise S3Error("InvalidRequest", "The HTTP code of a routing rule is not valid.")
    if replace_prefix is not None and replace_key is not None:
        raise S3Error("InvalidRequest", "You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    return RoutingRule(
        condition.value("KeyPrefixEquals") if condition is not None else None,
        None if code is None else int(code),
        _protocol(redirect),
        redirect.value("HostName"),
        replace_prefix,
        replace_key,
        int(status),
    )


def dump(website: Website) -> str:
    return msgspec.json.encode(website).decode()


def load(text: str) -> Website:
    return msgspec.json.decode(text, type=Website)


def to_xml(website: Website) -> bytes:
    return xml.document("WebsiteConfiguration", website.text)


def redirection(
    website: Website, key: str, error_status: int | None, protocol: str, host: str
) -> tuple[int, str] | None:
    """(status, location) if the request is to go elsewhere; `error_status` is what it would answer otherwise."""
    if website.redirect_host:
        return 301, f"{website.redirect_protocol or protocol}://{website.redirect_host}/{quote(key)}"
    for rule in website.rules:
        if rule.prefix is not None and not key.startswith(rule.prefix):
            continue
        if rule.error_code is not None and rule.error_code != error_status:
            continue
        target = key
        if rule.replace_key is not None:
            target = rule.replace_key
        elif rule.replace_prefix is not None:
            target = rule.replace_prefix + key[len(rule.prefix or "") :]
        return rule.status, f"{rule.protocol or protocol}://{rule.host or host}/{quote(target)}"
    return None


def index_key(website: Website, key: str) -> str:
    """The object that a folder's address shows."""
    return key + website.index if key == "" or key.endswith("/") else key
