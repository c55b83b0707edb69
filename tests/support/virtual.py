"""An event loop whose time jumps to the next timer as soon as nothing else can happen.

An hour of waiting takes no time, and timers still fire in their order. Real loopback sockets work
too when both ends live in this loop: what one end wrote is there for the other at the next look.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

from pandapon_async import Clock

T = TypeVar("T")
P = ParamSpec("P")

START = 1_000.0
PATIENCE = 0.003  # real seconds for the kernel to carry a byte from one end to the other
STUCK = 30.0  # real seconds after which a thread that was waited for counts as lost; machines are busy


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type,unused-ignore]
    """Waits for input and output only as long as they could come; otherwise lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.threads or timeout is None:
            if not (ready := super().select(STUCK)):
                raise RuntimeError("nothing can happen any more: no timer, no thread, no input")
            return ready
        if len(self.get_map()) > 1 and (ready := super().select(PATIENCE)):
            return ready
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its `time()` starts at 1000."""

    def __init__(self) -> None:
        self.virtual = _Selector()
        super().__init__(self.virtual)
        # asyncio fires what is due within the clock's resolution; a jump must not fall short of it
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.virtual.now

    def stall(self, seconds: float) -> None:
        """Time passes while the loop can do nothing, as when something blocks it."""
        self.virtual.now += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self.virtual.threads += 1
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self.virtual.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (its name)
        """Without its limit: time of this kind passes while a real thread ends (Python 3.12 and later)."""
        await super().shutdown_default_executor()


_NONCES = itertools.count(1)


class LoopClock(Clock):
    """The clock that goes with the loop: its time, no chance in it, and nonces that tell their order."""

    def __init__(self, jitter: float = 0.5) -> None:
        self.jitter = jitter

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now()

    def boot(self) -> tuple[str, float] | None:
        return "virtual", self.now()

    def random(self) -> float:
        return self.jitter

    def nonce(self) -> str:
        return f"{next(_NONCES):032d}"


class CreepingLoop(VirtualLoop):
    """One whose time goes on a little with each look at it, as a real clock's does.

    Code that waits until a moment and then asks whether it has passed, to the last digit, needs that.
    """

    def time(self) -> float:
        self.virtual.now += 1e-7
        return self.virtual.now


def run(main: Coroutine[Any, Any, T], loop: Callable[[], VirtualLoop] = VirtualLoop) -> T:
    """`asyncio.run` in virtual time; what the loop would only have logged is an error here."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        return await main

    with asyncio.Runner(loop_factory=loop) as runner:
        result = runner.run(watched())
    assert complaints == []
    return result


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Turn an async test into one that runs in virtual time."""

    @functools.wraps(test)
    def in_virtual_time(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(test(*args, **kwargs))

    return in_virtual_time


async def settle(turns: int = 20) -> None:
    """Let everything run that can run without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def outcome(call: Awaitable[Any] | Callable[[], Awaitable[Any]]) -> BaseException | None:
    """How it ended; None if well. A function is called first: a wrong call fails there."""
    try:
        await (call() if callable(call) else call)
    except Exception as error:
        return error
    return None
