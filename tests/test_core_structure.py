"""JSON data into models: nothing is converted that does not say the same, errors say where and never what."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.model import BEIJING, Id, Model, OpenEnum, PageModel, field, model, parse_moment
from pandapon_async.core.structure import StructureError, structurer, wire_fields
from pandapon_async.models.alibaba.refunds import Refund, RefundReason, RefundStatus
from pandapon_async.models.alibaba.refunds import RefundStatus as AlibabaStatus
from pandapon_async.models.taobao.refunds import CancelledRefund, RefundPage
from pandapon_async.models.taobao.refunds import RefundStatus as TaobaoStatus
from pandapon_async.money import Fen


class Colour(OpenEnum, enum.StrEnum):
    RED = "red"


class Level(OpenEnum, enum.IntEnum):
    LOW = 1


@model
class Leaf(Model):
    text: str | None = field()
    number: int | None = field()


@model
class Everything(Model):
    text: str | None = field()
    number: int | None = field()
    flag: bool | None = field()
    fen: Fen | None = field()
    decimal: Decimal | None = field()
    moment: datetime | None = field()
    id: Id | None = field()
    colour: Colour | str | None = field()
    level: Level | int | None = field()
    leaf: Leaf | None = field()
    leaves: list[Leaf] | None = field()
    ids: list[Id] | None = field()
    number_or_text: int | str | None = field()
    one_or_many: Leaf | list[Leaf] | None = field()
    anything: Any = field()
    renamed: str | None = field(wire="oddName")


@model
class Page(PageModel):
    items: list[Leaf] = attrs.field(factory=list)


PAGE = structurer(Page)
JSON_KINDS: dict[str, Any] = {
    "text": "abc",
    "empty text": "",
    "digits": "12",
    "number": 12,
    "true": True,
    "fraction": Decimal("1.5"),
    "list": [],
    "object": {},
}
ACCEPTED: dict[str, dict[str, Any]] = {
    "text": {"text": "abc", "empty text": "", "digits": "12"},
    "number": {"number": 12},
    "flag": {"true": True},
    "fen": {"number": Fen(12), "digits": Fen(12)},
    "decimal": {"number": Decimal(12), "digits": Decimal(12), "fraction": Decimal("1.5")},
    "moment": {"empty text": None},
    "id": {"text": "abc", "empty text": "", "digits": "12", "number": "12"},
    "colour": {"text": "abc", "empty text": "", "digits": "12", "number": 12},
    "level": {"text": "abc", "empty text": "", "digits": "12", "number": 12},
    "leaf": {"object": Leaf()},
    "leaves": {"list": []},
    "ids": {"list": []},
    "numberOrText": {"text": "abc", "empty text": "", "digits": "12", "number": 12},
    "oneOrMany": {"object": Leaf(), "list": []},
    "anything": JSON_KINDS,
    "oddName": {"text": "abc", "empty text": "", "digits": "12"},
}


def everything(data: Any) -> Any:
    """Read as it is, where only a few fields came, and among all the others as null: both say the same."""
    read = structurer(Everything)
    if not isinstance(data, dict):
        return read(data, None)
    few, full = (outcome(read, one) for one in (data, {**dict.fromkeys(ACCEPTED), **data}))
    assert few == full
    return read(data, None)


def outcome(read: Any, data: Any) -> Any:
    try:
        return read(data, None)
    except StructureError as error:
        return error.path, str(error)


@pytest.mark.parametrize("wire", ACCEPTED)
@pytest.mark.parametrize("kind", JSON_KINDS)
def test_every_kind_of_field_against_every_kind_of_json(wire: str, kind: str) -> None:
    name = wire_fields(Everything)[wire].name
    if kind in ACCEPTED[wire]:
        value = getattr(everything({wire: JSON_KINDS[kind]}), name)
        expected = ACCEPTED[wire][kind]
        assert value == expected
        assert type(value) is type(expected)
    else:
        with pytest.raises(StructureError) as caught:
            everything({wire: JSON_KINDS[kind]})
        assert caught.value.path == f"$.data.{wire}"


@pytest.mark.parametrize("wire", ACCEPTED)
def test_null_and_missing_are_none_everywhere(wire: str) -> None:
    assert everything({wire: None}) == everything({}) == Everything()
    assert getattr(Everything(), wire_fields(Everything)[wire].name) is None


FINE: list[tuple[str, Any, Any]] = [
    ("fen", "-12", Fen(-12)),
    ("fen", "0", Fen(0)),
    ("fen", 10**30, Fen(10**30)),
    ("decimal", "0.10", Decimal("0.10")),
    ("decimal", "-12", Decimal(-12)),
    ("id", 1022505290408395575, "1022505290408395575"),
    ("colour", "red", Colour.RED),
    ("level", 1, Level.LOW),
    ("moment", 1652759264000, datetime(2022, 5, 17, 3, 47, 44, tzinfo=UTC)),
    ("moment", "1652759264000", datetime(2022, 5, 17, 3, 47, 44, tzinfo=UTC)),
    ("moment", 20180423171116, datetime(2018, 4, 23, 17, 11, 16, tzinfo=BEIJING)),
    ("moment", 9999999999999, datetime(2286, 11, 20, 17, 46, 39, 999000, tzinfo=UTC)),
    ("moment", "20180423171116000+0800", datetime(2018, 4, 23, 17, 11, 16, tzinfo=BEIJING)),
    (
        "moment",
        "20180423171116123-0330",
        datetime(2018, 4, 23, 17, 11, 16, 123000, timezone(-timedelta(hours=3, minutes=30))),
    ),
    ("moment", "2018-04-23 17:11:16", datetime(2018, 4, 23, 17, 11, 16, tzinfo=BEIJING)),
    ("moment", "2018-04-23T17:11:16", datetime(2018, 4, 23, 17, 11, 16, tzinfo=BEIJING)),
    ("moment", "2018-04-23T17:11:16Z", datetime(2018, 4, 23, 17, 11, 16, tzinfo=UTC)),
]
WRONG: list[tuple[str, Any]] = [
    ("fen", "1.5"), ("fen", ""), ("fen", "--1"), ("fen", "+1"), ("fen", " 1"), ("fen", "1_0"), ("fen", "１"),
    ("fen", "1" * 30), ("fen", Decimal(1)), ("fen", True),
    ("decimal", "abc"), ("decimal", ""), ("decimal", "NaN"), ("decimal", "Infinity"), ("decimal", "1_0"),
    ("decimal", "１"), ("decimal", " 1"), ("decimal", "1e999999"), ("decimal", True), ("decimal", "0x1"),
    ("moment", "soon"), ("moment", 0), ("moment", 1652759264), ("moment", "1652759264"), ("moment", -1),
    ("moment", 10**18), ("moment", "20181323171116000+0800"), ("moment", "20180423171116000+9999"),
    ("moment", "20180423171116000+0860"),
    ("moment", "2018-02-30 00:00:00"), ("moment", True), ("moment", "9" * 5000),
    ("id", Decimal("1.5")), ("id", True),
    ("number", True), ("number", "12"), ("number", Decimal(12)), ("flag", "true"), ("flag", 1), ("text", 1),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "given_value", "expected"), FINE)
def test_what_says_the_same_is_converted(wire: str, given_value: Any, expected: Any) -> None:
    value = getattr(everything({wire: given_value}), wire)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(("wire", "given_value"), WRONG)
def test_what_only_looks_like_it_is_refused(wire: str, given_value: Any) -> None:
    with pytest.raises(StructureError) as caught:
        everything({wire: given_value})
    assert caught.value.path == f"$.data.{wire}"


@given(st.integers(10**11, 10**13 - 1))
def test_epoch_milliseconds_keep_every_millisecond(milliseconds: int) -> None:
    wires: tuple[int | str, ...] = (milliseconds, str(milliseconds))
    for wire in wires:
        moment = parse_moment(wire)
        assert round(moment.timestamp() * 1000) == milliseconds
        assert moment.tzinfo is UTC


@given(st.datetimes(datetime(1980, 1, 1), datetime(2999, 1, 1)).map(lambda at: at.replace(microsecond=0)))
def test_the_compact_form_and_the_plain_form_agree(at: datetime) -> None:
    assert parse_moment(f"{at:%Y%m%d%H%M%S}000+0800") == parse_moment(f"{at:%Y-%m-%d %H:%M:%S}")
    assert parse_moment(f"{at:%Y-%m-%d %H:%M:%S}").utcoffset() == BEIJING.utcoffset(None)
    assert parse_moment(f"{at:%Y%m%d%H%M%S}") == parse_moment(f"{at:%Y-%m-%d %H:%M:%S}")


@given(st.text(max_size=30) | st.integers())
def test_any_text_is_a_moment_with_a_zone_or_a_value_error(value: str | int) -> None:
    try:
        moment = parse_moment(value)
    except (ValueError, OverflowError):
        return
    assert moment.tzinfo is not None


def test_unknown_fields_are_kept_in_extra_at_their_level() -> None:
    found = everything({"new": [1], "extra": 1, "leaf": {"newer": {"a": 1}, "text": "x"}, "odd_name": 2})
    assert found.leaf.extra == {"newer": {"a": 1}}
    assert found.extra == {"new": [1], "extra": 1, "odd_name": 2}
    assert found.leaf == structurer(Leaf)({"text": "x", "newer": {"a": 1}}, None)
    assert Everything().extra == {}
    assert Everything().extra is not Everything().extra


PATHS: list[tuple[Any, str]] = [
    ([], "$.data"),
    (None, "$.data"),
    ("text", "$.data"),
    ({"text": 1}, "$.data.text"),
    ({"oddName": 1}, "$.data.oddName"),
    ({"leaf": {"number": "1"}}, "$.data.leaf.number"),
    ({"leaves": [{}, {"number": "1"}]}, "$.data.leaves[1].number"),
    ({"leaves": [None]}, "$.data.leaves[0]"),
    ({"ids": ["1", True]}, "$.data.ids[1]"),
    ({"oneOrMany": [{}, {}, 3]}, "$.data.oneOrMany[2]"),
    ({"oneOrMany": {"text": 1}}, "$.data.oneOrMany.text"),
]


@pytest.mark.parametrize(("data", "path"), PATHS)
def test_an_error_says_exactly_where(data: Any, path: str) -> None:
    with pytest.raises(StructureError) as caught:
        everything(data)
    assert caught.value.path == path


def test_a_page_error_says_exactly_where() -> None:
    for data, path in (
        ([{"text": 1}], "$.data[0].text"),
        ({"rows": [{}, {"text": 1}]}, "$.data.rows[1].text"),
        ({"total": 3}, "$.data"),
        ("x", "$.data"),
    ):
        with pytest.raises(StructureError) as caught:
            PAGE(data, None)
        assert caught.value.path == path


CANARY = "13800001111"
CANARIES = st.recursive(
    st.sampled_from([CANARY, int(CANARY), Decimal(CANARY + ".5"), True, None]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from([*ACCEPTED, "new"]), inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)


@given(CANARIES, st.sampled_from([Everything, Page, CancelledRefund, Refund, RefundPage, list[RefundReason]]))
def test_an_error_never_repeats_a_value(data: Any, kind: Any) -> None:
    try:
        structurer(kind)(data, kind)
        return
    except StructureError as caught:
        mismatch = caught
    assert CANARY not in f"{mismatch} {mismatch!r} {mismatch.path}"
    assert mismatch.path.startswith("$.data")
    assert mismatch.__cause__ is None


@pytest.mark.parametrize("name", ["list", "items", "records", "rows", "result", "data"])
def test_a_page_is_an_object_with_a_list_under_a_usual_name(name: str) -> None:
    page = PAGE({name: [{"text": "a"}], "total": 5, "pageNo": 1}, None)
    assert page.items == [Leaf(text="a")]
    assert page.total == 5
    assert page.extra["pageNo"] == 1


def test_a_page_may_be_the_list_itself() -> None:
    assert PAGE([{"text": "a"}], None) == Page(items=[Leaf(text="a")])
    assert PAGE([], None) == Page()


@pytest.mark.parametrize("data", [{}, {"list": None}, {"list": {}}, {"content": []}, {"data": {"list": []}}])
def test_a_page_of_unknown_shape_is_an_error_and_no_empty_page(data: Any) -> None:
    with pytest.raises(StructureError):
        PAGE(data, None)


@pytest.mark.parametrize(
    ("facts", "total"),
    [
        ({"total": 0}, 0),
        ({"totalCount": 7}, 7),
        ({"totalRecord": 7}, 7),
        ({"totalNum": 7}, 7),
        ({"total": "7"}, None),
        ({"total": True}, None),
        ({"total": None, "totalCount": 7}, 7),
        ({"count": 7}, None),  # could be the items of this page: as a total it would end an iteration early
        ({}, None),
    ],
)
def test_the_total_is_taken_only_from_what_surely_is_one(facts: dict[str, Any], total: int | None) -> None:
    assert PAGE({"list": [], **facts}, None).total == total


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("waitselleragree", AlibabaStatus.WAIT_SELLER_AGREE),
        ("WAIT_SELLER_AGREE", AlibabaStatus.WAIT_SELLER_AGREE),
        ("REFUND_CLOSED", AlibabaStatus.REFUND_CLOSE),
        ("refundclose", AlibabaStatus.REFUND_CLOSE),
        ("somethingnew", "somethingnew"),
        ("", ""),
        (7, 7),
    ],
)
def test_1688_states_in_both_spellings(value: Any, status: Any) -> None:
    read = structurer(Refund)({"status": value}, None).status
    assert read == status
    assert type(read) is type(status)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("-20", TaobaoStatus.CLOSED),
        (-20, TaobaoStatus.CLOSED),
        ("100", TaobaoStatus.SUCCESS),
        (0, TaobaoStatus.NONE),
        ("55", 55),
        (55, 55),
        ("CLOSED", "CLOSED"),
        ("", ""),
        ("1_0", "1_0"),
        (" 10", " 10"),
        ("１０", "１０"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_taobao_states_as_number_or_text(value: Any, status: Any) -> None:
    read = structurer(CancelledRefund)(
        {"refundOrderAggregate": {"refundOrder": {"refundStatus": value}}}, None
    ).refund_order_aggregate.refund_order.refund_status
    assert read == status
    assert type(read) is type(status)


def test_only_numbers_and_text_can_be_a_state() -> None:
    assert TaobaoStatus.read(10.9) == 10.9
    wrong: list[Any] = [True, Decimal(10), [], {}]
    for value in wrong:
        with pytest.raises(StructureError):
            structurer(Refund)({"status": value}, None)


def test_terminal_states() -> None:
    assert {s for s in AlibabaStatus if s.terminal} == {
        AlibabaStatus.REFUND_SUCCESS,
        AlibabaStatus.REFUND_CLOSE,
    }
    assert {s for s in TaobaoStatus if s.terminal} == {TaobaoStatus.SUCCESS, TaobaoStatus.CLOSED}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (int | str, "x", 1.5),
        (Fen, "12", "1.2"),
        (bool | None, True, 1),
        (list[int] | None, [1], ["1"]),
        (list[int], [1], {"a": 1}),
    ],
)
def test_a_value_of_another_kind_is_told_and_not_converted(kind: Any, good: Any, bad: Any) -> None:
    assert structurer(kind)(good, None) is not None
    with pytest.raises(StructureError):
        structurer(kind)(bad, None)


def test_unions_are_told_apart_by_what_came() -> None:
    number_or_text: Any = int | str | None
    assert structurer(number_or_text)(None, None) is None
    one_or_many: Any = RefundReason | list[int]
    assert structurer(one_or_many)([1], None) == [1]
    assert isinstance(structurer(one_or_many)({}, None), RefundReason)
    exact: Any = Decimal | bool
    assert structurer(exact)(True, None) is True
    assert structurer(exact)(Decimal("1.5"), None) == Decimal("1.5")
    status: Any = RefundStatus | str | None
    assert structurer(status)("of next year", None) == "of next year"
    assert structurer(status)(None, None) is None
    fee: Any = Fen
    assert structurer(fee)(5, None) == structurer(fee)("5", None) == Fen(5)
    one_or_more_ids: Any = Id | list[int]
    assert structurer(one_or_more_ids)("110", None) == "110"
    identity: Any = Id
    for kind, wrong in ((status, [1]), (identity, 1.5), (identity, True), (exact, "text")):
        with pytest.raises(StructureError):
            structurer(kind)(wrong, None)
