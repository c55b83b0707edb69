"""The whole table: status x envelope x inner flag x safety -> what the caller sees, what may be repeated.

The expectations are written from the laws, not from the code: three outcomes, three layers of success,
READ and REPEATABLE may be repeated when the outcome is unknown, nothing else ever is.
"""

from __future__ import annotations

from typing import Any

import attrs
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pandapon_async.api.registry import endpoints
from pandapon_async.core.codes import Codes
from pandapon_async.core.envelope import Envelope
from pandapon_async.core.outcome import (
    DATA_IF_ANY,
    RawResponse,
    Safety,
    for_operation,
    may_repeat,
    read_response,
)
from pandapon_async.declare.endpoint import Endpoint, Evidence, Stage
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    MalformedResponseError,
    NotFoundError,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PandaponError,
    RateLimitError,
    RejectedError,
    ResponseTooLargeError,
    TryLaterError,
)

ANSWERED, UNKNOWN, NOT_SENT = Outcome.ANSWERED, Outcome.UNKNOWN, Outcome.NOT_SENT
FREE = (Safety.READ, Safety.REPEATABLE)
GUARDED = (Safety.CHECKED, Safety.ONCE, Safety.NEVER_AUTOMATIC)


def endpoint(
    confirmed_by: str | None = None, unclear_codes: tuple[str, ...] = (), safety: Safety = Safety.READ
) -> Endpoint:
    return Endpoint(
        name="test",
        method="POST",
        path="/test",
        safety=safety,
        stage=Stage.RELEASED,
        evidence=Evidence.DOCUMENTED,
        page="",
        confirmed_by=confirmed_by,
        unclear_codes=frozenset(unclear_codes),
    )


def body(code: Any, **fields: Any) -> bytes:
    return orjson.dumps({"requestId": "r-1", "code": code, "msg": "words", **fields})


def failure(
    status: int, content: bytes, called: Endpoint | None = None, codes: Codes | None = None
) -> PandaponError:
    with pytest.raises(PandaponError) as caught:
        read_response(RawResponse(status, content), called or endpoint(), codes or Codes())
    return caught.value


SUCCESS = body(200, data={})
HTML = b"<html><body>gateway</body></html>"
NO_ENVELOPES = {
    "html": HTML,
    "empty": b"",
    "truncated": b'{"code":200,"data":{"refu',
    "gbk": '{"code":200,"msg":"成功"}'.encode("gbk"),
    "null": b"null",
    "list": b"[]",
    "text": b'"ok"',
    "code as text": body("200"),
    "code true": body(True),
    "code null": body(None),
    "code with a fraction": b'{"code":200.0}',
    "no code": b'{"data":{"success":true}}',
    "two codes": b'{"code":500,"code":200}',
}


@attrs.frozen
class Row:
    """What an answer means: the error, its outcome, and for whom it may be repeated."""

    status: int
    content: bytes
    error: type[PandaponError]
    outcome: Outcome
    free: bool
    guarded: bool = False


