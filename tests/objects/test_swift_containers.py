"""Swift's accounts and containers over HTTP: listings in three formats, metadata, limits, policies."""

import pytest


@pytest.fixture(scope="module")
def filled(cloud):
    cloud.call("PUT", "/filled")
    for name in ("a", "b/1", "b/2", "c&<", "d/e/f"):
        assert cloud.call("PUT", f"/filled/{name.replace('<', '%3C')}", name.encode()).status == 201
    return "filled"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "b/1", "b/2", "c&<", "d/e/f"]),
        ("reverse=on", ["d/e/f", "c&<", "b/2", "b/1", "a"]),
        ("limit=2", ["a", "b/1"]),
        ("limit=2&marker=b/1", ["b/2", "c&<"]),
        ("end_marker=b/2", ["a", "b/1"]),
        ("prefix=b", ["b/1", "b/2"]),
        ("delimiter=/", ["a", "b/", "c&<", "d/"]),
        ("delimiter=/&prefix=d/", ["d/e/"]),
        ("path=b", ["b/1", "b/2"]),
        ("path=", ["a", "c&<"]),
        ("marker=zzz", []),
    ],
)
def test_object_listings(cloud, filled, query, expected):
    text = cloud.call("GET", f"/{filled}?{query}")
    assert (text.status, text.lines) == (200 if expected else 204, expected)
    entries = cloud.call("GET", f"/{filled}?format=json&{query}").json
    assert [entry.get("name") or entry["subdir"] for entry in entries] == expected


def test_listing_formats(cloud, filled):
    entry = cloud.call("GET", f"/{filled}?format=json").json[0]
    assert set(entry) == {"name", "bytes", "hash", "content_type", "last_modified"}
    xml = cloud.call("GET", f"/{filled}?format=xml&delimiter=/")
    assert xml.headers["content-type"].startswith("application/xml")
    assert b"<name>c&amp;&lt;</name>" in xml.body and b'<subdir name="b/">' in xml.body
    by_accept = cloud.call("GET", f"/{filled}", headers={"Accept": "application/json"})
    assert by_accept.headers["content-type"].startswith("application/json")
    assert cloud.call("GET", f"/{filled}?limit=10001").status == 412


def test_account_counts_and_listing(cloud, filled):
    head = cloud.call("HEAD", "").headers
    assert int(head["x-account-object-count"]) >= 5
    assert int(head["x-account-storage-policy-default-container-count"]) >= 1
    entries = {entry["name"]: entry for entry in cloud.call("GET", "?format=json").json}
    assert entries[filled]["count"] == 5 and entries[filled]["bytes"] == 1 + 3 + 3 + 3 + 5


def test_container_life(cloud):
    assert cloud.call("PUT", "/life").status == 201
    assert cloud.call("PUT", "/life").status == 202
    cloud.call("PUT", "/life/o", b"1")
    refused = cloud.call("DELETE", "/life")
    assert refused.status == 409
    assert b"There was a conflict when trying to complete your request." in refused.body
    cloud.call("DELETE", "/life/o")
    assert cloud.call("DELETE", "/life").status == 204
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert cloud.call(method, "/life").status == 404


def test_metadata_comes_and_goes(cloud, box):
    cloud.call("POST", f"/{box}", headers={"X-Container-Meta-A": "1", "X-Container-Meta-B": "2"})
    cloud.call("POST", f"/{box}", headers={"X-Remove-Container-Meta-A": "x", "X-Container-Meta-B": ""})
    head = cloud.call("HEAD", f"/{box}").headers
    assert "x-container-meta-a" not in head and "x-container-meta-b" not in head


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Container-Meta-" + "a" * 129: "1"},
        {"X-Container-Meta-A": "1" * 257},
        {f"X-Container-Meta-A{n}": "1" for n in range(91)},
        {f"X-Container-Meta-A{n}": "1" * 255 for n in range(17)},
    ],
)
def test_metadata_limits(cloud, box, headers):
    assert cloud.call("POST", f"/{box}", headers=headers).status == 400


def test_name_limits(cloud, box):
    refused = cloud.call("PUT", "/" + "c" * 257)
    assert (refused.status, refused.body) == (400, b"Container name length of 257 longer than 256")
    assert cloud.call("PUT", f"/{box}/" + "o" * 1024, b"").status == 201
    assert cloud.call("PUT", f"/{box}/" + "o" * 1025, b"").status == 400


def test_policies(cloud):
    assert cloud.call("PUT", "/silver", headers={"X-Storage-Policy": "silver"}).status == 201
    assert cloud.call("HEAD", "/silver").headers["x-storage-policy"] == "silver"
    assert cloud.call("PUT", "/silver", headers={"X-Storage-Policy": "default"}).status == 409
    assert cloud.call("PUT", "/gold", headers={"X-Storage-Policy": "gold"}).status == 400


def test_accounts_belong_to_the_reseller(cloud):
    assert cloud.call("PUT", "/v1/AUTH_new", token="operator", raw=True).status == 403
    assert cloud.call("PUT", "/v1/AUTH_new", token="reseller", raw=True).status == 201
    assert cloud.call("PUT", "/v1/AUTH_new/c", token="reseller", raw=True).status == 201
    assert cloud.call("DELETE", "/v1/AUTH_new", token="reseller", raw=True).status == 204
    assert cloud.call("DELETE", "/v1/AUTH_new", token="reseller", raw=True).status == 404
    assert cloud.call("GET", "/v1/AUTH_p1", token="other", raw=True).status == 403
    assert cloud.call("GET", "/v1/AUTH_p1", token=None, raw=True).status == 401
