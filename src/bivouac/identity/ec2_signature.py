"""Amazon's request signatures as Keystone's clients present them: version 2 and version 4. No I/O.

Source: AWS General Reference, "Signature Version 2 signing process", "Create a signed AWS API request" (version 4);
Keystone's `ec2tokens` and `s3tokens`, which get the parts of the request or the string to sign.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

ALGORITHM = "AWS4-HMAC-SHA256"


class Ec2Request(Struct, frozen=True, kw_only=True):
    """The parts of a signed request."""

    access: str
    signature: str
    host: str = ""
    verb: str = "GET"
    path: str = "/"
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    body_hash: str = ""


def _escape(text: str) -> str:
    return quote(text, safe="-_.~")


def _query(params: Mapping[str, str]) -> str:
    pairs = sorted((name, value) for name, value in params.items() if name not in ("Signature", "X-Amz-Signature"))
    return "&".join(f"{_escape(name)}={_escape(value)}" for name, value in pairs)


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of version 4 for a day, a region and a service."""
    key = hmac.digest(f"AWS4{secret}".encode(), date.encode(), "sha256")
    for part in (region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def version_2(request: Ec2Request, secret: str) -> str:
    """The base64 signature of version 2."""
    digest = "sha256" if request.params.get("SignatureMethod", "HmacSHA256") == "HmacSHA256" else "sha1"
    text = "\n".join((request.verb, request.host.lower(), request.path, _query(request.params)))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), digest)).decode()


def version_4(request: Ec2Request, secret: str) -> str:
    """The hexadecimal signature of version 4. Raises ValueError when parts are missing."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    scope, signed = _scope_and_headers(request, headers)
    date, region, service, _ = scope
    moment = headers.get("x-amz-date") or request.params.get("X-Amz-Date") or ""
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed)
    canonical = "\n".join(
        (request.verb, request.path, _query(request.params), lines, ";".join(signed), request.body_hash)
    )
    text = "\n".join((ALGORITHM, moment, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    return hmac.digest(signing_key(secret, date, region, service), text.encode(), "sha256").hex()


def _scope_and_headers(request: Ec2Request, headers: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """(date, region, service, aws4_request) and the names of the signed headers."""
    if "X-Amz-Credential" in request.params:
        credential = request.params["X-Amz-Credential"]
        names = request.params.get("X-Amz-SignedHeaders", "")
    else:
        fields: dict[str, str] = {}
        for part in headers.get("authorization", "").partition(" ")[2].split(","):
            name, _, value = part.strip().partition("=")
            fields[name] = value
        credential, names = fields.get("Credential", ""), fields.get("SignedHeaders", "")
    scope = credential.split("/")[1:]
    if len(scope) != 4:
        raise ValueError("the credential scope of a version 4 signature has four parts")
    return scope, names.lower().split(";")


def holds(request: Ec2Request, secret: str) -> bool:
    """Whether the signature is right, by whichever version it claims."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        if request.params.get("SignatureVersion") == "2":
            right = version_2(request, secret)
        elif "X-Amz-Credential" in request.params or headers.get("authorization", "").startswith(ALGORITHM):
            right = version_4(request, secret)
        else:
            return False
    except ValueError:
        return False
    return hmac.compare_digest(right.encode(), request.signature.encode())


def string_holds(to_sign: str, signature: str, secret: str) -> bool:
    """Whether a signature over a given string is right (`s3tokens`; `to_sign` in URL-safe base64).

    Version 4 when the string says so, otherwise S3's first one: HMAC-SHA1, base64.
    """
    try:
        raw = base64.urlsafe_b64decode(to_sign.encode())
    except (binascii.Error, ValueError):
        return False
    if raw.startswith(ALGORITHM.encode()):
        lines = raw.decode("utf-8", "replace").split("\n")
        scope = lines[2].split("/") if len(lines) > 2 else []
        if len(scope) != 4:
            return False
        right = hmac.digest(signing_key(secret, scope[0], scope[1], scope[2]), raw, "sha256").hex()
    else:
        right = base64.b64encode(hmac.digest(secret.encode(), raw, "sha1")).decode()
    return hmac.compare_digest(right.encode(), signature.encode())
