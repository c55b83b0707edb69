"""The envelope: what counts as one, and how its loose parts are read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pandapon_async.core.envelope import read_envelope


def body(**fields: Any) -> bytes:
    return orjson.dumps(fields)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b'{"code":"200"}', "str"),
        (b'{"code":true}', "bool"),
        (b'{"code":null}', "NoneType"),
        (b'{"code":200.0}', "Decimal"),
        (b'{"code":2e2}', "Decimal"),
        (b'{"code":[200]}', "list"),
        (b'{"msg":"ok"}', "NoneType"),
        (b'{"Code":200}', "NoneType"),
    ],
)
def test_a_code_that_is_no_whole_number_is_no_envelope(text: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=f"code is {kind}"):
        read_envelope(text)


@pytest.mark.parametrize("text", [b"null", b"[]", b'"ok"', b"200", b"true", b"1.5"])
def test_another_json_value_is_no_envelope(text: bytes) -> None:
    with pytest.raises(ValueError, match="not an envelope"):
        read_envelope(text)


@pytest.mark.parametrize(
    "text",
    [b"", b"<html>", b'{"code":200', b'\xef\xbb\xbf{"code":200}', b'{"code":500,"data":1,"code":200}'],
)
def test_what_is_no_json_says_only_how_long_it_was(text: bytes) -> None:
    with pytest.raises(ValueError, match=rf"not JSON \({len(text)} bytes"):
        read_envelope(text)


def test_the_error_never_repeats_the_body() -> None:
    canary = "13800001111"
    for text in (canary, f'"{canary}"', f'{{"code":"{canary}"}}', f'{{"code":200,"msg":"{canary}'):
        with pytest.raises(ValueError) as caught:
            read_envelope(text.encode())
        chain = [caught.value, caught.value.__cause__, caught.value.__context__]
        assert canary not in "".join(repr(vars(error)) + repr(error) for error in chain if error)


@pytest.mark.parametrize("field", ["requestId", "developId", "msg"])
@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("x", "x"),
        ("", ""),
        (7, "7"),
        (2**60, str(2**60)),
        (None, None),
        (True, None),
        ([1], None),
        ({}, None),
    ],
)
def test_loose_parts_are_text_or_nothing(field: str, given: Any, read: str | None) -> None:
    envelope = read_envelope(body(code=200, **{field: given}))
    found = {"requestId": envelope.request_id, "developId": envelope.develop_id, "msg": envelope.msg}
    assert found[field] == read


@pytest.mark.parametrize("data", [None, True, 0, "", [], {}, [{"id": 1}]])
def test_data_comes_as_it_is(data: Any) -> None:
    assert read_envelope(body(code=200, data=data)).data == data


def test_missing_parts_are_none() -> None:
    envelope = read_envelope(b'{"code":-1}')
    assert (envelope.code, envelope.data, envelope.msg, envelope.request_id, envelope.develop_id) == (
        -1,
        None,
        None,
        None,
        None,
    )


def test_the_data_stays_out_of_the_repr() -> None:
    assert "13800001111" not in repr(read_envelope(body(code=200, data={"phone": "13800001111"})))
