"""Writes that are hard to judge, seen from a raw client: landing or visible late, refused after the deed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Credentials
from pandapon_async.core.signing import signed_headers
from pandapon_async.sandbox import Fault, Sandbox, parse_faults
from pandapon_async.sandbox.orders import OrderBook
from pandapon_async.sandbox.refunds import RefundBook
from pandapon_async.sandbox.replica import Replica

START = 1_715_669_977.0
ORDER = 3_100_000_000_000_000_000
APPLICATION = {
    "orderId": ORDER,
    "orderEntryIds": [ORDER + 1],
    "disputeRequest": "refund",
    "applyPayment": 500,
    "applyCarriage": 0,
    "applyReasonId": 20022,
    "description": "the seams are open",
    "goodsStatus": "aftersaleBuyerReceived",
}


@attrs.define
class Vendor:
    """A sandbox whose clock stands still until it is put on, and a way to ask it."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    now: list[float]
    asked: int = 0

    def pass_time(self, seconds: float) -> None:
        self.now[0] += seconds

    async def ask(
        self, method: str, path: str, body: Any = None, who: Credentials | None = None
    ) -> tuple[int, bytes]:
        key = who or self.sandbox.credentials
        self.asked += 1
        headers = signed_headers(
            key.access_key,
            key.access_secret,
            key.user_id,
            str(int(self.now[0] * 1000)),
            f"{self.asked:032d}",
        )
        url = self.sandbox.base_url + path
        async with self.session.request(method, url, json=body, headers=dict(headers)) as response:
            return response.status, await response.read()

    async def data(self, method: str, path: str, body: Any = None, who: Credentials | None = None) -> Any:
        answer = json.loads((await self.ask(method, path, body, who))[1])
        return answer["data"] if answer["code"] == 200 else answer["code"]

    async def cancel(self, refund_id: str, who: Credentials | None = None) -> Any:
        return await self.data("GET", f"/open/order/refund/cancel/{refund_id}", who=who)

    async def status(self, refund_id: str) -> str:
        data = await self.data("GET", f"/open/order/refund/query?refundId={refund_id}")
        return str(data["refundOrderAggregate"]["refundOrder"]["refundStatus"])

    async def apply(self, **changes: Any) -> Any:
        return await self.data("POST", "/alibaba/refund/detail/create", {**APPLICATION, **changes})

    async def line(self, order_id: int = ORDER) -> dict[str, Any]:
        """The second line of the order: the one that is applied for."""
        data = await self.data("POST", "/alibaba/order/detail", {"orderId": str(order_id)})
        return next(item for item in data["productItems"] if item["subItemID"] == order_id + 1)

    async def in_cart(self, who: Credentials) -> int:
        """How many pieces the first entry of 1688's cart is for."""
        cart = await self.data("GET", "/alibaba/cart/list", who=who)
        return int(cart["enableList"][0]["cartItemInfos"][0]["quantity"])

    async def lost(self, method: str, path: str, body: Any = None, who: Credentials | None = None) -> None:
        with pytest.raises(aiohttp.ClientError):
            await self.ask(method, path, body, who)


