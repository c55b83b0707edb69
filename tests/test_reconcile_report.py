"""Page and workbook: the most money first, nothing lost in silence, nothing that runs, exact to the fen."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandapon_async.errors import ConfigurationError, InvalidArgumentError
from pandapon_async.plain_text import visible
from pandapon_async.reconcile import Options
from pandapon_async.reconcile.attention import AttentionList, AttentionRow, at_stake_fen
from pandapon_async.reconcile.explain import action, money, moneys, reason
from pandapon_async.reconcile.options import Language
from pandapon_async.reconcile.outputs import FILES
from pandapon_async.reconcile.report import HTML_BYTES, Report
from pandapon_async.reconcile.report_script import SCRIPT, SCRIPT_HASH
from pandapon_async.reconcile.summary import Summary, Totals
from pandapon_async.reconcile.verdict import (
    Judgement,
    LedgerRow,
    Lookup,
    Outcome,
    Verdict,
    VerdictRule,
    judge,
)
from pandapon_async.reconcile.words import Words, language_of, words_of
from pandapon_async.reconcile.workbook import write_workbook
from tests.support.examples import examples

LANGUAGES = get_args(Language)
EN = words_of("en")
RULE = VerdictRule(as_of=datetime(2024, 5, 31, 4, tzinfo=UTC))

XSS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "'-alert(1)-'",
    "</td></tr></table><script>alert(1)</script>", "javascript:alert(1)", "<iframe src=//evil.example>",
    "</style><script>alert(1)</script>", "</script><script>alert(1)</script>", "<!--<script>", "&lt;b&gt;",
    "<a href=//evil.example>x</a>", "\u202e<b>\u2066", "<base href=//evil.example/>",
)  # fmt: skip
FORMULAS = (
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("http://evil.example","x")',
    "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "＝1+1", "＋1+1", "－1+1", "＠SUM(1)", "\u200b=1+1", "\ufeff=1+1",
    "\xa0=1+1", "\u3000=1+1", '=DDE("a";"b";"c")', "-2+3+cmd|' /C calc'!D2", '=IMPORTXML("//x","a")', "--1",
    "+-1", "\x00=1+1", "\x1b=1", "\u2060+1", '="a"&"b"', "%0A=1+1",
)  # fmt: skip


def ledger_row(number: int = 2, **facts: Any) -> LedgerRow:
    return LedgerRow(
        **{"row": number, "platform": "1688", "refund_id": f"TQ{number}", "currency": "CNY", **facts}
    )


def found(**facts: Any) -> Lookup:
    return Lookup(**{"outcome": Outcome.FOUND, "status": "refundsuccess", "currency": "CNY", **facts})


def seen(row: LedgerRow, lookup: Lookup | None) -> AttentionRow:
    return AttentionRow.of(row, lookup, judge(row, lookup, RULE), RULE.as_of)


def summary(*rows: AttentionRow, matched: int = 0) -> Summary:
    totals = Totals()
    for one in rows:
        totals.add(one.row, one.lookup, one.judgement)
    for at in range(matched):
        totals.add(ledger_row(10**6 + at), None, Judgement(verdict=Verdict.MATCHED))
    ledger = {
        "name": "<b>五月.csv", "sha256": "s", "format": "csv", "columns": {"amount": "<i>"},
        "amount_unit": "fen", "encoding": "utf-8", "rows": totals.rows, "blank_lines": 0,
    }  # fmt: skip
    run = {
        "finished_at": "2024-05-31T04:00:00+00:00", "seconds": 7201.0, "calls": 1234, "attempts": 1300,
        "retried": 66, "throttled": 5, "failed": 1, "lookups": 1, "lookups_before": 0, "second_pass": 0,
    }  # fmt: skip
    return Summary(
        ledger=ledger,
        as_of="2024-05-31T12:00:00+08:00",
        options={"amount_basis": "actual", "tolerance_fen": 0},
        inferred=("no <currency>",),
        totals=totals,
        rows_digest="d",
        run=run,
    )


def listed(*rows: AttentionRow, limit: int = 20_000) -> AttentionList:
    made = AttentionList(limit)
    for row in rows:
        made.add(row)
    return made


def page(*rows: AttentionRow, words: Words = EN, limit: int = 20_000, matched: int = 0) -> str:
    return "".join(Report(summary(*rows, matched=matched), listed(*rows, limit=limit), words).pieces())


def workbook(*rows: AttentionRow, words: Words = EN, limit: int = 20_000) -> io.BytesIO:
    file = io.BytesIO()
    write_workbook(file, summary(*rows), listed(*rows, limit=limit), words, FILES["report.xlsx"].words)
    return file


class Checker(HTMLParser):
    """The elements of a page, what it refers to, its cells and its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.scripts: list[str] = []
        self._in = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._in = "script" if tag == "script" else self._in
        if tag == "tr":
            self.rows.append([])
        elif tag == "td" and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag == "script" else self._in

    def handle_data(self, data: str) -> None:
        if self._in:
            self.scripts.append(data)
        elif self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


