"""The tools people already have, each doing a real job against a real door: copy a tree up, bring it back, compare.

A tool that is not installed is skipped.
"""

from __future__ import annotations

import filecmp
import os
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
