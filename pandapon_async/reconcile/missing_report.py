"""What is said of refunds that the ledger lacks: missing.csv, a part of the page, a sheet of the workbook."""

from __future__ import annotations

import csv
import heapq
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import IO

import attrs

from pandapon_async.core.model import BEIJING
from pandapon_async.reconcile.explain import money, moneys
from pandapon_async.reconcile.find_missing import Lacking, LackingVerdict, MissingSummary
from pandapon_async.reconcile.outputs import LINE_END, MISSING_COLUMNS, spreadsheet_text, yuan
from pandapon_async.reconcile.statuses import state_label
from pandapon_async.reconcile.words import Words

__all__ = ["MissingRows", "MissingWriter", "missing_cells", "missing_sentences"]


@attrs.define
class MissingRows:
    """What lacks: counted, and the refunds with the most money, for page and workbook."""

    summary: MissingSummary
    rows: list[Lacking]

    @classmethod
    def of(
        cls, summary: MissingSummary, found: Iterator[Lacking], most: int, writer: MissingWriter
    ) -> MissingRows:
        """Go through what lacks, once: count it, write it, keep the `most` with the most money."""

        def passing() -> Iterator[Lacking]:
            for one in found:
                summary.add(one)
                writer.write(one)
                yield one

        return cls(summary, heapq.nlargest(most, passing(), key=_weight))


def _weight(one: Lacking) -> tuple[bool, int]:
    return one.verdict is LackingVerdict.MISSING_LOCAL, one.lookup.applied_fen or 0


class MissingWriter:
    """Writes missing.csv, for spreadsheets as exceptions.csv is; its words are English."""

    def __init__(self, file: IO[str]) -> None:
        self._rows = csv.writer(file, lineterminator=LINE_END)
        self._rows.writerow(MISSING_COLUMNS)

    def write(self, one: Lacking) -> None:
        """One refund that the ledger lacks."""
        listed, found = one.listed, one.lookup
        first, last = applied_between(one)
        texts = (
            one.verdict.value,
            one.reason,
            listed.platform,
            listed.account,
            listed.refund_id,
            first,
            last,
        )
        rest = (found.status, found.deadline, ACTIONS[one.verdict], found.request_id, found.looked_up_at)
        currency = (found.currency or "CNY") if found.applied_fen is not None else ""
        self._rows.writerow([*map(_cell, texts), currency, yuan(found.applied_fen), *map(_cell, rest)])


ACTIONS = {
    LackingVerdict.MISSING_LOCAL: "Enter the refund in the ledger, or find out whose it is",
    LackingVerdict.EDGE: "Look for the refund in the ledger of the days before or after",
    LackingVerdict.UNVERIFIED: "Run the same command again; it repeats only failed lookups",
}


def _cell(value: str | None) -> str:
    return "" if value is None else spreadsheet_text(value)


def applied_between(one: Lacking) -> tuple[str | None, str | None]:
    """The first and last moment at which a refund was applied for, in ISO 8601, Beijing; None: not known."""
    if one.lookup.applied_at is not None:
        return one.lookup.applied_at, one.lookup.applied_at
    return _moment(one.earliest), _moment(one.latest)


def _moment(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(BEIJING).isoformat(timespec="seconds")


def missing_cells(one: Lacking, words: Words) -> tuple[str, str, str, str, str, str, str]:
    """What page and sheet show: verdict, platform, account, refund, applied between, amount, status."""
    listed, found = one.listed, one.lookup
    first, last = (text and text[:10] for text in applied_between(one))
    applied = first if first == last else f"{first or '?'} – {last or '?'}"
    amount = money(found.applied_fen, found.currency or "CNY")
    status = found.status and (state_label(listed.platform, found.status, words.language) or found.status)
    verdict = words.missing_verdicts[one.verdict]
    return (
        verdict,
        listed.platform,
        listed.account or "",
        listed.refund_id,
        applied or "",
        amount,
        status or "",
    )


def missing_sentences(summary: MissingSummary, words: Words) -> list[str]:
    """What a person is told, the most important first."""
    missing, edge, unverified = (summary.verdicts[verdict] for verdict in LackingVerdict)
    told = []
    if summary.asks:
        share = round(100 * summary.lacking / max(1, summary.named))
        told.append(
            words.missing_asks.format(lacking=f"{summary.lacking:,}", named=f"{summary.named:,}", share=share)
        )
    if summary.looked_up:
        told.append(
            words.missing_found.format(
                since=summary.since,
                until=summary.until,
                named=f"{summary.named:,}",
                missing=f"{missing:,}",
                amount=moneys(summary.amounts_fen),
                edge=f"{edge:,}",
            )
        )
    else:
        told.append(words.missing_left)
    if unverified and summary.looked_up:
        told.append(words.missing_unverified.format(count=f"{unverified:,}"))
    if summary.invented:
        told.append(words.missing_invented.format(count=f"{summary.invented:,}"))
    told += [words.missing_more.format(why=why) for why in summary.incomplete]
    return [*told, *summary.notes]


def heads_of(words: Words) -> Sequence[str]:
    """The heads of `missing_cells`."""
    names = ("verdict", "platform", "account", "refund", "applied", "platform_amount", "platform_status")
    return [words.heads[name] for name in names]
