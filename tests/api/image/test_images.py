"""Images through the API: life, fields, patches, sharing, bytes."""

import hashlib
import os
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from image_cloud import Cloud


def test_create_upload_show_download_delete(cloud: Cloud) -> None:
    answer = cloud.ask(
        "POST", "/v2/images", body={"name": "a", "disk_format": "raw", "container_format": "bare", "os_distro": "x"}
    )
    assert answer.status == 201
    image = answer.json
    image_id = image["id"]
    assert answer.headers["location"].endswith(f"/image/v2/images/{image_id}")
    assert (image["status"], image["owner"], image["visibility"], image["os_distro"], image["locations"]) == (
        "queued", "p1", "shared", "x", [])  # fmt: skip
    assert image["created_at"] == "2023-11-14T22:13:20Z"
    empty = cloud.ask("GET", f"/v2/images/{image_id}/file")
    assert (empty.status, empty.body) == (204, b"")

    data = os.urandom(3_000_000)
    assert cloud.upload(image_id, [data[i : i + 65536] for i in range(0, len(data), 65536)]).status == 204
    image = cloud.show(image_id)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), len(data))
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    assert [one["url"] for one in image["locations"]] == [f"bivouac://local/{image_id}"]

    got = cloud.ask("GET", f"/v2/images/{image_id}/file")
    assert (got.status, got.body) == (200, data)
    assert got.headers["content-length"] == str(len(data))
    assert got.headers["content-md5"] == image["checksum"]
    assert got.headers["content-type"] == "application/octet-stream"

    assert cloud.upload(image_id).status == 409
    assert cloud.ask("DELETE", f"/v2/images/{image_id}").status == 204
    for method in ("GET", "DELETE", "PATCH"):
        media_type = "application/openstack-images-v2.1-json-patch"
        assert cloud.ask(method, f"/v2/images/{image_id}", body=[], media_type=media_type).status == 404


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-4", 206, (0, 5)),
        ("bytes=5-", 206, (5, 10)),
        ("bytes=-3", 206, (7, 10)),
        ("bytes=-99", 206, (0, 10)),
        ("bytes=8-99", 206, (8, 10)),
        ("bytes=0-1,3-4", 400, None),
        ("bytes=10-", 416, None),
        ("bytes=4-2", 416, None),
        ("bytes=-0", 416, None),
        ("lines=1-2", 416, None),
    ],
)
def test_ranges(cloud: Cloud, asked: str, status: int, span: tuple[int, int] | None) -> None:
    image_id = cloud.image()
    cloud.upload(image_id, b"0123456789")
    answer = cloud.ask("GET", f"/v2/images/{image_id}/file", range=asked)
    assert answer.status == status
    if span:
        assert answer.body == b"0123456789"[slice(*span)]
        assert answer.headers["content-length"] == str(span[1] - span[0])
    if status == 206 and span:
        assert answer.headers["content-range"] == f"bytes {span[0]}-{span[1] - 1}/10"


def test_ranges_as_older_clients_ask_for_them(cloud: Cloud) -> None:
    image_id = cloud.image()
    cloud.upload(image_id, b"0123456789")
    path = f"/v2/images/{image_id}/file"
    part = cloud.ask("GET", path, content_range="bytes 2-4/10")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert cloud.ask("GET", path, content_range="bytes 2-4/*").body == b"234"
    for bad in ("bytes 5-2/*", "bytes 2-10/*", "bytes */*"):
        assert cloud.ask("GET", path, content_range=bad).status == 416


def test_a_size_that_was_announced_is_held_to(cloud: Cloud) -> None:
    image_id = cloud.image()
    path = f"/v2/images/{image_id}/file"
    for size, said in (("9", "got 5"), ("4", "got more")):
        answer = cloud.ask(
            "PUT", path, body=b"bytes", media_type="application/octet-stream", x_openstack_image_size=size
        )
        assert (answer.status, said.encode() in answer.body) == (400, True)
        assert cloud.show(image_id)["status"] == "queued"
    assert os.listdir(cloud.service.blobs["local"].folder) == []
    right = cloud.ask("PUT", path, body=b"bytes", media_type="application/octet-stream", x_openstack_image_size="5")
    assert right.status == 204


