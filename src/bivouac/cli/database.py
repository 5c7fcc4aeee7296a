"""`bivouac db check`: is the database whole, and of the version that this program wants?

It only reads, and may be run while the cloud runs.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path
from typing import Any

from .errors import CommandFailed
from .layout import Layout, user_ids
from .start import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`check`."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    actions.add_parser("check", help="look for damage, dangling references and missing migrations")


def run(options: argparse.Namespace) -> int:
    """Print one line for each check; 0 when all is well."""
    layout = Layout(Path(options.state).absolute())
    settings = load_settings(layout)
    path = settings.control_path / "bivouac.db"
    if not settings.database.url and not path.exists():
        raise CommandFailed(f"there is no database in {layout.state}; `bivouac up` makes it")
    become_owner_of(path)
    failed = 0
    for name, problems in check(settings.database.url, path).items():
        print(f"{'ok ' if not problems else 'BAD'}  {name}")
        for problem in problems[:20]:
            print(f"       {problem}")
        failed += bool(problems)
    return 1 if failed else 0


def become_owner_of(path: Path) -> None:
    """Root that opens an SQLite database would leave files beside it that control cannot open."""
    ids = user_ids()
    if os.geteuid() != 0 or ids is None or not path.exists():
        return
    os.setgroups([])
    os.setgid(ids[1])
    os.setuid(ids[0])


def check(url: str, path: Path) -> dict[str, list[str]]:
    """The problems found by each check; empty lists are good news. Raises CommandFailed when it cannot be opened."""
    from bivouac.core.store import open_store

    errors = _database_errors(url)
    try:
        store = open_store(url, path)
    except errors as error:
        raise CommandFailed(f"the database cannot be opened: {error}") from error
    try:
        found: dict[str, list[str]] = {}
        if not url:
            found["no damage"] = [row[0] for row in _query(store, "PRAGMA integrity_check") if row[0] != "ok"]
            dangling = _query(store, "PRAGMA foreign_key_check")
            found["no dangling references"] = [f"{row[0]} row {row[1]} -> {row[2]}" for row in dangling]
        found["all migrations applied, none from the future"] = _migrations(store)
        return found
    except errors as error:
        raise CommandFailed(f"the database cannot be read: {error}") from error
    finally:
        store.close()


def _database_errors(url: str) -> tuple[type[Exception], ...]:
    import apsw

    from bivouac.core.store.tx import StoreError

    if not url:
        return StoreError, apsw.Error, OSError
    import psycopg

    return StoreError, psycopg.Error, OSError


def _query(store: Any, sql: str) -> list[tuple[Any, ...]]:
    return store.read_now(lambda tx: tx.query(sql))


def _migrations(store: Any) -> list[str]:
    from bivouac.app.cloud import PACKAGES

    applied = {(package, name) for package, name in _query(store, "SELECT package, name FROM schema_versions")}
    known = {
        (package, file.name)
        for package in PACKAGES
        for module in [importlib.import_module(package)]
        for file in (Path(module.__file__ or "").parent / "migrations").glob("[0-9]*.sql")
    }
    missing = [f"{package}/{name} is not applied; `bivouac up` does it" for package, name in sorted(known - applied)]
    later = [f"{package}/{name} is not known here: this program is older" for package, name in sorted(applied - known)]
    return missing + later
