"""The browser's question before a cross-origin request (CORS preflight)."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchContainer
from bivouac.s3.call import Call
from bivouac.s3.documents import cors, keys
from bivouac.s3.errors import S3Error


async def preflight(call: Call) -> Response:
    """Answer OPTIONS from the bucket's rules. Needs no signature. Raises BadRequest-like InvalidRequest,
    AccessDenied."""
    headers = call.request.headers
    origin, method = headers.get("origin"), headers.get("access-control-request-method")
    if not origin:
        raise S3Error("InvalidRequest", "Insufficient information. Origin request header needed.")
    if not method or method not in cors.METHODS:
        raise S3Error("InvalidRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
    requested = tuple(
        item.strip() for item in headers.get("access-control-request-headers", "").split(",") if item.strip()
    )
    try:
        container = await call.load_bucket()
    except NoSuchContainer:
        raise S3Error("AccessDenied", "CORSResponse: CORS is not enabled for this bucket.") from None
    text = container.documents.get(keys.CORS)
    rule = cors.match(cors.load(text), origin, method, requested) if text else None
    if rule is None:
        raise S3Error(
            "AccessDenied", "CORSResponse: This CORS request is not allowed.", Method=method, ResourceType="OBJECT"
        )
    return call.empty(200, list(cors.answer_headers(rule, origin, requested).items()))
