"""Which column of a ledger is which: by `map`, else by names in English and Chinese.

A guess has to be the only one: two columns that could both be the amount are a question to the
person, not a choice for the program. The unit of an amount comes from the column's name or from an
option, never from the look of the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.reconcile.options import FIELDS, Options
from pandapon_async.tables.cells import AmountUnit, tidy

__all__ = ["Columns", "resolve_columns"]

# For each field the names that say it outright, then the ones that say it in a ledger of refunds.
NAMES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    field: (frozenset(outright.split()), frozenset(general.split()))
    for field, outright, general in (
        ("platform", "platform purchaseplatform sourceplatform 采购平台 货源平台 来源平台", "平台"),
        ("shop", "shop shopname store storename 店铺 店铺名称 店铺名 网店", ""),
        (
            "refund_id",
            """refundid refundno refundnumber refundcode reverseid reverseorderid aftersaleid aftersalesid
            aftersaleno 退款id 退款编号 退款单号 退款单编号 退款号 退款单 退款单id
            售后单号 售后编号 售后单编号 逆向单号""",
            "refund",
        ),
        (
            "order_id",
            """orderid orderno ordernumber purchaseorderid purchaseorderno
            订单号 订单编号 订单id 订单单号 采购单号 采购订单号 采购订单编号""",
            "order 订单",
        ),
        (
            "amount",
            """refundamount refundamt refundfee refundpayment refundmoney
            退款金额 退款额 退款总额 退款总金额 实退金额 应退金额 申请退款金额 申请金额""",
            "amount amt 金额",
        ),
        ("currency", "currency currencycode ccy 币种 货币 币别 货币代码 结算币种", ""),
        ("status", "refundstatus refundstate 退款状态 售后状态 退款单状态 售后单状态", "status state 状态"),
        (
            "applied_at",
            """appliedat applytime applieddate applydate gmtapply refundapplytime
            申请时间 退款申请时间 申请退款时间 申请日期 退款申请日期""",
            "createdat createtime 创建时间 创建日期",
        ),
    )
}
UNITS: Mapping[str, AmountUnit] = {"fen": "fen", "分": "fen", "yuan": "yuan", "元": "yuan"}
_SEPARATORS = re.compile(r"[\s_\-.:/#]+")
_UNIT = re.compile(r"(?P<stem>.+?)(?:\((?:单位|unit)?(?P<inside>fen|yuan|分|元)\)|(?P<after>fen|yuan|分|元))")


@attrs.frozen
class Columns:
    """Where each field is (position in the table), what amounts count in, and what was concluded."""

    names: tuple[str, ...]
    positions: Mapping[str, int]
    amount_unit: AmountUnit
    inferred: tuple[str, ...]

    def name_of(self, field: str) -> str | None:
        """The ledger's own name for a field's column."""
        position = self.positions.get(field)
        return None if position is None else self.names[position]

    def named(self) -> dict[str, str]:
        """Every found field with its column's name, in the order of the fields."""
        return {field: self.names[self.positions[field]] for field in FIELDS if field in self.positions}


def plain_name(column: str) -> str:
    """A column name without case, blanks and separators."""
    return _SEPARATORS.sub("", tidy(column).lower())


def split_unit(name: str) -> tuple[str, AmountUnit | None]:
    """A plain name without the unit in it, and the unit.

    >>> split_unit("退款金额(元)")
    ('退款金额', 'yuan')
    """
    match = _UNIT.fullmatch(name)
    if match is None:
        return name, None
    return match["stem"], UNITS[match["inside"] or match["after"]]


