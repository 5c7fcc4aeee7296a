"""What goes beyond plain objects: SLO, DLO, versions, links, signed addresses, forms, sites, bulk, quotas, ACLs,
CORS."""

import hashlib
import hmac
import io
import json
import tarfile
import time

import pytest


def md5(data):
    return hashlib.md5(data).hexdigest()


def put(cloud, path, data=b"", **headers):
    answer = cloud.call("PUT", path, data, {name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status in (201, 202), (answer.status, answer.body)
    return answer


# large objects


@pytest.fixture
def segments(cloud, box):
    parts = [b"a" * 1000, b"b" * 300_000, b"c" * 7]
    for number, part in enumerate(parts):
        put(cloud, f"/{box}/seg/{number}", part)
    return parts


def manifest(box, parts):
    return json.dumps(
        [{"path": f"/{box}/seg/{n}", "etag": md5(part), "size_bytes": len(part)} for n, part in enumerate(parts)]
    ).encode()


def test_static_large_object(cloud, box, segments):
    whole = b"".join(segments)
    made = cloud.call("PUT", f"/{box}/slo?multipart-manifest=put", manifest(box, segments))
    etag = '"' + md5("".join(md5(part) for part in segments).encode()) + '"'
    assert (made.status, made.headers["etag"]) == (201, etag)
    got = cloud.call("GET", f"/{box}/slo")
    assert (got.body, got.headers["etag"], got.headers["x-static-large-object"]) == (whole, etag, "True")
    assert got.headers["content-length"] == str(len(whole))
    ranged = cloud.call("GET", f"/{box}/slo", headers={"Range": "bytes=990-1009"})
    assert (ranged.status, ranged.body) == (206, whole[990:1010])
    several = cloud.call("GET", f"/{box}/slo", headers={"Range": "bytes=0-1,998-1001"})
    assert several.status == 206 and b"aabb" in several.body
    shown = cloud.call("GET", f"/{box}/slo?multipart-manifest=get").json
    assert [part["bytes"] for part in shown] == [1000, 300_000, 7]
    copied = cloud.call("COPY", f"/{box}/slo", headers={"Destination": f"{box}/plain"})
    assert copied.status == 201
    assert cloud.call("GET", f"/{box}/plain").headers["etag"] == md5(whole)
    listed = {entry["name"]: entry for entry in cloud.call("GET", f"/{box}?format=json").json}
    assert listed["slo"]["slo_etag"] == etag and listed["slo"]["bytes"] == len(whole)


def test_a_version_of_a_large_object_is_deleted_with_its_segments(cloud, box, segments):
    cloud.call("PUT", f"/{box}-v", headers={"X-Versions-Enabled": "true"})
    made = cloud.call("PUT", f"/{box}-v/slo?multipart-manifest=put", manifest(box, segments))
    version = made.headers["x-object-version-id"]
    deleted = cloud.call("DELETE", f"/{box}-v/slo?multipart-manifest=delete&version-id={version}")
    assert deleted.status == 200 and b"Number Deleted: 4" in deleted.body
    assert cloud.call("GET", f"/{box}-v?versions").json == []
    assert cloud.call("GET", f"/{box}").status == 204


def test_a_changed_segment_breaks_the_large_object(cloud, box, segments):
    cloud.call("PUT", f"/{box}/slo?multipart-manifest=put", manifest(box, segments))
    put(cloud, f"/{box}/seg/0", b"other")
    assert cloud.call("GET", f"/{box}/slo").status == 409


def test_nested_manifests_ranges_and_inline_data(cloud, box, segments):
    cloud.call("PUT", f"/{box}/inner?multipart-manifest=put", manifest(box, segments))
    body = [{"path": f"/{box}/inner", "range": "998-1001"}, {"data": "aGk="}, {"path": f"/{box}/inner"}]
    made = cloud.call("PUT", f"/{box}/outer?multipart-manifest=put", json.dumps(body).encode())
    assert made.status == 201, made.body
    assert cloud.call("GET", f"/{box}/outer").body == b"aabbhi" + b"".join(segments)
    deleted = cloud.call("DELETE", f"/{box}/outer?multipart-manifest=delete", headers={"Accept": "application/json"})
    assert deleted.json["Number Deleted"] == 5
    assert cloud.call("GET", f"/{box}").status == 204


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not json", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'[{"path": "x"}]', 400),
        (b'[{"data": "!"}]', 400),
        (b'[{"path": "/missing/object"}]', 400),
        (b'[{"path": "/a/b", "wrong": 1}]', 400),
        (b"[1]", 400),
        (b'[{"path": "/a/b", "size_bytes": "x"}]', 400),
    ],
)
def test_bad_manifests(cloud, box, body, status):
    assert cloud.call("PUT", f"/{box}/slo?multipart-manifest=put", body).status == status


