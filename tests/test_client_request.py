"""Undeclared calls, and what comes back besides the value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import (
    ConfigurationError,
    DecodeError,
    Fen,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    Override,
    PandaponError,
    Safety,
)
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import KEY, REFUND, client
from tests.support.server import FaultServer, answer, envelope, http, ok
from tests.support.virtual import outcome, run, virtual_time

# --- what goes out


@virtual_time
async def test_a_request_goes_out_as_it_was_given() -> None:
    async with FaultServer() as server, client(server.url + "/base") as pandapon:
        body = {
            "orderId": 1022505290408395575,
            "name": "退款",
            "fen": Fen(5),
            "yuan": Decimal("1.10"),
            "no": None,
        }
        await pandapon.request("post", "/a/b%20c", json=body, params={"q": "1&2", "fen": Fen(7)})
        (seen,) = server.requests
        assert (seen.method, seen.target) == ("POST", "/base/a/b%20c?q=1%262&fen=7")
        assert seen.body == (
            '{"orderId":1022505290408395575,"name":"退款","fen":5,"yuan":"1.10","no":null}'.encode()
        )
        assert seen.header("content-type") == "application/json"
        assert seen.header("content-length") == str(len(seen.body))
        assert seen.header("transfer-encoding") is None
        assert seen.header("access-key") == KEY
        assert len(seen.nonce) == 32
        assert len(seen.header("timestamp") or "") == 13
        await pandapon.with_settings(timestamp_unit="s").request("GET", "/x")
        assert len(server.requests[1].header("timestamp") or "") == 10
        assert server.requests[1].body == b""


@virtual_time
async def test_a_large_body_goes_out_whole_with_its_length() -> None:
    """aiohttp warns of large bodies; as an error the warning looked like a lost connection."""
    async with FaultServer() as server, client(server.url) as pandapon:
        await pandapon.request("POST", "/x", json={"text": "a" * 4_000_000}, safety=Safety.READ)
        (seen,) = server.requests
    assert len(seen.body) == 4_000_011
    assert seen.header("content-length") == "4000011"
    assert seen.header("content-type") == "application/json"


PLAIN = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(),
    st.booleans(),
    st.decimals(allow_nan=False, allow_infinity=False),
)


@given(st.dictionaries(st.text("abAB é&=", min_size=1), PLAIN | st.lists(PLAIN, min_size=1, max_size=3)))
def test_params_come_out_as_they_went_in(params: dict[str, Any]) -> None:
    def plain(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    async def scenario() -> None:
        async with FaultServer() as server, client(server.url) as pandapon:
            await pandapon.request("GET", "/x", params=params)
            target = server.requests[0].target
        expected = [
            (name, plain(one))
            for name, value in params.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        assert (
            parse_qsl(target.partition("?")[2], keep_blank_values=True, strict_parsing=bool(params))
            == expected
        )
        assert target.isascii()
        assert target.isprintable()
        assert " " not in target

    run(scenario())


@pytest.mark.parametrize(
    ("json", "params"),
    [
        ({"amount": 1.5}, None),
        ({"a": [{"b": (1, 2.0)}]}, None),
        (None, {"amount": 0.1}),
        (None, {"ids": [1, 2.5]}),
        ({"a": object()}, None),
        ({"a": {1, 2}}, None),
        ({1: "a"}, None),
        ({"a": 1 << 70}, None),
        ({"a": "\ud800"}, None),
        (None, {"a": None}),
        (None, {"a": {"b": 1}}),
        (None, {"a": b"bytes"}),
        (None, {"a": "\ud800"}),
    ],
)
@virtual_time
async def test_what_must_not_be_sent_is_refused(json: Any, params: Any) -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        error = await outcome(lambda: pandapon.request("POST", "/x", json=json, params=params))
        assert type(error) is InvalidArgumentError
        assert error.argument == ("params" if json is None else "json")
        assert server.requests == []


PATHS = [
    "",
    "x",
    "http://other.example/x",
    "@other.example/x",
    "/a b",
    "/a\tb",
    "/a\r\nX: y",
    "/a\x00b",
    "/a\x0bb",
    "/a\x7fb",
    "/é",
    "/a?b=1",
    "/a#b",
    "/a\\b",
    "/../pay",
    "/a/../pay",
    "/a/..",
    "/a/./b",
    "/a/%2e%2e/pay",
    "/a/.%2E/pay",
    "/a/..%2fpay",
    "/a%2f..%2fpay",
    "/a/..%5cpay",
    "/a/%252e%252e/pay",
    "//other.example/x",
    "/a/;/../b",
]


@pytest.mark.parametrize("path", PATHS)
@virtual_time
async def test_path_tricks_are_refused(path: str) -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        error = await outcome(lambda: pandapon.request("POST", path))
        assert type(error) is InvalidArgumentError
        assert error.argument == "path"
        assert server.requests == []


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GÉT", "CONNECT", "TRACE", "HEAD", "OPTIONS"])
@virtual_time
async def test_odd_methods_are_refused(method: str) -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        with pytest.raises(InvalidArgumentError) as caught:
            await pandapon.request(method, "/x")
        assert caught.value.argument == "method"
        assert server.requests == []


@virtual_time
async def test_safety_is_a_safety() -> None:
    async with FaultServer(then=faults.close_before_answer) as server, client(server.url) as pandapon:
        with pytest.raises(InvalidArgumentError):
            await pandapon.request("POST", "/x", safety="reed")  # type: ignore[arg-type]
        assert type(await outcome(pandapon.request("POST", "/x"))) is OutcomeUnknownError
        assert len(server.requests) == 1
        await outcome(pandapon.request("POST", "/x", safety="read"))
        assert len(server.requests) == 6


# --- ids in declared calls, and overrides


@pytest.mark.parametrize(
    "refund_id", ["../../order/pay", "1/../2", "1?a", "1#a", "\t110000235001", "", "１", "1%2e", 1.0, True]
)
@virtual_time
async def test_no_id_leads_elsewhere(refund_id: Any) -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        assert (
            type(await outcome(lambda: pandapon.v1.taobao.refunds.cancel(refund_id=refund_id)))
            is InvalidArgumentError
        )
        assert server.requests == []


@virtual_time
async def test_overrides_move_path_and_arguments() -> None:
    overrides = {
        "v1.alibaba.refunds.get": Override(arguments="query"),
        "v1.taobao.refunds.cancel": Override(path="/new/{refundId}/cancel"),
    }
    data = answer(http(envelope({"cancelSuccess": True})))
    async with FaultServer(ok(), data) as server, client(server.url, overrides=overrides) as pandapon:
        await pandapon.v1.alibaba.refunds.get(refund_id=REFUND)
        await pandapon.v1.taobao.refunds.cancel(refund_id=1)
        assert [seen.target for seen in server.requests] == [
            f"/alibaba/refund/info?refundId={REFUND}",
            "/new/1/cancel",
        ]


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("v1.taobao.refunds.cancel", Override(path="/cancel")),  # the id would be lost
        ("v1.taobao.refunds.cancel", Override(path="/cancel/{refundID}")),
        ("v1.taobao.refunds.get", Override(arguments="body")),  # a GET carries none
        ("v2.alibaba.refunds.upload_voucher", Override(arguments="query")),  # an image is no query
    ],
)
@virtual_time
async def test_an_override_that_loses_arguments_is_refused(name: str, override: Override) -> None:
    async with FaultServer() as server, client(server.url, overrides={name: override}) as pandapon:
        refunds = pandapon.v1.taobao.refunds
        calls: dict[str, Any] = {
            "v1.taobao.refunds.cancel": lambda: refunds.cancel(refund_id=1),
            "v1.taobao.refunds.get": lambda: refunds.get(refund_id=1),
            "v2.alibaba.refunds.upload_voucher": lambda: pandapon.v2.alibaba.refunds.upload_voucher(
                image=b"\xff\xd8\xff"
            ),
        }
        assert type(await outcome(calls[name])) is ConfigurationError
        assert server.requests == []


# --- what comes back


@virtual_time
async def test_with_response_tells_all() -> None:
    body = envelope({"success": True, "price": Decimal("1.10").as_integer_ratio()}, developId=7, msg="fine")
    async with (
        FaultServer(faults.close_before_answer, answer(http(body))) as server,
        client(server.url) as pandapon,
    ):
        response = await pandapon.request("POST", "/x", safety=Safety.READ).with_response()
        assert response.value == response.data == {"success": True, "price": [11, 10]}
        assert (response.request_id, response.code, response.msg, response.develop_id) == (
            "r-1",
            200,
            "fine",
            "7",
        )
        assert (response.http_status, response.attempts) == (200, 2)
        first, second = response.history
        assert (first.number, first.outcome, first.reason, first.http_status) == (
            1,
            "unknown",
            "ConnectionLostError",
            None,
        )
        assert (second.number, second.outcome, second.reason, second.http_status) == (2, "ok", None, 200)
        assert (second.code, second.request_id) == (200, "r-1")
        assert "price" not in repr(response)
        assert server.connections == 2


@virtual_time
async def test_numbers_with_a_fraction_are_decimal() -> None:
    raw = answer(http(b'{"code":200,"data":{"a":1.10,"b":12345678901234567890}}'))
    async with FaultServer(raw) as server, client(server.url) as pandapon:
        data = await pandapon.request("POST", "/x")
        assert data == {"a": Decimal("1.10"), "b": 12345678901234567890}
        assert type(data["a"]) is Decimal


@virtual_time
async def test_data_that_does_not_fit_is_told_without_saying_it() -> None:
    bad = answer(http(envelope({"refundOrderAggregate": {"refundOrder": {"refundFee": "canary"}}})))
    async with FaultServer(bad) as server, client(server.url) as pandapon:
        error = await outcome(pandapon.v1.taobao.refunds.get(refund_id=1))
        assert type(error) is DecodeError
        assert error.path == "$.data.refundOrderAggregate.refundOrder.refundFee"
        assert "canary" not in str(error)
        assert error.data["refundOrderAggregate"]["refundOrder"]["refundFee"] == "canary"
        assert (error.endpoint, error.attempts, error.request_id) == ("taobao.refunds.get", 1, "r-1")
        assert len(error.history) == 1


@virtual_time
async def test_a_declared_call_without_data_is_not_found() -> None:
    async with FaultServer(answer(http(envelope(None)))) as server, client(server.url) as pandapon:
        assert type(await outcome(pandapon.v1.taobao.refunds.get(refund_id=1))) is NotFoundError


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "refundOrderAggregate",
                        "refundOrder",
                        "refundFee",
                        "logistics",
                        "timeoutDate",
                        "list",
                        "total",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_the_data_is_only_our_errors_come_out(data: Any) -> None:
    async def scenario() -> None:
        async with FaultServer(then=answer(http(envelope(data)))) as server, client(server.url) as pandapon:
            for call in (
                pandapon.v1.taobao.refunds.get(refund_id=1),
                pandapon.v1.taobao.refunds.page(),
                pandapon.v1.alibaba.refunds.get(refund_id=REFUND),
            ):
                error = await outcome(call)
                assert error is None or isinstance(error, PandaponError)

    run(scenario())


@virtual_time
async def test_params_of_an_undeclared_call_are_finite() -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        for number in ("NaN", "Infinity"):
            with pytest.raises(InvalidArgumentError, match="finite"):
                await pandapon.request("GET", "/x", params={"a": Decimal(number)}, safety=Safety.READ)
        assert server.requests == []
