"""Fields that come as another type than documented: read past where nothing rests on them, believed nowhere.

Each rule lists the fields that it reads. Here every rule looks at answers through a view that refuses any
other field and notes each one, so a list that is too short or too long fails.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pandapon_async import DecodeError, OutcomeUnknownError, plans
from pandapon_async.core import lenient
from pandapon_async.core.json_codec import loads
from pandapon_async.core.lenient import CannotBeSeenError, Fields, lenient_structurer, visible
from pandapon_async.core.model import Model
from pandapon_async.core.structure import StructureError, structurer, wire_fields
from pandapon_async.core.unstructure import HIDDEN, count_extra, to_json
from pandapon_async.journal import IntentState, Resolution
from pandapon_async.journal import resolve as resolving
from pandapon_async.models.alibaba.orders import Order
from pandapon_async.models.alibaba.refunds import Refund, RefundReason
from pandapon_async.models.taobao.refunds import RefundDetail, RefundPage
from pandapon_async.plans import checks
from pandapon_async.reconcile import Options, Verdict, reconcile
from pandapon_async.reconcile import lookup as looking
from tests.support import plan_files
from tests.support.clients import client
from tests.support.server import Exchange, FaultServer, envelope, http, ok
from tests.support.virtual import virtual_time
from tests.test_journal_resolve import CREATE, KEY, RETURN, unknown

ODD: dict[str, Any] = {
    "empty text": "", "text": "x", "number": 12, "true": True, "fraction": 1.5, "list": [], "object": {},
    "list of numbers": [1],
}  # fmt: skip
FORM = {
    "refundId": "TQ1", "orderId": 1, "status": "refundsuccess", "applyPayment": 100, "applyCarriage": 0,
    "refundPayment": 100, "gmtApply": "20180423171116000+0800",
}  # fmt: skip
STRICT = {
    "refundId", "orderId", "status", "applyPayment", "applyCarriage", "refundPayment", "refundCarriage"
}  # fmt: skip


def odd_forms(refund_ids: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A form for every field and every odd value that the field does not take, with both their names."""
    read = structurer(Refund)
    for wire in wire_fields(Refund):
        for kind, value in ODD.items():
            try:
                read({wire: loads(json.dumps(value).encode())}, None)
            except StructureError:
                given = {} if wire == "refundId" else {"refundId": next(refund_ids)}
                yield wire, kind, {**FORM, **given, wire: value}


def test_an_odd_field_is_none_and_says_where_it_stood() -> None:
    read = lenient_structurer(Refund)
    refund = read({**FORM, "applyExpect": "", "new": 1, "refundOperationList": [{"gmtCreate": "soon"}]}, None)
    assert (refund.apply_expect, refund.apply_payment) == (None, 100)
    assert refund.problems == ("applyExpect", "refundOperationList[0].gmtCreate")
    assert refund.extra == {"applyExpect": "", "new": 1}
    (step,) = refund.refund_operation_list
    assert (step.gmt_create, step.problems, step.extra) == (None, ("gmtCreate",), {"gmtCreate": "soon"})
    assert count_extra(refund) == 1
    assert read(FORM, None) == structurer(Refund)(FORM, None)
    assert read(FORM, None).problems == ()


def test_what_cannot_be_an_item_takes_its_list_along_and_a_page_loses_none() -> None:
    assert lenient_structurer(Order)({"productItems": [{}, 7]}, None).problems == ("productItems",)
    wrong_items: tuple[tuple[Any, Any], ...] = (
        (list[RefundReason], [{}, 7]),
        (RefundPage, {"list": [{}, 7]}),
    )
    for kind, data in wrong_items:
        with pytest.raises(StructureError):
            lenient_structurer(kind)(data, None)
    page = lenient_structurer(RefundPage)({"list": [{}, {"currency": 1}], "total": 2}, None)
    assert (len(page.items), page.total, page.problems) == (2, 2, ("items[1].currency",))


@pytest.mark.parametrize(
    ("kind", "data", "path"),
    [
        (Refund, {"status": []}, "$.data.status"),
        (Refund, {"status": [], "applyExpect": ""}, "$.data.status"),
        (Refund, {"applyPayment": "1.5"}, "$.data.applyPayment"),
        (Order, {"productItems": [{"subItemID": True}]}, "$.data.productItems[0].subItemID"),
        (
            RefundDetail,
            {"refundOrderAggregate": {"refundOrder": {"refundFee": "x"}}},
            "$.data.refundOrderAggregate.refundOrder.refundFee",
        ),
    ],
)
def test_a_strict_field_fails_the_answer_however_deep_it_is(kind: Any, data: Any, path: str) -> None:
    with pytest.raises(StructureError) as caught:
        lenient_structurer(kind)(data, None)
    assert caught.value.path == path


def test_what_came_in_the_place_of_personal_data_is_as_personal() -> None:
    refund = lenient_structurer(Refund)({"createBy": 13800001111, "applyExpect": ""}, None)
    assert to_json(refund, extra=True) == {"createBy": HIDDEN, "applyExpect": ""}
    assert to_json(refund, personal=True, extra=True)["createBy"] == 13800001111
    assert "13800001111" not in repr(refund)


