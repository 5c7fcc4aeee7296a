"""S3 with boto3 against a real door: what one client's day looks like, and the rules that guard it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")

from botocore.auth import S3SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from s3_service import DAY_S, Service  # noqa: E402

_numbers = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("s3"))
    yield service
    service.stop()


@pytest.fixture
def s3(service: Service) -> Any:
    return service.client()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    return name


def refused(call: Any, **arguments: Any) -> tuple[int, str]:
    """(status, code) of a call that must fail."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"], error.value.response["Error"]["Code"]


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
@pytest.mark.parametrize("key", ["plain", "a b+c/ä%41?&=#~", "./../x//y", "'\"<>", "\u2603" * 100])
def test_an_object_comes_back_as_it_was_put(service: Service, bucket: str, key: str, signature: str) -> None:
    s3 = service.client(signature=signature)
    body = os.urandom(1000)
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=body,
        Metadata={"colour": "blue"},
        ContentType="text/x-test",
        CacheControl="no-store",
    )
    found = s3.get_object(Bucket=bucket, Key=key)
    assert found["Body"].read() == body
    assert (found["Metadata"], found["ContentType"], found["CacheControl"]) == (
        {"colour": "blue"},
        "text/x-test",
        "no-store",
    )
    assert found["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert s3.get_object(Bucket=bucket, Key=key, Range="bytes=10-19")["Body"].read() == body[10:20]
    s3.delete_object(Bucket=bucket, Key=key)
    assert refused(s3.get_object, Bucket=bucket, Key=key) == (404, "NoSuchKey")


def test_a_large_object_in_parts_and_its_copy(s3: Any, bucket: str) -> None:
    parts = [os.urandom(5 << 20), os.urandom(6 << 20), b"end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    named = []
    for number, data in enumerate(parts, 1):
        etag = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=data)["ETag"]
        named.append({"PartNumber": number, "ETag": etag})
    done = s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": named})
    again = s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": named})
    assert done["ETag"] == again["ETag"] and done["ETag"].endswith('-3"')
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "big"})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"".join(parts)
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (parts[1], 3)
    across = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={(5 << 20) - 4}-{(5 << 20) + 3}")
    assert across["Body"].read() == parts[0][-4:] + parts[1][:4]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept_and_wrong_ones_refused(s3: Any, bucket: str, algorithm: str) -> None:
    try:
        stored = s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", ChecksumAlgorithm=algorithm)
    except Exception as error:  # boto3 itself needs another package for two of them
        pytest.skip(str(error))
    name = f"Checksum{algorithm}"
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[name] == stored[name]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize"])
    assert (attributes["Checksum"][name], attributes["ObjectSize"]) == (stored[name], 9)
    wrong = {name: base64.b64encode(bytes(len(base64.b64decode(stored[name])))).decode()}
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"123456789", **wrong) == (400, "BadDigest")


def test_what_is_written_is_what_was_promised(s3: Any, bucket: str) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"body", ContentMD5=wrong) == (400, "BadDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_conditions_decide_writes_and_reads(s3: Any, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"0"') == (412, "PreconditionFailed")
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)["ETag"]
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=second)[0] == 304
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch=first)[0] == 412
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"", IfMatch=first) == (404, "NoSuchKey")


def test_versions_stay_until_they_are_named(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] and refused(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=one)["Body"].read() == b"one"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"before"
    listed = s3.list_object_versions(Bucket=bucket)
    assert [(v["VersionId"], v["IsLatest"]) for v in listed["Versions"]] == [(one, False), ("null", False)]
    assert listed["DeleteMarkers"][0]["IsLatest"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"


def test_listings_fold_and_page(s3: Any, bucket: str) -> None:
    keys = [f"{folder}/{number}" for folder in "abc" for number in range(3)] + ["top"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["a/", "b/"] and page["IsTruncated"]
    rest = s3.list_objects_v2(Bucket=bucket, Delimiter="/", ContinuationToken=page["NextContinuationToken"])
    assert [one["Prefix"] for one in rest["CommonPrefixes"]] == ["c/"]
    assert [one["Key"] for one in rest["Contents"]] == ["top"] and not rest["IsTruncated"]
    paged = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3})
    assert [one["Key"] for part in paged for one in part["Contents"]] == sorted(keys)