def test_wrong_facts_in_a_manifest_are_named(cloud, box, segments):
    body = [{"path": f"/{box}/seg/0", "etag": "wrong"}, {"path": f"/{box}/seg/1", "size_bytes": 5}]
    headers = {"Accept": "application/json"}
    refused = cloud.call("PUT", f"/{box}/slo?multipart-manifest=put", json.dumps(body).encode(), headers)
    assert refused.status == 400
    assert [error[1] for error in refused.json["Errors"]] == ["Etag Mismatch", "Size Mismatch"]


def test_dynamic_large_object(cloud, box, segments):
    put(cloud, f"/{box}/dlo", b"", X_Object_Manifest=f"{box}/seg/")
    got = cloud.call("GET", f"/{box}/dlo")
    assert got.body == b"".join(segments)
    assert got.headers["x-object-manifest"] == f"{box}/seg/"
    assert cloud.call("GET", f"/{box}/dlo", headers={"Range": "bytes=-3"}).body == b"ccc"
    assert cloud.call("GET", f"/{box}/dlo?multipart-manifest=get").body == b""
    assert cloud.call("PUT", f"/{box}/dlo", headers={"X-Object-Manifest": "nothing"}).status == 400


# versions


def test_versions_of_the_newer_kind(cloud, box):
    put(cloud, f"/{box}/o", b"null")
    assert cloud.call("POST", f"/{box}", headers={"X-Versions-Enabled": "true"}).status == 204
    first = put(cloud, f"/{box}/o", b"first").headers["x-object-version-id"]
    put(cloud, f"/{box}/o", b"second")
    assert cloud.call("DELETE", f"/{box}/o").status == 204
    assert cloud.call("GET", f"/{box}/o").status == 404
    assert cloud.call("GET", f"/{box}/o?version-id={first}").body == b"first"
    assert cloud.call("GET", f"/{box}/o?version-id=null").body == b"null"
    listed = cloud.call("GET", f"/{box}?versions&format=json").json
    assert [entry["is_latest"] for entry in listed] == [True, False, False, False]
    assert listed[0]["content_type"].startswith("application/x-deleted")
    assert cloud.call("PUT", f"/{box}/o?version-id={first}").status == 201
    assert cloud.call("GET", f"/{box}/o").body == b"first"
    assert cloud.call("DELETE", f"/{box}/o?version-id={first}").status == 204
    assert cloud.call("GET", f"/{box}/o?version-id={first}").status == 404
    assert cloud.call("GET", f"/{box}/o?version-id=x").status == 400
    assert cloud.call("DELETE", f"/{box}").status == 409


@pytest.mark.parametrize("mode", ["X-Versions-Location", "X-History-Location"])
def test_versions_of_the_older_kind(cloud, box, mode):
    put(cloud, f"/{box}-old")
    assert cloud.call("POST", f"/{box}", headers={mode: f"{box}-old"}).status == 204
    assert cloud.call("HEAD", f"/{box}").headers[mode.lower()] == f"{box}-old"
    put(cloud, f"/{box}/o", b"1")
    put(cloud, f"/{box}/o", b"2")
    assert len(cloud.call("GET", f"/{box}-old").lines) == 1
    assert cloud.call("DELETE", f"/{box}/o").status == 204
    after = cloud.call("GET", f"/{box}/o")
    assert (after.status, after.body if after.status == 200 else b"") == (
        (200, b"1") if mode == "X-Versions-Location" else (404, b"")
    )
    assert cloud.call("POST", f"/{box}", headers={"X-Versions-Enabled": "true"}).status == 400


# links


