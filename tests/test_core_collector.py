"""The garbage collector rests while a large answer is read, and goes on if it was on before."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator

import pytest

from pandapon_async.core.collector import no_collection
from pandapon_async.core.json_codec import LARGE, loads
from pandapon_async.core.structure import LONG, StructureError, structurer
from pandapon_async.models.taobao.refunds import RefundPage


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """The phases of all collections."""
    seen: list[str] = []

    def note(phase: str, _: object) -> None:
        seen.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.enable()


def test_nothing_is_collected_inside(collections: list[str]) -> None:
    with no_collection():
        kept = [[] for _ in range(10_000)]  # type: ignore[var-annotated]
        begun = list(collections)
    kept.append([[] for _ in range(10_000)])
    assert begun == []
    assert collections


def test_a_large_answer_is_read_and_structured_without(collections: list[str]) -> None:
    refund = {"refundOrderAggregate": {"refundOrder": {"refundId": "1", "refundDesc": "x" * 100}}}
    many = [refund] * (10 * LONG)
    data = json.dumps({"data": many}, separators=(",", ":")).encode()
    assert len(data) > LARGE
    document = loads(data)
    inside = len(collections)
    page = structurer(RefundPage)(document["data"], None)
    assert len(page.items) == len(many)
    # One right after each, where one comes round after every 700 objects otherwise.
    assert (inside // 2, len(collections) // 2 - inside // 2) <= (1, 1)
    assert gc.isenabled()


@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_left_as_it_was_whatever_happens(enabled: bool, collections: list[str]) -> None:
    if not enabled:
        gc.disable()
    with no_collection():
        pass
    assert gc.isenabled() is enabled
    with pytest.raises(ValueError, match="Expecting"):
        loads(b'{"a":' + b" " * LARGE)
    assert gc.isenabled() is enabled
    with pytest.raises(StructureError):
        structurer(RefundPage)([{}] * LONG + [1], None)
    assert gc.isenabled() is enabled
