"""What planning and applying are told besides their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.money import Fen
from pandapon_async.tables.cells import AmountUnit
from pandapon_async.tables.open import Quoting, ReadOptions

__all__ = ["ApplyOptions", "PlanOptions"]


def _positive(_: object, attribute: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidArgumentError(
            f"{attribute.name} must be a whole number above 0", argument=attribute.name
        )


def _fen(_: object, attribute: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise InvalidArgumentError(
            f"{attribute.name} is whole fen, 0 or more; for yuan write Fen.from_yuan('12.50')",
            argument=attribute.name,
        )


def _several(value: str | Iterable[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


@attrs.frozen(kw_only=True)
class PlanOptions:
    """How to read a table and how far to check it. All have defaults."""

    map: Mapping[str, str] = attrs.field(factory=dict)
    """Names columns, such as `{"refund_id": "退款编号"}`. An empty name: there is no such column."""
    constants: Mapping[str, str] = attrs.field(factory=dict)
    """Values that hold for all rows, by field."""
    amount_unit: AmountUnit | None = None
    """What money counts in, where a column's name does not say it."""
    images: Path | None = None
    """The folder that images must lie in; the table's own by default."""
    sheet: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """Which sheets of a workbook; the first by default."""
    all_sheets: bool = False
    """Take every visible sheet of a workbook."""
    header_row: int | None = None
    """The row of the column names; the first with any by default."""
    quoting: Quoting = "auto"
    """With "none", quotation marks in CSV are ordinary characters."""
    multiline: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """The columns in which line breaks are meant."""
    carriers: Path | None = None
    """A file with the known codes of carriers, one a line."""
    any_carrier: bool = False
    """Do not tell a code of a carrier that neither `carriers` nor a confirmed return has."""
    offline: bool = False
    """Do not ask the vendor."""
    allow_second: bool = False
    """Plan an application also where another one of its order line is open."""
    bind: bool = True
    """Bind the plan to the client's journal. Without it the first apply does."""
    concurrency: int | None = attrs.field(default=None, validator=_positive)
    """How many checks to make at once; the client's number by default."""
    account: str | None = None
    """The account that the plan is of. A row whose column `account` names another one is refused."""
    route: Callable[[str | None, str | None], str] | None = None
    """The account of a row, by its account and its shop: only the rows of `account` are planned."""

    @property
    def reading(self) -> ReadOptions:
        """How the file is to be read."""
        return ReadOptions(
            sheets=self.sheet,
            all_sheets=self.all_sheets,
            header_row=self.header_row,
            quoting=self.quoting,
            multiline=self.multiline,
        )


@attrs.frozen(kw_only=True)
class ApplyOptions:
    """Under which limits a plan is applied, and what it may send again. All have defaults."""

    max_total: Fen | int | None = attrs.field(default=None, validator=_fen)
    """Do not begin if all rows come to more fen than this."""
    max_each: Fen | int | None = attrs.field(default=None, validator=_fen)
    """Do not begin if one row is about more fen than this."""
    stop_after_failures: int | None = attrs.field(default=None, validator=_positive)
    """Start nothing new after so many rows that were not carried out or are of unknown outcome."""
    resend_absent: bool = False
    """Send again what an earlier run did not find at the vendor, if it is still not there."""
    resend_throttled: bool = False
    """Send again what was throttled, also where no read can show whether it was carried out."""
    allow_repeat: bool = False
    """Send again what the journal says was done before."""
    allow_second: bool = False
    """Send an application also where another one of its order line is open."""
    any_account: bool = False
    """Believe this account's reads also about writes of another sub-account."""
    check_first: bool = False
    """Read every row before it is sent: the step after a restore of plan and journal."""
    adopt_journal: bool = False
    """Go on with another journal than the plan's own. Every row is read before it is sent."""
    never_applied: bool = False
    """Send also what no read can show. The operator's word that nobody else applied this plan."""
    wait: bool = True
    """Wait at the end until the absence of what is unknown can be believed."""
    vendor_message: bool = False
    """Keep what the platform says of a refusal. It may name people."""
    group_readable: bool = False
    """Let the group of the results file read it (0640), and not its owner alone (0600)."""
    dry_run: bool = False
    """Send nothing."""
    concurrency: int | None = attrs.field(default=None, validator=_positive)
    """How many rows to send at once; the client's number by default."""
    expected: tuple[int, int] | None = None
    """The rows and the fen that somebody agreed to. A plan that has changed since is not begun."""