REFUSALS = (-1, 0, 1, 201, 400, 600, 4001, 5010, 10**18)
OUTER = [
    # Layer 1 and 2 agree on success only in the first row of the next test; everything here is a failure.
    *(Row(status, SUCCESS, ApiError, UNKNOWN, True) for status in (500, 501, 502, 504, 599, 408)),
    *(Row(status, SUCCESS, ApiError, UNKNOWN, False) for status in (301, 302, 304, 307, 308)),
    *(Row(status, SUCCESS, ApiError, UNKNOWN, False) for status in (400, 404, 409, 413, 422)),
    *(Row(status, SUCCESS, AuthenticationError, ANSWERED, False) for status in (401, 403)),
    Row(429, SUCCESS, RateLimitError, UNKNOWN, True, False),  # refused and done at once
    Row(503, SUCCESS, RateLimitError, UNKNOWN, True),
    # The envelope says no.
    *(Row(200, body(code), AuthenticationError, ANSWERED, False) for code in (401, 403)),
    Row(200, body(404), NotFoundError, ANSWERED, False),
    Row(404, body(404), NotFoundError, ANSWERED, False),
    Row(200, body(429), RateLimitError, UNKNOWN, True),
    *(Row(200, body(code), ApiError, UNKNOWN, True) for code in (500, 502, 503, 599)),
    *(Row(200, body(code), ApiError, ANSWERED, False) for code in REFUSALS),
    *(Row(400, body(code), ApiError, ANSWERED, False) for code in (400, 4001)),
    Row(401, body(4001), AuthenticationError, ANSWERED, False),
    Row(500, body(4001), ApiError, UNKNOWN, True),
    Row(302, body(4001), ApiError, UNKNOWN, False),
    # The two throttles by status: neither proves that nothing was done.
    *(
        Row(429, content, RateLimitError, ANSWERED, True, False)
        for content in (HTML, b"", body(429), body(500))
    ),
    *(Row(503, content, RateLimitError, UNKNOWN, True) for content in (HTML, b"", body(503), body(429))),
    # No envelope at all.
    *(Row(200, content, MalformedResponseError, UNKNOWN, True) for content in NO_ENVELOPES.values()),
    Row(204, b"", MalformedResponseError, UNKNOWN, True),
    *(Row(status, HTML, MalformedResponseError, UNKNOWN, True) for status in (408, 500, 502, 504)),
    *(Row(status, HTML, MalformedResponseError, UNKNOWN, False) for status in (301, 302, 307, 308)),
    # What is not the vendor's may be a firewall's, and come after the deed.
    *(Row(status, HTML, AuthenticationError, UNKNOWN, False) for status in (401, 403)),
    *(Row(status, HTML, ApiError, UNKNOWN, False) for status in (400, 404, 405, 409, 413, 499)),
    *(Row(status, HTML, ApiError, ANSWERED, False) for status in (402, 415, 422)),
]


@pytest.mark.parametrize("row", OUTER, ids=lambda row: f"{row.status}-{row.content[:40].decode('latin-1')}")
def test_what_an_answer_means(row: Row) -> None:
    error = failure(row.status, row.content)
    assert type(error) is row.error
    assert error.outcome is row.outcome
    for safety in Safety:
        expected = row.free if safety in FREE else row.guarded and safety is not Safety.NEVER_AUTOMATIC
        assert may_repeat(error, safety) is expected, safety
        seen = for_operation(error, safety, "intent-1")
        if safety in GUARDED and row.outcome is UNKNOWN and row.error is AuthenticationError:
            # Whoever sends many has to learn that the key or the address is wrong.
            assert seen is error
            assert isinstance(error, AuthenticationError)
            assert error.intent_id == "intent-1"
        elif safety in GUARDED and row.outcome is UNKNOWN:
            assert isinstance(seen, OutcomeUnknownError)
            assert seen.intent_id == "intent-1"
            assert seen.__cause__ is error
            assert seen.request_id == error.request_id
            assert not seen.retryable
            assert not may_repeat(seen, safety)
        else:
            assert seen is error


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_success_is_a_good_status_and_the_code_200(status: int) -> None:
    envelope = read_response(RawResponse(status, body(200, data={"a": 1})), endpoint(), Codes())
    assert (envelope.code, envelope.data, envelope.request_id) == (200, {"a": 1}, "r-1")


@given(st.integers(100, 599), st.one_of(st.integers(-10, 6000), st.none()), st.sampled_from(Safety))
@example(501, 401, Safety.ONCE)  # was taken for a refusal before anything was done
@example(302, 403, Safety.CHECKED)
def test_an_unknown_outcome_is_never_repeated_by_a_guarded_call(
    status: int, code: int | None, safety: Safety
) -> None:
    """For every status and code there is: success, or an error that keeps laws 1 and 3."""
    content = HTML if code is None else body(code)
    try:
        read_response(RawResponse(status, content), endpoint(), Codes())
    except PandaponError as caught:
        error = caught
    else:
        assert 200 <= status < 300
        assert code == 200
        return
    if safety not in FREE and error.outcome is UNKNOWN:
        assert not may_repeat(error, safety)
        assert isinstance(for_operation(error, safety, None), OutcomeUnknownError | AuthenticationError)
    if safety is Safety.NEVER_AUTOMATIC:
        assert not may_repeat(error, safety)
    if status >= 500 or status == 408 or 300 <= status < 400:
        assert error.outcome is UNKNOWN
    if status == 429:
        assert isinstance(error, RateLimitError)


