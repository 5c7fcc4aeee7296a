"""OAuth 1.0a signatures: reading the Authorization header and checking HMAC-SHA1 and HMAC-SHA256.

Source: RFC 5849, sections 3.4 (signature) and 3.5.1 (Authorization header). No I/O.
"""

import base64
import hmac
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from msgspec import Struct

METHODS = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}
MAX_AGE_S = 600
"""A timestamp may be this far from now."""


class SignedRequest(Struct, frozen=True):
    """An HTTP request as the signature sees it. `parameters` are those of the header."""

    method: str
    url: str
    parameters: dict[str, str]
    query: tuple[tuple[str, str], ...] = ()
    requested_project_id: str = ""


def parse_authorization(header: str) -> dict[str, str]:
    """The `oauth_*` parameters of an `Authorization: OAuth ...` header; empty when it is another."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "oauth":
        return {}
    found: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if equals and name != "realm":
            found[unquote(name)] = unquote(value.strip('"'))
    return found


def _escape(text: str) -> str:
    return quote(text, safe="-._~")


def signature(request: SignedRequest, consumer_secret: str, token_secret: str) -> str:
    """The base64 signature that the request should carry. Raises KeyError for a method we do not know."""
    digest = METHODS[request.parameters.get("oauth_signature_method", "")]
    url = urlsplit(request.url)
    pairs = [(name, value) for name, value in request.parameters.items() if name != "oauth_signature"]
    pairs += [*request.query, *parse_qsl(url.query, keep_blank_values=True)]
    normal = "&".join(
        f"{name}={value}" for name, value in sorted((_escape(name), _escape(value)) for name, value in pairs)
    )
    host = url.netloc.lower()
    for scheme, port in (("http", ":80"), ("https", ":443")):
        if url.scheme == scheme:
            host = host.removesuffix(port)
    base = "&".join(_escape(part) for part in (request.method.upper(), f"{url.scheme}://{host}{url.path}", normal))
    key = f"{_escape(consumer_secret)}&{_escape(token_secret)}"
    return base64.b64encode(hmac.digest(key.encode(), base.encode(), digest)).decode()


def holds(request: SignedRequest, consumer_secret: str, token_secret: str, now: float) -> bool:
    """Whether the signature is right and its timestamp near."""
    try:
        right = signature(request, consumer_secret, token_secret)
        moment = int(request.parameters.get("oauth_timestamp", ""))
    except (KeyError, ValueError):
        return False
    given = request.parameters.get("oauth_signature", "")
    return hmac.compare_digest(right.encode(), given.encode()) and abs(now - moment) <= MAX_AGE_S
