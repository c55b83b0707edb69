"""The options of a reconciliation, and which of them change the meaning of its results."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

from pandapon_async.callbacks.push_log import check_file
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plain_text import meant
from pandapon_async.reconcile.statuses import known_states, plain_word, platform_of_state, states_named
from pandapon_async.tables.cells import AmountUnit, Platform
from pandapon_async.tables.fields import unknown_field
from pandapon_async.tables.open import Quoting, ReadOptions

__all__ = ["FIELDS", "LONGEST_REUSE", "AmountBasis", "Language", "Options"]

Language = Literal["en", "zh"]
"""The languages of the reports."""

FIELDS = (
    "platform", "shop", "refund_id", "order_id", "amount", "freight", "currency", "status", "applied_at",
    "account",
)  # fmt: skip
"""The fields of a ledger; `refund_id` and `amount` are required."""

MAPPABLE = (*FIELDS, "amount_fen", "amount_yuan", "freight_fen", "freight_yuan")


class AmountBasis(enum.StrEnum):
    """Which amount of 1688 is compared. (Taobao has only one, `refundFee`.)"""

    ACTUAL = "actual"
    """`refundPayment` once the refund succeeded, `applyPayment` before."""
    APPLIED = "applied"
    """`applyPayment`, whatever the result."""
    REFUNDED = "refunded"
    """`refundPayment` only."""


def _known_fields(_: Any, __: Any, mapping: Mapping[str, str]) -> None:
    for field, column in mapping.items():
        if field not in MAPPABLE:
            raise unknown_field(field, column, MAPPABLE, "map")


def _states(mapping: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the states in the spelling of the platforms; an unknown one stays as it is."""
    return {
        word: tuple(dict.fromkeys(named for state in states for named in states_named(state) or (state,)))
        for word, states in mapping.items()
    }