def test_an_error_tells_what_the_vendor_said_and_keeps_its_words_out_of_the_text() -> None:
    error = failure(200, body(4001, msg="Zhang San, 13800001111"))
    assert isinstance(error, ApiError)
    assert (error.code, error.http_status, error.request_id) == (4001, 200, "r-1")
    assert error.msg == "Zhang San, 13800001111"
    assert "Zhang" not in str(error) + repr(error)


def test_a_throttle_carries_what_the_server_asked_for() -> None:
    with pytest.raises(RateLimitError, match=r"asked to wait 2\.5 s") as caught:
        read_response(RawResponse(429, b"", retry_after=2.5), endpoint(), Codes())
    assert caught.value.retry_after == 2.5


@pytest.mark.parametrize("content", [HTML, body(429), body(500)])
def test_a_throttle_by_status_is_repeated_for_a_write_only_where_it_is_named(content: bytes) -> None:
    for codes, before in ((Codes(), False), (Codes(refused={"http 429"}), True)):
        with pytest.raises(RateLimitError) as caught:
            read_response(RawResponse(429, content), endpoint(), codes)
        assert caught.value.before_execution is before
        assert may_repeat(caught.value, Safety.ONCE) is before
    with pytest.raises(RateLimitError) as caught:
        read_response(RawResponse(429, SUCCESS), endpoint(), Codes(refused={"http 429"}))
    assert (caught.value.before_execution, caught.value.outcome) == (False, UNKNOWN)


def data(content: Any, status: int = 200) -> RawResponse:
    return RawResponse(status, body(200, data=content))


FLAGGED: list[tuple[str | None, Any, type[PandaponError] | None, Outcome | None]] = [
    # confirmed_by, data, what becomes of it: None is success, else the error and its outcome
    (None, {}, None, None),
    (None, None, None, None),
    (None, [], None, None),
    (None, True, None, None),
    (None, {"success": True}, None, None),
    (None, {"success": None}, None, None),
    (None, {"success": False}, RejectedError, ANSWERED),
    (None, {"success": "false"}, MalformedResponseError, UNKNOWN),
    (None, {"success": 0}, MalformedResponseError, UNKNOWN),
    ("success", {"success": True}, None, None),
    ("success", {"success": False}, RejectedError, ANSWERED),
    ("success", {"success": "false"}, MalformedResponseError, UNKNOWN),
    ("success", {"success": "true"}, MalformedResponseError, UNKNOWN),
    ("success", {"success": 1}, MalformedResponseError, UNKNOWN),
    ("success", {"success": 0}, MalformedResponseError, UNKNOWN),
    ("success", {"success": None}, MalformedResponseError, UNKNOWN),
    ("success", {"errorCode": "4007"}, MalformedResponseError, UNKNOWN),
    ("success", None, MalformedResponseError, UNKNOWN),
    ("success", [], MalformedResponseError, UNKNOWN),
    ("success", True, MalformedResponseError, UNKNOWN),
    ("cancelSuccess", {"cancelSuccess": True}, None, None),
    ("cancelSuccess", {"cancelSuccess": False}, RejectedError, ANSWERED),
    ("cancelSuccess", {"cancelSuccess": "false"}, MalformedResponseError, UNKNOWN),
    ("cancelSuccess", {"cancelSuccess": 1}, MalformedResponseError, UNKNOWN),
    ("cancelSuccess", {"success": True}, MalformedResponseError, UNKNOWN),
    ("cancelSuccess", {"success": False}, RejectedError, ANSWERED),
    ("cancelSuccess", {"cancelSuccess": True, "success": False}, MalformedResponseError, UNKNOWN),
    ("cancelSuccess", {}, MalformedResponseError, UNKNOWN),
    ("refundId", {"refundId": "TQ1"}, None, None),
    ("refundId", {"refundId": 1}, None, None),
    ("refundId", {"refundId": "TQ1", "success": True}, None, None),
    ("refundId", {"refundId": "TQ1", "success": False}, MalformedResponseError, UNKNOWN),
    ("refundId", {"refundId": None, "success": False, "errorCode": "5010"}, RejectedError, ANSWERED),
    ("refundId", {"success": False}, RejectedError, ANSWERED),
    ("refundId", {"success": True}, MalformedResponseError, UNKNOWN),
    ("refundId", {"refundId": ""}, MalformedResponseError, UNKNOWN),
    ("refundId", {"refundId": True}, MalformedResponseError, UNKNOWN),
    ("refundId", {"refundId": False}, MalformedResponseError, UNKNOWN),
    ("refundId", {"refundId": ["TQ1"]}, MalformedResponseError, UNKNOWN),
    ("refundId", {}, MalformedResponseError, UNKNOWN),
    ("refundId", None, MalformedResponseError, UNKNOWN),
    ("data", True, None, None),
    ("data", False, RejectedError, ANSWERED),
    ("data", "true", MalformedResponseError, UNKNOWN),
    ("data", 1, MalformedResponseError, UNKNOWN),
    ("data", None, MalformedResponseError, UNKNOWN),
    ("data", {}, MalformedResponseError, UNKNOWN),
    ("data", {"success": False}, RejectedError, ANSWERED),
    (DATA_IF_ANY, True, None, None),
    (DATA_IF_ANY, None, None, None),
    (DATA_IF_ANY, {}, None, None),
    (DATA_IF_ANY, False, RejectedError, ANSWERED),
    (DATA_IF_ANY, {"success": False}, RejectedError, ANSWERED),
    (DATA_IF_ANY, "true", MalformedResponseError, UNKNOWN),
    (DATA_IF_ANY, 1, MalformedResponseError, UNKNOWN),
]


