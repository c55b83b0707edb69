"""A Taobao refund as it travels: the shape of the vendor's page, with its odd spellings.

The state and the times travel as text, the carrier's code is spelled with one s, and the address of
the way back is personal data, as plausible as it can be without being anyone's.
"""

from __future__ import annotations

from typing import Any

from pandapon_async.sandbox.numbering import SALES_ORDER
from pandapon_async.sandbox.refunds import CARRIERS, RefundState

__all__ = ["refund_taobao"]

DISTRIBUTOR = "1223655000541"

RECEIVERS = ("周敏", "吴磊", "郑海燕", "孙浩", "赵丽华")
ADDRESSES = ("河南省郑州市金水区花园路39号", "江苏省苏州市姑苏区人民路188号", "四川省成都市锦江区红星路15号")
REASONS = ((200001, "超材超重"), (200002, "商品与描述不符"), (200003, "少件/漏发"), (200004, "不喜欢"))
TITLES = ("不锈钢保温杯 500ml", "棉麻桌布 加厚", "蓝牙耳机 半入耳", "儿童雨靴 防滑")

_GOODS_STATUS = {10: 4, 20: 4, 30: 5, 100: 6}
_CARRIER_NAMES = dict(CARRIERS)


def refund_taobao(refund: RefundState, now_ms: int) -> dict[str, Any]:
    """The detail answer; `now_ms` is what the remaining time counts from."""
    return {
        "currency": refund.currency,
        "distributorId": DISTRIBUTOR,
        "refundOrderAggregate": {
            "logistics": _logistics(refund),
            "purchaseOrderLine": _order_line(refund),
            "refundOrder": _refund_order(refund, now_ms),
        },
    }


def _logistics(refund: RefundState) -> dict[str, Any] | None:
    """Only once the seller has agreed is there a way back."""
    if refund.status not in (20, 30, 100):
        return None
    salt = refund.salt
    company = refund.logistics_company_no
    return {
        "buyerPhone": f"18{salt % 10**9:09d}",
        "logisticsCompany": company
        and {"logisticCompanyCode": company, "logisticsCompanyName": _CARRIER_NAMES.get(company, company)},
        "logisticsNo": refund.freight_bill,
        "receiverAddress": {
            "detailAddress": ADDRESSES[salt % len(ADDRESSES)],
            "phone": f"15{salt // 3 % 10**9:09d}",
            "receiver": RECEIVERS[salt % len(RECEIVERS)],
        },
        "returnGoodsDesc": "原包装寄回",
        "sellerAgreeReturnDescribe": f"请寄至{RECEIVERS[salt % len(RECEIVERS)]}",
    }


def _order_line(refund: RefundState) -> dict[str, Any]:
    salt = refund.salt
    quantity = 1 + salt % 9
    total = refund.apply_payment + salt % 5_000
    return {
        "createTime": refund.applied_ms - 86_400_000,
        "currency": refund.currency,
        "hongbaoDeductionAmount": 0,
        "itemImageUrl": "http://images.sandbox.invalid/item/400x400",
        "itemTitle": TITLES[salt % len(TITLES)],
        "orderServiceExpressions": None,
        "postFee": 0,
        "price": total // quantity,
        "productFee": total,
        "properties": {"propId": 42, "propName": "颜色", "valueId": 62, "valueName": "蓝色"},
        "purchaseOrderId": refund.order_id,
        "purchaseOrderLineId": refund.entry_ids[0],
        "quantity": quantity,
        "salesMarket": "GONGXIAO_OFFLINE",
        "salesOrderId": SALES_ORDER.text(refund.number),
        "supplierId": str(17 + salt % 50),
        "supplierNick": f"店主{RECEIVERS[salt // 7 % len(RECEIVERS)]}",
        "totalPrice": total,
    }


def _refund_order(refund: RefundState, now_ms: int) -> dict[str, Any]:
    salt = refund.salt
    reason_id, reason = REASONS[salt % len(REASONS)]
    deadline = refund.deadline_ms
    refused = refund.status == -10
    return {
        "canEditFee": refund.status in (10, -10),
        "feeTips": None,
        "goodsStatus": _GOODS_STATUS.get(refund.status, 3) if isinstance(refund.status, int) else 3,
        "payOrderId": str(96 + salt),
        "reasonDesc": reason,
        "reasonId": reason_id,
        "refundDesc": f"买家{RECEIVERS[salt // 5 % len(RECEIVERS)]}申请退款",
        "refundFee": refund.apply_payment,
        "refundId": refund.refund_id,
        "refundStatus": str(refund.status),
        "refundType": 2 if refund.dispute_request == "returnRefund" else 1,
        "remainingTime": None if deadline is None else str(max(0, deadline - now_ms)),
        "sellerRefuseReason": "凭证不足" if refused else None,
        "sellerRefuseReasonDescribe": "请补充图片" if refused else None,
        "timeoutDate": None if deadline is None else str(deadline),
        "timeoutType": None if deadline is None else "1",
    }