def test_links(cloud, box):
    etag = put(cloud, f"/{box}/target", b"data").headers["etag"]
    put(cloud, f"/{box}/link", X_Symlink_Target=f"{box}/target")
    got = cloud.call("GET", f"/{box}/link")
    assert (got.body, got.headers["content-location"]) == (b"data", f"/v1/AUTH_p1/{box}/target")
    itself = cloud.call("GET", f"/{box}/link?symlink=get")
    assert (itself.body, itself.headers["x-symlink-target"]) == (b"", f"{box}/target")
    wrong = {"X-Symlink-Target": f"{box}/target", "X-Symlink-Target-Etag": "x"}
    assert cloud.call("PUT", f"/{box}/static", headers=wrong).status == 409
    put(cloud, f"/{box}/static", X_Symlink_Target=f"{box}/target", X_Symlink_Target_Etag=etag)
    put(cloud, f"/{box}/target", b"other")
    assert cloud.call("GET", f"/{box}/static").status == 409
    put(cloud, f"/{box}/loop", X_Symlink_Target=f"{box}/pool")
    put(cloud, f"/{box}/pool", X_Symlink_Target=f"{box}/loop")
    assert cloud.call("GET", f"/{box}/loop").status == 409
    assert cloud.call("POST", f"/{box}/link").status == 307
    assert cloud.call("DELETE", f"/{box}/link").status == 204
    assert cloud.call("GET", f"/{box}/target").status == 200


# signed addresses


@pytest.fixture
def key(cloud):
    cloud.call("POST", "", headers={"X-Account-Meta-Temp-Url-Key": "secret"})
    return b"secret"


def signed(key, method, path, algorithm="sha256", expires=None, prefix="", address=""):
    expires = int(time.time()) + 100 if expires is None else expires
    text = f"{method}\n{expires}\n{prefix}{path}"
    if address:
        text = f"ip={address}\n{text}"
    signature = hmac.new(key, text.encode(), algorithm).hexdigest()
    return f"temp_url_sig={signature}&temp_url_expires={expires}"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_temporary_address(cloud, box, key, algorithm):
    put(cloud, f"/{box}/o", b"data")
    path = f"/v1/AUTH_p1/{box}/o"
    query = signed(key, "GET", path, algorithm)
    got = cloud.call("GET", f"{path}?{query}", token=None, raw=True)
    assert (got.status, got.body) == (200, b"data")
    assert got.headers["content-disposition"].startswith('attachment; filename="o"')
    assert cloud.call("HEAD", f"{path}?{query}", token=None, raw=True).status == 200
    assert cloud.call("GET", f"/object-store{path}?{query}", token=None, raw=True).status == 200
    assert cloud.call("DELETE", f"{path}?{query}", token=None, raw=True).status == 401
    assert cloud.call("GET", f"{path}2?{query}", token=None, raw=True).status == 401
    old = signed(key, "GET", path, algorithm, expires=100)
    assert cloud.call("GET", f"{path}?{old}", token=None, raw=True).status == 401


def test_temporary_address_of_a_prefix_and_for_an_address(cloud, box, key):
    put(cloud, f"/{box}/dir/o", b"data")
    path = f"/v1/AUTH_p1/{box}/"
    query = signed(key, "GET", path + "dir/", prefix="prefix:") + "&temp_url_prefix=dir/"
    assert cloud.call("GET", f"{path}dir/o?{query}", token=None, raw=True).body == b"data"
    assert cloud.call("GET", f"{path}other?{query}", token=None, raw=True).status == 401
    for address, status in (("127.0.0.0/8", 200), ("10.0.0.1", 401)):
        query = signed(key, "GET", f"{path}dir/o", address=address) + f"&temp_url_ip_range={address}"
        assert cloud.call("GET", f"{path}dir/o?{query}", token=None, raw=True).status == status
    query = signed(key, "PUT", f"{path}new")
    assert cloud.call("PUT", f"{path}new?{query}", b"x", token=None, raw=True).status == 201
    pointing = {"X-Object-Manifest": f"{box}/x"}
    assert cloud.call("PUT", f"{path}new?{query}", b"", pointing, token=None, raw=True).status == 400


def form(key, path, files, max_file_size=1000, max_file_count=2, expires=None, redirect="", path_signed=None):
    expires = int(time.time()) + 100 if expires is None else expires
    text = f"{path_signed or path}\n{redirect}\n{max_file_size}\n{max_file_count}\n{expires}"
    fields = {
        "redirect": redirect,
        "max_file_size": max_file_size,
        "max_file_count": max_file_count,
        "expires": expires,
        "signature": hmac.new(key, text.encode(), "sha256").hexdigest(),
    }
    body = b""
    for name, value in fields.items():
        body += f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for number, (name, data) in enumerate(files):
        body += f'--XX\r\nContent-Disposition: form-data; name="f{number}"; filename="{name}"\r\n'.encode()
        body += b"Content-Type: text/plain\r\n\r\n" + data + b"\r\n"
    return body + b"--XX--\r\n"


