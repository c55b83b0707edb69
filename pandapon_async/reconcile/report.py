"""report.html: the page for a person who is responsible and has two minutes.

One self-contained file. It shows shops, ids, amounts and statuses; everything from the ledger or the platform
is escaped. The page is complete and sorted without its script.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape as html_escape

from pandapon_async.plain_text import visible
from pandapon_async.reconcile.attention import AttentionList, AttentionRow, LeftOut
from pandapon_async.reconcile.explain import (
    action,
    day,
    ledger_status,
    minute,
    money,
    moneys,
    platform_status,
    reason,
)
from pandapon_async.reconcile.headline import cost_facts, headline, method_facts
from pandapon_async.reconcile.missing_report import MissingRows, heads_of, missing_cells, missing_sentences
from pandapon_async.reconcile.outputs import FILES
from pandapon_async.reconcile.report_script import SCRIPT, SCRIPT_HASH
from pandapon_async.reconcile.report_style import STYLE, card_labels
from pandapon_async.reconcile.summary import NO_CURRENCY, AgeBucket, Summary, Tally, together
from pandapon_async.reconcile.verdict import Verdict
from pandapon_async.reconcile.words import Words

__all__ = ["HTML_ROWS", "Report"]

HTML_ROWS = 2_000
"""The most rows of the page: more are slow to sort, and no one reads them."""
HTML_BYTES = 1_800_000
"""The most bytes of all rows together; the rest of the page is small."""
MISSING_ROWS = 500
"""Refunds that the ledger lacks, of those the page shows."""
HUES: Mapping[Verdict, str] = {
    Verdict.MATCHED: "good",
    Verdict.AMOUNT_MISMATCH: "money",
    Verdict.MISSING_UPSTREAM: "money",
    Verdict.CURRENCY_MISMATCH: "money",
    Verdict.STATUS_DRIFT: "drift",
    Verdict.TIMED_OUT: "drift",
    Verdict.UNKNOWN_STATUS: "drift",
    Verdict.DUPLICATE_LOCAL: "books",
    Verdict.UNREADABLE: "books",
    Verdict.UNVERIFIED: "open",
}
"""Four hues, by what a verdict is about: money, the state of the refund, our own books, an open question."""
POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src {SCRIPT_HASH}; base-uri 'none'"
LONG = 16  # characters from which a figure is set smaller
BAR = 44  # height of one bar with its label, in pixels
_HEADS = (
    ("stake", "number", "0"),
    ("verdict", "", ""),
    ("shop", "", ""),
    ("ids", "", ""),
    ("applied", "", "2"),
    ("ledger", "number", "3"),
    ("upstream", "number", "4"),
    ("difference", "number", "5"),
    ("action", "", ""),
)
"""The columns of the list: name, class, and which of a row's numbers it is sorted by (none: by its text)."""
AGES = (3, 7, 15, 30)