@pytest.mark.parametrize(("confirmed_by", "content", "error", "outcome"), FLAGGED)
def test_the_third_layer(
    confirmed_by: str | None, content: Any, error: type[PandaponError] | None, outcome: Outcome | None
) -> None:
    called = endpoint(confirmed_by)
    if error is None:
        assert read_response(data(content), called, Codes()).data == content
        return
    with pytest.raises(error) as caught:
        read_response(data(content), called, Codes())
    assert caught.value.outcome is outcome
    seen = for_operation(caught.value, Safety.ONCE, "i")
    assert isinstance(seen, OutcomeUnknownError) is (outcome is UNKNOWN)
    assert not may_repeat(caught.value, Safety.CHECKED)
    assert caught.value.request_id == "r-1"


def test_a_refusal_inside_carries_its_code_and_words_but_does_not_say_them() -> None:
    content = {"success": False, "errorCode": 4007, "errorInfo": "Zhang San said no"}
    with pytest.raises(RejectedError, match="4007") as caught:
        read_response(data(content, 201), endpoint("success"), Codes())
    assert (caught.value.error_code, caught.value.error_info) == ("4007", "Zhang San said no")
    assert (caught.value.code, caught.value.http_status) == (200, 201)
    assert "Zhang" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("code", [None, "", True, 4007.0, {"code": "4007"}, ["4007"]])
def test_only_a_text_or_a_whole_number_is_an_error_code(code: object) -> None:
    with pytest.raises(RejectedError, match="error code not given") as caught:
        read_response(data({"success": False, "errorCode": code}), endpoint("success"), Codes())
    assert caught.value.error_code is None


