"""What a Date says of a clock: no more than it can, and never against the evidence."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.clock_skew import LEAST, MOST, Skew, date_of, measure

NOW = 1_700_000_000.0


@given(
    off=st.floats(-2 * MOST, 2 * MOST),
    up=st.floats(0, 30),
    down=st.floats(0, 30),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_the_truth_is_within_the_doubt(off: float, up: float, down: float, fraction: float) -> None:
    """The server dates its answer somewhere in the round trip, in whole seconds of a clock that is off."""
    sent = NOW + fraction
    written = sent + up + off
    found = date_of({"Date": formatdate(math.floor(written), usegmt=True)})
    assert found is not None
    skew = measure(found, sent, sent + up + down)
    assert abs(skew.seconds - off) <= skew.doubt + 1e-6
    if abs(off) < LEAST - 2 * skew.doubt:
        assert not skew.matters
    if abs(off) > max(LEAST, skew.doubt) + skew.doubt:
        assert skew.matters


@pytest.mark.parametrize(
    ("seconds", "doubt", "matters", "believable"),
    [(0, 0.5, False, True), (30, 0.5, False, True), (-31, 0.5, True, True), (31, 40, False, True),
     (MOST, 1, True, True), (MOST + 1, 1, True, False), (-MOST - 1, 1, True, False)],
)  # fmt: skip
def test_what_matters_and_what_is_believed(
    seconds: float, doubt: float, matters: bool, believable: bool
) -> None:
    skew = Skew(seconds, doubt)
    assert (skew.matters, skew.believable) == (matters, believable)


def test_in_words() -> None:
    assert str(Skew(663, 1)) == "11 min 3 s behind the server's"
    assert str(Skew(-8 * 3600, 1)) == "8 h 0 min ahead of the server's"
    assert str(Skew(-42.2, 1)) == "42 s ahead of the server's"


@pytest.mark.parametrize(
    ("headers", "date"),
    [
        ({}, None),
        ({"Date": ""}, None),
        ({"Date": "noon"}, None),
        ({"Date": "Thu, 99 Jan 1970 00:00:30 GMT"}, None),
        ({"Date": "Thu, 01 Jan 1970 00:00:30 -0000"}, None),  # of no zone that is known
        ({"Date": "Thu, 01 Jan 1970 00:00:30"}, None),
        ({"Date": "Thu, 01 Jan 1970 08:00:30 +0800"}, 30.0),
        ({"Date": "Thu, 01 Jan 1970 00:00:30 GMT"}, 30.0),
        ({"Date": "Thu, 01 Jan 1970 00:00:30 GMT", "Age": "0"}, 30.0),
        ({"Date": "Thu, 01 Jan 1970 00:00:30 GMT", "Age": "12"}, None),
        ({"Date": "Thu, 01 Jan 99999999999 00:00:30 GMT"}, None),
    ],
)
def test_dates(headers: dict[str, str], date: float | None) -> None:
    assert date_of(headers) == date


@given(st.text(max_size=60))
def test_no_text_in_a_date_breaks_anything(text: str) -> None:
    found = date_of({"Date": text})
    assert found is None or math.isfinite(found)
