"""What the upstream's codes of refusal mean, for those who must do something about a refused row.

The vendor's own table could not be read; these are the upstream platform's, whose codes it hands through.
An unknown code is shown as it is.
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
        "4004": "the waybill is not valid, or could not be checked just now",
        "4005": "there is no such refund form",
        "4006": "the refund form belongs to another account",
        "4007": "the refund form stands where no goods can be sent back",
        "4008": "the refund id is not valid",
    },
    PlanKind.REFUNDS: {
        "5001": "there is no such order or order line",
        "5002": "the order belongs to another account",
        "5003": "there is no such goods_status",
        "5004": "the reason is not offered for these goods",
        "5005": "the reason needs a voucher, or a voucher was not uploaded properly",
        "5006": "no freight is refunded with this reason",
        "5010": "the order stands where this cannot be applied for, or it was applied for already",
        "5011": "the amount is not what can be refunded",
        "5012": "the description has a wrong length",
        "5013": "the number of pieces is not what was bought",
    },
}


def meaning_of(plan_type: PlanType, code: object) -> str | None:
    """What a code of refusal says about a row of this type; None if it is not known."""
    return _MEANINGS[plan_type.name].get(str(code))
