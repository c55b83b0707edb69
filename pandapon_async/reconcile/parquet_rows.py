"""Write rows.parquet: every row for a frame, with ids as text, amounts as decimals, times as timestamps.

It needs the extra `reconcile` (pyarrow); without it the run reports that it does not write the file.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import IO, Any

from pandapon_async.reconcile.attention import ONE, Origins, moment
from pandapon_async.reconcile.outputs import columns_of, row_values
from pandapon_async.reconcile.verdict import Judgement, LedgerRow, Lookup

__all__ = ["NO_PARQUET", "ParquetRows", "can_write_parquet", "parquet_rows"]

NO_PARQUET = "no rows.parquet: it needs pyarrow (pip install 'pandapon-async[reconcile]')"
BATCH = 10_000
_AMOUNTS = {"ledger_amount_fen": "ledger_amount", "upstream_amount_fen": "upstream_amount"}
_MOMENTS = ("deadline", "looked_up_at")
_NUMBERS = ("row", "lookup_age_s")


def can_write_parquet() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


@contextlib.contextmanager
def parquet_rows(
    file: IO[bytes], ended: datetime, made_by: str, origins: Origins = ONE
) -> Iterator[ParquetRows]:
    """Write rows to a file; it is complete when this returns.

    Args:
        file: where to.
        ended: when the last lookup was made; ages count from it.
        made_by: what marks the file as ours.
        origins: where the rows come from.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    def kind(name: str) -> Any:
        if name in _NUMBERS:
            return arrow.int64()
        if name in _AMOUNTS:
            return arrow.decimal128(38, 2)
        return arrow.timestamp("ms", tz="UTC") if name in _MOMENTS else arrow.string()

    schema = arrow.schema(
        [(_AMOUNTS.get(name, name), kind(name)) for name in columns_of(origins)],
        metadata={"made_by": made_by},
    )
    writer = parquet.ParquetWriter(file, schema, compression="zstd")
    rows = ParquetRows(
        lambda columns: writer.write_table(arrow.table(columns, schema=schema)), ended, origins
    )
    try:
        yield rows
        rows.flush()
    finally:
        writer.close()


class ParquetRows:
    """Collects rows and writes them by columns, so that memory does not grow with their number."""

    def __init__(self, write: Any, ended: datetime, origins: Origins = ONE) -> None:
        self._write = write
        self._origins = origins
        self._names = columns_of(origins)
        self._ended = ended
        self._rows: list[tuple[Any, ...]] = []

    def write(self, row: LedgerRow, lookup: Lookup | None, judgement: Judgement) -> None:
        """Add one row of the ledger."""
        self._rows.append(row_values(row, lookup, judgement, self._ended, self._origins))
        if len(self._rows) == BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the collected rows."""
        if not self._rows:
            return
        columns = dict(zip(self._names, zip(*self._rows, strict=True), strict=True))
        self._rows.clear()
        self._write([_typed(name, column) for name, column in columns.items()])


def _typed(name: str, column: tuple[Any, ...]) -> list[Any]:
    if name in _AMOUNTS:
        return [None if fen is None else Decimal(fen).scaleb(-2) for fen in column]
    if name in _MOMENTS:
        return [moment(text) for text in column]
    return list(column)
