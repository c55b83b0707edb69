"""The function that is written for a model's usual fields gives what the one for all its fields gives."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from pandapon_async.core import structure
from pandapon_async.core.structure import Mismatch, wire_fields
from pandapon_async.models.taobao.refunds import RefundDetail
from tests.test_core_structure import Everything, Leaf

NEVER = 10**9
LEAF: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["text", "number", "unknown", "other"]),
    st.sampled_from(["a", 1, None, [], True]),
    max_size=3,
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(["", "abc", "red", "1", 1, 0, -1, 1667193198819, "1652759264000", 10**11 - 1, 10**14]),
    st.just(Decimal("1.5")),
    LEAF,
    st.lists(LEAF, max_size=2),
)
SHAPE = st.lists(st.sampled_from([*wire_fields(Everything), "unknown"]), unique=True)


@st.composite
def documents(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Many of the same shape, with others between them."""
    usual = draw(SHAPE)
    shapes = [draw(SHAPE) if draw(st.integers(0, 4)) == 0 else usual for _ in range(draw(st.integers(1, 12)))]
    return [{name: draw(VALUES) for name in shape} for shape in shapes]


def fresh(kind: Any, often: int) -> Callable[[Any], Any]:
    """A structurer that has seen nothing yet; gives the outcome in words."""
    with patch.object(structure, "OFTEN", often):
        hook = structure._converter.__wrapped__().get_structure_hook(kind)

    def outcome(document: Any) -> Any:
        try:
            made = hook(document, None)
        except Mismatch as mismatch:
            return mismatch.path, str(mismatch)
        return repr(made), made, made.extra

    return outcome


@given(documents())
@example([{"leaf": {"text": "a"}}] * 4 + [{"leaf": {"number": 1}}, {"leaf": {"unknown": 1}}])
@example([{"leaf": {"text": "a"}}] * 4 + [{"text": "a"}, {"unknown": 1}])
@example([{"leaves": [{"text": None}, {"text": 5}]}] * 6)
def test_learned_or_not_the_outcome_is_the_same(documents: list[dict[str, Any]]) -> None:
    learning, plain = fresh(Everything, 2), fresh(Everything, NEVER)
    for document in documents:
        assert learning(document) == plain(document)


def test_it_is_learned_from_what_comes_often() -> None:
    hook: Any = structure._converter.__wrapped__().get_structure_hook(Leaf)
    for _ in range(structure.OFTEN):
        assert hook.usual.make is None
        hook({"text": "a"}, None)
    assert hook.usual.length == 1
    assert hook.usual.make({"text": "b"}) == Leaf(text="b")


def test_what_has_unknown_fields_is_not_learned_from() -> None:
    """The function for the usual fields has no eye for them."""
    hook: Any = structure._converter.__wrapped__().get_structure_hook(Leaf)
    for _ in range(2 * structure.OFTEN):
        hook({"text": "a", "unknown": 1}, None)
    assert hook.usual.make is None
    assert hook({"text": "a", "unknown": 1}, None).extra == {"unknown": 1}


def test_null_where_a_field_was_learned() -> None:
    refund = {"refundOrderAggregate": {"refundOrder": {"refundFee": 4, "refundId": "1"}}, "currency": "CNY"}
    null = {"refundOrderAggregate": {"refundOrder": {"refundFee": None, "refundId": 1}}, "currency": None}
    learning, plain = fresh(RefundDetail, 1), fresh(RefundDetail, NEVER)
    for document in (refund, refund, null, {**refund, "new": 1}, {"currency": "CNY", "new": 1}):
        assert learning(document) == plain(document)
