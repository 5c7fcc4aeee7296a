"""One authenticated request on its way through an operation: who, what, when, and the store to ask."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from bivouac.core.call import Caller
from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Container, Store
from bivouac.s3 import names, xml
from bivouac.s3.authenticate import Proof
from bivouac.s3.documents.acl import ALL_USERS, AUTHENTICATED_USERS
from bivouac.s3.documents.policy import Principal
from bivouac.s3.errors import S3Error
from bivouac.s3.request import Request

if TYPE_CHECKING:
    from bivouac.s3.door import S3Door

MAX_DOCUMENT_BYTES = 1 << 20
WRITER_ROLES = frozenset(("admin", "manager", "member"))
_ANYBODY = (ALL_USERS,)
_SOMEBODY = (ALL_USERS, AUTHENTICATED_USERS)


def new_request_id() -> str:
    return secrets.token_hex(8).upper()


class Call:
    """`bucket` and `key` are the names of the request; `container` is the bucket, once loaded."""

    __slots__ = (
        "acl_used",
        "authorised",
        "bucket",
        "caller",
        "container",
        "door",
        "key",
        "log_etag",
        "log_size",
        "log_version",
        "now",
        "operation",
        "project",
        "proof",
        "request",
        "request_id",
    )

    def __init__(self, door: S3Door, request: Request, bucket: str, key: str, request_id: str, now: float) -> None:
        self.door = door
        self.request = request
        self.bucket = bucket
        self.key = key
        self.request_id = request_id
        self.now = now
        self.caller: Caller | None = None
        self.project = ""
        self.proof = Proof()
        self.container: Container
        self.operation = ""
        self.authorised = False
        self.acl_used = False
        self.log_size: int | None = None
        self.log_version = ""
        self.log_etag = ""

    @property
    def store(self) -> Store:
        return self.door.store

    @property
    def principal(self) -> Principal:
        who = self.caller
        return Principal(who.project_id, who.user_id, who.user_name) if who else Principal()

    @property
    def groups(self) -> tuple[str, ...]:
        """The ACL groups the caller is in."""
        return _SOMEBODY if self.project else _ANYBODY

    @property
    def name(self) -> str:
        """The caller's display name."""
        return self.caller.project_name or self.project if self.caller else ""

    @property
    def may_write(self) -> bool:
        """Whether the caller's role lets it change what its project owns; a reader only reads."""
        return self.caller is not None and not WRITER_ROLES.isdisjoint(self.caller.roles)

    @property
    def owns_bucket(self) -> bool:
        return bool(self.project) and self.project == self.container.account

    def header(self, name: str, default: str | None = None) -> str | None:
        return self.request.headers.get(name, default)

    def check_key(self) -> None:
        names.check_key(self.key)

    async def document(self, limit: int = MAX_DOCUMENT_BYTES, of_body: bool = True) -> bytes:
        """The whole body, checked against everything the request says of it. Raises S3Error."""
        from bivouac.s3.receive import receive_document

        return await receive_document(self, limit, of_body)

    def xml(self, root: str, inner: str, headers: list[tuple[str, str]] | None = None) -> Response:
        return self.xml_bytes(xml.document(root, inner), headers)

    def xml_bytes(self, body: bytes, headers: list[tuple[str, str]] | None = None) -> Response:
        return Response(200, [("content-type", "application/xml"), *(headers or [])], body)

    def empty(self, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
        return Response(status, headers or [])

    async def load_bucket(self) -> Container:
        """The bucket of the request. Raises NoSuchBucket, or AccessDenied if x-amz-expected-bucket-owner is another."""
        self.container = await self.store.find_bucket(self.bucket)
        expected = self.request.headers.get("x-amz-expected-bucket-owner")
        if expected is not None and expected != self.container.account:
            raise S3Error("AccessDenied", "The bucket's owner is not the one that the request expects.")
        return self.container