def test_nobody_else_sees_a_private_bucket(service: Service, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    other = service.client("other")
    for call, arguments in (
        (other.get_object, {"Key": "k"}), (other.list_objects_v2, {}), (other.put_object, {"Key": "x", "Body": b""}),
        (other.delete_object, {"Key": "k"}), (other.get_bucket_acl, {}), (other.put_bucket_policy, {"Policy": "{}"}),
        (other.get_bucket_policy, {}), (other.delete_bucket, {}),
        (other.get_object_attributes, {"Key": "k", "ObjectAttributes": ["ETag"]}),
        (other.list_multipart_uploads, {}), (other.put_object_tagging, {"Key": "k", "Tagging": {"TagSet": []}}),
        (other.create_multipart_upload, {"Key": "x"}),
    ):  # fmt: skip
        assert refused(call, Bucket=bucket, **arguments) == (403, "AccessDenied")
    copied = {"Bucket": bucket, "Key": "k"}
    other.create_bucket(Bucket=f"{bucket}-other")
    assert refused(other.copy_object, Bucket=f"{bucket}-other", Key="k", CopySource=copied) == (403, "AccessDenied")
    assert get(f"{service.url}/{bucket}/k")[0] == 403
    assert refused(other.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")


def test_a_wrong_secret_and_an_unknown_key_are_refused(service: Service, bucket: str) -> None:
    service.credentials["liar"] = service.credentials["other"]
    assert refused(service.client("liar").list_buckets) == (403, "SignatureDoesNotMatch")
    assert refused(service.client("nobody").list_buckets) == (403, "InvalidAccessKeyId")


def test_a_reader_reads_only(service: Service, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    reader = service.client("reader")
    assert reader.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    assert refused(reader.put_object, Bucket=bucket, Key="k", Body=b"2") == (403, "AccessDenied")
    assert refused(reader.delete_object, Bucket=bucket, Key="k") == (403, "AccessDenied")


def test_acls_open_and_the_public_access_block_closes(service: Service, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"seen", ACL="public-read")
    assert get(f"{service.url}/{bucket}/k")[:2] == (200, b"seen")
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True, "BlockPublicAcls": True}
    )
    assert get(f"{service.url}/{bucket}/k")[0] == 403
    assert refused(s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read") == (403, "AccessDenied")


def test_a_policy_allows_and_denies(service: Service, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="open/k", Body=b"1")
    s3.put_object(Bucket=bucket, Key="open/no", Body=b"1")
    arn = f"arn:aws:s3:::{bucket}/open"
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::project-other:root"},
            "Action": "s3:GetObject",
            "Resource": f"{arn}/*",
        },
        {"Effect": "Deny", "Principal": "*", "Action": "s3:Get*", "Resource": f"{arn}/no"},
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    other = service.client("other")
    assert other.get_object(Bucket=bucket, Key="open/k")["Body"].read() == b"1"
    assert refused(other.get_object, Bucket=bucket, Key="open/no") == (403, "AccessDenied")
    assert refused(s3.get_object, Bucket=bucket, Key="open/no") == (403, "AccessDenied")
    assert refused(other.put_object, Bucket=bucket, Key="open/k", Body=b"") == (403, "AccessDenied")


def test_presigned_addresses_work_as_signed_and_no_other_way(service: Service, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"shared")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k", "ResponseContentType": "x/y"})
    status, body, headers = get(url)
    assert (status, body, headers["content-type"]) == (200, b"shared", "x/y")
    assert get(url.replace("/k?", "/other?"))[0] == 403
    assert get(url.replace("x%2Fy", "a%2Fb"))[0] == 403


def test_a_form_uploads_within_its_policy(s3: Any, bucket: str) -> None:
    form = s3.generate_presigned_post(bucket, "up/${filename}", Conditions=[["content-length-range", 1, 10]])
    boundary = "xyz"

    def post(data: bytes) -> int:
        body = b""
        for name, value in form["fields"].items():
            body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n'.encode()
        body += data + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(form["url"], body, headers, method="POST")
        try:
            return urllib.request.urlopen(request, timeout=30).status
        except urllib.error.HTTPError as error:
            return error.code

    assert post(b"small") == 204
    assert post(b"much too long") == 400
    assert s3.get_object(Bucket=bucket, Key="up/f.txt")["Body"].read() == b"small"


@pytest.mark.parametrize("size", [10, 1000, 300_000, (6 << 20) + 5])
def test_encryption_with_the_clients_key(service: Service, s3: Any, bucket: str, size: int) -> None:
    data, key = os.urandom(size), {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
    s3.put_object(Bucket=bucket, Key="k", Body=data, **key)
    assert s3.get_object(Bucket=bucket, Key="k", **key)["Body"].read() == data
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=3-8", **key)["Body"].read() == data[3:9]
    assert refused(s3.get_object, Bucket=bucket, Key="k")[0] == 400
    assert (
        refused(s3.get_object, Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32))[0]
        == 400
    )
    record = service.run(lambda: _record(service, bucket, "k"))
    held = b"".join(p if isinstance(p, bytes) else p.read() for p in service.run(lambda: service.store.read(record)))
    assert len(held) == size and held != data
    s3.copy_object(
        Bucket=bucket, Key="plain", CopySource={"Bucket": bucket, "Key": "k"},
        **{"CopySource" + name: value for name, value in key.items()},
    )  # fmt: skip
    assert s3.get_object(Bucket=bucket, Key="plain")["Body"].read() == data


async def _record(service: Service, bucket: str, key: str) -> Any:
    return await service.store.get_object(await service.store.find_bucket(bucket), key)


def test_encryption_by_default_with_our_key(service: Service, s3: Any, bucket: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    parts = [os.urandom(5 << 20), b"tail"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = [
        {
            "PartNumber": n,
            "ETag": s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=n, Body=data)["ETag"],
        }
        for n, data in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": named})
    found = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={(5 << 20) - 2}-{(5 << 20) + 1}")
    assert (found["Body"].read(), found["ServerSideEncryption"]) == (parts[0][-2:] + b"ta", "AES256")
    assert (service.directory / "s3-master.key").stat().st_mode & 0o777 == 0o600
    kms = {"ServerSideEncryption": "aws:kms"}
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", **kms) == (501, "NotImplemented")


def test_locked_versions_stay(service: Service, s3: Any) -> None:
    bucket = f"locked-{next(_numbers)}"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_object_legal_hold(Bucket=bucket, Key="k", LegalHold={"Status": "ON"})
    assert refused(s3.delete_object, Bucket=bucket, Key="k", VersionId=version) == (403, "AccessDenied")
    s3.put_object_legal_hold(Bucket=bucket, Key="k", LegalHold={"Status": "OFF"})
    until = {"Mode": "GOVERNANCE", "RetainUntilDate": "2099-01-01T00:00:00Z"}
    s3.put_object_retention(Bucket=bucket, Key="k", Retention=until)
    assert refused(s3.delete_object, Bucket=bucket, Key="k", VersionId=version) == (403, "AccessDenied")
    s3.delete_object(Bucket=bucket, Key="k", VersionId=version, BypassGovernanceRetention=True)
    assert refused(s3.head_object, Bucket=bucket, Key="k", VersionId=version)[0] == 404


def test_lifecycle_rules_are_carried_out(service: Service, s3: Any, bucket: str) -> None:
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    abort = {
        "ID": "stale",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule, abort]})
    s3.put_object(Bucket=bucket, Key="tmp/a", Body=b"")
    s3.put_object(Bucket=bucket, Key="kept", Body=b"")
    s3.create_multipart_upload(Bucket=bucket, Key="begun")
    service.run(service.lifecycle.once)
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 2
    service.ahead_s = DAY_S + 1
    try:
        service.run(service.lifecycle.once)
    finally:
        service.ahead_s = 0.0
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_cors_tells_browsers_what_the_rules_say(service: Service, s3: Any, bucket: str) -> None:
    rule = {"AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["GET"], "ExposeHeaders": ["ETag"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", ACL="public-read")
    headers = get(f"{service.url}/{bucket}/k", Origin="https://www.example.com")[2]
    assert headers["access-control-allow-origin"] == "https://www.example.com"
    assert "access-control-allow-origin" not in get(f"{service.url}/{bucket}/k", Origin="https://example.org")[2]


def test_a_website_shows_its_index_and_error_pages(service: Service, s3: Any, bucket: str) -> None:
    site = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "404.html"}}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
    for key in ("index.html", "docs/index.html", "404.html"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), ACL="public-read")
    policy = {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
    host = f"{bucket}.s3-website.localhost:{service.port}"
    assert get(f"{service.url}/", Host=host)[:2] == (200, b"index.html")
    assert get(f"{service.url}/docs", Host=host)[:2] == (200, b"docs/index.html")
    assert get(f"{service.url}/none", Host=host)[:2] == (404, b"404.html")


def test_access_logs_reach_their_bucket(service: Service, s3: Any, bucket: str) -> None:
    target = f"{bucket}-logs"
    s3.create_bucket(Bucket=target)
    allow = {
        "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/*",
    }  # fmt: skip
    enabled = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "log/"}}
    assert refused(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus=enabled) == (403, "AccessDenied")
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=enabled)
    s3.put_object(Bucket=bucket, Key='a "key"', Body=b"12345")
    service.ahead_s = 1000.0
    try:
        service.run(service.door.logs.deliver_due)
    finally:
        service.ahead_s = 0.0
    (entry,) = s3.list_objects_v2(Bucket=target, Prefix="log/")["Contents"]
    text = s3.get_object(Bucket=target, Key=entry["Key"])["Body"].read().decode()
    assert f"project-main {bucket} [" in text and "REST.PUT.OBJECT a%20%22key%22" in text and " 200 - " in text


