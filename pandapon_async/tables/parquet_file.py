"""Parquet ledgers. Columns have types, so whole numbers are exact here, at any length.

A floating-point column is what it is elsewhere: sure to 15 digits. Rows are counted from 1.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pandapon_async.errors import ConfigurationError, InvalidArgumentError
from pandapon_async.tables.cells import Cell
from pandapon_async.tables.table import Record

__all__ = ["ParquetTable"]

BATCH = 2_000


class ParquetTable:
    """A Parquet file, read batch by batch and only in the wanted columns."""

    format = "parquet"
    encoding: str | None = None
    day_zero: date = date(1899, 12, 30)
    blank_lines = 0

    def __init__(self, path: Path) -> None:
        try:
            arrow = importlib.import_module("pyarrow")  # has no types of its own
            parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise ConfigurationError(
                "reading Parquet needs pyarrow: pip install 'pandapon-async[reconcile]'"
            ) from None
        self.path = path
        try:
            # No read-ahead and a small buffer: a row group may hold the whole file.
            self._file: Any = parquet.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False)
        except arrow.ArrowException:
            raise InvalidArgumentError(f"{path.name} is no readable Parquet file") from None
        self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)

    def records(self, wanted: Sequence[int]) -> Iterator[Record]:
        """Each row; a row without any value is a record too."""
        names = [self.columns[at] for at in wanted]
        row = 0
        for batch in self._file.iter_batches(batch_size=BATCH, columns=names, use_threads=False):
            columns = [_cells(batch.column(name)) for name in names]
            for cells in zip(*columns, strict=True):
                row += 1
                yield Record(row, cells)


def _cells(column: Any) -> list[Cell]:
    arrow = importlib.import_module("pyarrow")
    kind = column.type
    if arrow.types.is_timestamp(kind) and kind.unit == "ns":  # its Python form would need pandas
        column = column.cast(arrow.timestamp("us", tz=kind.tz), safe=False)
    values: list[Any] = column.to_pylist()
    if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
        return [*values]
    return [None if value is None else _convert(value) for value in values]


def _convert(value: Any) -> Cell:
    for kind, convert in _CONVERTERS:
        if isinstance(value, kind):
            return convert(value)
    return str(value)


def _of_float(value: float) -> Cell:
    number = Decimal(repr(value))  # the shortest digits that mean this very float
    return number if number.is_finite() else None


def _of_decimal(value: Decimal) -> Cell:
    """A decimal column is exact: whole numbers stay so, others become the text of their digits."""
    return int(value) if value == value.to_integral_value() else format(value, "f")


_CONVERTERS: tuple[tuple[type, Callable[[Any], Cell]], ...] = (
    (bool, lambda value: "TRUE" if value else "FALSE"),
    (int, lambda value: value),
    (str, lambda value: value),
    (float, _of_float),
    (Decimal, _of_decimal),
    (datetime, lambda value: value),
    (date, lambda value: datetime(value.year, value.month, value.day)),
)