@asynccontextmanager
async def vendor(*faults: Fault, **settings: Any) -> AsyncIterator[Vendor]:
    now = [START]
    async with (
        Sandbox(refunds=200, seed=7, clock=lambda: now[0], faults=faults, **settings) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        session._retry_connection = False  # aiohttp would send a GET again by itself
        yield Vendor(sandbox, session, now)


async def test_a_write_lands_after_its_connection_died_at_its_time_and_not_before() -> None:
    async with vendor(Fault("lands_late", delay=90, times=1)) as one:
        refund = one.sandbox.find("taobao", 10)
        await one.lost("GET", f"/open/order/refund/cancel/{refund.refund_id}")
        one.pass_time(89.9)
        assert (one.sandbox.landing, list(one.sandbox.effects)) == (1, [])
        assert await one.status(refund.refund_id) == "10"
        one.pass_time(50)
        assert await one.status(refund.refund_id) == "-20"
        (effect,) = one.sandbox.effects
        assert (effect.key, effect.time) == (refund.refund_id, START + 90)
        assert effect.user_id == one.sandbox.credentials.user_id
        assert (one.sandbox.landing, one.sandbox.log[0].status) == (0, None)
        assert one.sandbox.refund(refund.number).modified_ms == (START + 90) * 1000


async def test_what_lands_late_lands_by_itself_and_in_its_order() -> None:
    async with vendor(
        Fault("lands_late", delay=20, times=1), Fault("lands_late", delay=5, times=1, after=1)
    ) as one:
        for fen in (500, 600):
            body = {**APPLICATION, "applyPayment": fen}
            await one.lost("POST", "/alibaba/refund/detail/create", body)
        assert one.sandbox.landing == 2
        one.pass_time(30)
        assert [effect.time - START for effect in one.sandbox.effects] == [5, 20]
        assert one.sandbox.order(str(ORDER)).lines[1].refund_id == one.sandbox.effects[-1].refund_id


async def test_what_lands_late_may_find_that_it_is_too_late() -> None:
    async with vendor(Fault("lands_late", delay=60, times=1)) as one:
        body = {**APPLICATION, "goodsStatus": "no such state"}
        await one.lost("POST", "/alibaba/refund/detail/create", body)
        one.pass_time(60)
        assert (one.sandbox.landing, list(one.sandbox.effects)) == (0, [])


async def test_neither_a_read_nor_a_wrong_signature_lands_late() -> None:
    async with vendor(Fault("lands_late", delay=60)) as one:
        refund_id = one.sandbox.find("taobao", 10).refund_id
        await one.lost("GET", f"/open/order/refund/query?refundId={refund_id}")
        key = one.sandbox.credentials
        wrong = attrs.evolve(key, access_secret="another")
        await one.lost("GET", f"/open/order/refund/cancel/{refund_id}", who=wrong)
        assert one.sandbox.landing == 0


async def test_reads_show_a_write_late_and_writes_see_it_at_once() -> None:
    async with vendor(visible_after=30) as one:
        refund = one.sandbox.find("taobao", 10)
        assert (await one.cancel(refund.refund_id))["cancelSuccess"] is True
        assert await one.status(refund.refund_id) == "10"
        assert one.sandbox.refund(refund.number).status == -20
        assert (await one.cancel(refund.refund_id))["cancelSuccess"] is False
        one.pass_time(29.9)
        assert await one.status(refund.refund_id) == "10"
        one.pass_time(0.1)
        assert await one.status(refund.refund_id) == "-20"


async def test_a_hidden_form_is_neither_in_its_order_nor_by_itself() -> None:
    async with vendor(visible_after=30) as one:
        refund_id = (await one.apply())["refundId"]
        assert (await one.line())["refundId"] is None
        info = ("POST", "/alibaba/refund/info", {"refundId": refund_id})
        assert await one.data(*info) == 404
        one.pass_time(30)
        assert (await one.line())["refundId"] == refund_id
        assert (await one.data(*info))["applyPayment"] == 500


async def test_lists_lag_as_well() -> None:
    async with vendor(visible_after=30) as one:
        refund = one.sandbox.find("taobao", 10)
        await one.cancel(refund.refund_id)
        path = "/open/order/refund/queryList"

        async def listed() -> bool:
            page = await one.data("POST", path, {"pageNo": 1, "pageSize": 50, "refundStatus": 10})
            ids = [item["refundOrderAggregate"]["refundOrder"]["refundId"] for item in page["list"]]
            return refund.refund_id in ids

        assert await listed()
        one.pass_time(30)
        assert not await listed()


async def test_one_fault_hides_one_write() -> None:
    async with vendor(Fault("visible_late", times=1)) as one:
        first, second = (one.sandbox.find("taobao", 10, skip=skip).refund_id for skip in (0, 1))
        assert (await one.cancel(first))["cancelSuccess"] is True
        await one.cancel(second)
        one.pass_time(59.9)
        assert (await one.status(first), await one.status(second)) == ("10", "-20")
        one.pass_time(0.1)
        assert await one.status(first) == "-20"
        assert one.sandbox.counters.faults == {"visible_late": 1}


async def test_a_lost_answer_and_late_sight_go_together() -> None:
    async with vendor(Fault("reset_after", times=1, visible_after=45)) as one:
        await one.lost("POST", "/alibaba/refund/detail/create", APPLICATION)
        assert len(one.sandbox.effects) == 1
        one.pass_time(44)
        assert (await one.line())["refundId"] is None
        one.pass_time(1)
        assert (await one.line())["refundId"] == one.sandbox.effects[0].refund_id


async def test_a_late_landing_is_hidden_from_its_landing_on() -> None:
    async with vendor(Fault("lands_late", times=1, delay=60, visible_after=30)) as one:
        await one.lost("POST", "/alibaba/refund/detail/create", APPLICATION)
        one.pass_time(89)
        assert (await one.line())["refundId"] is None
        assert len(one.sandbox.effects) == 1
        one.pass_time(1)
        assert (await one.line())["refundId"] is not None


async def test_a_later_change_that_shows_earlier_is_not_undone() -> None:
    async with vendor(Fault("visible_late", times=1, visible_after=100)) as one:
        refund = one.sandbox.find("1688", "waitbuyersend")
        body = {"refundId": refund.refund_id, "logisticsCompanyNo": "SF", "freightBill": "SF1"}
        assert (await one.data("POST", "/alibaba/refund/goods/return", body))["success"] is True
        one.sandbox.advance(refund.number, "refundsuccess")
        for seconds in (0, 200):
            one.pass_time(seconds)
            seen = await one.data("POST", "/alibaba/refund/info", {"refundId": refund.refund_id})
            assert (seen["status"].lower().replace("_", ""), seen["freightBill"]) == ("refundsuccess", "SF1")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 413, 429, 499])
