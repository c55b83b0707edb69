"""1688 orders: what they look like, how they change, what their money adds up to, what they settle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pandapon_async import Client, Settings
from pandapon_async.api.registry import endpoints
from pandapon_async.core.json_codec import dumps, loads
from pandapon_async.core.structure import structurer
from pandapon_async.errors import ApiError, NotFoundError, OutcomeUnknownError, RejectedError
from pandapon_async.journal import Intent, IntentState, Resolution, ResolvedOutcome, resolve_outcome
from pandapon_async.models.alibaba.orders import Order, OrderStatus, ShippingAddress
from pandapon_async.models.alibaba.refunds import RefundStatus
from pandapon_async.money import Fen
from pandapon_async.sandbox import Fault, Sandbox, ordering
from pandapon_async.sandbox.catalogue import yuan
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.handlers import HANDLERS
from pandapon_async.sandbox.orders import ORDER_MOVES, OrderState
from pandapon_async.sandbox.upstream import Upstream

NOW = 1_715_669_977.082
ANY = 2542285634920880794
ADDRESS = {
    "fullName": "李雷",
    "mobile": "13800000000",
    "phone": "",
    "postCode": "",
    "cityText": "义乌市",
    "provinceText": "浙江省",
    "areaText": "",
    "townText": "",
    "address": "北路1号",
}


def upstream(refunds: int = 100) -> Upstream:
    return Upstream(7, refunds, lambda: NOW)


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


def order_of(behind: Upstream, order_id: str | int) -> Order:
    """An order as the client reads it, by way of the wire."""
    answer = loads(dumps(call(behind, "v1.alibaba.orders.get", orderId=str(order_id))))
    order = structurer(Order)(answer, Order)
    assert isinstance(order, Order)
    return order


def cargo(offer: int = 612345678901, quantity: float = 10, **more: Any) -> dict[str, Any]:
    return {"offerId": offer, "specId": "", "quantity": quantity, **more}


def place(behind: Upstream, *cargos: dict[str, Any]) -> str:
    answer = call(
        behind,
        "v1.alibaba.orders.create",
        flow="general",
        addressParam=ADDRESS,
        cargoParamList=list(cargos) or [cargo()],
    )
    return str(answer["orderId"])


def application(order_id: int, *entries: int, **changes: Any) -> dict[str, Any]:
    return {
        "orderId": order_id,
        "orderEntryIds": list(entries),
        "disputeRequest": "refund",
        "applyPayment": 1_250,
        "applyCarriage": 0,
        "applyReasonId": 20022,
        "description": "broken",
        "goodsStatus": "refundBuyerReceived",
        **changes,
    }


# --- the order of a refund


def test_the_order_of_a_refund_names_it_and_has_other_lines_without() -> None:
    behind = upstream()
    for number in range(0, 100, 2):
        refund = behind.refunds.get(number)
        order = order_of(behind, refund.order_id)
        assert order.base_info is not None
        assert order.product_items is not None
        first, *others = order.product_items
        assert (first.sub_item_id, first.refund_id) == (refund.entry_ids[0], refund.refund_id)
        assert first.refund_status in (RefundStatus.read(refund.status), refund.status)
        assert others
        assert all((line.refund_id, line.refund_status) == (None, None) for line in others)
        assert first.item_amount is not None
        assert first.item_amount + Fen(refund.apply_carriage).yuan >= Fen(refund.apply_payment).yuan
        assert order.base_info.create_time is not None
        assert order.base_info.create_time.timestamp() * 1000 < refund.applied_ms
        assert {line.status for line in order.product_items} == {order.base_info.status}


def test_amounts_are_yuan_of_at_most_two_decimals_and_add_up() -> None:
    behind = upstream()
    for number in range(0, 100, 2):
        order = order_of(behind, behind.refunds.get(number).order_id)
        base, lines = order.base_info, order.product_items
        assert base is not None
        assert lines is not None
        amounts = [line.item_amount or Decimal(0) for line in lines]
        assert base.sum_product_payment == sum(amounts)
        assert base.total_amount == sum(amounts) + (base.shipping_fee or 0)
        for amount in (*amounts, base.total_amount, base.refund):
            assert amount is not None
            assert amount == amount.quantize(Decimal("0.01"))


@given(st.integers(0, 10**12))
def test_fen_are_written_as_yuan_without_a_rounding(fen: int) -> None:
    assert loads(dumps(yuan(fen))) * 100 == fen


def test_a_landed_application_shows_in_its_lines_and_the_newest_one_counts() -> None:
    behind = upstream()
    before = order_of(behind, ANY)
    assert [line.refund_id for line in before.product_items or []] == [None] * 6
    assert all(
        "refundId" in line for line in call(behind, "v1.alibaba.orders.get", orderId=str(ANY))["productItems"]
    )
    first = call(behind, "v1.alibaba.refunds.create", **application(ANY, 1, ANY))["refundId"]
    second = call(behind, "v1.alibaba.refunds.create", **application(ANY, 1, 77))["refundId"]
    shown = {line.sub_item_id: line.refund_id for line in order_of(behind, ANY).product_items or []}
    assert {entry: form for entry, form in shown.items() if form} == {
        str(ANY): first,
        "1": second,
        "77": second,
    }
    behind.advance(behind.refunds.find(second, "1688").number, "refundsuccess")  # type: ignore[union-attr]
    after = order_of(behind, ANY)
    states = {line.sub_item_id: line.refund_status for line in after.product_items or []}
    assert (states["1"], states[str(ANY)]) == (RefundStatus.REFUND_SUCCESS, RefundStatus.WAIT_SELLER_AGREE)
    assert after.base_info is not None
    assert after.base_info.refund == Decimal("12.50")


@pytest.mark.parametrize(
    "order_id", ["", "1", "x" * 19, "0" * 19, "9" * 20, "２５４２２８５６３４９２０８８０７９４"]
)
def test_what_is_no_order(order_id: str) -> None:
    assert refused(upstream(), "v1.alibaba.orders.get", orderId=order_id) == 404


# --- what became of an application


@pytest.fixture
async def connected() -> AsyncIterator[tuple[Sandbox, Client]]:
    async with (
        Sandbox(refunds=20) as sandbox,
        Client(sandbox.credentials, Settings(base_url=sandbox.base_url, rate=None)) as client,
    ):
        yield sandbox, client


async def lost(kind: str, arguments: dict[str, Any]) -> tuple[ResolvedOutcome, list[str]]:
    """What the order says of an application whose answer was lost, and the refunds it opened."""
    async with (
        Sandbox(refunds=20, faults=[Fault(kind, endpoint="*.refunds.create")]) as sandbox,
        Client(sandbox.credentials, Settings(base_url=sandbox.base_url, rate=None)) as client,
    ):
        with pytest.raises(OutcomeUnknownError):
            await client.v1.alibaba.refunds.create(
                order_id=arguments["orderId"],
                order_entry_ids=arguments["orderEntryIds"],
                dispute_request="refund",
                apply_payment=1_250,
                apply_carriage=0,
                apply_reason_id=20022,
                description="broken",
                goods_status="refundBuyerReceived",
            )
        now = sandbox.log[0].time
        intent = Intent(
            id="1",
            scope="",
            operation="alibaba.refunds.create",
            natural_key=arguments,
            digest="",
            facts={},
            state=IntentState.UNKNOWN,
            session="",
            created=now,
            updated=now,
        )
        return await resolve_outcome(client.v1, client.journal, intent), [
            effect.refund_id or "" for effect in sandbox.effects
        ]


SECOND_LINE = int(Sandbox(refunds=1).refund(0).entry_ids[0]) + 1


@pytest.mark.parametrize(
    ("order_id", "entries"),
    [(ANY, [ANY]), (ANY, [2, 1]), (int(Sandbox(refunds=1).refund(0).order_id), [SECOND_LINE])],
)
async def test_the_order_tells_what_became_of_an_application(order_id: int, entries: list[int]) -> None:
    settlement, opened = await lost("reset_after", application(order_id, *entries))
    assert (settlement.resolution, [settlement.result]) == (Resolution.SUCCEEDED, opened)
    settlement, opened = await lost("reset_before", application(order_id, *entries))
    assert (settlement.resolution, opened) == (Resolution.ABSENT, [])


async def test_a_line_that_nobody_ever_named_shows_only_once_its_application_landed() -> None:
    settlement, opened = await lost("truncated", application(17, 5))
    assert (settlement.resolution, [settlement.result]) == (Resolution.SUCCEEDED, opened)


# --- the life of an order


def test_an_order_costs_what_its_preview_said() -> None:
    behind = upstream()
    cargos = [cargo(1, 3), cargo(2, 2.25), cargo(3, 20)]
    arguments = {"flow": "general", "addressParam": ADDRESS, "cargoParamList": cargos}
    (previewed,) = call(behind, "v1.alibaba.orders.preview", **arguments)["orderPreviewResuslt"]
    created = call(behind, "v1.alibaba.orders.create", **arguments)
    assert (previewed["sumPayment"], previewed["sumCarriage"]) == (
        created["totalSuccessAmount"],
        created["postFee"],
    )
    order = order_of(behind, created["orderId"])
    assert order.base_info is not None
    assert order.base_info.status is OrderStatus.WAIT_BUYER_PAY
    assert order.base_info.total_amount == Fen(previewed["sumPayment"]).yuan
    assert [line.quantity for line in order.product_items or []] == [3, Decimal("2.25"), 20]
    assert order.native_logistics is not None
    assert order.native_logistics.contact_person == "李雷"


def test_several_shops_are_several_orders_and_the_same_wish_twice_is_seen() -> None:
    behind = upstream()
    arguments = {
        "addressParam": ADDRESS,
        "cargoParamList": [cargo(n, sellerOpenId=f"shop{n % 2}") for n in (1, 2, 3)],
    }
    orders = call(behind, "v1.alibaba.orders.create_batch", **arguments)
    assert [len(order["productItems"]) for order in orders] == [2, 1]
    call(behind, "v1.alibaba.orders.create_batch", **arguments)
    keys = [effect.key for effect in behind.effects]
    assert keys[:2] == keys[2:]
    assert len({effect.order_id for effect in behind.effects}) == 4
    shown = call(behind, "v1.alibaba.orders.page", pageNo=1, pageSize=3)
    assert shown["total"] == 4 + 50
    assert [one["baseInfo"]["idOfStr"] for one in shown["list"]] == [
        effect.order_id for effect in behind.effects[:0:-1]
    ]


def test_all_pages_hold_every_order_once() -> None:
    behind = upstream(21)
    place(behind)
    pages = [
        call(behind, "v2.alibaba.orders.page", pageNo=number, pageSize=5)["list"] for number in range(1, 5)
    ]
    found = [one["baseInfo"]["idOfStr"] for page in pages for one in page]
    assert len(found) == len(set(found)) == 12
    assert [len(page) for page in pages] == [5, 5, 2, 0]
    assert refused(behind, "v1.alibaba.orders.page", pageNo=0) == 400


@pytest.mark.parametrize(
    ("given_cargo", "code"),
    [(cargo(1, 10**6), "BOOKED_BEYOND_THE_MAX_QUANTITY"), (cargo(1, 0.01), "BOOKED_LESS_THAN_LEAST")],
)
def test_what_cannot_be_ordered(given_cargo: dict[str, Any], code: str) -> None:
    behind = upstream()
    arguments = {"flow": "general", "addressParam": ADDRESS, "cargoParamList": [given_cargo]}
    answer = call(behind, "v1.alibaba.orders.preview", **arguments)
    assert (answer["success"], answer["errorCode"], answer["orderPreviewResuslt"]) == (False, code, [])
    assert refused(behind, "v1.alibaba.orders.create", **arguments) == 400
    assert refused(behind, "v2.alibaba.orders.create", **{**arguments, "cargoParamList": []}) == 400
    assert refused(behind, "v2.alibaba.orders.create", **{**arguments, "cargoParamList": [{}]}) == 400


class Life(RuleBasedStateMachine):
    """Whatever is done to an order in whatever order: every step exists and leaves one effect."""

    def __init__(self) -> None:
        super().__init__()
        self.behind = upstream(0)
        self.order_id = place(self.behind, cargo(1), cargo(2))
        self.status, self.left, self.done = "waitbuyerpay", 2, 1

    def order(self) -> OrderState:
        order = self.behind.orders.find(self.order_id)
        assert order is not None
        return order

    def expect(self, name: str, status: str, arguments: dict[str, Any], *, begins: str) -> None:
        if self.status == begins:
            call(self.behind, name, **arguments)
            self.status, self.done = status, self.done + 1
        else:
            assert refused(self.behind, name, **arguments) == 409

    @rule()
    def cancel(self) -> None:
        arguments = {"orderId": int(self.order_id), "cancelReason": "other"}
        self.expect("v1.alibaba.orders.cancel", "cancel", arguments, begins="waitbuyerpay")

    @rule()
    def pay(self) -> None:
        arguments = {"orderIds": [self.order_id, self.order_id]}
        self.expect("v2.alibaba.orders.submit_to_pay", "waitsellersend", arguments, begins="waitbuyerpay")

    @rule()
    def link(self) -> None:
        arguments = {"orderId": self.order_id}
        self.expect("v1.alibaba.orders.payment_link", "waitbuyerpay", arguments, begins="waitbuyerpay")

    @rule(line=st.integers(0, 1))
    def receive(self, line: int) -> None:
        entry = self.order().lines[line]
        arguments = {"orderId": int(self.order_id), "orderEntryIds": [int(entry.entry_id)]}
        answer = call(self.behind, "v1.alibaba.orders.confirm_receipt", **arguments)
        assert answer["success"] is (self.status == "waitbuyerreceive" and not entry.received)
        if answer["success"]:
            self.done, self.left = self.done + 1, self.left - 1
            self.status = self.status if self.left else "success"

    @rule(status=st.sampled_from(["waitbuyerreceive", "terminated"]))
    def advance(self, status: str) -> None:
        if status in ORDER_MOVES[self.status]:
            ordering.advance(self.behind, self.order_id, status)
            self.status, self.done = status, self.done + 1
        else:
            with pytest.raises(ValueError, match="cannot go"):
                ordering.advance(self.behind, self.order_id, status)

    @invariant()
    def all_is_as_expected(self) -> None:
        order = self.order()
        assert (order.status, len(self.behind.effects)) == (self.status, self.done)
        assert (order.paid_ms is None) == (order.status in ("waitbuyerpay", "cancel"))
        assert {effect.order_id for effect in self.behind.effects} == {self.order_id}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


def test_a_receipt_is_refused_inside_a_successful_answer() -> None:
    behind = upstream()
    placed = int(place(behind))
    for order_id, entries, code in (
        (5, [1], "4003"),
        (ANY, [5], "4003"),
        (ANY, [], "4003"),
        (placed, [placed], "500_2"),
    ):
        answer = call(behind, "v1.alibaba.orders.confirm_receipt", orderId=order_id, orderEntryIds=entries)
        assert (answer["success"], answer["errorCode"]) == (False, code)


def test_after_sales_of_an_order_that_was_placed_keep_its_rules() -> None:
    behind = upstream()
    order_id = place(behind, cargo(1, 10))
    order = behind.orders.find(order_id)
    assert order is not None
    number, entry, paid = int(order_id), int(order.lines[0].entry_id), order.total
    unsent = {"goodsStatus": "refundWaitSellerSend", "applyReasonId": 20002}

    def code(**changes: Any) -> int:
        return refused(behind, "v1.alibaba.refunds.create", **application(number, entry, **changes))

    assert code(**unsent) == 5010  # not paid yet
    call(behind, "v1.alibaba.orders.submit_to_pay", orderIds=[order_id])
    assert code(orderEntryIds=[1]) == 5001
    assert code() == 5010  # not received
    assert code(**unsent, applyPayment=paid - 1) == 5011  # not shipped: in full
    assert code(**unsent, applyPayment=paid, applyCarriage=order.shipping + 1) == 5011
    call(behind, "v1.alibaba.refunds.create", **application(number, entry, **unsent, applyPayment=paid))


async def test_the_client_goes_through_the_life_of_an_order(connected: tuple[Sandbox, Client]) -> None:
    sandbox, client = connected
    orders = client.v1.alibaba.orders
    address = ShippingAddress(
        full_name="李雷", mobile="13800000000", phone="", post_code="", city_text="义乌市",
        province_text="浙江省", area_text="", town_text="", address="北路1号",
    )  # fmt: skip
    cargos = [{"offer_id": 612345678901, "spec_id": "", "quantity": 10}]
    preview = await orders.preview(address_param=address, cargo_param_list=cargos)  # type: ignore[arg-type]
    assert preview.order_previews is not None
    created = await orders.create(flow="general", address_param=address, cargo_param_list=cargos)  # type: ignore[arg-type]
    order_id = created["orderId"]
    link = await orders.payment_link(order_id=order_id)
    assert (link.protocol_pay_success, link.order_id, link.cant_pay_order_list) == (False, order_id, [])
    await orders.submit_to_pay(order_ids=[order_id])
    for refusal in (orders.submit_to_pay(order_ids=[order_id]), orders.payment_link(order_id=order_id)):
        with pytest.raises(ApiError):
            await refusal
    with pytest.raises(ApiError):
        await orders.cancel(order_id=order_id, cancel_reason="other")
    entry = sandbox.order(order_id).lines[0].entry_id
    with pytest.raises(RejectedError):
        await orders.confirm_receipt(order_id=order_id, order_entry_ids=[entry])
    sandbox.advance_order(order_id, "waitbuyerreceive")
    assert (await orders.confirm_receipt(order_id=order_id, order_entry_ids=[entry])).success
    order = await orders.get(order_id=order_id)
    assert order.base_info is not None
    assert order.base_info.status is OrderStatus.SUCCESS
    assert [effect.kind for effect in sandbox.effects] == [
        "order", "payment_link", "pay", "advance_order", "confirm_receipt",
    ]  # fmt: skip
    with pytest.raises(NotFoundError):
        await orders.get(order_id=5)
    with pytest.raises(LookupError):
        sandbox.order("5")
    with pytest.raises(LookupError):
        sandbox.advance_order("5", "success")
