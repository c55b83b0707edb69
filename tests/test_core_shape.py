"""Read by its shape or in the general way, an answer gives the same: value, envelope, plain data, error."""

from __future__ import annotations

import gc
import json
import pickle
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pandapon_async import DecodeError, NotFoundError, PandaponError
from pandapon_async.core import shape
from pandapon_async.core.envelope import Envelope, read_envelope
from pandapon_async.core.json_codec import LARGE, loads
from pandapon_async.core.model import Model, PageModel, field, model
from pandapon_async.core.shape import NoShape, Reader, Shape, Shaped
from pandapon_async.core.structure import StructureError, structurer, wire_fields
from pandapon_async.declare.endpoint import endpoints
from pandapon_async.models.taobao.refunds import RefundDetail, RefundPage
from tests.support.clients import client
from tests.support.server import FaultServer, answer, http
from tests.support.virtual import outcome, virtual_time
from tests.test_core_structure import Everything, Leaf


@model
class Everythings(PageModel):
    items: list[Everything] = attrs.field(factory=list)


@model
class Flagged(Model):
    success: bool | None = field()
    text: str | None = field()


def whole(data: Any, **more: Any) -> dict[str, Any]:
    return {"requestId": "r", "code": 200, "developId": 7, "msg": "成功", "data": data, **more}


def written(document: Any) -> bytes:
    def plain(value: Any) -> Any:
        return float(value)

    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=plain).encode()


def read_by(read: Any, kind: Any, body: bytes) -> Any:
    """All that can be seen of an answer, in words."""
    try:
        envelope: Envelope = read(body)
    except ValueError as error:
        return str(error)
    data, made = envelope.data, None
    seen = [envelope.request_id, envelope.code, envelope.develop_id, envelope.msg]
    if isinstance(data, Shaped):
        try:
            made = data.value()
        except StructureError:
            made = None
        data = data.plain()
    if made is None and data is not None:
        try:
            made = structurer(kind)(data, None)
        except StructureError as mismatch:
            made = (mismatch.path, str(mismatch))
    return repr(made), made, getattr(made, "extra", None), repr(data), seen


def readers(kind: Any) -> tuple[Reader, Any]:
    with patch.object(shape, "OFTEN", 1):
        return Reader(kind), read_envelope


# --- documents: many of one shape, and others between them

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        ["", "abc", "red", "1", 1, 0, -1, 10**30, 1667193198819, "1652759264000", 10**11 - 1, 10**14]
    ),
    st.sampled_from([Decimal("1.5"), Decimal("0.25")]),
)
LEAF = st.dictionaries(st.sampled_from(["text", "number", "unknown"]), VALUES, max_size=3)
ANY = st.one_of(VALUES, LEAF, st.lists(LEAF, max_size=3), st.lists(VALUES, max_size=2))
NAMES = [*wire_fields(Everything), "unknown"]


@st.composite
def objects(draw: st.DrawFn) -> list[dict[str, Any]]:
    usual = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=8))
    likely = {name: draw(ANY) for name in usual}
    found = []
    for _ in range(draw(st.integers(2, 8))):
        names = usual if draw(st.integers(0, 3)) else draw(st.permutations(usual))
        names = [name for name in names if draw(st.integers(0, 5))]
        found.append({name: likely[name] if draw(st.booleans()) else draw(ANY) for name in names})
    return found


@st.composite
def bodies(draw: st.DrawFn, *, pages: bool) -> list[bytes]:
    found = []
    for one in draw(objects()):
        data: Any = one
        if pages:
            data = draw(st.lists(st.just(one), max_size=3))
            if draw(st.booleans()):
                name = draw(st.sampled_from(["list", "list", "rows"]))
                data = {**draw(st.sampled_from([{}, {"total": 3}, {"totalCount": "3", "x": 1}])), name: data}
        elif draw(st.integers(0, 9)) == 0:
            data = draw(ANY)
        body = written(
            {**whole(data), **draw(st.sampled_from([{}, {}, {"ok": True}, {"code": 500}, {"code": "200"}]))}
        )
        if draw(st.integers(0, 9)) == 0:
            body = body.replace(b":", draw(st.sampled_from([b": ", b':0,"a":', b""])), 1)
        found.append(body)
    return found


