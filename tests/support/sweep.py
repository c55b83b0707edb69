"""Cancel a coroutine at each of its awaits in turn.

Two ways for each await: `BEFORE`, while what is awaited has not happened; `AFTER`, in the very moment
in which it has, so that a result is there and nobody will take it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any

from tests.support.virtual import run

BEFORE, AFTER = "before", "after"
Scene = Callable[[], AbstractAsyncContextManager[Coroutine[Any, Any, Any]]]
"""Sets a scene and gives what is to be cancelled; its end checks that nothing is left."""


class Cancelling:
    """Awaits a coroutine and cancels a task at its n-th await: the running one, or that of `target`."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        at: int,
        moment: str = BEFORE,
        target: asyncio.Task[Any] | None = None,
    ) -> None:
        self._coroutine = coroutine
        self._at = at
        self._moment = moment
        self._target = target
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = self._target or asyncio.current_task()
        assert task is not None
        step: Callable[[], Any] = functools.partial(self._coroutine.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            self.awaits += 1
            if self.awaits == self._at:
                if self._moment == AFTER and awaited is not None:
                    awaited.add_done_callback(lambda _: task.cancel())  # runs before the task's own
                else:
                    task.cancel()
            try:
                yield awaited
            except BaseException as error:
                step = functools.partial(self._coroutine.throw, error)
            else:
                step = functools.partial(self._coroutine.send, None)


def sweep(scene: Scene, every: int = 1) -> int:
    """Play the scene once for each await, or every second and so on; gives about how many awaits there are.

    Each end is in the scene's own check.
    """
    counts = []
    for moment in (BEFORE, AFTER):
        at = 1
        while run(_play(scene, at, moment)):
            at += every
        counts.append(at - 1)
    return min(counts)


async def _play(scene: Scene, at: int, moment: str) -> bool:
    async with scene() as coroutine:
        cancelled = Cancelling(coroutine, at, moment)
        task = asyncio.ensure_future(_await(cancelled))
        await asyncio.wait([task])
        if cancelled.awaits >= at:
            assert task.cancelled(), f"{moment} await {at}: a cancellation was swallowed"
        else:
            task.result()
    return cancelled.awaits >= at


async def _await(awaitable: Cancelling) -> Any:
    return await awaitable


async def left_behind() -> set[str]:
    """The names of coroutines of tasks that still run though nobody waits for them."""
    for _ in range(20):
        left = {
            getattr(task.get_coro(), "__qualname__", "?")
            for task in asyncio.all_tasks()
            if task is not asyncio.current_task()
        }
        left -= {"FaultServer._accept", "run.<locals>.watched", "_play"}
        if not left:
            break
        await asyncio.sleep(0.01)
    return left
