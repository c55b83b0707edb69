"""Carts, goods, Taobao orders, addresses, the way abroad, and the answers that are made up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Client, Settings
from pandapon_async.api.registry import endpoints
from pandapon_async.core.signing import signed_headers
from pandapon_async.errors import ApiError
from pandapon_async.models.alibaba.orders import FastCargo
from pandapon_async.models.taobao.orders import OrderLine
from pandapon_async.money import Fen
from pandapon_async.openapi import example_arguments, wire_example
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.answers import answer
from pandapon_async.sandbox.catalogue import amount_of, found_offers, offer_number, opaque, product
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.handlers import HANDLERS
from pandapon_async.sandbox.upstream import Upstream

NOW = 1_715_669_977.082


def upstream() -> Upstream:
    return Upstream(7, 100, lambda: NOW)


def call(behind: Upstream, name: str, /, **arguments: Any) -> Any:
    return HANDLERS[endpoints()[name].name](behind, endpoints()[name], arguments)


def refused(behind: Upstream, name: str, /, **arguments: Any) -> int:
    """The code that a call is refused with; nothing is changed by it."""
    effects = len(behind.effects)
    with pytest.raises(Refusal) as refusal:
        call(behind, name, **arguments)
    assert len(behind.effects) == effects
    assert isinstance(refusal.value.code, int)
    return refusal.value.code


@pytest.fixture
async def connected() -> AsyncIterator[tuple[Sandbox, Client]]:
    async with (
        Sandbox(refunds=20) as sandbox,
        Client(sandbox.credentials, Settings(base_url=sandbox.base_url, rate=None)) as client,
    ):
        yield sandbox, client


# --- carts


def test_the_1688_cart_is_read_changed_and_ordered() -> None:
    behind = upstream()
    first, second = (call(behind, f"{name}.alibaba.carts.get") for name in ("v1", "v2"))
    entries = [entry for shop in first["enableList"] for entry in shop["cartItemInfos"]]
    opaques = [entry["offerMapId"] for shop in second["enableList"] for entry in shop["cartItemInfos"]]
    assert [offer_number(one) for one in opaques] == [entry["offerId"] for entry in entries]
    assert len(entries) == 6
    chosen = [entry["id"] for entry in entries[2:4]]  # of two shops
    assert call(behind, "v1.alibaba.carts.set_quantity", id=chosen[0], quantity=7) is True
    previews = call(behind, "v1.alibaba.carts.preview_order", cartIds=chosen)["orderPreviewResuslt"]
    assert len(previews) == 2
    expected = amount_of(product(entries[2]["offerId"]).price, 7)
    assert previews[0]["sumPaymentNoCarriage"] == expected
    answer = call(behind, "v1.alibaba.carts.create_order", flow="general", cartIds=[*chosen, chosen[0]])
    assert answer["totalSuccessAmount"] == sum(one["sumPayment"] for one in previews)
    assert len(answer["orderIds"]) == 2
    assert refused(behind, "v1.alibaba.carts.create_order", flow="general", cartIds=chosen) == 404
    left = [
        e["id"] for shop in call(behind, "v1.alibaba.carts.get")["enableList"] for e in shop["cartItemInfos"]
    ]
    assert left == [entry["id"] for entry in entries if entry["id"] not in chosen]
    assert [effect.kind for effect in behind.effects] == ["cart_quantity", "order", "order"]


def test_what_the_1688_cart_refuses() -> None:
    behind = upstream()
    (gone,) = call(behind, "v1.alibaba.carts.get")["disableList"]
    entry = gone["cartItemInfos"][0]["id"]
    assert refused(behind, "v1.alibaba.carts.preview_order", cartIds=[entry]) == 409
    assert refused(behind, "v1.alibaba.carts.create_order", flow="general", cartIds=[]) == 400
    assert refused(behind, "v1.alibaba.carts.set_quantity", id=entry, quantity=0) == 400
    assert refused(behind, "v1.alibaba.carts.set_quantity", id=entry, quantity=10**6) == 400
    assert refused(behind, "v1.alibaba.carts.set_quantity", id=1, quantity=1) == 404


ITEM = {
    "itemId": 41,
    "skuId": "42",
    "mpId": "43",
    "mpSkuId": "44",
    "itemTitle": "杯",
    "itemPic": "x",
    "price": 5,
    "quantity": 2,
    "shopId": 1,
    "shopName": "店",
}


def test_the_taobao_cart_takes_a_product_twice_and_loses_what_is_ordered() -> None:
    behind = upstream()
    ids = [call(behind, "v1.taobao.carts.add", **ITEM)["id"] for _ in range(2)]
    assert len(set(ids)) == 2
    first, second = behind.effects
    assert (first.kind, first.key, first.digest) == ("cart_add", "41/42", second.digest)
    order = call(behind, "v1.taobao.carts.create_order", ids=[ids[0]])
    assert [(line["itemId"], line["quantity"]) for line in order["subPurchaseOrders"]] == [("41", "2")]
    assert behind.effects[-1].order_id == order["purchaseOrderId"]
    assert refused(behind, "v1.taobao.carts.create_order", ids=ids) == 404
    assert (
        call(behind, "v2.taobao.carts.create_order", ids=[ids[1]])["purchaseOrderId"]
        != order["purchaseOrderId"]
    )
    assert refused(behind, "v1.taobao.carts.add", **{**ITEM, "quantity": 0}) == 400


# --- Taobao orders, addresses, the way abroad


async def test_a_taobao_order_is_known_by_the_buyers_own_number(connected: tuple[Sandbox, Client]) -> None:
    sandbox, client = connected
    line = OrderLine(item_id=1, sku_id=2, order_line_no="L1", quantity=3, price=5)
    for _ in range(2):
        order = await client.v1.taobao.orders.create(
            seller_order_number="SO-1",
            order_source="lazada",
            purchase_amount=Fen(1_500),
            order_line_list=[line],
            receiver={"name": "李雷"},  # type: ignore[arg-type]
        )
    assert (order["purchaseAmount"], order["subPurchaseOrders"][0]["orderLineNo"]) == (1_500, "L1")
    assert [effect.key for effect in sandbox.effects] == ["SO-1", "SO-1"]
    assert len({effect.order_id for effect in sandbox.effects}) == 2


def test_addresses_are_added_and_changed() -> None:
    behind = upstream()
    facts = dict.fromkeys(("name", "phone", "province", "city", "district", "address"), "x")
    for _ in range(2):
        assert call(behind, "v1.addresses.save", **facts) is None
    call(behind, "v2.addresses.save", **{**facts, "id": 1_002, "city": "y"})
    assert [one["city"] for one in behind.own.addresses.values()] == ["x", "y"]
    assert refused(behind, "v1.addresses.save", **facts, id=7) == 404
    keys = [effect.key for effect in behind.effects]
    assert keys[0] == keys[1]
    assert keys[2] == "1002"


def test_effects_around_taobao_and_the_way_abroad() -> None:
    behind = upstream()
    refund = behind.refunds.get(1).refund_id
    call(behind, "v1.taobao.refunds.post_message", refundId=refund, refundMessage="?")
    call(behind, "v1.taobao.orders.update_warehouse", orderId="9", warehouseName="w", warehouseAddress="a")
    call(behind, "v1.freight.update_domestic_logistics", tmallOrderId="8")
    call(behind, "v1.freight.create_international_order", renderId="FF1")
    assert [(effect.kind, effect.key) for effect in behind.effects] == [
        ("message", refund),
        ("warehouse", "9"),
        ("domestic_logistics", "8"),
        ("international_order", "FF1"),
    ]
    assert refused(behind, "v1.taobao.refunds.post_message", refundId="1", refundMessage="?") == 404
    assert refused(behind, "v1.freight.update_domestic_logistics") == 400
    assert refused(behind, "v1.taobao.orders.create", orderLineList="[]", sellerOrderNumber="1") == 400


# --- goods


@given(st.integers(0, 2**63 - 1))
def test_an_opaque_id_is_the_same_product(number: int) -> None:
    assert offer_number(opaque(number)) == offer_number(number) == number
    assert len(opaque(number)) == 22


@given(st.text(max_size=30))
def test_any_text_names_a_product(text: str) -> None:
    assert product(offer_number(text)).price > 0


async def test_what_a_search_finds_can_be_read_and_ordered(connected: tuple[Sandbox, Client]) -> None:
    _, client = connected
    found = [one async for one in client.v2.alibaba.goods.search_pages(keyword="cup", page_size=40)]
    assert len(found) == found_offers("keyword", "cup")[1] > 0
    shown = await client.v2.taobao.goods.search(keyword="cup")
    assert shown.total == found_offers("taobao", "cup")[1]
    with pytest.raises(ApiError):
        await client.v2.alibaba.orders.preview(cargo_param_list=[FastCargo(quantity=2)])
    cargos = [FastCargo(offer_map_id=found[0].offer_map_id, quantity=2)]
    preview = await client.v2.alibaba.orders.preview(cargo_param_list=cargos)
    assert preview.order_previews is not None
    assert found[0].offer_map_id is not None
    price = product(offer_number(found[0].offer_map_id)).price
    assert preview.order_previews[0].sum_payment_no_carriage == 2 * price
    read = await Client.with_settings(client, allow_inferred=True).v2.alibaba.goods.get(
        offer_id=found[0].offer_map_id
    )
    assert read.extra == {}
    assert (read.subject, read.offer_map_id) == (found[0].subject, found[0].offer_map_id)
    related = [one async for one in client.v2.alibaba.goods.related_pages(offer_id=found[0].offer_map_id)]
    assert len(related) == len({one.offer_map_id for one in related})


def test_several_taobao_products_at_once_say_which_cannot_be_supplied() -> None:
    asked = [{"itemId": str(number)} for number in range(40)]
    answer = call(upstream(), "v1.taobao.goods.get_batch", params=json.dumps(asked))
    supplied = [one["itemId"] for one in answer["mpProducts"]]
    assert answer["noMpProductItemIds"]
    assert sorted(supplied + answer["noMpProductItemIds"]) == sorted(one["itemId"] for one in asked)
    assert [one["itemId"] for one in answer["noMpReasonList"]] == answer["noMpProductItemIds"]


# --- all the others


def test_the_same_question_gets_the_same_answer_and_another_one_another() -> None:
    render = endpoints()["v1.taobao.refunds.render"]
    asked = wire_example(render)
    first, again = (answer(upstream(), render, dict(asked)) for _ in range(2))
    assert first == again
    assert first != answer(upstream(), render, {**asked, "subOrderId": "7"})
    assert first == answer(upstream(), endpoints()["v2.taobao.refunds.render"], asked)


@pytest.mark.filterwarnings("ignore:the vendor marks:DeprecationWarning")
async def test_every_declared_call_is_answered(connected: tuple[Sandbox, Client]) -> None:
    """With examples of all arguments: none is without a route, and none is refused for its signature."""
    sandbox, client = connected
    # Both generations of a write are one write to the journal, here it may be done twice.
    willing = client.with_settings(allow_inferred=True, allow_repeat=True)
    unanswered = set()
    for name, endpoint in endpoints().items():
        operation: Any = willing
        for part in name.split("."):
            operation = getattr(operation, part)
        try:
            await operation(**example_arguments(endpoint))
        except ApiError as error:
            unanswered.add((error.code, name.partition(".")[2]))
    assert {entry.path.partition("?")[0] for entry in sandbox.log if "cancel" not in entry.path} == {
        one.path for one in endpoints().values() if "cancel" not in one.path
    }
    assert {code for code, _ in unanswered} <= {200, 404, 409, 5004}
    assert {entry.status for entry in sandbox.log} == {200}


async def test_calls_signed_in_the_query_must_carry_what_the_headers_say() -> None:
    async with Sandbox(refunds=0, clock=lambda: NOW) as sandbox, aiohttp.ClientSession() as session:
        key = sandbox.credentials
        for number, (query, msg) in enumerate(
            (
                ("", "timestamp is missing in the query"),
                ("?timestamp=1715669977", "sign is missing in the query"),
                ("?timestamp=1715669978&sign={}", "timestamp in the query is not the header timestamp"),
                ("?timestamp=1715669977&sign=0", "sign in the query is not the header signature"),
                ("?timestamp=1715669977&sign={}", "成功"),
            )
        ):
            headers = signed_headers(
                key.access_key, key.access_secret, key.user_id, "1715669977", f"{number:032d}"
            )
            url = f"{sandbox.base_url}/open/pp/logistics/orderRenderFreight"
            async with session.post(
                url + query.format(headers["signature"]), json={}, headers=headers
            ) as response:
                assert (await response.json())["msg"] == msg
