"""`bivouac db check` on a sound database, a damaged one, and one of another version."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from bivouac.app.cloud import PACKAGES
from bivouac.cli.database import check
from bivouac.cli.errors import CommandFailed
from bivouac.cli.main import main
from bivouac.core.store import open_store


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "bivouac.db"
    store = open_store("", path)
    store.migrate(PACKAGES)
    store.close()
    return path


def problems(database: Path) -> list[str]:
    return [problem for found in check("", database).values() for problem in found]


def test_a_sound_database_has_no_problems(database: Path) -> None:
    assert problems(database) == []


def test_a_dangling_reference_is_found(database: Path) -> None:
    connection = apsw.Connection(str(database))
    connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a)")
    connection.execute("INSERT INTO b VALUES (7)")
    connection.close()
    assert problems(database) == ["b row 1 -> a"]


def test_migrations_that_are_missing_or_from_the_future_are_found(database: Path) -> None:
    connection = apsw.Connection(str(database))
    connection.execute("DELETE FROM schema_versions WHERE package = 'bivouac.core'")
    connection.execute("INSERT INTO schema_versions VALUES ('bivouac.core', 9999, '9999_later.sql')")
    connection.close()
    missing, later = problems(database)[0], problems(database)[-1]
    assert "not applied" in missing and "9999_later.sql" in later


def test_a_damaged_file_is_found(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[-4096:] = b"\xff" * 4096
    database.write_bytes(content)
    # Where the damage lies decides whether the file can be opened at all.
    try:
        found = problems(database)
    except CommandFailed as error:
        found = [str(error)]
    assert found


def test_no_database_is_said_clearly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "--state", str(tmp_path), "check"]) == 1
    assert "there is no database" in capsys.readouterr().err
