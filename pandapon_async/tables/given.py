"""Write a program's rows to a file that is read like any other.

One reader with one set of rules reads tables of people and of programs: rows become a temporary file. So an
id that a frame holds as a float is refused as in a file, and never looked up with its last digits lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from pandapon_async.errors import InvalidArgumentError

__all__ = ["ArrowStream", "Rows", "table_file", "table_file_off_loop"]

T = TypeVar("T")

NAME = "rows"
"""The name in reports of rows without a file."""


@runtime_checkable
class ArrowStream(Protocol):
    """A frame of pandas, Polars, DuckDB or PyArrow: any object that exports an Arrow stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows."""


Rows: TypeAlias = str | os.PathLike[str] | Iterable[Mapping[str, Any]] | ArrowStream
"""A path, mappings of column names to values (text, int, Decimal, datetime, None), or an Arrow stream."""


@contextlib.contextmanager
def table_file(rows: Rows) -> Iterator[Path]:
    """Return the file with the rows; a file created for them is removed at the end.

    Args:
        rows: A path, mappings with the same columns, or an Arrow stream (needs pyarrow).

    Raises InvalidArgumentError for rows that cannot be written as a table, with the row.
    """
    if isinstance(rows, str | os.PathLike):
        yield Path(rows)
        return
    with tempfile.TemporaryDirectory(prefix="pandapon-rows-") as folder:
        if isinstance(rows, ArrowStream):
            path = Path(folder, f"{NAME}.parquet")
            _write_arrow(path, rows)
        else:
            path = Path(folder, f"{NAME}.csv")
            _write_mappings(path, rows)
        yield path


@contextlib.asynccontextmanager
async def table_file_off_loop(rows: Rows) -> AsyncIterator[Path]:
    """As `as_file`, for the event loop: writes in a thread, which a cancelled task waits for."""
    if isinstance(rows, str | os.PathLike):
        yield Path(rows)
        return
    held = contextlib.ExitStack()
    try:
        yield await _in_thread(lambda: held.enter_context(table_file(rows)))
    finally:
        await _in_thread(held.close)


async def _in_thread(work: Callable[[], T]) -> T:
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _write_arrow(path: Path, rows: ArrowStream) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidArgumentError(
            "an Arrow stream needs pyarrow: pip install 'pandapon-async[reconcile]'", argument="rows"
        ) from None
    with (
        pyarrow.RecordBatchReader.from_stream(rows) as reader,
        parquet.ParquetWriter(path, schema := _storable(reader.schema)) as writer,
    ):
        for batch in reader:
            writer.write_table(pyarrow.Table.from_batches([batch]).cast(schema))


def _storable(schema: Any) -> Any:
    """Convert text columns to the one type that every version of pyarrow writes."""
    import pyarrow

    views = {pyarrow.string_view(): pyarrow.string(), pyarrow.binary_view(): pyarrow.binary()}
    return pyarrow.schema([field.with_type(views.get(field.type, field.type)) for field in schema])


def _write_mappings(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    columns: list[str] | None = None
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for number, row in enumerate(rows, start=1):
            if columns is None:
                columns = [str(name) for name in row]
                writer.writerow(columns)
            if unknown := [str(name) for name in row if name not in columns]:
                raise InvalidArgumentError(
                    f"row {number} has the column {unknown[0]}, which row 1 does not have", argument="rows"
                )
            writer.writerow([_text(row.get(name), name, number) for name in columns])


def _text(value: Any, column: str, number: int) -> str:
    match value:
        case None:
            return ""
        case bool() | float():
            raise InvalidArgumentError(
                f"row {number}, column {column}: {value!r} is a {type(value).__name__}; pass ids as "
                "text, amounts as int, Decimal or text",
                argument="rows",
            )
        case str():
            return " ".join(value.splitlines())
        case int():
            return str(int(value))
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat()
    raise InvalidArgumentError(
        f"row {number}, column {column}: a {type(value).__name__} is not a value of a table", argument="rows"
    )