@given(bodies(pages=False))
@example([written(whole({"leaf": {"text": "a"}}))] * 3 + [written(whole({"leaf": {"unknown": 1}}))])
@example([written(whole({"text": "a"}))] * 3 + [b'{"code":200,"data":{"text":"a","text":"b"}}'])
@example([written(whole({"text": "a"}))] * 3 + [b'{"code":200,"code":500,"data":{"text":"a"}}'])
@example([written(whole({"leaves": [{"text": None}, {"text": 5}]}))] * 3)
@example([written(whole({"leaves": [{"text": "a"}]}))] * 2 + [written(whole({"leaves": [{"text": "a"}, 3]}))])
def test_an_object(bodies: list[bytes]) -> None:
    by_shape, plain = readers(Everything)
    for body in bodies:
        assert read_by(by_shape.read, Everything, body) == read_by(plain, Everything, body)


@given(bodies(pages=True))
@example([written(whole({"list": [{"text": "a"}], "total": 1}))] * 2 + [written(whole({"total": 1}))])
@example([written(whole({"list": [{"text": "a"}]}))] * 2 + [written(whole({"list": None}))])
@example([written(whole({"list": [{"text": "a"}]}))] * 2 + [written(whole({"rows": [], "list": []}))])
@example([written(whole([{"text": "a"}]))] * 2 + [written(whole([]))])
def test_a_page(bodies: list[bytes]) -> None:
    by_shape, plain = readers(Everythings)
    for body in bodies:
        assert read_by(by_shape.read, Everythings, body) == read_by(plain, Everythings, body)


# --- that it is read by its shape where it can be

REFUND = {"refundOrderAggregate": {"refundOrder": {"refundFee": 4, "refundId": 1}}, "currency": "CNY"}


def shaped(kind: Any, data: Any, other: Any) -> bool:
    """Whether an answer is of the shape of another."""
    return Shape(kind, loads(written(whole(data)))).read(written(whole(other))) is not None


@pytest.mark.parametrize(
    ("kind", "data", "other"),
    [
        (RefundDetail, REFUND, {**REFUND, "currency": None}),
        (RefundDetail, REFUND, {"refundOrderAggregate": None}),
        (RefundDetail, REFUND, {"currency": "CNY"}),
        (RefundDetail, REFUND, None),
        (RefundDetail, {"currency": "CNY"}, {"currency": "CNY", "refundOrderAggregate": {"new": 1}}),
        (RefundPage, [REFUND], [REFUND, {"currency": "CNY"}] * 3),
        (RefundPage, [REFUND], []),
        (RefundPage, {"total": 1, "list": [REFUND], "page": {"no": 1}}, {"total": None, "list": []}),
        (Everything, {"leaves": [{"text": "a"}]}, {"leaves": [{}, {"text": None}]}),
    ],
)
def test_of_the_same_shape(kind: Any, data: Any, other: Any) -> None:
    assert shaped(kind, data, other)


@pytest.mark.parametrize(
    ("kind", "data", "other"),
    [
        (RefundDetail, REFUND, dict(reversed(REFUND.items()))),
        (RefundDetail, REFUND, {**REFUND, "new": 1}),
        (RefundDetail, REFUND, []),
        (RefundDetail, REFUND, {"refundOrderAggregate": 1}),
        (RefundPage, [REFUND], {"list": [REFUND]}),
        (RefundPage, {"list": [REFUND]}, {"list": [REFUND], "total": 1}),
    ],
)
def test_of_another_shape(kind: Any, data: Any, other: Any) -> None:
    assert not shaped(kind, data, other)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Leaf, {"text": "a", "unknown": 1}),  # kept in `.extra`, by the general way
        (Leaf, [{"text": "a"}]),
        (Flagged, {"text": "a"}),  # what it says of success has to be looked at
        (RefundPage, []),
        (RefundPage, [1]),
        (RefundPage, {"list": [REFUND], "rows": [REFUND]}),
        (RefundPage, {"list": [REFUND], "success": True}),
        (str, "a"),
        (Any, {"a": 1}),
        (list[Leaf], [{"text": "a"}]),
    ],
)
def test_without_a_shape(kind: Any, data: Any) -> None:
    with pytest.raises(NoShape):
        Shape(kind, whole(data))


