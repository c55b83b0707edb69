"""The options that `pandapon reconcile` and its parts share, and their parsers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

from pandapon_async import reconcile as job
from pandapon_async.cli.plan_options import age, split_pair
from pandapon_async.core.model import BEIJING

__all__ = [
    "AcceptMissing",
    "AsOf",
    "BaseUrl",
    "Basis",
    "ByAccount",
    "ByList",
    "Callbacks",
    "Concurrency",
    "DaskParts",
    "DaskWorkers",
    "FindMissing",
    "Ledger",
    "Lookups",
    "MapColumn",
    "Negative",
    "OnDask",
    "Rate",
    "Recheck",
    "ReportLanguage",
    "ReportRows",
    "Reuse",
    "ReuseFinal",
    "SecondPass",
    "Since",
    "StatusMap",
    "StopAt",
    "Tolerance",
    "Unit",
    "Until",
    "WholeAccount",
    "day_of",
    "span",
    "status_words",
    "stop_time",
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
Unit = Annotated[Literal["fen", "yuan"] | None, typer.Option(help="The unit of the amount column.")]
Basis = Annotated[
    job.AmountBasis,
    typer.Option(
        help="1688: the refunded amount after success, the applied one before (actual), or one of them."
    ),
]
Tolerance = Annotated[int, typer.Option(min=0, help="Largest difference in fen that counts as equal.")]
StatusMap = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD=STATE", help="Your own word for a state: done=refundsuccess. Repeatable."),
]
Negative = Annotated[bool, typer.Option("--negative", help="The ledger has refunds as negative amounts.")]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="TIME", help='The "now" for deadlines, ISO 8601; default: the start of the run.'),
]
SecondPass = Annotated[
    bool, typer.Option(help="At the end look up again what failed for a transient reason.")
]
Reuse = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Reuse earlier lookups up to this age: 90m, 36h, 2d."),
]
StopAt = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="End by this time: 06:00 (the next one, Beijing), 06:00+01:00, or ISO 8601. The rest is "
        "unverified.",
    ),
]
FindMissing = Annotated[
    bool, typer.Option("--find-missing", help="Also look for refunds of the platform that the ledger lacks.")
]
WholeAccount = Annotated[
    bool,
    typer.Option("--whole-account", help="The ledger has all refunds of its accounts, for --find-missing."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="First day that --find-missing searches; default: the ledger's."),
]
Until = Annotated[str | None, typer.Option(metavar="DAY", help="Last day that --find-missing searches.")]
ByList = Annotated[
    bool,
    typer.Option(
        "--by-list", help="Taobao: let lists of refunds confirm rows, after a test; needs far fewer calls."
    ),
]
ReuseFinal = Annotated[
    str | None,
    typer.Option(
        metavar="AGE",
        help="Use the lookups of earlier complete runs of refunds in a final state, up to that age: 30d.",
    ),
]
Recheck = Annotated[
    float,
    typer.Option(metavar="PERCENT", help="Percentage of reusable lookups that is looked up nevertheless."),
]
Callbacks = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What was pushed is looked up first; with --reuse only what was not pushed is used again.",
    ),
]
Lookups = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the lookups of complete runs; default: lookups.sqlite next to the state.",
    ),
]
AcceptMissing = Annotated[
    bool, typer.Option("--accept-missing", help="Continue although the first ten lookups find nothing.")
]
ReportRows = Annotated[
    int, typer.Option(min=0, help="Number of rows in report.xlsx, those with the most money at stake.")
]
ReportLanguage = Annotated[
    Literal["en", "zh"] | None,
    typer.Option(help="Language of the reports; default: PANDAPON_LANGUAGE, else LC_ALL or LANG."),
]
ByAccount = Annotated[bool, typer.Option("--by-account", help="Keep the rows of an account in one part.")]
OnDask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="[ADDRESS]",
        help="Run in parts on a Dask cluster, such as tcp://host:8786; without an address, on a temporary "
        "one on this machine.",
    ),
]
DaskParts = Annotated[
    int | None,
    typer.Option("--parts", min=1, help="With --dask: how many parts; default: 4 a worker."),
]
DaskWorkers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="With --dask alone: how many processes; default: at most 4."),
]
Rate = Annotated[float | None, typer.Option(min=0.001, help="Most calls per second.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Most lookups in flight at once.")]
BaseUrl = Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")]


def span(text: str | None, option: str) -> timedelta | None:
    """Parse an age such as 36h; None without one."""
    return None if text is None else timedelta(seconds=age(text, option))


def status_words(texts: Iterable[str] | None) -> dict[str, tuple[str, ...]]:
    """Parse `WORD=STATE` texts; a word may have a state on each platform."""
    found: dict[str, tuple[str, ...]] = {}
    for word, state in (split_pair(text, "--status-map") for text in texts or ()):
        found[word] = (*found.get(word, ()), state)
    return found


def day_of(text: str | None, option: str) -> date | None:
    """A day, as 2026-01-31."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write 2026-01-31", param_hint=option) from None


def time_of(text: str | None) -> datetime | None:
    """Parse ISO 8601; Beijing time without a zone."""
    if text is None:
        return None
    moment = _moment(text)
    if moment is None:
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2024-05-31T23:59:59+08:00", param_hint="--as-of"
        )
    return moment


def stop_time(text: str | None, now: float) -> datetime | None:
    """Parse the next time of day, such as 06:00, or a time in ISO 8601; Beijing time without a zone.

    >>> stop_time("06:00", 1_717_196_400).isoformat()  # 07:00 in Beijing
    '2024-06-02T06:00:00+08:00'
    """
    if text is None:
        return None
    try:
        of_day = time.fromisoformat(text)
    except ValueError:
        moment = _moment(text)
    else:
        zone = of_day.tzinfo or BEIJING
        moment = datetime.combine(datetime.fromtimestamp(now, zone), of_day, zone)
        if moment.timestamp() <= now:
            moment += timedelta(days=1)
    if moment is None or moment.timestamp() <= now:
        why = "is not a time" if moment is None else "is in the past"
        raise typer.BadParameter(
            f"{text!r} {why}; write 06:00 or 2024-06-01T06:00+08:00", param_hint="--stop-at"
        )
    return moment


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)
