"""The agent's link against a control that speaks the real protocol over a real Unix socket."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
from hosts import complete, eventually, server, wanted

from bivouac.agent.agent import Agent
from bivouac.agent.consoles import Consoles
from bivouac.agent.fleet import run_fleet, sim_agent
from bivouac.agent.http_client import Endpoint, download, upload
from bivouac.core.http1 import Request, Response, Server, WebSocket, unix_socket
from bivouac.drivers.hypervisor import DriverError
from bivouac.drivers.hypervisor.guest_user import guest_user
from bivouac.hostspec import link
from bivouac.hostspec.server import ImageRef, ServerReport


class Control:
    """The other side: it greets with what is wanted, keeps what it hears and asks questions."""

    def __init__(self, path: Path):
        self.endpoint = Endpoint(f"unix:{path}")
        self.wanted = complete()
        self.hellos: list[link.Hello] = []
        self.reports: dict[str, ServerReport] = {}
        self.heard: list[Any] = []
        self.images: dict[str, bytes] = {}
        self.links: list[WebSocket] = []
        self.consoles: dict[str, asyncio.Queue[bytes]] = {}
        self.console_sockets: dict[str, WebSocket] = {}
        self._path = path
        self._server = Server(self.transfer, self.converse)

    async def start(self) -> None:
        self._server = Server(self.transfer, self.converse)
        await self._server.listen(unix_socket(self._path))

    async def stop(self) -> None:
        await self._server.stop(1)
        self.links.clear()

    async def converse(self, socket: WebSocket) -> None:
        await socket.accept()
        if socket.request.target == b"/agent/v1/link":
            await self._talk(socket)
        else:
            session = socket.request.target.rpartition(b"/")[2].decode()
            self.console_sockets[session] = socket
            queue = self.consoles.setdefault(session, asyncio.Queue())
            while (data := await socket.receive()) is not None:
                queue.put_nowait(data.encode() if isinstance(data, str) else data)
            queue.put_nowait(b"")

    async def _talk(self, socket: WebSocket) -> None:
        while (data := await socket.receive()) is not None:
            message = link.decode_from_agent(data)
            self.heard.append(message)
            if isinstance(message, link.Hello):
                self.hellos.append(message)
                self.links.append(socket)
                await self.tell(self.wanted)
            elif isinstance(message, link.Report):
                self.reports.update({report.id: report for report in message.servers})

    async def tell(self, message: link.FromControl) -> None:
        await self.links[-1].send(link.encode(message).decode())

    async def ask(self, number: int, kind: Any, **arguments: Any) -> link.Answer:
        await self.tell(link.Ask(number, kind, arguments))
        found = lambda: [m for m in self.heard if isinstance(m, link.Answer) and m.id == number]  # noqa: E731
        return (await eventually(f"answer to {kind}", found))[0]

    async def transfer(self, request: Request) -> Response:
        id = unquote(request.target.rpartition(b"/")[2].decode())
        if request.method == "PUT":
            self.images[id] = b"".join([bytes(chunk) async for chunk in request.chunks()])
            return Response(204)
        body = self.images.get(id)
        return Response(404) if body is None else Response(200, [], _parts(body))


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 70_000):
        yield body[start : start + 70_000]


@asynccontextmanager
async def control(folder: Path) -> AsyncIterator[Control]:
    one = Control(folder / "control.sock")
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[Agent]:
    await agent.drivers.net.start()
    task = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_hello_wants_reports_and_asks(tmp_path: Path) -> None:
    async def body() -> None:
        async with control(tmp_path) as far:
            first, second = server(), server()
            far.wanted = complete(first)
            agent = sim_agent("host-1", far.endpoint)
            agent.link._heartbeat_s = 0.01
            async with running(agent):
                await eventually("first report", lambda: first.id in far.reports)
                assert far.hellos[0].host.name == "host-1" and far.hellos[0].host.accelerator == "sim"
                assert far.hellos[0].reports == ()
                await far.tell(wanted(second))
                await eventually("second report", lambda: second.id in far.reports)
                beat = await eventually("heartbeat", lambda: [m for m in far.heard if isinstance(m, link.Heartbeat)])
                assert beat[-1].usage.daemons == {"sim": "running"}
                answer = await far.ask(1, "console_log", server_id=first.id, max_bytes=7)
                assert answer.result == {"text": "tarted\n"}
                assert (await far.ask(2, "diagnostics", server_id=first.id)).result["num_nics"] == 1
                answer = await far.ask(3, "diagnostics", server_id="nobody")
                assert answer.error == "The server is not running."
                assert "console" in (await far.ask(4, "open_console", server_id=first.id)).error
                assert (await far.ask(5, "screenshot", server_id=first.id)).error
                assert (await far.ask(6, "server_password", server_id=first.id)).result == {"password": ""}
                assert agent.passwords.tell(first.id, "c2VjcmV0") and not agent.passwords.tell(first.id, "other")
                assert (await far.ask(7, "server_password", server_id=first.id)).result == {"password": "c2VjcmV0"}
                assert (await far.ask(8, "clear_server_password", server_id=first.id)).error == ""
                assert (await far.ask(9, "server_password", server_id=first.id)).result == {"password": ""}
                assert agent.passwords.tell(first.id, "other")

    asyncio.run(body())


def test_after_a_restart_of_control_everything_is_said_anew(tmp_path: Path) -> None:
    async def body() -> None:
        one = server()
        async with control(tmp_path) as far, running(sim_agent("host-1", far.endpoint)) as agent:
            await eventually("hello", lambda: far.hellos)
            await far.tell(wanted(one))
            before = await eventually("report", lambda: far.reports.get(one.id))
            await far.stop()
            far.reports.clear()
            agent.drivers.hypervisor.crash(one.id)  # type: ignore[attr-defined]
            far.wanted = complete(msgspec.structs.replace(one, generation=2))
            await far.start()
            again = await eventually("report again", lambda: far.reports.get(one.id))
            assert again.power == before.power == "running" and again.observed_generation == 2
            assert len(far.hellos) == 2

    asyncio.run(body())


def test_a_fleet(tmp_path: Path) -> None:
    async def body() -> None:
        async with control(tmp_path) as far:
            connected: list[int] = []
            fleet = asyncio.create_task(run_fleet(far.endpoint, 60, ready=connected.append))
            await eventually("all", lambda: connected == [50, 60] and len(far.hellos) == 60)
            assert len({hello.host.name for hello in far.hellos}) == 60
            one = server()
            await far.tell(wanted(one))
            await eventually("report", lambda: one.id in far.reports)
            fleet.cancel()
            await asyncio.gather(fleet, return_exceptions=True)

    asyncio.run(body())


def test_bytes_of_images_go_both_ways(tmp_path: Path) -> None:
    async def body() -> None:
        async with control(tmp_path) as far:
            content = bytes(range(256)) * 4000
            image = ImageRef("image 1", "raw", len(content), hashlib.sha512(content).hexdigest())
            (tmp_path / "file").write_bytes(content)
            await upload(far.endpoint, image.id, tmp_path / "file")
            assert far.images == {"image 1": content}
            assert b"".join([chunk async for chunk in download(far.endpoint, image)]) == content
            try:
                async for _ in download(far.endpoint, msgspec.structs.replace(image, id="other")):
                    raise AssertionError("there is no such image")
            except DriverError as error:
                assert "404" in str(error)
        try:
            await upload(far.endpoint, "x", tmp_path / "file")
            raise AssertionError("nobody listens")
        except DriverError as error:
            assert error.public == "The host cannot reach the cloud's control."

    asyncio.run(body())


class OneConsole:
    """A hypervisor whose guest's console is a socket of ours."""

    def __init__(self, path: Path):
        self.path = path

    async def console_socket(self, server_id: str, console: str) -> str:
        return str(self.path)


