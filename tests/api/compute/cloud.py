"""A cloud with Compute, one shared network and one public image in it, driven in process, and an agent that speaks the
link.

Time stands still and nothing runs by itself: `converge` carries messages to and fro until nothing moves any more.
"""

import asyncio
import json
from typing import Any

import msgspec
from in_process import exchange_in_loop

from bivouac.compute.api import mounts
from bivouac.compute.compute import Compute
from bivouac.compute.loops import DeadlineLoop, SpecLoop
from bivouac.compute.policy import POLICY
from bivouac.core.call import Caller, system_call
from bivouac.core.clock import ManualClock
from bivouac.core.http import Application, Request
from bivouac.core.policy import Policy
from bivouac.core.settings import Settings
from bivouac.core.store import Store, Tx
from bivouac.hostspec import link
from bivouac.hostspec.server import OperationReport, ServerReport, ServerSpec
from bivouac.image import policy as image_policy
from bivouac.image.records import ImageRow
from bivouac.network import policy as network_policy
from bivouac.network import settings as network_settings
from bivouac.network.bodies import NewNetwork, NewSubnet
from bivouac.network.service import networks, subnets

PACKAGES = tuple(f"bivouac.{name}" for name in ("identity", "image", "network", "placement", "compute"))
IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
POWERS = {"running": "running", "stopped": "stopped", "paused": "paused", "suspended": "suspended", "absent": "gone"}


class Answer:
    """Status, headers and decoded body."""

    def __init__(self, status: int, headers: dict[str, str], body: Any):
        self.status = status
        self.headers = headers
        self.body = body

    def __getitem__(self, key: str) -> Any:
        return self.body[key]

    def __repr__(self) -> str:
        return f"{self.status} {self.body}"


class Agent:
    """A host's end of the link, in process: does at once what it is told, except what `refuse` or `deaf` forbid."""

    def __init__(self, facts: link.HostFacts):
        self.facts = facts
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.told: list[link.FromControl] = []
        self.specs: dict[str, ServerSpec] = {}
        self.networks: dict[str, Any] = {}
        self.refuse = ""
        self.deaf = False
        self.answers: dict[str, dict[str, Any]] = {"console_log": {"text": "line 1\nline 2\nline 3\n"}}
        self.done: set[str] = set()

    async def receive(self) -> bytes | None:
        data = await self.inbox.get()
        self.inbox.task_done()
        return data

    async def send(self, data: bytes | str) -> None:
        self.told.append(link.decode_from_control(data))

    def say(self, message: link.FromAgent) -> None:
        self.inbox.put_nowait(link.encode(message))

    def hello(self, reports: tuple[ServerReport, ...] = ()) -> None:
        self.say(link.Hello(self.facts, reports))

    def work(self) -> bool:
        """Do what was told; whether there was anything."""
        told, self.told = self.told, []
        for message in told:
            if isinstance(message, link.Ask):
                result = self.answers.get(message.kind)
                error = "" if result is not None else "not now"
                self.say(link.Answer(message.id, result or {}, error))
                continue
            assert isinstance(message, link.Wanted)
            gone = set(self.specs) - {spec.id for spec in message.servers} if message.complete else set()
            self.networks.update({network.id: network for network in message.networks})
            reports = [self.report(spec) for spec in message.servers]
            self.specs.update({spec.id: spec for spec in message.servers})
            for id in gone:
                reports.append(ServerReport(id, self.specs.pop(id).generation, "gone"))
            if not self.deaf and reports:
                self.say(link.Report(tuple(reports)))
        return bool(told)

    def report(self, spec: ServerSpec) -> ServerReport:
        if self.refuse and spec.power != "absent":
            return ServerReport(spec.id, spec.generation, "stopped", fault=self.refuse)
        return ServerReport(
            spec.id, spec.generation, POWERS[spec.power],  # type: ignore[arg-type]
            ports=tuple(port.id for port in spec.ports), disks=tuple(disk.name for disk in spec.disks),
            operations=tuple(OperationReport(one.id, "done") for one in spec.operations),
        )  # fmt: skip


def facts(name: str = "host-1", **fields: Any) -> link.HostFacts:
    known = {"vcpus": 4, "memory_mib": 8192, "disk_gib": 100, "accelerator": "sim", "hypervisor_version": 7002000}
    return msgspec.convert({"name": name, **known, **fields}, link.HostFacts)


