"""What a guest reads about itself, document by document, and over a real socket."""

import asyncio
import base64
import json
import socket
from typing import Any

import msgspec
import pytest

from bivouac.agent.metadata import openstack
from bivouac.agent.metadata.drive import config_drive
from bivouac.agent.metadata.passwords import GuestPasswords
from bivouac.agent.metadata.server import MetadataServers
from bivouac.agent.metadata.service import MetadataService, Reply
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import GuestMetadata, ServerSpec

ID = "6a2f41a3-c54c-fce8-32d2-0324e1c32e22"
METADATA = GuestMetadata(
    hostname="web.example.org",
    name="web",
    project_id="p" * 32,
    availability_zone="nova",
    reservation_id="r-12345678",
    instance_type="m1.tiny",
    image_id="0123456789abcdef",
    public_keys={"mine": "ssh-ed25519 AAAA me"},
    key_types={"mine": "ssh"},
    meta={"role": "web"},
    admin_password="secret",
    user_data=base64.b64encode(b"#!/bin/sh\necho \xff").decode(),
    network_data={"links": [{"id": "tap1"}], "networks": [], "services": []},
    devices=({"type": "nic", "mac": "fa:16:3e:00:00:01", "tags": ["front"]},),
    fixed_ips=("10.0.0.5",),
    floating_ip="172.24.4.10",
    security_groups=("default", "web"),
    files=(("/etc/motd", base64.b64encode(b"hello").decode()),),
)
SPEC = ServerSpec(ID, 1, "running", 1, 64, metadata=METADATA)
OTHER = ServerSpec("other", 1, "running", 1, 64, metadata=GuestMetadata("b", "b", "q", "nova"))


def service() -> MetadataService:
    servers = {ID: SPEC, "other": OTHER, "going": msgspec.structs.replace(SPEC, id="going", power="absent")}
    networks = {
        "net-1": NetworkSpec("net-1", 1, 1442, None, {"10.0.0.5": ID, "10.0.0.6": "going", "10.0.0.7": "unknown"}),
        "net-2": NetworkSpec("net-2", 1, 1442, None, {"10.0.0.5": "other"}),
    }
    return MetadataService(servers.get, networks.get, GuestPasswords(None))


def get(path: str, source: str = "10.0.0.5", network: str = "net-1") -> Reply:
    return service().answer(network, source, "GET", path)


def document(path: str, **where: str) -> dict[str, Any]:
    reply = get(path, **where)
    assert (reply.status, reply.media_type) == (200, "application/json")
    return json.loads(reply.body)


TEXTS = {
    "/openstack": "\n".join([*openstack.VERSIONS, "latest"]),
    "/openstack/": "\n".join([*openstack.VERSIONS, "latest"]),
    "/openstack/2012-08-10/": "meta_data.json\nuser_data",
    "/openstack/2013-04-04": "meta_data.json\nuser_data\npassword",
    "/openstack/latest": (
        "meta_data.json\nuser_data\npassword\nvendor_data.json\nnetwork_data.json\nvendor_data2.json"
    ),
    "/openstack/latest/password": "",
    "/openstack/latest/vendor_data.json": "{}",
    "/openstack/content/0000": "hello",
    "/latest": "meta-data/\nuser-data",
    "/latest/meta-data/instance-id": "i-6a2f41a3c54cfce83",
    "/2009-04-04/meta-data/local-ipv4": "10.0.0.5",
    "/1.0/meta-data/public-ipv4": "172.24.4.10",
    "/latest/meta-data/hostname": "web.example.org",
    "/latest/meta-data/public-keys/": "0=mine",
    "/latest/meta-data/public-keys/0/": "openssh-key",
    "/latest/meta-data/public-keys/0/openssh-key": "ssh-ed25519 AAAA me",
    "/latest/meta-data/placement/": "availability-zone",
    "/latest/meta-data/placement/availability-zone": "nova",
    "/latest/meta-data/security-groups": "default\nweb",
    "/latest/meta-data/block-device-mapping": "ami\nroot",
    "//latest//meta-data/ami-id?x=1": "ami-0123456789abcdef",
}


@pytest.mark.parametrize("path", TEXTS)
def test_texts(path: str) -> None:
    assert get(path) == Reply(200, TEXTS[path].encode(), get(path).media_type)


def test_the_root_lists_amazons_versions() -> None:
    assert get("/").body.decode().split("\n")[0] == "1.0" and b"2009-04-04\nlatest" in get("/").body
    listing = get("/latest/meta-data/").body.decode().split("\n")
    assert {"instance-id", "public-keys/", "placement/", "block-device-mapping/"} <= set(listing)


@pytest.mark.parametrize(
    "path",
    [
        "/openstack/2011-01-01",
        "/openstack/2012-08-10/password",
        "/openstack/2013-10-17/network_data.json",
        "/openstack/latest/nothing",
        "/openstack/latest/meta_data.json/more",
        "/openstack/content/0001",
        "/openstack/content/²",
        "/openstack/content/-1",
        "/latest/meta-data/nothing",
        "/latest/meta-data/instance-id/more",
        "/latest/meta-data/public-keys/1",
        "/latest/meta-data/public-keys/0/_name",
        "/latest/other",
        "/../etc/passwd",
        "/%00",
        "/2038-01-01/",
    ],
)
def test_what_is_not_there(path: str) -> None:
    assert get(path).status == 404


