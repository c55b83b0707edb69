"""Ids, refunds, ledger and truth: pure functions of the seed."""

from __future__ import annotations

import csv
import io
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.model import parse_moment
from pandapon_async.models.alibaba.refunds import RefundStatus as Status1688
from pandapon_async.models.taobao.refunds import RefundStatus as StatusTaobao
from pandapon_async.sandbox import LEDGER_AS_OF, Sandbox
from pandapon_async.sandbox.ledger import COLUMNS, GHOSTS, _origin, _row, csv_chunks, ledger_rows, truth
from pandapon_async.sandbox.numbering import (
    LARGEST_NUMBER,
    ORDER_1688,
    PURCHASE_ORDER,
    SALES_ORDER,
    number_of,
    platform_of,
    refund_id,
)
from pandapon_async.sandbox.planted import PER_MILLE
from pandapon_async.sandbox.refunds import RefundBook, RefundState, applied_ms, generate, initial_status
from pandapon_async.sandbox.states import MOVES, UNKNOWN, is_open

NUMBERS = st.integers(0, LARGEST_NUMBER)
FIRST_MS = round(parse_moment("2023-07-01 00:00:00").timestamp() * 1000)
AS_OF_MS = round(LEDGER_AS_OF.timestamp() * 1000)
TODAY_MS = 1_715_669_977_082  # any clock from LEDGER_AS_OF on gives the same verdicts


@given(NUMBERS)
def test_a_refund_id_gives_its_number_back(number: int) -> None:
    identifier = refund_id(number)
    assert number_of(identifier) == number
    assert number_of(identifier, platform_of(number)) == number
    assert number_of(identifier, "taobao" if platform_of(number) == "1688" else "1688") is None
    assert identifier.startswith("TQ") == (platform_of(number) == "1688")
    assert identifier.removeprefix("TQ").isdigit()


@given(NUMBERS)
def test_order_ids_give_their_number_back_and_fit_the_wire(number: int) -> None:
    for series in (ORDER_1688, PURCHASE_ORDER, SALES_ORDER):
        assert series.number(series.text(number)) == number
    assert 2**53 < int(ORDER_1688.text(number)) < 2**63


@given(st.text(max_size=24))
def test_no_other_text_is_an_id(text: str) -> None:
    number = number_of(text)
    assert number is None or refund_id(number) == text


@pytest.mark.parametrize(
    "text", ["", "TQ", "TQ0", "TQ1 2", "１１0000235001", "-5", "TQ" + "9" * 30, "0110000235001"]
)
def test_what_is_no_id(text: str) -> None:
    assert number_of(text) is None


@given(st.integers(0, 2**32), st.integers(0, 10**6))
def test_a_refund_is_the_same_every_time_and_makes_sense(seed: int, number: int) -> None:
    refund = generate(seed, number)
    assert refund == generate(seed, number)
    assert refund.status == initial_status(seed, number)
    assert refund.platform == platform_of(number)
    assert refund.apply_payment > 0
    assert 0 <= refund.apply_carriage <= refund.apply_payment
    assert 0 < refund.amount <= refund.apply_payment
    assert refund.applied_ms <= refund.modified_ms
    assert refund.status in MOVES[refund.platform] or refund.status == UNKNOWN[refund.platform]
    assert refund.refund_payment is None or refund.status == "refundsuccess"
    assert refund.applied_ms == applied_ms(seed, number)
    assert FIRST_MS <= refund.applied_ms < FIRST_MS + 45 * 86_400_000
    assert refund.modified_ms < AS_OF_MS


