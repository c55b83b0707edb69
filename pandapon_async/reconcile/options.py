"""What a reconciliation is told besides its ledger, and which of it changes what the answers mean."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.reconcile.statuses import known_states
from pandapon_async.tables.cells import AmountUnit, Platform
from pandapon_async.tables.open import Quoting, ReadOptions

__all__ = ["FIELDS", "LONGEST_REUSE", "AmountBasis", "Language", "Options"]

Language = Literal["en", "zh"]
"""What the reports for people are written in."""

FIELDS = (
    "platform", "shop", "refund_id", "order_id", "amount", "freight", "currency", "status", "applied_at",
    "account",
)  # fmt: skip
"""What a ledger can say of a refund; `refund_id` and `amount` it must."""

MAPPABLE = (*FIELDS, "amount_fen", "amount_yuan", "freight_fen", "freight_yuan")


class AmountBasis(enum.StrEnum):
    """Which amount of 1688 counts. (Taobao names one only, `refundFee`.)"""

    ACTUAL = "actual"
    """`refundPayment` once the refund succeeded, `applyPayment` before."""
    APPLIED = "applied"
    """`applyPayment`, whatever came of it."""
    REFUNDED = "refunded"
    """`refundPayment` alone."""


def _known_fields(_: Any, __: Any, mapping: Mapping[str, str]) -> None:
    for field in mapping:
        if field not in MAPPABLE:
            raise InvalidArgumentError(
                f"no such field to map: {field}; known: {', '.join(MAPPABLE)}", argument="map"
            )


def _known_states(_: Any, __: Any, mapping: Mapping[str, tuple[str, ...]]) -> None:
    known = known_states()
    for word, states in mapping.items():
        for state in states:
            if state not in known:
                raise InvalidArgumentError(
                    f"--status-map {word}={state}: no such state; known: {', '.join(known)}",
                    argument="status_map",
                )


def _several(value: str | Iterable[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _with_zone(_: Any, attribute: attrs.Attribute[Any], moment: datetime | None) -> None:
    if moment is not None and moment.tzinfo is None:
        name = attribute.name
        raise InvalidArgumentError(
            f"{name} needs a time zone, such as 2024-05-31T23:59:59+08:00", argument=name
        )


def _only_a_day(_: Any, attribute: attrs.Attribute[Any], value: date | None) -> None:
    if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
        raise InvalidArgumentError(f"{attribute.name} is a day, as a date", argument=attribute.name)


LONGEST_REUSE = timedelta(days=366)
"""The longest time for which a lookup is used again as its refund is final."""


def _positive_age(_: Any, attribute: attrs.Attribute[Any], age: timedelta | None) -> None:
    name = attribute.name
    if age is not None and (not isinstance(age, timedelta) or age <= timedelta(0)):
        raise InvalidArgumentError(f"{name} is an age above 0, as a timedelta", argument=name)
    if age is not None and name == "reuse_final" and age > LONGEST_REUSE:
        raise InvalidArgumentError(f"{name} is at most {LONGEST_REUSE.days} days", argument=name)


def _percent(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= 100:
        name = attribute.name
        raise InvalidArgumentError(f"{name} is a percentage above 0 and up to 100", argument=name)


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


def _known_language(_: Any, __: Any, language: str | None) -> None:
    if language is not None and language not in get_args(Language):
        raise InvalidArgumentError("language must be en or zh", argument="language")


def _not_negative(_: Any, attribute: attrs.Attribute[int], value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgumentError(
            f"{attribute.name} must be a whole number, 0 or more", argument=attribute.name
        )


@attrs.frozen(kw_only=True)
class Options:
    """How to read a ledger and how to judge it. All have defaults."""

    map: Mapping[str, str] = attrs.field(factory=dict, validator=_known_fields)
    """Names columns: `{"refund_id": "退款编号"}`; an empty name says that there is no such column."""
    platform: Platform | None = None
    """Holds for the whole file and overrules a platform column."""
    amount_unit: AmountUnit | None = None
    """What a column counts in whose name does not say it."""
    amount_basis: AmountBasis = attrs.field(default=AmountBasis.ACTUAL, converter=AmountBasis)
    """Which amount of 1688 counts."""
    tolerance_fen: int = attrs.field(default=0, validator=_not_negative)
    """The difference in fen that still counts as equal."""
    status_map: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, validator=_known_states)
    """Translates the ledger's own words: `{"done": ("refundsuccess", "100")}`."""
    negative: bool = False
    """The ledger writes refunds as negative amounts."""
    sheet: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """The sheet of a workbook, or several."""
    all_sheets: bool = False
    """Takes every visible sheet."""
    header_row: int | None = None
    """The row of the column names, from 1."""
    quoting: Quoting = "auto"
    """"none" takes quotation marks in CSV for ordinary characters."""
    multiline: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """The columns in which line breaks are meant."""
    as_of: datetime | None = attrs.field(default=None, validator=_with_zone)
    """The "now" that deadlines are judged by; None: the first start."""
    second_pass: bool = True
    """Looks up again at the end what failed for a passing reason."""
    concurrency: int | None = None
    """How many lookups are on their way at once; None: as many as the rate asks for."""
    fresh: bool = False
    """Forgets an earlier run of this ledger."""
    reuse: timedelta | None = attrs.field(default=None, validator=_positive_age)
    """How old lookups of an earlier run may be to be used; None: only those of a run that was interrupted and
    began less than 12 hours ago."""
    stop_at: datetime | None = attrs.field(default=None, validator=_with_zone)
    """When the run is to be over, with its files written; what is not looked up by then is unverified."""
    by_list: bool = False
    """Lets lists of Taobao refunds confirm rows, once a list has stood its proof; all others are looked up
    singly."""
    reuse_final: timedelta | None = attrs.field(default=None, validator=_positive_age)
    """How old the lookup of a refund in a final state may be to be used again, up to 366 days; None: not at
    all."""
    recheck: float = attrs.field(default=1.0, validator=_percent)
    """The percentage of what could be used again that is looked up all the same."""
    callbacks: Path | None = attrs.field(default=None, converter=_path)
    """The store of callbacks that says what was pushed: that is looked up first, and with `reuse` only that
    is used again of which nothing was pushed."""
    lookups: Path | None = attrs.field(default=None, converter=_path)
    """The file in which complete runs keep their lookups; None: lookups.sqlite beside the state."""
    find_missing: bool = False
    """Looks for refunds of the platforms that the ledger lacks; only with `whole_account`."""
    whole_account: bool = False
    """The word that the ledger has every refund of its accounts in the time that is searched."""
    since: date | None = attrs.field(default=None, validator=_only_a_day)
    """The first day that is searched, in Beijing; None: the ledger's first."""
    until: date | None = attrs.field(default=None, validator=_only_a_day)
    """The last day; None: the ledger's last."""
    accept_missing: bool = False
    """Goes on although of the refunds that are looked up first none is found, or although the ledger lacks
    more than a fifth of the platform's."""
    report_rows: int = attrs.field(default=20_000, validator=_not_negative)
    """How many rows report.xlsx lists, those with the most money at stake; report.html lists
    2,000 at most."""
    language: Language | None = attrs.field(default=None, validator=_known_language)
    """Of the reports; None: PANDAPON_LANGUAGE, else that of LC_ALL or LANG."""
    group_readable: bool = False
    """Lets the group read the files (0640), and not their owner alone (0600)."""

    def __attrs_post_init__(self) -> None:
        if self.find_missing and not self.whole_account:
            raise InvalidArgumentError(
                "--find-missing calls every refund missing that the ledger lacks; say with --whole-account "
                "that the ledger has all refunds of its accounts",
                argument="whole_account",
            )
        for name in ("since", "until"):
            if getattr(self, name) is not None and not self.find_missing:
                raise InvalidArgumentError(f"--{name} is for --find-missing", argument=name)
        if self.fresh and self.reuse is not None:
            raise InvalidArgumentError(
                "fresh forgets what reuse would use: say only one of them", argument="fresh"
            )

    @property
    def remembers(self) -> bool:
        """Whether lookups of earlier runs are used, and those of this one kept."""
        return self.reuse_final is not None or self.callbacks is not None or self.lookups is not None

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

    def meaning(self) -> dict[str, Any]:
        """The options that a resumed run must share with the one that began, ready for JSON."""
        return {
            "map": dict(sorted(self.map.items())),
            "platform": self.platform,
            "amount_unit": self.amount_unit,
            "amount_basis": str(self.amount_basis),
            "tolerance_fen": self.tolerance_fen,
            "status_map": {word: sorted(states) for word, states in sorted(self.status_map.items())},
            "negative": self.negative,
            "sheet": self.sheet[0] if len(self.sheet) == 1 else list(self.sheet) or None,
            "all_sheets": self.all_sheets,
            "header_row": self.header_row,
            "quoting": self.quoting,
            "multiline": list(self.multiline),
        }