def test_forms(cloud, box, key):
    path = f"/v1/AUTH_p1/{box}/up-"
    kind = {"Content-Type": "multipart/form-data; boundary=XX"}

    def post(body):
        return cloud.call("POST", path, body, kind, token=None, raw=True)

    made = post(form(key, path, [("one", b"11\r\n--X"), ("two", b"22")]))
    assert made.status == 201, made.body
    assert cloud.call("GET", f"/{box}/up-one").body == b"11\r\n--X"
    assert cloud.call("GET", f"/{box}/up-two").headers["content-type"] == "text/plain"
    assert post(form(key, path, [("x", b"1")], expires=5)).status == 401
    assert post(form(b"wrong", path, [("x", b"1")])).status == 401
    assert post(form(key, path, [("x", b"1" * 1001)])).status == 400
    assert post(form(key, path, [("x", b"1")] * 3)).status == 400
    assert post(b"garbage").status == 400
    moved = post(form(key, path, [("x", b"1")], redirect="https://example.org/done"))
    assert (moved.status, moved.headers["location"]) == (303, "https://example.org/done?status=201&message=")


# sites


def test_static_site(cloud, box):
    headers = {"X-Container-Read": ".r:*,.rlistings", "X-Container-Meta-Web-Index": "index.html"}
    cloud.call("POST", f"/{box}", headers=headers | {"X-Container-Meta-Web-Error": "error.html"})
    put(cloud, f"/{box}/index.html", b"home")
    put(cloud, f"/{box}/404error.html", b"lost")
    put(cloud, f"/{box}/sub/page", b"page")
    get = lambda path: cloud.call("GET", f"/{box}{path}", token=None)  # noqa: E731
    assert get("").status == 301
    assert get("/").body == b"home"
    assert (get("/none").status, get("/none").body) == (404, b"lost")
    assert get("/sub").headers["location"].endswith("/sub/")
    assert get("/sub/").status == 404
    cloud.call("POST", f"/{box}", headers={"X-Container-Meta-Web-Listings": "true"})
    listing = get("/sub/")
    assert listing.status == 200 and b'href="./page"' in listing.body
    assert cloud.call("GET", f"/{box}?format=json").json[0]["name"] == "404error.html"


# bulk


def test_archives_are_unpacked(cloud, box):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, size in (("a", 3), ("dir/b", 300_000), ("../../etc/passwd", 1)):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(b"x" * size))
    headers = {"Accept": "application/json"}
    answer = cloud.call("PUT", f"/{box}?extract-archive=tar.gz", raw.getvalue(), headers)
    assert (answer.status, answer.json["Number Files Created"]) == (200, 3), answer.body
    assert cloud.call("GET", f"/{box}/dir/b").body == b"x" * 300_000
    broken = cloud.call("PUT", f"/{box}?extract-archive=tar", b"no archive", headers)
    assert broken.json["Response Status"].startswith("400")


def test_lists_are_deleted(cloud, box):
    for name in ("a", "b c"):
        put(cloud, f"/{box}/{name.replace(' ', '%20')}", b"1")
    body = f"/{box}/a\n{box}/b%20c\n/{box}/none\n{box}\n".encode()
    headers = {"Accept": "application/json", "Content-Type": "text/plain"}
    answer = cloud.call("POST", "?bulk-delete", body, headers)
    assert (answer.json["Number Deleted"], answer.json["Number Not Found"], answer.json["Errors"]) == (3, 1, [])
    assert cloud.call("HEAD", f"/{box}").status == 404


# limits and rights