def resolve_columns(names: Sequence[str], options: Options) -> Columns:
    """Find the columns of a ledger.

    Raises InvalidArgumentError, with the columns there are and what was recognised, when the refund id or
    the amount cannot be found, when two columns claim one field, or when no one says the amount's unit.
    """
    names = tuple([" ".join(tidy(name).split()) for name in names])
    mapped, mapped_unit = _mapped(names, options.map)
    positions = dict(mapped)
    claimed = set(mapped.values())
    for field in FIELDS:
        if field in mapped or options.map.get(field) == "":
            continue
        position = _guess(field, names, claimed, positions)
        if position is not None:
            positions[field] = position
    for field in ("refund_id", "amount"):
        if field not in positions:
            raise InvalidArgumentError(
                f"no {field} column; name it with --map {field}=COLUMN. {_found(names, positions)}",
                argument="map",
            )
    unit = _unit(names, positions, mapped_unit, options)
    return Columns(names, positions, unit, tuple(_inferred(names, positions, options)))


def _mapped(names: Sequence[str], mapping: Mapping[str, str]) -> tuple[dict[str, int], AmountUnit | None]:
    positions: dict[str, int] = {}
    unit: AmountUnit | None = None
    for field, wanted in mapping.items():
        if not wanted:
            continue
        target = field
        if field in ("amount_fen", "amount_yuan"):
            target, _, suffix = field.partition("_")
            unit = UNITS[suffix]
        exact = [at for at, name in enumerate(names) if name == " ".join(tidy(wanted).split())]
        found = exact or [at for at, name in enumerate(names) if plain_name(name) == plain_name(wanted)]
        if len(found) != 1 or target in positions:
            problem = ("no column", "a second column", "more than one column")[min(len(found), 2)]
            message = f"--map {field}={wanted} names {problem}. {_found(names, positions)}"
            raise InvalidArgumentError(message, argument="map")
        positions[target] = found[0]
    return positions, unit


def _guess(field: str, names: Sequence[str], claimed: set[int], positions: Mapping[str, int]) -> int | None:
    for known in NAMES[field]:
        found: list[int] = []
        for at, name in enumerate(names):
            plain = plain_name(name)
            stem = split_unit(plain)[0] if field == "amount" else plain
            if at not in claimed and (plain in known or stem in known):
                found.append(at)
        if len(found) > 1:
            several = ", ".join(names[at] for at in found)
            raise InvalidArgumentError(
                f"more than one column could be {field}: {several}; say which with --map {field}=COLUMN. "
                f"{_found(names, positions)}",
                argument="map",
            )
        if found:
            return found[0]
    return None


def _unit(
    names: Sequence[str], positions: Mapping[str, int], mapped: AmountUnit | None, options: Options
) -> AmountUnit:
    column = names[positions["amount"]]
    named = split_unit(plain_name(column))[1]
    said: set[AmountUnit] = {unit for unit in (named, mapped, options.amount_unit) if unit is not None}
    if len(said) > 1:
        raise InvalidArgumentError(
            f"the amount column {column} is said to be in fen and in yuan; its name, --map and "
            "--amount-unit must agree",
            argument="amount_unit",
        )
    if not said:
        raise InvalidArgumentError(
            f"the name of the amount column, {column}, does not say its unit; give --amount-unit fen or "
            f"--amount-unit yuan. {_found(names, positions)}",
            argument="amount_unit",
        )
    return said.pop()


def _inferred(names: Sequence[str], positions: Mapping[str, int], options: Options) -> list[str]:
    """What was concluded without having been said, one sentence each, for the summary."""
    notes = []
    platform = names[positions["platform"]] if "platform" in positions else None
    if options.platform is not None and platform is not None:
        notes.append(f"all rows are {options.platform}, as told: column {platform} is not read")
    elif options.platform is None and platform is None:
        notes.append("no platform column: ids of TQ and digits are 1688's, those of digits alone Taobao's")
    if "currency" not in positions:
        notes.append("no currency column: amounts in fen and yuan are CNY")
    if "status" not in positions:
        notes.append("no status column: only amounts are compared")
    return notes


def _found(names: Sequence[str], positions: Mapping[str, int]) -> str:
    recognised = ", ".join(f"{field}={names[at]}" for field, at in positions.items()) or "none"
    return f"Columns: {', '.join(names) or 'none'}. Recognised: {recognised}."
