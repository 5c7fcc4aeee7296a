"""Our entries come and go; everything else in the file stays letter by letter."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bivouac.cli.clouds_yaml import CloudsFileError, put_entries, remove_entries

OURS = {"bivouac": {"auth": {"auth_url": "http://127.0.0.1:5000/identity/v3", "password": 'q"\\: #'}, "verify": True}}
OTHERS = """\
# my clouds
cache:
  expiration_time: 3600
clouds:
    # at work
    work:
        auth: {auth_url: 'https://work.example/v3', password: "s"}   # keep
    home:
        region_name: RegionOne
other: [1, 2]
"""


def test_a_missing_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "openstack/clouds.yaml"
    assert put_entries(path, OURS)
    assert yaml.safe_load(path.read_text()) == {"clouds": OURS}
    assert path.stat().st_mode & 0o077 == 0


def test_putting_the_same_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(OTHERS)
    assert put_entries(path, OURS)
    once = path.read_text()
    assert not put_entries(path, OURS)
    assert path.read_text() == once


def test_every_line_of_others_survives_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(OTHERS)
    put_entries(path, OURS)
    lines = path.read_text().splitlines()
    assert [line for line in lines if line in OTHERS.splitlines()] == OTHERS.splitlines()
    assert yaml.safe_load(path.read_text())["clouds"]["bivouac"] == OURS["bivouac"]


def test_an_old_entry_of_ours_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(OTHERS)
    put_entries(path, {"bivouac": {"auth": {"password": "old"}}})
    put_entries(path, OURS)
    assert yaml.safe_load(path.read_text())["clouds"]["bivouac"] == OURS["bivouac"]
    assert "old" not in path.read_text()


def test_removing_gives_the_old_file_back(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(OTHERS)
    put_entries(path, OURS)
    remove_entries(path)
    assert path.read_text() == OTHERS


def test_removing_from_a_file_of_ours_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    put_entries(path, OURS)
    remove_entries(path)
    assert not path.exists()


@pytest.mark.parametrize("text", ["clouds: {work: {}}\n", "- a\n- list\n", "clouds: [\n"])
def test_a_file_that_cannot_be_changed_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    with pytest.raises(CloudsFileError):
        put_entries(path, OURS)
    assert path.read_text() == text
