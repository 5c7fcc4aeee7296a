"""The store: opens an engine, runs rules in transactions, migrates, and passes bells on."""

import asyncio
import importlib.resources
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from .sqlite import SqliteEngine
from .tx import Actor, Tx

T = TypeVar("T")
Bell = Callable[[str, str], None]


class Store:
    """Reads and writes of one process. Rules get a `Tx` first, then the arguments given here."""

    def __init__(self, engine: Any, bells: list[Bell]):
        self.engine = engine
        self._bells = bells

    async def read(self, rule: Callable[..., T], *args: Any) -> T:
        """Run a rule that only reads. On SQLite inline (it must stay under a few milliseconds)."""
        if self.engine.name == "sqlite":
            return self.engine.read(rule, args)
        return await asyncio.wrap_future(self.engine.submit_read(rule, args))

    async def write(self, rule: Callable[..., T], *args: Any, actor: Actor | None = None, plan: bool = False) -> T:
        """Run a rule in one transaction, durable when this returns. `actor` goes into `changes`.

        `plan`: the rule runs in full and is rolled back; its result is what would have been.
        """
        return await asyncio.wrap_future(self.engine.write(rule, args, actor, plan))

    def read_now(self, rule: Callable[..., T], *args: Any) -> T:
        """`read` for threads and start-up code."""
        return self.engine.read(rule, args)

    def write_now(self, rule: Callable[..., T], *args: Any, actor: Actor | None = None, plan: bool = False) -> T:
        """`write` for threads and start-up code."""
        return self.engine.write(rule, args, actor, plan).result()

    def on_bell(self, listener: Bell) -> None:
        """Call `listener(loop, key)` after each commit that rang. It may be called on any thread: be quick."""
        self._bells.append(listener)

    def ring(self, loop: str, key: str) -> None:
        """Wake a loop of this process, for what moved outside the store."""
        for listener in self._bells:
            listener(loop, key)

    def migrate(self, packages: Iterable[str]) -> list[str]:
        """Apply what is new of `<package>/migrations/NNNN_name.sql`, per package in order; returns their names."""
        self.engine.script(
            [
                "CREATE TABLE IF NOT EXISTS schema_versions (package TEXT NOT NULL, version BIGINT NOT NULL, "
                "name TEXT NOT NULL, PRIMARY KEY (package, version))"
            ]
        )
        done = {tuple(row) for row in self.read_now(_versions)}
        applied = []
        for package in packages:
            for version, name, text in _migrations(package):
                if (package, version) not in done:
                    insert = f"INSERT INTO schema_versions VALUES ('{package}', {version}, '{name}')"
                    self.engine.script([*_statements(text), insert])
                    applied.append(f"{package}/{name}")
        return applied

    def close(self) -> None:
        self.engine.close()


def open_store(url: str, path: Path | str = "") -> Store:
    """`postgresql://...`, or the SQLite file at `path` when the URL is empty."""
    bells: list[Bell] = []

    def ring(loop: str, key: str) -> None:
        for listener in bells:
            listener(loop, key)

    if url.startswith(("postgresql:", "postgres:")):
        from .postgresql import PostgresqlEngine  # noqa: PLC0415 - an extra that the embedded cloud has not

        return Store(PostgresqlEngine(url, ring), bells)
    return Store(SqliteEngine(path, ring), bells)


def _versions(tx: Tx) -> list[tuple[Any, ...]]:
    return tx.query("SELECT package, version FROM schema_versions")


def _migrations(package: str) -> list[tuple[int, str, str]]:
    """(version, file name, text), in order."""
    folder = importlib.resources.files(package) / "migrations"
    found = []
    for entry in folder.iterdir():
        if match := re.match(r"^(\d{4})_\w+\.sql$", entry.name):
            found.append((int(match.group(1)), entry.name, entry.read_text()))
    return sorted(found)


def _statements(text: str) -> list[str]:
    """Statements of a migration: they end in `;` at the end of a line; comments are whole lines."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [one.strip() for one in re.split(r";\s*(?:\n|$)", "\n".join(lines)) if one.strip()]
