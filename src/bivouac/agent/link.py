"""The agent's one connection to control: Hello, then wants come down and reports go up.

It is dialled again for ever, with growing pauses. After each Hello everything is said anew: control sends all it wants,
and every server is reported once more when it has been looked at.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from bivouac.drivers.hypervisor import DriverError
from bivouac.hostspec import link
from bivouac.hostspec.server import ServerReport

from .http_client import Endpoint

log = logging.getLogger(__name__)
PATH = "/agent/v1/link"
HEARTBEAT_S = 10.0
FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 5.0
MAX_MESSAGE_BYTES = 256 << 20
"""A complete list of a big host with much user data."""

Answerer = Callable[[link.Ask], Awaitable[dict[str, Any]]]


async def dial(endpoint: Endpoint, path: str, max_size: int = MAX_MESSAGE_BYTES) -> ClientConnection:
    """A WebSocket to control. Raises OSError, InvalidHandshake."""
    options: dict[str, Any] = {"max_size": max_size, "compression": None, "ping_interval": 20, "open_timeout": 10}
    url = endpoint.websocket_url + path
    if endpoint.is_unix:
        return await unix_connect(endpoint.path, url, **options)
    return await connect(url, ssl=endpoint.tls, proxy=None, **options)


class Link:
    """Keeps the connection. `on_wanted` takes wants, `answer` answers asks (DriverError becomes the error's text)."""

    def __init__(
        self,
        endpoint: Endpoint,
        facts: Callable[[], Awaitable[link.HostFacts]],
        usage: Callable[[], Awaitable[link.HostUsage]],
        on_wanted: Callable[[link.Wanted], Awaitable[None]],
        answer: Answerer,
        heartbeat_s: float = HEARTBEAT_S,
    ):
        self._endpoint = endpoint
        self._facts = facts
        self._usage = usage
        self._on_wanted = on_wanted
        self._answer = answer
        self._heartbeat_s = heartbeat_s
        self._said: dict[str, ServerReport] = {}
        self._unsaid: dict[str, ServerReport] = {}
        self._something = asyncio.Event()
        self._asks: set[asyncio.Task[None]] = set()
        self.connected = asyncio.Event()

    def report(self, report: ServerReport) -> None:
        """Say how a server is, unless that was the last thing said of it."""
        if self._said.get(report.id) == report:
            self._unsaid.pop(report.id, None)
        else:
            self._unsaid[report.id] = report
            self._something.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                connection = await dial(self._endpoint, PATH)
                pause = FIRST_PAUSE_S
                await self._talk(connection)
                log.info("control hung up")
            except (OSError, InvalidHandshake, InvalidURI, ConnectionClosed, TimeoutError, DriverError) as error:
                log.info("no link to control", extra={"error": f"{type(error).__name__}: {error}"})
            except msgspec.DecodeError:
                log.exception("control speaks another language")
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(LAST_PAUSE_S, pause * 2)

    async def _talk(self, connection: ClientConnection) -> None:
        try:
            self._said.clear()
            await connection.send(link.encode(link.Hello(await self._facts())).decode(), text=True)
            self.connected.set()
            async with asyncio.TaskGroup() as tasks:
                talking = [
                    tasks.create_task(self._send_reports(connection)),
                    tasks.create_task(self._send_heartbeats(connection)),
                ]
                try:
                    async for message in connection:
                        await self._take(connection, link.decode_from_control(message))
                finally:
                    for task in talking:
                        task.cancel()
        except* ConnectionClosed:
            log.info("the link to control broke")
        finally:
            self.connected.clear()
            for task in list(self._asks):
                task.cancel()
            await connection.close()

    async def _take(self, connection: ClientConnection, message: link.FromControl) -> None:
        if isinstance(message, link.Wanted):
            await self._on_wanted(message)
        else:
            task = asyncio.create_task(self._answer_ask(connection, message))
            self._asks.add(task)
            task.add_done_callback(self._asks.discard)

    async def _answer_ask(self, connection: ClientConnection, ask: link.Ask) -> None:
        try:
            answer = link.Answer(ask.id, await self._answer(ask))
        except DriverError as error:
            log.warning("could not answer", extra={"kind": ask.kind, "error": str(error)})
            answer = link.Answer(ask.id, error=error.public)
        except Exception:
            log.exception("could not answer", extra={"kind": ask.kind})
            answer = link.Answer(ask.id, error="The host could not answer.")
        with contextlib.suppress(ConnectionClosed):
            await connection.send(link.encode(answer).decode(), text=True)

    async def _send_reports(self, connection: ClientConnection) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            reports, self._unsaid = self._unsaid, {}
            if reports:
                self._said.update(reports)
                try:
                    await connection.send(link.encode(link.Report(tuple(reports.values()))).decode(), text=True)
                except ConnectionClosed:
                    self._unsaid = reports | self._unsaid
                    raise
                for id, report in reports.items():
                    if report.power == "gone":
                        self._said.pop(id, None)

    async def _send_heartbeats(self, connection: ClientConnection) -> None:
        await asyncio.sleep(random.uniform(0, 1) * self._heartbeat_s)
        while True:
            await connection.send(link.encode(link.Heartbeat(await self._usage())).decode(), text=True)
            await asyncio.sleep(self._heartbeat_s)
