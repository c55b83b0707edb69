"""The options that `pandapon reconcile` and its parts share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from pandapon_async import reconcile as job
from pandapon_async.core.model import BEIJING

__all__ = [
    "AcceptMissing",
    "AsOf",
    "BaseUrl",
    "Basis",
    "Concurrency",
    "Ledger",
    "MapColumn",
    "Negative",
    "OnePlatform",
    "Rate",
    "ReportLanguage",
    "ReportRows",
    "Reuse",
    "SecondPass",
    "StatusMap",
    "Tolerance",
    "Unit",
    "grouped",
    "pairs",
    "time_of",
]

Ledger = Annotated[
    Path,
    typer.Argument(
        help="CSV, XLSX or Parquet, one refund per row; a folder or 'pattern*.csv' is one ledger."
    ),
]
MapColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="FIELD=COLUMN", help="Name a column: --map refund_id=退款编号. Repeatable."
    ),
]
OnePlatform = Annotated[Literal["1688", "taobao"] | None, typer.Option(help="All rows are of this platform.")]
Unit = Annotated[Literal["fen", "yuan"] | None, typer.Option(help="What the amount column counts in.")]
Basis = Annotated[
    job.AmountBasis,
    typer.Option(
        help="1688: refunded amount once it succeeded, the applied one before (actual), or one of them."
    ),
]
Tolerance = Annotated[int, typer.Option(min=0, help="Difference in fen that still counts as equal.")]
StatusMap = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD=STATE", help="Your word for a state: done=refundsuccess. Repeatable."),
]
Negative = Annotated[bool, typer.Option("--negative", help="The ledger writes refunds as negative amounts.")]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="TIME", help='The "now" of deadlines, ISO 8601; default: the first start.'),
]
SecondPass = Annotated[bool, typer.Option(help="Look up again at the end what failed for a passing reason.")]
Reuse = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Use earlier lookups that are at most so old: 90m, 36h, 2d."),
]
AcceptMissing = Annotated[
    bool, typer.Option("--accept-missing", help="Go on although the first ten lookups find nothing.")
]
ReportRows = Annotated[
    int, typer.Option(min=0, help="Rows that report.xlsx lists, those with the most money at stake.")
]
ReportLanguage = Annotated[
    Literal["en", "zh"] | None,
    typer.Option(help="Of the reports; default: PANDAPON_LANGUAGE, else that of LC_ALL or LANG."),
]
Rate = Annotated[float | None, typer.Option(min=0.001, help="Calls per second at most.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Lookups on their way at once.")]
BaseUrl = Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")]


def pairs(texts: Iterable[str], option: str) -> Iterable[tuple[str, str]]:
    """NAME=VALUE texts, in two."""
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} has no '='", param_hint=option)
        yield name.strip(), value.strip()


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """All values of each name."""
    found: dict[str, tuple[str, ...]] = {}
    for word, state in pairs:
        found[word] = (*found.get(word, ()), state)
    return found


def time_of(text: str | None) -> datetime | None:
    """ISO 8601; Beijing time if it names no zone."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2024-05-31T23:59:59+08:00", param_hint="--as-of"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)