def test_conditional_download(cloud: Cloud) -> None:
    image_id = cloud.image()
    cloud.upload(image_id, b"0123456789")
    tag = cloud.ask("GET", f"/v2/images/{image_id}/file").headers["etag"]
    same = cloud.ask("GET", f"/v2/images/{image_id}/file", if_none_match=tag)
    assert (same.status, same.body) == (304, b"")
    assert cloud.ask("GET", f"/v2/images/{image_id}/file", if_none_match='"x"').status == 200
    other = cloud.ask("GET", f"/v2/images/{image_id}/file", range="bytes=0-1", if_range='"x"')
    assert (other.status, len(other.body)) == (200, 10)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"container_format": "wrong"}, 400),
        ({"disk_format": "wrong"}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": 7}, 400),
        ({"min_disk": -1}, 400),
        ({"min_ram": True}, 400),
        ({"min_ram": 1 << 31}, 400),
        ({"visibility": "secret"}, 400),
        ({"protected": "yes"}, 400),
        ({"tags": "a"}, 400),
        ({"tags": ["a" * 256]}, 400),
        ({"id": "not-a-uuid"}, 400),
        ({"x": 1}, 400),
        ({"x": None}, 400),
        ({"x" * 256: "v"}, 400),
        ({"name": "a\0b"}, 400),
        ([], 400),
        ({"status": "active"}, 403),
        ({"checksum": "0" * 32}, 403),
        ({"self": "x"}, 403),
        ({"os_glance_foo": "x"}, 403),
        ({"deleted": "x"}, 403),
        ({"locations": []}, 403),
        ({"owner": "p2"}, 403),
        ({"visibility": "public"}, 403),
        ({"tags": [str(i) for i in range(200)]}, 413),
        ({str(i): "v" for i in range(200)}, 413),
        ({}, 201),
        ({"name": None, "visibility": "community", "min_disk": 3, "tags": ["b", "b"]}, 201),
        ({"name": "\U0001f3d5 a/b?c#d"}, 201),
    ],
)
def test_create_bodies(cloud: Cloud, body: Any, status: int) -> None:
    assert cloud.ask("POST", "/v2/images", body=body).status == status


def test_an_id_can_be_chosen_once(cloud: Cloud) -> None:
    chosen = str(uuid.uuid4())
    assert cloud.image(id=chosen) == chosen
    assert cloud.ask("POST", "/v2/images", body={"id": chosen}).status == 409


@pytest.mark.parametrize(
    ("changes", "status", "check"),
    [
        ([{"replace": "/name", "value": "b"}], 200, {"name": "b"}),
        ([{"op": "replace", "path": "/name", "value": "b"}], 200, {"name": "b"}),
        ([{"op": "add", "path": "/p", "value": "1"}, {"op": "replace", "path": "/p", "value": "2"}], 200, {"p": "2"}),
        ([{"add": "/p", "value": "1"}, {"remove": "/p"}], 200, {}),
        ([{"add": "/old", "value": "1"}], 409, {"old": "yes"}),
        ([{"op": "add", "path": "/old", "value": "1"}], 200, {"old": "1"}),
        ([{"op": "add", "path": "/a~1b~0", "value": "1"}], 200, {"a/b~": "1"}),
        ([{"op": "add", "path": "/x", "value": "1"}, {"op": "remove", "path": "/y"}], 409, {}),
        ([{"op": "replace", "path": "/x", "value": "1"}], 409, {}),
        ([{"op": "remove", "path": "/name"}], 403, {"name": "a"}),
        ([{"op": "replace", "path": "/status", "value": "active"}], 403, {"status": "queued"}),
        ([{"op": "add", "path": "/os_glance_foo", "value": "1"}], 403, {}),
        ([{"op": "replace", "path": "/owner", "value": "p2"}], 403, {"owner": "p1"}),
        ([{"op": "replace", "path": "/visibility", "value": "public"}], 403, {"visibility": "shared"}),
        ([{"op": "replace", "path": "/visibility", "value": "community"}], 200, {"visibility": "community"}),
        ([{"op": "replace", "path": "/tags", "value": ["a", "b", "a"]}], 200, {"tags": ["a", "b"]}),
        ([{"op": "replace", "path": "/protected", "value": "yes"}], 400, {"protected": False}),
        ([{"op": "replace", "path": "/p/q", "value": "1"}], 400, {}),
        ([{"op": "replace", "path": "name", "value": "1"}], 400, {}),
        ([{"op": "replace", "path": "/na~2me", "value": "1"}], 400, {}),
        ([{"op": "replace", "path": "/", "value": "1"}], 400, {}),
        ([{"op": "test", "path": "/name", "value": "1"}], 400, {}),
        ([{"op": "replace", "path": "/name"}], 400, {}),
        ([{"op": "replace", "path": 3, "value": "1"}], 400, {}),
        ([{"replace": "/name", "add": "/name", "value": "b"}], 400, {}),
        ([{"op": "add", "path": "/p", "value": 1}], 400, {}),
        ([{"op": "replace", "path": "/disk_format", "value": "qcow2"}], 200, {"disk_format": "qcow2"}),
        ([], 200, {}),
    ],
)
def test_patches(cloud: Cloud, changes: list[dict[str, Any]], status: int, check: dict[str, Any]) -> None:
    image_id = cloud.image(name="a", old="yes")
    old = not any("op" in one for one in changes) and bool(changes)
    answer = cloud.patch(image_id, *changes) if old else cloud.ask(
        "PATCH", f"/v2/images/{image_id}", body=changes, media_type="application/openstack-images-v2.1-json-patch"
    )  # fmt: skip
    assert answer.status == status, answer
    image = cloud.show(image_id)
    assert check.items() <= image.items()
    if status != 200:
        assert "x" not in image


