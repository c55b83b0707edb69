"""Read Parquet. Columns have types, so whole numbers and decimals of any length are exact.

A floating-point column is exact to 15 digits as elsewhere, or to 7 as float32. A file is read batch by batch
and only in the wanted columns; rows count from 1.
"""

from __future__ import annotations

import contextlib
import importlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pandapon_async.core.model import EPOCH
from pandapon_async.errors import ConfigurationError, InvalidArgumentError, PandaponError
from pandapon_async.tables.cells import BadCell, Cell
from pandapon_async.tables.headers import SEARCHED, HeadRow
from pandapon_async.tables.moments import DAY_ZERO
from pandapon_async.tables.source import RawRow, Sheet

__all__ = ["ParquetSource"]

BATCH = 2_000
LARGEST_GROUP = 512 << 20  # bytes of the wanted columns of a row group, unpacked
FLOAT32_DIGITS = 7
NESTED = "is a list or a structure, not one value"
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class ParquetSource:
    """A Parquet file."""

    format = "parquet"
    encoding: str | None = None
    day_zero: date = DAY_ZERO

    def __init__(self, path: Path, name: str | None = None) -> None:
        try:
            self._arrow: Any = importlib.import_module("pyarrow")  # has no types of its own
            parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise ConfigurationError(
                "reading Parquet needs pyarrow: pip install 'pandapon-async[reconcile]'"
            ) from None
        self.path = path
        self.name: str = name or path.name
        self.sheets: Sequence[Sheet] = (Sheet(""),)
        with self._damage():
            # No read-ahead and a small buffer: a row group may hold the whole file.
            self._file: Any = parquet.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False)
            self._schema: Any = self._file.schema_arrow
            self.names: tuple[str, ...] = tuple(self._schema.names)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        """Any error of the library while reading means that the file is unreadable."""
        try:
            yield
        except (PandaponError, MemoryError):
            raise
        except Exception:
            raise InvalidArgumentError(f"{self.name} is not a readable Parquet file") from None

    def head(self, sheet: Sheet, first: int = 1, most: int = SEARCHED) -> Sequence[HeadRow]:
        """Return the names, which are not in a row."""
        return [(0, self.names)]

    def is_float32(self, at: int) -> bool:
        """Whether a column is exact to at most 7 digits."""
        kind = self._schema.types[at]
        return bool(self._arrow.types.is_float32(kind) or self._arrow.types.is_float16(kind))

    def rows(self, sheet: Sheet, names: Sequence[str], last: int, wanted: Sequence[int]) -> Iterator[RawRow]:
        """Iterate over the rows, including rows without any value."""
        self._check_groups(wanted)
        several = len(set(self.names)) < len(self.names)
        columns = None if several else [self.names[at] for at in wanted]  # a name may match two columns
        number = 0
        with self._damage():
            for batch in self._file.iter_batches(batch_size=BATCH, columns=columns, use_threads=False):
                at_once = [
                    self._cells(batch.column(at) if several else batch.column(self.names[at]))
                    for at in wanted
                ]
                for cells in zip(*at_once, strict=True):
                    number += 1
                    yield number, cells, None

    def pick(self, cells: Sequence[Cell], wanted: Sequence[int]) -> Sequence[Cell]:
        """Return the cells: no others were read."""
        return cells

    def is_blank(self, cells: Sequence[Cell]) -> bool:
        """False, because columns that were not read may have values."""
        return False

    def filled(self, cells: Sequence[Cell]) -> Iterable[Cell]:
        """Return the wanted cells of a row."""
        return cells

    def notes(self) -> Sequence[str]:
        """Nothing is skipped here."""
        return ()

    def _check_groups(self, wanted: Sequence[int]) -> None:
        with self._damage():
            names = {self.names[at] for at in wanted}
            facts = self._file.metadata
            for group in range(facts.num_row_groups):
                row_group = facts.row_group(group)
                chunks = [row_group.column(at) for at in range(row_group.num_columns)]
                size = sum(
                    chunk.total_uncompressed_size
                    for chunk in chunks
                    if chunk.path_in_schema.split(".")[0] in names or chunk.path_in_schema in names
                )
                if size > LARGEST_GROUP:
                    raise InvalidArgumentError(
                        f"{self.name}: row group {group + 1} has {size >> 20:,} MB unpacked in the "
                        f"columns to read, more than the limit of {LARGEST_GROUP >> 20} MB; write "
                        "smaller row groups"
                    )

    def _cells(self, column: Any) -> Sequence[Cell]:
        types, kind = self._arrow.types, column.type
        if types.is_dictionary(kind):
            return self._cells(column.dictionary_decode())
        if types.is_timestamp(kind):
            return [_of_ticks(value, kind.unit, kind.tz) for value in column.cast("int64").to_pylist()]
        if types.is_date(kind):
            column = column.cast(self._arrow.date32()).cast("int32")
            return [_of_ticks(value, "d", None) for value in column.to_pylist()]
        if types.is_float32(kind) or types.is_float16(kind):
            return [None if value is None else _of_float32(value) for value in column.to_pylist()]
        if types.is_nested(kind):
            return [BadCell("…", NESTED) if valid else None for valid in column.is_valid().to_pylist()]
        if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
            return self._texts(column)
        values: list[Any] = column.to_pylist()
        return [None if value is None else _convert(value) for value in values]

    def _texts(self, column: Any) -> Sequence[Cell]:
        """Return the texts of a column; broken bytes, which some programs write, cost their cell only."""
        try:
            values: list[Cell] = column.to_pylist()
        except UnicodeDecodeError:
            raw = column.cast(self._arrow.large_binary()).to_pylist()
            values = [None if value is None else value.decode("utf-8", "replace") for value in raw]
        return values


