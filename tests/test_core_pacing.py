"""The permit book: never more than the rate in any sliding second, and nearly all of it used."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.pacing import Pace

RATES = st.one_of(
    st.integers(1, 5000).map(float),
    st.floats(0.1, 1),
    st.floats(0.1, 5000),
    st.sampled_from([0.1, 1, 10, 5000]),
)


class Line:
    """What the limiter does with the book: a free permit at once, else a line served by a late timer."""

    def __init__(self, pace: Pace, lateness: Iterable[float]) -> None:
        self.pace = pace
        self.given: list[float] = []
        self._late = iter(lateness)

    def arrive(self, now: float, callers: int) -> float:
        """Callers come at once; the time when the last of them has its permit."""
        while callers:
            due = self.pace.next_at(now)
            if due <= now:
                self.pace.take(now, waited=False)
                self.given.append(now)
                callers -= 1
                continue
            now = due + next(self._late)
            while callers and self.pace.next_at(now) <= now:
                self.pace.take(now, waited=True)
                self.given.append(now)
                callers -= 1
        return now


def endless(values: list[float]) -> Iterable[float]:
    while True:
        yield from values


def most_in_any(window: float, times: list[float]) -> int:
    """The largest number of these times in any half-open window of this length."""
    return max(index + 1 - bisect_right(times, time - window) for index, time in enumerate(times))


@given(
    RATES,
    st.lists(st.floats(0, 1.5), min_size=1, max_size=10),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), min_size=1, max_size=20),
)
def test_no_sliding_second_has_more_permits_than_the_rate(
    rate: float, lateness: list[float], arrivals: list[tuple[float, int]]
) -> None:
    line = Line(Pace(rate), endless([*lateness, 0.0]))
    now = 0.0
    for idle, callers in arrivals:
        now = line.arrive(now + idle, callers)
    assert line.given == sorted(line.given)
    window = max(1.0, 1 / rate)
    assert most_in_any(window, line.given) <= max(1, math.floor(rate * window + 1e-9))


@pytest.mark.parametrize("stall", [0.0, 0.3, 1.7])
def test_a_burst_after_a_stall_keeps_the_rate(stall: float) -> None:
    line = Line(Pace(50.0), endless([0.0] * 40 + [stall]))
    line.arrive(0.0, 400)
    assert most_in_any(1.0, line.given) <= 50


@given(
    st.one_of(st.integers(1, 5000).map(float), st.floats(0.1, 1)),
    st.lists(st.floats(0, 0.002), min_size=1, max_size=50),
)
def test_the_quota_is_used_when_timers_are_late(rate: float, lateness: list[float]) -> None:
    """Up to 2 ms late at every single wake-up, and 96 % of the quota is used all the same."""
    line = Line(Pace(rate), endless(lateness))
    permits = min(3000, max(100, int(rate)))
    line.arrive(0.0, permits)
    assert (permits - 1) / (line.given[-1] - line.given[0]) >= 0.96 * rate


@given(st.floats(1, 200))
def test_a_fraction_above_one_uses_the_whole_calls_that_fit_a_second(rate: float) -> None:
    """2.5 calls in every single second cannot be kept other than as 2."""
    line = Line(Pace(rate), endless([0.0]))
    line.arrive(0.0, 200)
    assert 199 / line.given[-1] >= 0.96 * math.floor(rate)


@given(RATES, st.lists(st.tuples(st.floats(0, 5), st.floats(-1, 20)), min_size=1, max_size=10))
def test_a_pause_is_never_lifted_early(rate: float, pauses: list[tuple[float, float]]) -> None:
    pace = Pace(rate)
    now, until = 0.0, -math.inf
    for idle, seconds in pauses:
        now += idle
        pace.pause_until(now + seconds)
        until = max(until, now + seconds)
        assert pace.paused_until == until
        due = pace.next_at(now)
        assert due >= until
        assert due >= now
        if due == now:
            pace.take(now, waited=False)


@given(RATES, st.integers(0, 50))
def test_what_is_expected_comes_no_later_than_said_to_a_whole_line(rate: float, ahead: int) -> None:
    pace = Pace(rate)
    pace.take(0.0, waited=False)
    said = pace.expected(0.0, ahead)
    line = Line(pace, endless([0.0]))
    line.arrive(0.0, ahead + 1)
    assert line.given[-1] <= said * (1 + 1e-9)
