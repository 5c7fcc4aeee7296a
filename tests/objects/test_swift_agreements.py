"""Small print of Swift's own functional tests, where this door once answered otherwise."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from swift_client import Cloud

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def put(cloud: Cloud, path: str, body: bytes = b"", **headers: str):
    answer = cloud.call("PUT", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status == 201, answer.body
    return answer


def versions(cloud: Cloud, box: str, query: str = "") -> list[tuple[str, str, bool]]:
    listed = cloud.call("GET", f"/{box}?versions&format=json{query}").json
    return [(entry["name"], entry["version_id"], entry["is_latest"]) for entry in listed]


def test_versions_in_reverse_are_the_same_the_other_way_round(cloud, box):
    assert cloud.call("POST", f"/{box}", headers={"X-Versions-Enabled": "true"}).status == 204
    for name in ("a", "b", "b", "b", "c"):
        put(cloud, f"/{box}/{name}", name.encode())
    cloud.call("DELETE", f"/{box}/c")
    forward = versions(cloud, box)
    assert len(forward) == 6
    assert versions(cloud, box, "&reverse=on") == forward[::-1]
    name, version, _ = forward[2]  # the middle version of b
    marker = f"&marker={name}&version_marker={quote(version)}"
    assert versions(cloud, box, marker) == forward[3:]
    assert versions(cloud, box, f"{marker}&reverse=on") == forward[:2][::-1]
    pages, last = [], ""
    while page := versions(cloud, box, f"&reverse=on&limit=2{last}"):
        pages += page
        last = f"&marker={page[-1][0]}&version_marker={quote(page[-1][1])}"
    assert pages == forward[::-1]


@pytest.mark.parametrize(("query", "accept"), [("&format=xml", ""), ("&format=plain", ""), ("", "text/plain")])
def test_versions_are_listed_in_json_only(cloud, box, query, accept):
    assert cloud.call("GET", f"/{box}?versions{query}", headers={"Accept": accept} if accept else {}).status == 406


def test_older_versions_are_the_owners_and_outlive_their_expiry(cloud, box):
    cloud.call("POST", f"/{box}", headers={"X-Versions-Enabled": "true", "X-Container-Read": "p2:*"})
    version = put(cloud, f"/{box}/key", b"data").headers["x-object-version-id"]
    assert cloud.call("GET", f"/{box}/key", token="other").status == 200
    assert cloud.call("GET", f"/{box}/key?version-id={version}", token="other").status == 403
    assert cloud.call("GET", f"/{box}/key?version-id={version}").body == b"data"


def test_a_post_to_a_link_is_kept_at_the_link(cloud, box):
    put(cloud, f"/{box}/target", b"data")
    put(cloud, f"/{box}/link", X_Symlink_Target=f"{box}/target")
    moved = cloud.call("POST", f"/{box}/link", headers={"X-Object-Meta-Colour": "red", "Content-Type": "text/x-link"})
    assert moved.status == 307 and moved.headers["location"] == f"/v1/AUTH_p1/{box}/target"
    assert cloud.call("HEAD", f"/{box}/link?symlink=get").headers["x-object-meta-colour"] == "red"
    assert "x-object-meta-colour" not in cloud.call("HEAD", f"/{box}/target").headers
    listed = {entry["name"]: entry for entry in cloud.call("GET", f"/{box}?format=json").json}
    assert listed["link"]["content_type"] == "text/x-link"


def test_static_links_name_what_they_point_at_even_links(cloud, box):
    etag = put(cloud, f"/{box}/target", b"data").headers["etag"]
    put(cloud, f"/{box}/dynamic", X_Symlink_Target=f"{box}/target")
    put(cloud, f"/{box}/static", X_Symlink_Target=f"{box}/target", X_Symlink_Target_Etag=etag)
    put(cloud, f"/{box}/to-dynamic", X_Symlink_Target=f"{box}/dynamic", X_Symlink_Target_Etag=EMPTY_MD5)
    put(cloud, f"/{box}/to-static", X_Symlink_Target=f"{box}/static", X_Symlink_Target_Etag=etag)
    for name in ("static", "to-dynamic", "to-static"):
        assert cloud.call("GET", f"/{box}/{name}").body == b"data"
    put(cloud, f"/{box}/slo?multipart-manifest=put", json.dumps([{"path": f"/{box}/target"}]).encode())
    manifest = cloud.call("HEAD", f"/{box}/slo")
    refused = {"X-Symlink-Target": f"{box}/slo", "X-Symlink-Target-Etag": manifest.headers["etag"]}
    assert cloud.call("PUT", f"/{box}/to-slo", b"", refused).status == 409
    put(
        cloud,
        f"/{box}/to-slo",
        X_Symlink_Target=f"{box}/slo",
        X_Symlink_Target_Etag=manifest.headers["x-manifest-etag"],
    )
    assert cloud.call("GET", f"/{box}/to-slo").body == b"data"


def test_conditions_of_writes(cloud, box):
    assert cloud.call("PUT", f"/{box}/key", b"x", {"If-None-Match": '"abc"'}).status == 400
    put(cloud, f"/{box}/key", b"x", If_None_Match="*")
    assert cloud.call("PUT", f"/{box}/key", b"x", {"If-None-Match": "*"}).status == 412
    put(cloud, f"/{box}/expiring", b"x", X_Delete_At="4102444800")
    assert cloud.call("DELETE", f"/{box}/expiring", headers={"X-If-Delete-At": "soon"}).status == 400
    assert cloud.call("DELETE", f"/{box}/expiring", headers={"X-If-Delete-At": "4102444801"}).status == 412
    assert cloud.call("DELETE", f"/{box}/expiring", headers={"X-If-Delete-At": "4102444800"}).status == 204


def test_large_objects_in_parts(cloud, box):
    for number in (1, 2):
        put(cloud, f"/{box}/seg/{number}", b"%d" % number * 10)
    put(cloud, f"/{box}/dlo", X_Object_Manifest=f"{box}/seg/")
    whole = cloud.call("GET", f"/{box}/dlo", headers={"Range": "bytes=0-1,4-5"})
    assert (whole.status, len(whole.body)) == (200, 20)
    paths = [{"path": f"/{box}/seg/{number}"} for number in (1, 2)]
    put(cloud, f"/{box}/slo?multipart-manifest=put", json.dumps(paths).encode())
    assert cloud.call("COPY", f"/{box}/slo?part-number=2", headers={"Destination": f"{box}/copy"}).status == 201
    assert cloud.call("GET", f"/{box}/copy").body == b"2" * 10
    beyond = cloud.call("GET", f"/{box}/slo?part-number=3")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */20")
    assert beyond.body == b"The requested part number is not satisfiable"
    assert cloud.call("GET", f"/{box}/slo?part-number=0").body == b"Part number must be an integer greater than 0"


def test_bulk_delete_by_any_path(cloud, box):
    put(cloud, f"/{box}/key", b"x")
    body = f"{box}/key".encode()
    headers = {"Content-Type": "text/plain", "Accept": "application/json"}
    done = cloud.call("DELETE", f"/{box}/key?bulk-delete", body, headers)
    assert (done.status, done.json["Number Deleted"]) == (200, 1)


def test_a_site_sends_directories_that_are_objects_to_their_slash(cloud, box):
    cloud.call(
        "POST", f"/{box}", headers={"X-Container-Read": ".r:*,.rlistings", "X-Container-Meta-Web-Listings": "true"}
    )
    put(cloud, f"/{box}/dir", Content_Type="application/directory")
    put(cloud, f"/{box}/dir/page", b"hello")
    moved = cloud.call("GET", f"/{box}/dir", token=None)
    assert moved.status == 301 and moved.headers["location"].endswith(f"/{box}/dir/")