class Report:
    """The page of one run."""

    def __init__(
        self, summary: Summary, listed: AttentionList, words: Words, missing: MissingRows | None = None
    ) -> None:
        self._summary = summary
        self._missing = missing
        self._words = words
        self._in_workbook = len(listed)
        self._rows: list[str] = []
        self.left_out: LeftOut = LeftOut(listed.left_out.rows, dict(listed.left_out.at_stake_fen))
        room = HTML_BYTES
        for one in listed:
            if len(self._rows) < HTML_ROWS and room > 0:
                text = self._row(one)
                room -= len(text.encode())
                if room > 0:
                    self._rows.append(text)
                    continue
            self.left_out.add(one)

    @property
    def rows(self) -> int:
        """The number of rows on the page."""
        return len(self._rows)

    def pieces(self) -> Iterator[str]:
        """Iterate over the pieces of the page."""
        summary, words = self._summary, self._words
        title = escape(headline(summary, words))
        yield f"<!doctype html>\n{FILES['report.html'].words}\n"
        yield (
            f'<html lang="{"zh-CN" if words.language == "zh" else "en"}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f"<title>{title}</title><style>{STYLE}{card_labels([words.heads[name] for name, _, _ in _HEADS])}"
            "</style></head><body><main>\n"
        )
        facts = words.facts.format(
            ledger=summary.ledger["name"], rows=f"{summary.rows:,}", as_of=minute(summary.as_of)
        )
        yield (
            f'<header><p class="eyebrow">{words.title}</p><h1>{title}</h1>'
            f'<p class="facts">{escape(facts)}</p></header>\n'
        )
        yield self._tiles()
        yield from self._lacking()
        yield from self._list()
        yield f'<div class="pair">{self._verdict_chart()}{self._ageing_chart()}</div>\n'
        yield from self._totals()
        yield _facts(words.cost_title, cost_facts(summary, words))
        yield _facts(words.method_title, method_facts(summary, words))
        yield f"<footer>{words.footer}</footer></main><script>{SCRIPT}</script></body></html>\n"

    def _tiles(self) -> str:
        summary, words = self._summary, self._words
        matched, unverified = summary.verdicts[Verdict.MATCHED], summary.verdicts[Verdict.UNVERIFIED]
        stake = words.at_stake
        if summary.totals.unknown_amounts:
            stake += f"; {words.at_stake_note.format(rows=words.count_rows(summary.totals.unknown_amounts))}"
        tiles = (
            (moneys(summary.totals.at_stake_fen()), stake),
            (f"{summary.rows - matched - unverified:,}", words.differ),
            (f"{unverified:,}", words.unverified),
            (_share(matched, summary.rows), words.matched_share.format(count=f"{matched:,}")),
            (f"{summary.rows:,}", words.in_ledger),
        )
        cells = "".join(
            f"<li{' class=long' if len(value) > LONG else ''}><b>{escape(value)}</b><span>{label}</span></li>"
            for value, label in tiles
        )
        return f'<ul class="tiles">{cells}</ul>\n'

    def _verdict_chart(self) -> str:
        """All rows as one band; below it the exceptions alone, as beside the matched they would be specks."""
        summary, words = self._summary, self._words
        matched = summary.verdicts[Verdict.MATCHED]
        counts = [one for one in summary.verdicts.items() if one[0] is not Verdict.MATCHED]
        counts.sort(key=lambda pair: -pair[1])
        largest = max(count for _, count in counts)
        bars = [
            _bar(place, words.verdicts[verdict][0], f"{count:,}", [(HUES[verdict], count)], largest)
            for place, (verdict, count) in enumerate(counts)
        ]
        share = words.of.format(part=f"{matched:,}", whole=f"{summary.rows:,}")
        name = words.verdicts[Verdict.MATCHED][0]
        band = _svg([_bar(0, name, share, [("good", matched)], summary.rows)], name)
        return (
            f"<section><h2>{words.verdicts_title}</h2>{band}<hr><p>{words.exceptions}</p>"
            f"{_svg(bars, words.exceptions)}</section>\n"
        )

    def _ageing_chart(self) -> str:
        words, buckets = self._words, self._summary.totals.ageing
        largest = max(bucket.rows for bucket in buckets.values())
        bars = [self._age_bar(place, *one, largest) for place, one in enumerate(buckets.items())]
        facts = words.open_facts.format(
            count=f"{sum(bucket.rows for bucket in buckets.values()):,}",
            amount=money(sum(bucket.upstream_fen for bucket in buckets.values()), "CNY"),
        )
        overdue = words.past_deadline.format(
            count=f"{sum(bucket.past_deadline for bucket in buckets.values()):,}"
        )
        return (
            f'<section><h2>{words.open_title}</h2><p>{facts} <span class="ink drift">{overdue}</span></p>'
            f"{_svg(bars, words.open_title)}</section>\n"
        )

    def _age_bar(self, place: int, name: str, bucket: AgeBucket, largest: int) -> str:
        label = self._words.ages[name]
        if bucket.rows:
            label += f" · {money(bucket.upstream_fen, 'CNY')}"
        parts = [("books", bucket.rows), ("drift", bucket.past_deadline)]
        return _bar(place, label, f"{bucket.rows:,}", parts, largest)

    def _totals(self) -> Iterator[str]:
        words = self._words
        yield f'<section><h2>{words.totals_title}</h2><p>{words.totals_facts}</p><div class="scroll"><table>'
        for currency, part in self._summary.totals.by_currency():
            yield from self._totals_of(currency, part)
        yield "</table></div></section>\n"

    def _totals_of(self, currency: str, part: Mapping[Verdict, Tally]) -> Iterator[str]:
        words = self._words
        name = words.no_currency if currency == NO_CURRENCY else currency
        heads = (words.rows, words.ledger, words.platform, words.heads["stake"])
        yield (
            f'<tbody><tr><th class="group">{escape(name)}'
            f'{"".join(f"<th class=number>{head}" for head in heads)}<th class="wide">{words.meaning}</tr>'
        )
        for verdict, (title, meaning) in words.verdicts.items():
            if tally := part.get(verdict):
                chip = f'<span class="chip {HUES[verdict]}">{title}</span>'
                yield f'<tr><td>{chip}{_tally_cells(tally, currency)}<td class="why wide">{meaning}</tr>'
        if len(part) > 1:
            cells = _tally_cells(together(part), currency)
            yield f'<tr class="sum"><td>{words.together}{cells}<td class="wide"></tr>'
        yield "</tbody>"

    def _list(self) -> Iterator[str]:
        words = self._words
        if not self._rows and not self.left_out.rows:
            return
        count, left = words.count_rows(len(self._rows)), self.left_out
        shown = words.list_all.format(count=count)
        if left.rows:
            shown = words.list_part.format(
                count=count, left=words.count_rows(left.rows), amount=moneys(left.at_stake_fen)
            )
            shown += f" {words.list_rest.format(count=words.count_rows(self._in_workbook))}"
        yield f'<section class="listed"><h2>{words.list_title}</h2><p>{escape(shown)}</p>{self._bar()}'
        heads = "".join(
            f'<th{f" class={kind}" if kind else ""} data-k="{key}">{words.heads[name]}'
            for name, kind, key in _HEADS
        )
        yield f'<div class="scroll"><table id="list"><thead><tr>{heads}</thead><tbody>\n'
        yield from self._rows
        yield "</tbody></table></div></section>\n"

    def _lacking(self) -> Iterator[str]:
        """The refunds that the ledger lacks, if they were searched."""
        if self._missing is None:
            return
        words, rows = self._words, self._missing.rows[:MISSING_ROWS]
        told = missing_sentences(self._missing.summary, words)
        if len(rows) < sum(self._missing.summary.verdicts.values()):
            told.append(words.missing_part.format(count=f"{len(rows):,}"))
        yield f"<section><h2>{words.missing_title}</h2>{''.join(f'<p>{escape(text)}</p>' for text in told)}"
        if rows:
            heads = "".join(f"<th>{head}" for head in heads_of(words))
            yield f'<div class="scroll"><table><thead><tr>{heads}</thead><tbody>\n'
            for one in rows:
                yield f"<tr>{''.join(f'<td>{escape(cell)}' for cell in missing_cells(one, words))}</tr>\n"
            yield "</tbody></table></div>"
        yield "</section>\n"

    def _bar(self) -> str:
        """The controls of the script; hidden without it."""
        words, verdicts, heads = self._words, self._summary.verdicts, self._words.heads
        kinds = "".join(
            f"<option value={verdict}>{words.verdicts[verdict][0]}"
            for verdict, count in verdicts.items()
            if count and verdict is not Verdict.MATCHED
        )
        ages = "".join(f"<option value={days}>{words.older_than.format(days=days)}" for days in AGES)
        return (
            f'<div id="bar" hidden data-copied="{words.copied}"><input type="search" '
            f'aria-label="{words.search}" placeholder="{words.search}">'
            f'<select aria-label="{heads["verdict"]}"><option value="">{words.every_verdict}{kinds}</select>'
            f'<select aria-label="{heads["shop"]}"><option value="">{words.every_shop}</select>'
            f'<select aria-label="{heads["age"]}"><option value="">{words.every_age}{ages}</select>'
            f'<output data-text="{words.shown}"></output></div>'
        )

    def _row(self, one: AttentionRow) -> str:
        row, judgement, words = one.row, one.judgement, self._words
        platform = {"1688": "1688", "taobao": "Taobao"}.get(row.platform or "", "")
        upstream, status = judgement.upstream_fen, platform_status(one, words)
        amounts_differ = upstream is not None and upstream != row.amount_fen
        statuses_differ = one.found is not None and row.status is not None and row.status != one.found.status
        numbers = (one.stake_fen, row.row, one.age_days, row.amount_fen, upstream, one.difference_fen)
        cells = (
            ("number", _two(money(one.stake_fen, one.currency), words.row.format(row=one.place(row.row)))),
            (
                "",
                f'<span class="chip {HUES[one.verdict]}">{words.verdicts[one.verdict][0]}</span>'
                f"<small>{escape(reason(one, words))}</small>",
            ),
            ("", _two(row.shop or "", " · ".join(filter(None, (platform, one.account))))),
            ("", "".join(f'<span class="id">{escape(found)}</span>' for found in _ids(one))),
            ("", _two(day(one.applied_at), self._age(one))),
            ("number", _two(money(row.amount_fen, row.currency), ledger_status(one))),
            (
                "number differs" if amounts_differ or statuses_differ else "number",
                _two(money(upstream, one.platform_currency), status),
            ),
            ("number", escape(money(one.difference_fen or None, row.currency))),
            ("do", escape(action(one, words))),
        )
        data = "|".join("" if number is None else str(number) for number in numbers)
        return (
            f'<tr data-v="{one.verdict}" data-c="{escape(one.currency or "")}" data-n="{data}">'
            f"{''.join(_cell(kind, text) for kind, text in cells)}</tr>\n"
        )

    def _age(self, one: AttentionRow) -> str:
        if one.age_days is None:
            return ""
        text = self._words.open if one.judgement.open else self._words.closed
        return text.format(age=self._words.days.format(days=one.age_days))


