"""The refund as classes of other libraries, made from one table, so that all read the same 42 fields.

These are what one writes by hand: every field optional, plain JSON types. The client's own models read
more out of it (money, moments, enumerations, ids).
"""

from __future__ import annotations

from typing import Any

import attrs

from benchmarks import rivals

__all__ = ["attrs_class", "msgspec_class", "pydantic_class"]

FIELDS: dict[str, dict[str, str]] = {
    "Company": dict.fromkeys(("logisticCompanyCode", "logisticsCompanyName"), "str"),
    "Address": dict.fromkeys(("detailAddress", "phone", "receiver"), "str"),
    "Logistics": {
        "buyerPhone": "str",
        "logisticsCompany": "Company",
        "logisticsNo": "str",
        "receiverAddress": "Address",
        "returnGoodsDesc": "str",
        "sellerAgreeReturnDescribe": "str",
    },
    "Property": {"propId": "int", "propName": "str", "valueId": "int", "valueName": "str"},
    "Line": {
        "createTime": "int",
        "currency": "str",
        "itemImageUrl": "str",
        "itemTitle": "str",
        "postFee": "int",
        "price": "int",
        "productFee": "int",
        "properties": "Property",
        "purchaseOrderId": "str",
        "purchaseOrderLineId": "str",
        "quantity": "int",
        "salesMarket": "str",
        "salesOrderId": "str",
        "supplierId": "str",
        "supplierNick": "str",
        "totalPrice": "int",
    },
    "Order": {
        "canEditFee": "bool",
        "feeTips": "str",
        "goodsStatus": "int",
        "payOrderId": "str",
        "reasonDesc": "str",
        "reasonId": "int",
        "refundDesc": "str",
        "refundFee": "int",
        "refundId": "str",
        "refundStatus": "str",
        "refundType": "int",
        "remainingTime": "str",
        "sellerRefuseReason": "str",
        "sellerRefuseReasonDescribe": "str",
        "timeoutDate": "str",
        "timeoutType": "str",
    },
    "Aggregate": {"logistics": "Logistics", "purchaseOrderLine": "Line", "refundOrder": "Order"},
    "Refund": {"currency": "str", "distributorId": "str", "refundOrderAggregate": "Aggregate"},
}
_PLAIN: dict[str, Any] = {"str": str, "int": int, "bool": bool}


def _made(make: Any) -> Any:
    """The classes in the order of the table, inner ones first; gives the last."""
    known = dict(_PLAIN)
    for name, fields in FIELDS.items():
        known[name] = make(name, {field: known[kind] | None for field, kind in fields.items()})
    return known["Refund"]


def attrs_class() -> Any:
    """As slotted attrs classes."""

    def make(name: str, fields: dict[str, Any]) -> Any:
        attributes = {field: attrs.field(default=None, type=kind) for field, kind in fields.items()}
        return attrs.make_class(name, attributes, slots=True)

    return _made(make)


def msgspec_class() -> Any:
    """As msgspec structs."""
    defstruct = rivals.module("msgspec").defstruct

    def make(name: str, fields: dict[str, Any]) -> Any:
        return defstruct(name, [(field, kind, None) for field, kind in fields.items()])

    return _made(make)


def pydantic_class() -> Any:
    """As pydantic models."""
    create_model = rivals.module("pydantic").create_model
    return _made(
        lambda name, fields: create_model(name, **{field: (kind, None) for field, kind in fields.items()})
    )
