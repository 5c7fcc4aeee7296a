"""Fixtures of all tests: a store on each engine. PostgreSQL is a real server in a directory of its own."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bivouac.core.store import Store, open_store

POSTGRESQL_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Callable[[str], str]]:
    """Starts a PostgreSQL on a Unix socket; gives a function from a database name to its URL."""
    binaries = POSTGRESQL_BIN[-1]
    folder = Path(tempfile.mkdtemp(prefix="bivouac-pg-"))
    as_user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "nobody")
    folder.chmod(0o755)
    data = folder / "data"
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd=folder, env=environment)

    run(str(binaries / "initdb"), "-D", str(data), "-U", "bivouac", "-A", "trust", "--no-sync", "-E", "UTF8")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200 -c shared_buffers=32MB"
    run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield lambda name: f"postgresql://bivouac@/{name}?host={folder}"
    finally:
        run(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


ENGINES = os.environ.get("BIVOUAC_TEST_ENGINES", "sqlite,postgresql").split(",")
"""For a quick look on one engine only; the whole suite runs on both."""


@pytest.fixture(params=ENGINES)
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Gives a function that opens an empty, migrated store: `make_store("bivouac.identity", ...)`, on each engine."""
    opened: list[Store] = []

    def make(*packages: str) -> Store:
        if request.param == "sqlite":
            store = open_store("", tmp_path / f"{uuid.uuid4().hex}.db")
        else:
            import psycopg

            url = request.getfixturevalue("postgresql_server")
            name = f"t{uuid.uuid4().hex}"
            with psycopg.connect(url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
            store = open_store(url(name))
        store.migrate(["bivouac.core", *packages])
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()