def _known_states(_: Any, __: Any, mapping: Mapping[str, tuple[str, ...]]) -> None:
    known, said = known_states(), dict[tuple[str, str], str]()
    for word, states in mapping.items():
        for state in states:
            platform = platform_of_state(state)
            if platform is None:
                raise InvalidArgumentError(
                    f"--status-map {word}={state}: unknown state{meant(state, known) or ';'} known: "
                    f"{', '.join(known)}",
                    argument="status_map",
                )
            first = said.setdefault((plain_word(word), platform), state)
            if first != state:
                raise InvalidArgumentError(
                    f"--status-map has two states of {platform} for {word}: {first} and {state}",
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
"""The longest time that a lookup of a final refund can be reused."""


def _positive_age(_: Any, attribute: attrs.Attribute[Any], age: timedelta | None) -> None:
    name = attribute.name
    if age is not None and (not isinstance(age, timedelta) or age <= timedelta(0)):
        raise InvalidArgumentError(f"{name} must be a timedelta above 0", argument=name)
    if age is not None and name == "reuse_final" and age > LONGEST_REUSE:
        raise InvalidArgumentError(f"{name} must be at most {LONGEST_REUSE.days} days", argument=name)


def _percent(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= 100:
        name = attribute.name
        raise InvalidArgumentError(f"{name} must be a percentage above 0 and up to 100", argument=name)


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
    """The column of a field: `{"refund_id": "退款编号"}`; an empty name means no such column."""
    platform: Platform | None = None
    """The platform of the whole file; overrides a platform column."""
    amount_unit: AmountUnit | None = None
    """The unit of amounts, "fen" or "yuan", if a column's name does not state it."""
    amount_basis: AmountBasis = attrs.field(default=AmountBasis.ACTUAL, converter=AmountBasis)
    """Which amount of 1688 is compared."""
    tolerance_fen: int = attrs.field(default=0, validator=_not_negative)
    """The largest difference in fen that counts as equal."""
    status_map: Mapping[str, tuple[str, ...]] = attrs.field(
        factory=dict, converter=_states, validator=_known_states
    )
    """The meaning of the ledger's own words: `{"done": ("refundsuccess", "100")}`."""
    negative: bool = False
    """Whether the ledger has refunds as negative amounts."""
    sheet: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """The sheet of a workbook, or several."""
    all_sheets: bool = False
    """Takes every visible sheet."""
    header_row: int | None = None
    """The row of the column names, from 1."""
    quoting: Quoting = "auto"
    """"none" treats quotation marks in CSV as ordinary characters."""
    multiline: tuple[str, ...] = attrs.field(default=(), converter=_several)
    """The columns with intended line breaks."""
    as_of: datetime | None = attrs.field(default=None, validator=_with_zone)
    """The "now" for judging deadlines; None: the start of the run."""
    second_pass: bool = True
    """Whether to look up again at the end what failed for a transient reason."""
    concurrency: int | None = None
    """The most lookups in flight; None: as many as the rate needs."""
    fresh: bool = False
    """Whether to ignore an earlier run of this ledger."""
    reuse: timedelta | None = attrs.field(default=None, validator=_positive_age)
    """The largest age of reused lookups; None: only those of an interrupted run that began less than 12 hours
    ago.
    """
    stop_at: datetime | None = attrs.field(default=None, validator=_with_zone)
    """The end of the run, with its files written; refunds not looked up by then are unverified."""
    by_list: bool = False
    """Whether lists of Taobao refunds may confirm rows, after a test; all other rows are looked up one by
    one.
    """
    reuse_final: timedelta | None = attrs.field(default=None, validator=_positive_age)
    """The largest age of a reused lookup of a final refund, up to 366 days; None: never reused."""
    recheck: float = attrs.field(default=1.0, validator=_percent)
    """The percentage of reusable lookups that is looked up nevertheless, as a sample."""
    callbacks: Path | None = attrs.field(default=None, converter=_path)
    """The store of callbacks, a file. Pushed refunds are looked up first, and with `reuse` only refunds
    without a push are reused.
    """
    lookups: Path | None = attrs.field(default=None, converter=_path)
    """The file with the lookups of complete runs; None: lookups.sqlite next to the state."""
    find_missing: bool = False
    """Looks for refunds of the platforms that the ledger lacks; only with `whole_account`."""
    whole_account: bool = False
    """The word that the ledger has every refund of its accounts in the time that is searched."""
    since: date | None = attrs.field(default=None, validator=_only_a_day)
    """The first day that is searched, in Beijing; None: the ledger's first."""
    until: date | None = attrs.field(default=None, validator=_only_a_day)
    """The last day; None: the ledger's last."""
    accept_missing: bool = False
    """Whether to continue although none of the first refunds is found, or the ledger lacks more than a fifth
    of the platform's.
    """
    report_rows: int = attrs.field(default=20_000, validator=_not_negative)
    """How many rows report.xlsx lists, those with the most money at stake; report.html lists at most 2,000.
    """
    language: Language | None = attrs.field(default=None, validator=_known_language)
    """The language of the reports; None: PANDAPON_LANGUAGE, else LC_ALL or LANG."""
    group_readable: bool = False
    """Whether the group may read the files (0640), not only their owner (0600)."""

    def __attrs_post_init__(self) -> None:
        check_file(self.callbacks)
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

    def refuse_lists(self) -> None:
        """Refuse, for a run in parts, the options that read lists: a list names the refunds of all parts.

        Raises: InvalidArgumentError.
        """
        for name in ("by_list", "find_missing"):
            if getattr(self, name):
                raise InvalidArgumentError(
                    f"--{name.replace('_', '-')} does not go with parts: a list names the refunds of all",
                    argument=name,
                )

    @property
    def remembers(self) -> bool:
        """Whether earlier lookups are reused and those of this run are kept."""
        return self.reuse_final is not None or self.callbacks is not None or self.lookups is not None

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

    def meaning(self) -> dict[str, Any]:
        """Return for JSON the options that a resumed run must share with the original one."""
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