def test_events_reach_a_web_hook(s3: Any, bucket: str) -> None:
    received: list[tuple[str, dict[str, Any]]] = []
    arrived = threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        rule = {"TopicArn": url, "Events": ["s3:ObjectCreated:*"]}
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [rule]}
        )
        s3.put_object(Bucket=bucket, Key="new", Body=b"123")
        assert arrived.wait(20)
    finally:
        server.shutdown()
        server.server_close()
    kind, event = received[0]
    assert kind.startswith("application/cloudevents+json")
    assert (event["specversion"], event["subject"], event["data"]["s3"]["object"]["size"]) == ("1.0", "new", 3)


def test_swift_containers_and_large_objects_are_buckets_and_objects(service: Service, s3: Any, tmp_path: Path) -> None:
    from bivouac.objects.store.interface import Kind, PutObject

    name = f"from-swift-{next(_numbers)}"

    async def make() -> None:
        store = service.store
        container, _ = await store.create_container("project-main", name, documents={"swift:read": ".r:*"})
        for part in ("1", "2"):
            await store.put_object(PutObject(container, f"seg/{part}", part.encode() * 10))
        etag = hashlib.md5
        segments = [
            {"name": f"/{name}/seg/{p}", "hash": etag(p.encode() * 10).hexdigest(), "bytes": 10} for p in ("1", "2")
        ]
        manifest = json.dumps(segments)
        await store.put_object(
            PutObject(container, "large", b"", size=20, etag="e", kind=Kind.STATIC_LARGE, manifest=manifest)
        )

    service.run(make)
    assert s3.get_object(Bucket=name, Key="large")["Body"].read() == b"1" * 10 + b"2" * 10
    assert s3.get_object(Bucket=name, Key="large", Range="bytes=8-11")["Body"].read() == b"1122"
    assert get(f"{service.url}/{name}/seg/1")[:2] == (200, b"1" * 10)
    assert get(f"{service.url}/{name}")[0] == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<x", "MalformedXML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><VersioningConfiguration>&b;</VersioningConfiguration>', "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (
            b"<VersioningConfiguration><Status>Maybe</Status></VersioningConfiguration>",
            "IllegalVersioningConfigurationException",
        ),
        (b"<VersioningConfiguration>" + b"<a>" * 100 + b"</a>" * 100 + b"</VersioningConfiguration>", "MalformedXML"),
    ],
)
def test_bad_documents_are_a_clear_400(service: Service, bucket: str, body: bytes, code: str) -> None:
    request = AWSRequest("PUT", f"{service.url}/{bucket}?versioning", data=body)
    S3SigV4Auth(Credentials("main", "secret-main"), "s3", "RegionOne").add_auth(request)
    sent = urllib.request.Request(request.url, body, dict(request.headers), method="PUT")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(sent, timeout=30)
    assert error.value.code == 400 and f"<Code>{code}</Code>".encode() in error.value.read()


def test_an_identity_that_does_not_answer_is_said(service: Service) -> None:
    client = service.client("cannot-be-asked")
    with pytest.raises(ClientError) as refused:
        client.list_buckets()
    assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert "control does not answer" in refused.value.response["Error"]["Message"]
