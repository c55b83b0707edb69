"""Delays, the server's own wishes, and the budget that stops storms."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.retry import RetryBudget, RetryPolicy, parse_retry_after
from pandapon_async.errors import ConfigurationError, ConnectionLostError, NotSentError, RateLimitError

CHANCE = st.floats(0, 1, exclude_max=True)
TIMES = st.floats(0, 1e6)


@given(
    st.integers(1, 10_000),
    CHANCE,
    TIMES,
    TIMES,
    TIMES,
    st.sampled_from([NotSentError("x"), RateLimitError("x"), None]),
)
def test_a_delay_has_full_jitter_below_its_bound(
    attempt: int, chance: float, base: float, throttle_base: float, maximum: float, error: Exception | None
) -> None:
    policy = RetryPolicy(base=base, throttle_base=throttle_base, maximum=maximum)
    first = throttle_base if isinstance(error, RateLimitError) else base
    bound = min(maximum, first * 2.0 ** min(attempt - 1, 60))
    delay = policy.delay(attempt, error, chance)
    assert 0 <= delay <= bound
    assert delay == bound * chance
    assert policy.delay(attempt, error, 0.0) == 0


def test_what_a_proxy_asks_for_is_a_floor() -> None:
    policy, refused = RetryPolicy(base=1.0, retry_after_maximum=60), NotSentError("the proxy is busy")
    assert policy.delay(1, refused, 0.5) == 0.5
    refused.retry_after = 3.0
    assert policy.delay(1, refused, 0.0) == 3.0
    assert policy.delay(1, refused, 0.5) == 3.5
    assert policy.accepts(refused)
    refused.retry_after = 61.0
    assert not policy.accepts(refused)


def test_delays_double_up_to_the_maximum() -> None:
    policy = RetryPolicy(base=1, maximum=10)
    assert [policy.delay(n, None, 1.0) for n in (1, 2, 3, 4, 5, 10**6)] == [1, 2, 4, 8, 10, 10]


@given(st.none() | st.floats(0, 1e9), TIMES, TIMES)
def test_a_pause_is_what_was_asked_for_up_to_the_maximum(
    asked: float | None, pause: float, maximum: float
) -> None:
    policy = RetryPolicy(throttle_pause=pause, retry_after_maximum=maximum)
    error = RateLimitError("x", retry_after=asked)
    assert policy.pause(error) == min(pause if asked is None else asked, maximum)
    assert policy.accepts(error) == (asked is None or asked <= maximum)
    assert policy.accepts(ConnectionLostError("x"))


WALL = datetime(2025, 2, 24, 7, 14, 15, tzinfo=UTC)
FAR = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("seconds", "milliseconds", "wait"),
    [
        ("2", None, 2.0),
        (" 2 ", None, 2.0),
        ("0", None, 0.0),
        ("1.5", None, 1.5),
        ("999999999999", None, 999999999999.0),
        ("2", "250", 0.25),
        (None, "1500", 1.5),
        ("2", "soon", 2.0),
        ("2", "-1", 2.0),
        (format_datetime(WALL + timedelta(seconds=30), usegmt=True), None, 30.0),
        ("Mon, 24 Feb 2025 15:14:45 +0800", None, 30.0),
        ("Mon, 24 Feb 2025 07:14:45 -0000", None, 30.0),
        (format_datetime(WALL - timedelta(days=1), usegmt=True), None, 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +2300", None, 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, FAR - WALL.timestamp()),
        (None, None, None),
        ("", None, None),
        ("-5", None, None),
        ("+5", None, None),
        ("1e3", None, None),
        ("inf", None, None),
        ("nan", None, None),
        ("0x10", None, None),
        ("9" * 4000, None, None),
        ("２", None, None),
        ("٢", None, None),
        ("1_000", None, None),
        ("soon", None, None),
        ("Mon, 99 Feb 2025 07:14:45 GMT", None, None),
        ("2, 3", None, None),
        ("\x00", None, None),
    ],
)
def test_the_servers_wish_in_all_its_forms(
    seconds: str | None, milliseconds: str | None, wait: float | None
) -> None:
    assert parse_retry_after(seconds, milliseconds, WALL.timestamp()) == wait


@given(st.text(max_size=40) | st.none(), st.text(max_size=20) | st.none(), st.floats(0, 1e11))
def test_any_header_gives_a_finite_wait_or_none(a: str | None, b: str | None, wall: float) -> None:
    wait = parse_retry_after(a, b, wall)
    assert wait is None or (math.isfinite(wait) and wait >= 0)


@given(st.integers(0, 100), st.lists(st.tuples(st.booleans(), st.integers(0, 50))))
def test_a_budget_never_goes_below_zero_or_above_its_capacity(
    capacity: int, steps: list[tuple[bool, int]]
) -> None:
    budget = RetryBudget(capacity)
    for spend, amount in steps:
        before = budget.tokens
        if spend:
            assert budget.spend(amount) == (before >= amount)
            assert budget.tokens == (before - amount if before >= amount else before)
        else:
            budget.repay(amount)
            assert budget.tokens == min(capacity, before + amount + 1)
        assert 0 <= budget.tokens <= capacity


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 2.5},
        {"attempts": True},
        {"base": -1},
        {"base": math.nan},
        {"maximum": math.inf},
        {"throttle_base": -0.1},
        {"throttle_pause": -1},
        {"throttle_pause": "1"},
        {"retry_after_maximum": -1},
        {"budget": -1},
        {"budget": 1.5},
        {"cost": -5},  # would fill the budget with every retry
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_the_limits_of_a_policy_are_allowed() -> None:
    RetryPolicy(attempts=1, base=0, throttle_base=0, maximum=0, throttle_pause=0, budget=0, cost=0)
