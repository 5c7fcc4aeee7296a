"""Browser uploads: PostObject, a multipart/form-data body with a signed policy."""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import re
from urllib.parse import quote

from bivouac.core.http1 import Response
from bivouac.objects import sealed
from bivouac.objects.store.interface import PutObject
from bivouac.s3 import access, checksums, encryption, names, xml
from bivouac.s3.call import Call
from bivouac.s3.documents import tagging
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.putting import attributes_of, done, new_key
from bivouac.s3.receive import Received, read_all
from bivouac.s3.signing import form

MAX_FIELDS_BYTES = 20 << 10
MAX_HELD_BYTES = 256 << 20
"""A form is read whole before its file is stored; larger uploads use PUT or multipart."""
_DISPOSITION = re.compile(r'(?:^|;)\s*(name|filename)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.IGNORECASE)
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;]{1,200}))', re.IGNORECASE)


def parse(content_type: str, body: bytes) -> tuple[dict[str, str], bytes, str]:
    """(fields by lower-case name, the file's bytes, its name). Raises MalformedPOSTRequest, UserKeyMustBeSpecified."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or not found:
        raise S3Error(
            "PreconditionFailed",
            "Bucket POST must be of the enclosure-type multipart/form-data",
            Condition="Bucket POST must be of the enclosure-type multipart/form-data",
        )
    mark = b"--" + (found[1] or found[2]).encode("latin-1")
    fields: dict[str, str] = {}
    at = body.find(mark)
    if at < 0:
        raise S3Error("MalformedPOSTRequest")
    while True:
        start = body.find(b"\r\n", at) + 2
        if body[at + len(mark) : at + len(mark) + 2] == b"--" or start < 2:
            raise S3Error(
                "InvalidArgument",
                "POST requires exactly one file upload per request.",
                ArgumentName="file",
                ArgumentValue="0",
            )
        head_end, end = body.find(b"\r\n\r\n", start), body.find(b"\r\n" + mark, start)
        if head_end < 0 or end < 0 or head_end > end:
            raise S3Error("MalformedPOSTRequest")
        name, filename, part_type = _part_head(body[start:head_end])
        value = body[head_end + 4 : end]
        if name == "file":
            if part_type and "content-type" not in fields:
                fields.setdefault("", part_type)
            return fields, value, filename
        fields[name] = value.decode("utf-8", "replace")
        if sum(map(len, fields.values())) > MAX_FIELDS_BYTES:
            raise S3Error(
                "MaxMessageLengthExceeded", "Your POST request fields preceding the upload file were too large."
            )
        at = end + 2


def _part_head(head: bytes) -> tuple[str, str, str]:
    """(name, filename, content type)"""
    message = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(head)
    disposition = str(message.get("content-disposition", ""))
    values = {}
    for key, quoted, bare in _DISPOSITION.findall(disposition):
        values[key.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare.strip()
    if "name" not in values:
        raise S3Error("MalformedPOSTRequest")
    filename = values.get("filename", "").replace("\\", "/").rpartition("/")[2]
    return values["name"].lower(), filename, str(message.get("content-type", ""))


async def post_object(call: Call) -> Response:
    """PostObject. The form's fields stand for the headers of a PUT."""
    container = await call.load_bucket()
    content_type = call.header("content-type") or ""
    body = await read_all(call, MAX_HELD_BYTES)
    fields, data, filename = parse(content_type, body)
    part_type = fields.pop("", "")
    if "key" not in fields:
        raise S3Error(
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.",
            ArgumentName="key",
            ArgumentValue="",
        )
    call.key = fields["key"].replace("${filename}", filename)
    if not call.key:
        raise S3Error(
            "InvalidArgument", "User key must have a length greater than 0.", ArgumentName="key", ArgumentValue=""
        )
    names.check_key(call.key)
    await _authenticate(call, fields, len(data))
    tags = tagging.parse(fields["tagging"].encode()) if "tagging" in fields else {}
    for name, value in fields.items():
        if name.startswith("x-amz-") or name in ("cache-control", "content-disposition", "content-encoding", "expires"):
            call.request.headers[name] = value.encode().decode("latin-1")
    if "acl" in fields:
        call.request.headers["x-amz-acl"] = fields["acl"]
    call.request.headers["content-type"] = fields.get("content-type") or part_type
    access.allow_bucket(call, "s3:PutObject", "WRITE", key=call.key, extra=access.request_tags(tags))
    attributes = await attributes_of(call, container, tags)
    made = new_key(call, container)
    received, answer = _received(call, data), []
    if made is not None:
        attributes.documents[sealed.DOCUMENT] = encryption.dump(made[0])
        answer = list(encryption.headers_of(made[0]).items())
        received.body = encryption.Stream(made[1]).update(data)
    stored = await call.store.put_object(
        PutObject(
            container=container,
            name=call.key,
            body=received.body,
            etag=encryption.etag_of(*made, received.md5) if made else None,
            checksums=received.checksums,
            **attributes.fields(),
        )
    )
    response = done(call, container, stored, received, tags, answer, "s3:ObjectCreated:Post")
    return _answer(call, fields, stored.etag, response)


def _received(call: Call, data: bytes) -> Received:
    """The file's bytes, held against a checksum field. Raises S3Error."""
    expected = checksums.expected({n: v for n, v in call.request.headers.items() if n != "x-amz-trailer"})
    found: dict[str, str] = {}
    if expected is not None:
        digest = checksums.new(expected.algorithm)
        digest.update(data)
        found = {expected.algorithm: checksums.encode(digest.digest())}
        if found[expected.algorithm] != expected.value:
            raise checksums.mismatch(expected.algorithm)
    return Received(data, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), found)


async def _authenticate(call: Call, fields: dict[str, str], size: int) -> None:
    """Who signed the form's policy, and whether the form keeps it. Raises S3Error."""
    access_key = form.access_key(fields)
    if access_key is None:
        if "x-amz-credential" in fields or "awsaccesskeyid" in fields or "signature" in fields:
            raise S3Error("InvalidArgument", "The form has a signature, but no policy.")
        return
    credential = await call.door.authenticator.credential(access_key)
    form.check_signature(fields, credential.secret)
    conditions = form.decode_policy(fields["policy"], call.now)
    form.check_conditions(conditions, fields | {"key": call.key, "bucket": call.bucket}, size)
    call.caller, call.project = credential.caller, credential.caller.project_id
    call.door.names.setdefault(call.project, credential.caller.project_name or call.project)


def _answer(call: Call, fields: dict[str, str], etag: str, response: Response) -> Response:
    """What the form asked to see: a redirection, 200, 201 with XML, or 204."""
    location = f"/{call.bucket}/{quote(call.key)}"
    target = fields.get("success_action_redirect") or fields.get("redirect")
    if target and target.startswith(("http://", "https://")) and not any(ord(c) < 33 for c in target):
        joint = "&" if "?" in target else "?"
        query = f"bucket={quote(call.bucket)}&key={quote(call.key, safe='')}&etag={quote(chr(34) + etag + chr(34))}"
        return Response(303, [*response.headers, ("location", target + joint + query)])
    status = fields.get("success_action_status", "204")
    headers = [*response.headers, ("location", location)]
    if status == "201":
        inner = xml.leaf("Location", location) + xml.leaf("Bucket", call.bucket) + xml.leaf("Key", call.key)
        body = f"{xml.DECLARATION}<PostResponse>{inner}{xml.leaf('ETag', chr(34) + etag + chr(34))}</PostResponse>"
        return Response(201, [*headers, ("content-type", "application/xml")], body.encode())
    return Response(200 if status == "200" else 204, headers)
