"""The rules that only the wider API needs: numbers without a unit, and JSON that travels as text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.json_codec import dumps, loads
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.fields import JsonTextField, ListField, NumberField
from pandapon_async.models.taobao.goods import ProductQuery
from pandapon_async.models.taobao.orders import OrderAddress, OrderLine


@given(st.decimals(min_value=0, max_value=Decimal("999999999999.99"), places=2))
def test_a_number_reaches_the_wire_with_the_digits_it_was_given(amount: Decimal) -> None:
    written = dumps({"price": NumberField().encode(amount)})
    assert Decimal(str(loads(written)["price"])) == amount
    assert Decimal(str(NumberField(as_text=True).encode(amount))) == amount


@pytest.mark.parametrize(
    "refused",
    [
        12.5,
        True,
        None,
        "",
        "-1",
        "1e3",
        "1_000",
        " 1",
        "12.505",
        "１２",
        "9" * 13,
        Decimal("NaN"),
        Decimal(-1),
    ],
    ids=repr,
)
def test_a_number_refuses(refused: Any) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        NumberField().encode(refused)


def test_a_whole_number_that_travels_as_text() -> None:
    assert NumberField(1, decimals=0, as_text=True).encode(3) == "3"
    for refused in (0, "1.5"):
        with pytest.raises(ValueError, match="at least 1, without decimals"):
            NumberField(1, decimals=0, as_text=True).encode(refused)


def test_lists_and_objects_travel_as_json_text() -> None:
    line = OrderLine(item_id=42971808988, sku_id="1", order_line_no="A-1", quantity=2, price="10.50")
    assert json.loads(JsonTextField(ListField(ObjectField(OrderLine))).encode([line])) == [
        {
            "itemId": "42971808988",
            "skuId": "1",
            "orderLineNo": "A-1",
            "quantity": "2",
            "price": "10.50",
            "currency": "CNY",
        }
    ]
    receiver = JsonTextField(ObjectField(OrderAddress)).encode({"name": "Li Example", "mobile_phone": "1"})
    assert json.loads(receiver) == {"name": "Li Example", "mobile_phone": "1"}


def test_a_mapping_gets_the_defaults_of_its_class() -> None:
    line = {"item_id": 1, "sku_id": 2, "order_line_no": "A", "quantity": 1, "price": 1}
    assert ObjectField(OrderLine).encode(line)["currency"] == "CNY"


def test_json_text_is_not_encoded_twice() -> None:
    with pytest.raises(ValueError, match="not JSON text"):
        JsonTextField(ListField(ObjectField(ProductQuery))).encode('[{"itemId": "1"}]')
