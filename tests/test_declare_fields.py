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

from pandapon_async.core.json_codec import dumps, loads
from pandapon_async.core.model import camel
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.fields import (
    BoolField,
    EnumField,
    FenField,
    Field,
    IntegerField,
    IntegerIdField,
    JsonField,
    JsonTextField,
    ListField,
    NumberField,
    Reference,
    TextField,
    TextIdField,
    TimestampField,
    YuanField,
)
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
    id: Annotated[int | str, IntegerIdField()]
    note: Annotated[str | None, TextField(1, 5)] = None


MS = 1652759264000
REFUND = TextIdField(r"T[QD][0-9]{1,20}", "TQ201808300000001")
REFERENCE = get_args(Reference)[1]
ACCEPTED: list[tuple[Field, Any, Any]] = [
    (TextField(), "a", "a"),
    (TextField(2, 4), "退款退款", "退款退款"),  # characters, not bytes
    (TextField(2, 4), "😀😀", "😀😀"),
    (TextField(0), "", ""),
    (TextField(), "two\nlines\tof text", "two\nlines\tof text"),
    (TextField(1, 9, r"[0-9]+"), "123", "123"),
    (TextField(), GoodsStatus.REFUND_BUYER_RECEIVED, "refundBuyerReceived"),
    (TextIdField(), 1022505290408395575, "1022505290408395575"),
    (TextIdField(), "a_B-9", "a_B-9"),
    (REFERENCE, "SF 123", "SF 123"),
    (REFERENCE, "1", "1"),
    (REFUND, "TQ1", "TQ1"),
    (IntegerIdField(), 1, 1),
    (IntegerIdField(), "2542285634920880794", 2542285634920880794),
    (IntegerIdField(), 2**63 - 1, 2**63 - 1),
    (IntegerIdField(), str(2**63 - 1), 2**63 - 1),
    (IntegerField(), -5, -5),
    (IntegerField(1, 3), 1, 1),
    (IntegerField(1, 3), 3, 3),
    (IntegerField(), RefundStatus.CLOSED, -20),
    (FenField(), 0, 0),
    (FenField(), Fen(1250), 1250),
    (YuanField(), "12.5", "12.50"),
    (YuanField(), Decimal("12.50"), "12.50"),
    (YuanField(), 12, "12.00"),
    (NumberField(), "12.50", Decimal("12.5")),
    (NumberField(), 3, 3),
    (NumberField(as_text=True), Decimal("12.50"), "12.50"),
    (NumberField(as_text=True), Decimal("1E+2"), "100"),
    (BoolField(), True, True),
    (BoolField(), False, False),
    (EnumField(GoodsStatus), GoodsStatus.REFUND_BUYER_RECEIVED, "refundBuyerReceived"),
    (EnumField(GoodsStatus), "refundBuyerReceived", "refundBuyerReceived"),
    (EnumField(GoodsStatus), OtherWord.SAME, "refundBuyerReceived"),
    (EnumField(RefundStatus), RefundStatus.NONE, 0),
    (EnumField(RefundStatus), -20, -20),
    (EnumField(RefundStatus, open=True), 55, 55),
    (EnumField(GoodsStatus, open=True), "new", "new"),
    (TimestampField(), MS, MS),
    (TimestampField(), datetime(2022, 5, 17, 3, 47, 44, tzinfo=UTC), MS),
    (TimestampField(), datetime(2022, 5, 17, 11, 47, 44, 999, tzinfo=timezone(timedelta(hours=8))), MS + 1),
    (ListField(IntegerIdField()), [1, "2"], [1, 2]),
    (ListField(IntegerIdField()), (1,), [1]),
    (ListField(IntegerIdField()), iter([1]), [1]),
    (ListField(IntegerIdField()), {1}, [1]),
    (ListField(IntegerIdField()), range(1, 3), [1, 2]),
    (ListField(IntegerIdField(), 0), [], []),
    (ListField(TextField(), 1, 2), ["a", "b"], ["a", "b"]),
    (ObjectField(Line), Line(id="7"), {"id": 7}),
    (ObjectField(Line), {"id": 7, "note": "x"}, {"id": 7, "note": "x"}),
    (ObjectField(lambda: OrderEntryCount), OrderEntryCount(id=1, count=2), {"id": 1, "count": 2}),
    (JsonField(), {"a": [1, "x", None, True]}, {"a": [1, "x", None, True]}),
    (JsonTextField(ListField(IntegerIdField())), [1], "[1]"),
]


@pytest.mark.parametrize(("rule", "value", "wire"), ACCEPTED)
def test_what_is_right_is_written_for_the_wire(rule: Field, value: Any, wire: Any) -> None:
    encoded = rule.encode(value)
    assert loads(dumps(encoded)) == wire
    assert fits(loads(dumps(encoded)), rule.schema())


