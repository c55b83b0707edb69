"""The fields of a ledger of refunds: the names of their columns and how their cells are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pandapon_async.reconcile.options import FIELDS, Options
from pandapon_async.tables.amounts import amount_fen
from pandapon_async.tables.cells import (
    AmountUnit,
    Cell,
    Refused,
    blank,
    currency_code,
    id_text,
    plain_text,
    platform_name,
)
from pandapon_async.tables.columns import Columns, Resolver
from pandapon_async.tables.fields import ColumnSpec, names_of

__all__ = ["SPECS", "inferred", "resolver"]

LONGEST_ORDER_ID = 64


def _plain(read: Callable[[Cell], Any]) -> Callable[[Cell, AmountUnit | None], Any]:
    return lambda cell, _: read(cell)


def _refund_id(cell: Cell) -> str:
    text = id_text(cell)
    if text is None:
        raise Refused("no refund id")
    return text


def _order_id(cell: Cell) -> str | None:
    text = id_text(cell)
    return None if text is None else text[:LONGEST_ORDER_ID]


def _status(cell: Cell) -> str:
    text = plain_text(cell)
    if text is None:
        raise Refused("no status")
    return text


def _amount(cell: Cell, unit: AmountUnit | None) -> int:
    assert unit is not None, "the unit of the amount is known before its cells are read"
    return amount_fen(cell, unit)


def _freight(cell: Cell, unit: AmountUnit | None) -> int:
    return 0 if blank(cell) else _amount(cell, unit)


SPECS = {
    spec.name: spec
    for spec in (
        ColumnSpec("platform", *names_of("", of="platform"), _plain(platform_name), needed=True),
        ColumnSpec("shop", *names_of("", of="shop"), _plain(plain_text), compared=False, private=True),
        ColumnSpec("refund_id", *names_of("", of="refund_id"), _plain(_refund_id), needed=True, id=True),
        ColumnSpec("order_id", *names_of("", of="order_id"), _plain(_order_id), id=True, compared=False),
        ColumnSpec("amount", *names_of("", of="amount"), _amount, money=True, needed=True),
        # Only names that mean the freight of the refund, not of an order.
        ColumnSpec(
            "freight",
            *names_of(
                "freight refundfreight refundcarriage applycarriage 退运费 退运费金额 退款运费 退还运费"
            ),
            _freight,
            money=True,
            unit_of="amount",
        ),
        ColumnSpec("currency", *names_of("", of="currency"), _plain(currency_code), needed=True),
        ColumnSpec("status", *names_of("", of="status"), _plain(_status), needed=True, word=True),
        ColumnSpec("applied_at", *names_of("", of="applied_at"), lambda cell, _: cell, compared=False),
        ColumnSpec("account", *names_of("", of="account"), _plain(plain_text), compared=False),
    )
}
"""Return the fields of a ledger by name."""
assert tuple(SPECS) == FIELDS


def resolver(options: Options) -> Resolver:
    """Return the finder of a ledger's columns for these options."""
    return Resolver(
        specs=tuple(SPECS.values()),
        required=("refund_id", "amount"),
        mapping=options.map,
        amount_unit=options.amount_unit,
    )


def inferred(columns: Columns, options: Options) -> list[str]:
    """Return the assumptions about the ledger, one sentence each, for the summary."""
    positions = columns.positions
    notes = []
    if options.platform is not None and "platform" in positions:
        notes.append(
            f"all rows are {options.platform}, as set by --platform: column "
            f"{columns.name_of('platform')} is not read"
        )
    elif options.platform is None and "platform" not in positions:
        notes.append("no platform column: ids of TQ or TD and digits are 1688, ids of digits only are Taobao")
    if "currency" not in positions:
        notes.append("no currency column: amounts in fen and yuan are CNY")
    if "freight" in positions:
        notes.append(
            f"column {columns.name_of('freight')} is added to the amount: it is the refund's freight"
        )
    if "status" not in positions:
        notes.append("no status column: only amounts are compared")
    if options.negative:
        notes.append("refunds are negative amounts in the ledger, as set by --negative")
    return notes
