"""Every rule: what it accepts and refuses; that it says what would be right and never repeats the value."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Annotated, Any, get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.arguments import (
    Choice,
    FenAmount,
    Flag,
    Integer,
    IntegerId,
    Json,
    JsonText,
    ListOf,
    Moment,
    Nested,
    Number,
    Reference,
    Rule,
    Text,
    TextId,
    YuanAmount,
    camel,
)
from pandapon_async.core.codec import dumps, loads
from pandapon_async.models.alibaba.refunds import GoodsStatus, OrderEntryCount
from pandapon_async.models.taobao.refunds import RefundStatus
from pandapon_async.money import Fen


class OtherWord(enum.Enum):
    SAME = "refundBuyerReceived"


class Nowhere(tzinfo):
    """A zone that does not say how far it is: as good as none."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


@attrs.define
class Line:
    id: Annotated[int | str, IntegerId()]
    note: Annotated[str | None, Text(1, 5)] = None


MS = 1652759264000
REFUND = TextId(r"TQ[0-9]{1,20}", "TQ201808300000001")
REFERENCE = get_args(Reference)[1]
ACCEPTED: list[tuple[Rule, Any, Any]] = [
    (Text(), "a", "a"),
    (Text(2, 4), "退款退款", "退款退款"),  # characters, not bytes
    (Text(2, 4), "😀😀", "😀😀"),
    (Text(0), "", ""),
    (Text(), "two\nlines\tof text", "two\nlines\tof text"),
    (Text(1, 9, r"[0-9]+"), "123", "123"),
    (Text(), GoodsStatus.REFUND_BUYER_RECEIVED, "refundBuyerReceived"),
    (TextId(), 1022505290408395575, "1022505290408395575"),
    (TextId(), "a_B-9", "a_B-9"),
    (REFERENCE, "SF 123", "SF 123"),
    (REFERENCE, "1", "1"),
    (REFUND, "TQ1", "TQ1"),
    (IntegerId(), 1, 1),
    (IntegerId(), "2542285634920880794", 2542285634920880794),
    (IntegerId(), 2**63 - 1, 2**63 - 1),
    (IntegerId(), str(2**63 - 1), 2**63 - 1),
    (Integer(), -5, -5),
    (Integer(1, 3), 1, 1),
    (Integer(1, 3), 3, 3),
    (Integer(), RefundStatus.CLOSED, -20),
    (FenAmount(), 0, 0),
    (FenAmount(), Fen(1250), 1250),
    (YuanAmount(), "12.5", "12.50"),
    (YuanAmount(), Decimal("12.50"), "12.50"),
    (YuanAmount(), 12, "12.00"),
    (Number(), "12.50", Decimal("12.5")),
    (Number(), 3, 3),
    (Number(as_text=True), Decimal("12.50"), "12.50"),
    (Number(as_text=True), Decimal("1E+2"), "100"),
    (Flag(), True, True),
    (Flag(), False, False),
    (Choice(GoodsStatus), GoodsStatus.REFUND_BUYER_RECEIVED, "refundBuyerReceived"),
    (Choice(GoodsStatus), "refundBuyerReceived", "refundBuyerReceived"),
    (Choice(GoodsStatus), OtherWord.SAME, "refundBuyerReceived"),
    (Choice(RefundStatus), RefundStatus.NONE, 0),
    (Choice(RefundStatus), -20, -20),
    (Choice(RefundStatus, open=True), 55, 55),
    (Choice(GoodsStatus, open=True), "new", "new"),
    (Moment(), MS, MS),
    (Moment(), datetime(2022, 5, 17, 3, 47, 44, tzinfo=UTC), MS),
    (Moment(), datetime(2022, 5, 17, 11, 47, 44, 999, tzinfo=timezone(timedelta(hours=8))), MS + 1),
    (ListOf(IntegerId()), [1, "2"], [1, 2]),
    (ListOf(IntegerId()), (1,), [1]),
    (ListOf(IntegerId()), iter([1]), [1]),
    (ListOf(IntegerId()), {1}, [1]),
    (ListOf(IntegerId()), range(1, 3), [1, 2]),
    (ListOf(IntegerId(), 0), [], []),
    (ListOf(Text(), 1, 2), ["a", "b"], ["a", "b"]),
    (Nested(Line), Line(id="7"), {"id": 7}),
    (Nested(Line), {"id": 7, "note": "x"}, {"id": 7, "note": "x"}),
    (Nested(lambda: OrderEntryCount), OrderEntryCount(id=1, count=2), {"id": 1, "count": 2}),
    (Json(), {"a": [1, "x", None, True]}, {"a": [1, "x", None, True]}),
    (JsonText(ListOf(IntegerId())), [1], "[1]"),
]


@pytest.mark.parametrize(("rule", "value", "wire"), ACCEPTED)
def test_what_is_right_is_written_for_the_wire(rule: Rule, value: Any, wire: Any) -> None:
    encoded = rule.encode(value)
    assert loads(dumps(encoded)) == wire
    assert fits(loads(dumps(encoded)), rule.schema())


