"""What CONTRIBUTING says about adding a call is tried out: its diff is applied, and the call is made."""

from __future__ import annotations

import re
import types
from pathlib import Path

from pandapon_async.api.v1.alibaba import refunds
from pandapon_async.declare.endpoint import Endpoint, _registry
from pandapon_async.models.alibaba.refunds import RefundReason
from pandapon_async.openapi import document
from tests.support.clients import client
from tests.support.server import FaultServer, ok

ROOT = Path(__file__).parents[1]
NAME = "v1.alibaba.refunds.largest_fee"


def declared() -> type[refunds.Refunds]:
    """The group of calls as the diff leaves it: the added lines, run where they are added."""
    (diff,) = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    added = [line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert len(added) <= 15
    source = "\n".join(["class Refunds(Resource):", *added])
    module = types.ModuleType(refunds.__name__)
    module.__dict__.update(refunds.__dict__)
    exec(compile("from __future__ import annotations\n" + source, "CONTRIBUTING.md", "exec"), module.__dict__)
    group: type[refunds.Refunds] = module.__dict__["Refunds"]
    return group


async def test_a_call_is_added_by_its_declaration_alone() -> None:
    try:
        group = declared()
        endpoint: Endpoint = group.largest_fee.endpoint  # type: ignore[attr-defined]
        assert endpoint.name == NAME
        assert [parameter.wire for parameter in endpoint.parameters] == ["orderId", "orderEntryIds"]
        async with FaultServer(then=ok({"id": 5})) as server, client(server.url) as pandapon:
            answer = await group(pandapon).largest_fee(order_id=1, order_entry_ids=[2])  # type: ignore[attr-defined]
            assert answer == RefundReason(id=5)
            assert server.requests[0].target == "/alibaba/refund/fee/max"
        assert "/alibaba/refund/fee/max" in document()["paths"]
    finally:
        _registry.pop(NAME, None)
