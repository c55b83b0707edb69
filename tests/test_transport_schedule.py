"""Whatever a server does, in whatever order: the promises of every single call hold."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Client, OutcomeUnknownError, PandaponError, RetryPolicy, Safety
from tests.support import faults
from tests.support.clients import at_rest, client
from tests.support.faults import GOOD, HTML, cut, sent
from tests.support.server import Behaviour, Exchange, FaultServer, envelope, http
from tests.support.virtual import run

ATTEMPTS, TIMEOUT, RATE = 3, 8.0, 20


async def slow(exchange: Exchange) -> None:
    await exchange.request()
    await asyncio.sleep(3)
    await exchange.send(GOOD)


# What the server does, and whether a write may be sent again after it.
MOVES: dict[str, tuple[Behaviour, bool]] = {
    "good": (sent(GOOD), False),
    "slow": (slow, False),
    "busy": (sent(http(HTML, "429 Too Many", ["Retry-After: 1"])), True),
    "busy for long": (sent(http(HTML, "429 Too Many", ["Retry-After: 9"])), True),
    "unavailable": (sent(http(HTML, "503 Unavailable")), False),
    "closes": (faults.close_before_answer, False),
    "resets": (faults.reset_after_head, False),
    "cuts": (cut(GOOD, len(GOOD) - 3), False),
    "hangs": (faults.half_open, False),
    "garbage": (cut(b"garbage\r\n\r\n", 20), False),
    "gateway": (sent(http(HTML, "502 Bad")), False),
    "refuses": (sent(http(envelope(None, 4001))), False),
}


@attrs.define
class Planned:
    """One call, when it begins, and when its caller loses patience, if ever."""

    safety: Safety
    begins: float
    cancelled: float | None


CALLS = st.lists(
    st.builds(
        Planned,
        st.sampled_from(Safety),
        st.sampled_from([0, 0, 0.5, 2, 5]),
        st.sampled_from([None, None, None, 0, 0.1, 1, 4]),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.timeout(900)  # two thousand schedules a night
@given(calls=CALLS, moves=st.lists(st.sampled_from(sorted(MOVES)), max_size=40))
def test_the_promises_of_every_call(calls: list[Planned], moves: list[str]) -> None:
    async def scenario() -> None:
        took: dict[str, list[str]] = defaultdict(list)
        arrivals: list[float] = []
        plan = iter(moves)

        async def move(exchange: Exchange) -> None:
            name = next(plan, "good")
            arrivals.append(asyncio.get_running_loop().time())
            try:
                await MOVES[name][0](exchange)
            finally:
                if exchange.seen is not None:
                    took[exchange.seen.target].append(name)

        policy = RetryPolicy(attempts=ATTEMPTS, budget=40)
        async with (
            FaultServer(then=move) as server,
            client(server.url, rate=RATE, concurrency=3, timeout=TIMEOUT, retry=policy) as pandapon,
        ):
            ends = await asyncio.gather(*(play(pandapon, number, call) for number, call in enumerate(calls)))
            await asyncio.sleep(20)
            at_rest(pandapon, idle=3)
            counts = Counter(seen.target for seen in server.requests)
            for number, (call, end) in enumerate(zip(calls, ends, strict=True)):
                check(call, end, counts[f"/{number}"], took[f"/{number}"])
            for start in arrivals:
                assert sum(start <= time <= start + 1 for time in arrivals) <= RATE
            assert pandapon._pipeline.budget.tokens <= 40

    run(scenario())


async def play(pandapon: Client, number: int, call: Planned) -> Any:
    """How the call ended: a value, an error, or None if it was cancelled."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(call.begins)
    began = loop.time()
    task = asyncio.ensure_future(pandapon.request("POST", f"/{number}", json={}, safety=call.safety))
    if call.cancelled is not None:
        loop.call_later(call.cancelled, task.cancel)
    await asyncio.wait([task])
    assert loop.time() - began <= TIMEOUT + 0.001
    if task.cancelled():
        return None
    return task.exception() or task.result()


def check(call: Planned, end: Any, sent_times: int, took: list[str]) -> None:
    """What must hold, given what the server did to this call's requests."""
    assert sent_times == len(took) <= ATTEMPTS
    if not call.safety.repeatable:
        assert all(MOVES[name][1] for name in took[:-1]), f"sent again after {took}"
    if call.safety is Safety.NEVER_AUTOMATIC:
        assert len(took) <= 1
    if end is None:
        return
    if not isinstance(end, BaseException):
        assert took[-1] in ("good", "slow")
        return
    assert isinstance(end, PandaponError)
    assert end.attempts == len(end.history) >= len(took)
    if not call.safety.repeatable and took and took[-1] not in ("busy", "busy for long", "refuses"):
        assert isinstance(end, OutcomeUnknownError)
