"""The host's loop: every server and every network is a key, and each key is brought to rest on its own.

A visit looks, plans and does one thing, and visits go on until nothing is left to do; then the server is reported. A
key is woken by control (something is wanted), by the host (a guest ended by itself) and by time (a sweep looks at all,
a failure is tried again after a growing pause). While a key is being visited it may be woken as often as anybody
likes: it is looked at once more, that is all.
"""

import asyncio
import logging
import random
import re
import socket
from collections.abc import Awaitable, Callable

from bivouac.core.clock import Clock
from bivouac.drivers.hypervisor import DriverError, ObservedServer
from bivouac.hostspec.link import Wanted
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import OperationReport, ServerReport, ServerSpec

from . import plan
from .perform import Performer

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.25
LAST_RETRY_S = 60.0
FAILURES_BEFORE_FAULT = 4
"""After about two seconds of trying the owner is told; the trying goes on."""
SWEEP_S = 60.0
CRASHES_BEFORE_REST = 3
"""A guest whose process dies is started again, but not for ever: then it is reported crashed."""
STABLE_S = 600.0
UNEXPECTED = "The host could not do as asked; its operator can see why in the agent's log."
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Failure:
    """How often a key failed in a row, and the last words about it."""

    __slots__ = ("count", "detail", "public")

    def __init__(self) -> None:
        self.count = 0
        self.public = ""
        self.detail = ""