@pytest.mark.parametrize(
    ("codes", "error", "before_execution"),
    [
        (Codes(), RejectedError, None),
        (Codes(refused={"busy"}), RateLimitError, True),
        (Codes(throttle={"busy"}), RateLimitError, False),
        (Codes(authentication={"busy"}), AuthenticationError, None),
        (Codes(not_found={"busy"}), NotFoundError, None),
    ],
)
def test_inner_error_codes_can_be_told_apart_by_setting(
    codes: Codes, error: type[PandaponError], before_execution: bool | None
) -> None:
    with pytest.raises(error) as caught:
        read_response(data({"success": False, "errorCode": "busy"}), endpoint("success"), codes)
    assert caught.value.outcome is (UNKNOWN if before_execution is False else ANSWERED)
    assert caught.value.request_id == "r-1"
    assert getattr(caught.value, "before_execution", None) is before_execution
    assert may_repeat(caught.value, Safety.ONCE) is (before_execution is True)
    assert may_repeat(caught.value, Safety.READ) is (before_execution is not None)
    assert not may_repeat(caught.value, Safety.NEVER_AUTOMATIC)


@pytest.mark.parametrize("code", ["gw.QosAppFrequencyLimit", "ApiCallLimit"])
def test_the_upstreams_gateway_throttles_are_known(code: str) -> None:
    with pytest.raises(RateLimitError) as caught:
        read_response(data({"success": False, "errorCode": code}), endpoint(), Codes())
    assert caught.value.before_execution


def test_codes_are_settings() -> None:
    codes = Codes(success={0, 200}, throttle={50001}, refused={50002}, authentication={15}, not_found={5001})
    assert read_response(RawResponse(200, body(0)), endpoint(), codes).code == 0
    found = {code: failure(200, body(code), codes=codes) for code in (50001, 50002, 15, 5001, 429)}
    assert {code: type(error) for code, error in found.items()} == {
        50001: RateLimitError,
        50002: RateLimitError,
        15: AuthenticationError,
        5001: NotFoundError,
        429: ApiError,
    }
    assert not may_repeat(found[50001], Safety.ONCE)
    assert may_repeat(found[50002], Safety.ONCE)


@pytest.mark.parametrize(
    ("status", "code", "codes", "error", "outcome"),
    [
        (200, 500, Codes(not_found={404, 500}), NotFoundError, UNKNOWN),
        (500, 500, Codes(not_found={404, 500}), NotFoundError, UNKNOWN),
        (500, 404, Codes(not_found={404, 500}), NotFoundError, UNKNOWN),
        (503, 500, Codes(not_found={404, 500}), NotFoundError, UNKNOWN),
        (403, 40301, Codes(throttle={40301}), RateLimitError, UNKNOWN),
        (403, 40400, Codes(not_found={40400}), NotFoundError, ANSWERED),
        (200, 403, Codes(not_found={403}), NotFoundError, ANSWERED),
        (500, 500, Codes(authentication={500}), AuthenticationError, UNKNOWN),
        # Nothing was said of these: what is guessed from the status holds.
        (200, 500, Codes(), ApiError, UNKNOWN),
        (500, 404, Codes(), ApiError, UNKNOWN),
        (503, 404, Codes(), RateLimitError, UNKNOWN),
        (403, 404, Codes(throttle={1}), AuthenticationError, ANSWERED),
    ],
)
def test_what_is_said_of_a_code_wins_over_what_is_guessed(
    status: int, code: int, codes: Codes, error: type[PandaponError], outcome: Outcome
) -> None:
    failed = failure(status, body(code), codes=codes)
    assert type(failed) is error
    assert failed.outcome is outcome, "a write may have been carried out before the server failed"


def test_a_cause_is_read_from_its_field_and_never_from_a_message() -> None:
    cause = {"errorCode": "REFUND_DATA_ERROR"}
    codes = Codes(not_found={"REFUND_DATA_ERROR"})
    words = body(500, msg="SERVICE:INVOKE_FAIL, errorCode:REFUND_DATA_ERROR")
    assert type(failure(200, words, codes=codes)) is ApiError
    assert type(failure(200, body(500, data=cause), codes=codes)) is NotFoundError
    assert type(failure(200, body(500, **cause), codes=codes)) is NotFoundError
    assert type(failure(200, body(500, data={"cause": "X"}), codes=codes)) is ApiError
    other = Codes(not_found={"X"}, cause_fields=("cause", "errorCode"))
    assert type(failure(200, body(500, data={"cause": "X"}), codes=other)) is NotFoundError
    with pytest.raises(NotFoundError):
        read_response(data({"success": False, "errorCode": "1", "cause": "X"}), endpoint("success"), other)