NO_WORD: list[Any] = [
    "", "refundbuyerreceived", "refundBuyerReceived ", 1, None, True, [], {}, b"refundBuyerReceived",
]  # fmt: skip
NO_STATUS: list[Any] = [False, 0.0, 10.0, Decimal(10), "10", "-20", 55, None]
SELF: list[Any] = []
SELF.append(SELF)
NO_YUAN: list[Any] = [12.5, True, None, [], "12.505", "abc", "1e3", "１２", ""]
NO_TEXT: list[Any] = [1, 1.5, None, True, b"a", ["a"], Decimal(1)]
REFUSED: list[tuple[Rule, Any, str]] = [
    *((Text(), value, "must be text") for value in NO_TEXT),
    (Text(), "", "at least 1 characters"),
    (Text(2, 150), "退", "2 to 150 characters, has 1"),
    (Text(2, 150), "x" * 151, "2 to 150 characters, has 151"),
    (Text(1, 9, "[0-9]+", "123"), "12a", "such as 123"),
    (Text(1, 9, "[0-9]+", "123"), "123\n", "such as 123"),
    (Text(), " \t\n", "not only blanks"),
    *((REFERENCE, value, "such as SF00000000001") for value in (" SF1", "SF1\t", "SF1\n", "S\nF", "\u3000S")),
    (Text(), "half a character \ud800", "must be text"),
    *((TextId(), value, "must be an id") for value in (
        1.0, 1.5e17, True, None, b"1", Decimal(1), [1], "", " 1", "1 ", "\t110000235001", "1\n", "1\r", "a b",
        "../../order/pay", "1/2", "1?x", "1#x", "%2e%2e", "１２３", "٣", "x" * 65, -1.0, "a.b", "a\x00",
    )),
    (REFUND, "tq1", "such as TQ"),
    (REFUND, "1", "such as TQ"),
    (REFUND, 1, "such as TQ"),
    (REFUND, "TQ１", "such as TQ"),
    (REFUND, "TQ1\n", "such as TQ"),
    (TextId(r"[0-9]{1,20}"), -5, "must be an id"),
    (TextId(), 10**5000, "digits"),
    *((IntegerId(), value, "must be an id") for value in (
        0, -1, 2**63, 10**30, str(2**63), "0", "-1", "", " 1", "1\n", "1.0", "１２", "1_0", "9" * 20, 1.0,
        2.5e18, True, False, None, Decimal(1), b"1", [1],
    )),
    *((Integer(), value, "must be a whole number") for value in (1.0, "1", True, None, Decimal(1))),
    (Integer(1, 3), 0, ">= 1 and <= 3"),
    (Integer(1, 3), 4, ">= 1 and <= 3"),
    (Integer(1), -(10**5000), ">= 1"),
    (Integer(1), 2**63, "<= "),  # no JSON integer of the vendor's is longer
    (Integer(), -(2**63) - 1, ">= "),
    *((FenAmount(), value, "must be") for value in (12.5, 12.0, Decimal(12), "12", "12.50", True, None)),
    (FenAmount(), -1, ">= 0"),
    (FenAmount(), 2**63, "<= "),
    *((YuanAmount(), value, "yuan") for value in NO_YUAN),
    (YuanAmount(), "-0.01", "negative"),
    *((Number(), value, "must be a number") for value in (12.5, True, None, "1e3", " 1", "１")),
    (Number(), Decimal("NaN"), "must be a number"),
    *((Flag(), value, "must be True or False") for value in (1, 0, "true", "True", None, "")),
    *((Choice(GoodsStatus), value, "must be one of refundWaitSellerSend") for value in NO_WORD),
    *((Choice(RefundStatus), value, "must be one of 0, 10") for value in NO_STATUS),
    *((Choice(RefundStatus, open=True), value, "must be") for value in (False, 55.0, "55", None, 2**63)),
    *((Choice(GoodsStatus, open=True), value, "must be") for value in (1, None, True, "\ud800")),
    *((Moment(), value, "time zone") for value in (
        datetime(2022, 5, 17), datetime(2022, 5, 17, tzinfo=Nowhere()), 1652759264, 10**14, -MS, 0, float(MS),
        str(MS), True, None, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC),
        datetime(2022, 5, 17).date(),
    )),
    *((ListOf(IntegerId()), value, "must be a list") for value in (
        "123", b"123", bytearray(b"12"), memoryview(b"12"), {"a": 1}, 1, None, True,
    )),
    (ListOf(IntegerId()), [], "at least 1 items"),
    (ListOf(Text(), 1, 5), ["x"] * 6, "1 to 5 items, has 6"),
    (ListOf(Text(), 1, 5), iter([]), "1 to 5 items, has 0"),
    (ListOf(IntegerId()), [1, 2.0], "item 1: must be an id"),
    (ListOf(IntegerId()), [True], "item 0: must be an id"),
    (ListOf(Nested(Line)), [{"id": 0}], "item 0: id must be an id"),
    (Nested(Line), "x", "must be Line or a mapping of its fields, not str"),
    (Nested(Line), [], "not list"),
    (Nested(Line), {}, "id is required"),
    (Nested(Line), {"id": None}, "id is required"),
    (Nested(Line), {"id": 1, "noted": "x"}, "unknown argument noted; known: id, note"),
    (Nested(Line), {"id": 1, 2: "x", "y": "z"}, "unknown argument"),
    (Nested(Line), {"id": 1, "note": "123456"}, "note must have 1 to 5 characters"),
    (Json(), {"a": 1.5}, "a is a float"),
    (Json(), float("nan"), "is a float"),
    (Json(), {"a": object()}, "JSON"),
    (Json(), {1: 2}, "JSON"),
    (Json(), 2**64, "JSON"),
    (Json(), "\ud800", "JSON"),
    (Json(), SELF, "deep"),
    (JsonText(ListOf(IntegerId())), "[1]", "not as JSON text"),
    (JsonText(ListOf(IntegerId())), [1.5], "item 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "value", "hint"),
    REFUSED,
    ids=[
        f"{index}-{type(rule).__name__}-{type(value).__name__}"
        for index, (rule, value, _) in enumerate(REFUSED)
    ],
)
def test_what_is_wrong_is_refused_and_told_what_would_be_right(rule: Rule, value: Any, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        rule.encode(value)


CANARY = "canary-13800001111-canary"


def wrong_values() -> Iterator[Any]:
    for text in (CANARY * 4, f"\t{CANARY}", f"{CANARY}\n", CANARY):
        yield from (text, text.encode(), [text], {"id": text}, {"id": [text]})


@pytest.mark.parametrize(
    "rule",
    [Text(1, 5), Text(1, None, "[0-9]+"), REFUND, IntegerId(), Integer(), FenAmount(), YuanAmount(), Number(),
     Flag(), Choice(GoodsStatus), Choice(RefundStatus), Moment(), ListOf(IntegerId()), Nested(Line)],
    ids=lambda rule: type(rule).__name__,
)  # fmt: skip
def test_an_error_never_repeats_the_value(rule: Rule) -> None:
    for value in wrong_values():
        with pytest.raises(ValueError) as caught:
            rule.encode(value)
        assert CANARY not in f"{caught.value} {caught.value!r}"


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a wire value fits the basic keywords of a JSON schema."""
    kinds: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": int | Decimal,
        "boolean": bool,
        "array": list,
    }
    kind = schema.get("type")
    if kind in kinds and (
        not isinstance(value, kinds[kind]) or (kind != "boolean" and isinstance(value, bool))
    ):
        return False
    if kind == "object":
        properties = schema["properties"]
        return (
            isinstance(value, dict)
            and set(schema["required"]) <= set(value) <= set(properties)
            and all(fits(item, properties[name]) for name, item in value.items())
        )
    if kind == "array" and not all(fits(item, schema["items"]) for item in value):
        return False
    size = len(value) if isinstance(value, str | list) else None
    least, most = ("minLength", "maxLength") if kind == "string" else ("minItems", "maxItems")
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        if kind in ("integer", "number")
        else (size is None or schema.get(least, size) <= size <= schema.get(most, size))
        and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
        and ("enum" not in schema or value in schema["enum"])
    )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 20)
    | st.floats()
    | st.decimals(places=2)
    | st.text(max_size=8)
    | st.from_regex(r"[0-9]{1,22}", fullmatch=True)
    | st.from_regex(r"TQ[0-9]{1,22}", fullmatch=True)
    | st.sampled_from([*GoodsStatus, *RefundStatus, *(status.value for status in GoodsStatus)])
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "note", "x"]), inner),
    max_leaves=4,
)
RULES: list[Rule] = [
    Text(), Text(2, 5), Text(0, 3), TextId(), REFUND, TextId(r"[0-9]{1,20}"), REFERENCE, IntegerId(),
    Integer(), Integer(-3, 9), FenAmount(), YuanAmount(), Number(), Number(as_text=True),
    Number(1, decimals=0), Flag(), Choice(GoodsStatus), Choice(RefundStatus), Choice(RefundStatus, open=True),
    Moment(), Json(), ListOf(IntegerId(), 1, 3), ListOf(Text(), 0), ListOf(Nested(Line)), Nested(Line),
    JsonText(ListOf(Flag())),
]  # fmt: skip


@given(VALUES, st.sampled_from(RULES))
def test_whatever_a_rule_accepts_fits_its_schema_and_can_be_sent(value: Any, rule: Rule) -> None:
    try:
        encoded = rule.encode(value)
    except ValueError:
        return
    assert fits(loads(dumps(encoded)), rule.schema())


@given(st.datetimes(datetime(1973, 4, 1), datetime(5000, 1, 1), timezones=st.timezones()))
def test_a_moment_keeps_its_milliseconds(at: datetime) -> None:
    exact = (at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)
    assert abs(Moment().encode(at) - exact) <= 0.5


@pytest.mark.parametrize(
    ("name", "wire"),
    [("refund_id", "refundId"), ("order_entry_ids", "orderEntryIds"), ("id", "id"), ("page_no", "pageNo")],
)
def test_wire_names_are_camel_case(name: str, wire: str) -> None:
    assert camel(name) == wire
