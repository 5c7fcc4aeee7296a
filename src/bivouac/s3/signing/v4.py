"""AWS Signature Version 4.

Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference. S3 differs from the other
services: the path is encoded
once and never normalised. Clients and proxies disagree about which characters to encode, so the path is decoded and
encoded again here;
what arrives as `~`, `%7E` or `%7e` signs alike.
"""

from __future__ import annotations

import hmac
import re
import time
from calendar import timegm
from email.utils import parsedate_tz
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from bivouac.s3.errors import S3Error
from bivouac.s3.request import Request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_SKEW_S = 15 * 60
MAX_EXPIRES_S = 7 * 24 * 3600
_PLAIN_PATH = re.compile(rb"[A-Za-z0-9/._~-]*")
_TIMESTAMP = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z")
_SPACES = re.compile(r" {2,}")
_SAFE = "-_.~"


class Signature(Struct, frozen=True):
    """What the request says about its signature. `expires` is None for header authentication."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    moment: int
    expires: int | None = None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def parse_timestamp(text: str) -> int:
    """Seconds since the epoch of `20260131T120000Z`. Raises ValueError."""
    if len(text) != 16 or not (found := _TIMESTAMP.fullmatch(text)):
        raise ValueError(text)
    year, month, day, hour, minute, second = map(int, found.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        raise ValueError(text)
    return timegm((year, month, day, hour, minute, second))


def _credential(text: str, code: str) -> tuple[str, str, str, str]:
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not parts[0]:
        raise S3Error(code, 'The credential is malformed; expecting "<access-key>/YYYYMMDD/REGION/s3/aws4_request".')
    return parts[0], parts[1], parts[2], parts[3]


def from_header(request: Request) -> Signature:
    """The signature in the Authorization header. Raises S3Error (AuthorizationHeaderMalformed, AccessDenied)."""
    text = request.headers["authorization"][len(ALGORITHM) :]
    fields: dict[str, str] = {}
    for item in text.split(","):
        name, _, value = item.strip().partition("=")
        fields[name] = value
    try:
        credential, signed, signature = fields["Credential"], fields["SignedHeaders"], fields["Signature"]
    except KeyError as missing:
        raise S3Error("AuthorizationHeaderMalformed", f"The authorization header lacks {missing}.") from None
    access_key, date, region, service = _credential(credential, "AuthorizationHeaderMalformed")
    timestamp = request.headers.get("x-amz-date", "")
    try:
        moment = parse_timestamp(timestamp) if timestamp else _http_date(request.headers.get("date", ""))
    except ValueError:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header") from None
    if not timestamp:
        timestamp = _stamp(moment)
    if timestamp[:8] != date:
        raise S3Error("SignatureDoesNotMatch", "The credential's date is not that of the request.")
    return Signature(access_key, date, region, service, tuple(signed.split(";")), signature, timestamp, moment)


def _stamp(moment: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))


def _http_date(text: str) -> int:
    parsed = parsedate_tz(text)
    if parsed is None:
        raise ValueError(text)
    return timegm(parsed[:9]) - (parsed[9] or 0)


def from_query(request: Request) -> Signature:
    """The signature of a presigned address. Raises S3Error (AuthorizationQueryParametersError)."""
    query, code = request.query, "AuthorizationQueryParametersError"
    try:
        if query["X-Amz-Algorithm"] != ALGORITHM:
            raise S3Error(code, f'X-Amz-Algorithm only supports "{ALGORITHM}".')
        credential, timestamp, expires = query["X-Amz-Credential"], query["X-Amz-Date"], query["X-Amz-Expires"]
        signed, signature = query["X-Amz-SignedHeaders"], query["X-Amz-Signature"]
    except KeyError as missing:
        raise S3Error(code, f"Query-string authentication requires the parameter {missing}.") from None
    access_key, date, region, service = _credential(credential, code)
    try:
        moment = parse_timestamp(timestamp)
    except ValueError:
        raise S3Error(code, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"") from None
    try:
        seconds = int(expires)
    except ValueError:
        raise S3Error(code, "X-Amz-Expires should be a number") from None
    if not 0 < seconds <= MAX_EXPIRES_S:
        raise S3Error(code, f"X-Amz-Expires must be between 1 and {MAX_EXPIRES_S} seconds", status=403)
    if timestamp[:8] != date:
        raise S3Error(code, "The credential's date is not that of X-Amz-Date.")
    return Signature(access_key, date, region, service, tuple(signed.split(";")), signature, timestamp, moment, seconds)


def check_time(signature: Signature, now: float) -> None:
    """Raises RequestTimeTooSkewed, or AccessDenied for an address that has expired or is not valid yet."""
    if signature.expires is None:
        if abs(now - signature.moment) > MAX_SKEW_S:
            raise S3Error(
                "RequestTimeTooSkewed",
                MaxAllowedSkewMilliseconds=str(MAX_SKEW_S * 1000),
                RequestTime=signature.timestamp,
            )
    elif now > signature.moment + signature.expires:
        raise S3Error("AccessDenied", "Request has expired")
    elif signature.moment - now > MAX_SKEW_S:
        raise S3Error("AccessDenied", "Request is not valid yet")


def canonical_path(raw_path: bytes) -> str:
    """The path encoded once, in the one way that version 4 knows."""
    if _PLAIN_PATH.fullmatch(raw_path):
        return raw_path.decode()
    return quote(unquote_to_bytes(raw_path), safe="/-_.~")


def _encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=_SAFE)


def canonical_query(pairs: list[tuple[str, str]], without: str = "") -> str:
    """Sorted and encoded, without the parameter of the signature itself."""
    if not pairs:
        return ""
    return "&".join(
        f"{name}={value}" for name, value in sorted((_encoded(n), _encoded(v)) for n, v in pairs if n != without)
    )


def canonical_request(request: Request, signed_headers: tuple[str, ...], payload: str, presigned: bool) -> str:
    """The text that is signed. Raises AccessDenied when a header that must be signed is not."""
    headers = request.headers
    lines = []
    for name in signed_headers:
        # A proxy answers Expect itself and drops it; the client had signed it nevertheless.
        value = headers.get(name, "100-continue" if name == "expect" else "").strip()
        lines.append(f"{name}:{_SPACES.sub(' ', value) if '  ' in value else value}\n")
    query = canonical_query(request.pairs, "X-Amz-Signature" if presigned else "")
    return (
        f"{request.method}\n{canonical_path(request.raw_path)}\n{query}\n{''.join(lines)}\n"
        f"{';'.join(signed_headers)}\n{payload}"
    )


def check_signed_headers(request: Request, signature: Signature) -> None:
    """Host and every x-amz-* header must be signed, else somebody on the way could add one. Raises AccessDenied."""
    signed = signature.signed_headers
    missing = [
        name
        for name in request.headers
        if name[:6] == "x-amz-" and name not in signed and name != "x-amz-content-sha256"
    ]
    if "host" not in signed:
        missing.append("host")
    if missing:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(missing),
        )


@lru_cache(maxsize=4096)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The day's key. Four HMACs; cached, since a client uses it all day."""
    key = hmac.digest(b"AWS4" + secret.encode(), date.encode(), "sha256")
    for part in (region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode("latin-1", "replace"), "sha256").hex()


def check(request: Request, signature: Signature, secret: str, payload: str) -> bytes:
    """Check the signature over the request; `payload` is what the client says of its body. Returns the signing key.

    Raises S3Error (SignatureDoesNotMatch).
    """
    canonical = canonical_request(request, signature.signed_headers, payload, signature.expires is not None)
    key = signing_key(secret, signature.date, signature.region, signature.service)
    # Header values came in as latin-1: the same bytes go back into the hash.
    hashed = sha256(canonical.encode("latin-1", "replace")).hexdigest()
    text = f"{ALGORITHM}\n{signature.timestamp}\n{signature.scope}\n{hashed}"
    if not hmac.compare_digest(sign(key, text), signature.signature):
        raise S3Error(
            "SignatureDoesNotMatch",
            AWSAccessKeyId=signature.access_key,
            StringToSign=text,
            SignatureProvided=signature.signature,
            CanonicalRequest=canonical,
        )
    return key
