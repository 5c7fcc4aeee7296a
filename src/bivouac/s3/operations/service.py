"""The service itself: the caller's buckets."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Listing
from bivouac.s3 import xml
from bivouac.s3.call import Call
from bivouac.s3.conditions import iso_millis

MOST = 10_000


async def list_buckets(call: Call) -> Response:
    """ListBuckets, with its paging."""
    if not call.project:
        call.authorised = True
        return call.xml("ListAllMyBucketsResult", "<Owner><ID>anonymous</ID></Owner><Buckets></Buckets>")
    call.authorised = True
    limit = call.request.integer("max-buckets", MOST, 1, MOST)
    prefix, marker = call.request.query.get("prefix", ""), call.request.query.get("continuation-token", "")
    found = await call.store.list_containers(call.project, Listing(prefix=prefix, marker=marker, limit=limit + 1))
    more, found = len(found) > limit, found[:limit]
    buckets = "".join(
        f"<Bucket>{xml.leaf('Name', one.name)}{xml.leaf('CreationDate', iso_millis(one.created))}"
        f"{xml.leaf('BucketRegion', call.door.region)}</Bucket>"
        for one in found
    )
    owner = f"<Owner>{xml.leaf('ID', call.project)}{xml.leaf('DisplayName', call.name)}</Owner>"
    inner = f"{owner}<Buckets>{buckets}</Buckets>{xml.optional('Prefix', prefix or None)}"
    if more:
        inner += xml.leaf("ContinuationToken", found[-1].name)
    return call.xml("ListAllMyBucketsResult", inner)
