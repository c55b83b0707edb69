"""The quick reader of JSON gives what the careful one gives, or nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pandapon_async.core.json_codec import _carefully, _quickly, loads

WHOLE = st.integers() | st.integers(-(2**70), 2**70)
TEXTS = st.text() | st.sampled_from(
    ["a:.5", ",1e5", "[-1.5", '":', "\\", "12:30:00.5", "http://x.com", "1.5"]
)
# Numbers as they may be spelt; json.dumps of Python could never write most of these.
FRACTIONS = ["1.5", "-0.0", "0.0", "1e5", "1E5", "1e16", "1e-7", "-1.5e+3", "1e999"]
ODD = ["-0", "01", "1.", "NaN", "Infinity", "18446744073709551616", "-9223372036854775809", "9" * 30]
SPELLINGS = st.sampled_from([*FRACTIONS, *ODD])


class Spelt(str):
    """A number that goes into the document as it is spelt."""


class Pairs(list[tuple[str, Any]]):
    """An object whose names may repeat."""


VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXTS | SPELLINGS.map(Spelt),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(st.tuples(st.sampled_from("abc") | TEXTS, inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)


def written(value: Any, comma: str, colon: str, *, ascii_only: bool) -> str:
    if isinstance(value, Spelt):
        return str.__str__(value)
    if isinstance(value, Pairs):
        members = (
            json.dumps(name, ensure_ascii=ascii_only)
            + colon
            + written(item, comma, colon, ascii_only=ascii_only)
            for name, item in value
        )
        return "{" + comma.join(members) + "}"
    if isinstance(value, list):
        return "[" + comma.join(written(item, comma, colon, ascii_only=ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def outcome(data: bytes) -> Any:
    try:
        return repr(_carefully(data))  # repr tells 1 from True and from Decimal(1)
    except ValueError:
        return ValueError


def compare(data: bytes) -> None:
    quick = _quickly(data)
    careful = outcome(data)
    assert quick is None or repr(quick) == careful
    try:
        assert repr(loads(data)) == careful
    except ValueError:
        assert careful is ValueError


@given(
    st.lists(st.tuples(st.sampled_from(["code", "msg", "data", "a"]), VALUES), max_size=5).map(Pairs)
    | VALUES,
    st.sampled_from([",", ", ", " ,\n"]),
    st.sampled_from([":", ": ", " :", "\t:\r\n"]),
    st.booleans(),
)
@example(Pairs([("a", Spelt("1.5"))]), ",", ":", False)
@example(Pairs([("a", Spelt("1e16"))]), ",", ":", False)
@example(Pairs([("a", Spelt("1")), ("a", Spelt("1"))]), ",", ":", False)
def test_both_readers_agree(value: Any, comma: str, colon: str, ascii_only: bool) -> None:
    try:
        data = written(value, comma, colon, ascii_only=ascii_only).encode()
    except UnicodeEncodeError:
        return
    compare(data)


@given(st.binary(max_size=60))
def test_both_readers_agree_on_garbage(data: bytes) -> None:
    compare(data)
    compare(b'{"a":' + data + b"}")


@given(
    st.text("0123456789.eE+-", max_size=12), st.sampled_from(['{"a":%s}', '{"a":[%s]}', '{"a":[1,%s]}', "%s"])
)
def test_both_readers_agree_on_numbers(number: str, place: str) -> None:
    compare((place % number).encode())


@pytest.mark.parametrize("number", ["1.5", "1e5", "0.1", "-2.25", "1e16", "1.0"])
def test_a_fraction_is_never_a_float(number: str) -> None:
    value = loads(b'{"a":[{"b":%s}]}' % number.encode())["a"][0]["b"]
    assert type(value) is Decimal


def test_the_vendors_way_of_writing_is_read_quickly() -> None:
    document = {
        "code": 200,
        "msg": "成功",
        "data": {"url": "http://x.com/1.5", "at": "2024-05-14 15:32:57", "n": None, "id": 10**19},
    }
    compact = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    assert _quickly(compact) == document
    assert _quickly(json.dumps(document).encode()) is None
    assert repr(_quickly(b'{"fee":12.50}')) == "{'fee': Decimal('12.50')}"


@pytest.mark.parametrize("number", [2**63, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**30])
def test_a_whole_number_of_any_length_is_read_exactly(number: int) -> None:
    data = b'{"id":%d}' % number
    compare(data)
    assert loads(data) == {"id": number}


def test_nesting_is_bounded() -> None:
    for depth in (100, 254, 255, 300, 2_000, 100_000):
        compare(b'{"a":' + b"[" * depth + b"]" * depth + b"}")
