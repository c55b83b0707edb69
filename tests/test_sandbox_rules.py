"""Rate, nonces, argument checks and the rules of faults, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Credentials
from pandapon_async.api.registry import endpoints
from pandapon_async.sandbox import Fault, Sandbox, chaos, parse_faults
from pandapon_async.sandbox.checks import AuthChecker, argument_check
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.faults import FaultKind, FaultPlan
from pandapon_async.sandbox.rate import Arrivals, SlidingWindow
from pandapon_async.sandbox.routes import Routes


@given(st.integers(1, 8), st.lists(st.integers(0, 400), max_size=80))
def test_no_sliding_second_admits_more_than_the_rate(rate: int, gaps: list[int]) -> None:
    window, arrivals = SlidingWindow(rate), Arrivals()
    now, admitted, seen = 0, [], []
    for gap in gaps:
        now += gap
        seen.append(now)
        arrivals.note(now / 1024)
        if window.admit(now / 1024) is None:
            admitted.append(now)
        else:  # refused only because the last second was full
            assert len([one for one in admitted if one > now - 1024]) == rate
    for start in admitted:
        assert len([one for one in admitted if start <= one < start + 1024]) <= rate
    assert arrivals.most == max((len([o for o in seen if s <= o < s + 1024]) for s in seen), default=0)


def test_a_refusal_says_how_long_and_does_not_count_itself() -> None:
    window = SlidingWindow(2)
    assert [window.admit(at) for at in (0.0, 0.25)] == [None, None]
    assert window.admit(0.5) == 0.5
    assert window.admit(0.999) is not None
    assert window.admit(1.0) is None
    assert window.admit(1.125) == 0.125
    assert window.admit(1.25) is None


def test_a_rate_below_one_is_one_in_a_longer_window() -> None:
    window = SlidingWindow(0.5)
    assert window.admit(0.0) is None
    assert window.admit(1.5) == 0.5
    assert window.admit(2.0) is None
    with pytest.raises(ValueError, match="above 0"):
        SlidingWindow(0)


def test_nonces_are_kept_for_two_windows_and_forgotten_after_four() -> None:
    door = AuthChecker([Credentials("key", "secret", "user")], 200)
    assert not door.is_repeated("a", 0.0)
    assert door.is_repeated("a", 1_199.0)
    for step in range(1, 40):
        assert not door.is_repeated(f"n{step}", 1_200.0 * step)
    assert len(door._young) + len(door._old) <= 2
    assert not door.is_repeated("a", 1_200.0 * 40)


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 5)), max_size=60))
def test_a_nonce_of_the_last_two_windows_is_always_known(steps: list[tuple[int, int]]) -> None:
    door = AuthChecker([Credentials("key", "secret", "user")], 200)
    now, last = 0, dict[int, int]()
    for gap, nonce in steps:
        now += gap
        repeated = door.is_repeated(str(nonce), now)
        first = last.get(nonce)
        if first is None:
            assert not repeated
        elif now - first < 1_200:
            assert repeated
        if not repeated:
            last[nonce] = now


ARGUMENTS: dict[str, Any] = {
    "orderId": 2542285634920880794,
    "orderEntryIds": [1],
    "disputeRequest": "refund",
    "applyPayment": 100,
    "applyCarriage": 0,
    "applyReasonId": 20022,
    "description": "broken",
    "goodsStatus": "refundBuyerReceived",
}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, None),
        ({"vouchers": None, "unknown": 1}, None),
        ({"orderId": None}, "orderId: is required"),
        ({"orderId": "1"}, "orderId: must be an integer"),
        ({"orderId": True}, "orderId: must be an integer"),
        ({"orderId": 2**63 - 1}, None),
        ({"orderId": 2**63}, "orderId: must be an integer of 64 bits"),
        ({"applyPayment": 1.5}, "applyPayment: must be an integer"),
        ({"orderEntryIds": 1}, "orderEntryIds: must be an array"),
        ({"orderEntryIds": [1, "2"]}, "orderEntryIds: item 1: must be an integer"),
        ({"description": 7}, "description: must be a string"),
        ({"orderEntryCountList": [{"id": 1}]}, "orderEntryCountList: item 0: count: is required"),
        ({"orderEntryCountList": ["x"]}, "orderEntryCountList: item 0: must be an object"),
    ],
)
def test_arguments_are_checked_against_the_declaration(changes: dict[str, Any], wrong: str | None) -> None:
    check = argument_check(endpoints()["v1.alibaba.refunds.create"])
    if wrong is None:
        check({**ARGUMENTS, **changes}, {})
    else:
        with pytest.raises(Refusal) as refusal:
            check({**ARGUMENTS, **changes}, {})
        assert (refusal.value.code, refusal.value.msg) == (400, wrong)


def test_texts_of_path_and_query_are_read_in_the_declared_kind() -> None:
    given_arguments: dict[str, Any] = {}
    check = argument_check(endpoints()["v1.taobao.refunds.page"])
    given = {"pageNo": "2", "pageSize": "5", "refundStatus": "-20", "refundId": "110000235001"}
    check(given_arguments, given)
    assert given_arguments == {"pageNo": 2, "pageSize": 5, "refundStatus": -20, "refundId": "110000235001"}
    for text in ("two", "1.0", "٢", "--2", "9" * 21, str(2**63)):
        with pytest.raises(Refusal, match="pageNo: must be an integer"):
            check({}, {**given, "pageNo": text})


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[{"itemId": "1"}]', None),
        ("[", "must be JSON text"),
        ("{}", "must be an array"),
        ('[{"skuIds": []}]', "item 0: itemId: is required"),
        ('[{"itemId": 1}]', "item 0: itemId: must be a string"),
        ([], "must be a string"),
    ],
)
def test_text_that_holds_json_is_looked_into(text: Any, wrong: str | None) -> None:
    check = argument_check(endpoints()["v1.taobao.goods.get_batch"])
    if wrong is None:
        check({"params": text}, {})
    else:
        with pytest.raises(Refusal) as refusal:
            check({"params": text}, {})
        assert refusal.value.msg == f"params: {wrong}"


def test_every_declared_call_has_a_route() -> None:
    routes = Routes(endpoints())
    for name, endpoint in endpoints().items():
        route, texts, known = routes.find(endpoint.method, endpoint.path.replace("{", "").replace("}", ""))
        assert route is not None
        assert known
        assert route.endpoint.path == endpoint.path, name
        assert set(texts) == {p.wire for p in endpoint.parameters if p.location == "path"}


def test_a_path_is_matched_before_it_is_decoded() -> None:
    routes = Routes(endpoints())
    assert routes.find("GET", "/open/order/refund/cancel/1%2F2")[1] == {"refundId": "1/2"}
    assert routes.find("GET", "/open/order/refund/cancel/1/2") == (None, {}, False)
    assert routes.find("POST", "/open/order/refund/cancel/1") == (None, {}, True)
    assert routes.find("GET", "/alibaba/refund/info") == (None, {}, True)


def kinds(plan: FaultPlan, numbers: range, name: str | None = "v1.x") -> list[str | None]:
    chosen = [plan.choose(number, (name,) if name else ()) for number in numbers]
    return [None if fault is None else fault.kind.value for fault in chosen]


def test_shares_add_up_and_the_choice_follows_from_seed_and_number() -> None:
    faults = (Fault("reset_after", 0.05), Fault("latency", 0.2))
    first, again = kinds(FaultPlan(faults, 1), range(8_000)), kinds(FaultPlan(faults, 1), range(8_000))
    assert first == again
    assert first != kinds(FaultPlan(faults, 2), range(8_000))
    assert 0.04 < first.count("reset_after") / 8_000 < 0.06
    assert 0.18 < first.count("latency") / 8_000 < 0.22


def test_times_after_and_endpoint_bound_a_rule() -> None:
    rules = (Fault("refuse", times=1, after=2, endpoint="v1.*"), Fault("truncated", times=2))
    plan = FaultPlan(rules, 3)
    assert kinds(plan, range(2), "v2.x") == ["truncated", "truncated"]
    assert kinds(plan, range(5), "v1.x") == [None, None, "refuse", None, None]
    assert kinds(FaultPlan([Fault("refuse", endpoint="v1.*")], 3), range(2), None) == [None, None]


def test_a_pattern_may_name_the_generation_or_leave_it_out() -> None:
    names = ("alibaba.refunds.get", "v2.alibaba.refunds.get")
    for pattern, meant in (("*.refunds.get", True), ("v2.*", True), ("alibaba.*", True), ("v1.*", False)):
        fault = FaultPlan([Fault("refuse", endpoint=pattern)], 3).choose(1, names)
        assert (fault is not None) is meant, pattern


def test_no_rules_no_faults() -> None:
    assert FaultPlan((), 1).choose(1, ("x", "v1.x")) is None


def test_the_short_form_reads_every_setting() -> None:
    text = "reset_after:0.05, throttle_429:0.01:retry_after=0.2,"
    text += "latency:share=0.5:delay=2:endpoint=v1.*:times=3:after=1"
    assert parse_faults(text) == (
        Fault(FaultKind.RESET_AFTER, 0.05),
        Fault(FaultKind.THROTTLE_429, 0.01, retry_after=0.2),
        Fault(FaultKind.LATENCY, 0.5, delay=2.0, endpoint="v1.*", times=3, after=1),
    )
    assert parse_faults("refuse") == (Fault("refuse"),)
    assert parse_faults("") == ()
    assert parse_faults("chaos:0.2,refuse:0.1") == (*chaos(0.2), Fault("refuse", 0.1))
    assert parse_faults("chaos") == chaos()


def test_chaos_spreads_its_share() -> None:
    assert sum(fault.share for fault in chaos(0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("resets:0.1", "unknown fault resets; known: chaos, latency"),
        ("refuse:often", "share of a fault must be a number"),
        ("refuse:0.1:often=2", "unknown setting often"),
        ("refuse:1.5", "from 0 to 1"),
        ("chaos:lots", "share of a fault must be a number"),
    ],
)
def test_a_wrong_short_form_says_what_would_be_right(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_faults(text)


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("refunds", "50", "refunds is '50'; it takes a whole number"),
        ("refunds", True, "refunds is True"),
        ("seed", "x", "seed is 'x'"),
        ("rate", "20", "it takes a number of calls per second, or None"),
        ("not_found", "nope", "not_found is 'nope'; it takes 'code', 'null', 'empty'"),
        ("freight", "nope", "freight is 'nope'; it takes 'added', 'included', None"),
        ("auth_status", "401", "auth_status is '401'"),
        ("visible_after", -1, "visible_after must be 0 or more seconds"),
        ("visible_after", float("nan"), "visible_after must be 0 or more seconds"),
        ("lists", "x", "it takes a ListShape"),
        ("profile", {}, "it takes a VendorProfile"),
        ("accounts", "x", "accounts takes Credentials only"),
        ("accounts", ["x"], "accounts takes Credentials only"),
        ("faults", 5, "faults is 5; it takes a text"),
        ("faults", ["reset_after:1.0"], "faults has 'reset_after:1.0' in a list of Fault"),
        ("faults", [Fault("reset_after", endpoint="*.retun_goods")], "'.*retun_goods' of a fault matches no"),
        ("faults", "reset_after:1:endpoint=nope", "'nope' of a fault matches no call"),
    ],
)
def test_an_argument_that_would_be_ignored_is_refused(argument: str, value: object, told: str) -> None:
    """A fault that is never played, or a word that means nothing, makes a user's test prove nothing."""
    with pytest.raises(ValueError, match=told):
        Sandbox(**{argument: value})  # type: ignore[arg-type]
