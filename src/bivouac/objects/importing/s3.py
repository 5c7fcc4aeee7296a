"""An S3 endpoint as a source: Amazon's, MinIO's, Ceph's, another Bivouac's.

Buckets are addressed by path. Requests are signed with version 4 ("Authenticating Requests: Using the Authorization
Header", Amazon S3 API Reference).
"""

from __future__ import annotations

import hashlib
import hmac
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from urllib.parse import quote, unquote

from bivouac.objects.importing.connection import Answer, Origin
from bivouac.objects.importing.source import (
    Entry,
    Fetched,
    SourceError,
    Vanished,
    kept_headers,
    plain_md5,
    with_prefix,
)

EMPTY = hashlib.sha256(b"").hexdigest()
KEYS_AT_ONCE = 1000


class S3Source:
    """`region` is what the endpoint wants signatures to name."""

    global_names = True

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        region: str = "us-east-1",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._origin = Origin(endpoint)
        self._access_key, self._secret_key, self._region, self._now = access_key, secret_key, region, now
        self.name = f"s3 {endpoint.rstrip('/')}"

    def containers(self) -> list[str]:
        document = self._document("/", {})
        return [found.text or "" for found in document.iterfind("Buckets/Bucket/Name")]

    def page(self, container: str, marker: str) -> list[Entry]:
        query = {"list-type": "2", "max-keys": str(KEYS_AT_ONCE), "encoding-type": "url"}
        if marker:
            query["start-after"] = marker
        document = self._document(f"/{quote(container)}", query)
        entries = []
        for item in document.iterfind("Contents"):
            name = unquote((item.findtext("Key") or "").replace("+", "%20"))
            etag = (item.findtext("ETag") or "").strip('"')
            state = f"{etag} {item.findtext('LastModified')}"
            entries.append(Entry(name, int(item.findtext("Size") or 0), state))
        if not entries and document.findtext("IsTruncated") == "true":
            raise SourceError("the source says that its empty listing goes on")
        return entries

    def fetch(self, container: str, name: str) -> Fetched:
        path = f"/{quote(container)}/{quote(name, safe='/~')}"
        answer = self._ask(path, {})
        headers = answer.headers
        etag = headers.get("etag", "").strip('"')
        # Where the source encrypts with keys that it does not own, its ETag says nothing of the bytes.
        told = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
        return Fetched(
            size=int(headers.get("content-length", 0)),
            content_type=headers.get("content-type", "binary/octet-stream"),
            read=answer.read,
            close=answer.close,
            etag=etag if "-" in etag else "",
            md5=plain_md5(etag) if told else "",
            metadata=with_prefix(headers, "x-amz-meta-"),
            headers=kept_headers(headers),
            tags=self._tags(path) if headers.get("x-amz-tagging-count", "0") != "0" else {},
        )

    def close(self) -> None:
        self._origin.close()

    def _tags(self, path: str) -> dict[str, str]:
        document = self._document(path, {"tagging": ""})
        tags = document.iterfind("TagSet/Tag")
        return {tag.findtext("Key") or "": tag.findtext("Value") or "" for tag in tags}

    def _document(self, path: str, query: dict[str, str]) -> ET.Element:
        body = self._ask(path, query).whole()
        if b"<!DOCTYPE" in body:
            raise SourceError("the source answered with a document type")
        try:
            document = ET.fromstring(body)
        except ET.ParseError as error:
            raise SourceError(f"the source answered no XML: {error}") from error
        for element in document.iter():
            element.tag = element.tag.rpartition("}")[2]
        return document

    def _ask(self, path: str, query: dict[str, str]) -> Answer:
        """A signed GET. Raises SourceError, Vanished."""
        path = self._origin.path + path
        pairs = "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in sorted(query.items()))
        answer = self._origin.ask("GET", path + (f"?{pairs}" if pairs else ""), self._signed(path, pairs))
        if answer.status == 200:
            return answer
        text = answer.whole()[:500].decode("utf-8", "replace")
        if answer.status == 404 and "NoSuchKey" in text:
            raise Vanished(path)
        raise SourceError(f"{self._origin.host} answered {answer.status} to GET {path}: {text}")

    def _signed(self, path: str, query: str) -> dict[str, str]:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        headers = {"host": self._origin.host, "x-amz-content-sha256": EMPTY, "x-amz-date": moment}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"GET\n{path}\n{query}\n{lines}\n{names}\n{EMPTY}"
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = b"AWS4" + self._secret_key.encode()
        for step in scope.split("/"):
            key = hmac.digest(key, step.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}"
        return headers | {"authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}
