"""The options that `pandapon returns` and `pandapon refunds` share, and their parsers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pandapon_async.clock import seconds_of
from pandapon_async.money import Fen

if TYPE_CHECKING:
    from pandapon_async.accounts import Accounts

__all__ = [
    "AllSheets",
    "AllowSecond",
    "AnyAccount",
    "BaseUrl",
    "Concurrency",
    "DryRun",
    "Freight",
    "GroupReadable",
    "HeaderRow",
    "Images",
    "JournalFile",
    "JournalNone",
    "Map",
    "Multiline",
    "Offline",
    "OnePlatform",
    "Out",
    "Plan",
    "Quotes",
    "Rate",
    "ResendThrottled",
    "Set",
    "SettleAfter",
    "Sheet",
    "Table",
    "Yes",
    "age",
    "beside_the_plan",
    "fen",
    "given",
    "pairs",
    "split_pair",
]

Table = Annotated[Path, typer.Argument(help="CSV, XLSX or Parquet, one row per write.", show_default=False)]
Plan = Annotated[Path, typer.Argument(help="A plan that `plan` wrote.", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="The plan to write; it must not exist.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="Name a column: --map refund_id=退款编号."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="A value for all rows of a missing column."),
]
Images = Annotated[Path | None, typer.Option(help="The folder of the images; default: the table's folder.")]
Sheet = Annotated[
    list[str] | None,
    typer.Option("--sheet", help="Sheet of a workbook; default: the one with the columns. Repeatable."),
]
AllSheets = Annotated[bool, typer.Option("--all-sheets", help="Read every visible sheet of a workbook.")]
HeaderRow = Annotated[
    int | None, typer.Option(min=1, help="Row of the column names; default: detected in the first 30 rows.")
]
Quotes = Annotated[
    Literal["auto", "none"],
    typer.Option("--quoting", help="CSV: none treats quotation marks as ordinary characters."),
]
Multiline = Annotated[
    list[str] | None,
    typer.Option(
        "--multiline", metavar="COLUMN", help="CSV: line breaks in this column are intended. Repeatable."
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Make no request to the vendor; states and amounts stay unchecked.")
]
Freight = Annotated[
    Literal["ask", "added", "included"] | None,
    typer.Option("--freight", help="Whether freight is added to a refund's amount or included in it."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and show everything; write and send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
OnePlatform = Annotated[
    Literal["1688", "taobao"] | None, typer.Option(help="All rows belong to this platform.")
]
Rate = Annotated[float | None, typer.Option(min=0.001, help="Most calls per second.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Most calls in flight at once.")]
BaseUrl = Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")]
JournalFile = Annotated[
    Path | None,
    typer.Option("--journal", help="The journal of writes; default: PANDAPON_JOURNAL, or the account's own."),
]
GroupReadable = Annotated[
    bool,
    typer.Option(
        "--group-readable", help="Let the files' group read the written files; default: only their owner."
    ),
]
SettleAfter = Annotated[
    float | None,
    typer.Option(min=0.001, help="Seconds after a write before its absence is believed; default: 60."),
]

JournalNone = Annotated[
    bool,
    typer.Option(
        "--journal-none",
        help="Do not bind the plan to a journal yet; the first apply binds it and reads each row before "
        "it is sent.",
    ),
]
AllowSecond = Annotated[
    bool,
    typer.Option(
        "--allow-second", help="Send an application although another one of its order line is open."
    ),
]

ResendThrottled = Annotated[
    bool,
    typer.Option(
        "--resend-throttled",
        help="Send rows again that a throttle or the login refused, even if no read can show them.",
    ),
]
AnyAccount = Annotated[
    bool,
    typer.Option("--any-account", help="Believe this sub-account's reads about writes of another one."),
]

_AMOUNT = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]{1,2})?)\s*(?P<unit>fen|yuan|分|元)?")


_FORMS = {"--map": "FIELD=COLUMN", "--set": "FIELD=VALUE", "--status-map": "WORD=STATE"}


def split_pair(text: str, option: str) -> tuple[str, str]:
    """Split `NAME=VALUE`. A word of a ledger may have an equals sign, a state has none."""
    name, equals, value = text.rpartition("=") if option == "--status-map" else text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} has no '='; write {_FORMS[option]}", param_hint=option)
    return name.strip(), value.strip()


def pairs(texts: Iterable[str] | None, option: str) -> dict[str, str]:
    """Parse `NAME=VALUE` texts to a mapping."""
    found: dict[str, str] = {}
    for name, value in (split_pair(text, option) for text in texts or ()):
        if found.setdefault(name, value) != value:
            raise typer.BadParameter(
                f"{name} is said twice: {found[name]!r} and {value!r}", param_hint=option
            )
    return found


def fen(text: str | None, option: str) -> Fen | None:
    """Parse an amount: whole fen, or yuan with that unit ("5000yuan").

    A number without a unit is fen: if the user meant yuan, the limit is too strict, never too loose.
    """
    if text is None:
        return None
    match = _AMOUNT.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not an amount; write 500000 (fen) or 5000yuan", param_hint=option
        )
    if match["unit"] in ("yuan", "元"):
        return Fen.from_yuan(match["number"])
    if "." in match["number"]:
        raise typer.BadParameter("fen are whole numbers; for yuan write 5000.00yuan", param_hint=option)
    return Fen(match["number"])


def age(text: str, option: str) -> int:
    """Parse an age such as 36h to seconds."""
    try:
        return seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def given(**settings: Any) -> dict[str, Any]:
    """Return the settings that the user set."""
    return {name: value for name, value in settings.items() if value is not None}


def accounts_beside(plan: Path | None, settings: dict[str, Any]) -> Accounts | None:
    """Return the configured accounts, if any, with a journal that outlives the process."""
    from pandapon_async.accounts import Accounts
    from pandapon_async.journal.place import forgets

    accounts = Accounts.found(**settings)
    if accounts is None or plan is None:
        return accounts
    if any(forgets(accounts.settings_of(name)) for name in accounts.names):
        beside: dict[str, Any] = {**settings, "journal": plan.parent / "journal.sqlite"}
        return Accounts.found(**beside)
    return accounts


def beside_the_plan(plan: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with a journal that outlives the process, also for loopback.

    For loopback the automatic journal is in memory, but a plan that is applied again must find what it sent.
    """
    from pandapon_async.journal.place import forgets
    from pandapon_async.settings import Settings

    chosen = Settings.from_env(**settings)
    if forgets(chosen):
        return {**settings, "journal": plan.parent / "journal.sqlite"}
    return settings
