"""Swift's objects over HTTP: put, get, ranges, conditions, post, copy, expiry."""

import hashlib
import os
import time

import pytest


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 4096, 128 * 1024, 128 * 1024 + 1, 3 * 1024 * 1024 + 17])
def test_put_and_get(cloud, box, size):
    data = os.urandom(size)
    headers = {"Content-Type": "text/x", "X-Object-Meta-Color": "blue"}
    put = cloud.call("PUT", f"/{box}/dir/%C3%A4%20b", data, headers)
    assert put.status == 201
    assert put.headers["etag"] == md5(data)
    got = cloud.call("GET", f"/{box}/dir/%C3%A4%20b")
    assert (got.status, got.body) == (200, data)
    assert got.headers["content-type"] == "text/x"
    assert got.headers["x-object-meta-color"] == "blue"
    assert got.headers["content-length"] == str(size)
    head = cloud.call("HEAD", f"/{box}/dir/%C3%A4%20b")
    assert (head.status, head.body) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k not in ("x-trans-id", "x-openstack-request-id", "date")} == {
        k: v for k, v in got.headers.items() if k not in ("x-trans-id", "x-openstack-request-id", "date")
    }


def test_chunked_upload(cloud, box):
    parts = [os.urandom(n) for n in (1, 70_000, 300_000, 5)]
    assert cloud.call("PUT", f"/{box}/o", iter(parts)).status == 201
    assert cloud.call("GET", f"/{box}/o").body == b"".join(parts)


def test_wrong_etag_is_refused_and_nothing_stored(cloud, box):
    for size in (10, 300_000):
        assert cloud.call("PUT", f"/{box}/o", b"x" * size, {"ETag": "0" * 32}).status == 422
        assert cloud.call("GET", f"/{box}/o").status == 404


@pytest.mark.parametrize("size", [1000, 400_000])
def test_ranges(cloud, box, size):
    data = os.urandom(size)
    cloud.call("PUT", f"/{box}/o", data)

    def get(what):
        return cloud.call("GET", f"/{box}/o", headers={"Range": what})

    got = get("bytes=10-19")
    assert (got.status, got.body, got.headers["content-range"]) == (206, data[10:20], f"bytes 10-19/{size}")
    assert get("bytes=-5").body == data[-5:]
    assert get(f"bytes={size - 3}-").body == data[-3:]
    assert get(f"bytes={size}-").status == 416
    assert get("bytes=9-2").status == 200
    several = get("bytes=0-3,10-12")
    assert several.status == 206
    assert several.headers["content-type"].startswith("multipart/byteranges;boundary=")
    assert int(several.headers["content-length"]) == len(several.body)
    assert data[0:4] in several.body and data[10:13] in several.body


def test_conditional_reads(cloud, box):
    etag = cloud.call("PUT", f"/{box}/o", b"data").headers["etag"]
    modified = cloud.call("HEAD", f"/{box}/o").headers["last-modified"]
    for headers, status in (
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f'"{etag}"'}, 304),
        ({"If-None-Match": "x"}, 200),
        ({"If-Match": etag}, 200),
        ({"If-Match": "x"}, 412),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Unmodified-Since": modified}, 200),
        ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"}, 412),
        ({"If-Modified-Since": "nonsense"}, 200),
    ):
        assert cloud.call("GET", f"/{box}/o", headers=headers).status == status, headers


def test_create_only_once(cloud, box):
    assert cloud.call("PUT", f"/{box}/o", b"1", {"If-None-Match": "*"}).status == 201
    assert cloud.call("PUT", f"/{box}/o", b"2", {"If-None-Match": "*"}).status == 412
    assert cloud.call("GET", f"/{box}/o").body == b"1"


def test_post_replaces_metadata(cloud, box):
    cloud.call("PUT", f"/{box}/o", b"1", {"X-Object-Meta-A": "1", "Content-Type": "a/b"})
    assert cloud.call("POST", f"/{box}/o", headers={"X-Object-Meta-B": "2"}).status == 202
    head = cloud.call("HEAD", f"/{box}/o").headers
    assert "x-object-meta-a" not in head
    assert (head["x-object-meta-b"], head["content-type"]) == ("2", "a/b")
    assert cloud.call("POST", f"/{box}/missing").status == 404


def test_copy_both_ways(cloud, box):
    cloud.call("PUT", f"/{box}/o", b"1", {"X-Object-Meta-A": "1", "Content-Type": "a/b"})
    copied = cloud.call("COPY", f"/{box}/o", headers={"Destination": f"{box}/two", "X-Object-Meta-B": "2"})
    assert copied.status == 201
    assert copied.headers["x-copied-from"] == f"{box}/o"
    assert "x-copied-from-last-modified" in copied.headers
    head = cloud.call("GET", f"/{box}/two")
    assert (head.body, head.headers["x-object-meta-a"], head.headers["x-object-meta-b"]) == (b"1", "1", "2")
    fresh = cloud.call("PUT", f"/{box}/three", headers={"X-Copy-From": f"/{box}/o", "X-Fresh-Metadata": "true"})
    assert fresh.status == 201
    assert "x-object-meta-a" not in cloud.call("HEAD", f"/{box}/three").headers
    assert cloud.call("COPY", f"/{box}/o", headers={"Destination": "nowhere"}).status == 412
    assert cloud.call("COPY", f"/{box}/o", headers={"Destination": "nowhere/o"}).status == 404
    assert cloud.call("COPY", f"/{box}/missing", headers={"Destination": f"{box}/x"}).status == 404


def test_expiry(cloud, box):
    for value in ("x", "1", str(int(time.time()) - 5)):
        assert cloud.call("PUT", f"/{box}/o", b"1", {"X-Delete-At": value}).status == 400
    later = str(int(time.time()) + 1000)
    assert cloud.call("PUT", f"/{box}/o", b"1", {"X-Delete-At": later}).status == 201
    assert cloud.call("HEAD", f"/{box}/o").headers["x-delete-at"] == later
    cloud.call("POST", f"/{box}/o", headers={"X-Delete-After": "50"})
    assert int(cloud.call("HEAD", f"/{box}/o").headers["x-delete-at"]) < int(later)


def test_length_is_required_and_bounded(cloud, box):
    import socket

    with socket.create_connection(("127.0.0.1", cloud.port)) as raw:
        raw.sendall(f"PUT /v1/AUTH_p1/{box}/o HTTP/1.1\r\nHost: x\r\nX-Auth-Token: operator\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 411 ")
    with socket.create_connection(("127.0.0.1", cloud.port)) as raw:
        head = f"PUT /v1/AUTH_p1/{box}/o HTTP/1.1\r\nHost: x\r\nX-Auth-Token: operator\r\n"
        raw.sendall(f"{head}Content-Length: {6 << 30}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_delete(cloud, box):
    cloud.call("PUT", f"/{box}/o", b"1")
    assert cloud.call("DELETE", f"/{box}/o").status == 204
    assert cloud.call("DELETE", f"/{box}/o").status == 404
    assert cloud.call("GET", f"/{box}/o").status == 404


def test_every_answer_carries_a_transaction_id(cloud, box):
    import re

    for path in ("", f"/{box}", f"/{box}/missing"):
        answer = cloud.call("GET", path)
        assert re.fullmatch(r"tx[0-9a-f]{21}-[0-9a-f]{10}", answer.headers["x-trans-id"])
        assert "date" in answer.headers