# --- when there is one

FITS, OTHER = written(whole({"text": "a"})), written(whole({"unknown": 1}))


def test_it_is_made_after_a_while_and_given_up_if_it_does_not_fit() -> None:
    reader = Reader(Leaf)

    def by_shape(body: bytes) -> bool:
        return isinstance(reader.read(body).data, Shaped)

    assert [by_shape(FITS) for _ in range(shape.OFTEN)] == [False] * shape.OFTEN
    assert by_shape(FITS)
    for _ in range(shape.PATIENCE - 1):
        assert not by_shape(OTHER)
    assert by_shape(FITS)
    assert not by_shape(OTHER)
    assert by_shape(FITS)
    for _ in range(2):
        assert not by_shape(OTHER)
    assert [by_shape(FITS) for _ in range(shape.LATER)] == [False] * shape.LATER
    assert by_shape(FITS)


def test_no_shape_is_made_of_an_answer_without_data_or_of_one_that_has_none() -> None:
    reader = Reader(Leaf)
    for _ in range(3 * shape.OFTEN):
        reader.read(written(whole(None)))
    assert not isinstance(reader.read(FITS).data, Shaped)
    assert isinstance(reader.read(FITS).data, Shaped)
    odd = Reader(Leaf)
    for _ in range(3 * shape.OFTEN):
        assert odd.read(OTHER).data == {"unknown": 1}


@pytest.mark.parametrize("enabled", [True, False])
def test_a_large_answer_is_read_while_the_garbage_collector_rests(enabled: bool) -> None:
    body = written(whole([{**REFUND, "distributorId": "1" * 100}] * 1_000))
    assert len(body) > LARGE
    found: list[Any] = []
    by_shape = Shape(RefundPage, loads(body))

    def note(phase: str, _: object) -> None:
        found.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        if not enabled:
            gc.disable()
        envelope = by_shape.read(body)
        assert envelope is not None
        value = envelope.data.value()
        assert gc.isenabled() is enabled
    finally:
        gc.callbacks.remove(note)
        gc.enable()
    assert value == structurer(RefundPage)(loads(body)["data"], None)
    assert found.count("start") <= (
        2 if enabled else 0
    )  # of the thousands of objects; one after each of the two


# --- and through the client


@virtual_time
async def test_what_a_caller_gets_does_not_change_with_it() -> None:
    body = written(whole(REFUND))
    wrong = written(whole({**REFUND, "currency": 5}))
    async with FaultServer(then=answer(http(body))) as server, client(server.url) as pandapon:
        refunds = pandapon.v1.taobao.refunds
        before = await refunds.get(refund_id=1).with_response()
        errors: list[Any] = []
        server.on_next(answer(http(wrong)))
        errors.append(await outcome(refunds.get(refund_id=1)))
        for _ in range(shape.OFTEN):
            await refunds.get(refund_id=1)
        after = await refunds.get(refund_id=1).with_response()
        assert isinstance(after._data, Shaped)
        copy = pickle.loads(pickle.dumps(after))
        assert copy == after
        assert copy.data == before.data
        assert (after.value, after.data, after.msg) == (before.value, before.data, before.msg)
        assert after.data is after.data
        server.on_next(answer(http(wrong)))
        errors.append(await outcome(refunds.get(refund_id=1)))
        server.on_next(answer(http(written(whole(None)))))
        assert type(await outcome(refunds.get(refund_id=1))) is NotFoundError
        server.on_next(answer(http(written({**whole(None), "code": 403}))))
        refused = await outcome(refunds.get(refund_id=1))
        assert isinstance(refused, PandaponError)
        assert refused.request_id == "r"
    first, second = errors
    assert type(first) is type(second) is DecodeError
    assert (str(first), first.path, first.data) == (str(second), second.path, second.data)


def test_only_reads_whose_data_confirms_nothing_are_read_by_their_shape() -> None:
    """Of what a write brings back, the journal and the third layer of success want the plain data."""
    from pandapon_async import Safety
    from pandapon_async.transport.requests import _reader

    for endpoint in endpoints().values():
        by_shape = _reader(endpoint) is not read_envelope
        assert by_shape == (endpoint.safety is Safety.READ and endpoint.confirmed_by is None), endpoint.name
