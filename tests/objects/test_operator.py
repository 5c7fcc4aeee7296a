"""`bivouac objects`, as an operator runs it: beside the serving process and without it; imports that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apsw
import pytest

pytest.importorskip("boto3")

from s3_service import Service  # noqa: E402

from bivouac.objects.importing.job import PLACE  # noqa: E402
from bivouac.objects.store import EmbeddedStore  # noqa: E402
from bivouac.objects.store.interface import DeleteObject, Listing, PutObject  # noqa: E402
from bivouac.objects.store.read_only import ReadOnlyStore  # noqa: E402

LARGE = 300_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class State:
    """A state directory, the commands on it, and the process that serves it."""

    def __init__(self, path: Path) -> None:
        self.path, self.directory = path, path / "objects"
        self.directory.mkdir(parents=True)
        self.serving: subprocess.Popen[bytes] | None = None
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OS_", "ST_"))},
            "BIVOUAC_USER": "root",
            "BIVOUAC_OBJECT_STORE_S3_PORT": str(free_port()),
            "BIVOUAC_OBJECT_STORE_SWIFT_PORT": str(free_port()),
        }

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line(*arguments), env=self.environment | environment, capture_output=True, text=True, timeout=120
        )

    def line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bivouac.cli.main", "objects", "--state", str(self.path), *arguments]

    def serve(self) -> None:
        self.serving = subprocess.Popen(
            [sys.executable, "-m", "bivouac.app.objects", "--state", str(self.path)],
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        port = int(self.environment["BIVOUAC_OBJECT_STORE_S3_PORT"])
        while time.monotonic() < deadline:
            assert self.serving.poll() is None, "the object store's process ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0 and (self.directory / "objects.sock").exists():
                    return
        raise AssertionError("the object store's process does not listen")

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.serving is not None:
            self.serving.send_signal(number)
            self.serving.wait(30)
            self.serving = None

    def contents(self, project: str) -> dict[str, dict[str, Any]]:
        """container -> name -> record, with the bytes under `data`."""
        store = ReadOnlyStore(self.directory)
        found: dict[str, dict[str, Any]] = {}
        for line in store.list_containers(project, Listing(limit=1000)):
            container = store.get_container(project, line.name)
            found[line.name] = {}
            for entry in store.list_objects(container, Listing(limit=10_000)).entries:
                record = store.get_object(container, entry.name)
                pieces = store.read(record)
                data = b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in pieces)
                found[line.name][entry.name] = (record, data)
        store.close()
        return found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path / "state")
    yield state
    state.end(signal.SIGKILL)


def fill(directory: Path) -> None:
    async def main() -> None:
        store = await EmbeddedStore.open(str(directory))
        container, _ = await store.create_container("p", "c", metadata={"colour": "red"})
        await store.put_object(PutObject(container, "small/ü", b"small", metadata={"a": "b"}))
        upload = store.upload(LARGE)
        await upload.write(bytes(LARGE))
        await store.put_object(PutObject(container, "large", await upload.finish()))
        for number in range(200):
            await store.put_object(PutObject(container, f"gone/{number}", os.urandom(5000)))
        for number in range(200):
            await store.delete_object(DeleteObject(container, f"gone/{number}"))
        await store.close()

    asyncio.run(main())


@pytest.fixture(params=["stopped", "served"])
def filled(request: pytest.FixtureRequest, state: State) -> State:
    fill(state.directory)
    if request.param == "served":
        state.serve()
    return state


def test_stats_check_export_and_compact(filled: State, tmp_path: Path) -> None:
    found = json.loads(filled.command("stats", "--json").stdout)
    assert (found["objects"], found["bytes"], found["files"]) == (2, LARGE + 5, 1)
    assert found["free_bytes"] > 500_000
    assert "objects" in filled.command("stats").stdout
    sound = filled.command("check")
    assert (sound.returncode, sound.stderr) == (0, "") and "sound" in sound.stdout

    target = tmp_path / "copy"
    done = filled.command("export", str(target))
    assert done.returncode == 0 and done.stdout.startswith("2 objects, 300,005 bytes"), done
    [container] = target.glob("p/*/container.json")
    assert json.loads(container.read_text())["metadata"] == {"colour": "red"}
    exported = {json.loads(path.read_text())["name"]: path for path in container.parent.glob("0*.json")}
    assert exported.keys() == {"small/ü", "large"}
    assert exported["small/ü"].with_suffix("").read_bytes() == b"small"
    assert json.loads(exported["small/ü"].read_text())["metadata"] == {"a": "b"}
    assert exported["large"].with_suffix("").read_bytes() == bytes(LARGE)
    assert "is not empty" in filled.command("export", str(target)).stderr

    freed = filled.command("compact")
    assert int(re.match(r"([\d,]+) bytes", freed.stdout)[1].replace(",", "")) >= found["free_bytes"] - 4096
    assert json.loads(filled.command("stats", "--json").stdout)["free_bytes"] < 8192
    assert filled.command("check").returncode == 0


def test_check_names_damage_and_export_goes_on(filled: State, tmp_path: Path) -> None:
    filled.end()
    index = apsw.Connection(str(filled.directory / "index.db"))
    index.execute("UPDATE container_usage SET objects = objects + 1")
    index.close()
    [path] = (filled.directory / "files").glob("*/*")
    path.unlink()
    found = filled.command("check")
    assert found.returncode == 1
    assert "usage: p/c" in found.stdout
    assert "missing:" in found.stdout and "held by p/c/large" in found.stdout
    assert filled.command("check", "--quick").stdout.count("\n") == 2
    done = filled.command("export", str(tmp_path / "copy"))
    assert done.returncode == 1 and "not exported: p/c/large" in done.stderr
    assert done.stdout.startswith("1 objects")


def test_what_is_not_there_is_said(tmp_path: Path, state: State) -> None:
    for action in ("stats", "check", "compact"):
        failed = state.command(action)
        assert failed.returncode == 1 and "there is no object store" in failed.stderr


# import


async def many(store: EmbeddedStore) -> None:
    container = await store.find_bucket("photos")
    puts = (PutObject(container, f"many/{number:04d}", b"%d" % number) for number in range(1205))
    await asyncio.gather(*(store.put_object(put) for put in puts))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("source"))
    s3 = service.client()
    s3.create_bucket(Bucket="photos")
    s3.create_bucket(Bucket="empty")
    service.run(lambda: many(service.store))
    s3.put_object(
        Bucket="photos", Key="odd/ü +&%41.txt", Body=b"odd", ContentType="text/x-odd", Metadata={"mtime": "17"},
        CacheControl="no-cache", Tagging="a=b&c=%C3%BC",
    )  # fmt: skip
    s3.put_object(Bucket="photos", Key="sealed", Body=b"sealed" * 1000, ServerSideEncryption="AES256")
    upload = s3.create_multipart_upload(Bucket="photos", Key="parts")["UploadId"]
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(
            Bucket="photos", Key="parts", PartNumber=n, UploadId=upload, Body=data)["ETag"]}
        for n, data in enumerate([b"x" * (5 << 20), b"y"], 1)
    ]  # fmt: skip
    s3.complete_multipart_upload(Bucket="photos", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert service.swift("PUT", "/Swift%20only", b"")[0] == 201
    for name, body, headers in (
        ("segments/1", b"one", {}),
        ("segments/2", b"two", {}),
        ("expiring", b"soon", {"X-Delete-At": "4102444800", "X-Object-Meta-A": "b"}),
        ("dynamic", b"", {"X-Object-Manifest": "Swift only/segments/"}),
    ):
        assert service.swift("PUT", f"/Swift%20only/{name}", body, headers)[0] == 201
    yield service
    service.stop()


def s3_variables(source: Service, **more: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "main",
        "AWS_SECRET_ACCESS_KEY": "secret-main",
        "AWS_DEFAULT_REGION": "RegionOne",
        "AWS_ENDPOINT_URL": source.url,
        **more,
    }


@pytest.fixture(params=["stopped", "served"])
def target(request: pytest.FixtureRequest, state: State) -> State:
    asyncio.run(_empty(state.directory))
    if request.param == "served":
        state.serve()
    return state


async def _empty(directory: Path) -> None:
    await (await EmbeddedStore.open(str(directory))).close()


def counts(text: str) -> dict[str, int]:
    last = text.strip().splitlines()[-1]
    assert last.startswith("done"), text
    return {name: int(number.replace(",", "")) for number, name in re.findall(r"(\d[\d,]*) (\w+)", last)}


def test_everything_of_s3_comes_and_then_only_what_changed(target: State, source: Service) -> None:
    variables = s3_variables(source)
    done = target.command("import", "s3", "--project", "new", "--container", "photos", "empty", **variables)
    assert done.returncode == 0, done.stderr
    assert counts(done.stdout)["copied"] == 1208
    found = target.contents("new")
    assert found.keys() == {"photos", "empty"} and len(found["photos"]) == 1208
    assert {name: data for name, (_, data) in found["photos"].items() if name.startswith("many/")} == {
        f"many/{number:04d}": b"%d" % number for number in range(1205)
    }
    odd, data = found["photos"]["odd/ü +&%41.txt"]
    assert (data, odd.content_type, odd.metadata) == (b"odd", "text/x-odd", {"mtime": "17"})
    assert odd.tags == {"a": "b", "c": "ü"}
    assert odd.headers == {"cache-control": "no-cache"}
    assert found["photos"]["sealed"][1] == b"sealed" * 1000
    parts, data = found["photos"]["parts"]
    assert parts.etag.endswith("-2") and data == b"x" * (5 << 20) + b"y"

    source.client().put_object(Bucket="photos", Key="many/0007", Body=b"changed")
    again = counts(target.command("import", "s3", "--project", "new", "--container", "photos", **variables).stdout)
    assert (again["copied"], again["skipped"]) == (1, 1207)
    assert target.contents("new")["photos"]["many/0007"][1] == b"changed"
    source.client().put_object(Bucket="photos", Key="many/0007", Body=b"7")


@pytest.fixture
def login(source: Service) -> Iterator[str]:
    """TempAuth and Keystone in one: the address. The first token that it gives has expired."""
    tokens = iter(("expired", "main", "main"))
    account = f"http://127.0.0.1:{source.swift_port}/object-store/v1/AUTH_project-main"

    class Login(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert (self.headers["X-Auth-User"], self.headers["X-Auth-Key"]) == ("ann", "secret")
            self.answer(200, {"X-Storage-Url": account, "X-Auth-Token": next(tokens)}, b"")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["auth"]
            assert asked["identity"]["password"]["user"]["password"] == "secret"
            assert asked["scope"]["project"]["name"] == "main"
            endpoints = [
                {"interface": "public", "region_id": "elsewhere", "url": "http://127.0.0.1:1"},
                {"interface": "public", "region_id": "here", "url": account},
            ]
            body = {"token": {"catalog": [{"type": "object-store", "endpoints": endpoints}]}}
            self.answer(201, {"X-Subject-Token": next(tokens)}, json.dumps(body).encode())

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("version", [1, 3])
def test_everything_of_swift_comes(target: State, login: str, version: int) -> None:
    variables = {"ST_AUTH": f"{login}/auth/v1.0", "ST_USER": "ann", "ST_KEY": "secret"}
    if version == 3:
        variables = {
            "OS_AUTH_URL": f"{login}/v3", "OS_USERNAME": "ann", "OS_PASSWORD": "secret", "OS_PROJECT_NAME": "main",
            "OS_REGION_NAME": "here",
        }  # fmt: skip
    done = target.command("import", "swift", "--project", "new", "--container", "Swift only", **variables)
    assert done.returncode == 0, done
    found = target.contents("new")["Swift only"]
    assert {name: data for name, (_, data) in found.items()} == {
        "segments/1": b"one", "segments/2": b"two", "expiring": b"soon", "dynamic": b"onetwo",
    }  # fmt: skip
    assert (found["expiring"][0].expires_at, found["expiring"][0].metadata) == (4102444800, {"a": "b"})


def test_what_is_somebodys_own_here_is_kept(state: State, source: Service) -> None:
    async def own() -> None:
        store = await EmbeddedStore.open(str(state.directory))
        container, _ = await store.create_container("new", "photos", bucket=True)
        await store.put_object(PutObject(container, "parts", b"mine"))
        await store.create_container("other", "empty", bucket=True)
        await store.close()

    asyncio.run(own())
    done = state.command("import", "s3", "--project", "new", "--container", "photos", "empty", **s3_variables(source))
    assert done.returncode == 1
    assert "empty: the bucket belongs to another project here" in done.stderr
    told = counts(done.stdout)
    assert told["kept"] == 1 and told["failed"] == 1 and told["copied"] >= 1207
    assert state.contents("new")["photos"]["parts"][1] == b"mine"


@pytest.mark.parametrize("killed", ["command", "store"])
def test_a_killed_import_goes_on_where_it_was(state: State, source: Service, killed: str) -> None:
    asyncio.run(_empty(state.directory))
    state.serve()
    variables = s3_variables(source)
    line = state.line("import", "s3", "--project", "new", "--container", "photos")
    source.held.clear()
    source.hold_at = source.asked + 1052  # amid the second page
    first = subprocess.Popen(line, env=state.environment | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert first.stdout is not None
    while b"1,000 copied" not in first.stdout.readline():
        assert first.poll() is None
    assert source.held.wait(60)
    if killed == "command":
        first.kill()
    else:
        state.end(signal.SIGKILL)
    _, errors = first.communicate(timeout=60)
    source.release()
    if killed == "store":
        assert first.returncode == 1 and b"again" in errors
    store = ReadOnlyStore(state.directory)
    place = json.loads(store.get_container("new", "photos").documents[PLACE])
    store.close()
    assert place["marker"] >= "many/0999"
    state.end()  # now without a serving process
    done = state.command("import", "s3", "--project", "new", "--container", "photos", **variables)
    told = counts(done.stdout)
    assert told["copied"] + told["skipped"] <= 210
    assert len(state.contents("new")["photos"]) == 1208
    assert state.command("check").returncode == 0


def test_why_an_import_cannot_be(state: State, source: Service) -> None:
    asyncio.run(_empty(state.directory))
    missing = state.command("import", "s3", "--project", "new")
    assert missing.returncode == 1 and "AWS_ENDPOINT_URL" in missing.stderr
    refused = state.command("import", "s3", "--project", "n", **s3_variables(source, AWS_SECRET_ACCESS_KEY="wrong"))
    assert refused.returncode == 1 and "SignatureDoesNotMatch" in refused.stderr
    nobody = state.command("import", "s3", "--project", "n", "--endpoint", "http://127.0.0.1:1", **s3_variables(source))
    assert nobody.returncode == 1 and "does not answer" in nobody.stderr
