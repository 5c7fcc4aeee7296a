"""OVN's central part: northbound and southbound databases and ovn-northd, started by control as its own user."""

import asyncio
from pathlib import Path

from msgspec import Struct

from bivouac.core.crash import side_effect
from bivouac.core.run import run

from .daemons import Daemon, Supervisor

SCHEMAS = Path("/usr/share/ovn")


class Secured(Struct, frozen=True):
    """Files of one side of a TLS connection: a certificate with its key, and the authority that the other side's is
    checked against."""

    pem: Path
    authority: Path

    @property
    def options(self) -> tuple[str, ...]:
        """As OVS and OVN programs take them."""
        return f"--private-key={self.pem}", f"--certificate={self.pem}", f"--ca-cert={self.authority}"


class Central:
    """The central daemons of one cloud, below `state`/ovn-central.

    `listen` is a further passive remote of the southbound database (`pssl:6642:10.0.0.1`) for other hosts, `secured`
    what it proves itself and checks them with.
    """

    def __init__(self, state: Path, listen: str = "", secured: Secured | None = None):
        self.directory = state / "ovn-central"
        self.northbound = f"unix:{self.directory}/nb.sock"
        self.southbound = f"unix:{self.directory}/sb.sock"
        where = self.directory
        remotes = (f"--remote=punix:{where}/sb.sock", *((f"--remote={listen}",) if listen else ()))
        remotes += secured.options if secured else ()
        self._supervisor = Supervisor(
            where,
            [
                Daemon(
                    "ovsdb-northbound",
                    (
                        "ovsdb-server",
                        f"{where}/nb.db",
                        f"--remote=punix:{where}/nb.sock",
                        f"--unixctl={where}/nb.ctl",
                    ),
                    where / "nb.sock",
                ),
                Daemon(
                    "ovsdb-southbound",
                    ("ovsdb-server", f"{where}/sb.db", *remotes, f"--unixctl={where}/sb.ctl"),
                    where / "sb.sock",
                ),
                Daemon(
                    "ovn-northd",
                    (
                        "ovn-northd",
                        f"--ovnnb-db={self.northbound}",
                        f"--ovnsb-db={self.southbound}",
                        f"--unixctl={where}/northd.ctl",
                    ),
                    where / "northd.ctl",
                ),
            ],
            environment(where),
        )

    async def start(self) -> None:
        """Make the databases if they are absent, adopt or start the daemons. Raises DriverError, CommandError."""
        await asyncio.to_thread(self._prepare)
        for name in self._supervisor.states():
            await self._supervisor.start(name)

    def watch(self) -> None:
        """From now on restart whatever dies (until `stop`)."""
        self._supervisor.watch()

    async def stop(self) -> None:
        """Stop watching; the daemons go on."""
        await self._supervisor.stop()

    async def shutdown(self) -> None:
        """End the daemons; the databases stay."""
        await self._supervisor.shutdown()

    def daemons(self) -> dict[str, str]:
        """Name -> `running` or why not."""
        return self._supervisor.states()

    def pid(self, name: str) -> int | None:
        return self._supervisor.pid(name)

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for name, daemon in (("nb", "ovsdb-northbound"), ("sb", "ovsdb-southbound")):
            if self._supervisor.pid(daemon) is None:
                prepare_database(self.directory / f"{name}.db", SCHEMAS / f"ovn-{name}.ovsschema")


def environment(directory: Path) -> dict[str, str]:
    """Variables that keep OVS and OVN programs within one directory."""
    names = ("OVS_RUNDIR", "OVN_RUNDIR", "OVS_LOGDIR", "OVN_LOGDIR", "OVS_DBDIR", "OVN_DBDIR", "OVS_SYSCONFDIR")
    return dict.fromkeys(names, str(directory))


def prepare_database(path: Path, schema: Path) -> None:
    """Create the database, or bring one of an older version to the installed schema. Its server must not run."""
    if not path.exists():
        side_effect(f"create {path.name}")
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        run(["ovsdb-tool", "create", str(fresh), str(schema)])
        fresh.rename(path)
    elif run(["ovsdb-tool", "needs-conversion", str(path), str(schema)]).stdout.strip() == b"yes":
        side_effect(f"convert {path.name}")
        run(["ovsdb-tool", "convert", str(path), str(schema)])
