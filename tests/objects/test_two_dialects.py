"""One store, two doors: what S3 clients keep encrypted is opened for Swift's, or refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("boto3")

from s3_service import Service  # noqa: E402

PART = 5 << 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("both"))
    yield service
    service.stop()


@pytest.fixture(scope="module")
def s3(service: Service) -> Any:
    client = service.client()
    client.create_bucket(Bucket="box")
    return client


def multipart(s3: Any, key: str, parts: list[bytes]) -> None:
    upload = s3.create_multipart_upload(Bucket="box", Key=key, ServerSideEncryption="AES256")["UploadId"]
    done = [
        {
            "PartNumber": n,
            "ETag": s3.upload_part(Bucket="box", Key=key, PartNumber=n, UploadId=upload, Body=data)["ETag"],
        }
        for n, data in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(Bucket="box", Key=key, UploadId=upload, MultipartUpload={"Parts": done})


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_what_s3_encrypts_with_our_key_swift_shows_plain(service: Service, s3: Any, size: int) -> None:
    data = os.urandom(size)
    s3.put_object(Bucket="box", Key="a", Body=data, ServerSideEncryption="AES256")
    status, headers, body = service.swift("GET", "/box/a")
    assert (status, body) == (200, data)
    assert headers["etag"] == hashlib.md5(data).hexdigest()
    assert service.swift("HEAD", "/box/a")[1]["content-length"] == str(size)
    if size:
        assert service.swift("GET", "/box/a", headers={"Range": "bytes=1-3"})[2] == data[1:4]
        several = service.swift("GET", "/box/a", headers={"Range": "bytes=0-0,2-4"})[2]
        assert data[2:5] in several


def test_parts_copies_segments_and_older_versions_are_opened_too(service: Service, s3: Any) -> None:
    first, last = os.urandom(PART), os.urandom(1000)
    multipart(s3, "parts", [first, last])
    assert service.swift("GET", "/box/parts")[2] == first + last
    beyond = service.swift("GET", "/box/parts", headers={"Range": f"bytes={PART - 7}-{PART + 7}"})[2]
    assert beyond == (first + last)[PART - 7 : PART + 8]

    assert service.swift("COPY", "/box/parts", headers={"Destination": "box/copy"})[0] == 201
    assert service.swift("GET", "/box/copy")[2] == first + last
    assert s3.get_object(Bucket="box", Key="copy")["Body"].read() == first + last
    some = {"X-Copy-From": "/box/parts", "Range": "bytes=10-19"}
    assert service.swift("PUT", "/box/some", b"", some)[0] == 201
    assert service.swift("GET", "/box/some")[2] == first[10:20]

    manifest = json.dumps([{"path": "/box/parts"}, {"path": "/box/some"}]).encode()
    assert service.swift("PUT", "/box/all?multipart-manifest=put", manifest)[0] == 201
    assert service.swift("GET", "/box/all")[2] == first + last + first[10:20]

    s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="box", Key="v", Body=b"old", ServerSideEncryption="AES256")
    s3.put_object(Bucket="box", Key="v", Body=b"new")
    old = json.loads(service.swift("GET", "/box?versions&prefix=v&format=json")[2])[-1]
    assert service.swift("PUT", f"/box/v?version-id={old['version_id']}", b"")[0] == 201
    assert service.swift("GET", "/box/v")[2] == b"old"
    assert s3.get_object(Bucket="box", Key="v")["Body"].read() == b"old"


def test_what_s3_encrypts_with_the_clients_key_swift_refuses(service: Service, s3: Any) -> None:
    key = os.urandom(32)
    s3.put_object(Bucket="box", Key="c", Body=b"mine", SSECustomerAlgorithm="AES256", SSECustomerKey=key)
    assert service.swift("HEAD", "/box/c")[0] == 200
    for method, headers in (
        ("GET", {}),
        ("GET", {"Range": "bytes=0-1"}),
        ("COPY", {"Destination": "box/stolen"}),
    ):
        status, _, body = service.swift(method, "/box/c", headers=headers)
        assert status == 403 and b"SSE-C" in body
    assert service.swift("HEAD", "/box/stolen")[0] == 404
    manifest = json.dumps([{"path": "/box/c"}]).encode()
    assert service.swift("PUT", "/box/through?multipart-manifest=put", manifest)[0] == 201
    assert service.swift("GET", "/box/through")[0] == 403


def test_s3_says_why_a_large_object_of_encrypted_segments_cannot_be_read(service: Service, s3: Any) -> None:
    s3.put_object(Bucket="box", Key="segments/1", Body=b"abc", ServerSideEncryption="AES256")
    manifest = json.dumps([{"path": "/box/segments/1"}]).encode()
    assert service.swift("PUT", "/box/slo?multipart-manifest=put", manifest)[0] == 201
    assert service.swift("PUT", "/box/dlo", b"", {"X-Object-Manifest": "box/segments/"})[0] == 201
    for name in ("slo", "dlo"):
        with pytest.raises(s3.exceptions.ClientError, match="is encrypted"):
            s3.get_object(Bucket="box", Key=name)
        assert service.swift("GET", f"/box/{name}")[2] == b"abc"


def test_container_synchronisation_is_refused_clearly(service: Service, s3: Any) -> None:
    for header in ("X-Container-Sync-To", "X-Container-Sync-Key"):
        for method in ("PUT", "POST"):
            status, _, body = service.swift(method, "/box", b"", {header: "//realm/cluster/AUTH_a/c"})
            assert (status, body) == (400, b"Container synchronisation is not supported.")