def test_a_rule_sees_what_it_lists_and_nothing_else() -> None:
    refund = lenient_structurer(Refund)({**FORM, "freightBill": []}, None)
    seen = visible(refund, {Refund: ("freight_bill", "status")})
    assert seen.status == "refundsuccess"
    with pytest.raises(CannotBeSeenError, match="cannot be seen: freightBill has another type than expected"):
        _ = seen.freight_bill
    with pytest.raises(AttributeError, match="not listed next to the rule"):
        _ = seen.apply_payment


class Recording(lenient.View):
    """A view that notes what is read, whether or not anything is odd."""

    read: ClassVar[set[tuple[type[Model], str]]] = set()

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        self.read.add((type(self._answer), name))
        return value


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[tuple[type[Model], str]]:
    Recording.read = set()
    for module in (resolving, looking, checks):
        monkeypatch.setattr(module, "visible", Recording)
    return Recording.read


def listed(*fields: Fields) -> set[tuple[type[Model], str]]:
    return {(kind, name) for one in fields for kind, names in one.items() for name in names}


def test_verdicts_read_what_they_list(read: set[tuple[type[Model], str]]) -> None:
    looking.lookup_of_answer("TQ1", structurer(Refund)({**FORM, "status": "waitbuyersend"}, None))
    order = {"refundId": "1", "refundStatus": 10, "refundFee": 5, "timeoutDate": 1652759264000}
    data = {"currency": "CNY", "refundOrderAggregate": {"refundOrder": order}}
    looking.lookup_of_answer("1", structurer(RefundDetail)(data, None))
    assert read == listed(looking.VERDICT_READS)


ORDER = {
    "baseInfo": {"status": "waitsellersend", "shippingFee": 1},
    "productItems": [
        {"subItemID": entry, "refundId": "TQ1", "refundIdForAs": None, "itemAmount": 9, "refund": 0}
        for entry in (1, 2)
    ],
}
OURS = {**FORM, "applyPayment": 500, "applyReasonId": 20022, "orderEntryIdList": [2, 1]}
RULES: list[tuple[str, dict[str, Any], dict[str, Any], list[Any], tuple[Fields, ...]]] = [
    (
        RETURN, {"refundId": "TQ1"}, {"freightBill": "SF1"},
        [{"refundId": "TQ1", "status": "waitbuyersend"}], (resolving.RETURNED,),
    ),
    (
        "taobao.refunds.cancel", {"refundId": "1"}, {},
        [{"refundOrderAggregate": {"refundOrder": {"refundStatus": 10}}}], (resolving.CANCELLED_TAOBAO,),
    ),
    ("alibaba.orders.cancel", {"orderId": 1}, {}, [ORDER], (resolving.CANCELLED_ORDER,)),
    (CREATE, KEY, {}, [ORDER, {**OURS, "gmtApply": None}], (resolving.CREATED, resolving.FORM)),
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule[0])
def test_rules_of_resolve_read_what_they_list(rule: Any, read: set[tuple[type[Model], str]]) -> None:
    operation, key, facts, answers, fields = rule

    @virtual_time
    async def check() -> None:
        async with FaultServer(*map(ok, answers)) as server, client(server.url) as pandapon:
            intent = await unknown(pandapon, operation, key, **facts)
            await pandapon.resolve(intent.id)

    check()
    assert read == listed(*fields)


def test_checks_of_plans_read_what_they_list(tmp_path: Path, read: set[tuple[type[Model], str]]) -> None:
    returns = {"refund_id": "TQ1", "logistics_company_no": "SF", "freight_bill": "SF1"}
    refunds = {
        "order_id": "1", "order_entry_ids": "1;2", "dispute_request": "refund", "apply_payment_fen": "500",
        "reason": "broken", "description": "the seams", "goods_status": "aftersaleBuyerReceived",
    }  # fmt: skip
    reasons = [{"id": 20022, "name": "broken"}]

    @virtual_time
    async def check(kind: str, row: dict[str, Any], *answers: Any) -> None:
        table = plan_files.write_table(tmp_path / f"{kind}.csv", [row])
        async with FaultServer(*map(ok, answers)) as server, client(server.url) as pandapon:
            await plans.create(pandapon, kind, table, None, options=plans.PlanOptions(concurrency=1))

    check("returns", returns, {**FORM, "status": "waitsellerreceive"})
    check("refunds", refunds, reasons, ORDER, OURS)
    fields = checks.RETURN_READS, checks.REASON_READS, checks.AMOUNT_READS, checks.FORM_READS
    assert read == listed(*fields)


async def serve_forms(exchange: Exchange, forms: dict[str, dict[str, Any]]) -> None:
    seen = await exchange.request()
    await exchange.send(http(envelope(forms[json.loads(seen.body)["refundId"]])))


