"""What becomes of a call when server or network misbehave: its error, its attempts, what went out."""

from __future__ import annotations

import gzip

import attrs
import pytest

from pandapon_async import (
    ApiError,
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    MalformedResponse,
    Outcome,
    OutcomeUnknown,
    PandaponError,
    RetryPolicy,
    Safety,
    Throttled,
)
from pandapon_async.errors import ResponseTooLarge
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401
from tests.support.clients import at_rest, client
from tests.support.faults import GOOD, HTML, chunk, chunked, cut, gzipped, says, sent
from tests.support.server import Behaviour, FaultServer, envelope, http
from tests.support.virtual import outcome, virtual_time

ATTEMPTS = 3
READS = [("POST", Safety.READ), ("GET", Safety.READ), ("POST", Safety.REPEATABLE)]
WRITES = [("POST", Safety.CHECKED), ("GET", Safety.CHECKED), ("POST", Safety.ONCE)]
PAYMENT = ("POST", Safety.NEVER_AUTOMATIC)
BODY = envelope({"success": True})


@attrs.define
class Expected:
    """Error and attempts, for what may be repeated and for what may not; None: the call succeeds."""

    read: type[PandaponError] | None
    reads: int
    write: type[PandaponError] | None
    writes: int = 1


FINE = Expected(None, 1, None)
LOST = Expected(ConnectionLost, ATTEMPTS, OutcomeUnknown)
GARBAGE = Expected(MalformedResponse, ATTEMPTS, OutcomeUnknown)
NO_ENVELOPE = GARBAGE
LATE = Expected(DeadlineExceeded, 1, OutcomeUnknown)
LARGE = Expected(ResponseTooLarge, 1, OutcomeUnknown)
REDIRECT = Expected(MalformedResponse, 1, OutcomeUnknown)
FAILED = Expected(ApiError, ATTEMPTS, OutcomeUnknown)
REFUSED = Expected(ApiError, 1, ApiError)
AUTHENTICATION = Expected(AuthenticationFailed, 1, AuthenticationFailed)
THROTTLED = Expected(Throttled, ATTEMPTS, Throttled, ATTEMPTS)
BUSY = Expected(Throttled, ATTEMPTS, OutcomeUnknown)

