"""A cloud that listens beyond loopback: everything over TLS by its own authority, for the unmodified clients too."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from plain_guest import wait_for
from whole_cloud import WholeCloud

from bivouac.agent import membership
from bivouac.core import certificates
from bivouac.core.settings import load

pytestmark = pytest.mark.timeout(600)
ADDRESS = "10.77.0.1"
OPENSTACK = str(Path(sys.executable).with_name("openstack"))
OLD_S = 80 * 86400


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCloud]:
    cloud = WholeCloud()
    home = tmp_path_factory.mktemp("home")
    cloud.environment |= {"BIVOUAC_DRIVERS": "sim", "HOME": str(home), "SUDO_USER": ""}
    cloud.listen_on(ADDRESS)
    try:
        cloud.bivouac("up")
        cloud.bivouac("setup", "--no-server")
        yield cloud
    finally:
        cloud.close()


@pytest.fixture(scope="module")
def further(cloud: WholeCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What host-b joined with. It is a state directory of its own with one simulated host."""
    file = tmp_path_factory.mktemp("carried") / "host-b.host"
    cloud.bivouac("host", "add", "host-b", "--output", str(file))
    state = f"{cloud.state}b"
    try:
        cloud.bivouac("host", "join", str(file), "--state", state)
        yield file
    finally:
        cloud.bivouac("destroy", "--yes", "--state", state, check=False)


def openstack(cloud: WholeCloud, *words: str, who: str = "bivouac") -> str:
    return cloud.inside(OPENSTACK, "--os-cloud", who, *words).stdout.strip()


