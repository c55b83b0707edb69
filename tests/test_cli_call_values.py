"""What is typed in a shell becomes the values that the rules take."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.api.registry import endpoints
from pandapon_async.cli.call_help import _bounds, describe
from pandapon_async.cli.values import read_arguments
from pandapon_async.core.json_codec import dumps, loads
from pandapon_async.declare import fields as rules
from pandapon_async.declare.arguments import Location, ObjectField, Parameter, encode_arguments
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.models.alibaba.refunds import GoodsStatus, OrderEntryCount
from pandapon_async.models.taobao.refunds import RefundStatus
from pandapon_async.openapi import wire_example


def one(rule: rules.Field) -> tuple[Parameter, ...]:
    return (Parameter("some_name", "someName", rule, Location.BODY, required=True),)


def wire(rule: rules.Field, *texts: str) -> Any:
    """What would be sent for `some_name=TEXT ...`."""
    given = read_arguments(one(rule), [f"some_name={text}" for text in texts], {})
    return encode_arguments(one(rule), given)["someName"]


COUNTS = rules.ListField(ObjectField(OrderEntryCount))
READ: list[tuple[rules.Field, tuple[str, ...], Any]] = [
    (rules.TextField(), ("a=b,c",), "a=b,c"),
    (rules.TextIdField(), ("77",), "77"),
    (rules.IntegerIdField(), ("2542285634920880794",), 2542285634920880794),
    (rules.IntegerField(), ("-20",), -20),
    (rules.FenField(), ("1250",), 1250),
    (rules.YuanField(), ("12.5",), "12.50"),
    (rules.NumberField(), ("12.5",), 12.5),
    (rules.NumberField(as_text=True), ("12.50",), "12.50"),
    (rules.BoolField(), ("true",), True),
    (rules.BoolField(), ("false",), False),
    (rules.EnumField(GoodsStatus), ("refundBuyerReceived",), "refundBuyerReceived"),
    (rules.EnumField(RefundStatus), ("-20",), -20),
    (rules.TimestampField(), ("1740379940000",), 1740379940000),
    (rules.TimestampField(), ("2025-02-24T06:52:20Z",), 1740379940000),
    (rules.TimestampField(), ("2025-02-24 14:52:20+08:00",), 1740379940000),
    (rules.ListField(rules.IntegerIdField()), ("1",), [1]),
    (rules.ListField(rules.IntegerIdField()), ("1, 2",), [1, 2]),
    (rules.ListField(rules.IntegerIdField()), ("1", "2"), [1, 2]),
    (rules.ListField(rules.IntegerIdField()), ("[1, 2]",), [1, 2]),
    (rules.ListField(rules.TextField()), ("a,b", "c"), ["a,b", "c"]),
    (COUNTS, ('{"id": 1, "count": 2}',), [{"id": 1, "count": 2}]),
    (
        COUNTS,
        ('{"id": 1, "count": 2}', '{"id": 3, "count": 4}'),
        [{"id": 1, "count": 2}, {"id": 3, "count": 4}],
    ),
    (COUNTS, ('[{"id": 1, "count": 2}]',), [{"id": 1, "count": 2}]),
    (rules.JsonField(), ('{"price": "asc"}',), {"price": "asc"}),
    (rules.JsonTextField(rules.JsonField()), ('{"price":"asc"}',), '{"price":"asc"}'),
    (rules.JsonTextField(COUNTS), ('{"id": 1, "count": 2}',), '[{"id":1,"count":2}]'),
]


@pytest.mark.parametrize(("rule", "texts", "expected"), READ)
def test_texts_are_read_by_their_rule(rule: rules.Field, texts: tuple[str, ...], expected: Any) -> None:
    found = wire(rule, *texts)
    assert found == expected
    assert type(found) is type(expected)


REFUSED: list[tuple[rules.Field, tuple[str, ...], str]] = [
    (rules.IntegerField(), ("1.5",), "must be a whole number"),
    (rules.IntegerField(), ("1_000",), "must be a whole number"),
    (rules.IntegerField(), ("１",), "must be a whole number"),
    (rules.IntegerField(), ("1", "2"), "is given more than once"),
    (rules.FenField(), ("12.50",), "must be whole fen"),
    (rules.BoolField(), ("yes",), "must be true or false"),
    (rules.BoolField(), ("True",), "must be true or false"),
    (rules.EnumField(GoodsStatus), ("received",), "must be one of refundWaitSellerSend"),
    (rules.EnumField(RefundStatus), ("closed",), "must be a whole number"),
    (rules.TimestampField(), ("2025-02-24T06:52:20",), "with a time zone"),
    (rules.TimestampField(), ("1740379940",), "14 digits"),
    (rules.ListField(rules.IntegerIdField()), ("1,,2",), "item 1: must be an id"),
    (rules.ListField(rules.IntegerIdField()), ("[1,",), "must be JSON"),
    (COUNTS, ("1,2",), "must be JSON"),
    (COUNTS, ('{"id": 1, "count": 2, "more": 3}',), "unknown argument more"),
    (rules.JsonField(), ("asc",), "must be JSON"),
    (rules.YuanField(), ("12.505",), "at most two decimals"),
]


@pytest.mark.parametrize(("rule", "texts", "words"), REFUSED)
def test_what_cannot_be_read_says_what_would_be_right(
    rule: rules.Field, texts: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        wire(rule, *texts)
    assert str(refused.value).startswith("some_name ")
    assert words in str(refused.value)
    assert refused.value.argument == "some_name"


def test_documents_may_hold_moments_images_and_wire_names(tmp_path: Path) -> None:
    moment = "2025-02-24T06:52:20Z"
    assert read_arguments(one(rules.TimestampField()), [], {"someName": moment})["some_name"] == datetime(
        2025, 2, 24, 6, 52, 20, tzinfo=UTC
    )
    image = str(tmp_path / "a.png")
    assert read_arguments(one(rules.ImageField()), [], {"some_name": image}) == {"some_name": Path(image)}
    assert read_arguments(one(rules.ImageField()), ["some_name=~/a.png"], {}) == {
        "some_name": Path.home() / "a.png"
    }


@pytest.mark.parametrize("endpoint", endpoints().values(), ids=lambda endpoint: endpoint.pin)
def test_the_wire_form_of_an_example_can_be_given_as_a_document(endpoint: Endpoint, tmp_path: Path) -> None:
    """What `--dry-run` shows can be sent again, the texts that hold JSON and the images apart."""
    document = wire_example(endpoint)
    for parameter in endpoint.parameters:
        if isinstance(parameter.rule, rules.ImageField):
            image = tmp_path / "proof.png"
            image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(24))
            document[parameter.wire] = str(image)
        if isinstance(parameter.rule, rules.JsonTextField | rules.NumberField):
            del document[parameter.wire]
            assert describe(parameter.rule)
    wanted = tuple(one for one in endpoint.parameters if one.wire in document)
    given = read_arguments(wanted, [], holes_filled(document))
    again = encode_arguments(wanted, given)
    for parameter in wanted:
        if not isinstance(parameter.rule, rules.ImageField):
            assert again[parameter.wire] == document[parameter.wire]


def holes_filled(value: Any) -> Any:
    """JSON numbers with a fraction as the codec reads them, never as floats."""
    return loads(dumps(value))


@given(st.text(max_size=20), st.sampled_from([rule for rule, _, _ in READ]))
def test_anything_typed_is_read_or_refused_and_nothing_else(text: str, rule: rules.Field) -> None:
    with contextlib.suppress(InvalidArgumentError):
        wire(rule, text)


def test_no_bound_below() -> None:
    from pandapon_async.declare.fields import IntegerField

    assert _bounds(IntegerField(None, 9)) == "at most 9"
    assert _bounds(IntegerField(1, 9)) == "1 to 9"
