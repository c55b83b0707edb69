"""What is typed in a shell becomes the values that the rules take."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import arguments as rules
from pandapon_async.cli.call_help import describe
from pandapon_async.cli.values import read_arguments
from pandapon_async.core.codec import dumps, loads
from pandapon_async.endpoint import Endpoint, Location, Parameter, encode_arguments, endpoints
from pandapon_async.errors import InvalidArgument
from pandapon_async.models.alibaba.refunds import GoodsStatus, OrderEntryCount
from pandapon_async.models.taobao.refunds import RefundStatus
from pandapon_async.openapi import wire_example


def one(rule: rules.Rule) -> tuple[Parameter, ...]:
    return (Parameter("some_name", "someName", rule, Location.BODY, required=True),)


def wire(rule: rules.Rule, *texts: str) -> Any:
    """What would be sent for `some_name=TEXT ...`."""
    given = read_arguments(one(rule), [f"some_name={text}" for text in texts], {})
    return encode_arguments(one(rule), given)["someName"]


COUNTS = rules.ListOf(rules.Nested(OrderEntryCount))
READ: list[tuple[rules.Rule, tuple[str, ...], Any]] = [
    (rules.Text(), ("a=b,c",), "a=b,c"),
    (rules.TextId(), ("77",), "77"),
    (rules.IntegerId(), ("2542285634920880794",), 2542285634920880794),
    (rules.Integer(), ("-20",), -20),
    (rules.FenAmount(), ("1250",), 1250),
    (rules.YuanAmount(), ("12.5",), "12.50"),
    (rules.Number(), ("12.5",), 12.5),
    (rules.Number(as_text=True), ("12.50",), "12.50"),
    (rules.Flag(), ("true",), True),
    (rules.Flag(), ("false",), False),
    (rules.Choice(GoodsStatus), ("refundBuyerReceived",), "refundBuyerReceived"),
    (rules.Choice(RefundStatus), ("-20",), -20),
    (rules.Moment(), ("1740379940000",), 1740379940000),
    (rules.Moment(), ("2025-02-24T06:52:20Z",), 1740379940000),
    (rules.Moment(), ("2025-02-24 14:52:20+08:00",), 1740379940000),
    (rules.ListOf(rules.IntegerId()), ("1",), [1]),
    (rules.ListOf(rules.IntegerId()), ("1, 2",), [1, 2]),
    (rules.ListOf(rules.IntegerId()), ("1", "2"), [1, 2]),
    (rules.ListOf(rules.IntegerId()), ("[1, 2]",), [1, 2]),
    (rules.ListOf(rules.Text()), ("a,b", "c"), ["a,b", "c"]),
    (COUNTS, ('{"id": 1, "count": 2}',), [{"id": 1, "count": 2}]),
    (
        COUNTS,
        ('{"id": 1, "count": 2}', '{"id": 3, "count": 4}'),
        [{"id": 1, "count": 2}, {"id": 3, "count": 4}],
    ),
    (COUNTS, ('[{"id": 1, "count": 2}]',), [{"id": 1, "count": 2}]),
    (rules.Json(), ('{"price": "asc"}',), {"price": "asc"}),
    (rules.JsonText(rules.Json()), ('{"price":"asc"}',), '{"price":"asc"}'),
    (rules.JsonText(COUNTS), ('{"id": 1, "count": 2}',), '[{"id":1,"count":2}]'),
]


@pytest.mark.parametrize(("rule", "texts", "expected"), READ)
def test_texts_are_read_by_their_rule(rule: rules.Rule, texts: tuple[str, ...], expected: Any) -> None:
    found = wire(rule, *texts)
    assert found == expected
    assert type(found) is type(expected)


REFUSED: list[tuple[rules.Rule, tuple[str, ...], str]] = [
    (rules.Integer(), ("1.5",), "must be a whole number"),
    (rules.Integer(), ("1_000",), "must be a whole number"),
    (rules.Integer(), ("１",), "must be a whole number"),
    (rules.Integer(), ("1", "2"), "is given more than once"),
    (rules.FenAmount(), ("12.50",), "must be whole fen"),
    (rules.Flag(), ("yes",), "must be true or false"),
    (rules.Flag(), ("True",), "must be true or false"),
    (rules.Choice(GoodsStatus), ("received",), "must be one of refundWaitSellerSend"),
    (rules.Choice(RefundStatus), ("closed",), "must be a whole number"),
    (rules.Moment(), ("2025-02-24T06:52:20",), "with a time zone"),
    (rules.Moment(), ("1740379940",), "13 digits"),
    (rules.ListOf(rules.IntegerId()), ("1,,2",), "item 1: must be an id"),
    (rules.ListOf(rules.IntegerId()), ("[1,",), "must be JSON"),
    (COUNTS, ("1,2",), "must be JSON"),
    (COUNTS, ('{"id": 1, "count": 2, "more": 3}',), "unknown argument more"),
    (rules.Json(), ("asc",), "must be JSON"),
    (rules.YuanAmount(), ("12.505",), "at most two decimals"),
]


@pytest.mark.parametrize(("rule", "texts", "words"), REFUSED)
def test_what_cannot_be_read_says_what_would_be_right(
    rule: rules.Rule, texts: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        wire(rule, *texts)
    assert str(refused.value).startswith("some_name ")
    assert words in str(refused.value)
    assert refused.value.argument == "some_name"


def test_documents_may_hold_moments_images_and_wire_names(tmp_path: Path) -> None:
    moment = "2025-02-24T06:52:20Z"
    assert read_arguments(one(rules.Moment()), [], {"someName": moment})["some_name"] == datetime(
        2025, 2, 24, 6, 52, 20, tzinfo=UTC
    )
    image = str(tmp_path / "a.png")
    assert read_arguments(one(rules.Picture()), [], {"some_name": image}) == {"some_name": Path(image)}
    assert read_arguments(one(rules.Picture()), ["some_name=~/a.png"], {}) == {
        "some_name": Path.home() / "a.png"
    }


@pytest.mark.parametrize("endpoint", endpoints().values(), ids=lambda endpoint: endpoint.name)
def test_the_wire_form_of_an_example_can_be_given_as_a_document(endpoint: Endpoint, tmp_path: Path) -> None:
    """What `--dry-run` shows can be sent again, the texts that hold JSON and the images apart."""
    document = wire_example(endpoint)
    for parameter in endpoint.parameters:
        if isinstance(parameter.rule, rules.Picture):
            image = tmp_path / "proof.png"
            image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(24))
            document[parameter.wire] = str(image)
        if isinstance(parameter.rule, rules.JsonText | rules.Number):
            del document[parameter.wire]
            assert describe(parameter.rule)
    wanted = tuple(one for one in endpoint.parameters if one.wire in document)
    given = read_arguments(wanted, [], holes_filled(document))
    again = encode_arguments(wanted, given)
    for parameter in wanted:
        if not isinstance(parameter.rule, rules.Picture):
            assert again[parameter.wire] == document[parameter.wire]


def holes_filled(value: Any) -> Any:
    """JSON numbers with a fraction as the codec reads them, never as floats."""
    return loads(dumps(value))


@given(st.text(max_size=20), st.sampled_from([rule for rule, _, _ in READ]))
def test_anything_typed_is_read_or_refused_and_nothing_else(text: str, rule: rules.Rule) -> None:
    with contextlib.suppress(InvalidArgument):
        wire(rule, text)
