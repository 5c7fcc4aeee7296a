"""Control's end of the links to the agents of all hosts.

A link begins with the agent's Hello: its host is registered, everything it reports is applied, and it is told
everything it should run. Afterwards increments go down (`push`), reports and heartbeats come up. Those are gathered
and written together: one transaction for all that arrived while the last one ran. Questions that want bytes at once
(`ask`) are answered by future.
"""

import asyncio
import itertools
import logging
from typing import Any, Protocol

from bivouac.core.clock import Clock
from bivouac.core.crash import side_effect
from bivouac.core.errors import Conflict, Unavailable
from bivouac.core.http1 import Disconnected
from bivouac.core.settings import Compute
from bivouac.core.store import Store, Tx
from bivouac.hostspec import link
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import ServerReport, ServerSpec
from bivouac.placement import service as placement

from .reports import apply_reports
from .specs import specs_of_host

log = logging.getLogger(__name__)
ASK_TIMEOUT_S = 20.0
MAX_BATCH = 500


class Connection(Protocol):
    """What a link needs of a WebSocket."""

    async def receive(self) -> bytes | str | None: ...

    async def send(self, data: bytes | str) -> None: ...


class AskFailed(Conflict):
    """The agent answered a question with an error."""


class Link:
    """One agent that is connected now."""

    def __init__(self, host: str, host_id: str, connection: Connection):
        self.host = host
        self.host_id = host_id
        self._connection = connection
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.greeted = asyncio.Event()
        """Set when everything was told once: an increment that overtook it would be undone by it."""

    async def tell(self, message: link.FromControl) -> None:
        await self._connection.send(link.encode(message).decode())

    async def ask(self, kind: str, arguments: dict[str, Any], timeout_s: float = ASK_TIMEOUT_S) -> dict[str, Any]:
        """The agent's answer. Raises AskFailed, Unavailable."""
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        # Not asyncio.timeout: a handler that comes here without having waited before has no task yet (`core.http1`).
        late = Unavailable(f"The host of this server did not answer within {timeout_s:.0f} seconds.")
        timer = asyncio.get_running_loop().call_later(timeout_s, _give_up, future, late)
        try:
            await self.tell(link.Ask(number, kind, arguments))  # type: ignore[arg-type]
            return await future
        except Disconnected as error:
            raise Unavailable("The link to the server's host broke.") from error
        finally:
            timer.cancel()
            self._asked.pop(number, None)

    def answered(self, answer: link.Answer) -> None:
        future = self._asked.get(answer.id)
        if future is None or future.done():
            return
        if answer.error:
            future.set_exception(AskFailed(answer.error))
        else:
            future.set_result(answer.result)

    def closed(self) -> None:
        self.greeted.set()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Unavailable("The link to the server's host broke."))


def _give_up(future: asyncio.Future[dict[str, Any]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class HostLinks:
    """All links of this control process."""

    def __init__(self, store: Store, clock: Clock, settings: Compute, zone: str = placement.DEFAULT_ZONE):
        self.store = store
        self.clock = clock
        self.settings = settings
        self.zone = zone
        self.links: dict[str, Link] = {}
        self._waiting: list[tuple[str, tuple[ServerReport, ...]]] = []
        self._beats: dict[str, tuple[str, float, link.HostUsage]] = {}
        self._wake = asyncio.Event()
        self._applied = asyncio.Event()

    # --- down ----------------------------------------------------------------------------------------------------

    def get(self, host: str) -> Link | None:
        return self.links.get(host)

    async def push(self, host: str, servers: tuple[ServerSpec, ...], networks: tuple[NetworkSpec, ...]) -> bool:
        """Tell a host an increment. False when its agent is not connected here."""
        target = self.links.get(host)
        if target is None:
            return False
        await target.greeted.wait()
        await target.tell(link.Wanted(complete=False, servers=servers, networks=networks))
        return True

    async def ask(self, host: str, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """A question to a host's agent. Raises Unavailable, AskFailed."""
        target = self.links.get(host)
        if target is None:
            raise Unavailable(f"The agent of host {host or 'none'} is not connected.")
        return await target.ask(kind, arguments)

    # --- up ------------------------------------------------------------------------------------------------------

    async def serve(self, connection: Connection, certified: str = "") -> None:
        """Talk with one agent until it hangs up. A new link of the same host takes the place of an old one.

        An agent with a certificate speaks for the host that is `certified` there, and for no other.
        """
        first = await connection.receive()
        if first is None:
            return
        hello = link.decode_from_agent(first)
        if not isinstance(hello, link.Hello):
            log.warning("an agent began without Hello")
            return
        if certified not in ("", hello.host.name):
            log.warning("an agent gave another host's name", extra={"host": hello.host.name, "certified": certified})
            return
        side_effect("commit welcome")
        host = await self.store.write(self._welcome, hello)
        mine = Link(hello.host.name, host, connection)
        self.links[mine.host] = mine
        log.info("agent connected", extra={"host": mine.host})
        try:
            servers, networks = await self.store.read(specs_of_host, mine.host)
            await mine.tell(link.Wanted(complete=True, servers=servers, networks=networks))
            mine.greeted.set()
            while (data := await connection.receive()) is not None:
                self._take(mine, link.decode_from_agent(data))
        finally:
            mine.closed()
            if self.links.get(mine.host) is mine:
                del self.links[mine.host]
            log.info("agent gone", extra={"host": mine.host})

    def _welcome(self, tx: Tx, hello: link.Hello) -> str:
        now = self.clock.now()
        host = placement.register_host(tx, hello.host, self.settings, now, self.zone)
        apply_reports(tx, host.name, hello.reports, now)
        return host.id

    def _take(self, source: Link, message: link.FromAgent) -> None:
        if isinstance(message, link.Report):
            self._waiting.append((source.host, message.servers))
            self._wake.set()
        elif isinstance(message, link.Heartbeat):
            self._beats[source.host] = (source.host_id, self.clock.now(), message.usage)
            self._wake.set()
        elif isinstance(message, link.Answer):
            source.answered(message)

    async def run(self) -> None:
        """Write what comes up, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.write_waiting()

    async def write_waiting(self) -> None:
        """Write all that has arrived. What could not be written is kept for the next time."""
        while self._waiting or self._beats:
            reports, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            beats, self._beats = self._beats, {}
            side_effect("commit reports")
            try:
                await self.store.write(self._write_batch, reports, list(beats.values()))
            except Exception:
                log.exception("writing reports failed")
                self._waiting = reports + self._waiting
                await asyncio.sleep(1.0)

    def _write_batch(
        self, tx: Tx, reports: list[tuple[str, tuple[ServerReport, ...]]],
        beats: list[tuple[str, float, link.HostUsage]],
    ) -> None:  # fmt: skip
        now = self.clock.now()
        if beats:
            placement.beat(tx, beats)
        by_host: dict[str, list[ServerReport]] = {}
        for host, servers in reports:
            by_host.setdefault(host, []).extend(servers)
        for host, servers in by_host.items():
            apply_reports(tx, host, servers, now)
