"""The vendor's own sample answers, through the envelope and into the models."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async.api.registry import endpoints
from pandapon_async.core.envelope import read_envelope
from pandapon_async.core.json_codec import loads
from pandapon_async.core.model import Model, parse_moment
from pandapon_async.core.structure import structurer, wire_fields
from pandapon_async.models.taobao.refunds import CancelledRefund, RefundStatus
from pandapon_async.money import Fen

PAGES = Path(__file__).parent / "data" / "pages"
CALLS = {
    "1688-refund-reasons": "v1.alibaba.refunds.reasons",
    "1688-return-goods": "v1.alibaba.refunds.return_goods",
    "1688-upload-refund-voucher": "v2.alibaba.refunds.upload_voucher",
    "taobao-reverse-order-cancel": "v1.taobao.refunds.cancel",
    "taobao-upload-pay-certificate": "v1.taobao.orders.upload_pay_certificate",
}


def test_every_page_has_its_call() -> None:
    assert {page.stem for page in PAGES.glob("*.json")} == set(CALLS)


def sample(page: str) -> tuple[Any, Any]:
    """The page's data as it came, and what the call makes of it."""
    envelope = read_envelope((PAGES / f"{page}.json").read_bytes())
    kind = endpoints()[CALLS[page]].response_type
    return envelope.data, structurer(kind)(envelope.data, kind)


def back(value: Any, wire: Any) -> Any:
    """The wire form of a structured value, spelled as in `wire`."""
    if isinstance(value, Model):
        fields = wire_fields(type(value))
        written = {
            name: back(getattr(value, field.name), wire.get(name))
            for name, field in fields.items()
            if getattr(value, field.name) is not None
        }
        return {**written, **value.extra}
    if isinstance(value, list):
        return [back(item, source) for item, source in zip(value, wire, strict=True)]
    if isinstance(value, datetime):
        assert parse_moment(wire) == value
        return wire
    return type(wire)(value)


@pytest.mark.parametrize("page", CALLS)
def test_a_sample_fits_its_model_and_comes_back_unchanged(page: str) -> None:
    data, value = sample(page)
    assert back(value, data) == data


@pytest.mark.parametrize("page", CALLS)
def test_no_field_of_a_sample_is_unknown(page: str) -> None:
    def extras(value: Any) -> list[str]:
        if isinstance(value, list):
            return [name for item in value for name in extras(item)]
        if not isinstance(value, Model):
            return []
        fields = [
            getattr(value, field.name)
            for field in attrs.fields(type(value))
            if field.name not in ("extra", "problems")
        ]
        return [*value.extra, *(name for inner in fields for name in extras(inner))]

    assert extras(sample(page)[1]) == []


def test_the_reverse_order_is_typed_where_it_counts() -> None:
    _, cancelled = sample("taobao-reverse-order-cancel")
    assert isinstance(cancelled, CancelledRefund)
    assert cancelled.cancel_success is True
    assert cancelled.refund_order_aggregate is not None
    order = cancelled.refund_order_aggregate.refund_order
    line = cancelled.refund_order_aggregate.purchase_order_line
    assert order is not None
    assert line is not None
    assert (order.refund_fee, order.refund_status, order.refund_id) == (
        Fen(4),
        RefundStatus.CLOSED,
        "110000235001",
    )
    assert isinstance(order.refund_fee, Fen)
    assert isinstance(order.refund_status, RefundStatus)
    assert order.timeout_date == parse_moment(1652759264000)
    assert (line.quantity, line.total_price) == (76, Fen(55000))


@pytest.mark.parametrize("page", CALLS)
def test_the_made_up_persons_stay_out_of_the_repr(page: str) -> None:
    assert "made-up" not in repr(sample(page)[1])


def test_the_samples_hold_no_real_persons_phone() -> None:
    for page in PAGES.glob("*.json"):
        text = json.dumps(loads(page.read_bytes()), default=str)
        assert "181160" not in text
        assert "181235" not in text