class Cloud:
    """The application, its loops and a client of it. Tokens are `USER@PROJECT:ROLE,ROLE`."""

    def __init__(self, store: Store):
        self.store = store
        self.clock = ManualClock()
        self.loop = asyncio.new_event_loop()
        self.compute = Compute(store, self.clock, Settings())
        self.hosts = self.compute.hosts
        self.policy = Policy([*POLICY, *network_policy.POLICY, *image_policy.POLICY])
        self.application = Application(
            store=store, policy=self.policy, clock=self.clock, mounts=mounts(self.compute), authenticate=authenticate
        )
        self.spec_loop, self.deadline_loop = SpecLoop(store, self.hosts), DeadlineLoop(store, self.clock)
        self.agents: dict[str, Agent] = {}
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._bells: set[str] = set()
        store.on_bell(lambda name, key: self._bells.add(key) if name == SpecLoop.name else None)
        store.write_now(self._first_things)

    # --- the client ----------------------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: Any = None, who: str = "ann@p1:member,reader", version: str = "2.1",
        prefix: str = "/compute/v2.1", raw: bool = False,
    ) -> Answer:  # fmt: skip
        """`raw` leaves the answer's body as it is, for what is not JSON."""
        return self.run(self._ask(method, prefix + path, body, who, version, raw))

    async def _ask(self, method: str, path: str, body: Any, who: str, version: str, raw: bool = False) -> Answer:
        fields = {"host": "cloud:5000", "x-openstack-nova-api-version": version}
        if who:
            fields["x-auth-token"] = who
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        status, headers, payload = await exchange_in_loop(self.application, method, path, fields, content)
        return Answer(status, headers, payload if raw else json.loads(payload) if payload else None)

    def ask_host(
        self, method: str, path: str, body: Any = None, who: str = "ann@p1:member,reader", version: str = "2.1"
    ) -> Answer:
        """A request whose answer needs the server's host."""

        async def both() -> Answer:
            asking = asyncio.create_task(self._ask(method, "/compute/v2.1" + path, body, who, version))
            while not asking.done():
                await asyncio.sleep(0.001)
                for agent in self.agents.values():
                    agent.work()
            return await asking

        return self.run(both())

    def admin(self, method: str, path: str, body: Any = None, version: str = "2.1") -> Answer:
        return self.ask(method, path, body, "root@padmin:admin,manager,member,reader", version)

    def _first_things(self, tx: Tx) -> None:
        """The network `private` that everybody may use, and an image with bytes."""
        network_settings.record(tx, Settings().network)
        call = system_call(self.policy, self.clock)
        network = networks.create(tx, call, NewNetwork(name="private", shared=True, project_id="padmin"))
        subnets.create(tx, call, NewSubnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/16"))
        tx.insert(
            ImageRow(
                id=IMAGE, name="tiny", owner="padmin", status="active", visibility="public", disk_format="qcow2",
                container_format="bare", size=1 << 20, virtual_size=1 << 28, os_hash_value="0" * 128,
                stores={"local": "x"}, created_at=self.clock.now(), updated_at=self.clock.now(),
            )
        )  # fmt: skip

    def image(self, id: str) -> ImageRow | None:
        """An image's row."""
        return self.store.read_now(lambda tx: tx.get(ImageRow, id))

    def uploaded(self, id: str) -> None:
        """A snapshot's bytes have arrived."""
        self.store.write_now(
            lambda tx: tx.update_where(ImageRow, "id = ?", [id], status="active", stores={"local": "y"}, size=1)
        )

    def shelved_image(self, server_id: str) -> str:
        """The id of the image that a shelved server waits in."""
        held = "SELECT shelved_image_id FROM servers WHERE id = ?"
        return self.store.read_now(lambda tx: tx.value(held, server_id))

    def server_ports(self) -> set[str]:
        """Ids of servers that hold a port."""
        owned = "SELECT device_id FROM ports WHERE device_owner LIKE 'compute:%'"
        return {id for (id,) in self.store.read_now(lambda tx: tx.query(owned))}

    # --- the world -----------------------------------------------------------------------------------------------

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def add_host(self, name: str = "host-1", **fields: Any) -> Agent:
        """A host whose agent has connected."""
        agent = self.agents[name] = Agent(facts(name, **fields))
        self.connect(name)
        return agent

    def connect(self, name: str, reports: tuple[ServerReport, ...] = ()) -> None:
        agent = self.agents[name]
        agent.inbox, agent.told = asyncio.Queue(), []

        async def begin() -> None:
            agent.hello(reports)
            self._serving[name] = asyncio.create_task(self.hosts.serve(agent))
            while self.hosts.get(name) is None or not agent.told:
                await asyncio.sleep(0.001)

        self.run(begin())
        self.converge()

    def disconnect(self, name: str) -> None:
        async def end() -> None:
            self.agents[name].inbox.put_nowait(None)
            await self._serving[name]

        self.run(end())

    def beat(self) -> None:
        """A heartbeat of every host that is connected."""
        for name, agent in self.agents.items():
            if self.hosts.get(name) is not None:
                agent.say(link.Heartbeat(link.HostUsage(memory_used_mib=512, disk_used_gib=2, running_servers=1)))
        self.converge()

    def advance(self, seconds: float) -> None:
        """Time passes, with heartbeats."""
        self.clock.advance(seconds)
        self.beat()

    def converge(self, rounds: int = 50) -> None:
        """Carry messages until nothing moves. What no bell rang for is found by the sweep once."""
        self.run(self._converge(rounds))

    async def _converge(self, rounds: int) -> None:
        for _ in range(rounds):
            keys, self._bells = self._bells, set()
            for key in sorted(keys):
                await self.spec_loop.step(key)
            moved = bool(keys)
            for name, agent in self.agents.items():
                moved |= agent.work()
                if self.hosts.get(name) is not None:
                    await asyncio.wait_for(agent.inbox.join(), 10)
            await asyncio.sleep(0)
            await self.hosts.write_waiting()
            if not moved and not self._bells:
                return
        raise AssertionError("nothing settles")

    def sweep(self) -> None:
        """One sweep of the loop that tells hosts what is wanted: what no bell rang for is found here."""

        async def look() -> None:
            for key in await self.spec_loop.due():
                await self.spec_loop.step(key)

        self.run(look())
        self.converge()

    def expire(self) -> None:
        """One sweep of the deadline loop."""

        async def sweep() -> None:
            for key in await self.deadline_loop.due():
                await self.deadline_loop.step(key)

        self.run(sweep())
        self.converge()

    # --- short cuts ----------------------------------------------------------------------------------------------

    def flavor(self, name: str = "tiny", **fields: Any) -> str:
        body = {"name": name, "ram": 512, "vcpus": 1, "disk": 1, "id": name, **fields}
        answer = self.admin("POST", "/flavors", {"flavor": body})
        assert answer.status == 200, answer
        return answer["flavor"]["id"]

    def boot(self, name: str = "vm", version: str = "2.1", who: str = "ann@p1:member,reader", **fields: Any) -> str:
        """Ask for a server; returns its id. Nothing has happened on its host yet."""
        body = {"name": name, "imageRef": IMAGE, "flavorRef": "tiny", **fields}
        if version != "2.1" and "networks" not in body:
            body["networks"] = "auto"
        answer = self.ask("POST", "/servers", {"server": body}, version=version, who=who)
        assert answer.status == 202, answer
        return answer["server"]["id"]

    def active(self, **fields: Any) -> str:
        id = self.boot(**fields)
        self.converge()
        assert self.show(id)["status"] == "ACTIVE"
        return id

    def show(self, id: str, version: str = "2.1") -> dict[str, Any]:
        answer = self.admin("GET", f"/servers/{id}", version=version)
        assert answer.status == 200, answer
        return answer["server"]

    def act(self, id: str, action: str, argument: Any = None, version: str = "2.1", who: str = "ann@p1:member,reader"
            ) -> Answer:  # fmt: skip
        return self.ask("POST", f"/servers/{id}/action", {action: argument}, version=version, who=who)

    def close(self) -> None:
        for name in list(self._serving):
            if not self._serving[name].done():
                self.disconnect(name)
        self.loop.close()


async def authenticate(token: str, request: Request) -> Caller | None:
    """`USER@PROJECT:ROLE,ROLE` is who it says."""
    user, _, rest = token.partition("@")
    project, _, roles = rest.partition(":")
    if not roles:
        return None
    return Caller(user_id=user, user_name=user, project_id=project, roles=tuple(roles.split(",")))

