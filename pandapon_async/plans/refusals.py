"""The meaning of the upstream's refusal codes, for people who handle a refused row.

The vendor's own table could not be read. These are the codes of the upstream platform, which the vendor
passes on. An unknown code is shown unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping

from pandapon_async.plans.plan_types import PlanKind, PlanType

__all__ = ["meaning_of"]

_MEANINGS: Mapping[PlanKind, Mapping[str, str]] = {
    PlanKind.RETURNS: {
        "4001": "the platform wants a new authorisation of the account",
        "4002": "a required field is missing",
        "4003": "too many images, or one that was not uploaded properly",
        "4004": "the waybill is not valid, or could not be checked",
        "4005": "the refund form does not exist",
        "4006": "the refund form belongs to another account",
        "4007": "the refund form's state does not allow a return of goods",
        "4008": "the refund id is not valid",
    },
    PlanKind.REFUNDS: {
        "5001": "the order or order line does not exist",
        "5002": "the order belongs to another account",
        "5003": "the goods_status does not exist",
        "5004": "the reason is not offered for these goods",
        "5005": "the reason needs a voucher, or a voucher was not uploaded properly",
        "5006": "no freight is refunded with this reason",
        "5010": "the order's state does not allow this application, or it was applied for already",
        "5011": "the amount cannot be refunded",
        "5012": "the description has a wrong length",
        "5013": "the number of pieces differs from the order",
    },
}


def meaning_of(plan_type: PlanType, code: object) -> str | None:
    """Return the meaning of a refusal code for a row of this type; None if it is not known."""
    return _MEANINGS[plan_type.name].get(str(code))
