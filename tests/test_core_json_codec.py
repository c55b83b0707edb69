"""JSON in and out: no number ever becomes a float, and nothing but ValueError comes out."""

from __future__ import annotations

import dataclasses
import enum
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pandapon_async.core.json_codec import dumps, loads, refuse_floats

BLANKS = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])
WHOLE = st.integers(-(10**40), 10**40).map(str)
FRACTION = st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})((\.[0-9]{1,25})([eE][+-]?[0-9]{1,2})?|[eE][+-]?[0-9]{1,2})", fullmatch=True
).filter(str.isascii)
LEAVES = (
    WHOLE | FRACTION | st.sampled_from(["true", "false", "null", '"1.5"', '"1e5"', r'"\"1.5,"', '"退款"'])
)


def _list_text(parts: list[str], blank: str) -> str:
    return f"[{blank}{f'{blank},{blank}'.join(parts)}{blank}]"


def _object_text(parts: list[str], blank: str) -> str:
    return (
        "{" + blank + f",{blank}".join(f'"n{i}"{blank}:{blank}{part}' for i, part in enumerate(parts)) + "}"
    )


DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(_list_text, st.lists(inner, max_size=4), BLANKS)
        | st.builds(_object_text, st.lists(inner, max_size=4), BLANKS)
    ),
    max_leaves=12,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@given(DOCUMENTS, BLANKS)
@example("1.5", "")  # a number by itself
@example("1e2", " ")
@example("[-9223372036854775809]", "")  # below the 64 bits, and yet only 19 digits
@example("[18446744073709551616]", "")
@example('{"a" :\n-0.10}', "")
def test_no_number_becomes_a_float_and_none_loses_a_digit(text: str, blank: str) -> None:
    value = loads((blank + text + blank).encode())
    assert not any(isinstance(leaf, float) for leaf in leaves(value))
    assert value == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"0", 0),
        (b"0.10", Decimal("0.10")),
        (b'{"a":1022505290408395575}', {"a": 1022505290408395575}),
        (b"[1E+2]", [Decimal("1E+2")]),
        (b"9" * 400, 10**400 - 1),
        (rb'"\u9000\u6b3e \ud83d\ude00"', "退款 😀"),
    ],
)
def test_values_arrive_exactly(body: bytes, value: object) -> None:
    assert loads(body) == value
    assert type(loads(body)) is type(value)


NOT_JSON = {
    "empty": b"",
    "blank": b" \n",
    "nan": b'{"a":NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"[-Infinity,1.5]",
    "byte order mark": b"\xef\xbb\xbf{}",
    "byte order mark and fraction": b"\xef\xbb\xbf[1.5]",
    "utf-16": "[1.5]".encode("utf-16"),
    "utf-16 without mark": "[1.5]".encode("utf-16-le"),
    "utf-32": '{"a":1}'.encode("utf-32-be"),
    "gbk": '{"msg":"退款"}'.encode("gbk"),
    "gbk and fraction": '{"msg":"退款","a":1.5}'.encode("gbk"),
    "half a character": b'["\xe9\x80"]',
    "overlong utf-8": b'["\xc0\xaf"]',
    "encoded surrogate": b'["\xed\xa0\x80"]',
    "lone surrogate": rb'["\ud800"]',
    "lone surrogate and fraction": rb'["\uDC00",1.5]',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep with fraction": b"[" * 200_000 + b"1.5" + b"]" * 200_000,
    "deep objects": b'{"a":' * 200_000 + b"1.5" + b"}" * 200_000,
    "endless depth": b"[" * 5_000,
    "digits without end": b"[" + b"9" * 5_000 + b"]",
    "too large for any double": b"[1e400]",
    "exponent beyond Decimal": b"[1e-99999999999999999999]",
    "zero with such an exponent": b"[0e99999999999999999999]",
    "a number that would fill the memory as int": b"[1e999999]",
    "truncated": b'{"code":200,"da',
    "trailing comma": b"[1,]",
    "two documents": b"{} {}",
    "leading zero": b"[01]",
    "bare fraction": b"[.5]",
    "newline in text": b'["a\nb"]',
    "nul": b'["a\x00b"]',
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "single quotes": b"{'a':1}",
    "name twice": b'{"code":500,"code":200}',
    "name twice, spelled differently": rb'{"code":500,"\u0063ode":200}',
    "name twice inside": b'{"data":{"refundFee":1,"refundFee":100}}',
    "name twice with fraction": b'{"a":1.5,"a":1}',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_json_is_a_plain_value_error(body: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        loads(body)
    assert type(caught.value) is ValueError, "json's own error would carry the whole body along"
    assert caught.value.__context__ is None


@given(st.binary(max_size=60) | st.text('{}[]",:0123456789.eE+-\\ud8truefalsn ', max_size=40).map(str.encode))
def test_any_bytes_give_a_value_or_a_value_error(body: bytes) -> None:
    try:
        value = loads(body)
    except ValueError:
        return
    assert not any(isinstance(leaf, float) for leaf in leaves(value))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_a_decimal_travels_as_plain_digits(amount: Decimal) -> None:
    text = loads(dumps(amount))
    assert Decimal(text) == amount
    assert "e" not in text.lower()


class Rate(enum.Enum):
    HALF = 0.5


@dataclasses.dataclass
class Amount:
    yuan: float = 12.5


NOT_WRITABLE = {
    "nan, which orjson writes as null": float("nan"),
    "nan inside": {"a": [float("nan")]},
    "float in a dataclass": Amount(),
    "decimal nan": Decimal("NaN"),
    "decimal infinity": Decimal("-Infinity"),
    "set": {1},
    "bytes": b"x",
    "object": object(),
    "integer beyond 64 bits": 2**64,
    "lone surrogate": "\ud800",
    "number as a name": {1: 2},
    "moment": datetime(2025, 1, 1),
}


@pytest.mark.parametrize("value", NOT_WRITABLE.values(), ids=NOT_WRITABLE)
def test_what_json_cannot_carry_exactly_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        dumps(value)


def test_a_structure_that_contains_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for function in (dumps, refuse_floats):
        with pytest.raises(ValueError):
            function(circle)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (1.5, r"\$ "),
        ({"rate": Rate.HALF}, r"\$\.rate "),
        ({"a": [0, {"fee": 1.0}]}, r"\$\.a\[1\]\.fee "),
        ((1, float("nan")), r"\$\[1\] "),
    ],
)
def test_a_float_is_refused_with_its_place_and_without_its_value(value: Any, place: str) -> None:
    with pytest.raises(ValueError, match=f"^{place}is a float"):
        refuse_floats(value)


def test_what_has_no_float_passes() -> None:
    refuse_floats({"a": [1, "1.5", Decimal("1.5"), None, True], "b": ()})