def test_every_field_of_every_odd_type_in_a_night(tmp_path: Path) -> None:
    """Rows are judged as if the field had not come, unless a verdict rests on it: then nothing is judged."""
    ids = (f"TQ{number}" for number in range(10_000, 20_000))
    cases = list(odd_forms(ids))
    assert {"applyExpect"} == {
        wire for wire, kind, _ in cases if (wire, kind) == ("applyExpect", "empty text")
    }
    forms = {str(form["refundId"]): form for wire, _, form in cases if wire != "refundId"}
    expected = {str(form["refundId"]): wire for wire, _, form in cases if wire != "refundId"}
    ledger = tmp_path / "ledger.csv"
    rows = "\n".join(f"{refund_id},1.00,CNY,refundsuccess" for refund_id in forms)
    ledger.write_text(f"refund_id,amount_yuan,currency,status\n{rows}\n", encoding="utf-8")

    @virtual_time
    async def night() -> Any:
        async with (
            FaultServer(then=functools.partial(serve_forms, forms=forms)) as server,
            client(server.url) as pandapon,
        ):
            return await reconcile(pandapon, ledger, tmp_path / "out", options=Options())

    summary = night()
    with (tmp_path / "out" / "rows.csv").open(encoding="utf-8-sig", newline="") as file:
        verdicts = {row["refund_id"]: (row["verdict"], row["reason"]) for row in csv.DictReader(file)}
    for refund_id, wire in expected.items():
        verdict, reason = verdicts[refund_id]
        if wire in STRICT:
            assert verdict == "unverified"
            assert wire in reason
        else:
            assert (verdict, reason) == ("matched", ""), wire
    counted = {wire: sum(1 for one in expected.values() if one == wire) for wire in set(expected.values())}
    assert summary.totals.problems == counted
    assert summary.verdicts[Verdict.MATCHED] == sum(wire not in STRICT for wire in expected.values()) > 300
    assert (
        f"applyExpect: {counted['applyExpect']} times with another type than expected" in summary.odd_fields
    )


def test_an_open_form_whose_deadline_cannot_be_seen_is_not_judged() -> None:
    for wire, value in (("gmtTimeOut", "soon"), ("timeOutFreeze", "no")):
        form = {**FORM, "status": "waitselleragree", wire: value}
        lookup = looking.lookup_of_answer("TQ1", lenient_structurer(Refund)(form, None))
        assert lookup.error == f"cannot be seen: {wire} has another type than expected"
        assert lookup.problems == wire


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("wire", ["freightBill", "buyerSendGoods", "status"])
def test_no_odd_value_settles_a_return(wire: str, value: Any) -> None:
    """The form would prove it if the field were what it should be, or disprove it if it were absent."""

    @virtual_time
    async def check() -> None:
        form = {"refundId": "TQ1", "status": "waitbuyersend", wire: value}
        async with FaultServer(then=ok(form)) as server, client(server.url) as pandapon:
            intent = await unknown(pandapon, RETURN, {"refundId": "TQ1"}, freightBill="SF1")
            try:
                seen = await pandapon.look_up(
                    RETURN, {"refund_id": "TQ1", "logistics_company_no": "SF", "freight_bill": "SF1"}
                )
            except DecodeError:
                return
            try:
                structurer(Refund)(loads(json.dumps(form).encode()), None)
            except StructureError:
                assert seen.resolution is Resolution.UNDECIDED
                assert wire in seen.note
                assert (await pandapon.resolve(intent.id, wait=True)).state is IntentState.UNKNOWN

    check()


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("wire", ["applyReasonId", "orderEntryIdList", "gmtApply", "applyCarriage"])
def test_no_odd_value_makes_a_form_ours(wire: str, value: Any) -> None:
    """Of these an absent one is no objection; an unreadable one is."""
    form = {**OURS, "gmtApply": "20231115063002000+0800", wire: value}
    try:
        structurer(Refund)(loads(json.dumps(form).encode()), None)
    except StructureError:
        pass
    else:
        return

    @virtual_time
    async def check() -> None:
        async with FaultServer(ok(ORDER), then=ok(form)) as server, client(server.url) as pandapon:
            intent = await unknown(pandapon, CREATE, KEY)
            try:
                settled = await pandapon.resolve(intent.id)
            except DecodeError:
                return
            assert settled.state is IntentState.UNKNOWN

    check()


@pytest.mark.parametrize(
    "data",
    [
        {"success": True, "errorInfo": 5},
        {"success": True, "errorCode": []},
        {"success": "true"},
        {"success": 1},
    ],
)
@virtual_time
async def test_the_answer_to_a_write_is_never_read_past(data: dict[str, Any]) -> None:
    async with FaultServer(then=ok(data)) as server, client(server.url) as pandapon:
        with pytest.raises((DecodeError, OutcomeUnknownError)):
            await pandapon.alibaba.refunds.return_goods(
                refund_id="TQ1", logistics_company_no="SF", freight_bill="SF1"
            )
