"""The runner of loops: bells, sweeps, retries, and an end when it is told."""

import asyncio
from collections.abc import Callable

from bivouac.core.loops import Runner


class Counted:
    """A loop whose steps are noted; `step` may be given."""

    name = "counted"
    interval_s = 3600.0
    concurrency = 1

    def __init__(self, due: list[str] | None = None, step: Callable[[str], float | None] = lambda key: None):
        self.keys, self._step = due or [], step
        self.seen: list[str] = []
        self.stepped = asyncio.Event()

    async def due(self) -> list[str]:
        return self.keys

    async def step(self, key: str) -> float | None:
        self.seen.append(key)
        self.stepped.set()
        return self._step(key)


async def stepped(loop: Counted, times: int) -> None:
    async with asyncio.timeout(20):
        while len(loop.seen) < times:
            loop.stepped.clear()
            await loop.stepped.wait()


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=20)
    assert task.cancelled()


def test_what_is_due_and_what_is_rung_is_stepped() -> None:
    async def main() -> list[str]:
        loop = Counted(["due"])
        runner = Runner(loop)
        task = asyncio.create_task(runner.run())
        await stepped(loop, 1)
        runner.ring("rung")
        await stepped(loop, 2)
        await ended(task)
        return loop.seen

    assert asyncio.run(main()) == ["due", "rung"]


def test_a_step_that_fails_is_tried_again_and_said() -> None:
    def fail_once(key: str) -> None:
        if len(loop.seen) == 1:
            raise OSError("not yet")

    async def main() -> tuple[list[str], int, str]:
        runner = Runner(loop)
        task = asyncio.create_task(runner.run())
        await stepped(loop, 2)
        await ended(task)
        return loop.seen, runner.state.errors, runner.state.last_error

    loop = Counted(["due"], fail_once)
    assert asyncio.run(main()) == (["due", "due"], 1, "due: OSError: not yet")


def test_it_ends_though_a_bell_rings_in_the_same_moment() -> None:
    async def main() -> None:
        loop = Counted(["due"])
        runner = Runner(loop)
        task = asyncio.create_task(runner.run())
        await stepped(loop, 1)
        for _ in range(5):
            await asyncio.sleep(0)  # until it waits for a bell
        runner.ring("rung")
        await ended(task)

    asyncio.run(main())
