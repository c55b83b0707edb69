"""What `reconcile_on` uses of a Dask client, played by threads of this process: workers come, die and lie."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest

from pandapon_async.reconcile import on_dask, part_tasks
from pandapon_async.reconcile.part_tasks import PartOrder, Tell, stop_parts

__all__ = ["Engine", "FakeFuture", "quick"]


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause that a test would wait for."""
    for name, seconds in {
        "LOOK_EVERY": 0.01,
        "WORKERS_EVERY": 0.03,
        "AGAIN_AFTER": 0.02,
        "NOBODY_FOR": 1.0,
    }.items():
        monkeypatch.setattr(on_dask, name, seconds)
    monkeypatch.setattr(part_tasks, "TELL_EVERY", 0.0)


class FakeFuture:
    """A task on a worker."""

    def __init__(self, task: asyncio.Future[Any]) -> None:
        self._task = task
        self.lost = False
        self.status = "pending"

    def done(self) -> bool:
        """Whether it has ended; one whose worker died never does."""
        return not self.lost and self._task.done()

    async def result(self) -> Any:
        """What came of it."""
        return await self._task

    async def cancel(self) -> None:
        """The engine forgets it; its thread goes on."""
        self.status = "cancelled"


@attrs.define
class Engine:
    """A cluster with an asynchronous client. `orders` keeps what was submitted, and to whom."""

    workers: list[str]
    orders: list[tuple[str, PartOrder]] = attrs.field(factory=list)
    futures: dict[str, FakeFuture] = attrs.field(factory=dict)
    instead: dict[str, Callable[[PartOrder], Any]] = attrs.field(factory=dict)
    """What a worker does instead of the function it was given."""
    lies: dict[str, Callable[[Any], Any]] = attrs.field(factory=dict)
    """What a worker answers instead of its proof."""
    silent: bool = False
    """Whether the scheduler is gone."""
    _handlers: dict[str, Callable[[tuple[float, Mapping[str, Any]]], None]] = attrs.field(factory=dict)
    _here: Any = attrs.field(factory=threading.local)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> Engine:
        """Let the tasks find their worker."""
        monkeypatch.setattr(part_tasks, "_worker", self._worker)
        return self

    @property
    def asynchronous(self) -> bool:
        """Its methods are awaited."""
        return True

    def _worker(self, topic: str) -> tuple[str, Tell]:
        return self._here.address, lambda message: self._handlers[topic]((0.0, message))

    def submit(self, func: Callable[..., Any], *args: Any, **named: Any) -> FakeFuture:
        """Run it in a thread, as a worker does."""
        (worker,) = named["workers"]
        assert named["allow_other_workers"] is False
        (order,) = args
        self.orders.append((worker, order))

        def work() -> Any:
            self._here.address = worker
            act: Callable[..., Any] = self.instead.get(worker, func)
            return act(order)

        future = FakeFuture(asyncio.get_running_loop().run_in_executor(None, work))
        self.futures[worker] = future
        return future

    async def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> dict[str, Any]:
        """Run it on workers at once."""
        found = {worker: await asyncio.to_thread(function, *args) for worker in named["workers"]}
        return {worker: self.lies.get(worker, lambda same: same)(result) for worker, result in found.items()}

    async def nthreads(self, workers: Any = None) -> dict[str, int]:
        """Who is there."""
        if self.silent:
            raise OSError("away")
        return dict.fromkeys(self.workers, 1)

    def subscribe_topic(self, topic: str, handler: Any) -> None:
        """Call it with each message."""
        self._handlers[topic] = handler

    def unsubscribe_topic(self, topic: str) -> None:
        """Call it no more; messages under way are dropped."""
        self._handlers[topic] = lambda _: None

    def kill(self, worker: str) -> None:
        """A worker dies in the middle of its part."""
        folder = self.orders[-1][1].folder
        self.workers.remove(worker)
        self.futures[worker].lost = True
        stop_parts(folder)
