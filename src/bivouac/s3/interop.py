"""Google Cloud Storage's XML interoperability for users of HMAC keys: S3's requests under Google's names.

A request that is signed under the name GOOG1 writes `x-goog-` where Amazon's write `x-amz-`. Once its signature, which
is over the names as sent, has been checked, it goes on under Amazon's names, and its answer gets Google's back.
Source: Cloud Storage documentation, "Simple migration from Amazon S3", "HTTP headers and common query string parameters
for XML".
"""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.s3.request import Request

GOOGLE, AMAZON = "x-goog-", "x-amz-"


def speaks(request: Request) -> bool:
    """Whether the request is one of Google's."""
    return request.headers.get("authorization", "").startswith("GOOG1 ") or "GoogleAccessId" in request.query


def to_amazon(request: Request) -> None:
    """Rename the header fields of a request whose signature has been checked."""
    for name in [name for name in request.headers if name.startswith(GOOGLE)]:
        request.headers.setdefault(AMAZON + name[len(GOOGLE) :], request.headers.pop(name))


def to_google(response: Response) -> None:
    """Rename the header fields of the answer."""
    response.headers[:] = [
        (GOOGLE + name[len(AMAZON) :] if name.startswith(AMAZON) else name, value) for name, value in response.headers
    ]
