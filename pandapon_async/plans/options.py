"""The options of planning and applying."""

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
            f"{attribute.name} must be whole fen, 0 or more; for yuan write Fen.from_yuan('12.50')",
            argument=attribute.name,
        )


def _several(value: str | Iterable[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


@attrs.frozen(kw_only=True)
class PlanOptions:
    """How to read a table and how far to check it. All have defaults."""

    map: Mapping[str, str] = attrs.field(factory=dict)
    """The column of a field, such as `{"refund_id": "退款编号"}`. An empty name: no such column."""
    constants: Mapping[str, str] = attrs.field(factory=dict)
    """Values for all rows, by field."""
    amount_unit: AmountUnit | None = None
    """The unit of money, "fen" or "yuan", if a column's name does not state it."""
    images: Path | None = None
    """The folder that must contain the images; by default the folder of the table."""
    sheet: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """The sheets of a workbook to read; by default the one with the columns."""
    all_sheets: bool = False
    """Whether to read every visible sheet of a workbook."""
    header_row: int | None = None
    """The row of the column names; detected by default."""
    quoting: Quoting = "auto"
    """With "none", quotation marks in CSV are ordinary characters."""
    multiline: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """The columns with intended line breaks."""
    carriers: Path | None = None
    """A file with the known carrier codes, one per line."""
    any_carrier: bool = False
    """Whether to skip the note about carrier codes in neither `carriers` nor a confirmed return."""
    offline: bool = False
    """Whether to make no request to the vendor."""
    allow_second: bool = False
    """Whether to plan an application although another one of its order line is open."""
    bind: bool = True
    """Whether to bind the plan to the client's journal; otherwise the first apply does."""
    concurrency: int | None = attrs.field(default=None, validator=_positive)
    """How many checks run at once; by default the client's concurrency."""
    account: str | None = None
    """The account of the plan. A row with another name in its column `account` is refused."""
    route: Callable[[str | None, str | None], str] | None = None
    """Returns the account of a row from its account and shop; only rows of `account` are planned."""

    @property
    def reading(self) -> ReadOptions:
        """Return how to read the file."""
        return ReadOptions(
            sheets=self.sheet,
            all_sheets=self.all_sheets,
            header_row=self.header_row,
            quoting=self.quoting,
            multiline=self.multiline,
        )


@attrs.frozen(kw_only=True)
class ApplyOptions:
    """The limits of applying a plan, and what it may send again. All have defaults."""

    max_total: Fen | int | None = attrs.field(default=None, validator=_fen)
    """The largest sum of all rows in fen; nothing is sent above it."""
    max_each: Fen | int | None = attrs.field(default=None, validator=_fen)
    """The largest amount of one row in fen; nothing is sent above it."""
    stop_after_failures: int | None = attrs.field(default=None, validator=_positive)
    """Send no more rows after this many that failed or have an unknown outcome."""
    resend_absent: bool = False
    """Whether to send rows again that an earlier run did not find at the vendor, if they are still absent."""
    resend_throttled: bool = False
    """Whether to send throttled rows again even if no read can show whether they were carried out."""
    allow_repeat: bool = False
    """Whether to send rows again that the journal has as done."""
    allow_second: bool = False
    """Whether to send an application although another one of its order line is open."""
    any_account: bool = False
    """Whether to believe this account's reads about writes of another sub-account."""
    check_first: bool = False
    """Whether to read every row before it is sent; use it after a restore of plan and journal."""
    adopt_journal: bool = False
    """Whether to continue with another journal than the plan's; every row is read before it is sent."""
    never_applied: bool = False
    """Whether to send rows that no read can show: the operator states that nobody else applied this plan."""
    wait: bool = True
    """Whether to wait at the end until absence can be believed."""
    vendor_message: bool = False
    """Whether to keep the platform's message about a refusal, which may name people."""
    group_readable: bool = False
    """Whether the file's group may read the results (0640), not only its owner (0600)."""
    dry_run: bool = False
    """Whether to send nothing."""
    concurrency: int | None = attrs.field(default=None, validator=_positive)
    """How many rows are sent at once; by default the client's concurrency."""
    expected: tuple[int, int] | None = None
    """The number of rows and the fen that the operator approved; a plan changed since is not begun."""
