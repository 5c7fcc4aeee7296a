"""`bivouac db check`: is the database whole, of the version that this program wants, and true?

It only reads, and may be run while the cloud runs: what disagrees is looked at again for some seconds, as it may just
be on its way. This host and OVN are looked at when the cloud runs and the caller is root.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CommandFailed
from .layout import Layout, user_ids
from .processes import read_pid_file
from .start import load_settings

if TYPE_CHECKING:
    from bivouac.core.settings import Settings

PATIENCE_S = 10.0
"""How long what the database says may take to come true on this host."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`check`."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    actions.add_parser("check", help="look for damage, missing migrations, and what disagrees with this host")


def run(options: argparse.Namespace) -> int:
    """Print one line for each check; 0 when all is well."""
    layout = Layout(Path(options.state).absolute())
    settings = load_settings(layout)
    path = settings.control_path / "bivouac.db"
    if not settings.database.url and not path.exists():
        raise CommandFailed(f"there is no database in {layout.state}; `bivouac up` makes it")
    with _as_its_owner(path):
        found = check(settings.database.url, path)
    if not any(found.values()):
        found |= _settled(layout, settings, path)
    for name, problems in found.items():
        print(f"{'ok ' if not problems else 'BAD'}  {name}")
        for problem in problems[:20]:
            print(f"       {problem}")
    return 1 if any(found.values()) else 0


def _settled(layout: Layout, settings: Settings, path: Path) -> dict[str, list[str]]:
    """What disagrees, and still does a while later."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = _disagreements(layout, settings, path)
        if not any(found.values()) or time.monotonic() > end:
            return found
        time.sleep(0.5)


def _disagreements(layout: Layout, settings: Settings, path: Path) -> dict[str, list[str]]:
    """What the rows say against each other, and against this host and OVN where a cloud runs on real ones."""
    from bivouac.compute.audit import audit as audit_compute
    from bivouac.core.ovsdb import OvsdbError
    from bivouac.core.store import open_store
    from bivouac.drivers.net.ovn import Central
    from bivouac.network import audit as network
    from bivouac.network.projection import snapshot

    from . import host_audit

    here = os.geteuid() == 0 and settings.drivers == "real" and read_pid_file(layout.pid_file("supervisor"))
    view = host_audit.look(layout, settings) if here else None
    with _as_its_owner(path):
        store = open_store(settings.database.url, path)
        try:
            found = store.read_now(audit_compute, time.time()) | store.read_now(network.audit)
            if view is None:
                return found
            found |= host_audit.audit(store.read_now(host_audit.wants, view.name), view)
            central = Central(settings.control_path)
            try:
                rows = store.read_now(snapshot.read)
                servers = settings.network.name_servers
                differing = network.audit_ovn(rows, central.northbound, central.southbound, servers)
            except OvsdbError as error:
                differing = [str(error)]
            return found | {"OVN says what the rows say": differing}
        finally:
            store.close()


def become_owner_of(path: Path) -> None:
    """Root that opens an SQLite database would leave files beside it that control cannot open."""
    ids = user_ids()
    if os.geteuid() != 0 or ids is None or not path.exists():
        return
    os.setgroups([])
    os.setgid(ids[1])
    os.setuid(ids[0])


@contextlib.contextmanager
def _as_its_owner(path: Path) -> Iterator[None]:
    """`become_owner_of`, and root again afterwards."""
    ids = user_ids()
    if os.geteuid() != 0 or ids is None or not path.exists():
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(ids[1])
    os.seteuid(ids[0])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


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
