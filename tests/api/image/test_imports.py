"""Staged import, web-download, copies in several stores, locations, tasks, and the filter of what may be fetched."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from image_cloud import Answer, Cloud

from bivouac.core import crash
from bivouac.core.errors import BadRequest
from bivouac.image.loops import GarbageLoop, TaskLoop, TransferLoop
from bivouac.image.outside import FetchFailed, Outside
from bivouac.image.service import imports, tasks

DATA = os.urandom(200_000)


class Web(BaseHTTPRequestHandler):
    """/image: the bytes; /moved: a redirect; /short: fewer bytes than announced."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/image")
            self.end_headers()
            return
        self.send_response(200 if self.path in ("/image", "/short", "/rubbish") else 404)
        body = b"not a qcow2" if self.path == "/rubbish" else DATA
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1000] if self.path == "/short" else body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud], web: str, tmp_path: Path) -> Cloud:
    allow = [web.removeprefix("http://")]
    return make_cloud(web_download_allow=allow, extra_stores=[f"archive={tmp_path / 'archive'}"])


def work(cloud: Cloud) -> None:
    """All loops until nothing is due."""

    async def rounds() -> None:
        for loop in (TaskLoop(cloud.service), TransferLoop(cloud.service), GarbageLoop(cloud.service)):
            for key in await loop.due():
                await loop.step(key)

    asyncio.run(rounds())


def request_import(cloud: Cloud, image_id: str, method: str, token: str = "member", **body: Any) -> Answer:
    parameters = body.pop("parameters", {})
    return cloud.ask(
        "POST", f"/v2/images/{image_id}/import", token, body={"method": {"name": method, **parameters}, **body}
    )


def stage(cloud: Cloud, image_id: str, data: bytes = DATA) -> Answer:
    return cloud.ask("PUT", f"/v2/images/{image_id}/stage", body=data, media_type="application/octet-stream")


def task_of(cloud: Cloud, image_id: str) -> dict[str, Any]:
    return cloud.ask("GET", f"/v2/images/{image_id}/tasks").json["tasks"][-1]


def test_glance_direct(cloud: Cloud) -> None:
    image_id = cloud.image()
    assert request_import(cloud, image_id, "glance-direct").status == 409
    assert stage(cloud, image_id).status == 204
    image = cloud.show(image_id)
    assert (image["status"], image["size"]) == ("uploading", len(DATA))
    assert stage(cloud, image_id).status == 409
    assert cloud.upload(image_id).status == 409
    answer = request_import(cloud, image_id, "glance-direct", all_stores=True)
    assert answer.status == 202
    assert cloud.show(image_id)["os_glance_importing_to_stores"] == "local,archive"
    assert request_import(cloud, image_id, "glance-direct").status == 409
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["stores"], image["os_glance_importing_to_stores"]) == ("active", "archive,local", "")
    assert image["checksum"] == hashlib.md5(DATA).hexdigest()
    task = task_of(cloud, image_id)
    assert (task["status"], task["type"]) == ("success", "api_image_import")
    assert task["request_id"] == answer.headers["x-openstack-request-id"]
    assert task["input"]["import_req"]["method"]["name"] == "glance-direct"
    assert cloud.ask("GET", f"/v2/images/{image_id}/file").body == DATA
    assert cloud.ask("GET", f"/v2/images/{image_id}/file?prefer=archive").body == DATA
    assert os.listdir(cloud.service.blobs["staging"].folder) == []
    assert len(os.listdir(cloud.service.blobs["archive"].folder)) == 1

    assert cloud.ask("DELETE", f"/v2/stores/local/{image_id}").status == 403
    assert cloud.ask("DELETE", f"/v2/stores/nowhere/{image_id}", "admin").status == 409
    assert cloud.ask("DELETE", f"/v2/stores/local/{image_id}", "admin").status == 204
    assert cloud.ask("DELETE", f"/v2/stores/local/{image_id}", "admin").status == 404
    assert cloud.ask("DELETE", f"/v2/stores/archive/{image_id}", "admin").status == 403
    work(cloud)
    assert cloud.ask("GET", f"/v2/images/{image_id}/file").body == DATA
    assert os.listdir(cloud.service.blobs["local"].folder) == []


