"""The tools people already have, each doing a real job against a real door: copy a tree up, bring it back, compare.

A tool that is not installed is skipped.
"""

from __future__ import annotations

import filecmp
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("boto3")

from s3_service import Service  # noqa: E402


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("s3"))
    yield service
    service.stop()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with small, odd and large files."""
    tree = tmp_path / "tree"
    for name, size in (("a.txt", 5), ("empty", 0), ("sub/b c+d.bin", 70_000), ("sub/deep/ü.bin", 20 << 20)):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return tree


@pytest.fixture
def environment(service: Service, tmp_path: Path) -> dict[str, str]:
    """Variables that the tools read; a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "main",
        "AWS_SECRET_ACCESS_KEY": "secret-main",
        "AWS_DEFAULT_REGION": "RegionOne",
        "AWS_ENDPOINT_URL": service.url,
    }


def tool(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:" + os.environ["PATH"])
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def same(left: Path, right: Path) -> bool:
    """Whether two trees hold the same files with the same bytes."""
    names = [sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()) for root in (left, right)]
    return names[0] == names[1] and all(filecmp.cmp(left / name, right / name, shallow=False) for name in names[0])


def test_awscli(environment: dict[str, str], tree: Path, tmp_path: Path) -> None:
    aws = tool("aws")
    run(environment, aws, "s3", "mb", "s3://by-awscli")
    run(environment, aws, "s3", "sync", str(tree), "s3://by-awscli/tree")
    assert "20971520" in run(environment, aws, "s3", "ls", "--recursive", "s3://by-awscli")
    run(environment, aws, "s3", "mv", "s3://by-awscli/tree/a.txt", "s3://by-awscli/moved.txt")
    run(environment, aws, "s3", "mv", "s3://by-awscli/moved.txt", "s3://by-awscli/tree/a.txt")
    run(environment, aws, "s3", "sync", "s3://by-awscli/tree", str(tmp_path / "back"))
    assert same(tree, tmp_path / "back")
    run(environment, aws, "s3", "rb", "--force", "s3://by-awscli")


def test_rclone(service: Service, environment: dict[str, str], tree: Path, tmp_path: Path) -> None:
    rclone = tool("rclone")
    remote = f":s3,provider=Other,env_auth=true,endpoint='{service.url}',force_path_style=true:by-rclone"
    run(environment, rclone, "mkdir", remote)
    run(environment, rclone, "sync", str(tree), f"{remote}/tree", "--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M")
    run(environment, rclone, "check", str(tree), f"{remote}/tree", "--download")
    (tree / "a.txt").unlink()
    run(environment, rclone, "sync", str(tree), f"{remote}/tree")
    run(environment, rclone, "copy", f"{remote}/tree", str(tmp_path / "back"))
    assert same(tree, tmp_path / "back")
    run(environment, rclone, "purge", remote)


def test_s3cmd(service: Service, environment: dict[str, str], tree: Path, tmp_path: Path) -> None:
    host = service.url.removeprefix("http://")
    command = [
        tool("s3cmd"), "--access_key=main", "--secret_key=secret-main", f"--host={host}", f"--host-bucket={host}",
        "--no-ssl", "--region=RegionOne", "--multipart-chunk-size-mb=5", "--no-progress",
    ]  # fmt: skip
    run(environment, *command, "mb", "s3://by-s3cmd")
    run(environment, *command, "sync", f"{tree}/", "s3://by-s3cmd/tree/")
    (tmp_path / "back").mkdir()
    run(environment, *command, "sync", "s3://by-s3cmd/tree/", f"{tmp_path}/back/")
    assert same(tree, tmp_path / "back")
    run(environment, *command, "--signature-v2", "ls", "s3://by-s3cmd/tree/")
    run(environment, *command, "rb", "--recursive", "--force", "s3://by-s3cmd")


def test_restic(service: Service, environment: dict[str, str], tree: Path, tmp_path: Path) -> None:
    restic = tool("restic")
    environment |= {"RESTIC_PASSWORD": "password", "RESTIC_REPOSITORY": f"s3:{service.url}/by-restic"}
    run(environment, restic, "init")
    run(environment, restic, "backup", str(tree))
    run(environment, restic, "check", "--read-data")
    run(environment, restic, "restore", "latest", "--target", str(tmp_path / "back"))
    assert same(tree, tmp_path / "back" / str(tree).lstrip("/"))