@pytest.mark.parametrize("body", ["html", "envelope", "code", "empty"])
@pytest.mark.parametrize("kind", ["refusal", "refusal_after"])
async def test_a_refusal_says_nothing_about_the_deed(kind: str, body: str, status: int) -> None:
    fault = Fault(kind, times=1, status=status, body=body, retry_after=2)
    async with vendor(fault) as one:
        got, answer = await one.ask("POST", "/alibaba/refund/detail/create", APPLICATION)
        assert got == (200 if body == "code" else status)
        if body == "html":
            assert answer.startswith(f"<html><head><title>{status} ".encode())
        elif body == "empty":
            assert answer == b""
        else:
            assert json.loads(answer)["code"] == status
        entry = one.sandbox.log[0]
        assert (entry.fault, entry.status) == (kind, got)
        assert entry.code == (status if body in ("envelope", "code") else None)
        assert len(one.sandbox.effects) == (kind == "refusal_after")
        assert (await one.apply())["refundId"]


@pytest.mark.parametrize("kind", ["refusal", "refusal_after"])
async def test_a_code_of_its_own_stands_in_the_envelope_or_inside_it(kind: str) -> None:
    inner = Fault(kind, times=1, body="inner")
    named = Fault(kind, times=1, body="code", error_code="gw.QosAppFrequencyLimit")
    nothing = Fault(kind, times=1, body="envelope", status=200)
    async with vendor(inner, named, nothing) as one:
        create = ("POST", "/alibaba/refund/detail/create", APPLICATION)
        assert await one.data(*create) == {
            "success": False,
            "errorCode": "5001",
            "errorInfo": "planted fault",
        }
        assert await one.data(*create) == "gw.QosAppFrequencyLimit"
        assert await one.data(*create) is None
        assert [entry.code for entry in one.sandbox.log] == [200, "gw.QosAppFrequencyLimit", 200]
        assert len(one.sandbox.effects) == 3 * (kind == "refusal_after")


async def test_accounts_share_orders_and_refunds_and_nothing_else() -> None:
    rotated = Credentials("second-key", "second-secret", "2100000000001")
    colleague = Credentials("sandbox-access-key", "sandbox-secret-known-to-all", "2100000000002")
    async with vendor(accounts=[rotated, colleague]) as one:
        refund_id = (await one.apply())["refundId"]
        for who in (rotated, colleague):
            seen = await one.data("POST", "/alibaba/refund/info", {"refundId": refund_id}, who=who)
            assert seen["refundId"] == refund_id
        change = {"id": 5_000_000_000, "quantity": 77}
        assert await one.data("POST", "/alibaba/cart/edit-quantity", change, who=colleague) is True
        assert await one.in_cart(colleague) == 77
        assert await one.in_cart(rotated) == await one.in_cart(one.sandbox.credentials) != 77
        taobao = one.sandbox.find("taobao", 10).refund_id
        assert (await one.cancel(taobao, who=colleague))["cancelSuccess"] is True
        assert (await one.cancel(taobao, who=rotated))["cancelSuccess"] is False
        users = [effect.user_id for effect in one.sandbox.effects if effect.kind in ("create", "cancel")]
        assert users == ["2100000000001", "2100000000002"]
        assert {entry.user_id for entry in one.sandbox.log} == {"2100000000001", "2100000000002"}


