"""What planning and applying are told besides their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """How to read a table and how far to check it. All have defaults.

    `map` names columns: `{"refund_id": "退款编号", "apply_payment_yuan": "金额"}`; an empty name says that
    there is no such column. `constants` hold for all rows, by field. `amount_unit` says what money counts
    in where a column's name does not say it. `images` is the folder that images must lie in (the table's
    own, otherwise). `sheet` is the sheet of a workbook, or several, `all_sheets` takes every visible one,
    `header_row` is the row of the column names. `quoting="none"` takes quotation marks in CSV for ordinary
    characters, `multiline` names the columns in which line breaks are meant. `carriers` is a file with the
    known codes of carriers, one a line; a code that neither it nor a confirmed return has is told, unless
    `any_carrier`. `offline` asks the vendor nothing. `concurrency` is how many checks are on their way at
    once (None: the client's).
    """

    map: Mapping[str, str] = attrs.field(factory=dict)
    constants: Mapping[str, str] = attrs.field(factory=dict)
    amount_unit: AmountUnit | None = None
    images: Path | None = None
    sheet: tuple[str, ...] = attrs.field(default=(), converter=_several)
    all_sheets: bool = False
    header_row: int | None = None
    quoting: Quoting = "auto"
    multiline: tuple[str, ...] = attrs.field(default=(), converter=_several)
    carriers: Path | None = None
    any_carrier: bool = False
    offline: bool = False
    concurrency: int | None = attrs.field(default=None, validator=_positive)

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
    """Under which limits a plan is applied. All have defaults.

    `max_total` and `max_each` are fen: a plan that is over one of them is not begun. After
    `stop_after_failures` rows that were rejected, not sent or of unknown outcome nothing new is started.
    `resend_absent` sends again what was settled as absent. `allow_repeat` does again what the journal says
    was done before. `wait` waits at the end until the absence of what is unknown can be believed.
    `vendor_message` keeps what the platform said of a refusal, which may name people.
    `group_readable` lets the group of the results file read it (0640), and not its owner alone (0600).
    `dry_run` sends nothing.
    `expected` is the number of rows and the fen that somebody agreed to: a plan that has changed since is
    not begun.
    """

    max_total: Fen | int | None = attrs.field(default=None, validator=_fen)
    max_each: Fen | int | None = attrs.field(default=None, validator=_fen)
    stop_after_failures: int | None = attrs.field(default=None, validator=_positive)
    resend_absent: bool = False
    allow_repeat: bool = False
    wait: bool = True
    vendor_message: bool = False
    group_readable: bool = False
    dry_run: bool = False
    concurrency: int | None = attrs.field(default=None, validator=_positive)
    expected: tuple[int, int] | None = None