def test_an_empty_id(cloud: Cloud) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        assert cloud.ask(method, "/v2/images/").status == 404
    assert cloud.ask("DELETE", "/v2/images").status == 405


def test_patch_media_type(cloud: Cloud) -> None:
    answer = cloud.ask("PATCH", f"/v2/images/{cloud.image()}", body=[], media_type="application/json")
    assert answer.status == 415
    assert "openstack-images-v2.1-json-patch" in answer.headers["accept-patch"]


def test_the_format_of_bytes_that_are_there_stays(cloud: Cloud) -> None:
    image_id = cloud.image()
    cloud.upload(image_id)
    assert cloud.patch(image_id, {"op": "replace", "path": "/disk_format", "value": "qcow2"}).status == 403
    assert cloud.patch(image_id, {"op": "replace", "path": "/disk_format", "value": "raw"}).status == 403


def test_protected_and_tags(cloud: Cloud) -> None:
    image_id = cloud.image(protected=True)
    assert cloud.ask("DELETE", f"/v2/images/{image_id}").status == 403
    assert cloud.ask("PUT", f"/v2/images/{image_id}/tags/a%2Fb").status == 204
    assert cloud.ask("PUT", f"/v2/images/{image_id}/tags/{'x' * 256}").status == 400
    assert cloud.show(image_id)["tags"] == ["a/b"]
    assert cloud.ask("DELETE", f"/v2/images/{image_id}/tags/a%2Fb").status == 204
    assert cloud.ask("DELETE", f"/v2/images/{image_id}/tags/a%2Fb").status == 404
    assert cloud.ask("PUT", f"/v2/images/{uuid.uuid4()}/tags/a").status == 404


def test_deactivate_and_reactivate(cloud: Cloud) -> None:
    image_id = cloud.image()
    assert cloud.ask("POST", f"/v2/images/{image_id}/actions/deactivate").status == 403
    cloud.upload(image_id)
    assert cloud.ask("POST", f"/v2/images/{image_id}/actions/deactivate").status == 204
    image = cloud.show(image_id)
    assert (image["status"], image["locations"], "stores" in image) == ("deactivated", [], False)
    assert cloud.show(image_id, "admin")["stores"] == "local"
    assert cloud.ask("GET", f"/v2/images/{image_id}/file").status == 403
    assert cloud.ask("GET", f"/v2/images/{image_id}/file", "admin").status == 200
    assert cloud.ask("POST", f"/v2/images/{image_id}/actions/reactivate").status == 204
    assert cloud.ask("GET", f"/v2/images/{image_id}/file").status == 200


def test_sharing(cloud: Cloud) -> None:
    image_id = cloud.image()
    path = f"/v2/images/{image_id}/members"
    assert cloud.ask("GET", f"/v2/images/{image_id}", "other").status == 404
    member = cloud.ask("POST", path, body={"member": "p2"})
    assert member.status == 200
    assert member.json["status"] == "pending"
    assert cloud.ask("POST", path, body={"member": "p2"}).status == 409
    for bad in ({}, {"member": ""}, {"member": 7}, []):
        assert cloud.ask("POST", path, body=bad).status == 400
    assert cloud.ask("GET", f"/v2/images/{image_id}", "other").status == 200

    def ids(query: str = "") -> list[str]:
        return [one["id"] for one in cloud.ask("GET", f"/v2/images{query}", "other").json["images"]]

    assert ids() == []
    assert ids("?member_status=pending&visibility=shared") == [image_id]
    assert cloud.show(image_id, "other")["locations"] == []
    for status in ("accepted", "maybe"):
        assert cloud.ask("PUT", f"{path}/p2", body={"status": status}).status == 403
    assert cloud.ask("PUT", f"{path}/p2", "other", body={"status": "maybe"}).status == 400
    assert cloud.ask("PUT", f"{path}/p2", "other", body={"status": "accepted"}).json["status"] == "accepted"
    assert ids() == [image_id]
    assert [one["member_id"] for one in cloud.ask("GET", path).json["members"]] == ["p2"]
    assert cloud.ask("GET", f"{path}/p2", "other").status == 200
    assert cloud.ask("GET", f"{path}/p3").status == 404
    assert cloud.ask("POST", path, "other", body={"member": "p3"}).status == 403
    assert cloud.ask("PATCH", f"/v2/images/{image_id}", "other", body=[{"replace": "/name", "value": "x"}],
                     media_type="application/openstack-images-v2.0-json-patch").status == 403  # fmt: skip
    assert cloud.ask("DELETE", f"{path}/p2", "other").status == 403
    assert cloud.ask("DELETE", f"{path}/p2").status == 204
    assert cloud.ask("GET", f"/v2/images/{image_id}", "other").status == 404
    private = cloud.image(visibility="private")
    assert cloud.ask("POST", f"/v2/images/{private}/members", body={"member": "p2"}).status == 403
    assert cloud.ask("GET", f"/v2/images/{private}/members/p2").status == 404