def test_meta_data_grows_with_its_versions() -> None:
    first = document("/openstack/2012-08-10/meta_data.json")
    assert first == {
        "uuid": ID,
        "hostname": "web.example.org",
        "name": "web",
        "launch_index": 0,
        "availability_zone": "nova",
        "meta": {"role": "web"},
        "public_keys": {"mine": "ssh-ed25519 AAAA me"},
        "keys": [{"name": "mine", "type": "ssh", "data": "ssh-ed25519 AAAA me"}],
        "files": [{"content_path": "/content/0000", "path": "/etc/motd"}],
        "admin_pass": "secret",
    }
    latest = document("/openstack/latest/meta_data.json")
    assert set(latest) - set(first) == {"random_seed", "project_id", "devices", "dedicated_cpus"}
    assert len(base64.b64decode(latest["random_seed"])) == 512
    assert latest["devices"][0]["tags"] == ["front"]
    assert latest["random_seed"] != document("/openstack/latest/meta_data.json")["random_seed"]
    assert document("/openstack/latest/network_data.json")["links"] == [{"id": "tap1"}]
    assert get("/openstack/latest/user_data").body == b"#!/bin/sh\necho \xff" == get("/latest/user-data").body


def test_only_network_and_source_address_say_who_asks() -> None:
    assert document("/openstack/latest/meta_data.json", network="net-2")["uuid"] == "other"
    assert "public_keys" not in document("/openstack/latest/meta_data.json", network="net-2")
    assert get("/latest/user-data", network="net-2").status == 404
    for source in ("10.0.0.6", "10.0.0.7", "10.0.0.8", "169.254.169.254"):
        assert get("/openstack", source=source).status == 404
    assert get("/openstack", network="net-3").status == 404


def test_a_password_is_told_once() -> None:
    one = service()
    path = "/openstack/latest/password"
    assert one.answer("net-1", "10.0.0.5", "POST", path, b"x" * 2000).status == 400
    assert one.answer("net-1", "10.0.0.5", "POST", path, b"encrypted").status == 200
    assert one.answer("net-1", "10.0.0.5", "POST", path, b"again").status == 409
    assert one.answer("net-1", "10.0.0.5", "GET", path) == Reply(200, b"encrypted")
    assert one.answer("net-2", "10.0.0.5", "GET", path) == Reply(200, b"")
    assert one.answer("net-1", "10.0.0.5", "DELETE", path).status == 405
    assert one.answer("net-1", "10.0.0.5", "POST", "/openstack/latest/user_data").status == 405


def test_the_config_drive_holds_the_same_documents() -> None:
    files = config_drive(SPEC, b"s" * 512)
    latest = json.loads(files["openstack/latest/meta_data.json"])
    served = document("/openstack/latest/meta_data.json")
    assert latest.pop("random_seed") != served.pop("random_seed") and latest == served
    assert files["openstack/content/0000"] == b"hello"
    assert files["ec2/latest/user-data"] == files["openstack/2012-08-10/user_data"]
    assert "openstack/latest/password" not in files
    assert json.loads(files["ec2/2009-04-04/meta-data.json"])["instance-id"].startswith("i-")
    assert config_drive(ServerSpec(ID, 1, "running", 1, 64), b"") == {}


def test_hostile_specs_are_rendered_without_harm() -> None:
    hostile = msgspec.structs.replace(
        METADATA, user_data="not base64!", files=(("/etc/x", "%%%"), ("/y", "aGk=")), public_keys={"a\nb": "k\n\nk"}
    )
    spec = msgspec.structs.replace(SPEC, metadata=hostile)
    files = config_drive(spec, b"")
    assert files["openstack/latest/user_data"] == b""
    assert all(".." not in path for path in files)


async def talk(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


def test_over_a_socket() -> None:
    async def body() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        network = NetworkSpec("n", 1, 1442, None, {"127.0.0.1": ID})
        servers = MetadataServers(MetadataService({ID: SPEC}.get, {"n": network}.get, GuestPasswords(None)))
        for _ in range(2):
            await servers.serve("n", listening)
        request = b"GET /latest/meta-data/hostname HTTP/1.1\r\nHost: x\r\n\r\n"
        both = await talk(port, request + request)
        assert both.count(b"HTTP/1.1 200 OK") == 2 and both.endswith(b"\r\n\r\nweb.example.org")
        old = await talk(port, b"GET /openstack/ HTTP/1.0\r\n\r\n")
        assert b"Connection: close" in old and old.endswith(b"latest")
        head = await talk(port, request.replace(b"GET", b"HEAD"))
        assert b"Content-Length: 15" in head and head.endswith(b"\r\n\r\n")
        posted = b"POST /openstack/latest/password HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"
        assert b"200 OK" in await talk(port, posted) and b"409" in await talk(port, posted)
        for wrong, status in (
            (b"nonsense\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", b"200"),
            (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", b"431"),
            (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 9_000, b"431"),
            (b"POST /openstack/latest/password HTTP/1.1\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000, b"413"),
        ):
            answer = await talk(port, wrong)
            assert answer == b"reset" or status in answer.split(b"\r\n")[0], (wrong[:40], answer[:80])
        await servers.forget("n")
        await servers.forget("n")
        listening.close()
        with pytest.raises(OSError):
            await talk(port, request)

    asyncio.run(body())
