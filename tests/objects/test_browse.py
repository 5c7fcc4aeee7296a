"""Public containers in a browser: what anybody may read and list, and nothing else."""

from __future__ import annotations

import re


def get(cloud, path, **more):
    return cloud.call("GET", f"/object-store/browse/AUTH_p1{path}", raw=True, token=None, **more)


def links(answer):
    return {name: link for link, name in re.findall(r'<a href="([^"]*)">([^<]*)</a>', answer.body.decode())}


def test_only_what_is_public_is_shown(cloud, box):
    assert get(cloud, f"/{box}/").status == 404
    for acl in (".r:*", "p2:*", ".r:example.com,.rlistings"):
        cloud.call("POST", f"/{box}", headers={"X-Container-Read": acl})
        assert get(cloud, f"/{box}/").status == 404
    cloud.call("POST", f"/{box}", headers={"X-Container-Read": ".r:*,.rlistings"})
    assert get(cloud, f"/{box}/").status == 200
    assert links(get(cloud, "/"))[box] == f"/object-store/browse/AUTH_p1/{box}/"
    cloud.call("POST", f"/{box}", headers={"X-Container-Read": ""})
    assert get(cloud, f"/{box}/").status == 404
    assert box not in get(cloud, "/").body.decode()
    assert cloud.call("GET", "/object-store/browse/AUTH_nobody/", raw=True, token=None).status == 404
    assert cloud.call("GET", "/object-store/browse/elsewhere", raw=True, token=None).status == 404


def test_folders_pages_and_odd_names(cloud, box):
    cloud.call("POST", f"/{box}", headers={"X-Container-Read": ".r:*,.rlistings"})
    odd = "a/<script>alert(1)&%22ü"
    for name in ("a/one", "a/b/two", odd.replace("<", "%3C").replace(">", "%3E").replace("ü", "%C3%BC"), "top"):
        assert cloud.call("PUT", f"/{box}/{name}", b"hello").status == 201
    top = links(get(cloud, f"/{box}/"))
    assert set(top) == {"..", "a/", "top"}
    assert cloud.call("GET", top["top"], raw=True, token=None).body == b"hello"
    folder = cloud.call("GET", top["a/"], raw=True, token=None)
    assert b"<script>" not in folder.body
    assert "default-src 'none'" in folder.headers["content-security-policy"]
    inside = links(folder)
    assert {"one", "b/", ".."} < set(inside) and inside[".."] == f"/object-store/browse/AUTH_p1/{box}/"
    [alert] = [link for name, link in inside.items() if "script" in name]
    assert cloud.call("GET", alert.replace("&amp;", "&"), raw=True, token=None).body == b"hello"
    assert get(cloud, f"/{box}/missing/").status == 404
    assert get(cloud, f"/{box}/a").status == 404
    assert cloud.call("HEAD", f"/object-store/browse/AUTH_p1/{box}/", raw=True, token=None).status == 200
    refused = cloud.call("PUT", f"/object-store/browse/AUTH_p1/{box}/", b"", raw=True)
    assert refused.status == 405


def test_long_folders_have_more_pages(cloud, box):
    cloud.call("POST", f"/{box}", headers={"X-Container-Read": ".r:*,.rlistings"})

    async def fill():
        from bivouac.objects.store.interface import PutObject

        container = await cloud.store.get_container("p1", box)
        for number in range(1001):
            await cloud.store.put_object(PutObject(container, f"{number:04d}", b""))

    cloud.do(fill())
    first = get(cloud, f"/{box}/")
    assert len(links(first)) == 1002 and "1000" not in links(first)
    assert set(links(get(cloud, f"/{box}/{links(first)['more']}"))) == {"..", "1000"}
