"""Explain a row to a person: amounts in yuan, statuses in words, the reason, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pandapon_async.core.model import BEIJING
from pandapon_async.reconcile.attention import AttentionRow
from pandapon_async.reconcile.statuses import is_known, is_open, state_label, succeeded
from pandapon_async.reconcile.verdict import Lookup, Verdict
from pandapon_async.reconcile.words import Words

__all__ = ["action", "day", "ledger_status", "minute", "money", "moneys", "platform_status", "reason"]

SIGNS = {"CNY": "¥"}


def money(fen: int | None, currency: str | None) -> str:
    """Format fen as an amount for people; empty if there is none.

    >>> money(-123450, "CNY"), money(5, "USD")
    ('-¥1,234.50', 'USD 0.05')
    """
    if fen is None:
        return ""
    sign = "-" if fen < 0 else ""
    unit = SIGNS.get(currency or "", f"{currency} " if currency else "")
    return f"{sign}{unit}{abs(fen) // 100:,}.{abs(fen) % 100:02d}"


def moneys(fen_by_currency: Mapping[str, int]) -> str:
    """Format sums of several currencies.

    >>> moneys({"CNY": 150, "USD": 5})
    '¥1.50 + USD 0.05'
    """
    return " + ".join(money(fen, currency) for currency, fen in fen_by_currency.items() if fen) or money(
        0, "CNY"
    )


def minute(moment: str | datetime) -> str:
    """Format a time for people: Beijing time, to the minute."""
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return found.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")


def day(moment: datetime | None) -> str:
    """Return its day in Beijing; empty if there is none."""
    return "" if moment is None else moment.astimezone(BEIJING).strftime("%Y-%m-%d")


def ledger_status(one: AttentionRow) -> str:
    """Return the ledger's own word for the status."""
    return one.row.status_word or one.row.status or ""


def platform_status(one: AttentionRow, words: Words) -> str:
    """Return the platform's status in words, with its own spelling if that differs."""
    status = one.found and one.found.status
    if not status or one.row.platform is None:
        return status or ""
    label = state_label(one.row.platform, status, words.language)
    if label is None:
        return status
    return label if label.replace(" ", "") == status else f"{label} ({status})"


def reason(one: AttentionRow, words: Words) -> str:
    """Explain why the row did not match, with amounts in yuan."""
    row, judgement = one.row, one.judgement
    match one.verdict:
        case Verdict.UNREADABLE:
            problem = judgement.reason
            return words.column.format(column=row.column, problem=problem) if row.column else problem
        case Verdict.DUPLICATE_LOCAL:
            return words.same_as_row.format(row=one.place(row.duplicate_of))
        case Verdict.UNVERIFIED:
            return words.failures.get((one.lookup and one.lookup.error_kind) or "", judgement.reason)
        case Verdict.MISSING_UPSTREAM:
            return words.verdicts[Verdict.MISSING_UPSTREAM][1]
    found = one.found
    assert found is not None, "every other verdict has an answer"
    reasons = dict.fromkeys(
        text for finding in judgement.findings for text in _finding(finding, one, found, words)
    )
    return "; ".join(reasons)


def _finding(finding: Verdict, one: AttentionRow, found: Lookup, words: Words) -> list[str]:
    row = one.row
    assert row.platform is not None
    match finding:
        case Verdict.UNKNOWN_STATUS:
            texts = []
            if found.status is None:
                texts.append(words.no_status)
            elif not is_known(row.platform, found.status):
                texts.append(words.unknown_platform_status)
            if row.status is not None and not is_known(row.platform, row.status):
                texts.append(words.unknown_ledger_status)
            return texts
        case Verdict.CURRENCY_MISMATCH:
            return [words.currencies.format(ledger=row.currency, platform=one.platform_currency)]
        case Verdict.AMOUNT_MISMATCH:
            return [_amounts(one, words)]
        case Verdict.STATUS_DRIFT:
            return [
                words.statuses.format(
                    ledger=ledger_status(one), platform=platform_status(one, words) or words.none
                )
            ]
        case Verdict.TIMED_OUT:
            return [words.overdue.format(deadline=day(one.deadline))]
    return [words.verdicts[finding][1]]


def _amounts(one: AttentionRow, words: Words) -> str:
    upstream, ledger = one.judgement.upstream_fen, one.row.amount_fen
    if one.judgement.equal_if is not None:
        return words.equal_if.format(reading=one.judgement.equal_if)
    if upstream is None or ledger is None:
        return words.no_amount
    text = words.platform_less if upstream < ledger else words.platform_more
    return text.format(amount=money(abs(upstream - ledger), one.row.currency))


def action(one: AttentionRow, words: Words) -> str:
    """Return one thing to do about the row."""
    row, found = one.row, one.found
    match one.verdict:
        case Verdict.UNREADABLE:
            return words.mend_row.format(row=one.place(row.row))
        case Verdict.DUPLICATE_LOCAL:
            return words.drop_duplicate.format(row=one.place(row.row), other=one.place(row.duplicate_of))
        case Verdict.UNVERIFIED:
            return words.run_again
        case Verdict.MISSING_UPSTREAM:
            return words.check_id
        case Verdict.CURRENCY_MISMATCH:
            return words.mend_currency.format(currency=one.platform_currency)
        case Verdict.AMOUNT_MISMATCH:
            return _action_on_amount(one, words)
        case Verdict.TIMED_OUT:
            return words.act_now
    if found is None or row.platform is None:
        return words.read_form
    if one.verdict is Verdict.UNKNOWN_STATUS:
        if is_known(row.platform, found.status):
            return words.map_status.format(word=ledger_status(one))
        return words.report_status
    if succeeded(row.platform, found.status):
        return words.book_paid
    if is_open(row.platform, found.status):
        return words.ledger_ahead.format(status=platform_status(one, words))
    return words.apply_again


def _action_on_amount(one: AttentionRow, words: Words) -> str:
    difference, platform = one.difference_fen, money(one.judgement.upstream_fen, one.platform_currency)
    if one.judgement.equal_if is not None:
        return words.say_freight.format(reading=one.judgement.equal_if)
    if difference is None:
        return words.read_form
    if difference < 0:
        return words.ask_for_rest.format(amount=money(-difference, one.row.currency), platform=platform)
    return words.correct_ledger.format(platform=platform)