class HostLoop:
    """Converges one host. `report` and `serve` (answer metadata on a socket) are called from visits."""

    def __init__(
        self,
        performer: Performer,
        clock: Clock,
        report: Callable[[ServerReport], None],
        serve: Callable[[str, socket.socket | None], Awaitable[None]],
    ):
        self.performer = performer
        self.servers: dict[str, ServerSpec] = {}
        self.networks: dict[str, NetworkSpec] = {}
        self.crashed: BaseException | None = None
        """What ended a visit that nothing may end: a test's crash point."""
        self._clock = clock
        self._report = report
        self._serve = serve
        self._complete = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._failures: dict[str, Failure] = {}
        self._crashes: dict[str, list[float]] = {}
        self._interruptible: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closing = False

    # --- being woken

    async def start(self) -> None:
        """Look at what is there. Nothing is changed before the first complete list of wants."""
        self.performer.ports = dict(await self.performer.drivers.net.observe_port_servers())
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S * random.uniform(0.5, 1.0), self._sweep)

    async def stop(self) -> None:
        """Stop visiting; what a visit is doing is cut off."""
        self._closing = True
        for timer in [*self._timers.values(), *([self._sweeping] if self._sweeping else [])]:
            timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def want(self, wanted: Wanted) -> None:
        """Take what control wants. Older generations than those held are dropped, impossible names refused."""
        servers = {spec.id: spec for spec in wanted.servers if _possible(spec.id)}
        networks = {spec.id: spec for spec in wanted.networks if _possible(spec.id)}
        touched = {f"server:{id}" for id in servers} | {f"network:{id}" for id in networks}
        if wanted.complete:
            touched |= {f"server:{id}" for id in self.servers} | {f"network:{id}" for id in self.networks}
            self.servers = {id: self._newer(spec) for id, spec in servers.items()}
            self.networks = networks
            self._complete = True
            touched |= await self._strangers()
        else:
            self.servers.update({id: self._newer(spec) for id, spec in servers.items()})
            for id, spec in networks.items():
                if id not in self.networks or self.networks[id].generation <= spec.generation:
                    self.networks[id] = spec
        for key in touched:
            self.wake(key, fresh=True)
        self._let_networks_go()

    def _let_networks_go(self) -> None:
        """Forget networks that no server is on any more: they are here for their servers' metadata alone."""
        used = {port.network_id for spec in self.servers.values() for port in spec.ports}
        for id in [id for id in self.networks if id not in used]:
            del self.networks[id]
            self.wake(f"network:{id}", fresh=True)

    def _newer(self, spec: ServerSpec) -> ServerSpec:
        held = self.servers.get(spec.id)
        return held if held is not None and held.generation > spec.generation else spec

    async def _strangers(self) -> set[str]:
        """Keys of what the host has and nobody wants."""
        drivers = self.performer.drivers
        ids = set(await drivers.hypervisor.observe_servers()) | set(await drivers.disk.observe_disks())
        ids |= set(self.performer.ports.values())
        keys = {f"server:{id}" for id in ids if id not in self.servers}
        return keys | {f"network:{id}" for id in await drivers.net.observe_networks() if id not in self.networks}

    def guest_changed(self, server_id: str) -> None:
        """A guest changed by itself."""
        self.wake(f"server:{server_id}")

    def wake(self, key: str, fresh: bool = False) -> None:
        """Visit a key now. `fresh`: something new is wanted, so failures of the past do not count."""
        if not self._complete or self._closing:
            return
        if fresh:
            self._failures.pop(key, None)
            self._crashes.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        running = self._tasks.get(key)
        if running is not None:
            self._again.add(key)
            if key in self._interruptible and self._overtaken(key):
                running.cancel()
            return
        task = asyncio.create_task(self._converge(key), name=key)
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))

    def _overtaken(self, key: str) -> bool:
        """Whether what is wanted now makes waiting for a guest's clean shutdown pointless."""
        spec = self.servers.get(key.partition(":")[2])
        return spec is None or spec.power == "absent" or any(op.kind == "reboot_hard" for op in spec.operations)

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and task.exception() is not None:
            self.crashed = task.exception()
        elif key in self._again:
            self._again.discard(key)
            self.wake(key)

    def _sweep(self) -> None:
        """Look at everything once more: what a lost event hid is found here."""
        self._looking = asyncio.create_task(self._look_at_all())
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S * random.uniform(0.9, 1.1), self._sweep)

    async def _look_at_all(self) -> None:
        try:
            if not self._tasks:
                ports = dict(await self.performer.drivers.net.observe_port_servers())
                if not self._tasks:  # else it may be older than what a visit has done meanwhile
                    self.performer.ports = ports
        except DriverError as error:
            log.warning("cannot look at the ports", extra={"error": str(error)})
        for key in [*(f"server:{id}" for id in self.servers), *(f"network:{id}" for id in self.networks)]:
            if key not in self._timers:
                self.wake(key)

    async def idle(self) -> None:
        """Wait until no visit is under way (retries may be due later). Raises what crashed a visit."""
        while self._tasks and self.crashed is None:
            await asyncio.wait(list(self._tasks.values()), return_when=asyncio.FIRST_COMPLETED)
        if self.crashed is not None:
            raise self.crashed

    # --- a visit

    async def _converge(self, key: str) -> None:
        kind, _, id = key.partition(":")
        try:
            if kind == "network":
                await self._network_step(id)
                return
            last: plan.Action | None = None
            while action := await self._server_step(id, last):
                last = action
        except asyncio.CancelledError:
            if self._closing:
                raise
        except DriverError as error:
            self._failed(key, error.public, str(error))
        except Exception as error:
            log.exception("a visit failed", extra={"key": key})
            self._failed(key, UNEXPECTED, f"{type(error).__name__}: {error}")

    def _failed(self, key: str, public: str, detail: str) -> None:
        failure = self._failures.setdefault(key, Failure())
        failure.count += 1
        failure.public, failure.detail = public, detail
        delay = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(failure.count - 1, 12)) * random.uniform(0.8, 1.2)
        log.warning(
            "could not do as planned", extra={"key": key, "error": detail, "failures": failure.count, "retry_s": delay}
        )
        if failure.count >= FAILURES_BEFORE_FAULT and key.startswith("server:"):
            asyncio.get_running_loop().call_soon(self._say_failed, key)
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self._retry, key)

    def _retry(self, key: str) -> None:
        self._timers.pop(key, None)
        self.wake(key)

    def _say_failed(self, key: str) -> None:
        task = asyncio.ensure_future(self._report_failure(key))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _report_failure(self, key: str) -> None:
        failure, id = self._failures.get(key), key.partition(":")[2]
        spec = self.servers.get(id)
        if failure is not None and spec is not None:
            self._say(spec, await self._see(id), failure)

    async def _server_step(self, id: str, last: plan.Action | None) -> plan.Action | None:
        """Do one thing for a server; None when there is nothing to do. What had no effect is not done at once again."""
        key = f"server:{id}"
        spec = self.servers.get(id)
        seen = await self._see(id)
        action = plan.plan(spec, seen)
        if action is not None and self._gives_up(key, spec, seen.guest, action):
            action = None
        if action is None:
            self._at_rest(key, spec, seen)
            return None
        if action == last:
            reason = seen.guest.reason if seen.guest is not None else ""
            raise DriverError(reason or UNEXPECTED, f"no effect: {type(action).__name__}")
        if isinstance(action, plan.Power) or (
            isinstance(action, plan.Operate) and action.operation.kind in ("reboot_soft", "set_password")
        ):
            self._interruptible.add(key)
        try:
            await self.performer.perform(id, spec, action)
        finally:
            self._interruptible.discard(key)
        return action

    def _gives_up(self, key: str, spec: ServerSpec | None, guest: ObservedServer | None, action: plan.Action) -> bool:
        """Whether a guest that keeps dying is left alone now."""
        if not isinstance(action, plan.Start) or guest is None or guest.power != "crashed" or spec is None:
            return False
        now = self._clock.now()
        crashes = [moment for moment in self._crashes.get(key, []) if moment > now - STABLE_S]
        if len(crashes) >= CRASHES_BEFORE_REST:
            return True
        self._crashes[key] = [*crashes, now]
        return False

    async def _see(self, id: str) -> plan.Seen:
        drivers = self.performer.drivers
        return plan.Seen(
            guest=(await drivers.hypervisor.observe_servers()).get(id),
            disks=(await drivers.disk.observe_disks()).get(id, ()),
            ports=tuple(sorted(port for port, server in self.performer.ports.items() if server == id)),
            finished=frozenset(self.performer.operations.ended(id)),
        )

    def _at_rest(self, key: str, spec: ServerSpec | None, seen: plan.Seen) -> None:
        self._failures.pop(key, None)
        self.performer.operations.forget(key.partition(":")[2], spec)
        if spec is not None:
            self._say(spec, seen, None)
            if spec.power == "absent":
                del self.servers[spec.id]
                self._let_networks_go()

    def _say(self, spec: ServerSpec, seen: plan.Seen, failure: Failure | None) -> None:
        guest = seen.guest
        power = guest.power if guest is not None else "stopped"
        if spec.power == "absent" and guest is None and failure is None:
            power = "gone"
        ended = self.performer.operations.ended(spec.id)
        self._report(
            ServerReport(
                id=spec.id,
                observed_generation=spec.generation,
                power=power,
                fault=failure.public if failure else guest.reason if guest is not None else "",
                detail=failure.detail if failure else "",
                ports=guest.ports if guest is not None else (),
                disks=guest.disks if guest is not None else (),
                operations=tuple(
                    ended.get(operation.id, OperationReport(operation.id, "running")) for operation in spec.operations
                ),
            )
        )

    async def _network_step(self, id: str) -> None:
        net = self.performer.drivers.net
        network = self.networks.get(id)
        if network is None:
            await self._serve(id, None)
            await net.remove_network(id)
        else:
            await self._serve(id, await net.ensure_network(network))
        self._failures.pop(f"network:{id}", None)


def _possible(id: str) -> bool:
    if _ID.fullmatch(id):
        return True
    log.error("control wants something with an impossible name", extra={"id": id[:80]})
    return False
