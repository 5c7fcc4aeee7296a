"""Who sends a request: which signature it bears, whose key made it, and what it promises of the body.

The secret comes from the lookup that the door was given, which is asked on each request and knows when what it
remembers was revoked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from bivouac.core.call import Caller
from bivouac.s3.errors import S3Error
from bivouac.s3.request import Credential, Request
from bivouac.s3.signing import v2, v4

Lookup = Callable[[str], Awaitable[Credential | None]]
_CONTENT = "x-amz-content-sha256"


class Proof(Struct, frozen=True):
    """How the request proved itself. `payload` is what it says of its body: a SHA-256, UNSIGNED-PAYLOAD, a streaming
    kind, or ""."""

    access_key: str = ""
    version: str = ""
    kind: str = ""
    payload: str = ""
    signature: v4.Signature | None = None
    key: bytes = b""
    moment: float = 0.0


ANONYMOUS = Proof()


class Authenticator:
    """Checks signatures with the keys that `lookup` knows."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def credential(self, access_key: str) -> Credential:
        """Raises InvalidAccessKeyId."""
        found = await self._lookup(access_key)
        if found is None:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
        return found

    async def authenticate(self, request: Request, now: float, virtual_bucket: str) -> tuple[Caller | None, Proof]:
        """(who, how); (None, ...) for an anonymous request. Raises S3Error."""
        header = request.headers.get("authorization")
        if header is not None:
            if "X-Amz-Signature" in request.query or "Signature" in request.query:
                raise S3Error(
                    "InvalidArgument",
                    "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
                    "parameter, Signature query string parameter or the Authorization header should be "
                    "specified",
                )
            if header.startswith(v4.ALGORITHM):
                return await self._version_4(request, v4.from_header(request), now, "AuthHeader")
            if header.startswith(("AWS ", "GOOG1 ")):
                return await self._version_2(request, v2.from_header(request), now, virtual_bucket, "AuthHeader")
            raise S3Error(
                "InvalidArgument",
                "Unsupported Authorization Type",
                ArgumentName="Authorization",
                ArgumentValue=header.partition(" ")[0],
            )
        query = request.query
        if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query or "X-Amz-Credential" in query:
            return await self._version_4(request, v4.from_query(request), now, "QueryString")
        if "Signature" in query and ("AWSAccessKeyId" in query or "GoogleAccessId" in query):
            return await self._version_2(request, v2.from_query(request), now, virtual_bucket, "QueryString")
        return None, ANONYMOUS if _CONTENT not in request.headers else Proof(payload=request.headers[_CONTENT])

    async def _version_4(
        self, request: Request, signature: v4.Signature, now: float, kind: str
    ) -> tuple[Caller | None, Proof]:
        headers = request.headers
        credential = await self.credential(signature.access_key)
        v4.check_time(signature, now)
        payload = headers.get(_CONTENT)
        if payload is None:
            payload = request.query.get("X-Amz-Content-Sha256", v4.UNSIGNED) if signature.expires is not None else None
        elif signature.expires is not None and _CONTENT not in signature.signed_headers:
            payload = v4.UNSIGNED
        if payload is None:
            raise S3Error("InvalidRequest", f"Missing required header for this request: {_CONTENT}")
        if headers.get("x-amz-security-token") or request.query.get("X-Amz-Security-Token"):
            raise S3Error("InvalidToken", "Temporary credentials are not offered.")
        v4.check_signed_headers(request, signature)
        key = v4.check(request, signature, credential.secret, payload)
        proof = Proof(signature.access_key, "SigV4", kind, payload, signature, key, signature.moment)
        return credential.caller, proof

    async def _version_2(
        self, request: Request, signature: v2.Signature, now: float, virtual_bucket: str, kind: str
    ) -> tuple[Caller | None, Proof]:
        credential = await self.credential(signature.access_key)
        v2.check_time(request, signature, now)
        v2.check(request, signature, credential.secret, virtual_bucket)
        return credential.caller, Proof(signature.access_key, "SigV2", kind, request.headers.get(_CONTENT, ""))
