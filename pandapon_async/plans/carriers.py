"""Codes of carriers: which are known, and which of a plan's are not.

The vendor's list of carriers has no known path, and it takes a wrong code. So a code is compared with a list
that somebody keeps, and with the returns that the journal says were confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.journal import IntentState, Journal
from pandapon_async.plans.plan_types import RETURNS, PlanType
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.tables.cells import shown, tidy
from pandapon_async.tables.csv_text import encodings_of

__all__ = ["Carriers", "confirmed_codes", "listed_codes"]

ARGUMENT = "logistics_company_no"
FACT = "logisticsCompanyNo"
CONFIRMED = (IntentState.CONFIRMED, IntentState.SETTLED_DONE)
MOST_TOLD = 20
MOST_COUNTED = 1_000


def listed_codes(path: Path) -> set[str]:
    """The codes in a file, one at the beginning of each line; what follows a comma or a TAB is for people."""
    if not path.is_file():
        raise InvalidArgumentError(f"no such file: {path}", argument="carriers")
    encoding = encodings_of(path).names[0]
    lines = path.read_text(encoding=encoding, errors="replace").splitlines()
    codes = {tidy(line.replace("\t", ",").replace(";", ",").split(",")[0].strip(' "')) for line in lines}
    return codes - {""}


async def confirmed_codes(journal: Journal) -> set[str]:
    """The codes of the returns that the journal says were confirmed; makes no journal where there is none."""
    if not await journal.exists():
        return set()
    found = set()
    async for intent in journal.all(CONFIRMED):
        if isinstance(code := intent.facts.get(FACT), str):
            found.add(code)
    return found


@attrs.define
class _Unknown:
    """A code that is not known: in how many rows, and in which first."""

    first: int
    rows: int = 0


@attrs.define
class Carriers:
    """The codes of one plan, compared with those that are known."""

    known: set[str]
    _unknown: dict[str, _Unknown] = attrs.field(init=False, factory=dict)

    def add(self, plan_type: PlanType, rows: Iterable[PlanRow]) -> None:
        """Look at rows of the plan."""
        if plan_type is not RETURNS:
            return
        for row in rows:
            code = row.arguments.get(ARGUMENT)
            if row.state is RowState.REFUSED or code is None or code in self.known:
                continue
            if code in self._unknown or len(self._unknown) < MOST_COUNTED:
                self._unknown.setdefault(code, _Unknown(row.row)).rows += 1

    def notes(self) -> list[str]:
        """What to say of the codes that are not known."""
        if not self._unknown:
            return []
        told = list(self._unknown.items())[:MOST_TOLD]
        codes = ", ".join(f"{shown(code)} in {_rows(found)}" for code, found in told)
        more = f" and {len(self._unknown) - MOST_TOLD:,} others" if len(self._unknown) > MOST_TOLD else ""
        return [
            f"carriers that no confirmed return and no list has: {codes}{more}; check the codes, give a list "
            "with --carriers FILE, or say --any-carrier"
        ]


def _rows(found: _Unknown) -> str:
    return f"row {found.first}" if found.rows == 1 else f"{found.rows:,} rows from row {found.first} on"