def test_consoles_are_piped_and_the_last_one_has_the_serial_line(tmp_path: Path) -> None:
    async def body() -> None:
        connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        device = await asyncio.start_unix_server(lambda *both: connections.append(both), tmp_path / "device")
        async with control(tmp_path) as far:
            consoles = Consoles(far.endpoint, OneConsole(tmp_path / "device"))  # type: ignore[arg-type]
            await consoles.open("server", "session-1", "serial")
            await eventually("device", lambda: connections)
            reader, writer = connections[0]
            writer.write(b"login: ")
            first = await eventually("session", lambda: far.consoles.get("session-1"))
            assert await asyncio.wait_for(first.get(), 10) == b"login: "
            await far.console_sockets["session-1"].send(b"root\n")
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"root\n"
            await consoles.open("server", "session-2", "serial")
            assert await asyncio.wait_for(first.get(), 10) == b""
            await eventually("second", lambda: len(connections) == 2)
            connections[1][1].close()
            assert await asyncio.wait_for(far.consoles["session-2"].get(), 10) == b""
            for session, console in (("../x", "serial"), ("s", "nothing")):
                try:
                    await consoles.open("server", session, console)
                    raise AssertionError("impossible")
                except DriverError:
                    pass
            await consoles.close()
        device.close()

    asyncio.run(body())


def test_a_forged_vnc_socket_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        device = await asyncio.start_unix_server(lambda *both: None, tmp_path / "device")
        async with control(tmp_path) as far:
            consoles = Consoles(far.endpoint, OneConsole(tmp_path / "device"))  # type: ignore[arg-type]
            if guest_user("server") != os.geteuid():  # we are root, and the guest would not be
                try:
                    await consoles.open("server", "session-1", "vnc")
                    raise AssertionError("a socket of somebody else")
                except DriverError as error:
                    assert "not of the guest" in str(error)
            await consoles.close()
        device.close()

    asyncio.run(body())


def test_messages_are_json_with_tags() -> None:
    assert json.loads(link.encode(complete()))["type"] == "wanted"
