"""The OVSDB client against a real ovsdb-server: transactions, errors, a mirror that follows."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bivouac.core import ovsdb

pytestmark = pytest.mark.skipif(shutil.which("ovsdb-server") is None, reason="needs ovsdb-server")
SCHEMA = {
    "name": "Camp",
    "version": "1.0.0",
    "tables": {
        "Tent": {
            "columns": {
                "name": {"type": "string"},
                "tags": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "poles": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
            },
            "isRoot": True,
            "indexes": [["name"]],
        }
    },
}


def _listens(where: Path) -> bool:
    """Whether the server takes connections: its socket is there a moment before it listens."""
    descriptor = os.open(where, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"/proc/self/fd/{descriptor}/sock") == 0
    finally:
        os.close(descriptor)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[str]:
    where = tmp_path / ("a-long-directory-name-" * 5)
    where.mkdir()
    (where / "schema").write_text(json.dumps(SCHEMA))
    subprocess.run(["ovsdb-tool", "create", "db", "schema"], check=True, cwd=where)
    server = subprocess.Popen(
        ["ovsdb-server", "db", f"--remote=punix:{where}/sock", f"--unixctl={where}/ctl", "--no-chdir", "-vconsole:off"],
        cwd=where,
    )
    while not _listens(where):
        assert server.poll() is None
        time.sleep(0.005)
    yield f"unix:{where}/sock"
    server.terminate()
    server.wait()


def insert(name: str) -> ovsdb.Operation:
    row = {"name": name, "tags": ovsdb.to_map({"colour": "grün"}), "poles": ovsdb.to_set([1, 2])}
    return {"op": "insert", "table": "Tent", "row": row}


def test_rows_come_back_as_written_even_over_a_long_path(remote: str) -> None:
    ovsdb.transact(remote, "Camp", insert("one"))
    row = ovsdb.transact(remote, "Camp", {"op": "select", "table": "Tent", "where": []})[0]["rows"][0]
    assert ovsdb.from_map(row["tags"]) == {"colour": "grün"}
    assert sorted(ovsdb.from_set(row["poles"])) == [1, 2]


def test_a_refused_operation_names_itself_and_nothing_is_done(remote: str) -> None:
    with pytest.raises(ovsdb.OvsdbError, match="constraint violation"):
        ovsdb.transact(remote, "Camp", insert("same"), insert("same"))
    assert ovsdb.transact(remote, "Camp", {"op": "select", "table": "Tent", "where": []})[0]["rows"] == []


def test_the_mirror_follows_what_others_write(remote: str) -> None:
    ovsdb.transact(remote, "Camp", *[insert(f"tent {at}") for at in range(2000)])
    with ovsdb.Session(remote, "Camp") as session:
        session.monitor({"Tent": ["name", "tags"]})
        assert len(session.tables["Tent"]) == 2000
        assert not session.wait(0.01)
        ovsdb.transact(remote, "Camp", {"op": "delete", "table": "Tent", "where": [["name", "!=", "tent 7"]]})
        while len(session.tables["Tent"]) > 1:
            assert session.wait(10)
        assert [row["name"] for row in session.tables["Tent"].values()] == ["tent 7"]


def test_nobody_there_is_an_ovsdb_error(tmp_path: Path) -> None:
    with pytest.raises(ovsdb.OvsdbError):
        ovsdb.transact(f"unix:{tmp_path}/none", "Camp")
