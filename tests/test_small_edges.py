"""Small rules at their edges: what a person or a server does once in ten thousand calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pandapon_async
from pandapon_async import ConfigurationError, bulk
from pandapon_async.callbacks import CallbackSettings, Receiver
from pandapon_async.callbacks.asgi import AsgiApp
from pandapon_async.cli.call_help import _bounds
from pandapon_async.models.alibaba.orders import OrderStatus
from pandapon_async.sandbox import disruption
from pandapon_async.sandbox.ledger import _origin, _row
from tests.support.clients import CREDENTIALS


def test_what_the_package_does_not_have_is_no_attribute() -> None:
    assert pandapon_async.__getattr__("bulk") is bulk
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pandapon_async.__getattr__("nothing")


def test_a_status_that_is_no_text_stays_what_it_is() -> None:
    assert OrderStatus.read(7) == 7
    assert OrderStatus.read("wait_buyer_pay") is OrderStatus.read("waitbuyerpay")


class Gone:
    transport = None


def test_a_client_that_left_before_it_was_disrupted() -> None:
    """The connection can be gone when its turn to be broken comes: nothing more to break, nothing raised."""
    from pandapon_async.sandbox.envelope import SandboxResponse

    answer = SandboxResponse.__new__(SandboxResponse)
    assert disruption.break_off(Gone()).status == 200  # type: ignore[arg-type]
    assert disruption.reset(Gone()).status == 200  # type: ignore[arg-type]
    assert disruption.send_half(Gone(), answer).status == 200  # type: ignore[arg-type]


def test_a_repeated_row_of_the_ledger_repeats_one_that_can_be_read() -> None:
    assert _origin(7, 0, 0) is None, "the first row has nothing before it to repeat"
    for index in range(200):
        row, _ = _row(7, index)
        assert row["refund_id"]


class Talk:
    """An ASGI server's side."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events: Iterator[dict[str, Any]] = iter(events)
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return next(self._events)

    async def send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)


def app(store: Path | str = ":memory:") -> AsgiApp:
    return Receiver(CREDENTIALS, CallbackSettings(), store=store).asgi_app()


async def test_asgi_scopes_that_are_not_known_are_left_alone() -> None:
    talk = Talk()
    await app()({"type": "later"}, talk.receive, talk.send)  # type: ignore[arg-type]
    assert talk.sent == []


async def test_an_asgi_client_that_leaves_in_its_body_is_not_answered() -> None:
    talk = Talk({"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"})
    scope = {"type": "http", "method": "POST", "headers": [(b"authorization", b"0" * 64)]}
    await app()(scope, talk.receive, talk.send)  # type: ignore[arg-type]
    assert talk.sent == []


async def test_an_asgi_lifespan_with_events_that_are_not_known() -> None:
    talk = Talk({"type": "lifespan.startup"}, {"type": "lifespan.later"}, {"type": "lifespan.shutdown"})
    await app()({"type": "lifespan"}, talk.receive, talk.send)  # type: ignore[arg-type]
    assert [event["type"] for event in talk.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_an_upload_that_takes_no_image_is_a_fault_of_the_declaration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pandapon_async.bulk import vouchers
    from pandapon_async.declare.endpoint import endpoints

    monkeypatch.setattr(vouchers, "_endpoint", lambda: endpoints()["v1.alibaba.refunds.get"])
    with pytest.raises(ConfigurationError, match="takes no image"):
        vouchers.picture_rule()


def test_no_bound_below() -> None:
    from pandapon_async.declare.fields import IntegerField

    assert _bounds(IntegerField(None, 9)) == "at most 9"
    assert _bounds(IntegerField(1, 9)) == "1 to 9"
