"""`bivouac objects`: look after the object store, and bring objects in from elsewhere.

`stats`, `check` and `export` read the store themselves, whether it is being served or not. `compact` and `import`
write: they ask the process that serves the store, or open the store when none does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .database import become_owner_of
from .errors import CommandFailed
from .layout import Layout
from .start import load_settings

if TYPE_CHECKING:
    from bivouac.objects.administration import Request
    from bivouac.objects.importing import Job

TIMEOUT_S = 900.0
"""How long the serving process may be silent: it says something every few seconds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`stats`, `check`, `compact`, `export`, `import`."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    stats = actions.add_parser("stats", help="count what is stored, and what it takes")
    stats.add_argument("--json", action="store_true", help="print a JSON document")
    check = actions.add_parser("check", help="prove that index, counters and data agree; 1 if anything is wrong")
    check.add_argument("--quick", action="store_true", help="do not read the data themselves")
    actions.add_parser("compact", help="give free space in the index back to the file system")
    export = actions.add_parser("export", help="write all objects, with their properties, into a folder")
    export.add_argument("target", metavar="FOLDER", help="made if it is not there; it must be empty")
    bring = actions.add_parser(
        "import",
        help="bring objects from an S3 or Swift endpoint; run again, it goes on or copies what has changed",
        epilog="S3 keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; Swift's login from OS_AUTH_URL, "
        "OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME, or ST_AUTH, ST_USER and ST_KEY.",
    )
    bring.add_argument("kind", choices=["s3", "swift"])
    bring.add_argument("--project", required=True, metavar="ID", help="the project that gets the objects")
    bring.add_argument("--endpoint", metavar="URL", help="of S3 (default: AWS_ENDPOINT_URL)")
    bring.add_argument("--region", metavar="NAME", help="of S3's signatures (default: AWS_DEFAULT_REGION or us-east-1)")
    bring.add_argument("--container", nargs="+", default=[], metavar="NAME", help="only these (default: all)")


def run(options: argparse.Namespace) -> int:
    """Do one of the actions."""
    directory = load_settings(Layout(Path(options.state).absolute())).objects_path
    if not (directory / "index.db").exists():
        raise CommandFailed(f"there is no object store in {directory}; `bivouac up` makes it")
    actions = {"stats": _stats, "check": _check, "compact": _compact, "export": _export, "import": _import}
    return actions[options.action](options, directory)


def _stats(options: argparse.Namespace, directory: Path) -> int:
    from bivouac.objects.store import maintenance
    from bivouac.objects.store.read_only import ReadOnlyStore

    become_owner_of(directory)
    with contextlib.closing(ReadOnlyStore(directory)) as store:
        found = {name: getattr(maintenance.stats(store), name) for name in maintenance.Statistics.__struct_fields__}
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found.items():
        print(f"{name.replace('_', ' '):<16}{value:>20,}")
    return 0


def _check(options: argparse.Namespace, directory: Path) -> int:
    from bivouac.objects.store import maintenance
    from bivouac.objects.store.read_only import ReadOnlyStore

    become_owner_of(directory)
    with contextlib.closing(ReadOnlyStore(directory)) as store:
        begun = time.monotonic()
        findings = asyncio.run(maintenance.check(store, data=not options.quick))
    for finding in findings:
        held = f", held by {', '.join(finding.objects)}" if finding.objects else ""
        print(f"{finding.kind}: {finding.data}: {finding.detail}{held}")
    took = f"{time.monotonic() - begun:.1f} s"
    print(f"{len(findings)} findings in {took}" if findings else f"the store is sound ({took})")
    return 1 if findings else 0


