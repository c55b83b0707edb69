"""What is not known is kept in `.extra`; where all is known, one empty mapping stands in for all of them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pandapon_async.core.structure import structurer
from pandapon_async.models.alibaba.refunds import RefundReason


def read(**data: Any) -> RefundReason:
    answer: RefundReason = structurer(RefundReason)({"id": 1, "name": "broken", **data}, None)
    return answer


def test_unknown_fields_are_each_answers_own() -> None:
    first, second = read(new=1), read(new=2)
    first.extra["more"] = 3
    assert (first.extra, second.extra) == ({"new": 1, "more": 3}, {"new": 2})


@pytest.mark.parametrize(
    "change",
    [
        lambda extra: extra.__setitem__("a", 1),
        lambda extra: extra.update(a=1),
        lambda extra: extra.setdefault("a", 1),
        lambda extra: extra.__ior__({"a": 1}),
    ],
)
def test_what_has_nothing_extra_cannot_give_it_to_others(change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(TypeError, match="assign a dict of your own"):
        change(read().extra)
    assert read().extra == {}


def test_copies_are_equal_and_ordinary() -> None:
    answer = read()
    for other in (copy.deepcopy(answer), pickle.loads(pickle.dumps(answer))):
        assert other == answer
        other.extra["a"] = 1
        assert answer.extra == {}
    assert answer == RefundReason(id=answer.id, name="broken")
