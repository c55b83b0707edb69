"""Check the carrier codes of a plan against known ones.

The path of the vendor's list of carriers is not known, and the vendor accepts a wrong code. So a code is
compared with a list of the user's, and with the confirmed returns in the journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.journal import IntentState, Journal
from pandapon_async.plans.plan_types import RETURNS, PlanType
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.tables.cells import shown, tidy
from pandapon_async.tables.csv_text import encodings_of
from pandapon_async.tables.fields import plain_name
from pandapon_async.tables.kinds import kind_of

__all__ = ["Carriers", "confirmed_codes", "listed_codes"]

ARGUMENT = "logistics_company_no"
FACT = "logisticsCompanyNo"
CONFIRMED = (IntentState.CONFIRMED, IntentState.SETTLED_DONE)
_CELLS = re.compile(r"[,;|\t]")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_NAMES = frozenset(["code", "codes", "编码", "代码", "编号", "公司编码", "公司代码"])
MOST_TOLD = 20
MOST_COUNTED = 1_000


def listed_codes(path: Path) -> set[str]:
    """Read the codes in a file, one per line, alone or beside the carrier's name.

    Raises InvalidArgumentError for a file without codes, and for a line whose code is not certain.
    """
    if not path.is_file():
        raise InvalidArgumentError(f"the file {path} does not exist; check --carriers", argument="carriers")
    encoding = encodings_of(path).names[0]
    text = path.read_text(encoding=encoding, errors="replace")
    if kind_of(path) != "csv" or "\0" in text:
        raise _unusable(f"{path.name} is not a text file; save the codes as text, one per line")
    codes: set[str] = set()
    at: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [tidy(cell.strip(' "')) for cell in _CELLS.split(line.partition("#")[0])]
        if number == 1 and (named := _column_of_codes(cells)) is not None:
            at = named
            continue
        if at is not None:
            cells = cells[at : at + 1]
        filled = {cell for cell in cells if cell}
        found = filled if len(filled) < 2 else {cell for cell in filled if _CODE.fullmatch(cell)}
        if filled and len(found) != 1:
            raise _unusable(
                f"{path.name}, line {number}: {shown(line)} has {len(found) or 'no'} codes; write one code "
                "per line, followed by a comma and the name if you like"
            )
        codes |= found
    if not codes:
        raise _unusable(f"{path.name} has no codes; write one per line")
    return codes


def _column_of_codes(cells: Sequence[str]) -> int | None:
    """Return the position of the codes if this is a line of column names."""
    spec = next(spec for spec in RETURNS.fields if spec.name == ARGUMENT)
    names = [plain_name(cell) for cell in cells]
    return next((at for at, name in enumerate(names) if name in spec.outright | _NAMES), None)


def _unusable(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"--carriers: {message}", argument="carriers")


async def confirmed_codes(journal: Journal) -> set[str]:
    """Return the codes of the confirmed returns in the journal; creates no journal."""
    if not await journal.exists():
        return set()
    found = set()
    async for intent in journal.all(CONFIRMED):
        if isinstance(code := intent.facts.get(FACT), str):
            found.add(code)
    return found


@attrs.define
class _Unknown:
    """An unknown code: its number of rows and the first of them."""

    first: int
    rows: int = 0


@attrs.define
class Carriers:
    """Compares the codes of one plan with the known ones."""

    known: set[str]
    _unknown: dict[str, _Unknown] = attrs.field(init=False, factory=dict)

    def add(self, plan_type: PlanType, rows: Iterable[PlanRow]) -> None:
        """Check rows of the plan."""
        if plan_type is not RETURNS:
            return
        for row in rows:
            code = row.arguments.get(ARGUMENT)
            if row.state is RowState.REFUSED or code is None or code in self.known:
                continue
            if code in self._unknown or len(self._unknown) < MOST_COUNTED:
                self._unknown.setdefault(code, _Unknown(row.row)).rows += 1

    def notes(self) -> list[str]:
        """Return the note about unknown codes."""
        if not self._unknown:
            return []
        told = list(self._unknown.items())[:MOST_TOLD]
        codes = ", ".join(f"{shown(code)} in {_rows(found)}" for code, found in told)
        more = f" and {len(self._unknown) - MOST_TOLD:,} others" if len(self._unknown) > MOST_TOLD else ""
        return [
            f"unknown carriers, in no confirmed return and no list: {codes}{more}; check the codes, pass "
            "a list with --carriers FILE, or use --any-carrier"
        ]


def _rows(found: _Unknown) -> str:
    return f"row {found.first}" if found.rows == 1 else f"{found.rows:,} rows from row {found.first} on"