def test_what_is_staged_and_wrong_goes_back_to_queued(cloud: Cloud) -> None:
    image_id = cloud.image(disk_format="qcow2")
    stage(cloud, image_id)
    assert request_import(cloud, image_id, "glance-direct").status == 202
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["os_glance_failed_import"]) == ("queued", "local")
    task = task_of(cloud, image_id)
    assert (task["status"], "qcow2 was claimed" in task["message"]) == ("failure", True)
    work(cloud)
    for store in ("local", "staging", "archive"):
        assert os.listdir(cloud.service.blobs[store].folder) == []


def test_staged_bytes_that_nobody_imports_go(cloud: Cloud) -> None:
    image_id = cloud.image()
    stage(cloud, image_id)
    cloud.clock.advance(imports.STAGED_FOR_S - 10)
    work(cloud)
    assert cloud.show(image_id)["status"] == "uploading"
    cloud.clock.advance(11)
    work(cloud)
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["size"]) == ("queued", None)
    assert os.listdir(cloud.service.blobs["staging"].folder) == []


def test_deleting_a_staged_image_removes_its_bytes(cloud: Cloud) -> None:
    image_id = cloud.image()
    stage(cloud, image_id)
    assert cloud.ask("DELETE", f"/v2/images/{image_id}").status == 204
    work(cloud)
    assert os.listdir(cloud.service.blobs["staging"].folder) == []


def test_web_download(cloud: Cloud, web: str) -> None:
    image_id = cloud.image()
    assert request_import(cloud, image_id, "web-download", parameters={"uri": f"{web}/image"}).status == 202
    assert cloud.show(image_id)["status"] == "importing"
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["stores"]) == ("active", "local")
    assert image["os_hash_value"] == hashlib.sha512(DATA).hexdigest()


@pytest.mark.parametrize(
    ("path", "words"),
    [("/moved", "redirect"), ("/none", "404"), ("/short", "broke off after"), ("/rubbish", "qcow2 was claimed")],
)
def test_web_downloads_that_fail(cloud: Cloud, web: str, path: str, words: str) -> None:
    image_id = cloud.image(disk_format="qcow2" if path == "/rubbish" else "raw")
    assert request_import(cloud, image_id, "web-download", parameters={"uri": f"{web}{path}"}).status == 202
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["os_glance_failed_import"]) == ("queued", "local")
    assert words in task_of(cloud, image_id)["message"]
    work(cloud)
    assert os.listdir(cloud.service.blobs["local"].folder) == []


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:1/x", "http://localhost/x", "http://169.254.169.254/latest", "http://10.0.0.1/", "ftp://a.b/c",
     "file:///etc/passwd", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://u:p@example.org/", "http://0/",
     "http://example.org:99999/", "http:///x", "http://example.org/a b", "x", "http://[fe80::1]/", "http://[fec0::1]/",
     "http://[2002:7f00:1::]/", "http://[64:ff9b::10.0.0.1]/", "http://[::127.0.0.1]/", "http://[2001:0:7f00::1]/",
     "http://100.64.0.1/", "http://2130706433/", "http://0x7f.1/"],
)  # fmt: skip
def test_what_may_not_be_fetched_is_refused_at_once(cloud: Cloud, uri: str) -> None:
    image_id = cloud.image()
    answer = request_import(cloud, image_id, "web-download", parameters={"uri": uri})
    assert answer.status == 400
    assert b"does not pass filtering" in answer.body
    assert cloud.show(image_id)["status"] == "queued"
    assert cloud.ask("POST", f"/v2/images/{image_id}/locations", body={"url": uri}).status == 400
    body = [{"op": "add", "path": "/locations/-", "value": {"url": uri, "metadata": {}}}]
    media_type = "application/openstack-images-v2.1-json-patch"
    assert cloud.ask("PATCH", f"/v2/images/{image_id}", body=body, media_type=media_type).status == 400