def _of_ticks(value: int | None, unit: str, zone: str | None) -> Cell:
    """Convert a count since 1970 to a time: UTC if the column has any zone, otherwise local clock time.

    None for a time outside the calendar.
    """
    if value is None:
        return None
    ticks = value * 86_400 * 10**6 if unit == "d" else value * 10**6 // _PER_SECOND[unit]
    try:
        moment = EPOCH + timedelta(microseconds=ticks)
    except OverflowError:
        return None
    return moment if zone is not None else moment.replace(tzinfo=None)


def _convert(value: Any) -> Cell:
    for kind, convert in _CONVERTERS:
        if isinstance(value, kind):
            return convert(value)
    return str(value)


def _of_float(value: float) -> Cell:
    number = Decimal(repr(value))  # the shortest digits for this float
    return number if number.is_finite() else None


def _of_float32(value: float) -> Cell:
    """Return the shortest digits for this float32, of which seven are exact."""
    text = f"{value:.{FLOAT32_DIGITS}g}"
    if value != value or value in (float("inf"), float("-inf")):
        return None
    if struct.pack("f", float(text)) != struct.pack("f", value):
        return BadCell(f"{value:.9g}", f"has more digits than float32 stores exactly ({FLOAT32_DIGITS})")
    return Decimal(text)


def _of_decimal(value: Decimal) -> Cell:
    """Normalise an exact decimal; its scale does not matter: 976.8900 is 976.89."""
    if value == value.to_integral_value():
        return int(value)
    return format(value, "f").rstrip("0")


_CONVERTERS: tuple[tuple[type, Callable[[Any], Cell]], ...] = (
    (bool, lambda value: "TRUE" if value else "FALSE"),
    (int, lambda value: value),
    (str, lambda value: value),
    (bytes, lambda value: value.decode("utf-8", "replace")),
    (float, _of_float),
    (Decimal, _of_decimal),
    (datetime, lambda value: value),
    (date, lambda value: datetime(value.year, value.month, value.day)),
)
