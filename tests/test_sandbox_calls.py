"""What the calls do: states, effects, refusals, vouchers, lists, and the shape of the answers."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pandapon_async.api.registry import endpoints
from pandapon_async.core.model import camel, parse_moment
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.models.taobao import refunds as taobao
from pandapon_async.sandbox import Effect, RefundState
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.handlers import HANDLERS
from pandapon_async.sandbox.numbering import SALES_ORDER, refund_id
from pandapon_async.sandbox.states import MOVES, UNKNOWN, UPPER_SNAKE, Status
from pandapon_async.sandbox.upstream import Upstream
from pandapon_async.sandbox.vouchers import IMAGE_DOMAIN
from tests.support.examples import examples

NOW = 1_715_669_977.082
JPEG = b"\xff\xd8\xff\xe0" + b"proof" * 20


def upstream(refunds: int = 300) -> Upstream:
    return Upstream(7, refunds, lambda: NOW)


def call(behind: Upstream, name: str, **arguments: Any) -> Any:
    return HANDLERS[endpoints()[name].name](behind, endpoints()[name], arguments)


def find(behind: Upstream, platform: str, status: Status) -> RefundState:
    numbers = behind.refunds.numbers(platform)
    return next(refund for refund in map(behind.refunds.get, numbers) if refund.status == status)


def application(**changes: Any) -> dict[str, Any]:
    return {
        "orderId": 2542285634920880794,
        "orderEntryIds": [2, 1],
        "disputeRequest": "refund",
        "applyPayment": 1_250,
        "applyCarriage": 0,
        "applyReasonId": 20022,
        "description": "broken",
        "goodsStatus": "refundBuyerReceived",
        **changes,
    }


# --- states


@settings(max_examples=examples(30, 200), stateful_step_count=40, deadline=None)
class Operations(RuleBasedStateMachine):
    """Whatever is called in whatever order: every step is one that exists, and leaves one effect."""

    numbers = st.integers(0, 30)

    def __init__(self) -> None:
        super().__init__()
        self.behind = upstream(30)
        self.before: dict[int, Status] = {}
        self.changed = 0

    def step(self, number: int) -> None:
        """One refund went one step further, by one effect."""
        refund = self.behind.refunds.get(number)
        if number in self.before:
            assert refund.status in MOVES[refund.platform][self.before[number]]
        else:
            assert refund.status == "waitselleragree"
        self.changed += 1
        assert len(self.behind.effects) == self.changed
        assert self.behind.effects[-1].refund_id == refund.refund_id

    def remember(self) -> None:
        self.before = {n: self.behind.refunds.get(n).status for n in self.behind.refunds.numbers()}

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        self.remember()
        refund, cancelled = self.behind.cancel("taobao.refunds.cancel", refund_id(number))
        assert cancelled is (
            number in self.before and number % 2 == 1 and self.before[number] in (0, 10, 20, 30, -10)
        )
        if cancelled:
            assert refund is not None
            self.step(number)

    @rule(number=numbers)
    def return_goods(self, number: int) -> None:
        self.remember()
        answer = call(
            self.behind,
            "v1.alibaba.refunds.return_goods",
            refundId=refund_id(number),
            logisticsCompanyNo="SF",
            freightBill="SF1",
        )
        assert answer["success"] is (self.before.get(number) == "waitbuyersend")
        if answer["success"]:
            self.step(number)

    @rule(number=numbers, status=st.sampled_from([*MOVES["1688"], *MOVES["taobao"], *UNKNOWN.values()]))
    def advance(self, number: int, status: Status) -> None:
        self.remember()
        try:
            self.behind.advance(number, status)
        except (ValueError, LookupError):
            assert len(self.behind.effects) == self.changed
        else:
            self.step(number)

    @precondition(lambda self: self.changed < 30)
    @rule()
    def create(self) -> None:
        self.remember()
        self.step(self.behind.open_refund("alibaba.refunds.create", application()).number)

    @invariant()
    def nothing_is_anywhere_else(self) -> None:
        for refund in self.behind.refunds.changed.values():
            assert refund.status in MOVES[refund.platform]
            assert (refund.deadline_ms is None) == (not refund.open)
            assert refund.applied_ms <= refund.modified_ms


TestOperations = Operations.TestCase


# --- return of goods


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"freightBill": " "}, "4002"),
        ({"refundId": "12"}, "4008"),
        ({"vouchers": ["https://elsewhere.invalid/a.jpg"]}, "4003"),
        ({"refundId": "TQ1"}, "4005"),
        ({"refundId": refund_id(10**6)}, "4005"),
    ],
)
def test_a_return_is_refused_inside_a_successful_answer(changes: dict[str, Any], code: str) -> None:
    behind = upstream()
    refund = find(behind, "1688", "waitbuyersend")
    given = {"refundId": refund.refund_id, "logisticsCompanyNo": "SF", "freightBill": "SF1", **changes}
    answer = call(behind, "v1.alibaba.refunds.return_goods", **given)
    assert (answer["success"], answer["errorCode"]) == (False, code)
    assert answer["errorInfo"]
    assert not behind.effects


def test_a_second_return_meets_a_status_that_does_not_allow_it() -> None:
    behind = upstream()
    refund = find(behind, "1688", "waitbuyersend")
    given = {"refundId": refund.refund_id, "logisticsCompanyNo": "SF", "freightBill": "SF1"}
    assert call(behind, "v1.alibaba.refunds.return_goods", **given)["success"] is True
    assert call(behind, "v1.alibaba.refunds.return_goods", **given)["errorCode"] == "4007"
    detail = call(behind, "v1.alibaba.refunds.get", refundId=refund.refund_id)
    assert (detail["freightBill"], detail["logisticsCompanyNo"], detail["buyerSendGoods"]) == (
        "SF1",
        "SF",
        True,
    )
    (effect,) = behind.effects
    assert (effect.endpoint, effect.kind, effect.key) == (
        "alibaba.refunds.return_goods",
        "return_goods",
        refund.refund_id,
    )


# --- cancel


def test_a_cancel_answers_the_refund_as_it_stands_and_only_the_first_one_cancels() -> None:
    behind = upstream()
    refund = find(behind, "taobao", 20)
    for expected in (True, False):
        answer = call(behind, "v2.taobao.refunds.cancel", refundId=refund.refund_id)
        assert answer["cancelSuccess"] is expected
        assert answer["refundOrderAggregate"]["refundOrder"]["refundStatus"] == "-20"
    assert len(behind.effects) == 1


@pytest.mark.parametrize("identifier", ["110000235001", "TQ1", refund_id(0)])
def test_a_refund_that_is_not_there_cannot_be_cancelled(identifier: str) -> None:
    with pytest.raises(Refusal) as refusal:
        call(upstream(), "v1.taobao.refunds.cancel", refundId=identifier)
    assert refusal.value.code == 404


# --- create


def test_the_same_application_twice_opens_two_refunds_and_the_effects_show_it() -> None:
    behind = upstream()
    first = call(behind, "v1.alibaba.refunds.create", **application())["refundId"]
    second = call(behind, "v2.alibaba.refunds.create", **application())["refundId"]
    assert first != second
    one, two = behind.effects
    assert (one.kind, one.key, one.digest) == (two.kind, two.key, two.digest)
    assert (one.refund_id, two.refund_id) == (first, second)
    detail = call(behind, "v1.alibaba.refunds.get", refundId=second)
    assert (detail["applyPayment"], detail["orderId"]) == (1_250, 2542285634920880794)


def test_a_created_refund_is_found_by_its_number_and_listed_last() -> None:
    behind = upstream(3)
    created = behind.open_refund("alibaba.refunds.create", application())
    assert created.number == 4
    assert behind.refunds.get(4) == created
    assert list(behind.refunds.numbers()) == [0, 1, 2, 4]
    assert list(behind.refunds.numbers("taobao")) == [1]
    with pytest.raises(LookupError):
        behind.refunds.get(3)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"orderEntryIds": []}, 5001),
        ({"goodsStatus": "gone"}, 5003),
        ({"applyReasonId": 1}, 5004),
        ({"applyReasonId": 20028}, 5005),
        ({"applyReasonId": 20028, "vouchers": ["https://elsewhere.invalid/a.jpg"]}, 5005),
        ({"goodsStatus": "refundBuyerReceived", "applyReasonId": 20006, "applyCarriage": 1}, 5006),
        ({"disputeRequest": "else"}, 5010),
        ({"disputeRequest": "returnRefund", "goodsStatus": "refundWaitSellerSend"}, 5010),
        ({"applyPayment": 0}, 5011),
        ({"applyPayment": 10_000_001}, 5011),
        ({"applyCarriage": 1_251}, 5011),
        ({"description": "x"}, 5012),
        ({"description": "x" * 151}, 5012),
        ({"orderEntryCountList": [{"id": 3, "count": 1}]}, 5013),
        ({"orderEntryCountList": [{"id": 1, "count": 0}]}, 5013),
    ],
)
def test_an_application_is_refused_with_the_upstreams_code(changes: dict[str, Any], code: int) -> None:
    behind = upstream()
    with pytest.raises(Refusal) as refusal:
        call(behind, "v1.alibaba.refunds.create", **application(**changes))
    assert refusal.value.code == code
    assert not behind.effects
    assert not behind.refunds.changed


def test_reasons_depend_on_the_goods_and_always_offer_one_without_voucher() -> None:
    for status in ("refundWaitSellerSend", "aftersaleBuyerReceived", "aftersaleBuyerNotReceived"):
        offered = call(
            upstream(), "v1.alibaba.refunds.reasons", orderId=1, orderEntryIds=[1], goodsStatus=status
        )
        assert {"id", "name", "needVoucher", "noRefundCarriage", "tip"} == set(offered[0])
        assert not all(reason["needVoucher"] for reason in offered)
    with pytest.raises(Refusal, match="goodsStatus"):
        call(upstream(), "v1.alibaba.refunds.reasons", orderId=1, orderEntryIds=[1], goodsStatus="gone")


# --- vouchers


def upload(behind: Upstream, text: str) -> str:
    answer = call(behind, "v2.alibaba.refunds.upload_voucher", imageData=text)
    return f"{answer['imageDomain']}{answer['imageRelativeUrl']}"


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"GIF87a", b"BM"])
def test_an_image_is_kept_by_its_digest_and_not_by_its_bytes(start: bytes) -> None:
    behind, image = upstream(), start + b"\0" * 1_000
    url = upload(behind, base64.b64encode(image).decode())
    assert url == upload(behind, base64.b64encode(image).decode())
    digest = hashlib.sha256(image).hexdigest()
    assert url.startswith(IMAGE_DOMAIN)
    assert digest in url
    assert [(effect.kind, effect.key) for effect in behind.effects] == [("voucher", digest)] * 2
    assert list(behind.vouchers.sizes.values()) == [len(image)]
    created = call(behind, "v1.alibaba.refunds.create", **application(applyReasonId=20028, vouchers=[url]))
    assert created["refundId"].startswith("TQ")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("data:image/jpeg;base64," + base64.b64encode(JPEG).decode(), "data: prefix"),
        (base64.b64encode(JPEG).decode()[:-1], "is not base64"),
        ("*" + base64.b64encode(JPEG).decode(), "is not base64"),
        ("", "must be jpg"),
        (base64.b64encode(b"RIFF....WEBP").decode(), "must be jpg, png, gif or bmp"),
        (base64.b64encode(JPEG + b"\0" * (1_048_576 - len(JPEG) + 1)).decode(), "more than 1048576 bytes"),
        (base64.b64encode(JPEG + b"\0" * 1_048_576).decode(), "more than 1048576 bytes"),
    ],
)
def test_what_is_no_voucher(text: str, wrong: str) -> None:
    behind = upstream()
    with pytest.raises(Refusal, match=wrong) as refusal:
        upload(behind, text)
    assert refusal.value.code == 400
    assert not behind.effects


def test_a_voucher_may_have_a_mebibyte() -> None:
    behind = upstream()
    upload(behind, base64.b64encode(JPEG + b"\0" * (1_048_576 - len(JPEG))).decode())
    assert list(behind.vouchers.sizes.values()) == [1_048_576]


def test_a_payment_proof_is_an_effect_of_its_order() -> None:
    behind = upstream()
    text = base64.b64encode(JPEG).decode()
    assert (
        call(behind, "v1.taobao.orders.upload_pay_certificate", base64=text, orderId="1022505290408395575")
        is True
    )
    assert behind.effects == [
        Effect(
            NOW,
            "taobao.orders.upload_pay_certificate",
            "pay_certificate",
            "1022505290408395575",
            hashlib.sha256(JPEG).hexdigest(),
        )
    ]


# --- lists


def listed(behind: Upstream, **filters: Any) -> tuple[int, list[str]]:
    answer = call(behind, "v1.taobao.refunds.page", **{"pageNo": 1, "pageSize": 50, **filters})
    found = [one["refundOrderAggregate"]["refundOrder"]["refundId"] for one in answer["list"]]
    assert len(found) <= answer["pageSize"] <= 50
    return answer["total"], found


def test_the_pages_together_are_all_taobao_refunds_once() -> None:
    behind = upstream(301)
    pages = [listed(behind, pageNo=number, pageSize=60) for number in (1, 2, 3, 4)]
    assert [total for total, _ in pages] == [150] * 4
    assert [len(found) for _, found in pages] == [50, 50, 50, 0]
    assert [one for _, found in pages for one in found] == [refund_id(n) for n in range(1, 301, 2)]


def test_filters_by_id_find_one_refund() -> None:
    behind = upstream()
    refund = find(behind, "taobao", 30)
    one = (1, [refund.refund_id])
    assert listed(behind, refundId=refund.refund_id) == one
    assert listed(behind, purchaseOrderId=refund.order_id) == one
    assert listed(behind, salesOrderId=SALES_ORDER.text(refund.number), refundId=refund.refund_id) == one
    assert listed(behind, refundId=refund.refund_id, refundStatus=30) == one
    none: tuple[int, list[str]] = (0, [])
    assert listed(behind, refundId=refund.refund_id, refundStatus=10) == none
    assert listed(behind, refundId=refund.refund_id, purchaseOrderId="1") == none
    assert listed(behind, refundId=refund_id(0)) == none
    assert listed(behind, refundId=refund_id(301)) == none
    assert listed(behind, refundId=refund.refund_id, refundEndTime=refund.applied_ms - 1) == none


def test_a_filter_by_status_follows_the_changes() -> None:
    behind = upstream()
    total, before = listed(behind, refundStatus=10)
    behind.cancel("taobao.refunds.cancel", before[1])
    assert listed(behind, refundStatus=10) == (total - 1, [before[0], *before[2:]])
    closed, _ = listed(behind, refundStatus=-20)
    behind.cancel("taobao.refunds.cancel", before[0])
    assert listed(behind, refundStatus=-20)[0] == closed + 1
    assert listed(behind, refundStatus=55) == (0, [])


def test_a_window_of_time_includes_both_ends() -> None:
    behind = upstream()
    early, late = sorted(behind.refunds.get(number).applied_ms for number in (3, 9))
    window = {"refundStartTime": early, "refundEndTime": late}
    inside = [one for one in map(behind.refunds.get, range(1, 300, 2)) if early <= one.applied_ms <= late]
    assert listed(behind, **window)[0] == len(inside) >= 2
    assert listed(behind, **window)[1] == [one.refund_id for one in inside][:50]
    found = [one.refund_id for one in inside if one.status == 100]
    assert listed(behind, **window, refundStatus=100) == (len(found), found[:50])
    assert listed(behind, refundStartTime=late + 1, refundEndTime=early) == (0, [])


@pytest.mark.parametrize("filters", [{"pageNo": -1}, {"pageSize": 0}])
def test_pages_count_from_one(filters: dict[str, int]) -> None:
    with pytest.raises(Refusal, match="counts from 1, pageSize from 1"):
        listed(upstream(), **filters)


# --- shapes


def wire_names(model: type[Any]) -> set[str]:
    return {field.metadata.get("wire") or camel(field.name) for field in attrs.fields(model)}


def test_a_1688_refund_has_the_names_of_the_model() -> None:
    behind, spellings = upstream(), set()
    for number in range(0, 300, 2):
        refund = behind.refunds.get(number)
        detail = call(behind, "v1.alibaba.refunds.get", refundId=refund.refund_id)
        assert set(detail) <= wire_names(Refund)
        assert detail["status"] in (refund.status, UPPER_SNAKE.get(refund.status))
        spellings.add(detail["status"])
        for name in ("gmtApply", "gmtModified", "gmtTimeOut", "gmtCompleted"):
            if name in detail:
                parse_moment(detail[name])
        moment = parse_moment(detail["gmtApply"])
        assert round(moment.timestamp() * 1000) == refund.applied_ms
        assert all(type(detail[name]) is int for name in ("applyPayment", "applyCarriage", "orderId"))
    assert {"refundsuccess", "REFUND_SUCCESS", "REFUND_CLOSED", UNKNOWN["1688"]} <= spellings
    with pytest.raises(Refusal, match="does not exist"):
        call(behind, "v1.alibaba.refunds.get", refundId="TQ1")


def test_a_taobao_refund_has_the_shape_of_the_page() -> None:
    behind, statuses = upstream(), set()
    for number in range(1, 600, 2):
        refund = upstream(600).refunds.get(number)
        detail = call(upstream(600), "v1.taobao.refunds.get", refundId=refund.refund_id)
        assert set(detail) == {"currency", "distributorId", "refundOrderAggregate"}
        parts = detail["refundOrderAggregate"]
        order = parts["refundOrder"]
        assert set(order) == wire_names(taobao.RefundOrder) - {"extra", "problems"}
        assert set(parts["purchaseOrderLine"]) == wire_names(taobao.PurchaseOrderLine) - {"extra", "problems"}
        if parts["logistics"] is not None:
            assert set(parts["logistics"]) == wire_names(taobao.RefundLogistics) - {"extra", "problems"}
            assert len(parts["logistics"]["receiverAddress"]["phone"]) == 11
        assert (order["refundStatus"], order["refundFee"]) == (str(refund.status), refund.apply_payment)
        if order["timeoutDate"] is not None:
            left = max(0, int(order["timeoutDate"]) - round(NOW * 1000))
            assert order["remainingTime"] == str(left)
        statuses.add(refund.status)
    assert statuses == {*MOVES["taobao"], UNKNOWN["taobao"]}
    with pytest.raises(Refusal, match="does not exist"):
        call(behind, "v1.taobao.refunds.get", refundId="110000235001")


def test_how_the_vendor_says_that_there_is_no_such_refund_is_played_in_three_ways() -> None:
    behind = upstream()
    for how, data in (("null", None), ("empty", {})):
        behind.not_found = how
        assert call(behind, "v1.taobao.refunds.get", refundId="110000235001") == data
        assert call(behind, "v1.alibaba.refunds.get", refundId="TQ1") == data