NO_WORD: list[Any] = [
    "",
    "refundbuyerreceived",
    "refundBuyerReceived ",
    1,
    None,
    True,
    [],
    {},
    b"refundBuyerReceived",
]
NO_STATUS: list[Any] = [False, 0.0, 10.0, Decimal(10), "10", "-20", 55, None]
SELF: list[Any] = []
SELF.append(SELF)
NO_YUAN: list[Any] = [12.5, True, None, [], "12.505", "abc", "1e3", "１２", ""]
NO_TEXT: list[Any] = [1, 1.5, None, True, b"a", ["a"], Decimal(1)]
REFUSED: list[tuple[Field, Any, str]] = [
    *((TextField(), value, "must be text") for value in NO_TEXT),
    (TextField(), "", "at least 1 characters"),
    (TextField(2, 150), "退", "2 to 150 characters, has 1"),
    (TextField(2, 150), "x" * 151, "2 to 150 characters, has 151"),
    (TextField(1, 9, "[0-9]+", "123"), "12a", "such as 123"),
    (TextField(1, 9, "[0-9]+", "123"), "123\n", "such as 123"),
    (TextField(), " \t\n", "not only spaces"),
    *((REFERENCE, value, "such as SF00000000001") for value in (" SF1", "SF1\t", "SF1\n", "S\nF", "\u3000S")),
    (TextField(), "half a character \ud800", "must be text"),
    *(
        (TextIdField(), value, "must be an id")
        for value in (
            1.0,
            1.5e17,
            True,
            None,
            b"1",
            Decimal(1),
            [1],
            "",
            " 1",
            "1 ",
            "\t110000235001",
            "1\n",
            "1\r",
            "a b",
            "../../order/pay",
            "1/2",
            "1?x",
            "1#x",
            "%2e%2e",
            "１２３",
            "٣",
            "x" * 65,
            -1.0,
            "a.b",
            "a\x00",
        )
    ),
    (REFUND, "tq1", "such as TQ"),
    (REFUND, "1", "such as TQ"),
    (REFUND, 1, "such as TQ"),
    (REFUND, "TQ１", "such as TQ"),
    (REFUND, "TQ1\n", "such as TQ"),
    (TextIdField(r"[0-9]{1,20}"), -5, "must be an id"),
    (TextIdField(), 10**5000, "digits"),
    *(
        (IntegerIdField(), value, "must be an id")
        for value in (
            0,
            -1,
            2**63,
            10**30,
            str(2**63),
            "0",
            "-1",
            "",
            " 1",
            "1\n",
            "1.0",
            "１２",
            "1_0",
            "9" * 20,
            1.0,
            2.5e18,
            True,
            False,
            None,
            Decimal(1),
            b"1",
            [1],
        )
    ),
    *((IntegerField(), value, "must be a whole number") for value in (1.0, "1", True, None, Decimal(1))),
    (IntegerField(1, 3), 0, ">= 1 and <= 3"),
    (IntegerField(1, 3), 4, ">= 1 and <= 3"),
    (IntegerField(1), -(10**5000), ">= 1"),
    (IntegerField(1), 2**63, "<= "),  # no JSON integer of the vendor's is longer
    (IntegerField(), -(2**63) - 1, ">= "),
    *((FenField(), value, "must be") for value in (12.5, 12.0, Decimal(12), "12", "12.50", True, None)),
    (FenField(), -1, ">= 0"),
    (FenField(), 2**63, "<= "),
    *((YuanField(), value, "yuan") for value in NO_YUAN),
    (YuanField(), "-0.01", "negative"),
    *((NumberField(), value, "must be a number") for value in (12.5, True, None, "1e3", " 1", "１")),
    (NumberField(), Decimal("NaN"), "must be a number"),
    *((BoolField(), value, "must be True or False") for value in (1, 0, "true", "True", None, "")),
    *((EnumField(GoodsStatus), value, "must be one of refundWaitSellerSend") for value in NO_WORD),
    *((EnumField(RefundStatus), value, "must be one of 0, 10") for value in NO_STATUS),
    *((EnumField(RefundStatus, open=True), value, "must be") for value in (False, 55.0, "55", None, 2**63)),
    *((EnumField(GoodsStatus, open=True), value, "must be") for value in (1, None, True, "\ud800")),
    *(
        (TimestampField(), value, "time zone")
        for value in (
            datetime(2022, 5, 17),
            datetime(2022, 5, 17, tzinfo=Nowhere()),
            1652759264,
            10**14,
            -MS,
            0,
            float(MS),
            str(MS),
            True,
            None,
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(9999, 1, 1, tzinfo=UTC),
            datetime(2022, 5, 17).date(),
        )
    ),
    *(
        (ListField(IntegerIdField()), value, "must be a list")
        for value in (
            "123",
            b"123",
            bytearray(b"12"),
            memoryview(b"12"),
            {"a": 1},
            1,
            None,
            True,
        )
    ),
    (ListField(IntegerIdField()), [], "at least 1 items"),
    (ListField(TextField(), 1, 5), ["x"] * 6, "1 to 5 items, has 6"),
    (ListField(TextField(), 1, 5), iter([]), "1 to 5 items, has 0"),
    (ListField(IntegerIdField()), [1, 2.0], "item 1: must be an id"),
    (ListField(IntegerIdField()), [True], "item 0: must be an id"),
    (ListField(ObjectField(Line)), [{"id": 0}], "item 0: id must be an id"),
    (ObjectField(Line), "x", "must be Line or a mapping of its fields, not str"),
    (ObjectField(Line), [], "not list"),
    (ObjectField(Line), {}, "id is required"),
    (ObjectField(Line), {"id": None}, "id is required"),
    (ObjectField(Line), {"id": 1, "noted": "x"}, "unknown argument noted; did you mean note?"),
    (ObjectField(Line), {"id": 1, 2: "x", "y": "z"}, "unknown argument"),
    (ObjectField(Line), {"id": 1, "note": "123456"}, "note must have 1 to 5 characters"),
    (JsonField(), {"a": 1.5}, "a is a float"),
    (JsonField(), float("nan"), "is a float"),
    (JsonField(), {"a": object()}, "JSON"),
    (JsonField(), {1: 2}, "JSON"),
    (JsonField(), 2**64, "JSON"),
    (JsonField(), "\ud800", "JSON"),
    (JsonField(), SELF, "deep"),
    (JsonTextField(ListField(IntegerIdField())), "[1]", "not JSON text"),
    (JsonTextField(ListField(IntegerIdField())), [1.5], "item 0"),
]