@pytest.mark.parametrize(
    ("allow", "url", "permitted"),
    [
        ([], "http://8.8.8.8/x", True),
        ([], "https://8.8.8.8/x", True),
        ([], "http://8.8.8.8:8080/x", False),
        ([], "http://example.org/x", True),
        ([], "http://224.0.0.1/x", False),
        (["10.0.0.0/8"], "http://10.1.2.3:8080/x", True),
        (["10.0.0.0/8"], "http://8.8.8.8/x", False),
        (["*", "10.0.0.0/8"], "http://8.8.8.8/x", True),
        (["images.example.org"], "http://images.example.org:99/x", True),
        (["images.example.org"], "http://example.org/x", False),
        (["images.example.org:80"], "http://images.example.org:99/x", False),
        (["169.254.0.0/16"], "http://169.254.169.254/x", False),
    ],
)
def test_the_list_of_what_may_be_fetched(allow: list[str], url: str, permitted: bool) -> None:
    outside = Outside(allow)
    if permitted:
        assert outside.check(url).url == url
    else:
        with pytest.raises(BadRequest):
            outside.check(url)


def test_a_public_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async def resolve(*_: Any, **__: Any) -> list[Any]:
            return [(2, 1, 6, "", ("8.8.8.8", 80)), (2, 1, 6, "", ("127.0.0.1", 80))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
        with pytest.raises(FetchFailed, match="does not pass filtering"):
            await Outside([]).fetch("http://example.org/")

    loop = asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


def test_a_server_that_drips_is_left(cloud: Cloud, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep a place in which others' imports could be at work."""
    monkeypatch.setattr("bivouac.image.outside.PATIENCE_S", 0.0)
    monkeypatch.setattr("bivouac.image.outside.SLOWEST_BYTES_PER_S", 1 << 50)
    image_id = cloud.image()
    assert request_import(cloud, image_id, "web-download", parameters={"uri": f"{web}/image"}).status == 202
    work(cloud)
    assert cloud.show(image_id)["status"] == "queued"
    assert "too slow" in task_of(cloud, image_id)["message"]


def test_an_import_ends_at_its_deadline(cloud: Cloud, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        cloud.clock.advance(tasks.DEADLINE_S)
        await asyncio.Event().wait()

    monkeypatch.setattr("bivouac.image.importing.Importer._work", never)
    monkeypatch.setattr(tasks, "DEADLINE_S", 0.2)
    image_id = cloud.image()
    assert request_import(cloud, image_id, "web-download", parameters={"uri": f"{web}/image"}).status == 202
    work(cloud)
    assert (cloud.show(image_id)["status"], task_of(cloud, image_id)["message"]) == (
        "queued", "The import took too long.")  # fmt: skip


def test_glance_download_within_the_region(cloud: Cloud) -> None:
    source = cloud.image("other", visibility="community", hw_cpu_cores="5", speed="88mph")
    cloud.upload(source, DATA, "other")
    target = cloud.image(disk_format="iso", container_format="ovf", hw_cpu_cores="1")
    parameters = {"glance_image_id": source, "glance_region": "RegionOne"}
    assert request_import(cloud, target, "glance-download", parameters=parameters).status == 202
    work(cloud)
    image = cloud.show(target)
    assert (image["status"], image["disk_format"], image["container_format"]) == ("active", "raw", "bare")
    assert (image["hw_cpu_cores"], "speed" in image) == ("5", False)
    assert cloud.ask("GET", f"/v2/images/{target}/file").body == DATA
    assert cloud.ask("DELETE", f"/v2/images/{source}", "other").status == 204
    work(cloud)
    assert cloud.ask("GET", f"/v2/images/{target}/file").body == DATA
    hidden = cloud.image("other", visibility="private")
    for wrong in ({"glance_region": "Mars"}, {"glance_service_interface": "x"}, {"glance_image_id": hidden}):
        target = cloud.image()
        assert request_import(cloud, target, "glance-download", parameters=parameters | wrong).status == 202
        work(cloud)
        assert (cloud.show(target)["status"], task_of(cloud, target)["status"]) == ("queued", "failure")
    bad = request_import(cloud, target, "glance-download", parameters=parameters | {"glance_image_id": "foo"})
    assert (bad.status, b"image id does not look like a UUID" in bad.body) == (400, True)


def test_copy_image(cloud: Cloud) -> None:
    image_id = cloud.image()
    assert request_import(cloud, image_id, "copy-image", "admin", all_stores=True).status == 409
    cloud.upload(image_id, DATA)
    assert request_import(cloud, image_id, "copy-image", all_stores=True).status == 403
    assert request_import(cloud, image_id, "copy-image", "admin", stores=["local"]).status == 400
    assert request_import(cloud, image_id, "copy-image", "admin", stores=["mars"]).status == 409
    assert request_import(cloud, image_id, "copy-image", "admin", all_stores=True).status == 202
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["stores"], image["os_glance_importing_to_stores"]) == ("active", "archive,local", "")
    assert request_import(cloud, image_id, "copy-image", "admin", all_stores=True).status == 202


def test_a_store_that_fails(cloud: Cloud) -> None:
    cloud.service.blobs["archive"].folder.rmdir()
    image_id = cloud.image()
    stage(cloud, image_id)
    request_import(cloud, image_id, "glance-direct", all_stores=True, all_stores_must_succeed=False)
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["stores"], image["os_glance_failed_import"]) == ("active", "local", "archive")
    image_id = cloud.image()
    stage(cloud, image_id)
    request_import(cloud, image_id, "glance-direct", all_stores=True)
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["os_glance_failed_import"]) == ("queued", "local,archive")


