"""Fixtures of all tests: a store on each engine. PostgreSQL is a real server in a directory of its own."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hypothesis
import psycopg
import pytest

from bivouac.core.store import Store, open_store

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

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


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: Callable[[str], str]) -> Callable[[Sequence[str]], str]:
    """Gives a function that makes a database with the tables of some packages and gives its URL. The first of each kind
    is migrated and kept as the template of the others: copying files is much quicker than running every migration."""
    templates: dict[Sequence[str], str] = {}

    def create(name: str, template: str) -> str:
        with psycopg.connect(postgresql_server("postgres"), autocommit=True) as connection:
            statement = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
            connection.execute(statement)  # type: ignore[arg-type]
        return postgresql_server(name)

    def make(packages: Sequence[str]) -> str:
        if packages not in templates:
            template = f"template{uuid.uuid4().hex}"
            store = open_store(create(template, "template0"))
            store.migrate(["bivouac.core", *packages])
            store.close()
            templates[packages] = template
        return create(f"t{uuid.uuid4().hex}", templates[packages])

    return make


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
            store = open_store(request.getfixturevalue("postgresql_database")(packages))
        store.migrate(["bivouac.core", *packages])
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()
