"""Tables for tests: any file with all its columns, and ledgers as reconciliation reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pandapon_async.reconcile.columns import resolver
from pandapon_async.reconcile.ledger import LedgerReader
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.verdict import LedgerRow
from pandapon_async.tables.columns import Resolver
from pandapon_async.tables.fields import ColumnSpec
from pandapon_async.tables.open import ReadOptions, open_table
from pandapon_async.tables.table import Record, Table

NOTHING: frozenset[str] = frozenset()


def _field(at: int) -> ColumnSpec:
    return ColumnSpec(f"c{at}", NOTHING, NOTHING, lambda cell, _: cell)


def whole_table(path: Path, **options: Any) -> Table:
    """A file with each of its columns as a field of its own, recognised by its position."""
    reading = ReadOptions(**options)
    names = open_table(path, Resolver(specs=[_field(1)], required=()), reading).columns.names
    specs = [_field(at) for at in range(1, len(names) + 1)]
    mapping = {spec.name: f"#{at}" for at, spec in enumerate(specs, start=1)}
    return open_table(path, Resolver(specs=specs, required=(), mapping=mapping), reading)


def records(path: Path, **options: Any) -> list[Record]:
    """Every row of a file with all its cells."""
    return list(whole_table(path, **options).records())


def open_ledger(path: Path, **options: Any) -> LedgerReader:
    """A ledger as reconciliation reads it."""
    chosen = Options(**options)
    return LedgerReader(open_table(path, resolver(chosen), chosen.reading), chosen)


def ledger_rows(path: Path, **options: Any) -> list[LedgerRow]:
    """The rows of a ledger."""
    return list(open_ledger(path, **options).rows())