async def test_a_user_of_another_key_is_unknown_and_a_key_can_be_revoked() -> None:
    colleague = Credentials("second-key", "second-secret", "2100000000002")
    async with vendor(accounts=[colleague]) as one:
        key, refund_id = one.sandbox.credentials, one.sandbox.find("taobao", 10).refund_id
        mixed = attrs.evolve(key, user_id=colleague.user_id)
        assert await one.cancel(refund_id, who=mixed) == 401
        one.sandbox.admit(mixed)
        one.sandbox.revoke("second-key")
        assert await one.cancel(refund_id, who=colleague) == 401
        assert (await one.cancel(refund_id, who=mixed))["cancelSuccess"] is True
        with pytest.raises(KeyError):
            one.sandbox.revoke("second-key")
        with pytest.raises(ValueError, match="one secret"):
            one.sandbox.admit(attrs.evolve(key, access_secret="another"))


@pytest.mark.parametrize("refused", [False, True])
async def test_a_second_form_of_a_line_is_taken_or_refused(refused: bool) -> None:
    async with vendor(second_form_refused=refused) as one:
        first = (await one.apply())["refundId"]
        second = await one.apply(applyPayment=600)
        assert (second == 5010) is refused
        assert (await one.apply(orderEntryIds=[ORDER + 2]))["refundId"]
        if refused:
            form = next(form for form in one.sandbox.refund_ids("1688") if form == first)
            one.sandbox.advance(_number(one.sandbox, form), "refundclose")
            assert (await one.apply(applyPayment=600))["refundId"]


def _number(sandbox: Sandbox, refund_id: str) -> int:
    numbers = sandbox._upstream.refunds.numbers("1688")
    return next(number for number in numbers if sandbox.refund(number).refund_id == refund_id)


@pytest.mark.parametrize("named", [False, True])
async def test_an_order_names_its_forms_or_has_no_place_for_them(named: bool) -> None:
    async with vendor(orders_name_refunds=named) as one:
        refund_id = (await one.apply())["refundId"]
        line = await one.line()
        assert line.get("refundId") == (refund_id if named else None)
        assert ("refundId" in line) is named


def test_the_new_faults_in_their_short_form() -> None:
    (refusal, late) = parse_faults(
        "refusal_after:0.1:status=429:body=envelope,lands_late:delay=300:visible_after=9"
    )
    assert (refusal.status, refusal.body, refusal.share) == (429, "envelope", 0.1)
    assert (late.delay, late.visible_after, late.hidden_for) == (300, 9, 9)
    for wrong in ("refusal:status=199", "refusal:body=xml", "refusal:status=x"):
        with pytest.raises(ValueError, match=r"status|body"):
            parse_faults(wrong)
    with pytest.raises(ValueError, match="visible_after"):
        Sandbox(visible_after=-1)


changes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 50), st.sampled_from([0, 1, 2, 5, 9])), max_size=12
)


@given(changes, st.lists(st.integers(0, 4), max_size=12))
def test_a_replica_shows_the_newest_change_whose_lag_is_over(
    wanted: list[tuple[int, int, int]], steps: list[int]
) -> None:
    refunds = RefundBook(7, 8)
    replica = Replica(refunds, OrderBook(refunds))
    made: list[tuple[int, int, int]] = []
    now = 0
    for at in range(max(len(wanted), len(steps))):
        if at < len(wanted):
            number, fen, lag = wanted[at]
            changed = attrs.evolve(refunds.get(2 * number), apply_payment=fen)
            replica.hide(changed, now + lag)
            made.append((2 * number, fen, now + lag))
        now += steps[at] if at < len(steps) else 0
        assert replica.catch_up(now) == any(until > now for _, _, until in made)
        book = replica.books[0]
        for number in range(0, 8, 2):
            shown = [fen for one, fen, until in made if one == number and until <= now]
            expected = shown[-1] if shown else refunds.get(number).apply_payment
            assert book.get(number).apply_payment == expected
