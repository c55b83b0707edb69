"""report.html: the page for whoever is responsible and has two minutes.

One file without scripts and without anything from elsewhere. It shows ids, amounts and statuses, and
nothing personal; whatever comes from the ledger or the platform is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Self

import attrs

from pandapon_async.core.model import BEIJING
from pandapon_async.reconcile.outputs import FILES
from pandapon_async.reconcile.report_style import STYLE
from pandapon_async.reconcile.summary import NO_CURRENCY, Summary, Tally
from pandapon_async.reconcile.verdict import Judgement, LedgerRow, Lookup, Verdict

__all__ = ["ReportRow", "money", "report_pieces"]

# Four hues, by what a verdict is about: money, the state of the refund, our own books, an open question.
MEANINGS: dict[Verdict, tuple[str, str, str]] = {
    Verdict.MATCHED: ("good", "Matched", "amount and status agree"),
    Verdict.AMOUNT_MISMATCH: ("money", "Amount differs", "the platform has another amount"),
    Verdict.MISSING_UPSTREAM: ("money", "Missing upstream", "the platform knows no such refund"),
    Verdict.CURRENCY_MISMATCH: ("money", "Currency differs", "the amounts are in two currencies"),
    Verdict.STATUS_DRIFT: ("drift", "Status drifted", "the refund has moved on without the ledger"),
    Verdict.TIMED_OUT: ("drift", "Past deadline", "still open after its deadline"),
    Verdict.UNKNOWN_STATUS: ("drift", "Unknown status", "a status that is not documented"),
    Verdict.DUPLICATE_LOCAL: ("books", "Duplicate row", "the same refund stands in an earlier row"),
    Verdict.UNREADABLE: ("books", "Unreadable row", "the row cannot be read as a refund"),
    Verdict.UNVERIFIED: ("open", "Unverified", "the lookup failed: nothing is known"),
}
NOTHING_FROM_ELSEWHERE = "default-src 'none'; style-src 'unsafe-inline'"
SIGNS = {"CNY": "¥"}
BAR = 44  # height of one bar with its label, in pixels


@attrs.frozen
class ReportRow:
    """What the exceptions table shows of a row."""

    row: LedgerRow
    judgement: Judgement
    upstream_status: str | None
    upstream_currency: str

    @classmethod
    def of(cls, row: LedgerRow, lookup: Lookup | None, judgement: Judgement) -> Self:
        """From a judged row."""
        currency = (lookup and lookup.currency) or "CNY"
        return cls(row, judgement, lookup.status if lookup else None, currency)


def money(fen: int | None, currency: str | None) -> str:
    """An amount for people, from fen; empty if there is none.

    >>> money(-123450, "CNY"), money(5, "USD")
    ('-¥1,234.50', 'USD 0.05')
    """
    if fen is None:
        return ""
    sign = "-" if fen < 0 else ""
    unit = SIGNS.get(currency or "", f"{currency} " if currency else "")
    return f"{sign}{unit}{abs(fen) // 100:,}.{abs(fen) % 100:02d}"


def report_pieces(summary: Summary, listed: Sequence[ReportRow]) -> Iterator[str]:
    """The page, piece by piece. `listed` are the exceptions to show, the first ones of the ledger."""
    title = escape(_headline(summary))
    yield f"<!doctype html>\n{FILES['report.html'].words}\n"
    yield (
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{NOTHING_FROM_ELSEWHERE}">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>\n"
    )
    yield (
        f'<header><p class="eyebrow">Refund reconciliation</p><h1>{title}</h1>'
        f'<p class="facts">{escape(str(summary.ledger["name"]))} · {summary.rows:,} rows · '
        f"as of {_time(summary.as_of)}</p></header>\n"
    )
    yield _tiles(summary)
    yield '<div class="pair">'
    yield _verdict_chart(summary)
    yield _ageing_chart(summary)
    yield "</div>\n"
    yield from _totals(summary)
    yield from _exceptions(summary, listed)
    yield _method(summary)
    yield "<footer>Times are Beijing time. Made by pandapon-async reconcile.</footer></main></body></html>\n"


def _headline(summary: Summary) -> str:
    unverified = summary.verdicts[Verdict.UNVERIFIED]
    others = summary.rows - summary.verdicts[Verdict.MATCHED] - unverified
    if not summary.rows:
        return "The ledger has no rows"
    if unverified:
        also = f", and {_rows(others)} differ{'s' if others == 1 else ''}" if others else ""
        return f"Incomplete: {_rows(unverified)} could not be verified{also}"
    if not others:
        return "Every row agrees with the platform"
    return f"{_rows(others)} of {summary.rows:,} need{'s' if others == 1 else ''} a look"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    """A percentage that says 100 or 0 only when it is all or nothing."""
    if not whole or part in (0, whole):
        return f"{100 if whole and part else 0} %"
    tenths = min(max(1000 * part // whole, 1), 999)
    return f"{tenths // 10}.{tenths % 10} %"


def _tiles(summary: Summary) -> str:
    matched, unverified = summary.verdicts[Verdict.MATCHED], summary.verdicts[Verdict.UNVERIFIED]
    tiles = (
        (f"{summary.rows:,}", "rows in the ledger"),
        (_share(matched, summary.rows), f"matched ({matched:,})"),
        (f"{summary.rows - matched - unverified:,}", "differ"),
        (f"{unverified:,}", "unverified"),
    )
    cells = "".join(f"<li><b>{value}</b><span>{label}</span></li>" for value, label in tiles)
    return f'<ul class="tiles">{cells}</ul>\n'


def _verdict_chart(summary: Summary) -> str:
    """All rows as one band; below it the exceptions alone, as beside the matched they would be specks."""
    matched = summary.verdicts[Verdict.MATCHED]
    counts = [
        (verdict, count) for verdict, count in summary.verdicts.items() if verdict is not Verdict.MATCHED
    ]
    counts.sort(key=lambda pair: -pair[1])
    largest = max(count for _, count in counts)
    bars = [
        _bar(place, MEANINGS[verdict][1], f"{count:,}", [(MEANINGS[verdict][0], count)], largest)
        for place, (verdict, count) in enumerate(counts)
    ]
    share = f"{matched:,} of {summary.rows:,}"
    band = _svg([_bar(0, "Matched", share, [("good", matched)], summary.rows)], "Matched rows")
    return (
        f"<section><h2>Verdicts</h2>{band}<hr><p>Exceptions</p>{_svg(bars, 'Rows per verdict')}</section>\n"
    )


def _ageing_chart(summary: Summary) -> str:
    buckets = summary.totals.ageing
    still_open = sum(bucket.rows for bucket in buckets.values())
    overdue = sum(bucket.past_deadline for bucket in buckets.values())
    amount = sum(bucket.upstream_fen for bucket in buckets.values())
    largest = max(bucket.rows for bucket in buckets.values())
    bars = [
        _bar(
            place,
            f"{name} · {money(bucket.upstream_fen, 'CNY')}" if bucket.rows else name,
            f"{bucket.rows:,}",
            [("books", bucket.rows), ("drift", bucket.past_deadline)],
            largest,
        )
        for place, (name, bucket) in enumerate(buckets.items())
    ]
    return (
        f"<section><h2>Open refunds by age</h2><p>{still_open:,} still open, worth {money(amount, 'CNY')}; "
        f'<span class="ink drift">{overdue:,} past their deadline</span>.</p>'
        f"{_svg(bars, 'Open refunds by age')}</section>\n"
    )


def _svg(bars: Sequence[str], label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" height="{BAR * len(bars) - 8}">{"".join(bars)}</svg>'
    )


def _bar(place: int, label: str, count: str, parts: Sequence[tuple[str, int]], largest: int) -> str:
    """A labelled bar; the parts lie over each other. Widths are shares, so text keeps its size anywhere."""
    top = place * BAR
    filled = "".join(
        f'<rect class="{hue}" y="{top + 22}" height="10" rx="5" '
        f'style="width:max(10px,{100 * part / largest:.2f}%)"/>'
        for hue, part in parts
        if part
    )
    dim = "" if filled else " none"
    return (
        f'<text class="{dim.strip()}" y="{top + 14}">{escape(label)}</text>'
        f'<text class="count{dim}" x="100%" y="{top + 14}">{count}</text>'
        f'<rect class="track" y="{top + 22}" width="100%" height="10" rx="5"/>{filled}'
    )


def _totals(summary: Summary) -> Iterator[str]:
    yield (
        "<section><h2>Totals</h2><p>Amounts of the ledger, and of the platform where it named one in the "
        'same currency.</p><div class="scroll"><table>'
    )
    parts = summary.totals.currencies
    for currency in sorted(parts, key=lambda name: (name == NO_CURRENCY, -_sum(parts[name]).rows)):
        yield from _totals_of(currency, parts[currency])
    yield "</table></div></section>\n"


def _totals_of(currency: str, part: Mapping[Verdict, Tally]) -> Iterator[str]:
    name = "No currency" if currency == NO_CURRENCY else currency
    yield (
        f'<tbody><tr><th class="group">{escape(name)}<th class="number">Rows<th class="number">Ledger'
        '<th class="number">Platform<th class="wide">Meaning</tr>'
    )
    for verdict, (hue, title, meaning) in MEANINGS.items():
        if tally := part.get(verdict):
            chip = f'<span class="chip {hue}">{title}</span>'
            yield f'<tr><td>{chip}{_tally_cells(tally, currency)}<td class="why wide">{meaning}</tr>'
    if len(part) > 1:
        yield f'<tr class="sum"><td>Together{_tally_cells(_sum(part), currency)}<td></tr>'
    yield "</tbody>"


def _tally_cells(tally: Tally, currency: str) -> str:
    ledger, upstream = (
        escape(money(fen, currency)) if fen else "–" for fen in (tally.ledger_fen, tally.upstream_fen)
    )
    return f'<td class="number">{tally.rows:,}<td class="number">{ledger}<td class="number">{upstream}'


def _sum(part: Mapping[Verdict, Tally]) -> Tally:
    together = Tally()
    for tally in part.values():
        together.rows += tally.rows
        together.ledger_fen += tally.ledger_fen
        together.upstream_fen += tally.upstream_fen
    return together


def _exceptions(summary: Summary, listed: Sequence[ReportRow]) -> Iterator[str]:
    count = summary.rows - summary.verdicts[Verdict.MATCHED]
    if not count:
        return
    shown = "All of them." if count == len(listed) else f"The first {len(listed):,} of {count:,}."
    yield f"<section><h2>Exceptions</h2><p>{shown} The whole list is in exceptions.csv, beside this page.</p>"
    yield (
        '<div class="scroll"><table><tr><th class="number">Row<th>Verdict<th>Refund<th class="number">Ledger'
        '<th class="number">Platform<th>Ledger status<th>Platform status<th class="number">Age</tr>\n'
    )
    for one in listed:
        yield _exception(one)
    yield "</table></div></section>\n"


def _exception(one: ReportRow) -> str:
    row, judgement = one.row, one.judgement
    hue, name, meaning = MEANINGS[judgement.verdict]
    where = f"column {row.column}: " if row.column else ""
    why = f"{where}{judgement.reason or meaning}"
    amounts_differ = judgement.upstream_fen is not None and judgement.upstream_fen != row.amount_fen
    statuses_differ = one.upstream_status is not None and row.status != one.upstream_status
    age = f"{judgement.age_days} d" if judgement.open and judgement.age_days is not None else ""
    platform = {"1688": "1688", "taobao": "Taobao"}.get(row.platform or "", "")
    cells = (
        ("number", str(row.row)),
        ("", f'<span class="chip {hue}">{name}</span><small>{escape(why)}</small>'),
        ("", f'<span class="id">{escape(row.refund_id or "–")}</span><small>{platform}</small>'),
        ("number", escape(money(row.amount_fen, row.currency))),
        (
            "number differs" if amounts_differ else "number",
            escape(money(judgement.upstream_fen, one.upstream_currency)),
        ),
        ("", escape(row.status or "")),
        ("differs" if statuses_differ else "", escape(one.upstream_status or "")),
        ("number", age),
    )
    return f"<tr>{''.join(_cell(kind, text) for kind, text in cells)}</tr>\n"


def _cell(kind: str, text: str) -> str:
    return f'<td class="{kind}">{text}' if kind else f"<td>{text}"


def _method(summary: Summary) -> str:
    """How it was done, so that the numbers can be traced."""
    ledger, run, options = summary.ledger, summary.run, summary.options
    columns = ", ".join(f"{field} = {name}" for field, name in ledger["columns"].items())
    facts = [
        ("Ledger", f"{ledger['name']} ({ledger['format']}), amounts in {ledger['amount_unit']}"),
        ("Columns", columns),
        ("Amount of 1688", f"{options['amount_basis']}, tolerance {options['tolerance_fen']} fen"),
        ("Assumptions", "; ".join(summary.inferred) or "none"),
        ("Notes", "; ".join(summary.notes) or "none"),
        ("Blank lines", f"{ledger['blank_lines']:,}, not counted as rows"),
        ("This run", _work(run)),
        ("Ledger SHA-256", ledger["sha256"]),
        ("Rows digest", summary.rows_digest),
    ]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(fact))}</dd>" for name, fact in facts)
    return f"<section><h2>How this was made</h2><p></p><dl>{items}</dl></section>\n"


def _work(run: Mapping[str, Any]) -> str:
    return (
        f"finished {_time(run['finished_at'])}; {run['lookups']:,} looked up, "
        f"{run['lookups_before']:,} known from before, {run['second_pass']:,} asked a second time, "
        f"throttled {run['throttled']:,} times"
    )


def _time(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")
