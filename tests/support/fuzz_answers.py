"""Fuzzing of what comes over the network: JSON, envelopes, models, callbacks."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from pandapon_async.api.registry import endpoints
from pandapon_async.callbacks.messages import content_id, read
from pandapon_async.core.envelope import read_envelope
from pandapon_async.core.json_codec import loads
from pandapon_async.core.model import Model
from pandapon_async.core.structure import StructureError, structurer, wire_fields
from pandapon_async.errors import CallbackRefusedError
from pandapon_async.openapi.answers import example_data
from tests.support.fuzzing import Target, at_once, damaged
from tests.support.slow_json import TooDeep, slow_json

# --- JSON

NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "1",
        "1.5",
        "-2.25",
        "1e5",
        "1E+2",
        "1e-7",
        "1e308",
        "1e309",
        "1e-309",
        "1e999999999",
        "-1e-999999999",
        "0e999999999",
        "1e99999999999999999999",
        "18446744073709551616",
        "-9223372036854775809",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "NaN",
        "Infinity",
        "-Infinity",
        "0x10",
        "1_0",
        "٣",
    ]
) | st.integers().map(str)
TEXTS = (
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.text(max_size=6).map(json.dumps)
    | st.sampled_from(
        [
            r'"\ud83d\ude00"',
            r'"\ud800"',
            r'"\udc00\ud800"',
            r'"\\ud800"',
            r'"\u00"',
            '"\t"',
            '"',
            '""',
            r'"\q"',
        ]
    )
)
NAMES_OF_FIELDS = st.sampled_from(["code", "msg", "data", "requestId", "developId", "a", "messageBody"])


def _written(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    blanks = st.sampled_from(["", "", "", " ", "\n\t "])
    pair = st.tuples(NAMES_OF_FIELDS.map(json.dumps) | TEXTS, blanks, inner).map(
        lambda it: f"{it[0]}:{it[1]}{it[2]}"
    )
    return (
        st.tuples(st.lists(inner, max_size=4), blanks).map(lambda it: f"[{f',{it[1]}'.join(it[0])}]")
        | st.tuples(st.lists(pair, max_size=5), blanks).map(lambda it: f"{{{f',{it[1]}'.join(it[0])}}}")
        | st.tuples(inner, st.integers(1, 400)).map(lambda it: "[" * it[1] + it[0] + "]" * it[1])
    )


DOCUMENTS = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["true", "false", "null", ""]), _written, max_leaves=10
)


JSON_BYTES = st.binary(max_size=60) | damaged(
    DOCUMENTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
)


def check_json(data: bytes) -> None:
    """Every document: read as the slow reader reads it, or refused with ValueError."""
    with at_once():
        try:
            got: Any = loads(data)
        except ValueError as error:
            got = error
    try:
        wanted: Any = slow_json(data)
    except TooDeep:
        return
    except ValueError as error:
        wanted = error
    if isinstance(wanted, ValueError):
        assert isinstance(got, ValueError), f"read as {got!r}, though {wanted}"
    else:
        assert repr(got) == repr(wanted)  # repr tells 1 from True and from Decimal(1)


def check_envelope(body: bytes) -> None:
    """Every answer: its fields as the slow reader reads them, or refused with ValueError."""
    with at_once():
        try:
            envelope = read_envelope(body)
        except ValueError:
            envelope = None
    try:
        document = slow_json(body)
    except TooDeep:
        return
    except ValueError:
        document = None
    if not isinstance(document, dict) or type(document.get("code")) is not int:
        assert envelope is None
        return
    assert envelope is not None
    assert (envelope.code, repr(envelope.data)) == (document["code"], repr(document.get("data")))
    for told, name in ((envelope.request_id, "requestId"), (envelope.msg, "msg")):
        value = document.get(name)
        assert told == (str(value) if type(value) in (int, str) else None)


ENVELOPES = damaged(
    st.tuples(NUMBERS | TEXTS, DOCUMENTS, TEXTS | NUMBERS).map(
        lambda it: f'{{"requestId":{it[2]},"code":{it[0]},"developId":1,"msg":"x","data":{it[1]}}}'.encode(
            "utf-8", "surrogatepass"
        )
    )
)

# --- models

KINDS = {
    repr(one.response_type): one.response_type for one in endpoints().values() if one.response_type is not Any
}
ODD: list[Any] = [
    None, True, False, 0, -1, 10**30, 10**4000, 1.0, Decimal("1.5"), Decimal("1e308"), Decimal("-0"), "", " ",
    "x", "1", "-1", "1e5", "9" * 25, "false", "null", "20180423171116000+0800", "99999999999999999+9999",
    "2024-02-30 00:00:00", "2024-05-14T00:00:00Z", "1700000000000", 1_700_000_000_000, 10**14, [],
    [[]], [None], {}, {"": {}}, {"list": []}, {"list": None, "rows": [{}], "total": "3"}, "\ud800", "٣", "１",
    "NaN",
]  # fmt: skip


def _places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from _places(inner, (*here, step))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Any, Any]:
    """A response type, and an answer to it in which some values are others."""
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    data = example_data(kind, draw(st.integers(0, 20)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(data))
        place = places[draw(st.integers(0, len(places) - 1))]
        odd = copy.deepcopy(draw(st.sampled_from(ODD) | st.integers() | st.text(max_size=5)))
        if not place:
            data = odd
            continue
        around = data
        for step in place[:-1]:
            around = around[step]
        if isinstance(around, dict) and draw(st.booleans()):
            around[draw(st.text(max_size=5))] = odd
        else:
            around[place[-1]] = odd
    return kind, data


def check_structure(case: tuple[Any, Any]) -> None:
    """Every answer: a model that says what the data says, or StructureError, which repeats nothing of it."""
    kind, data = case
    with at_once():
        try:
            made = structurer(kind)(data, kind)
        except StructureError as mismatch:
            told = str(mismatch)
        else:
            says_the_same(made, data)
            return
    assert len(told) < 200


def says_the_same(made: Any, data: Any) -> None:
    """What a model holds is what the data says, field by field, and nothing is dropped."""
    if isinstance(made, Model):
        repr(made)
        if not isinstance(data, dict):
            return  # a page that came as a bare list
        fields = wire_fields(type(made))
        if "items" not in fields or data.get("items") is not None or not hasattr(made, "total"):
            for wire, field in fields.items():
                says_the_same(getattr(made, field.name), data.get(wire))
            assert made.extra == {name: value for name, value in data.items() if name not in fields}
        return
    if isinstance(made, list) and isinstance(data, list):
        assert len(made) == len(data)
        for one, other in zip(made, data, strict=True):
            says_the_same(one, other)
    elif made is None:
        assert data is None or data == ""
    elif isinstance(made, datetime):
        assert made.tzinfo is not None
        assert isinstance(data, str | int)
    elif isinstance(made, Decimal):
        assert made == Decimal(data)
    elif isinstance(made, bool) or isinstance(data, bool):
        assert made is data
    elif isinstance(data, int | str):
        assert made == data or str(made) == str(data)


# --- callbacks


def check_message(raw: bytes) -> None:
    """Every push: a message with what came, or CallbackRefusedError."""
    with at_once():
        try:
            message = read(raw)
        except CallbackRefusedError:
            return
        content_id(message)
        repr(message)
    assert message.id == hashlib.sha256(raw).hexdigest()
    assert message.order_id is None or 0 < len(message.order_id) <= 64
    assert message.refund_id is None or 0 < len(message.refund_id) <= 64
    with contextlib.suppress(TooDeep):
        frame = slow_json(raw)
        body = frame.get("messageBody")
        assert repr(message.body) == repr(body) or repr(message.body) == repr(slow_json(body.encode()))


BODIES = DOCUMENTS | st.sampled_from(
    [
        '{"refundId":"TQ1","orderId":1}', '{"orderId":1e999999999}', '{"orderId":null,"refundId":true}',
        '{"baseInfo":{"id":1},"productItems":[]}', '{"subOrders":[{}],"msgSendTime":"2018-05-30 19:31:33"}',
        '{"refundOrderAggregate":{"refundOrder":[]}}', '{"msgSendTime":99999999999999999999}',
    ]
)  # fmt: skip
PUSHES = damaged(
    st.tuples(
        st.sampled_from(["0", "1", "2", '"1688"', "null", "true", "1e5", "[]", '"x"']),
        st.sampled_from(['"1688_REFUND"', '"TAOBAO_ORDER_PRICE"', '"ORDER_STATUS"', "1", "null", "[]", '""']),
        BODIES | BODIES.map(json.dumps),
        NUMBERS | TEXTS,
    ).map(
        lambda it: (
            f'{{"messagePlatform":{it[0]},"messageType":{it[1]},"messageBody":{it[2]},"timestamp":{it[3]}}}'
        ).encode("utf-8", "surrogatepass")
    )
)

TARGETS: dict[str, Target] = {
    "JSON": Target(JSON_BYTES, check_json, 30_000, bytes),
    "envelopes": Target(ENVELOPES | JSON_BYTES, check_envelope, 15_000, bytes),
    "models": Target(answers(), check_structure, 15_000),
    "callbacks": Target(PUSHES | JSON_BYTES, check_message, 15_000, bytes),
}
