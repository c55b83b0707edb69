"""The types of plans and their columns: returns of goods and refund applications.

A plan type names the declared call that carries it out. That declaration has the lengths, counts and forms of
the arguments; this module adds only what a spreadsheet needs: the names of columns and how cells are read.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import attrs

from pandapon_async.api.registry import endpoints
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import ConfigurationError
from pandapon_async.models.alibaba.refunds import DisputeRequest
from pandapon_async.tables.amounts import amount_fen
from pandapon_async.tables.cells import (
    AmountUnit,
    Cell,
    Refused,
    blank,
    currency_code,
    id_text,
    no_value,
    plain_text,
    unwrap,
)
from pandapon_async.tables.fields import ColumnSpec, names_of, plain_name

__all__ = ["REFUNDS", "RETURNS", "SEPARATORS", "PlanKind", "PlanType", "plan_type_of"]

_DATE = re.compile(
    r"(?:19|20)[0-9]{2}([-/.])[0-9]{1,2}\1[0-9]{1,2}(?: .*)?|[0-9]{1,2}/[0-9]{1,2}(?:/[0-9]{2,4})?"
    r"|(?:[0-9]{1,2}[- ])?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?:[- ][0-9]{1,4}){0,2}",
    re.IGNORECASE,
)
"""Dates as spreadsheets show them, those of 1/2 and 8-1 included."""
_WAYBILL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
SEPARATORS = re.compile(r"[;,|\n；，、｜]+")
"""The separators of several ids or paths in one cell."""
_DISPUTES: Mapping[str, DisputeRequest] = {
    **dict.fromkeys(("refund", "仅退款", "退款"), DisputeRequest.REFUND),
    **dict.fromkeys(("returnrefund", "退货退款", "退款退货", "退货"), DisputeRequest.RETURN_REFUND),
}


class PlanKind(enum.StrEnum):
    """The kind of a plan."""

    RETURNS = "returns"
    """Returns of goods."""
    REFUNDS = "refunds"
    """Refund applications."""


@attrs.frozen
class PlanType:
    """One type of plan. `amount` is the field with the money that a row moves, if any."""

    name: PlanKind
    call: str
    fields: tuple[ColumnSpec, ...]
    identified_by: tuple[str, ...]
    amount: str | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The declared call that carries out a row."""
        return endpoints()[self.call]


def plan_type_of(name: str) -> PlanType:
    """Return the plan type of this name. Raises ConfigurationError for an unknown name."""
    for plan_type in (RETURNS, REFUNDS):
        if plan_type.name == name:
            return plan_type
    raise ConfigurationError(f"unknown plan type {name}; known: {', '.join(PlanKind)}")


def _id(cell: Cell, _: AmountUnit | None) -> str | None:
    return id_text(cell)


def _waybill(cell: Cell, _: AmountUnit | None) -> str | None:
    """Read a waybill; 0 from an empty lookup, an empty date or a remark is refused."""
    text = id_text(cell)
    if text is None:
        return None
    if not re.search(r"[1-9]", text):
        raise Refused("is not a waybill: it has no digit other than 0")
    if not text.isascii():
        raise Refused("is not a waybill: a waybill has letters and digits")
    if _DATE.fullmatch(text):
        raise Refused("is a date, not a waybill")
    if re.fullmatch(r"[0-9]+\.[0-9]+", text):
        raise Refused("is a number with decimals, not a waybill")
    if not _WAYBILL.fullmatch(text):
        raise Refused("is not one waybill: a waybill has letters, digits and hyphens")
    return text


def _number(cell: Cell, _: AmountUnit | None) -> int | None:
    text = id_text(cell)
    if text is not None and not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise Refused("must be a whole number")
    return None if text is None else int(text)


def _ids(cell: Cell, _: AmountUnit | None) -> list[str] | None:
    """Read several ids in one cell. A number is one id, and only as exact as a spreadsheet's numbers."""
    if not isinstance(cell, str):
        one = id_text(cell)
        return None if one is None else [one]
    parts = [part for part in SEPARATORS.split(cell) if not blank(part)]
    for part in parts:
        if why := no_value(part):
            raise Refused(why)
    return [found for part in parts if (found := id_text(part))] or None


def _money(cell: Cell, unit: AmountUnit | None) -> int:
    assert unit is not None, "the unit of a money column is known before its cells are read"
    return amount_fen(cell, unit)


def _free_text(cell: Cell, _: AmountUnit | None) -> str | None:
    """Read free text for the seller: unlike names and ids it is not normalised, only freed of `="..."`."""
    if blank(cell):
        return None
    if not isinstance(cell, str):
        return plain_text(cell)
    text = cell.strip()
    return unwrap(text) if text.startswith('="') else text


def _name(cell: Cell, _: AmountUnit | None) -> str | None:
    return plain_text(cell)