def test_s3fs(service: Service, environment: dict[str, str], tree: Path, tmp_path: Path) -> None:
    s3fs = tool("s3fs")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        pytest.skip("file systems in user space cannot be mounted here")
    service.client().create_bucket(Bucket="by-s3fs")
    mount, secret = tmp_path / "mount", tmp_path / "secret"
    mount.mkdir()
    secret.write_text("main:secret-main")
    secret.chmod(0o600)
    options = f"url={service.url},use_path_request_style,passwd_file={secret},endpoint=RegionOne,multipart_size=10"
    run(environment, s3fs, "by-s3fs", str(mount), "-o", options)
    try:
        shutil.copytree(tree, mount / "tree")
        (mount / "tree/a.txt").rename(mount / "tree/moved.txt")
        (tree / "a.txt").rename(tree / "moved.txt")
        with (mount / "tree/moved.txt").open("a") as file:
            file.write("more")
        with (tree / "moved.txt").open("a") as file:
            file.write("more")
        assert same(tree, mount / "tree")
        (mount / "tree/empty").unlink()
    finally:
        run(environment, tool("fusermount3"), "-u", str(mount))
    keys = {entry["Key"] for entry in service.client().list_objects_v2(Bucket="by-s3fs")["Contents"]}
    assert {"tree/moved.txt", "tree/sub/b c+d.bin", "tree/sub/deep/ü.bin"} < keys and "tree/empty" not in keys


def test_duplicity(service: Service, environment: dict[str, str], tree: Path, tmp_path: Path) -> None:
    duplicity = tool("duplicity")
    # It speaks S3 through the boto3 of the Python that it was installed for.
    python = Path(duplicity).read_text().split("\n", 1)[0].removeprefix("#!").strip()
    if subprocess.run([*shlex.split(python), "-c", "import boto3"], capture_output=True, check=False).returncode:
        pytest.skip("duplicity has no boto3")
    service.client().create_bucket(Bucket="by-duplicity")
    options = ["--no-encryption", "--s3-endpoint-url", service.url, "--archive-dir", str(tmp_path / "cache")]
    address = "boto3+s3://by-duplicity/backup"
    run(environment, duplicity, "full", *options, str(tree), address)
    (tree / "a.txt").write_bytes(b"changed")
    (tree / "empty").unlink()
    run(environment, duplicity, "incremental", *options, str(tree), address)
    shutil.rmtree(tmp_path / "cache")  # as on a new machine
    run(environment, duplicity, "verify", "--compare-data", *options, address, str(tree))
    run(environment, duplicity, "restore", *options, address, str(tmp_path / "back"))
    assert same(tree, tmp_path / "back")


def test_boto3(service: Service, tree: Path, tmp_path: Path) -> None:
    client = service.client()
    client.create_bucket(Bucket="by-boto3")
    for path in (path for path in tree.rglob("*") if path.is_file()):
        client.upload_file(str(path), "by-boto3", str(path.relative_to(tree)))
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="by-boto3", PaginationConfig={"PageSize": 2}):
        for entry in page["Contents"]:
            target = tmp_path / "back" / entry["Key"]
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file("by-boto3", entry["Key"], str(target))
    assert same(tree, tmp_path / "back")


def test_python_swiftclient(service: Service, environment: dict[str, str], tree: Path, tmp_path: Path) -> None:
    account = f"http://127.0.0.1:{service.swift_port}/object-store/v1/AUTH_project-main"
    swift = [tool("swift"), "--os-storage-url", account, "--os-auth-token", "main"]
    large = ["--segment-size", str(5 << 20), "--use-slo"]
    done = subprocess.run(
        [*swift, "upload", *large, "by-swift", "."], env=environment, cwd=tree, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run(environment, *swift, "download", "by-swift", "--output-dir", str(tmp_path / "back"))
    assert same(tree, tmp_path / "back")
    listed = run(environment, *swift, "list", "by-swift").splitlines()
    assert "sub/deep/ü.bin" in listed
    # What one dialect wrote the other reads.
    got = service.client().get_object(Bucket="by-swift", Key="sub/deep/ü.bin")
    assert got["Body"].read() == (tree / "sub/deep/ü.bin").read_bytes()
    run(environment, *swift, "delete", "by-swift")
    assert "by-swift" not in run(environment, *swift, "list").splitlines()