@pytest.mark.parametrize(
    ("rule", "value", "hint"),
    REFUSED,
    ids=[
        f"{index}-{type(rule).__name__}-{type(value).__name__}"
        for index, (rule, value, _) in enumerate(REFUSED)
    ],
)
def test_what_is_wrong_is_refused_and_told_what_would_be_right(rule: Field, value: Any, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        rule.encode(value)


CANARY = "canary-13800001111-canary"


def wrong_values() -> Iterator[Any]:
    for text in (CANARY * 4, f"\t{CANARY}", f"{CANARY}\n", CANARY):
        yield from (text, text.encode(), [text], {"id": text}, {"id": [text]})


@pytest.mark.parametrize(
    "rule",
    [
        TextField(1, 5),
        TextField(1, None, "[0-9]+"),
        REFUND,
        IntegerIdField(),
        IntegerField(),
        FenField(),
        YuanField(),
        NumberField(),
        BoolField(),
        EnumField(GoodsStatus),
        EnumField(RefundStatus),
        TimestampField(),
        ListField(IntegerIdField()),
        ObjectField(Line),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_an_error_never_repeats_the_value(rule: Field) -> None:
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
RULES: list[Field] = [
    TextField(),
    TextField(2, 5),
    TextField(0, 3),
    TextIdField(),
    REFUND,
    TextIdField(r"[0-9]{1,20}"),
    REFERENCE,
    IntegerIdField(),
    IntegerField(),
    IntegerField(-3, 9),
    FenField(),
    YuanField(),
    NumberField(),
    NumberField(as_text=True),
    NumberField(1, decimals=0),
    BoolField(),
    EnumField(GoodsStatus),
    EnumField(RefundStatus),
    EnumField(RefundStatus, open=True),
    TimestampField(),
    JsonField(),
    ListField(IntegerIdField(), 1, 3),
    ListField(TextField(), 0),
    ListField(ObjectField(Line)),
    ObjectField(Line),
    JsonTextField(ListField(BoolField())),
]


@given(VALUES, st.sampled_from(RULES))
def test_whatever_a_rule_accepts_fits_its_schema_and_can_be_sent(value: Any, rule: Field) -> None:
    try:
        encoded = rule.encode(value)
    except ValueError:
        return
    assert fits(loads(dumps(encoded)), rule.schema())


@given(st.datetimes(datetime(1973, 4, 1), datetime(5000, 1, 1), timezones=st.timezones()))
def test_a_moment_keeps_its_milliseconds(at: datetime) -> None:
    exact = (at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)
    assert abs(TimestampField().encode(at) - exact) <= 0.5


@pytest.mark.parametrize(
    ("name", "wire"),
    [("refund_id", "refundId"), ("order_entry_ids", "orderEntryIds"), ("id", "id"), ("page_no", "pageNo")],
)
def test_wire_names_are_camel_case(name: str, wire: str) -> None:
    assert camel(name) == wire