def _dispute(cell: Cell, _: AmountUnit | None) -> str | None:
    text = plain_text(cell)
    return None if text is None else _DISPUTES.get(plain_name(text), text)


def _currency(cell: Cell, _: AmountUnit | None) -> str:
    code = currency_code(cell)
    if code != "CNY":
        raise Refused("after-sales of 1688 are in CNY")
    return code


def _paths(cell: Cell, _: AmountUnit | None) -> str | None:
    """Read the cell that names the images, unchanged: one path or several."""
    if blank(cell):
        return None
    if not isinstance(cell, str):
        raise Refused("is a number or a date, not the path of an image")
    return cell.strip()


_SHOP = ColumnSpec("shop", *names_of("", of="shop"), _name, compared=False, private=True)
_ACCOUNT = ColumnSpec("account", *names_of("", of="account"), _name, compared=False)
_VOUCHERS = ColumnSpec(
    "vouchers",
    *names_of(
        "vouchers voucher voucherpaths proofs proofimages 凭证 凭证图片 退款凭证 退货凭证 举证图片",
        "images image pictures picture 图片 照片",
    ),
    _paths,
    "vouchers",
    private=True,
)
_DESCRIPTION = ColumnSpec(
    "description",
    *names_of(
        "description refunddescription returndescription 退款说明 退货说明 问题描述 描述",
        "remark note 说明 备注",
    ),
    _free_text,
    "description",
    private=True,
)

RETURNS = PlanType(
    PlanKind.RETURNS,
    "v1.alibaba.refunds.return_goods",
    (
        ColumnSpec("refund_id", *names_of("", of="refund_id"), _id, "refund_id", needed=True, id=True),
        ColumnSpec(
            "logistics_company_no",
            *names_of(
                """logisticscompanyno logisticscompanycode companyno carrierno carriercode couriercode
                物流公司编号 物流公司编码 物流公司代码 快递公司编号 快递公司编码 快递公司代码""",
                "carrier courier 物流公司 快递公司 承运商",
            ),
            _id,
            "logistics_company_no",
            needed=True,
        ),
        ColumnSpec(
            "freight_bill",
            *names_of(
                """freightbill waybill waybillno waybillnumber trackingno trackingnumber expressno
                运单号 运单编号 快递单号 物流单号 退货运单号 退货快递单号 退货物流单号
                退回物流单号 退回快递单号 寄回单号""",
                "tracking express",
            ),
            _waybill,
            "freight_bill",
            needed=True,
            id=True,
        ),
        _DESCRIPTION,
        _VOUCHERS,
        _SHOP,
        _ACCOUNT,
    ),
    identified_by=("refund_id",),
)

REFUNDS = PlanType(
    PlanKind.REFUNDS,
    "v1.alibaba.refunds.create",
    (
        ColumnSpec("order_id", *names_of("", of="order_id"), _id, "order_id", needed=True, id=True),
        ColumnSpec(
            "order_entry_ids",
            *names_of(
                """orderentryids orderentryid entryids entryid suborderids suborderid subitemids subitemid
                lineids 子订单号 子订单编号 子订单id 订单明细id 订单明细编号 明细id 明细编号 子单号""",
                "lines entries 明细",
            ),
            _ids,
            "order_entry_ids",
            needed=True,
            id=True,
        ),
        ColumnSpec(
            "dispute_request",
            *names_of("disputerequest disputetype refundtype 退款类型 售后类型 申请类型", "类型 type"),
            _dispute,
            "dispute_request",
            needed=True,
            word=True,
        ),
        ColumnSpec(
            "apply_payment",
            *names_of("applypayment applyamount 申请退款金额 申请金额", of="amount"),
            _money,
            "apply_payment",
            money=True,
        ),
        ColumnSpec(
            "apply_carriage",
            *names_of(
                "applycarriage refundcarriage 退运费 退运费金额 申请退运费 申请运费", "carriage freight 运费"
            ),
            _money,
            "apply_carriage",
            money=True,
            default=0,
        ),
        ColumnSpec(
            "reason_id",
            *names_of("reasonid applyreasonid refundreasonid 退款原因id 退款原因编号 原因id 原因编号"),
            _number,
            "apply_reason_id",
            id=True,
            instead="reason",
        ),
        ColumnSpec("reason", *names_of("refundreason applyreason 退款原因 申请原因", "reason 原因"), _name),
        attrs.evolve(_DESCRIPTION, needed=True),
        ColumnSpec(
            "goods_status",
            *names_of("goodsstatus 货物状态 收货状态 货品状态"),
            _name,
            "goods_status",
            needed=True,
        ),
        _VOUCHERS,
        _SHOP,
        _ACCOUNT,
        ColumnSpec("currency", *names_of("", of="currency"), _currency, default="CNY", needed=True),
    ),
    identified_by=("order_id", "order_entry_ids"),
    amount="apply_payment",
)
