"""The rule: exactly one verdict for anything, and a failed lookup is neither missing nor matched."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.model import BEIJING
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    ConnectionLostError,
    DeadlineExceededError,
    DecodeError,
    NotFoundError,
    RateLimitError,
)
from pandapon_async.models.alibaba import refunds as alibaba
from pandapon_async.models.taobao import refunds as taobao
from pandapon_async.money import Fen
from pandapon_async.reconcile.lookup import lookup_of_answer, lookup_of_error
from pandapon_async.reconcile.options import AmountBasis
from pandapon_async.reconcile.statuses import (
    is_known,
    is_open,
    status_of_ledger,
    status_of_platform,
    succeeded,
)
from pandapon_async.reconcile.summary import Totals
from pandapon_async.reconcile.verdict import (
    Judgement,
    LedgerRow,
    Lookup,
    Outcome,
    Verdict,
    VerdictRule,
    judge,
)

AS_OF = datetime(2024, 5, 31, 12, tzinfo=BEIJING)
RULE = VerdictRule(as_of=AS_OF)
PAST = (AS_OF - timedelta(seconds=1)).isoformat()
FUTURE = (AS_OF + timedelta(days=9)).isoformat()


def row(**facts: Any) -> LedgerRow:
    plain = {"row": 2, "platform": "1688", "refund_id": "TQ1", "amount_fen": 100, "currency": "CNY"}
    return LedgerRow(**{**plain, "status": "waitselleragree", **facts})


def found(**facts: Any) -> Lookup:
    return Lookup(
        **{
            "outcome": Outcome.FOUND,
            "status": "waitselleragree",
            "applied_fen": 100,
            "currency": "CNY",
            **facts,
        }
    )


def verdict(ledger: LedgerRow, lookup: Lookup | None, rule: VerdictRule = RULE) -> str:
    return str(judge(ledger, lookup, rule).verdict)


@pytest.mark.parametrize(
    ("ledger", "lookup", "expected"),
    [
        (row(), found(), "matched"),
        (row(), found(deadline=FUTURE), "matched"),
        (row(), found(deadline=PAST), "timed_out"),
        (row(status=None), found(deadline=PAST), "timed_out"),
        (row(status="refundclose"), found(status="refundclose", deadline=PAST), "matched"),
        (row(status="refundclose"), found(deadline=PAST), "status_drift"),
        (row(amount_fen=99, status="refundclose"), found(deadline=PAST), "amount_mismatch"),
        (row(), found(applied_fen=None), "amount_mismatch"),
        (row(amount_fen=1, currency="USD"), found(status="refundclose"), "currency_mismatch"),
        (row(), found(currency="USD"), "currency_mismatch"),
        (row(), found(currency=None), "matched"),
        (row(currency="USD"), found(status="novel"), "unknown_status"),
        (row(status="novel"), found(status="novel"), "unknown_status"),
        (row(status="whatever"), found(), "unknown_status"),
        (row(), found(status=None), "unknown_status"),
        (row(), Lookup(outcome=Outcome.MISSING), "missing_upstream"),
        (row(), Lookup(outcome=Outcome.FAILED, error="lookup failed: RateLimitError"), "unverified"),
        (row(), None, "unverified"),
        (row(duplicate_of=1), found(), "duplicate_local"),
        (row(duplicate_of=1, problem="no amount"), found(), "unreadable"),
        (row(platform=None), None, "unreadable"),
    ],
)
def test_verdicts(ledger: LedgerRow, lookup: Lookup | None, expected: str) -> None:
    assert verdict(ledger, lookup) == expected


def test_the_reason_names_everything_that_is_wrong() -> None:
    judged = judge(row(amount_fen=90, status="waitbuyersend"), found(deadline=PAST), RULE)
    assert judged.reason == "upstream differs by +10 fen; the status differs; still open past its deadline"
    assert judged.past_deadline


@pytest.mark.parametrize(
    ("basis", "status", "applied", "refunded", "counted"),
    [
        (AmountBasis.ACTUAL, "waitselleragree", 100, None, 100),
        (AmountBasis.ACTUAL, "waitselleragree", 100, 80, 100),
        (AmountBasis.ACTUAL, "refundsuccess", 100, 80, 80),
        (AmountBasis.ACTUAL, "refundsuccess", 100, 0, 0),
        (AmountBasis.ACTUAL, "refundsuccess", 100, None, 100),
        (AmountBasis.ACTUAL, "refundclose", 100, 80, 100),
        (AmountBasis.APPLIED, "refundsuccess", 100, 80, 100),
        (AmountBasis.REFUNDED, "waitselleragree", 100, None, None),
        (AmountBasis.REFUNDED, "refundsuccess", 100, 80, 80),
    ],
)
def test_which_amount_counts(
    basis: AmountBasis, status: str, applied: int, refunded: int | None, counted: int | None
) -> None:
    lookup = found(status=status, applied_fen=applied, refunded_fen=refunded)
    judged = judge(row(status=status, amount_fen=80), lookup, VerdictRule(as_of=AS_OF, basis=basis))
    assert judged.upstream_fen == counted
    assert (judged.verdict is Verdict.MATCHED) == (counted == 80)
    on_taobao = judge(
        row(platform="taobao", status="100"), found(status="100"), VerdictRule(as_of=AS_OF, basis=basis)
    )
    assert on_taobao.verdict is Verdict.MATCHED


def test_tolerance() -> None:
    rule = VerdictRule(as_of=AS_OF, tolerance_fen=2)
    assert [verdict(row(amount_fen=amount), found(), rule) for amount in (97, 98, 102, 103)] == [
        "amount_mismatch",
        "matched",
        "matched",
        "amount_mismatch",
    ]


@pytest.mark.parametrize(
    ("lookup_since", "ledger_since", "age"),
    [
        ("2024-05-30T12:00:01+08:00", None, 0),
        ("2024-05-21T12:00:00+08:00", "2024-01-01T00:00:00+08:00", 10),
        (None, "2024-05-29T00:00:00", 2),
        ("2025-01-01T00:00:00+08:00", None, 0),
        (None, None, None),
    ],
)
def test_age(lookup_since: str | None, ledger_since: str | None, age: int | None) -> None:
    judged = judge(row(applied_at=ledger_since), found(applied_at=lookup_since), RULE)
    assert (judged.open, judged.age_days) == (True, age)


states = st.sampled_from([None, "waitselleragree", "refundsuccess", "refundclose", "100", "-20", "10", "?"])
amounts = st.none() | st.integers(-5, 5)
moments = st.sampled_from([None, PAST, FUTURE])
ledger_rows = st.builds(
    LedgerRow,
    row=st.integers(1, 9),
    platform=st.sampled_from([None, "1688", "taobao"]),
    amount_fen=amounts,
    currency=st.sampled_from([None, "CNY", "USD"]),
    status=states,
    applied_at=moments,
    problem=st.sampled_from([None, None, None, "no amount"]),
    duplicate_of=st.sampled_from([None, None, None, 1]),
)
lookups = st.none() | st.builds(
    Lookup,
    outcome=st.sampled_from(Outcome),
    status=states,
    applied_fen=amounts,
    refunded_fen=amounts,
    currency=st.sampled_from([None, "CNY", "USD"]),
    deadline=moments,
    applied_at=moments,
)
rules = st.builds(
    VerdictRule, as_of=st.just(AS_OF), basis=st.sampled_from(AmountBasis), tolerance_fen=st.integers(0, 2)
)


@given(ledger_rows, lookups, rules)
def test_the_rule_is_total_and_follows_the_law(
    ledger: LedgerRow, lookup: Lookup | None, rule: VerdictRule
) -> None:
    judged = judge(ledger, lookup, rule)
    if ledger.problem or ledger.platform is None:
        assert judged.verdict is Verdict.UNREADABLE
    elif ledger.duplicate_of is not None:
        assert judged.verdict is Verdict.DUPLICATE_LOCAL
    elif lookup is None or lookup.outcome is Outcome.FAILED:
        assert judged.verdict is Verdict.UNVERIFIED
    elif lookup.outcome is Outcome.MISSING:
        assert judged.verdict is Verdict.MISSING_UPSTREAM
    else:
        assert judged.verdict not in (Verdict.UNVERIFIED, Verdict.MISSING_UPSTREAM, Verdict.UNREADABLE)
    if judged.verdict is Verdict.MATCHED:
        assert lookup is not None
        assert ledger.status in (None, lookup.status)
        assert ledger.amount_fen is not None
        assert judged.upstream_fen is not None
        assert abs(ledger.amount_fen - judged.upstream_fen) <= rule.tolerance_fen
    assert bool(judged.reason) == (judged.verdict is not Verdict.MATCHED)


@given(st.lists(st.tuples(ledger_rows, lookups), max_size=30))
def test_totals_add_up(pairs: list[tuple[LedgerRow, Lookup | None]]) -> None:
    totals = Totals()
    for ledger, lookup in pairs:
        totals.add(ledger, lookup, judge(ledger, lookup, RULE))
    totals.check(len(pairs))
    assert sum(totals.verdicts.values()) == len(pairs)
    with pytest.raises(AssertionError, match="rows were read, but"):
        totals.check(len(pairs) + 1)


def test_amounts_of_two_currencies_are_not_added() -> None:
    totals = Totals()
    totals.add(row(currency="USD"), found(), Judgement(verdict=Verdict.CURRENCY_MISMATCH, upstream_fen=100))
    assert totals.currencies["USD"][Verdict.CURRENCY_MISMATCH].upstream_fen == 0


# Statuses


@pytest.mark.parametrize(
    ("platform", "text", "state"),
    [
        ("1688", "WAIT_SELLER_AGREE", "waitselleragree"),
        ("1688", "waitSellerAgree", "waitselleragree"),
        ("1688", "REFUND_CLOSED", "refundclose"),
        ("1688", "退款成功", "refundsuccess"),
        ("1688", "等待买家退货", "waitbuyersend"),
        ("1688", "100", "100"),
        ("taobao", "100", "100"),
        ("taobao", "+100", "100"),
        ("taobao", "-20", "-20"),
        ("taobao", "退款关闭", "-20"),
        ("taobao", "卖家已同意，等待买家退货", "卖家已同意，等待买家退货"),
        ("taobao", "AWAITING_RETURN", "20"),
        ("taobao", "refundsuccess", "refundsuccess"),
    ],
)
def test_status_words(platform: Any, text: str, state: str) -> None:
    assert status_of_ledger(platform, text, {}) == state


def test_status_map_is_per_platform() -> None:
    words = {"done": ("100", "refundsuccess"), "odd": ("nonsense",)}
    assert status_of_ledger("1688", "done", words) == "refundsuccess"
    assert status_of_ledger("taobao", "done", words) == "100"
    assert status_of_ledger("taobao", "odd", words) == "odd"


def test_states() -> None:
    assert is_open("1688", "waitbuyersend")
    assert not is_open("1688", "refundsuccess")
    assert not is_open("taobao", "novel")
    assert not is_open("taobao", None)
    assert is_open("taobao", "-10")  # refused: the buyer may still change the request
    assert succeeded("taobao", "100")
    assert not is_known("1688", "100")
    assert status_of_platform(taobao.RefundStatus.CLOSED) == "-20"
    assert status_of_platform(alibaba.RefundStatus.REFUND_CLOSE) == "refundclose"
    assert status_of_platform("a\n b") == "a b"
    assert status_of_platform(77) == "77"
    assert status_of_platform(None) is None


# Answers


def refund_1688(**facts: Any) -> alibaba.Refund:
    refund = alibaba.Refund(**dict.fromkeys(alibaba.Refund.__annotations__))
    for name, value in facts.items():
        setattr(refund, name, value)
    return refund


def test_facts_of_a_1688_answer() -> None:
    moment = datetime(2024, 5, 1, tzinfo=BEIJING)
    answer = refund_1688(
        refund_id="TQ1",
        status=alibaba.RefundStatus.WAIT_SELLER_AGREE,
        apply_payment=Fen(5),
        refund_payment=Fen(-1),
        gmt_time_out=moment,
        gmt_create=moment,
    )
    assert lookup_of_answer("TQ1", answer) == Lookup(
        outcome=Outcome.FOUND,
        status="waitselleragree",
        applied_fen=5,
        refunded_fen=None,
        currency="CNY",
        deadline="2024-05-01T00:00:00+08:00",
        applied_at="2024-05-01T00:00:00+08:00",
    )
    answer.time_out_freeze, answer.gmt_apply = True, datetime(2024, 4, 30, tzinfo=BEIJING)
    later = lookup_of_answer("TQ1", answer)
    assert (later.deadline, later.applied_at) == (None, "2024-04-30T00:00:00+08:00")
    other = lookup_of_answer("TQ2", answer)
    assert (other.outcome, other.error) == (Outcome.FAILED, "the answer was about another refund")
    nothing = lookup_of_answer("TQ1", refund_1688())
    assert (nothing.outcome, nothing.error) == (Outcome.FAILED, "the answer is empty")
    for facts in ({"apply_payment": Fen(5)}, {"status": alibaba.RefundStatus.REFUND_CLOSE}):
        assert lookup_of_answer("TQ1", refund_1688(**facts)).outcome is Outcome.FOUND
    unseen = lookup_of_answer("TQ1", refund_1688(refund_id="TQ1", problems=("applyPayment",)))
    assert (unseen.outcome, unseen.problems) == (Outcome.FAILED, "applyPayment")
    assert unseen.error == "cannot be seen: applyPayment has another type than expected"


def test_facts_of_a_taobao_answer() -> None:
    empty = taobao.RefundDetail(currency=None, distributor_id=None, refund_order_aggregate=None)
    nothing = lookup_of_answer("1", empty)
    assert (nothing.outcome, nothing.error) == (Outcome.FAILED, "the answer is empty")
    order = taobao.RefundOrder(**dict.fromkeys(taobao.RefundOrder.__annotations__))
    order.refund_id, order.refund_fee, order.refund_status = "12", Fen(7), taobao.RefundStatus.SUCCESS
    order.timeout_date = datetime(2024, 5, 1)
    aggregate = taobao.RefundAggregate(logistics=None, purchase_order_line=None, refund_order=order)
    detail = taobao.RefundDetail(currency=" cny", distributor_id=None, refund_order_aggregate=aggregate)
    assert lookup_of_answer("12", detail) == Lookup(
        outcome=Outcome.FOUND,
        status="100",
        applied_fen=7,
        currency="CNY",
        deadline="2024-05-01T00:00:00+08:00",
    )
    assert lookup_of_answer("13", detail).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("error", "outcome", "retryable", "text"),
    [
        (NotFoundError("gone", code=404), Outcome.MISSING, False, None),
        (
            RateLimitError("too many (HTTP 429)"),
            Outcome.FAILED,
            True,
            "lookup failed: throttled",
        ),
        (ConnectionLostError("lost"), Outcome.FAILED, True, "lookup failed: the connection was lost"),
        (DeadlineExceededError("late"), Outcome.FAILED, True, "lookup failed: no answer in time"),
        (
            DecodeError("odd", data={"sellerMobile": "13800000000"}),
            Outcome.FAILED,
            False,
            "lookup failed: the answer is not as documented",
        ),
        (
            ApiError("no", code=500, msg="李四 13800000000"),
            Outcome.FAILED,
            False,
            "lookup failed: refused with code 500",
        ),
        (AuthenticationError("no"), Outcome.FAILED, False, "lookup failed: authentication"),
        (RuntimeError("13800000000"), Outcome.FAILED, False, "lookup failed: RuntimeError in this program"),
    ],
)
def test_facts_of_a_failure(error: Exception, outcome: Outcome, retryable: bool, text: str | None) -> None:
    lookup = lookup_of_error(error)
    assert (lookup.outcome, lookup.retryable, lookup.error) == (outcome, retryable, text)