def test_quotas(cloud, box):
    assert cloud.call("POST", f"/{box}", headers={"X-Container-Meta-Quota-Bytes": "x"}).status == 400
    cloud.call("POST", f"/{box}", headers={"X-Container-Meta-Quota-Bytes": "10", "X-Container-Meta-Quota-Count": "2"})
    assert cloud.call("PUT", f"/{box}/o", b"x" * 11).status == 413
    assert cloud.call("PUT", f"/{box}/o", b"x" * 10).status == 201
    assert cloud.call("PUT", f"/{box}/o", b"x" * 9).status == 201
    assert cloud.call("PUT", f"/{box}/p", b"").status == 201
    assert cloud.call("PUT", f"/{box}/q", b"").status == 413
    assert cloud.call("POST", "", headers={"X-Account-Quota-Bytes": "1"}).status == 403
    assert cloud.call("POST", "", headers={"X-Account-Quota-Bytes": "1"}, token="reseller").status == 204
    assert cloud.call("PUT", f"/{box}-2").status == 201
    assert cloud.call("PUT", f"/{box}-2/o", b"x").status == 413
    assert cloud.call("POST", "", headers={"X-Account-Quota-Bytes": ""}, token="reseller").status == 204
    assert cloud.call("PUT", f"/{box}-2/o", b"x").status == 201


@pytest.mark.parametrize(
    ("acl", "token", "referer", "status"),
    [
        ("", None, "", 401),
        ("", "other", "", 403),
        ("", "roleless", "", 403),
        ("", "reader", "", 200),
        ("", "wrong", "", 401),
        (".r:*", None, "", 200),
        (".r:*,.r:-evil.org", None, "http://evil.org/x", 401),
        (".r:.good.org", None, "http://www.good.org/x", 200),
        (".r:.good.org", None, "http://www.bad.org/x", 401),
        ("p2:bob-id", "other", "", 200),
        ("p2:*", "other", "", 200),
        ("*:bob-id", "other", "", 200),
        ("p2-name:bob", "other", "", 200),
        ("p3:*", "other", "", 403),
    ],
)
def test_who_may_read(cloud, box, acl, token, referer, status):
    put(cloud, f"/{box}/o", b"1")
    assert cloud.call("POST", f"/{box}", headers={"X-Container-Read": acl}).status == 204
    headers = {"Referer": referer} if referer else {}
    assert cloud.call("GET", f"/{box}/o", headers=headers, token=token).status == status
    if status != 200 or token != "reader":
        assert cloud.call("PUT", f"/{box}/o", b"2", token=token).status in (401, 403)


def test_who_may_write(cloud, box):
    assert cloud.call("PUT", f"/{box}/o", b"1", token="other").status == 403
    cloud.call("POST", f"/{box}", headers={"X-Container-Write": "p2:bob-id"})
    assert cloud.call("PUT", f"/{box}/o", b"1", token="other").status == 201
    assert cloud.call("GET", f"/{box}/o", token="other").status == 403
    assert cloud.call("POST", f"/{box}", headers={"X-Container-Read": "*:*"}, token="other").status == 403
    assert cloud.call("DELETE", f"/{box}", token="other").status == 403
    assert cloud.call("POST", f"/{box}", headers={"X-Container-Write": ".r:*"}).status == 400
    assert "x-container-write" not in cloud.call("HEAD", f"/{box}", token="reader").headers


def test_account_acl(cloud, box):
    assert cloud.call("POST", "", headers={"X-Account-Access-Control": "{"}).status == 400
    acl = json.dumps({"read-only": ["p2"]})
    assert cloud.call("POST", "", headers={"X-Account-Access-Control": acl}).status == 204
    assert cloud.call("GET", "", token="other").status == 200
    assert cloud.call("PUT", f"/{box}/o", b"", token="other").status == 403
    cloud.call("POST", "", headers={"X-Account-Access-Control": json.dumps({"read-write": ["bob-id"]})})
    assert cloud.call("PUT", f"/{box}/o", b"", token="other").status == 201
    assert cloud.call("POST", "", headers={"X-Account-Meta-A": "1"}, token="other").status == 403
    assert cloud.call("POST", "", headers={"X-Account-Access-Control": ""}).status == 204
    assert cloud.call("GET", "", token="other").status == 403


def test_signing_keys_are_hidden(cloud, box, key):
    assert cloud.call("HEAD", "").headers["x-account-meta-temp-url-key"] == "secret"
    assert "x-account-meta-temp-url-key" not in cloud.call("HEAD", "", token="reader").headers