TABLE: dict[str, tuple[Behaviour, Expected]] = {
    # the connection
    "reset, nothing read": (faults.reset_unread, LOST),
    "reset in the request": (faults.reset_after_head, LOST),
    "reset before the answer": (faults.reset_before_answer, LOST),
    "close before the answer": (faults.close_before_answer, LOST),
    "close in the status line": (cut(GOOD, 8), LOST),
    "close in the headers": (cut(GOOD, 30), LOST),
    "close in the body": (cut(GOOD, len(GOOD) - 5), LOST),
    "reset in the body": (cut(GOOD, len(GOOD) - 5, reset=True), LOST),
    "no answer, connection open": (faults.half_open, LATE),
    "drips past the deadline": (faults.drip, LATE),
    # HTTP
    "body longer than its length": (sent(GOOD + b"more"), GARBAGE),
    "more after the answer, later": (sent(GOOD, b"more"), FINE),
    "negative length": (says(http(BODY, headers=["Content-Length: -5"], length=False)), GARBAGE),
    "length no number": (says(http(BODY, headers=["Content-Length: x"], length=False)), GARBAGE),
    "two lengths": (says(http(BODY, headers=["Content-Length: 5"])), GARBAGE),
    "length and chunks": (says(http(BODY, headers=["Transfer-Encoding: chunked"])), GARBAGE),
    "no length, ends by close": (says(http(BODY, length=False)), FINE),
    "no length, cut": (says(http(BODY[:-9], length=False)), NO_ENVELOPE),
    "chunks": (sent(chunked(chunk(BODY[:20]), chunk(BODY[20:]))), FINE),
    "bad chunk size": (says(chunked(b"zz\r\nabc\r\n")), GARBAGE),
    "last chunk missing": (says(chunked(chunk(BODY), end=b"")), LOST),
    "chunk cut": (says(chunked(b"50\r\n" + BODY[:20], end=b"")), LOST),
    "garbage": (says(b"\x00\x01garbage\r\n\r\n"), GARBAGE),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), GARBAGE),
    "body without head": (says(BODY + b"\r\n\r\n"), GARBAGE),
    "huge header": (says(http(BODY, headers=["X: " + "y" * 200_000])), GARBAGE),
    "5000 headers": (says(http(BODY, headers=["X: y"] * 5000)), GARBAGE),
    "100, then the answer": (sent(b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD), FINE),
    "103, then the answer": (sent(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD), FINE),
    "101": (says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), GARBAGE),
    # compression
    "gzip": (sent(gzipped(BODY)), FINE),
    "no gzip at all": (says(http(b"none" * 20, headers=["Content-Encoding: gzip"])), LOST),
    "gzip cut": (says(http(gzip.compress(BODY)[:-20], headers=["Content-Encoding: gzip"])), NO_ENVELOPE),
    "gzip, wrong sum": (
        says(http(gzip.compress(BODY)[:-8] + b"wrongsum", headers=["Content-Encoding: gzip"])),
        LOST,
    ),
    "gzip bomb": (says(faults.bomb(32 << 20)), LARGE),
    "too long, plain": (says(http(b" " * 70_000 + BODY)), LARGE),
    # content
    "HTML 200": (sent(http(HTML)), NO_ENVELOPE),
    "empty 200": (sent(http()), NO_ENVELOPE),
    "204": (sent(http(status="204 No Content", length=False)), NO_ENVELOPE),
    "null": (sent(http(b"null")), NO_ENVELOPE),
    "an array": (sent(http(b"[]")), NO_ENVELOPE),
    "a text": (sent(http(b'"ok"')), NO_ENVELOPE),
    "invalid UTF-8": (sent(http(b'{"code":200,"data":"\xff\xfe"}')), NO_ENVELOPE),
    "GBK": (sent(http('{"code":200,"data":"退款"}'.encode("gbk"))), NO_ENVELOPE),
    "code null": (sent(http(envelope({}, None))), NO_ENVELOPE),
    "code as text": (sent(http(envelope({}, "200"))), NO_ENVELOPE),
    "code true": (sent(http(envelope({}, True))), NO_ENVELOPE),
    # status
    "HTML 500": (sent(http(HTML, "500 Error")), NO_ENVELOPE),
    "HTML 502": (sent(http(HTML, "502 Bad Gateway")), NO_ENVELOPE),
    "HTML 408": (sent(http(HTML, "408 Request Timeout")), NO_ENVELOPE),
    "HTML 400": (sent(http(HTML, "400 Bad Request")), REFUSED),
    "HTML 401": (sent(http(HTML, "401 Unauthorized")), AUTHENTICATION),
    "HTML 403": (sent(http(HTML, "403 Forbidden")), AUTHENTICATION),
    "envelope 500": (sent(http(envelope(None, 500), "500 Error")), FAILED),
    "500 in a 200": (sent(http(envelope(None, 500))), FAILED),
    "200 in a 500": (sent(http(BODY, "500 Error")), FAILED),
    "429": (sent(http(HTML, "429 Too Many Requests")), THROTTLED),
    "429, good body": (sent(http(BODY, "429 Too Many Requests")), BUSY),
    "503": (sent(http(HTML, "503 Service Unavailable")), BUSY),
    "503, good body": (sent(http(BODY, "503 Service Unavailable")), BUSY),
    "429 in a 200": (sent(http(envelope(None, 429))), BUSY),
    **{
        f"{status} with envelope": (
            sent(http(BODY, f"{status} Moved", ["Location: /other"])),
            Expected(ApiError, 1, OutcomeUnknown),
        )
        for status in (301, 307)
    },
    **{
        f"{status} to itself": (sent(http(b"", f"{status} Moved", ["Location: /thing"])), REDIRECT)
        for status in (301, 302, 303, 307, 308)
    },
}


@pytest.mark.parametrize("name", TABLE)
@virtual_time
async def test_fault(name: str) -> None:
    behaviour, expected = TABLE[name]
    for cases, error, attempts in (
        (READS, expected.read, expected.reads),
        (WRITES, expected.write, expected.writes),
    ):
        for verb, safety in cases:
            await _one(behaviour, verb, safety, error, attempts)
    await _one(behaviour, *PAYMENT, expected.write, 1)


async def _one(
    behaviour: Behaviour, verb: str, safety: Safety, kind: type[PandaponError] | None, attempts: int
) -> None:
    where = f"{verb} {safety}"
    policy = RetryPolicy(attempts=ATTEMPTS)
    async with (
        FaultServer(then=behaviour) as server,
        client(server.url, retry=policy, max_response_bytes=60_000) as pandapon,
    ):
        call = pandapon.request(verb, "/thing", json={"a": 1} if verb == "POST" else None, safety=safety)
        error = await outcome(call)
        assert type(error) is (kind or type(None)), where
        assert pandapon.statistics.attempts == attempts, where
        if behaviour is not faults.reset_unread:
            assert len(server.requests) == attempts, where
        if isinstance(error, PandaponError):
            assert error.attempts == len(error.history) == attempts, where
            assert error.endpoint == f"{verb} /thing"
            unknown = kind in (OutcomeUnknown, ConnectionLost, MalformedResponse, ResponseTooLarge)
            if unknown:
                assert error.outcome is Outcome.UNKNOWN, where
            assert (getattr(error, "intent_id", None) is not None) is (kind is OutcomeUnknown), where
        at_rest(pandapon, idle=1)
        good = await pandapon.request("POST", "/after", safety=Safety.READ) if kind is None else None
        assert good == ({"success": True} if kind is None else None)
