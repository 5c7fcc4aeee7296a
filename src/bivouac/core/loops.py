"""Reconcile loops: woken by bells and by time, one step per key at once, visible from outside.

A loop takes no input but keys: `step(key)` re-reads the world, does at most one side effect, and says when it wants
to be called again. The rare path and the usual path are one: what a bell missed, the sweep finds.
"""

import asyncio
import contextlib
import logging
import random
import time
from typing import Protocol

from msgspec import Struct

from . import log as logs
from .ids import new_request_id
from .metrics import LOOP_STEPS, LOOP_WAITING
from .store import Store

log = logging.getLogger(__name__)
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 60.0


class Loop(Protocol):
    """One kind of work. `name` is what bells are rung with."""

    name: str
    interval_s: float
    """Seconds between sweeps."""
    concurrency: int
    """Most steps at once."""

    async def due(self) -> list[str]:
        """Keys that need a step, from the database: a sweep. Must not depend on any bell."""
        ...

    async def step(self, key: str) -> float | None:
        """One unit of work. None: settled for now; a number: call again after so many seconds."""
        ...


class LoopState(Struct):
    """What `bivouac status` shows of a loop."""

    name: str
    steps: int = 0
    errors: int = 0
    last_error: str = ""
    last_sweep: float = 0.0
    waiting: int = 0
    running: int = 0
    oldest_key: str = ""
    oldest_age_s: float = 0.0


class Runner:
    """Runs one loop until cancelled."""

    def __init__(self, loop: Loop):
        self.loop = loop
        self.state = LoopState(loop.name)
        self._waiting: dict[str, float] = {}
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._sweep = True

    def ring(self, key: str) -> None:
        """Want a step for this key now; an empty key wants a sweep. Only from the loop's own thread."""
        if key:
            if key in self._running:
                self._again.add(key)
            else:
                self._waiting[key] = min(self._waiting.get(key, float("inf")), time.monotonic())
        else:
            self._sweep = True
        self._wake.set()

    async def run(self) -> None:
        """Sweep and step until cancelled. Errors are logged and retried with growing pauses; nothing ends it."""
        next_sweep = 0.0
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = time.monotonic()
                if self._sweep or now >= next_sweep:
                    self._sweep = False
                    await self._do_sweep()
                    next_sweep = time.monotonic() + self.loop.interval_s * random.uniform(0.9, 1.1)
                    now = time.monotonic()
                ready = sorted((at, key) for key, at in self._waiting.items() if at <= now)
                for _, key in ready[: max(0, self.loop.concurrency - len(self._running))]:
                    del self._waiting[key]
                    self._running.add(key)
                    tasks.create_task(self._step(key))
                self._observe(ready)
                self._wake.clear()
                moments = [next_sweep]
                if len(self._running) < self.loop.concurrency:
                    moments += self._waiting.values()
                # Not `wait_for`: before Python 3.12 it forgets a cancellation that comes together with the wake.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(moments) - time.monotonic()):
                        await self._wake.wait()

    async def _do_sweep(self) -> None:
        try:
            for key in await self.loop.due():
                if key not in self._running and key not in self._waiting:
                    self._waiting[key] = time.monotonic()
            self.state.last_sweep = time.time()
        except Exception as error:
            self._failed("sweep", error)

    async def _step(self, key: str) -> None:
        logs.request_id.set(new_request_id())
        again: float | None = None
        try:
            again = await self.loop.step(key)
            self._failures.pop(key, None)
            self.state.steps += 1
            LOOP_STEPS.labels(self.loop.name, "ok").inc()
        except Exception as error:
            self._failed(key, error)
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            again = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures - 1, 10)) * random.uniform(0.8, 1.2)
        finally:
            self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            again = 0.0
        if again is not None:
            self._waiting[key] = min(self._waiting.get(key, float("inf")), time.monotonic() + again)
        self._wake.set()

    def _failed(self, key: str, error: Exception) -> None:
        self.state.errors += 1
        self.state.last_error = f"{key}: {type(error).__name__}: {error}"[:500]
        LOOP_STEPS.labels(self.loop.name, "error").inc()
        log.exception("loop step failed", extra={"loop": self.loop.name, "key": key})

    def _observe(self, ready: list[tuple[float, str]]) -> None:
        self.state.waiting = len(self._waiting)
        self.state.running = len(self._running)
        self.state.oldest_key = ready[0][1] if ready else ""
        self.state.oldest_age_s = time.monotonic() - ready[0][0] if ready else 0.0
        LOOP_WAITING.labels(self.loop.name).set(len(self._waiting))


class Loops:
    """All loops of a process: passes bells from the store to them, and shows their states."""

    def __init__(self, store: Store, loops: list[Loop]):
        self.runners = {loop.name: Runner(loop) for loop in loops}
        self._event_loop: asyncio.AbstractEventLoop | None = None
        store.on_bell(self.ring)

    def ring(self, name: str, key: str) -> None:
        """Wake a loop for a key, from any thread."""
        runner = self.runners.get(name)
        if runner is not None and self._event_loop is not None:
            self._event_loop.call_soon_threadsafe(runner.ring, key)

    def states(self) -> list[LoopState]:
        return [runner.state for runner in self.runners.values()]

    async def run(self) -> None:
        """Run all until cancelled."""
        self._event_loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            for runner in self.runners.values():
                tasks.create_task(runner.run())