def test_a_code_means_one_thing() -> None:
    with pytest.raises(ConfigurationError, match="50001 is in both throttle and not_found; keep"):
        Codes(throttle={50001}, not_found={50001})
    assert Codes(not_found={403}).meaning({403}) == ("not_found", True), "a default gives way"


def test_a_new_authorisation_and_a_check_for_later() -> None:
    called = endpoints()["v1.alibaba.refunds.return_goods"]
    with pytest.raises(AuthenticationError, match="new authorisation") as caught:
        read_response(data({"success": False, "errorCode": "4001"}), called, Codes())
    assert (caught.value.outcome, caught.value.retryable) == (ANSWERED, False)
    assert type(failure(200, body(4001), called)) is AuthenticationError
    with pytest.raises(TryLaterError) as later:
        read_response(data({"success": False, "errorCode": "4004"}), called, Codes())
    assert (later.value.outcome, later.value.error_code) == (ANSWERED, "4004")
    assert not may_repeat(later.value, Safety.CHECKED)
    assert type(failure(200, body(4004), called)) is TryLaterError
    with pytest.raises(NotFoundError):
        read_response(data({"success": False, "errorCode": "4001"}), called, Codes(not_found={"4001"}))
    created = endpoints()["v1.alibaba.refunds.create"]
    assert type(failure(200, body(4001), created)) is ApiError, "to an application it means something else"


def test_an_unclear_code_leaves_the_outcome_unknown_in_either_layer() -> None:
    called = endpoint("success", ("5001",))
    for answer in (
        data({"success": False, "errorCode": "5001"}),
        data({"success": False, "errorCode": 5001}),
        RawResponse(200, body(5001)),
    ):
        with pytest.raises(ApiError) as caught:
            read_response(answer, called, Codes())
        assert caught.value.outcome is UNKNOWN
        assert not may_repeat(caught.value, Safety.CHECKED)
        assert isinstance(for_operation(caught.value, Safety.CHECKED, None), OutcomeUnknownError)
    assert failure(200, body(4007), called).outcome is ANSWERED


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("v1.alibaba.refunds.return_goods", {"5001", "5002", "5003"}),
        ("v1.alibaba.refunds.create", {"5100"}),
        ("v2.alibaba.refunds.create", {"5100"}),
    ],
)
def test_the_upstreams_ambiguous_codes_are_declared(name: str, codes: set[str]) -> None:
    assert codes <= endpoints()[name].unclear_codes


SENDING = [
    # error, for READ and REPEATABLE, for CHECKED and ONCE
    (NotSentError("no connection"), True, True),
    (NotSentError("bad certificate", retryable=False), False, False),
    (ConnectionLostError("reset"), True, False),
    (MalformedResponseError("garbage"), True, False),
    (MalformedResponseError("redirect", retryable=False), False, False),
    (ResponseTooLargeError("too large"), False, False),
    (DeadlineExceededError("late"), False, False),
    (OutcomeUnknownError("unknown"), False, False),
    (ApiError("no"), False, False),
]


@pytest.mark.parametrize(("error", "free", "guarded"), SENDING)
def test_failures_of_sending(error: PandaponError, free: bool, guarded: bool) -> None:
    for safety in FREE:
        assert may_repeat(error, safety) is free
        assert for_operation(error, safety, None) is error
    for safety in (Safety.CHECKED, Safety.ONCE):
        assert may_repeat(error, safety) is guarded
        assert isinstance(for_operation(error, safety, None), OutcomeUnknownError) is (
            error.outcome is UNKNOWN
        )
    assert not may_repeat(error, Safety.NEVER_AUTOMATIC)


def test_an_answer_keeps_its_body_out_of_the_repr() -> None:
    assert "13800001111" not in repr(RawResponse(200, b"13800001111"))
    assert "13800001111" not in repr(Envelope("r", 200, None, None, {"phone": "13800001111"}))
