"""The files of a run: rows.csv, exceptions.csv, summary.json (and report.html, see `report`).

All of them are written whole (see `storage.files`), summary.json last; so there is never half a file, and a
summary vouches for the files beside it. Cells that a spreadsheet would take
for a formula are defused.
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
from pandapon_async.reconcile.verdict import Judgement, LedgerRow, Lookup, Outcome, Verdict
from pandapon_async.storage.files import Mark

__all__ = ["COLUMNS", "EXCEPTION_COLUMNS", "FILES", "RowsWriter", "check_directory", "defuse", "rows_digest"]

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
)
VARYING = 3  # request id, time and age differ from run to run; everything before them does not
EXCEPTION_COLUMNS = (*COLUMNS[:-VARYING], "difference_fen", "age_days", *COLUMNS[-VARYING:])

_MADE_BY = "a reconciliation"
FILES = {
    "rows.csv": Mark(",".join(COLUMNS[:-1]), _MADE_BY),  # without the column that earlier versions had not
    "exceptions.csv": Mark(",".join(EXCEPTION_COLUMNS[:-1]), _MADE_BY),
    "report.html": Mark("<!-- made by pandapon-async reconcile -->", _MADE_BY),
    "summary.json": Mark('"made_by": "pandapon-async reconcile"', _MADE_BY),
}
"""What a run writes, and how each file is known as ours."""

LINE_END = "\r\n"  # as RFC 4180 has it; with \n alone the csv module would not quote a lone \r
_FORMULA = re.compile(f"[{INVISIBLE}\\s]*[=+@＝＋－＠-]|[\t\r\n\0]")
"""What begins a formula, also behind what no program shows: they trim it and then see the sign."""
_PLAIN_NUMBER = re.compile(r"[+-]?\d{1,15}", re.ASCII)


def defuse(text: str) -> str:
    """The text as it may stand in a spreadsheet: a quote goes before what could be taken for a formula.

    >>> defuse("=1+1"), defuse("-20")
    ("'=1+1", '-20')
    """
    if _FORMULA.match(text) and not _PLAIN_NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def check_directory(out: Path) -> None:
    """Refuse, before any work, a directory in which files of someone else bear the names of ours."""
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file; --out is a folder")
    for name, mark in FILES.items():
        mark.check(out / name)


class RowsWriter:
    """Writes rows.csv and exceptions.csv side by side, and the digest of what does not vary."""

    def __init__(self, rows: IO[str], exceptions: IO[str], ended: datetime) -> None:
        self._ended = ended
        self._rows = csv.writer(rows, lineterminator=LINE_END)
        self._exceptions = csv.writer(exceptions, lineterminator=LINE_END)
        self._digest = _RowsDigest()
        self._rows.writerow(COLUMNS)
        self._digest.add(COLUMNS)
        self._exceptions.writerow(EXCEPTION_COLUMNS)

    def write(self, row: LedgerRow, lookup: Lookup | None, judgement: Judgement) -> None:
        """One row of the ledger: into rows.csv, and into exceptions.csv unless it matched."""
        cells = row_cells(row, lookup, judgement, self._ended)
        self._rows.writerow(cells)
        self._digest.add(cells)
        if judgement.verdict is Verdict.MATCHED:
            return
        difference: Any = ""
        if judgement.upstream_fen is not None and row.amount_fen is not None:
            difference = judgement.upstream_fen - row.amount_fen
        age = judgement.age_days if judgement.open and judgement.age_days is not None else ""
        self._exceptions.writerow([*cells[:-VARYING], difference, age, *cells[-VARYING:]])

    def digest(self) -> str:
        """The digest of the rows so far."""
        return self._digest.hexdigest()


def lookup_age(looked_up_at: str, ended: datetime) -> int:
    """How many seconds before the end of the run a lookup was made."""
    return round((ended - datetime.fromisoformat(looked_up_at)).total_seconds())


def row_cells(row: LedgerRow, lookup: Lookup | None, judgement: Judgement, ended: datetime) -> list[Any]:
    """The cells of a row in the order of `COLUMNS`; numbers stay numbers, text is defused."""
    found = lookup or Lookup(outcome=Outcome.FAILED)
    values: tuple[Any, ...] = (
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
        found.request_id,
        found.looked_up_at,
        None if found.looked_up_at is None else lookup_age(found.looked_up_at, ended),
    )
    return ["" if value is None else defuse(value) if isinstance(value, str) else value for value in values]


class _RowsDigest:
    """SHA-256 over rows as CSV, without the columns that vary."""

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
    """The digest of a rows.csv, to be compared with `rows_digest` in a summary.json."""
    digest = _RowsDigest()
    with path.open(encoding="utf-8", newline="") as file:
        for cells in csv.reader(file):
            digest.add(cells)
    return digest.hexdigest()


def write_json(file: IO[str], content: Any) -> None:
    """JSON, indented for people."""
    file.write(visible(json.dumps(content, ensure_ascii=False, indent=2)) + "\n")
