"""Fen and yuan: exact under any circumstances, floats refused, and the url of a voucher."""

from __future__ import annotations

import copy
import operator
import pickle
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.models.alibaba.refunds import Voucher
from pandapon_async.money import Fen


@given(st.integers(-(10**40), 10**40), st.integers(1, 40))
def test_fen_and_yuan_are_the_same_amount_whatever_the_decimal_context(amount: int, precision: int) -> None:
    """An application may have set a small precision for sums of its own; money must not be rounded by it."""
    with localcontext() as context:
        context.prec = precision
        fen = Fen(amount)
        yuan = fen.yuan
        assert Fen.from_yuan(yuan) == Fen.from_yuan(str(yuan)) == amount
    assert yuan.as_tuple().exponent == -2
    assert int(yuan.scaleb(2, _wide())) == amount


def _wide() -> Any:
    from decimal import Context

    return Context(prec=60)


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [
        ("12.50", 1250), ("12.5", 1250), ("12", 1200), (12, 1200), (Decimal("0.01"), 1), ("0.00", 0),
        ("-3.20", -320), (Decimal("1E+2"), 10000), (Decimal("12.500"), 1250), ("12.500", 1250),
        ("+1.00", 100),
    ],
)  # fmt: skip
def test_yuan_into_fen(yuan: Decimal | int | str, fen: int) -> None:
    found = Fen.from_yuan(yuan)
    assert found == fen
    assert type(found) is Fen


@pytest.mark.parametrize(
    "yuan",
    ["12.505", "", "abc", "1_2.5", "１２.5", " 12", "12\n", "1,200", "¥12", "1e3", "NaN", "Infinity", "0x1",
     ".", "1.2.3", "9" * 5000, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("0.001"),
     Decimal("1E+1000000"), Decimal("1E-1000000")],
    ids=lambda yuan: str(yuan)[:12],
)  # fmt: skip
def test_what_are_no_yuan(yuan: Decimal | str) -> None:
    with pytest.raises(ValueError) as caught:
        Fen.from_yuan(yuan)
    assert len(str(yuan)) < 4 or str(yuan) not in str(caught.value)


@pytest.mark.parametrize("text", ["abc", "1.0", "", " 12", "12\n", "1_0", "１２", "0x1", "9" * 5000])
def test_what_are_no_fen(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Fen(text)
    assert len(text) < 4 or text not in str(caught.value)


@pytest.mark.parametrize("value", [1.0, True, None, b"1", Decimal(1), [1]])
def test_only_whole_numbers_and_digits_are_fen(value: Any) -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        Fen(value)


@pytest.mark.parametrize("value", [12.5, True, None, b"1", [1], float("nan")])
def test_a_float_is_never_yuan(value: Any) -> None:
    with pytest.raises(TypeError, match="Decimal, int or text"):
        Fen.from_yuan(value)


def test_fen_are_an_int_in_every_respect() -> None:
    fen = Fen("1250")
    assert (fen, hash(fen), str(fen), repr(fen), f"{fen:,}") == (
        1250,
        hash(1250),
        "1250",
        "Fen(1250)",
        "1,250",
    )
    assert fen + 1 == 1251
    assert {fen: 1}[1250] == 1  # type: ignore[index]
    assert orjson.dumps({"a": fen}) == b'{"a":1250}'
    for copied in (pickle.loads(pickle.dumps(fen)), copy.copy(fen), copy.deepcopy(fen)):
        assert type(copied) is Fen
        assert copied == fen


@pytest.mark.parametrize(
    ("domain", "path", "url"),
    [
        ("https://img.example", "a/b.jpg", "https://img.example/a/b.jpg"),
        ("https://img.example/", "/a/b.jpg", "https://img.example/a/b.jpg"),
        ("https://img.example/x/", "a.jpg", "https://img.example/x/a.jpg"),
    ],
)
def test_the_url_of_a_voucher_is_joined_with_one_slash(domain: str, path: str, url: str) -> None:
    assert Voucher(image_domain=domain, image_relative_url=path).url == url


@pytest.mark.parametrize(
    "parts", [{}, {"image_domain": "https://x"}, {"image_relative_url": "/a"}, {"image_domain": ""}]
)
def test_half_an_answer_has_no_url(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no image domain or no image path"):
        _ = Voucher(**parts).url


@given(st.integers(-(10**20), 10**20), st.integers(-(10**6), 10**6).filter(bool))
def test_fen_stay_fen_in_every_sum(amount: int, other: int) -> None:
    fen = Fen(amount)
    for one in (other, Fen(other)):
        found = (fen + one, fen - one, fen * one, fen // one, fen % one, one + fen, one - fen, one * fen)
        assert found == (
            amount + other, amount - other, amount * other, amount // other, amount % other,
            other + amount, other - amount, other * amount,
        )  # fmt: skip
        assert divmod(fen, one) == divmod(amount, other)
        assert {type(value) for value in (*found, *divmod(fen, one))} == {Fen}
    if amount:
        assert (other // fen, other % fen) == (other // amount, other % amount) == divmod(other, fen)
        assert type(other // fen) is type(other % fen) is Fen
    for made, plain in (
        (-fen, -amount),
        (+fen, amount),
        (abs(fen), abs(amount)),
        (sum([fen, fen]), 2 * amount),
    ):
        assert made == plain
        assert type(made) is Fen


@pytest.mark.parametrize("other", [1.5, float("nan"), Decimal("1.5"), True, Fraction(1, 2), None, "1", 1j])
@pytest.mark.parametrize("sign", ["add", "sub", "mul", "floordiv", "mod", "truediv", "divmod"])
def test_fen_do_not_count_with_anything_but_whole_numbers(other: Any, sign: str) -> None:
    count: Any = divmod if sign == "divmod" else getattr(operator, sign)
    with pytest.raises(TypeError, match="fen"):
        count(Fen(100), other)


@pytest.mark.parametrize("other", [2, Fen(2)])
def test_fen_never_become_a_float_by_division(other: int) -> None:
    with pytest.raises(TypeError, match=r"use // and %, or \.yuan"):
        _ = Fen(100) / other
    with pytest.raises(TypeError):
        _ = other / Fen(100)