@pytest.mark.parametrize("body", [
    {}, {"method": "x"}, {"method": {}}, {"method": {"name": "x"}}, {"method": {"name": "web-download"}},
    {"method": {"name": "web-download", "uri": 7}}, {"method": {"name": "glance-download"}},
    {"method": {"name": "glance-direct"}, "all_stores": "yes"},
    {"method": {"name": "glance-direct"}, "all_stores": True, "stores": ["local"]},
    {"method": {"name": "glance-direct"}, "stores": "local"}, [],
])  # fmt: skip
def test_import_bodies(cloud: Cloud, body: Any) -> None:
    assert cloud.ask("POST", f"/v2/images/{cloud.image()}/import", body=body).status == 400


def test_locations(cloud: Cloud, web: str) -> None:
    image_id = cloud.image()
    assert cloud.show(image_id)["locations"] == []
    location = {"url": f"{web}/image", "metadata": {"foo": "bar"}}
    assert cloud.patch(image_id, {"add": "/locations/-", "value": location}).status == 200
    image = cloud.show(image_id)
    assert (image["status"], image["locations"], image["os_hash_value"]) == ("active", [location], None)
    assert cloud.ask("GET", f"/v2/images/{image_id}/file").body == DATA
    second = {"url": f"{web}/image#new", "metadata": {}}
    assert cloud.patch(image_id, {"add": "/locations/-", "value": second}).status == 200
    assert cloud.patch(image_id, {"add": "/locations/-", "value": second}).status == 400
    changed = [{**location, "metadata": {"date": "x"}}, second]
    assert cloud.patch(image_id, {"replace": "/locations", "value": changed}).status == 200
    assert cloud.patch(image_id, {"replace": "/locations", "value": changed[:1]}).status == 400
    assert cloud.patch(image_id, {"replace": "/locations", "value": []}).status == 403
    assert cloud.patch(image_id, {"remove": "/locations/0"}).status == 403
    assert cloud.patch(image_id, {"remove": "/locations/0"}, token="admin").status == 200
    assert cloud.show(image_id)["locations"] == [second]
    assert cloud.patch(image_id, {"remove": "/locations/0"}, token="admin").status == 403
    assert cloud.patch(image_id, {"remove": "/locations/7"}, token="admin").status == 400
    assert request_import(cloud, image_id, "copy-image", "admin", stores=["local"]).status == 202
    work(cloud)
    image = cloud.show(image_id)
    assert (image["stores"], image["checksum"]) == ("local", hashlib.md5(DATA).hexdigest())