def python(cloud: WholeCloud, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return cloud.inside(sys.executable, "-c", program, *arguments, check=check)


def authority(cloud: WholeCloud) -> str:
    return str(cloud.state / "authority/certificate.pem")


def test_every_endpoint_is_https_and_the_stock_client_trusts_it(cloud: WholeCloud) -> None:
    catalog = json.loads(openstack(cloud, "catalog", "list", "-f", "json"))
    urls = [endpoint["url"] for service in catalog for endpoint in service["Endpoints"]]
    assert len(catalog) >= 6 and all(url.startswith(f"https://{ADDRESS}:") for url in urls), urls
    assert "m1.micro" in openstack(cloud, "flavor", "list", "-f", "value")
    openrc = (cloud.state / "access/demo-openrc").read_text()
    assert f"OS_CACERT={authority(cloud)}" in openrc and f"https://{ADDRESS}:5000" in openrc


def test_objects_go_through_both_doors(cloud: WholeCloud, tmp_path: Path) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(os.urandom(20 << 20))
    openstack(cloud, "container", "create", "one")
    openstack(cloud, "object", "create", "one", str(sent), "--name", "big")
    openstack(cloud, "object", "save", "one", "big", "--file", str(got))
    assert got.read_bytes() == sent.read_bytes()
    key = json.loads(openstack(cloud, "ec2", "credentials", "create", "-f", "json"))
    python(cloud, BOTO3, f"https://{ADDRESS}:9000", authority(cloud), key["access"], key["secret"], str(sent))


BOTO3 = """
import sys, boto3
url, authority, access, secret, path = sys.argv[1:]
names = {"aws_access_key_id": access, "aws_secret_access_key": secret, "region_name": "RegionOne"}
s3 = boto3.client("s3", endpoint_url=url, verify=authority, **names)
s3.create_bucket(Bucket="two")
s3.upload_file(path, "two", "big")
assert s3.get_object(Bucket="two", Key="big")["Body"].read() == open(path, "rb").read()
"""


@pytest.mark.parametrize("port", [5000, 8080, 9000])
def test_who_does_not_trust_the_authority_or_speaks_in_clear_gets_nothing(cloud: WholeCloud, port: int) -> None:
    said = python(cloud, DISTRUST, ADDRESS, str(port)).stdout.split()
    assert said == ["SSLCertVerificationError", "nothing"]


DISTRUST = """
import socket, ssl, sys
address, port = sys.argv[1], int(sys.argv[2])
try:
    ssl.create_default_context().wrap_socket(socket.create_connection((address, port), 10), server_hostname=address)
except ssl.SSLError as error:
    print(type(error).__name__)
plain = socket.create_connection((address, port), 10)
plain.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
try:
    print(b"HTTP" in plain.recv(100) and "something" or "nothing")
except ConnectionError:
    print("nothing")
"""


def test_key_files_are_their_owner_s_alone(cloud: WholeCloud, further: Path) -> None:
    holding = [cloud.state / "authority/key.pem", cloud.state / "control/server.pem", further]
    holding += [Path(f"{cloud.state}b/agent") / name for name in ("host.pem", "membership.json")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in holding] == [0o600] * len(holding)
    assert stat.S_IMODE(Path(authority(cloud)).stat().st_mode) == 0o644
    assert (cloud.state / "authority/key.pem").stat().st_uid == 0
    assert (cloud.state / "control/server.pem").stat().st_uid == (cloud.state / "control").stat().st_uid


def test_a_host_joins_over_mutual_tls_and_gets_servers(cloud: WholeCloud, further: Path) -> None:
    shown = wait_for("the host", lambda: openstack(cloud, "compute", "service", "list", "-f", "value", "-c", "Host",
                                                   "-c", "State", who="bivouac-admin"))  # fmt: skip
    assert shown == "host-b up"
    wanted = ("--flavor", "m1.micro", "--image", "tiny", "--network", "demo", "--wait", "far")
    assert openstack(cloud, "server", "create", *wanted, "-f", "value", "-c", "status") == "ACTIVE"
    document = json.loads(cloud.bivouac("status", "--json").stdout)
    assert [(host["name"], host["state"]) for host in document["hosts"]] == [("host-b", "up")]


def test_the_agents_listener_knows_hosts_by_their_certificates_and_tells_nothing_else(
    cloud: WholeCloud, further: Path, tmp_path: Path
) -> None:
    joined = membership.read(further)
    membership.store(tmp_path, joined)
    own, trusted = membership.certificate_file(tmp_path), membership.authority_file(tmp_path)
    for shown, name, expected in (
        (own, "host-b", "told"),
        (own, "host-c", "refused"),
        ("", "host-b", "refused"),
        (cloud.state / "control/server.pem", "host-b", "refused"),
    ):
        said = python(cloud, HELLO, joined.control, str(trusted), str(shown), name).stdout.strip()
        assert said == expected, (shown, name)
    paths = ("/status", "/bearers/token", "/identity/v3/auth/tokens", "/healthz")
    said = python(cloud, GET, joined.control, str(trusted), str(own), *paths).stdout.split()
    assert said == ["404"] * len(paths)


HELLO = """
import asyncio, sys
from bivouac.agent.http_client import Endpoint
from bivouac.agent.link import PATH, dial
from bivouac.core.tls import client_context
from bivouac.hostspec import link
url, authority, own, name = sys.argv[1:]

async def run():
    far = await dial(Endpoint(url, client_context(authority, own or None)), PATH)
    await far.send(link.encode(link.Hello(link.HostFacts(name, 1, 1, 1, accelerator="sim"))).decode())
    await asyncio.wait_for(far.recv(), 20)

try:
    asyncio.run(run())
    print("told")
except Exception:
    print("refused")
"""
GET = """
import http.client, sys
from urllib.parse import urlsplit
from bivouac.core.tls import client_context
url, authority, own, *paths = sys.argv[1:]
for path in paths:
    link = http.client.HTTPSConnection(urlsplit(url).netloc, context=client_context(authority, own), timeout=20)
    link.request("GET", path)
    print(link.getresponse().status)
"""


def test_a_renewed_certificate_is_served_without_a_restart(cloud: WholeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(str(cloud.state), cloud.environment)
    pem, before = settings.certificate, processes(cloud)
    owner = pem.stat().st_uid, pem.stat().st_gid
    monkeypatch.setattr(certificates, "SERVER_LIFE", certificates.RENEW_BEFORE - timedelta(days=1))
    pem.unlink()
    certificates.ensure_server(settings.authority_path, pem, settings.names, owner)
    os.utime(pem, (pem.stat().st_mtime - OLD_S,) * 2)
    old = pem.read_text()
    wait_for("the supervisor's renewal", lambda: pem.exists() and pem.read_text() != old, 60)
    ours = pem.read_text().partition("-----BEGIN PRIVATE")[0].strip()
    for port in (5000, 8080, 9000, 5001):
        wait_for(f"the new certificate on port {port}", lambda port=port: served(cloud, port) == ours, 60)
    assert (pem.stat().st_uid, pem.stat().st_gid) == owner
    assert processes(cloud) == before


def served(cloud: WholeCloud, port: int) -> str:
    program = "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2]))))"
    return python(cloud, program, ADDRESS, str(port)).stdout.strip()


def processes(cloud: WholeCloud) -> list[object]:
    return [one["identity"] for one in json.loads(cloud.bivouac("status", "--json", check=False).stdout)["processes"]]


def test_what_cannot_join_is_told_why(cloud: WholeCloud, further: Path, tmp_path: Path) -> None:
    joined = membership.read(further)
    elsewhere = str(tmp_path / "s")

    def refusal(content: bytes) -> str:
        (tmp_path / "file").write_bytes(content)
        done = cloud.bivouac("host", "join", str(tmp_path / "file"), "--state", elsewhere, check=False)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert not Path(elsewhere).exists()
        return done.stderr

    assert "bivouac host add" in refusal(b"{}")
    replace = msgspec.structs.replace
    assert "cannot be reached" in refusal(membership.encode(replace(joined, control=f"https://{ADDRESS}:5999")))
    certificates.ensure_authority(tmp_path / "other", "other")
    foreign = certificates.issue_host(tmp_path / "other", "host-b").decode()
    assert "do not trust" in refusal(membership.encode(replace(joined, certificate=foreign)))
    mine = cloud.bivouac("host", "join", str(further), check=False)
    assert mine.returncode == 1 and "a cloud of its own" in mine.stderr
    named = cloud.bivouac("host", "add", "no/name", check=False)
    assert named.returncode == 1 and "not a host name" in named.stderr
