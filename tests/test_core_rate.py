"""The permit book: never more than the rate in any sliding second, and nearly all of it used."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.adaptive import Adaptation, AdaptiveRate
from pandapon_async.core.rate import SlidingWindow

RATES = st.one_of(
    st.integers(1, 5000).map(float),
    st.floats(0.1, 1),
    st.floats(0.1, 5000),
    st.sampled_from([0.1, 1, 10, 5000]),
)


class WaitQueue:
    """What the limiter does with the book: a free permit at once, else a queue served by a late timer."""

    def __init__(self, sliding_window: SlidingWindow, lateness: Iterable[float]) -> None:
        self.sliding_window = sliding_window
        self.given: list[float] = []
        self._late = iter(lateness)

    def arrive(self, now: float, callers: int) -> float:
        """Callers come at once; the time when the last of them has its permit."""
        while callers:
            due = self.sliding_window.next_at(now)
            taken = self.sliding_window.take_free(now)
            assert taken == (due <= now)
            if taken:
                self.given.append(now)
                callers -= 1
                continue
            now = due + next(self._late)
            while callers and self.sliding_window.next_at(now) <= now:
                self.sliding_window.take(now)
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
    queue = WaitQueue(SlidingWindow(rate), endless([*lateness, 0.0]))
    now = 0.0
    for idle, callers in arrivals:
        now = queue.arrive(now + idle, callers)
    assert queue.given == sorted(queue.given)
    window = max(1.0, 1 / rate)
    assert most_in_any(window, queue.given) <= max(1, math.floor(rate * window + 1e-9))


@pytest.mark.parametrize("stall", [0.0, 0.3, 1.7])
def test_a_burst_after_a_stall_keeps_the_rate(stall: float) -> None:
    queue = WaitQueue(SlidingWindow(50.0), endless([0.0] * 40 + [stall]))
    queue.arrive(0.0, 400)
    assert most_in_any(1.0, queue.given) <= 50


@given(
    st.one_of(st.integers(1, 5000).map(float), st.floats(0.1, 1)),
    st.lists(st.floats(0, 0.002), min_size=1, max_size=50),
)
def test_the_quota_is_used_when_timers_are_late(rate: float, lateness: list[float]) -> None:
    """Up to 2 ms late at every single wake-up, and 96 % of the quota is used all the same."""
    queue = WaitQueue(SlidingWindow(rate), endless(lateness))
    permits = min(3000, max(100, int(rate)))
    queue.arrive(0.0, permits)
    assert (permits - 1) / (queue.given[-1] - queue.given[0]) >= 0.96 * rate


@given(st.floats(1, 200))
def test_a_fraction_above_one_uses_the_whole_calls_that_fit_a_second(rate: float) -> None:
    """2.5 calls in every single second cannot be kept other than as 2."""
    queue = WaitQueue(SlidingWindow(rate), endless([0.0]))
    queue.arrive(0.0, 200)
    assert 199 / queue.given[-1] >= 0.96 * math.floor(rate)


@given(RATES, st.lists(st.tuples(st.floats(0, 5), st.floats(-1, 20)), min_size=1, max_size=10))
def test_a_pause_is_never_lifted_early(rate: float, pauses: list[tuple[float, float]]) -> None:
    sliding_window = SlidingWindow(rate)
    now, until = 0.0, -math.inf
    for idle, seconds in pauses:
        now += idle
        sliding_window.pause_until(now + seconds)
        until = max(until, now + seconds)
        assert sliding_window.paused_until == until
        due = sliding_window.next_at(now)
        assert due >= until
        assert due >= now
        assert sliding_window.take_free(now) == (due == now)


@given(RATES, st.integers(0, 50))
def test_what_is_expected_comes_no_later_than_said_to_a_whole_line(rate: float, ahead: int) -> None:
    sliding_window = SlidingWindow(rate)
    assert sliding_window.take_free(0.0)
    said = sliding_window.expected(0.0, ahead)
    queue = WaitQueue(sliding_window, endless([0.0]))
    queue.arrive(0.0, ahead + 1)
    assert queue.given[-1] <= said * (1 + 1e-9)


# --- a rate that gives way


@given(
    RATES,
    st.lists(st.floats(0, 1.5), min_size=1, max_size=10),
    st.lists(
        st.tuples(st.floats(0, 40), st.integers(1, 30), st.floats(0, 3), st.floats(0, 2)),
        min_size=1,
        max_size=15,
    ),
)
def test_no_second_has_more_permits_than_the_rate_that_throttles_left(
    rate: float, lateness: list[float], steps: list[tuple[float, int, float, float]]
) -> None:
    sliding_window = SlidingWindow(rate, adaptive=AdaptiveRate(recovery=0.02))
    queue = WaitQueue(sliding_window, endless([*lateness, 0.0]))
    now = 0.0
    for idle, callers, pause, ago in steps:
        before = len(queue.given)
        now = queue.arrive(now + idle, callers)
        for index in range(before, len(queue.given)):
            moment = queue.given[index]
            allowed = sliding_window.rate_at(moment)
            # One a second or less: a window of the length of one permit says the same.
            window = max(1.0, 1 / allowed)
            count = index + 1 - bisect_right(queue.given, moment - window, 0, index + 1)
            assert count <= max(1, math.floor(allowed * window + 1e-6))
        sliding_window.pause_until(now + pause)
        sliding_window.throttled(now, now - ago)
        assert 0.1 * rate * (1 - 1e-9) <= sliding_window.rate_at(now) <= rate == sliding_window.configured


def test_a_window_that_holds_permits_of_a_faster_time_is_not_overfilled() -> None:
    sliding_window = SlidingWindow(100, adaptive=AdaptiveRate())
    queue = WaitQueue(sliding_window, endless([0.0]))
    now = queue.arrive(0.0, 100)
    assert sliding_window.throttled(now, now)  # no pause at all
    assert sliding_window.rate_at(now) == 95
    queue.arrive(now, 300)
    ends = [time for time in queue.given if time > now]
    assert (
        max(
            index + 1 - bisect_right(queue.given, time - 1)
            for index, time in enumerate(queue.given)
            if time in ends
        )
        <= 95
    )


@given(
    st.floats(0.5, 5000),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 5), st.floats(0, 6000)), max_size=20),
)
def test_a_throttle_never_raises_the_rate_and_time_never_lowers_it(
    configured: float, throttles: list[tuple[float, float, float]]
) -> None:
    adaptation, now = Adaptation(configured, AdaptiveRate()), 0.0
    for idle, pause, took in throttles:
        before = adaptation.rate(now)
        now += idle
        grown = adaptation.rate(now)
        assert before <= grown <= configured
        assert grown - before <= AdaptiveRate().recovery * configured * idle + 1e-6
        if adaptation.is_new(now):
            slowed = adaptation.throttled(now, now + pause, took)
            assert adaptation.rate(now) <= grown
            assert slowed == (adaptation.rate(now) < grown)
            assert adaptation.rate(now + pause) == adaptation.rate(now), "nothing comes back in a pause"
        assert adaptation.rate(now) >= 0.1 * configured * (1 - 1e-9)


def test_what_went_through_is_what_is_left() -> None:
    adaptation = Adaptation(200, AdaptiveRate())
    assert adaptation.throttled(0, 1, 160)
    assert adaptation.rate(0) == 152, "95 % of what went through"
    assert not adaptation.throttled(5, 6, 100), "160 in a second went well: 100 are not the reason"
    assert adaptation.throttled(30, 31, 100), "that was long ago"
    assert adaptation.rate(30) == pytest.approx(0.7 * (152 + (5 - 1 + 30 - 6) * 0.5)), "at most three tenths"
