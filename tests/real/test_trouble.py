"""Machines in trouble: what cannot work is refused in clear words, and what runs survives a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plain_guest import wait_for
from whole_cloud import WholeCloud

from bivouac.cli import doctor

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Iterator[WholeCloud]:
    cloud = WholeCloud(disk_mib=getattr(request, "param", 0))
    yield cloud
    cloud.close()


def refusal(cloud: WholeCloud, *around: str) -> str:
    """What `up` says, started by other commands around it."""
    done = cloud.inside(*around, sys.executable, "-m", "bivouac.cli.main", "up", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert cloud.processes() == set()
    return done.stderr


def test_wrong_settings_are_refused_by_name(cloud: WholeCloud) -> None:
    cloud.state.mkdir()
    (cloud.state / "bivouac.toml").write_text("[http]\nprot = 80\n")
    assert "prot" in refusal(cloud)


def test_a_setting_of_the_wrong_kind_is_refused(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_HTTP_PORT"] = "many"
    assert "http.port" in refusal(cloud)


HIDE = "mount --bind /dev/null {} && exec \"$@\""
MISSING = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovn-controller", "ovn-host"),
    ("nft", "nftables"),
]


@pytest.mark.parametrize(("program", "package"), MISSING)
def test_a_missing_program_is_named_with_its_package(cloud: WholeCloud, program: str, package: str) -> None:
    path = shutil.which(program, path=doctor.SEARCH_PATH)
    assert path, f"{program} is not installed here"
    said = refusal(cloud, "unshare", "-m", "bash", "-c", HIDE.format(path), "hidden")
    assert f"not installed: {program}" in said and f"apt-get install {package}" in said


def test_a_program_that_goes_missing_is_named_and_harms_nothing_for_good(cloud: WholeCloud, tmp_path: Path) -> None:
    cloud.environment["HOME"] = str(tmp_path)
    cloud.bivouac("up")
    cloud.bivouac("setup")
    qemu = shutil.which("qemu-system-x86_64", path=doctor.SEARCH_PATH)
    agent = (cloud.state / "run/agent.pid").read_text().split()[0]
    enter = ("nsenter", "-t", agent, "-m")
    openstack = (str(Path(sys.executable).with_name("openstack")), "--os-cloud", "bivouac", "server")
    create = (*openstack, "create", "--flavor", "m1.micro", "--image", "tiny", "--network", "demo", "--wait")
    cloud.inside(*enter, "mount", "--bind", "/dev/null", str(qemu))
    assert cloud.inside(*create, "sooner", check=False).returncode != 0
    shown = json.loads(cloud.inside(*openstack, "show", "sooner", "-f", "json").stdout)
    assert shown["status"] == "ERROR" and "QEMU" in shown["fault"]["message"], shown["fault"]
    cloud.inside(*enter, "umount", str(qemu))
    assert cloud.inside(*create, "later", "-f", "value", "-c", "status").stdout.strip() == "ACTIVE"
    # The host goes on trying what is wanted, so what had failed comes by itself.
    wait_for("all servers", lambda: states(cloud, *openstack, "list", "-f", "json") == {
        "demo": "ACTIVE", "later": "ACTIVE", "sooner": "ACTIVE"
    })  # fmt: skip


def states(cloud: WholeCloud, *command: str) -> dict[str, str]:
    return {server["Name"]: server["Status"] for server in json.loads(cloud.inside(*command).stdout)}


KERNELS = [
    (("setarch", "x86_64", "--uname-2.6"), "is too old", "5.10 or newer"),
    (("setarch", "i686"), "Linux on i686", "x86_64 machines"),
    (("unshare", "-m", "bash", "-c", "mount -t tmpfs none /dev/net && exec \"$@\"", "hidden"), "/dev/net/tun",
     "modprobe tun"),
]  # fmt: skip


@pytest.mark.parametrize(("around", "what", "mend"), KERNELS)
def test_a_wrong_kernel_is_refused(cloud: WholeCloud, around: tuple[str, ...], what: str, mend: str) -> None:
    said = refusal(cloud, *around)
    assert what in said and mend in said


@pytest.mark.parametrize(("port", "setting"), [(5000, "http.port"), (8080, "swift_port"), (9000, "s3_port")])
def test_a_port_in_use_is_named_with_its_holder(cloud: WholeCloud, port: int, setting: str) -> None:
    holding = "import socket, sys; s = socket.create_server(('', int(sys.argv[1]))); print(flush=True); s.accept()"
    with cloud.start(sys.executable, "-c", holding, str(port)) as holder:
        assert holder.stdout and holder.stdout.readline()
        done = cloud.bivouac("up", check=False)
        holder.kill()
    assert done.returncode == 1
    assert f"127.0.0.1:{port} is in use by python" in done.stderr and setting in done.stderr


def test_several_ups_at_once_make_one_cloud(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_DRIVERS"] = "sim"
    cloud.listen_on("10.77.0.9")  # so that they could make certificates against each other, too
    ups = [cloud.start(sys.executable, "-m", "bivouac.cli.main", "up") for _ in range(3)]
    for up in ups:
        _, said = up.communicate(timeout=120)
        assert up.returncode == 0 or "is at work in" in said, said
    assert [up.returncode for up in ups].count(0) >= 1
    wait_for("a healthy status", lambda: cloud.bivouac("status", check=False).returncode == 0, 60)
    supervisors = [pid for pid in cloud.processes() if b"bivouac.cli.supervisor" in command_line(pid)]
    assert len(supervisors) == 1
    assert cloud.bivouac("up").returncode == 0


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_second_cloud_on_the_same_ports_is_refused(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_DRIVERS"] = "sim"
    cloud.bivouac("up")
    other = cloud.bivouac("up", "--state", f"{cloud.state}x", check=False)
    assert other.returncode == 1
    assert "5000 is in use by" in other.stderr and "http.port" in other.stderr
    assert cloud.bivouac("status", check=False).returncode == 0


@pytest.mark.parametrize("cloud", [300], indirect=True)
def test_a_disk_too_small_is_refused(cloud: WholeCloud) -> None:
    assert "GiB free" in refusal(cloud)


def test_a_path_too_long_for_sockets_is_refused(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_STATE"] = f"{cloud.state}/{'x' * 60}"
    assert "too long" in refusal(cloud) or "bytes long" in refusal(cloud)


@pytest.mark.parametrize("cloud", [1300], indirect=True)
def test_a_full_disk_stops_nothing_for_good(cloud: WholeCloud) -> None:
    cloud.bivouac("up")
    supervisor = (cloud.state / "run/supervisor.pid").read_text()
    with (cloud.state / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(1 << 20))
    for process in json.loads((cloud.state / "run/status.json").read_text())["processes"]:
        os.kill(process["identity"]["pid"], signal.SIGKILL)
    status = cloud.bivouac("status", check=False)
    assert "Traceback" not in status.stderr
    (cloud.state / "filler").unlink()
    wait_for("a healthy status", lambda: cloud.bivouac("status", check=False).returncode == 0, 120)
    assert (cloud.state / "run/supervisor.pid").read_text() == supervisor
    assert cloud.bivouac("db", "check").returncode == 0


CALLS = """
import hashlib, json, sys, urllib.error, urllib.request
state, action = sys.argv[1:]
api, body = "http://127.0.0.1:5000", json.dumps