def test_who_sees_what(cloud: Cloud) -> None:
    made = {
        "public": cloud.image("admin", visibility="public"),
        "community": cloud.image(visibility="community"),
        "private": cloud.image(visibility="private"),
        "shared": cloud.image(visibility="shared"),
        "hidden": cloud.image("admin", visibility="public", os_hidden=True),
    }

    def seen(token: str, query: str = "") -> set[str]:
        listed = {one["id"] for one in cloud.ask("GET", f"/v2/images{query}", token).json["images"]}
        return {name for name, image_id in made.items() if image_id in listed}

    assert seen("member") == {"public", "community", "private", "shared"}
    assert seen("other") == {"public"}
    assert seen("other", "?visibility=community") == {"community"}
    assert seen("other", "?visibility=all") == {"public", "community"}
    assert seen("other", "?os_hidden=true") == {"hidden"}
    assert seen("admin") == {"public", "private", "shared"}
    assert seen("member", "?visibility=private") == {"private"}
    for name, image_id in made.items():
        expected = 404 if name in ("private", "shared") else 200
        assert cloud.ask("GET", f"/v2/images/{image_id}", "other").status == expected, name


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("a", {"a"}),
        ("a,b", {"a", "b"}),
        (' "c,d" , b ', {"c,d", "b"}),
        ('"a",zzz', {"a"}),
        (r'"e\"f"', {'e"f'}),
        ("", set()),
        ('"a"b', 400),
        ('"a', 400),
        ('a"b', 400),
        (" " * 60_000 + '"', 400),
        ("\\" * 60_000 + '"', 400),
        ('"' + "\\a" * 30_000, 400),
        ("," * 500, 400),
    ],
)
def test_filters_by_a_list(cloud: Cloud, listed: str, found: Any) -> None:
    """The long ones held the event loop for minutes once."""
    for name in ("a", "b", "c,d", 'e"f'):
        cloud.image(name=name)
    answer = cloud.ask("GET", f"/v2/images?name={quote('in:' + listed)}")
    assert answer.status == (found if isinstance(found, int) else 200), answer
    if answer.status == 200:
        assert {one["name"] for one in answer.json["images"]} == found


def test_uploads_that_fail_leave_a_queued_image_and_no_file(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(max_size_bytes=100_000)
    image_id = cloud.image()
    assert cloud.ask("PUT", f"/v2/images/{image_id}/file", body=b"x", media_type="text/plain").status == 415
    assert cloud.upload(image_id, [b"x" * 90_000, b"x" * 90_000]).status == 413
    assert cloud.show(image_id)["status"] == "queued"
    assert cloud.upload(image_id, [b"x" * 90_000, None]).status == 0
    assert cloud.show(image_id)["status"] == "queued"
    qcow2 = cloud.image(disk_format="qcow2")
    refused = cloud.upload(qcow2, b"not a qcow2")
    assert refused.status == 415
    assert b"qcow2 was claimed, and the contents are raw" in refused.body
    assert cloud.show(qcow2)["status"] == "queued"
    no_format = cloud.image(disk_format=None)
    assert cloud.upload(no_format).status == 400
    assert os.listdir(cloud.service.blobs["local"].folder) == []
    assert cloud.upload(image_id, b"x").status == 204


def test_versions(cloud: Cloud) -> None:
    for path, status in (("/", 300), ("", 300), ("/versions", 200), ("/v2/", 300)):
        answer = cloud.ask("GET", path, token="")
        assert answer.status == status
        assert {"id", "links", "status"} <= answer.json["versions"][0].keys()
        assert answer.json["versions"][0]["links"][0]["href"] == "http://cloud:5000/image/v2/"


@pytest.mark.parametrize("name", ["image", "images", "member", "members"])
def test_schemas(cloud: Cloud, name: str) -> None:
    assert cloud.ask("GET", f"/v2/schemas/{name}").json["name"] == name
    assert cloud.ask("GET", "/v2/schemas/none").status == 404