def _export(options: argparse.Namespace, directory: Path) -> int:
    from bivouac.objects.store import maintenance
    from bivouac.objects.store.read_only import ReadOnlyStore

    target = Path(options.target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise CommandFailed(f"{target} is not empty")
        owner = directory.stat()
        if os.geteuid() == 0:
            os.chown(target, owner.st_uid, owner.st_gid)
        become_owner_of(directory)
        with contextlib.closing(ReadOnlyStore(directory)) as store:
            done = maintenance.export(store, target)
    except OSError as error:
        raise CommandFailed(f"cannot export: {error}") from error
    for name, reason in done.failed:
        print(f"not exported: {name}: {reason}", file=sys.stderr)
    print(f"{done.objects:,} objects, {done.bytes:,} bytes in {target}")
    return 1 if done.failed else 0


def _compact(options: argparse.Namespace, directory: Path) -> int:
    from bivouac.objects.administration import Compact

    for line in _asked(directory, Compact()):
        if "error" in line:
            raise CommandFailed(line["error"])
        print(f"{line['bytes']:,} bytes given back")
    return 0


def _import(options: argparse.Namespace, directory: Path) -> int:
    from bivouac.objects.administration import Import

    shown = _Shown()
    for line in _asked(directory, Import(_job(options))):
        shown.line(line)
    return shown.end()


def _job(options: argparse.Namespace) -> Job:
    from bivouac.objects.importing import Job
    from bivouac.objects.importing.job import S3Login
    from bivouac.objects.importing.swift import Login

    given = os.environ
    try:
        if options.kind == "s3":
            region = options.region or given.get("AWS_DEFAULT_REGION", "us-east-1")
            endpoint = options.endpoint or given["AWS_ENDPOINT_URL"]
            login = S3Login(
                endpoint=endpoint,
                access_key=given["AWS_ACCESS_KEY_ID"],
                secret_key=given["AWS_SECRET_ACCESS_KEY"],
                region=region,
            )
            return Job(project=options.project, s3=login, containers=options.container)
        if "ST_AUTH" in given:
            swift = Login(auth_url=given["ST_AUTH"], username=given["ST_USER"], password=given["ST_KEY"])
        else:
            swift = Login(
                auth_url=given["OS_AUTH_URL"],
                username=given["OS_USERNAME"],
                password=given["OS_PASSWORD"],
                project_name=given["OS_PROJECT_NAME"],
                user_domain_name=given.get("OS_USER_DOMAIN_NAME", "Default"),
                project_domain_name=given.get("OS_PROJECT_DOMAIN_NAME", "Default"),
                region_name=given.get("OS_REGION_NAME", ""),
            )
        return Job(project=options.project, swift=swift, containers=options.container)
    except KeyError as error:
        raise CommandFailed(f"set {error.args[0]} (or see `bivouac objects import --help`)") from None


class _Shown:
    """What a person sees of an import, and its outcome."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._last: dict[str, Any] = {}
        self._refused = ""

    def line(self, progress: dict[str, Any]) -> None:
        if "error" in progress:
            where = "/".join(filter(None, (progress.get("container"), progress.get("name"))))
            print(f"{where + ': ' if where else ''}{progress['error']}", file=sys.stderr)
            self._refused = "" if where else progress["error"]
            return
        self._last = progress
        if not progress.get("done"):
            print(f"{progress['container']}: {self._counts()}", flush=True)

    def _counts(self) -> str:
        told = [f"{self._last.get(name, 0):,} {name}" for name in ("copied", "skipped", "kept", "gone", "failed")]
        return f"{', '.join(told)}; {self._last.get('bytes', 0):,} bytes"

    def end(self) -> int:
        if not self._last.get("done"):
            raise CommandFailed(self._refused or "the import broke off; run it again and it goes on")
        print(f"done in {time.monotonic() - self._begun:.1f} s: {self._counts()}")
        return 1 if self._last.get("failed") else 0


def _asked(directory: Path, request: Request) -> Iterator[dict[str, Any]]:
    """What the process that serves the store says to a request, or we ourselves when none does. Raises
    CommandFailed."""
    import msgspec

    from bivouac.objects.administration import SOCKET

    become_owner_of(directory)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(directory / SOCKET))
        except OSError:
            yield from _done_here(directory, request)
            return
        try:
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    yield json.loads(line)
        except (OSError, ValueError) as error:
            raise CommandFailed(f"the object store's process went away ({error}); run it again") from error


def _done_here(directory: Path, request: Request) -> Iterator[dict[str, Any]]:
    """The same without a serving process."""
    import msgspec

    from bivouac.objects.administration import perform
    from bivouac.objects.store import EmbeddedStore

    with asyncio.Runner() as runner:
        try:
            store = runner.run(EmbeddedStore.open(str(directory)))
        except RuntimeError as error:
            raise CommandFailed(str(error)) from error
        lines = perform(store, request)
        try:
            while True:
                try:
                    yield msgspec.to_builtins(runner.run(lines.asend(None)))
                except StopAsyncIteration:
                    return
        finally:
            runner.run(lines.aclose())
            runner.run(store.close())