def ask(method, url, data=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method))
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read()

password = open(f"{state}/control/admin-password").read().strip()
user = {"name": "admin", "domain": {"id": "default"}, "password": password}
auth = {"identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}
status, fields, said = ask("POST", f"{api}/identity/v3/auth/tokens", body({"auth": auth}).encode(),
                           Content_Type="application/json")
assert status == 201, said
token, project = fields["X-Subject-Token"], json.loads(said)["token"]["project"]["id"]
objects = f"http://127.0.0.1:8080/object-store/v1/AUTH_{project}"
bytes_ = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(40000))

def make_project(name, description=""):
    wanted = {"project": {"name": name, "description": description}}
    status, _, said = ask("POST", f"{api}/identity/v3/projects", body(wanted).encode(), X_Auth_Token=token,
                          Content_Type="application/json")
    return status, said.decode()

def put(name):
    status, _, said = ask("PUT", f"{objects}/{name}", bytes_ if "/" in name else b"", X_Auth_Token=token)
    return status, said.decode()

def images():
    return json.loads(ask("GET", f"{api}/image/v2/images", X_Auth_Token=token)[2])["images"]

if action == "make":
    assert make_project("kept")[0] == 201
    assert put("kept")[0] == 201 and put("kept/one")[0] == 201
    wanted = {"name": "kept", "disk_format": "raw", "container_format": "bare"}
    status, _, said = ask("POST", f"{api}/image/v2/images", body(wanted).encode(), X_Auth_Token=token,
                          Content_Type="application/json")
    path = json.loads(said)["file"]
    sector = bytes(510) + bytes([0x55, 0xAA])
    assert ask("PUT", f"{api}/image{path}", sector + bytes_, X_Auth_Token=token,
               Content_Type="application/octet-stream")[0] == 204
if action == "refused":
    answers = [make_project(f"p{number}", "x" * 60000) for number in range(200)]
    refused = [answer for answer in answers if answer[0] != 201]
    assert refused and all(status == 503 and "disk" in said and "full" in said for status, said in refused), refused[:2]
    status, said = put("kept/two")
    assert status == 507 and "full" in said, (status, said)
if action in ("refused", "look"):
    found = json.loads(ask("GET", f"{api}/identity/v3/projects?name=kept", X_Auth_Token=token)[2])["projects"]
    assert len(found) == 1
    assert ask("GET", f"{objects}/kept/one", X_Auth_Token=token)[2] == bytes_
    [image] = [image for image in images() if image["name"] == "kept"]
    assert image["status"] == "active"
    assert ask("GET", f"{api}/image{image['file']}", X_Auth_Token=token)[2][512:] == bytes_
if action == "look":
    assert make_project("after")[0] == 201 and put("kept/after")[0] == 201
"""


def call(cloud: WholeCloud, action: str) -> None:
    cloud.inside(sys.executable, "-c", CALLS, str(cloud.state), action)


@pytest.mark.parametrize("cloud", [1300], indirect=True)
def test_a_full_disk_is_said_in_clear_words_and_loses_nothing(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_DRIVERS"] = "sim"
    cloud.bivouac("up")
    call(cloud, "make")
    with (cloud.state / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(1 << 16))
    call(cloud, "refused")
    (cloud.state / "filler").unlink()
    call(cloud, "look")
    wait_for("a healthy status", lambda: cloud.bivouac("status", check=False).returncode == 0, 60)
    assert cloud.bivouac("db", "check").returncode == 0


def test_a_power_cut_loses_nothing_that_was_answered(cloud: WholeCloud) -> None:
    cloud.environment["BIVOUAC_DRIVERS"] = "sim"
    cloud.bivouac("up")
    call(cloud, "make")
    cloud.cut_the_power()
    wait_for("all processes to be gone", lambda: not cloud.processes(), 30)
    cloud.bivouac("up")
    call(cloud, "look")
    assert cloud.bivouac("db", "check").returncode == 0