def test_cross_origin(cloud, box):
    put(cloud, f"/{box}/o", b"1")
    ask = {"Origin": "http://a.org", "Access-Control-Request-Method": "GET"}
    assert cloud.call("OPTIONS", f"/{box}/o", headers=ask, token=None).status == 401
    cloud.call("POST", f"/{box}", headers={"X-Container-Meta-Access-Control-Allow-Origin": "http://a.org"})
    allowed = cloud.call("OPTIONS", f"/{box}/o", headers=ask, token=None)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "http://a.org")
    got = cloud.call("GET", f"/{box}/o", headers={"Origin": "http://a.org"})
    assert got.headers["access-control-allow-origin"] == "http://a.org"
    other = cloud.call("GET", f"/{box}/o", headers={"Origin": "http://b.org"})
    assert "access-control-allow-origin" not in other.headers


def test_container_synchronisation_is_refused(cloud, box):
    assert cloud.call("POST", f"/{box}", headers={"X-Container-Sync-To": "//a/b/c/d"}).status == 400


def test_what_lies_outside_accounts(cloud):
    assert "swift" in cloud.call("GET", "/info", token=None, raw=True).json
    assert cloud.call("GET", "/healthcheck", token=None, raw=True).body == b"OK"
    assert b"cross-domain-policy" in cloud.call("GET", "/crossdomain.xml", token=None, raw=True).body
    assert cloud.call("GET", "/nothing", token=None, raw=True).status == 404
    assert cloud.call("GET", "/v1/AUTH_p1/%FF", raw=True).status == 412
    assert cloud.call("GET", "/v1/AUTH_p1/a%00b", raw=True).status == 412


def test_application_credentials_keep_to_their_rules(cloud):
    cloud.call("PUT", "/open")
    cloud.call("PUT", "/open/o", b"1")
    assert cloud.call("GET", "/open/o", token="restricted").status == 200
    assert cloud.call("PUT", "/open/o", b"2", token="restricted").status == 403
    assert cloud.call("GET", "", token="restricted").status == 403


def test_parts_of_a_large_object_by_number(cloud, box, segments):
    cloud.call("PUT", f"/{box}/slo?multipart-manifest=put", manifest(box, segments))
    got = cloud.call("GET", f"/{box}/slo?part-number=3")
    assert (got.status, got.body, got.headers["x-parts-count"]) == (206, segments[2], "3")
    assert got.headers["content-range"] == f"bytes {301_000}-{301_006}/{301_007}"
    assert cloud.call("GET", f"/{box}/slo?part-number=4").status == 416
    assert cloud.call("GET", f"/{box}/slo?part-number=0").status == 400


def test_a_segment_may_be_a_link(cloud, box, segments):
    put(cloud, f"/{box}/link", X_Symlink_Target=f"{box}/seg/0")
    body = json.dumps([{"path": f"/{box}/link"}]).encode()
    assert cloud.call("PUT", f"/{box}/slo?multipart-manifest=put", body).status == 201
    assert cloud.call("GET", f"/{box}/slo").body == segments[0]


def test_deleting_what_never_was_leaves_a_marker(cloud, box):
    cloud.call("POST", f"/{box}", headers={"X-Versions-Enabled": "true"})
    gone = cloud.call("DELETE", f"/{box}/never")
    assert gone.status == 404 and gone.headers["x-object-version-id"]
    assert len(cloud.call("GET", f"/{box}?versions").json) == 1


def test_a_containers_key_does_not_open_others(cloud, box):
    cloud.call("PUT", f"/{box}-secret")
    put(cloud, f"/{box}-secret/s", b"secret")
    put(cloud, f"/{box}/dlo", X_Object_Manifest=f"{box}-secret/s")
    put(cloud, f"/{box}/link", X_Symlink_Target=f"{box}-secret/s")
    put(cloud, f"/{box}/slo?multipart-manifest=put", json.dumps([{"path": f"/{box}-secret/s"}]).encode())
    cloud.call("POST", f"/{box}", headers={"X-Container-Meta-Temp-Url-Key": "narrow"})
    for name in ("dlo", "link", "slo"):
        path = f"/v1/AUTH_p1/{box}/{name}"
        got = cloud.call("GET", f"{path}?{signed(b'narrow', 'GET', path)}", token=None, raw=True)
        assert got.status in (401, 409) and b"secret" not in got.body.lower().replace(box.encode() + b"-secret", b"")


def test_part_of_an_object_is_copied(cloud, box):
    put(cloud, f"/{box}/o", b"0123456789")
    copied = cloud.call("COPY", f"/{box}/o", headers={"Destination": f"{box}/p", "Range": "bytes=2-4"})
    assert copied.status == 201
    assert cloud.call("GET", f"/{box}/p").body == b"234"