def test_locations_with_digests(cloud: Cloud, web: str) -> None:
    image_id = cloud.image()
    digests = {"checksum": "1" * 32, "os_hash_value": "deadbeef" * 16, "os_hash_algo": "sha512"}
    location = {"url": f"{web}/image", "metadata": {}, "validation_data": digests}
    assert cloud.patch(image_id, {"add": "/locations/-", "value": location}).status == 200
    image = cloud.show(image_id)
    assert digests.items() <= image.items()
    assert "validation_data" not in image["locations"][0]
    for name, value in {"checksum": "2" * 32, "os_hash_value": "beefdead" * 16, "os_hash_algo": "sha256"}.items():
        other = {**location, "url": f"{web}/image#2", "validation_data": {**digests, name: value}}
        assert cloud.patch(image_id, {"add": "/locations/-", "value": other}).status == 409
    same = {**location, "url": f"{web}/image#2"}
    assert cloud.patch(image_id, {"add": "/locations/-", "value": same}).status == 200


def test_locations_by_their_own_call(cloud: Cloud, web: str) -> None:
    def add(image_id: str, validation: Any = None, token: str = "member") -> Answer:
        body = {"url": f"{web}/image"} | ({"validation_data": validation} if validation is not None else {})
        return cloud.ask("POST", f"/v2/images/{image_id}/locations", token, body=body)

    image_id = cloud.image()
    sha256 = hashlib.sha256(DATA).hexdigest()
    for bad in ({"os_hash_algo": "sha512", "os_hash_value": "dbc9"}, {"os_hash_value": sha256},
                {"os_hash_algo": "sha123", "os_hash_value": sha256},
                {"os_hash_algo": "sha512", "os_hash_value": sha256}):  # fmt: skip
        assert add(image_id, bad).status == 400
    assert add(image_id, token="reader").status == 403
    assert add(image_id, {"os_hash_algo": "sha256", "os_hash_value": sha256}).status == 202
    assert add(image_id).status == 409
    work(cloud)
    image = cloud.show(image_id)
    assert (image["status"], image["os_hash_algo"], image["os_hash_value"]) == ("active", "sha256", sha256)
    assert (image["size"], image["checksum"]) == (len(DATA), hashlib.md5(DATA).hexdigest())
    wrong = cloud.image()
    assert add(wrong, {"os_hash_algo": "sha512", "os_hash_value": "beefdead" * 16}).status == 202
    work(cloud)
    image = cloud.show(wrong)
    assert (image["status"], image["os_hash_algo"], image["checksum"]) == ("queued", None, None)
    assert cloud.ask("GET", f"/v2/images/{image_id}/locations").status == 403
    assert cloud.ask("GET", f"/v2/images/{image_id}/locations", "admin").json == [
        {"url": f"{web}/image", "metadata": {}}
    ]


