"""The files of a run, and the two that are CSV: rows.csv for programs, exceptions.csv for spreadsheets.

Each file is written completely (see `storage.files`), summary.json last; so there is never half a file, and a
summary guarantees the files next to it. Cells that a spreadsheet would treat as a formula are defused.

rows.csv has bare digits and whole fen; read it with text columns (pandas: `dtype=str`). exceptions.csv is
opened by a double click: it begins with a byte order mark, without which a spreadsheet shows Chinese as
mojibake, has amounts in yuan, and writes long digits as `="2542285634920880794"`, which every spreadsheet
shows as they are. Without that they become 2.54E+18 and lose their last digits; a leading apostrophe would be
visible.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pandapon_async.errors import ConfigurationError
from pandapon_async.plain_text import INVISIBLE, visible
from pandapon_async.reconcile.attention import ONE, AttentionRow, Origins
from pandapon_async.reconcile.explain import action, day, ledger_status, reason
from pandapon_async.reconcile.verdict import Judgement, LedgerRow, Lookup, Outcome
from pandapon_async.reconcile.words import words_of
from pandapon_async.storage.files import Mark

__all__ = [
    "COLUMNS",
    "EXCEPTION_COLUMNS",
    "FILES",
    "LINE_END",
    "MISSING_COLUMNS",
    "ExceptionsWriter",
    "RowsWriter",
    "check_directory",
    "columns_of",
    "defuse",
    "row_values",
    "rows_digest",
    "spreadsheet_text",
    "yuan",
]

COLUMNS = (
    "row",
    "verdict",
    "reason",
    "column",
    "platform",
    "shop",
    "refund_id",
    "order_id",
    "ledger_amount_fen",
    "upstream_amount_fen",
    "ledger_currency",
    "upstream_currency",
    "ledger_status",
    "upstream_status",
    "deadline",
    "request_id",
    "looked_up_at",
    "lookup_age_s",
    "source",
)
VARYING = 4  # request id, time, age and source differ from run to run; the columns before them do not
EXCEPTION_COLUMNS = (
    *(
        "row",
        "verdict",
        "reason",
        "column",
        "platform",
        "shop",
        "refund_id",
        "order_id",
        "applied_at",
        "age_days",
    ),
    *("currency", "ledger_amount_yuan", "upstream_amount_yuan", "difference_yuan", "at_stake_yuan"),
    *("upstream_currency", "ledger_status", "upstream_status", "deadline", "action"),
    *("request_id", "looked_up_at", "lookup_age_s"),
)

MISSING_COLUMNS = (
    *("verdict", "reason", "platform", "account", "refund_id", "applied_from", "applied_until", "currency"),
    *("platform_amount_yuan", "platform_status", "deadline", "action", "request_id", "looked_up_at"),
)

_MADE_BY = "a reconciliation"
_WORDS = "made by pandapon-async reconcile"
_FIRST_COLUMNS = "row,verdict,reason,column,platform,shop,refund_id,order_id,"
FILES = {
    "rows.csv": Mark(_FIRST_COLUMNS, _MADE_BY),
    "exceptions.csv": Mark(_FIRST_COLUMNS, _MADE_BY),
    "missing.csv": Mark("verdict,reason,platform,account,refund_id,applied_from,", _MADE_BY),
    "rows.parquet": Mark(_WORDS, _MADE_BY, "tail"),
    "report.html": Mark(f"<!-- {_WORDS} -->", _MADE_BY),
    "report.xlsx": Mark(_WORDS, _MADE_BY, "properties"),
    "summary.json": Mark('"made_by": "pandapon-async reconcile"', _MADE_BY),
}
"""The files of a run, with the mark of each."""

LINE_END = "\r\n"  # as in RFC 4180; with \n alone the csv module would not quote a lone \r
_FORMULA = re.compile(f"[{INVISIBLE}\\s]*[=+@＝＋－＠-]|[\t\r\n\0]")
"""The begin of a formula, also after invisible characters, which programs trim before they check it."""
_PLAIN_NUMBER = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_SHORT_NUMBER = re.compile(r"[+-]?\d{1,11}", re.ASCII)
_LIKE_A_NUMBER = re.compile(r"[0-9][0-9.,/:eE+ -]*|[0-9.,/: -]*[0-9][eE][0-9]*", re.ASCII)
"""Text that a spreadsheet may read as a number, a date or a time."""


def defuse(text: str) -> str:
    """Make a text safe for a spreadsheet: put a quote before a possible formula.

    >>> defuse("=1+1"), defuse("-20")
    ("'=1+1", '-20')
    """
    if _FORMULA.match(text) and not _PLAIN_NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def spreadsheet_text(text: str) -> str:
    """Write a text so that a spreadsheet shows it unchanged from a CSV file.

    >>> spreadsheet_text("2542285634920880794"), spreadsheet_text("-20"), spreadsheet_text("=1+1")
    ('="2542285634920880794"', '-20', "'=1+1")
    """
    if _LIKE_A_NUMBER.fullmatch(text) and not (_SHORT_NUMBER.fullmatch(text) and text[0] != "0"):
        return f'="{text}"'
    return defuse(text)


def yuan(fen: int | None) -> str:
    """Format an amount as a plain decimal of its currency; empty if there is none.

    >>> yuan(-5), yuan(123450)
    ('-0.05', '1234.50')
    """
    return "" if fen is None else f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def check_directory(out: Path) -> None:
    """Refuse, before any work, a folder with foreign files under the names of ours."""
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file; --out must be a folder")
    for name, mark in FILES.items():
        mark.check(out / name)


class RowsWriter:
    """Writes rows.csv, and the digest of its stable columns."""

    def __init__(self, rows: IO[str], ended: datetime, origins: Origins = ONE) -> None:
        self._ended = ended
        self._origins = origins
        self._rows = csv.writer(rows, lineterminator=LINE_END)
        self._digest = _RowsDigest()
        columns = columns_of(origins)
        self._rows.writerow(columns)
        self._digest.add(columns)

    def write(self, row: LedgerRow, lookup: Lookup | None, judgement: Judgement) -> None:
        """Write one row of the ledger."""
        values = row_values(row, lookup, judgement, self._ended, self._origins)
        cells = [
            "" if value is None else defuse(value) if isinstance(value, str) else value for value in values
        ]
        self._rows.writerow(cells)
        self._digest.add(cells)

    def digest(self) -> str:
        """Return the digest of the rows so far."""
        return self._digest.hexdigest()


class ExceptionsWriter:
    """Writes exceptions.csv, always in English, because programs may read it."""

    def __init__(self, exceptions: IO[str], ended: datetime, origins: Origins = ONE) -> None:
        self._ended = ended
        self._origins = origins
        self._words = words_of("en")
        self._rows = csv.writer(exceptions, lineterminator=LINE_END)
        self._rows.writerow([*EXCEPTION_COLUMNS[:-3], *origins.columns, *EXCEPTION_COLUMNS[-3:]])

    def write(self, one: AttentionRow) -> None:
        """Write one row that did not match."""
        row, found = one.row, one.lookup or Lookup(outcome=Outcome.FAILED)
        looked_up_at = found.looked_up_at
        values: tuple[str | int | None, ...] = (
            *(row.row, one.verdict.value, reason(one, self._words), row.column, row.platform, row.shop),
            *(row.refund_id, row.order_id),
        )
        when = (day(one.applied_at), "" if one.age_days is None else one.age_days, row.currency or "")
        amounts = (row.amount_fen, one.judgement.upstream_fen, one.difference_fen, one.stake_fen)
        rest: tuple[str | int | None, ...] = (
            *(one.platform_currency, ledger_status(one), found.status, found.deadline),
            *(action(one, self._words), *self._origins.of(row), found.request_id, looked_up_at),
            None if looked_up_at is None else lookup_age(looked_up_at, self._ended),
        )
        self._rows.writerow([*map(_cell, values), *when, *map(yuan, amounts), *map(_cell, rest)])


def _cell(value: str | int | None) -> str | int:
    return "" if value is None else spreadsheet_text(value) if isinstance(value, str) else value


def lookup_age(looked_up_at: str, ended: datetime) -> int:
    """Return the seconds from a lookup to the end of the run."""
    return round((ended - datetime.fromisoformat(looked_up_at)).total_seconds())


def columns_of(origins: Origins) -> tuple[str, ...]:
    """Return the columns of the rows: `COLUMNS`, and the origin of a row."""
    return (*COLUMNS[:-VARYING], *origins.columns, *COLUMNS[-VARYING:])


def row_values(
    row: LedgerRow, lookup: Lookup | None, judgement: Judgement, ended: datetime, origins: Origins = ONE
) -> tuple[str | int | None, ...]:
    """Return the values of a row in the order of `columns_of`."""
    found = lookup or Lookup(outcome=Outcome.FAILED)
    return (
        row.row,
        judgement.verdict.value,
        judgement.reason,
        row.column,
        row.platform,
        row.shop,
        row.refund_id,
        row.order_id,
        row.amount_fen,
        judgement.upstream_fen,
        row.currency,
        (found.currency or "CNY") if found.outcome is Outcome.FOUND else None,
        row.status,
        found.status,
        found.deadline,
        *origins.of(row),
        found.request_id,
        found.looked_up_at,
        None if found.looked_up_at is None else lookup_age(found.looked_up_at, ended),
        None if lookup is None else lookup.source.value,
    )


class _RowsDigest:
    """The SHA-256 over rows as CSV, without the columns that vary."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._buffer = io.StringIO(newline="")
        self._writer = csv.writer(self._buffer, lineterminator=LINE_END)

    def add(self, cells: Sequence[Any]) -> None:
        self._writer.writerow(cells[:-VARYING])
        if self._buffer.tell() > 1 << 16:
            self._flush()

    def _flush(self) -> None:
        self._sha.update(self._buffer.getvalue().encode())
        self._buffer.seek(0)
        self._buffer.truncate()

    def hexdigest(self) -> str:
        self._flush()
        return self._sha.hexdigest()


def rows_digest(path: Path) -> str:
    """Return the digest of a rows.csv, to compare with `rows_digest` in a summary.json."""
    digest = _RowsDigest()
    with path.open(encoding="utf-8", newline="") as file:
        for cells in csv.reader(file):
            digest.add(cells)
    return digest.hexdigest()


def write_json(file: IO[str], content: Any) -> None:
    """Write JSON, indented for people."""
    file.write(visible(json.dumps(content, ensure_ascii=False, indent=2)) + "\n")
