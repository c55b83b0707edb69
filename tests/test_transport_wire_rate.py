"""The rate as a strict server counts it, when something stands between a permit and the first byte.

A permit is given by our clock; the server counts what arrives. So a permit that grew old on its way (a name
lookup, a handshake, a lost SYN, a slow disk) is exchanged, and the book says when requests really went.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import DeadlineExceededError, Limiter, Outcome, Priority, Safety, priority
from pandapon_async.core.rate import SlidingWindow
from pandapon_async.journal.journal import Journal
from tests.support.clients import at_rest, borrowing, client
from tests.support.faults import GOOD
from tests.support.network import (
    most_in_a_second,
    serving_tls,
    slow_connects,
    slow_handshakes,
    slow_names,
    trusting_tls,
)
from tests.support.server import Exchange, FaultServer, answer
from tests.support.virtual import LoopClock, outcome, run, virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


class StrictServer(FaultServer):
    """Notes when each request arrives."""

    def __init__(self, *, close: bool = False, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(then=self._count, tls=tls)
        self.times: list[float] = []
        self._close = close

    async def _count(self, exchange: Exchange) -> None:
        self.times.append(now())
        await answer(GOOD, close=self._close)(exchange)


class SlowJournal(Journal):
    """Another process holds the file for a while, again and again."""

    async def add(self, *arguments: Any, **more: Any) -> None:
        await super().add(*arguments, **more)
        await asyncio.sleep(3 - now() % 3 if now() % 6 < 3 else 0)

    async def sending(self, *arguments: Any, **more: Any) -> None:
        await super().sending(*arguments, **more)
        await asyncio.sleep(3 - now() % 3 if now() % 6 < 3 else 0)


def lost_syns() -> Callable[[], float]:
    """One in three SYNs is sent again after a second, one in ten after three."""
    chance = random.Random(7)
    return lambda: chance.choice([0.02] * 6 + [1.02] * 3 + [3.02])


def handshakes() -> Callable[[], float]:
    """Between 50 and 400 ms."""
    chance = random.Random(7)
    return lambda: chance.uniform(0.05, 0.4)


DELAYS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "names": lambda: slow_names(2.5),
    "SYNs": lambda: slow_connects(lost_syns()),
    "connections": lambda: slow_connects(handshakes()),
    "TLS": contextlib.nullcontext,
    "a slow journal": contextlib.nullcontext,
}


CASES = [
    pytest.param(
        rate,
        borrowed,
        close,
        id=f"{rate}, {'borrowed' if borrowed else 'own'}, {'closed each time' if close else 'kept alive'}",
        marks=() if rate == 10 and borrowed == close else pytest.mark.nightly,
    )
    for rate, borrowed, close in itertools.product((10, 20, 200), (False, True), (False, True))
]


@pytest.mark.parametrize(("rate", "borrowed", "close"), CASES)
@pytest.mark.parametrize("what", DELAYS)
def test_a_strict_server_sees_the_rate(what: str, rate: int, borrowed: bool, close: bool) -> None:
    serving_tls()
    trusting_tls()
    worst = run(worst_second(what, rate, borrowed=borrowed, close=close))
    print(f"{what}, {rate} a second: {worst} in the busiest")
    assert worst <= rate


async def worst_second(what: str, rate: int, *, borrowed: bool, close: bool, seconds: int = 4) -> int:
    """How many requests a server sees in its busiest second."""
    over_tls = what == "TLS"
    tls = {"ssl_context": trusting_tls()} if over_tls else {}
    async with (
        StrictServer(close=close, tls=serving_tls() if over_tls else None) as server,
        borrowing(borrowed) as session,
        slow_handshakes(server.port, handshakes()) as port,
    ):
        url = f"https://localhost:{port}" if over_tls else f"http://localhost:{server.port}"
        journal = SlowJournal(clock=LoopClock()) if what == "a slow journal" else Journal(clock=LoopClock())
        safety = Safety.ONCE if what == "a slow journal" else Safety.READ
        changes: dict[str, Any] = {"rate": rate, "timeout": 120.0, "journal": journal, **tls}
        with DELAYS[what]():
            pandapon = client(url, session, **changes)
            calls = (
                pandapon.request("POST", "/thing", json={"n": number}, safety=safety)
                for number in range(rate * seconds)
            )
            await asyncio.gather(*calls)
        assert len(server.times) == rate * seconds
        at_rest(pandapon)
        await pandapon.aclose()
        await journal.aclose()
        await asyncio.sleep(1)
        return most_in_a_second(server.times)


@virtual_time
async def test_the_quota_is_used_although_every_connection_is_new() -> None:
    async with StrictServer(close=True) as server:
        with slow_connects(handshakes()):
            async with client(server.url, rate=20, timeout=120) as pandapon:
                calls = (pandapon.request("POST", "/thing", safety=Safety.READ) for _ in range(100))
                await asyncio.gather(*calls)
        took = server.times[-1] - server.times[0]
        assert 99 / took / 20 > 0.96
        assert most_in_a_second(server.times) <= 20


@virtual_time
async def test_an_old_permit_is_exchanged_at_the_head_of_its_priority() -> None:
    limiter = Limiter(10, LoopClock())
    order: list[str] = []

    async def take(name: str, level: Priority, *, first: bool = False) -> None:
        with priority(level):
            await limiter.acquire(first=first)
        order.append(name)

    limiter.pause(1)
    calls = [
        asyncio.ensure_future(one)
        for one in (
            take("bulk", Priority.BULK),
            take("old bulk", Priority.BULK, first=True),
            take("call", Priority.INTERACTIVE),
            take("old call", Priority.INTERACTIVE, first=True),
            take("second old call", Priority.INTERACTIVE, first=True),
        )
    ]
    await asyncio.gather(*calls)
    assert order == ["old call", "second old call", "call", "old bulk", "bulk"]


@given(
    st.lists(
        st.tuples(st.floats(0, 0.3), st.sampled_from(["at once", "late", "never"]), st.floats(0, 0.1)),
        max_size=60,
    ),
    st.sampled_from([2, 5, 10]),
)
def test_in_no_second_are_more_used_than_the_rate_however_late_each_is_used(
    steps: list[tuple[float, str, float]], rate: int
) -> None:
    """The rule itself: each permit is used within its gap, or given back."""
    window, time, used = SlidingWindow(rate), 0.0, []
    under_way: list[tuple[float, float]] = []
    for wait, what, late in steps:
        time = max(time + wait, window.next_at(time + wait))
        for permit, at in sorted(under_way, key=lambda one: one[1]):
            if at <= time:
                window.move(permit, at)
                used.append(at)
                under_way.remove((permit, at))
        time = max(time, window.next_at(time))
        window.take(time)
        if what == "never":
            window.forget(time)
        elif what == "late":
            under_way.append((time, time + late))
        else:
            used.append(time)
    used += [at for _, at in under_way]
    assert most_in_a_second(sorted(used)) <= rate + len(under_way)


@virtual_time
async def test_a_write_that_waits_for_another_permit_stays_noted_as_sent_and_ends_as_not_sent() -> None:
    class Slow(Journal):
        async def sending(self, *arguments: Any, **more: Any) -> None:
            await super().sending(*arguments, **more)
            await asyncio.sleep(1)
            pandapon.limiter.pause(3)

    journal = Slow(clock=LoopClock())
    async with FaultServer() as server:
        pandapon = client(server.url, rate=10, journal=journal, timeout=30)
        pandapon.limiter.pause(0.5)  # so that the intent is noted before the sending
        writing = asyncio.ensure_future(outcome(pandapon.request("POST", "/thing")))
        await asyncio.sleep(3)
        (intent,) = await journal.find()
        assert intent.state == "sent"
        assert server.requests == []
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        (intent,) = await journal.find()
        assert intent.state == "not_sent"
        await pandapon.aclose()
        await journal.aclose()


@virtual_time
async def test_an_exchange_that_comes_after_the_deadline_sends_nothing() -> None:
    async with FaultServer() as server, client(server.url, rate=10, timeout=2) as pandapon:
        sending = pandapon.journal.sending

        async def slow(*arguments: Any, **more: Any) -> None:
            await sending(*arguments, **more)
            await asyncio.sleep(1)
            pandapon.limiter.pause(60)

        pandapon.journal.sending = slow  # type: ignore[method-assign]
        pandapon.limiter.pause(0.1)
        error = await outcome(pandapon.request("POST", "/thing"))
        assert isinstance(error, DeadlineExceededError)
        assert error.outcome is Outcome.NOT_SENT
        assert server.requests == []
        (intent,) = await pandapon.journal.find()
        assert intent.state == "not_sent"
        at_rest(pandapon)
