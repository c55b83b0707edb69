"""Read a ledger's file into the state of a run: every row once, with notes about the file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pandapon_async.accounts import Accounts
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.reconcile.columns import inferred, resolver
from pandapon_async.reconcile.ledger import LedgerReader
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.tables.file_set import name_of
from pandapon_async.tables.open import file_digest, open_table
from pandapon_async.tables.table import Table

__all__ = ["names_accounts", "open_ledger", "read_into"]

BATCH = 20_000
"""How many rows are stored at once."""


def open_ledger(ledger: Path, options: Options) -> Table:
    """Open a ledger and find its columns. Raises InvalidArgumentError for one that cannot be read."""
    table = open_table(ledger, resolver(options), options.reading)
    if table.is_empty():
        what = ledger.name if not table.files else f"none of the {len(table.files):,} files of {ledger}"
        raise InvalidArgumentError(f"{what} has no rows below its column names", argument="ledger")
    return table


def names_accounts(table: Table, accounts: Accounts) -> bool:
    """Whether the rows name accounts, by a column or by shops with an account."""
    positions = table.columns.positions
    return "account" in positions or ("shop" in positions and bool(accounts.shops))


def read_into(
    state: RunStore, reader: LedgerReader, ledger: Path, digest: str, check: Callable[[], None]
) -> list[str]:
    """Read a ledger into the state. After an interruption the next run begins again.

    Args:
        state: The state of the run.
        reader: Reads the rows.
        ledger: The file.
        digest: The file's digest before it was read.
        check: May raise to stop.

    Returns: what is worth knowing of the ledger, for people.
    """
    table = reader.table
    state.forget_rows()
    rows = reader.rows()
    count = 0
    while added := state.add_rows(itertools.islice(rows, BATCH)):
        count += added
        check()
    if file_digest(ledger, check) != digest:
        raise InvalidArgumentError(f"{name_of(ledger)} was changed while it was read; run the command again")
    facts: dict[str, Any] = {
        "name": name_of(ledger),
        "sha256": digest,
        "format": table.format,
        "encoding": table.encoding,
        "columns": table.columns.named(),
        "amount_unit": table.columns.units["amount"],
        "rows": count,
        "blank_lines": table.blank_lines,
        "totals": table.totals,
    }
    if table.files:
        facts["files"] = list(table.files)
    notes = reader.notes()
    state.set({"ledger": facts, "inferred": inferred(table.columns, reader.options), "notes": notes})
    return notes
