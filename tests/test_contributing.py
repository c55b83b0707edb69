"""What CONTRIBUTING says about adding a call is tried out: its diff is applied, and the call is made."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.api import registry
from pandapon_async.api.alibaba import refunds
from pandapon_async.declare.call import operation_of
from pandapon_async.models.alibaba.refunds import RefundReason
from pandapon_async.openapi import document
from tests.support.clients import client
from tests.support.server import FaultServer, ok
from tests.test_architecture import FLOORS

ROOT = Path(__file__).parents[1]
NAME = "alibaba.refunds.largest_fee"


def map_of_rooms() -> list[str]:
    """The packages and modules that CONTRIBUTING's map names, in its order."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (drawn,) = re.findall(r"^    pandapon_async/\n((?:^ {8}.*\n)+)", text, re.MULTILINE)
    return [name for line in drawn.splitlines() for name in re.findall(r"(\w+)(?:\.py|/)", line[:36])]


def test_the_map_shows_every_room_in_the_order_in_which_they_stand_on_each_other() -> None:
    assert map_of_rooms() == [room for room in FLOORS if not room.startswith("__")]


def test_the_way_of_a_call_names_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## The way of one call")[2]
    rows = re.findall(r"^\| (`.*`) \|", text.partition("## ")[0], re.MULTILINE)
    assert len(rows) > 8
    for row in rows:
        folder = ""
        for name in re.findall(r"`([\w/.]+)`", row):
            folder = name.rpartition("/")[0] or folder
            path = name if "/" in name or name == "client.py" else f"{folder}/{name}"
            assert (ROOT / "pandapon_async" / path).is_file(), path


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


async def test_a_call_is_added_by_its_declaration_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refunds.Refunds, "largest_fee", declared().largest_fee, raising=False)  # type: ignore[attr-defined]
    try:
        registry.operations.cache_clear()
        registry.endpoints.cache_clear()
        operation = registry.operations()[NAME]
        assert operation_of(refunds.Refunds.largest_fee) is operation  # type: ignore[attr-defined]
        parameters = operation.generations["v1"].parameters
        assert [parameter.wire for parameter in parameters] == ["orderId", "orderEntryIds"]
        async with FaultServer(then=ok({"id": 5})) as server, client(server.url) as pandapon:
            group: Any = pandapon.alibaba.refunds
            assert await group.largest_fee(order_id=1, order_entry_ids=[2]) == RefundReason(id=5)
            assert server.requests[0].target == "/alibaba/refund/fee/max"
        assert "/alibaba/refund/fee/max" in document()["paths"]
    finally:
        monkeypatch.undo()
        registry.operations.cache_clear()
        registry.endpoints.cache_clear()
