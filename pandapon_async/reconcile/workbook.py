"""Write report.xlsx for finance: a summary, and a list of what needs attention, the most money first.

Ids are text cells, amounts are numbers in yuan, times are dates, so all of them can be filtered, summed and
pasted. Text is written and marked as text, so nothing from a ledger or the platform becomes a formula, even
after an edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import IO, Any

from pandapon_async.core.model import BEIJING
from pandapon_async.plain_text import visible
from pandapon_async.reconcile.attention import ONE, AttentionList, AttentionRow, Origins
from pandapon_async.reconcile.explain import action, ledger_status, moneys, platform_status, reason
from pandapon_async.reconcile.headline import cost_facts, headline, method_facts
from pandapon_async.reconcile.missing_report import MissingRows, heads_of, missing_cells, missing_sentences
from pandapon_async.reconcile.outputs import yuan
from pandapon_async.reconcile.summary import NO_CURRENCY, Summary, together
from pandapon_async.reconcile.verdict import Verdict
from pandapon_async.reconcile.words import Words

__all__ = ["write_workbook"]

LARGEST_NUMBER = 10**13
"""Amounts from this many fen are written as text: a cell's number cannot hold every fen above it."""
FIRST_YEAR = 1900
LONGEST_TEXT = 32_000
_Column = tuple[str, int, Callable[[AttentionRow, Words], Any]]
_COLUMNS: tuple[_Column, ...] = (
    ("row", 8, lambda one, _: one.place(one.row.row)),
    ("stake", 14, lambda one, _: _Yuan(one.stake_fen)),
    ("ledger_currency", 10, lambda one, _: one.row.currency),
    ("verdict", 18, lambda one, words: words.verdicts[one.verdict][0]),
    ("reason", 40, reason),
    ("action", 40, action),
    ("shop", 20, lambda one, _: one.row.shop),
    ("account", 16, lambda one, _: one.account),
    ("platform", 10, lambda one, _: one.row.platform),
    ("refund", 24, lambda one, _: one.row.refund_id),
    ("order", 24, lambda one, _: one.row.order_id),
    ("applied", 17, lambda one, _: one.applied_at),
    ("age", 10, lambda one, _: one.age_days),
    ("ledger_amount", 14, lambda one, _: _Yuan(one.row.amount_fen)),
    ("platform_amount", 14, lambda one, _: _Yuan(one.judgement.upstream_fen)),
    ("difference", 14, lambda one, _: _Yuan(one.difference_fen)),
    ("platform_currency", 10, lambda one, _: one.platform_currency),
    ("ledger_status", 22, lambda one, _: ledger_status(one)),
    ("platform_status", 26, platform_status),
    ("deadline", 17, lambda one, _: one.deadline),
    ("looked_up", 17, lambda one, _: one.lookup and one.lookup.looked_up_at and _moment(one)),
    ("request", 30, lambda one, _: one.lookup and one.lookup.request_id),
)


class _Yuan:
    """An amount of a cell, in fen."""

    def __init__(self, fen: int | None) -> None:
        self.fen = fen


def _moment(one: AttentionRow) -> datetime:
    assert one.lookup is not None
    assert one.lookup.looked_up_at is not None
    return datetime.fromisoformat(one.lookup.looked_up_at)


def write_workbook(
    file: IO[bytes],
    summary: Summary,
    listed: AttentionList,
    words: Words,
    made_by: str,
    origins: Origins = ONE,
    missing: MissingRows | None = None,
) -> None:
    """Write the workbook.

    Args:
        file: where to.
        summary: what the run came to.
        listed: the rows to list; memory does not grow with them, as each goes to the file at once.
        words: the texts.
        made_by: what marks the file as ours, in its properties.
        origins: where the rows come from.
        missing: the refunds that the ledger lacks; None: nobody searched.
    """
    import xlsxwriter  # type: ignore[import-untyped]  # only now: whoever makes calls does without it

    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(file, options) as book:
        book.set_properties({"title": words.title, "comments": made_by})
        formats = _Formats(book)
        _write_summary(_Sheet(book.add_worksheet(words.summary_sheet), formats), summary, listed, words)
        sheet = book.add_worksheet(words.attention_sheet)
        columns = [one for one in _COLUMNS if one[0] != "account" or origins.accounts]
        _write_list(_Sheet(sheet, formats), listed, words, columns)
        sheet.freeze_panes(1, 1)
        sheet.autofilter(0, 0, max(1, len(listed)), len(columns) - 1)
        if missing is not None:
            _write_missing(_Sheet(book.add_worksheet(words.missing_sheet), formats), missing, words)


class _Formats:
    """The formats of cells."""

    def __init__(self, book: Any) -> None:
        self.text = book.add_format(
            {"num_format": "@", "quote_prefix": True, "valign": "top", "align": "left", "indent": 1}
        )
        self.money = book.add_format({"num_format": "#,##0.00", "valign": "top"})
        self.count = book.add_format({"num_format": "#,##0", "valign": "top"})
        self.moment = book.add_format(
            {"num_format": "yyyy-mm-dd hh:mm", "valign": "top", "align": "left", "indent": 1}
        )
        self.head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.title = book.add_format({"bold": True, "font_size": 16})


