"""AWS Signature Version 2, for old tools, and GCS's XML interoperability mode, which signs alike under the name GOOG1.

Source: "Signing and authenticating REST requests", Amazon S3 User Guide; Cloud Storage documentation, "Simple
migration from Amazon S3".
"""

from __future__ import annotations

import base64
import hmac
from calendar import timegm
from email.utils import parsedate_tz

from msgspec import Struct

from bivouac.s3.errors import S3Error
from bivouac.s3.request import Request
from bivouac.s3.signing.v4 import MAX_SKEW_S

SUBRESOURCES = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "append",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "partNumber",
        "policy",
        "policyStatus",
        "position",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "select-type",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
    ]
)


class Signature(Struct, frozen=True):
    """`expires` is a moment in seconds since the epoch for presigned addresses, else None."""

    access_key: str
    signature: str
    expires: int | None = None
    vendor: str = "amz"


def from_header(request: Request) -> Signature:
    """`AWS KEY:SIGNATURE`. Raises InvalidArgument."""
    scheme, _, rest = request.headers["authorization"].partition(" ")
    access_key, colon, signature = rest.strip().rpartition(":")
    if not colon or not access_key:
        raise S3Error("InvalidArgument", "AWS authorization header is invalid. Expected AwsAccessKeyId:signature")
    return Signature(access_key, signature, vendor="goog" if scheme == "GOOG1" else "amz")


def from_query(request: Request) -> Signature:
    """`AWSAccessKeyId`, `Expires`, `Signature`. Raises AccessDenied."""
    query = request.query
    try:
        key = query["AWSAccessKeyId"] if "AWSAccessKeyId" in query else query["GoogleAccessId"]
        signature, expires = query["Signature"], int(query["Expires"])
    except (KeyError, ValueError):
        raise S3Error(
            "AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        ) from None
    return Signature(key, signature, expires, vendor="goog" if "GoogleAccessId" in query else "amz")


def check_time(request: Request, signature: Signature, now: float) -> None:
    """Raises AccessDenied or RequestTimeTooSkewed."""
    if signature.expires is not None:
        if now > signature.expires:
            raise S3Error("AccessDenied", "Request has expired")
        return
    text = request.headers.get(f"x-{signature.vendor}-date", request.headers.get("date", ""))
    try:
        parsed = parsedate_tz(text)
        moment = timegm(parsed[:9]) - (parsed[9] or 0) if parsed else None
    except (ValueError, OverflowError, IndexError):
        moment = None
    if moment is None or moment < 0:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    if abs(now - moment) > MAX_SKEW_S:
        raise S3Error("RequestTimeTooSkewed", MaxAllowedSkewMilliseconds=str(MAX_SKEW_S * 1000), RequestTime=text)


def string_to_sign(request: Request, signature: Signature, bucket_in_host: str, slash: str = "") -> str:
    """The text that is signed. `bucket_in_host` is the bucket of a virtual-host request, else ""; some clients sign a
    `slash` behind a bucket's path that they do not send."""
    headers = request.headers
    prefix = f"x-{signature.vendor}-"
    vendor = "".join(
        f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers) if name.startswith(prefix)
    )
    if signature.expires is not None:
        date = str(signature.expires)
    else:
        date = "" if prefix + "date" in headers else headers.get("date", "")
    resource = (f"/{bucket_in_host}" if bucket_in_host else "") + (request.raw_path.decode("latin-1") or "/") + slash
    query = sorted((name, value) for name, value in request.pairs if name in SUBRESOURCES)
    if query:
        resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in query)
    md5, content_type = headers.get("content-md5", ""), headers.get("content-type", "")
    return f"{request.method}\n{md5}\n{content_type}\n{date}\n{vendor}{resource}"


def _bytes(text: str) -> bytes:
    """Header values came in as latin-1; what the query brought may be beyond."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def sign(secret: str, text: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), _bytes(text), "sha1")).decode()


def check(request: Request, signature: Signature, secret: str, bucket_in_host: str) -> None:
    """Raises SignatureDoesNotMatch."""
    text = string_to_sign(request, signature, bucket_in_host)
    texts = [text]
    if request.raw_path.count(b"/") == 1:
        texts.append(string_to_sign(request, signature, bucket_in_host, "/"))
    given = signature.signature.replace(" ", "+")
    if not any(hmac.compare_digest(sign(secret, one), given) for one in texts):
        raise S3Error(
            "SignatureDoesNotMatch",
            AWSAccessKeyId=signature.access_key,
            StringToSign=text,
            SignatureProvided=signature.signature,
        )
