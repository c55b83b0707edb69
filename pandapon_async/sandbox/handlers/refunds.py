"""After-sales of both platforms."""

from __future__ import annotations

from typing import Any

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.handlers.registry import handles
from pandapon_async.sandbox.listing import LARGEST_PAGE, page_of
from pandapon_async.sandbox.numbering import ALIBABA, TAOBAO
from pandapon_async.sandbox.reasons import GOODS_STATUSES, reasons_for
from pandapon_async.sandbox.upstream import Refused, Upstream
from pandapon_async.sandbox.vouchers import IMAGE_DOMAIN
from pandapon_async.sandbox.wire_1688 import refund_1688
from pandapon_async.sandbox.wire_taobao import refund_taobao
from pandapon_async.settings import ListFacts

__all__: list[str] = []


@handles("alibaba.refunds.get")
def get_1688(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One refund form."""
    refund = upstream.refunds.find(arguments["refundId"], ALIBABA)
    return _no_such_refund(upstream) if refund is None else refund_1688(refund)


def _no_such_refund(upstream: Upstream) -> dict[str, Any] | None:
    """How the vendor says so is not known: by a code (and not by which), or by a success without anything."""
    if upstream.not_found == "code":
        raise Refusal(404, "refund does not exist")
    return {} if upstream.not_found == "empty" else None


@handles("alibaba.refunds.reasons")
def reasons(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """The reasons for goods in this state; the order may be any."""
    if arguments["goodsStatus"] not in GOODS_STATUSES:
        raise Refusal(5003, "goodsStatus does not exist")
    return [reason.wire() for reason in reasons_for(arguments["goodsStatus"])]


@handles("alibaba.refunds.create")
def create(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Open a refund form; refused with the upstream's codes in the envelope."""
    return {"refundId": upstream.open_refund(endpoint.name, arguments).refund_id}


@handles("alibaba.refunds.return_goods")
def return_goods(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Send the goods back; refused inside a successful envelope, as the vendor's page shows."""
    try:
        upstream.return_goods(endpoint.name, arguments)
    except Refused as refused:
        return {"errorCode": refused.code, "errorInfo": refused.info, "success": False}
    return {"errorCode": None, "errorInfo": None, "success": True}


@handles("alibaba.refunds.upload_voucher")
def upload_voucher(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Take an image; the same image always gets the same url."""
    path = upstream.upload(endpoint.name, "imageData", arguments["imageData"])
    return {"imageDomain": IMAGE_DOMAIN, "imageRelativeUrl": path}


@handles("taobao.refunds.get")
def get_taobao(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One reverse order."""
    refund = upstream.refunds.find(arguments["refundId"], TAOBAO)
    return _no_such_refund(upstream) if refund is None else refund_taobao(refund, upstream.now_ms())


@handles("taobao.refunds.cancel")
def cancel(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Close a reverse order; cancelSuccess is false if it was finished already, code 404 if there is none."""
    refund, cancelled = upstream.cancel(endpoint.name, arguments["refundId"])
    if refund is None:
        raise Refusal(404, "refund does not exist")
    now = upstream.now_ms()
    return {"cancelSuccess": cancelled, **refund_taobao(refund, now)}


@handles("taobao.refunds.page")
def page(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One page of reverse orders. The vendor's page shows no answer: its fields here are an inference."""
    facts = upstream.list_facts or ListFacts()
    if upstream.list_facts is None and arguments.get("pageNo") == 0:
        arguments = {**arguments, "pageNo": 1}  # which number the first page has is not known
    asked = page_of(arguments, largest=facts.largest_page or LARGEST_PAGE, first=facts.first_page)
    shape = upstream.list_shape
    shape.check(arguments.get("pageSize"))
    refunds, total = upstream.taobao_list.page(asked, arguments)
    data = shape.data(refunds, total, facts.items or "list", upstream.now_ms())
    return {"pageNo": asked.number, "pageSize": asked.size, **data} if isinstance(data, dict) else data