# What is at stake, and in which order


@pytest.mark.parametrize(
    ("row", "lookup", "stake"),
    [
        ({"amount_fen": 500}, found(applied_fen=300), 200),
        ({"amount_fen": 500, "status": "refundclose"}, found(applied_fen=300), 500),
        ({"amount_fen": 500, "status": "refundclose"}, found(applied_fen=700), 700),
        ({"amount_fen": 500, "status": "refundclose"}, found(applied_fen=500), 500),
        ({"amount_fen": -500}, found(applied_fen=300), 800),
        ({"amount_fen": 500}, found(), 500),
        ({"amount_fen": 500, "currency": "USD"}, found(applied_fen=90_000), 500),
        ({"amount_fen": 500}, found(refunded_fen=400, refunded_freight_fen=100), 100),
        ({"amount_fen": 500}, Lookup(outcome=Outcome.MISSING), 500),
        ({"amount_fen": 500}, Lookup(outcome=Outcome.FAILED), 500),
        ({"amount_fen": 500, "duplicate_of": 1}, None, 500),
        ({"problem": "no amount"}, None, None),
        ({"amount_fen": 500}, found(applied_fen=500), 0),
    ],
)
def test_the_money_at_stake(row: dict[str, Any], lookup: Lookup | None, stake: int | None) -> None:
    made = ledger_row(**row)
    assert at_stake_fen(made, lookup, judge(made, lookup, RULE)) == stake


@given(st.lists(st.none() | st.integers(0, 9), max_size=30), st.integers(0, 12))
def test_the_most_money_first_and_what_is_left_out_counted(stakes: list[int | None], limit: int) -> None:
    rows = [
        AttentionRow(
            ledger_row(at, amount_fen=stake), None, Judgement(verdict=Verdict.UNREADABLE), stake, RULE.as_of
        )
        for at, stake in enumerate(stakes)
    ]
    kept = listed(*rows, limit=limit)
    order = sorted(rows, key=lambda one: (one.stake_fen is None, -(one.stake_fen or 0), one.row.row))
    assert list(kept) == order[:limit]
    assert len(kept) == len(order[:limit])
    assert kept.left_out.rows == len(order[limit:])
    assert sum(kept.left_out.at_stake_fen.values()) == sum(one.stake_fen or 0 for one in order[limit:])


def test_the_difference_of_a_million_in_the_last_row_comes_first() -> None:
    """It stood in row 602 of a ledger, and the page listed the first 500."""
    rows = [seen(ledger_row(at, amount_fen=100), found(applied_fen=90)) for at in range(2, 3_000)]
    rows.append(seen(ledger_row(3_000, amount_fen=99_803_711), found(applied_fen=0)))
    checked = Checker(page(*rows))
    cells = [row for row in checked.rows if len(row) == 9]
    assert cells[0][0].startswith("¥998,037.11")
    assert len(cells) == 2_000
    assert "The 2,000 rows with the most money at stake. Left out: 999 rows, with ¥99.90 at stake." in page(
        *rows
    )
    assert "report.xlsx lists 2,999 rows" in page(*rows)