def test_the_days_of_a_ledger_are_spread_over_the_window_and_in_no_order() -> None:
    moments = [applied_ms(7, number) for number in range(2_000)]
    per_day = Counter((moment - FIRST_MS) // 86_400_000 for moment in moments)
    assert set(per_day) == set(range(45))
    assert min(per_day.values()) > 20
    rising = sum(earlier < later for earlier, later in pairwise(moments))
    assert 800 < rising < 1_200


def test_another_seed_gives_other_refunds() -> None:
    assert [generate(1, n).apply_payment for n in range(20)] != [
        generate(2, n).apply_payment for n in range(20)
    ]


def test_a_million_refunds_cost_no_memory() -> None:
    book = RefundBook(7, 1_000_000)
    assert book.find(refund_id(999_999), "taobao") is not None
    assert book.find(refund_id(1_000_000), "1688") is None
    assert book.changed == {}


def verdict(row: dict[str, str], earlier: set[tuple[str, str]], refunds: int, now_ms: int) -> str:
    """The rules of the verdicts, written down once more and on their own."""
    known = {"1688": [s.value for s in Status1688], "taobao": [str(s.value) for s in StatusTaobao]}[
        row["platform"]
    ]
    digits = row["refund_id"].removeprefix("TQ") if row["platform"] == "1688" else row["refund_id"]
    if not (digits.isdigit() and row["amount_fen"].isdigit() and row["status"] in known):
        return "unreadable"
    if (row["platform"], row["refund_id"]) in earlier:
        return "duplicate_local"
    earlier.add((row["platform"], row["refund_id"]))
    number = number_of(row["refund_id"], row["platform"])
    if number is None or number >= refunds:
        return "missing_upstream"
    refund: RefundState = generate(7, number)
    if str(refund.status) not in known:
        return "unknown_status"
    if row["currency"] != "CNY":
        return "currency_mismatch"
    if int(row["amount_fen"]) != refund.amount:
        return "amount_mismatch"
    if row["status"] != str(refund.status):
        return "status_drift"
    overdue = refund.deadline_ms is not None and refund.deadline_ms < now_ms
    return "timed_out" if is_open(refund.platform, refund.status) and overdue else "matched"


@pytest.mark.parametrize("now_ms", [AS_OF_MS, TODAY_MS])
def test_the_truth_is_what_the_rules_say_about_every_row(now_ms: int) -> None:
    rows, earlier = 4_000, set[tuple[str, str]]()
    judged = [verdict(row, earlier, rows, now_ms) for row in ledger_rows(7, rows)]
    assert judged == list(truth(7, rows))
    assert set(judged) == {"matched", *PER_MILLE}


def test_the_planted_shares_are_about_right() -> None:
    rows = 20_000
    counted = Counter(truth(7, rows))
    for kind, per_mille in PER_MILLE.items():
        assert 0.7 < counted[kind] / (rows * per_mille / 1000) < 1.3, kind
    platforms = Counter(row["platform"] for row in ledger_rows(7, 2_000))
    assert 900 < platforms["1688"] < 1_100


def test_a_missing_refund_keeps_its_platform() -> None:
    assert platform_of(GHOSTS + 4) == "1688"
    assert platform_of(GHOSTS + 5) == "taobao"


def test_the_csv_holds_the_rows_and_comes_in_pieces() -> None:
    for rows, pieces in ((0, 1), (3, 1), (1_000, 2), (1_001, 3)):
        chunks = list(csv_chunks(7, rows))
        assert len(chunks) == pieces
        reader = csv.DictReader(io.StringIO("".join(chunks), newline=""))
        assert list(reader) == list(ledger_rows(7, rows))
        assert tuple(reader.fieldnames or ()) == COLUMNS


def test_a_shorter_ledger_is_the_start_of_a_longer_one() -> None:
    sandbox = Sandbox(refunds=300, seed=11)
    assert list(sandbox.ledger_rows(100)) == list(sandbox.ledger_rows())[:100]
    assert list(sandbox.truth(100)) == list(sandbox.truth())[:100]
    assert list(sandbox.truth()) == list(Sandbox(refunds=300, seed=11).truth())
    assert list(sandbox.truth()) != list(Sandbox(refunds=300, seed=12).truth())
    with pytest.raises(ValueError, match="from 0 to 300"):
        sandbox.ledger_rows(301)


def test_a_repeated_row_of_the_ledger_repeats_one_that_can_be_read() -> None:
    assert _origin(7, 0, 0) is None, "the first row has nothing before it to repeat"
    for index in range(200):
        row, _ = _row(7, index)
        assert row["refund_id"]