def test_tasks_api(cloud: Cloud, web: str) -> None:
    body = {
        "type": "import",
        "input": {"import_from": f"{web}/image", "import_from_format": "raw",
                  "image_properties": {"disk_format": "raw", "container_format": "bare", "name": "t"}},
    }  # fmt: skip
    assert cloud.ask("POST", "/v2/tasks", body=body).status == 403
    assert cloud.ask("GET", "/v2/tasks").status == 403
    for bad in ({}, {"type": "x", "input": {}}, {"type": "import", "input": {}}, {"type": "import", "input": 7}):
        assert cloud.ask("POST", "/v2/tasks", "admin", body=bad).status == 400
    fake = {**body, "input": {**body["input"], "import_from": "http://10.0.0.7/x"}}
    assert cloud.ask("POST", "/v2/tasks", "admin", body=fake).status == 400
    made = cloud.ask("POST", "/v2/tasks", "admin", body=body)
    assert (made.status, made.json["status"]) == (201, "pending")
    work(cloud)
    task = cloud.ask("GET", f"/v2/tasks/{made.json['id']}", "admin").json
    assert task["status"] == "success"
    assert cloud.show(task["result"]["image_id"], "admin")["status"] == "active"
    listed = cloud.ask("GET", "/v2/tasks?status=success&limit=1", "admin").json
    assert ([one["id"] for one in listed["tasks"]], "input" in listed["tasks"][0]) == ([task["id"]], False)
    assert "next" in listed
    assert cloud.ask("GET", "/v2/tasks?status=maybe", "admin").status == 400
    assert cloud.ask("DELETE", f"/v2/tasks/{task['id']}", "admin").status == 405
    cloud.clock.advance(tasks.KEPT_S + 1)
    work(cloud)
    assert cloud.ask("GET", f"/v2/tasks/{task['id']}", "admin").status == 404


def test_info(cloud: Cloud) -> None:
    assert "web-download" in cloud.ask("GET", "/v2/info/import", "reader").json["import-methods"]["value"]
    stores = cloud.ask("GET", "/v2/info/stores", "reader").json["stores"]
    assert stores == [{"id": "local", "default": "true"}, {"id": "archive"}]
    assert cloud.ask("GET", "/v2/info/stores/detail").status == 403
    assert cloud.ask("GET", "/v2/info/stores/detail", "admin").json["stores"][0]["type"] == "file"
    image_id = cloud.image()
    answer = cloud.ask("PUT", f"/v2/images/{image_id}/file", body=b"x", media_type="application/octet-stream",
                       x_image_meta_store="mars")  # fmt: skip
    assert answer.status == 400
    answer = cloud.ask("PUT", f"/v2/images/{image_id}/file", body=b"x", media_type="application/octet-stream",
                       x_image_meta_store="archive")  # fmt: skip
    assert (answer.status, cloud.show(image_id)["stores"]) == (204, "archive")


def test_an_import_survives_a_crash_at_every_side_effect(make_cloud: Callable[..., Cloud], tmp_path: Path) -> None:
    """Stop at the n-th side effect, begin again as another process would: active, and nothing left over."""
    cloud = make_cloud(extra_stores=[f"archive={tmp_path / 'archive'}"])
    n = 0
    while True:
        n += 1
        image_id = cloud.image()
        stage(cloud, image_id)
        request_import(cloud, image_id, "glance-direct", all_stores=True)
        try:
            with crash.arm(n):
                work(cloud)
            crashed = False
        except crash.Crashed:
            crashed = True
        cloud.clock.advance(tasks.LEASE_S + 1)
        for blobs in cloud.service.blobs.values():
            blobs.clean()
        work(cloud)
        assert cloud.show(image_id)["status"] == "active"
        assert cloud.ask("GET", f"/v2/images/{image_id}/file").body == DATA
        assert cloud.ask("DELETE", f"/v2/images/{image_id}").status == 204
        for blobs in cloud.service.blobs.values():
            for key, _ in list(blobs.keys()):
                os.utime(blobs.path(key), (1.0, 1.0))
        work(cloud)
        work(cloud)
        for name, blobs in cloud.service.blobs.items():
            assert list(blobs.keys()) == [], (n, name)
        if not crashed:
            break
    assert n > 3