def test_the_page_stays_below_two_megabytes() -> None:
    row = {
        "shop": "店" * 120,
        "status": "态" * 64,
        "order_id": "9" * 64,
        "problem": "因" * 120,
        "column": "列" * 60,
    }
    rows = [seen(ledger_row(at, amount_fen=at, **row), None) for at in range(2_100)]
    made = Report(summary(*rows), listed(*rows), EN)
    text = "".join(made.pieces())
    assert len(text.encode()) < 2_000_000
    assert 500 < made.rows < 2_000
    assert made.rows + made.left_out.rows == 2_100
    assert sum(made.left_out.at_stake_fen.values()) == sum(range(2_100 - made.rows))
    assert sum(len(row.encode()) for row in made._rows) <= HTML_BYTES


# What is said


REASONS: dict[str, tuple[dict[str, Any], Lookup | None, str, str]] = {
    "less": (
        {"amount_fen": 500}, found(applied_fen=300), "the platform has ¥2.00 less than the ledger",
        "Ask the shop for ¥2.00, or correct the ledger to ¥3.00",
    ),
    "more": (
        {"amount_fen": 500}, found(applied_fen=123_456), "the platform has ¥1,229.56 more than the ledger",
        "Correct the ledger to ¥1,234.56",
    ),
    "freight": (
        {"amount_fen": 500}, found(refunded_fen=400, refunded_freight_fen=100), "equal if freight is added",
        "Set how freight counts: --freight added",
    ),
    "own word": (
        {"amount_fen": 5, "status": "waitbuyersend", "status_word": "待买家退货"}, found(applied_fen=5),
        "ledger 待买家退货, platform refund success", "Book it as refunded",
    ),
    "no amount": (
        {"amount_fen": 5}, found(), "the platform has no amount", "Read the form on the platform",
    ),
    "currency": (
        {"amount_fen": 5, "currency": "USD"}, found(applied_fen=5), "ledger USD, platform CNY",
        "Correct the currency in the ledger to CNY",
    ),
    "paid": (
        {"amount_fen": 5, "status": "waitbuyersend"}, found(applied_fen=5),
        "ledger waitbuyersend, platform refund success", "Book it as refunded",
    ),
    "ahead": (
        {"amount_fen": 5, "platform": "taobao", "status": "100"}, found(applied_fen=5, status="30"),
        "ledger 100, platform awaiting receipt (30)",
        "Not finished on the platform: set the ledger back to awaiting receipt (30)",
    ),
    "closed": (
        {"amount_fen": 5, "status": "refundsuccess"}, found(applied_fen=5, status="refundclose"),
        "ledger refundsuccess, platform refund close", "Closed on the platform: ask the shop, or apply again",
    ),
    "late": (
        {"amount_fen": 5}, found(applied_fen=5, status="waitbuyersend", deadline="2024-05-01T00:00:00+08:00"),
        "still open past its deadline 2024-05-01",
        "The deadline has passed: act on the form, or call the platform",
    ),
    "no word": (
        {"amount_fen": 5, "status": "完了"}, found(applied_fen=5),
        "the ledger's status is not one of the platform's; ledger 完了, platform refund success",
        "Define the word: --status-map 完了=STATE",
    ),
    "new state": (
        {"amount_fen": 5}, found(applied_fen=5, status="newstate"),
        "the platform's status is not a documented one",
        "Read the form on the platform; the status is new",
    ),
    "no status": (
        {"amount_fen": 5}, found(applied_fen=5, status=None), "the platform has no status",
        "Read the form on the platform; the status is new",
    ),
    "missing": (
        {"amount_fen": 5}, Lookup(outcome=Outcome.MISSING), "the platform does not know this refund",
        "Check the refund id and the account; if both are right, ask the shop",
    ),
    "failed": (
        {"amount_fen": 5}, Lookup(outcome=Outcome.FAILED, error="lookup failed: no answer in time"),
        "lookup failed: no answer in time", "Run the same command again; it repeats only failed lookups",
    ),
    "twice": ({"duplicate_of": 7}, None, "the same refund as row 7", "Remove row 2 or row 7 from the ledger"),
    "unreadable": (
        {"problem": "'abc' is not an amount", "column": "金额"}, None, "column 金额: 'abc' is not an amount",
        "Correct row 2 of the ledger, then run again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_every_row_says_why_and_what_to_do(name: str) -> None:
    row, lookup, why, what = REASONS[name]
    one = seen(ledger_row(**row), lookup)
    assert (reason(one, EN), action(one, EN)) == (why, what)
    chinese = words_of("zh")
    assert re.search("[一-龥]", action(one, chinese))
    assert reason(one, chinese)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_verdict_and_template_has_its_words(language: Language) -> None:
    words = words_of(language)
    assert set(words.verdicts) == set(Verdict)
    for name in Words.__annotations__:
        mine, other = getattr(words, name), getattr(EN, name)
        if isinstance(mine, str) and name != "language":
            assert mine
            assert set(re.findall(r"\{\w+\}", mine)) == set(re.findall(r"\{\w+\}", other)), name
        elif name not in ("language", "failures"):
            assert mine.keys() == other.keys()


@pytest.mark.parametrize(
    ("rows", "matched", "headline"),
    [
        ([], 0, "The ledger has no rows"),
        ([], 3, "Every row agrees with the platform"),
        ([Lookup(outcome=Outcome.MISSING)], 0, "1 row of 1 needs attention"),
        ([Lookup(outcome=Outcome.MISSING)] * 2, 1, "2 rows of 3 need attention"),
        ([Lookup(outcome=Outcome.FAILED)], 0, "Incomplete: 1 row could not be verified"),
        (
            [Lookup(outcome=Outcome.FAILED)] * 2 + [Lookup(outcome=Outcome.MISSING)], 0,
            "Incomplete: 2 rows could not be verified, and 1 row differs",
        ),
    ],
)  # fmt: skip
def test_the_headline_says_it(rows: list[Lookup], matched: int, headline: str) -> None:
    made = [seen(ledger_row(at, amount_fen=1), lookup) for at, lookup in enumerate(rows)]
    assert f"<h1>{headline}</h1>" in page(*made, matched=matched)


def test_the_page_says_what_it_took_and_what_is_at_stake() -> None:
    row = seen(ledger_row(amount_fen=500), found(applied_fen=300))
    text = page(row, seen(ledger_row(3, amount_fen=5, currency="USD"), found(applied_fen=5)))
    assert "<b>¥2.00 + USD 0.05</b>" in text
    facts = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    assert {("Time", "2 h 0 min"), ("Calls", "1,234"), ("Retries", "66"), ("Throttled", "5")} <= set(facts)


def test_one_difference_in_a_million_is_not_a_hundred_percent() -> None:
    report = summary(seen(ledger_row(amount_fen=1), Lookup(outcome=Outcome.MISSING)))
    report.totals.rows, report.totals.verdicts[Verdict.MATCHED] = 10**6, 10**6 - 1
    assert "<b>99.9 %</b>" in "".join(Report(report, listed(), EN).pieces())


@pytest.mark.parametrize(
    ("fen", "currency", "text"),
    [
        (0, "CNY", "¥0.00"), (-1, "CNY", "-¥0.01"), (123456789, "VND", "VND 1,234,567.89"), (None, "CNY", ""),
        (5, None, "0.05"),
    ],
)  # fmt: skip
def test_money(fen: int | None, currency: str | None, text: str) -> None:
    assert money(fen, currency) == text


def test_sums_of_several_currencies() -> None:
    assert moneys({}) == moneys({"USD": 0}) == "¥0.00"
    assert moneys({"CNY": 100, "USD": 5, "EUR": 0}) == "¥1.00 + USD 0.05"


def test_exit_codes_of_a_summary() -> None:
    late = (
        {"amount_fen": 5},
        found(applied_fen=5, status="waitbuyersend", deadline="2024-05-01T00:00:00+08:00"),
    )
    timed_out = seen(ledger_row(**late[0]), late[1])
    unverified = seen(ledger_row(3), Lookup(outcome=Outcome.FAILED))
    assert summary().exit_code == summary(matched=1).exit_code == 0
    assert summary(timed_out).exit_code == 1
    assert summary(timed_out, unverified).exit_code == 3


# The language


@pytest.mark.parametrize(
    ("chosen", "environ", "language"),
    [
        (None, {}, "en"), ("zh", {"PANDAPON_LANGUAGE": "en"}, "zh"), ("en", {"LANG": "zh_CN.UTF-8"}, "en"),
        (None, {"PANDAPON_LANGUAGE": "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"), (None, {"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        (None, {"LC_ALL": "", "LANG": "zh"}, "zh"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
    ],
)  # fmt: skip
def test_which_language(chosen: Language | None, environ: dict[str, str], language: str) -> None:
    assert language_of(chosen, environ) == language


def test_a_language_that_is_not_known() -> None:
    with pytest.raises(ConfigurationError, match="PANDAPON_LANGUAGE must be en or zh"):
        language_of(None, {"PANDAPON_LANGUAGE": "fr"})
    with pytest.raises(InvalidArgumentError, match="language must be en or zh"):
        Options(language="fr")  # type: ignore[arg-type]


def test_a_chinese_page_is_chinese_and_keeps_the_names_of_verdicts_for_programs() -> None:
    text = page(seen(ledger_row(amount_fen=500), found(applied_fen=300)), words=words_of("zh"))
    assert 'lang="zh-CN"' in text
    assert "1 行中有 1 行需要处理" in text
    assert "向店铺追讨 ¥2.00，或将账本更正为 ¥3.00" in text
    assert 'data-v="amount_mismatch"' in text


# What others wrote


def hostile(language: Language) -> tuple[list[AttentionRow], tuple[str, ...]]:
    payloads = XSS + FORMULAS
    rows = []
    for at, text in enumerate(payloads):
        facts = {"shop": text, "status": text, "order_id": text, "amount_fen": 500, "currency": "CNY"}
        rows.append(seen(ledger_row(3 * at, **facts), found(status=text, applied_fen=5, request_id=text)))
        rows.append(seen(ledger_row(3 * at + 1, problem=text, column=text, **facts), None))
        failed = Lookup(outcome=Outcome.FAILED, error=text, request_id=text)
        rows.append(seen(ledger_row(3 * at + 2, refund_id=text, **facts), failed))
    return rows, payloads


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_others_wrote_runs_in_the_page(language: Language) -> None:
    rows, payloads = hostile(language)
    text = page(*rows, words=words_of(language))
    plain = Checker(
        page(*[seen(ledger_row(1, amount_fen=5), found(applied_fen=9))], words=words_of(language))
    )
    checked = Checker(text)
    assert checked.tags.count("script") == 1
    assert checked.scripts == [SCRIPT]
    assert set(checked.tags) == set(plain.tags)
    assert {name for name, _ in checked.attributes} == {name for name, _ in plain.attributes}
    assert not {name for name, _ in checked.attributes} & {"src", "href", "srcset", "action"}
    policy = next(value for _, value in checked.attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src {SCRIPT_HASH};" in policy
    assert "url(" not in text
    shops = [row[2].removesuffix("1688") for row in checked.rows if len(row) == 9]
    assert sorted(shops) == sorted(visible(one.row.shop or "") for one in rows)
    assert "\u202e" not in text
    assert FILES["report.html"].words in text[:1024]
    assert "<b>五月" not in text
    assert len(payloads) == 14 + 28


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_others_wrote_is_a_formula_in_the_workbook(language: Language) -> None:
    rows, _ = hostile(language)
    words = words_of(language)
    file = workbook(*rows, words=words)
    with zipfile.ZipFile(file) as package:
        for name in package.namelist():
            text = package.read(name).decode()
            assert "<f>" not in text, name
            assert "<hyperlink" not in text, name
            assert "externalLink" not in name
        assert 'quotePrefix="1"' in package.read("xl/styles.xml").decode()
    sheet = openpyxl.load_workbook(file)[words.attention_sheet]
    by_row = {one.row.row: one for one in rows}
    for cells in sheet.iter_rows(min_row=2, values_only=True):
        named: dict[Any, Any] = dict(zip((cell.value for cell in sheet[1]), cells, strict=True))
        one = by_row[named[words.heads["row"]]]
        assert named[words.heads["shop"]] == _as_read(one.row.shop)
        assert named[words.heads["order"]] == _as_read(one.row.order_id)
    kinds = {cell.data_type for row in sheet.iter_rows(min_row=2) for cell in row}
    assert kinds <= {"s", "n", "d"}


def _as_read(text: str | None) -> str | None:
    """openpyxl reads a line break as XML does."""
    return visible(text or "").replace("\r\n", "\n")


# The workbook


@settings(max_examples=examples(15, 2000))
@given(st.integers(-(10**14), 10**14), st.integers(10**18, 10**19 - 1))
def test_ids_and_amounts_of_the_workbook_are_exact(fen: int, number: int) -> None:
    row = ledger_row(amount_fen=fen, order_id=str(number), refund_id=f"TQ{number}")
    file = workbook(seen(row, found(applied_fen=fen + 1)))
    sheet = openpyxl.load_workbook(file)[EN.attention_sheet]
    named = {head.value: cell for head, cell in zip(sheet[1], sheet[2], strict=True)}
    assert (named["Order"].value, named["Order"].data_type) == (str(number), "s")
    assert named["Refund"].value == f"TQ{number}"
    assert round(Decimal(str(named["Ledger amount"].value)), 2) * 100 == fen
    assert round(Decimal(str(named["Platform amount"].value)), 2) * 100 == fen + 1
    assert named["Difference"].value == 0.01
    assert named["At stake"].value == 0.01


def test_the_workbook_is_ready_to_work_with() -> None:
    row = ledger_row(amount_fen=500, shop="杭州店", applied_at="2024-05-01T10:20:00+08:00", order_id="1")
    lookup = found(
        applied_fen=300, deadline="2024-06-01T00:00:00+00:00", looked_up_at="2024-05-31T03:00:00+00:00"
    )
    old = seen(ledger_row(3, amount_fen=1, applied_at="1899-01-01"), Lookup(outcome=Outcome.MISSING))
    file = workbook(seen(row, lookup), old, limit=1)
    book = openpyxl.load_workbook(file)
    sheet = book[EN.attention_sheet]
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("B2", "A1:U2")
    named = {head.value: cell for head, cell in zip(sheet[1], sheet[2], strict=True)}
    assert named["Applied"].value == datetime(2024, 5, 1, 10, 20)
    assert named["Deadline"].value == datetime(2024, 6, 1, 8)
    assert named["Looked up"].value == datetime(2024, 5, 31, 11)
    assert named["Ledger amount"].number_format == "#,##0.00"
    assert sheet.max_row == 2
    assert book.properties.description == FILES["report.xlsx"].words
    texts = [cell for row in book[EN.summary_sheet].iter_rows(values_only=True) for cell in row]
    assert "The 1 row with the most money at stake. Left out: 1 row, with ¥0.01 at stake." in texts
    assert "Throttled" in texts
    alone = openpyxl.load_workbook(workbook(old))[EN.attention_sheet]
    assert "1899-01-01 00:00" in [cell.value for cell in alone[2]]


def test_the_mark_of_a_workbook_is_found(tmp_path: Path) -> None:
    mark, path = FILES["report.xlsx"], tmp_path / "report.xlsx"
    path.write_bytes(workbook().getvalue())
    mark.check(path)
    for content in (b"PK\x03\x04 broken", b"PK", workbook().getvalue()[:-30]):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="was not written by a reconciliation"):
            mark.check(path)