class _Sheet:
    """Writes cells by the type of their value, row after row."""

    def __init__(self, sheet: Any, formats: _Formats) -> None:
        self.sheet = sheet
        sheet.set_default_row(18)
        self.formats = formats
        self.at = 0

    def row(self, values: Iterable[Any], *, head: bool = False) -> None:
        """Write the next row."""
        for column, value in enumerate(values):
            if head:
                self.sheet.write_string(self.at, column, _shown(value), self.formats.head)
            else:
                self._cell(column, value)
        self.at += 1

    def _cell(self, column: int, value: Any) -> None:
        at, formats = (self.at, column), self.formats
        match value:
            case None | "":
                return
            case _Yuan():
                self._amount(at, value.fen)
            case bool():
                raise TypeError("a flag has no cell")
            case int():
                self.sheet.write_number(*at, value, formats.count)
            case datetime():
                local = value.astimezone(BEIJING).replace(tzinfo=None)
                if local.year < FIRST_YEAR + 1:
                    self.sheet.write_string(*at, local.isoformat(" ", "minutes"), formats.text)
                else:
                    self.sheet.write_datetime(*at, local, formats.moment)
            case _:
                self.sheet.write_string(*at, _shown(str(value)), formats.text)

    def _amount(self, at: tuple[int, int], fen: int | None) -> None:
        if fen is None:
            return
        if abs(fen) < LARGEST_NUMBER:
            self.sheet.write_number(*at, fen / 100, self.formats.money)
        else:
            self.sheet.write_string(*at, yuan(fen), self.formats.text)


def _shown(text: str) -> str:
    return visible(text)[:LONGEST_TEXT]


def _write_list(sheet: _Sheet, listed: AttentionList, words: Words, columns: Sequence[_Column]) -> None:
    for column, (_, width, _) in enumerate(columns):
        sheet.sheet.set_column(column, column, width)
    sheet.sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
    sheet.sheet.set_landscape()
    sheet.sheet.set_paper(9)  # A4
    sheet.sheet.fit_to_pages(1, 0)
    sheet.sheet.repeat_rows(0)
    sheet.sheet.set_row(0, 34)
    sheet.row((words.heads[name] for name, _, _ in columns), head=True)
    for one in listed:
        sheet.row(value(one, words) for _, _, value in columns)


def _write_missing(sheet: _Sheet, missing: MissingRows, words: Words) -> None:
    for column, width in enumerate((18, 10, 16, 24, 24, 14, 26)):
        sheet.sheet.set_column(column, column, width)
    sheet.sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
    for text in missing_sentences(missing.summary, words):
        sheet.row((text,))
    sheet.at += 1
    sheet.row(heads_of(words), head=True)
    for one in missing.rows:
        *texts, _, status = missing_cells(one, words)
        sheet.row((*texts, _Yuan(one.lookup.applied_fen), status))


def _write_summary(sheet: _Sheet, summary: Summary, listed: AttentionList, words: Words) -> None:
    sheet.sheet.set_column(0, 0, 30)
    sheet.sheet.set_column(1, 4, 18)
    sheet.sheet.set_column(5, 5, 44)
    sheet.sheet.set_landscape()
    sheet.sheet.fit_to_pages(1, 1)
    sheet.sheet.write_string(0, 0, _shown(headline(summary, words)), sheet.formats.title)
    sheet.at = 2
    for currency, part in summary.totals.by_currency():
        name = words.no_currency if currency == NO_CURRENCY else currency
        heads = (name, words.rows, words.ledger, words.platform, words.heads["stake"], words.meaning)
        sheet.row(heads, head=True)
        for verdict, (title, meaning) in words.verdicts.items():
            if tally := part.get(verdict):
                sheet.row((title, *_tally(tally), meaning))
        if len(part) > 1:
            sheet.row((words.together, *_tally(together(part))))
        sheet.at += 1
    overdue = words.verdicts[Verdict.TIMED_OUT][0]
    sheet.row((words.open_title, words.rows, overdue, words.platform), head=True)
    for name, bucket in summary.totals.ageing.items():
        amounts = (bucket.rows, bucket.past_deadline, _Yuan(bucket.upstream_fen))
        sheet.row((words.ages[name], *amounts))
    sheet.at += 1
    sheet.row((words.list_title, ""), head=True)
    left = listed.left_out
    count = words.count_rows(len(listed))
    if left.rows:
        text = words.list_part.format(
            count=count, left=words.count_rows(left.rows), amount=moneys(left.at_stake_fen)
        )
    else:
        text = words.list_all.format(count=count)
    sheet.row((text,))
    sheet.at += 1
    for title, facts in (
        (words.cost_title, cost_facts(summary, words)),
        (words.method_title, method_facts(summary, words)),
    ):
        sheet.row((title, ""), head=True)
        for fact in facts:
            sheet.row(fact)
        sheet.at += 1


def _tally(tally: Any) -> tuple[Any, ...]:
    return tally.rows, _Yuan(tally.ledger_fen), _Yuan(tally.upstream_fen), _Yuan(tally.at_stake_fen)