def escape(text: str) -> str:
    """Make a text safe for the page: no markup, no character that hides or reverses others."""
    return html_escape(visible(text))


def _share(part: int, whole: int) -> str:
    """Format a percentage that is 100 or 0 only for all or nothing."""
    if not whole or part in (0, whole):
        return f"{100 if whole and part else 0} %"
    tenths = min(max(1000 * part // whole, 1), 999)
    return f"{tenths // 10}.{tenths % 10} %"


def _svg(bars: Sequence[str], label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" height="{BAR * len(bars) - 8}">{"".join(bars)}</svg>'
    )


def _bar(place: int, label: str, count: str, parts: Sequence[tuple[str, int]], largest: int) -> str:
    """Draw a labelled bar with overlapping parts. Widths are fractions, so text keeps its size."""
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


def _tally_cells(tally: Tally, currency: str) -> str:
    amounts = (tally.ledger_fen, tally.upstream_fen, tally.at_stake_fen)
    cells = (escape(money(fen, currency)) if fen else "–" for fen in amounts)
    return f'<td class="number">{tally.rows:,}{"".join(f"<td class=number>{cell}" for cell in cells)}'


def _ids(one: AttentionRow) -> list[str]:
    return [found for found in (one.row.refund_id, one.row.order_id) if found]


def _two(first: str, second: str) -> str:
    """Return a value with a smaller line below it."""
    return f"<span>{escape(first)}</span>{f'<small>{escape(second)}</small>' if second else ''}"


def _cell(kind: str, text: str) -> str:
    return f'<td class="{kind}">{text}' if kind else f"<td>{text}"


def _facts(title: str, facts: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in facts)
    return f"<section><h2>{title}</h2><p></p><dl>{items}</dl></section>\n"
