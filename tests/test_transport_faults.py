"""What becomes of a call when server or network misbehave: its error, its attempts, what went out.

The same table is printed in docs/hardening.md, from what was counted: `python -m tests.hardening`.
"""

from __future__ import annotations

import asyncio
import gzip
from email.utils import formatdate
from pathlib import Path

import attrs
import pytest

from pandapon_async import (
    ApiError,
    AuthenticationError,
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
)
from pandapon_async.errors import ResponseTooLargeError
from tests.support import faults, matrix
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.examples import examples
from tests.support.faults import GOOD, HTML, chunk, chunked, cut, gzipped, says, sent
from tests.support.matrix import ALIKE, ATTEMPTS, COLUMNS, KINDS, Fault, moved, row
from tests.support.network import slow_connects, slow_names
from tests.support.server import Behaviour, Exchange, answer, envelope, http, ok

PAGE = Path(__file__).parent.parent / "docs" / "hardening.md"
STALE = "docs/hardening.md is stale: run `python -m tests.hardening`"
BODY = envelope({"success": True})


@attrs.define
class Expected:
    """Error and attempts, for what may be repeated and for what may not; None: the call succeeds.

    `seen`: the requests reach the server. `pause`: seconds between the first two of a read.
    `payment`: its error, where it is not that of any other write.
    """

    read: type[PandaponError] | None
    reads: int
    write: type[PandaponError] | None
    writes: int = 1
    seen: bool = True
    pause: float | None = None
    payment: type[PandaponError] | None = None


FINE = Expected(None, 1, None)
LOST = Expected(ConnectionLostError, ATTEMPTS, OutcomeUnknownError)
GARBAGE = Expected(MalformedResponseError, ATTEMPTS, OutcomeUnknownError)
NO_ENVELOPE = GARBAGE
LATE = Expected(DeadlineExceededError, 1, OutcomeUnknownError)
LARGE = Expected(ResponseTooLargeError, 1, OutcomeUnknownError)
REDIRECT = Expected(MalformedResponseError, 1, OutcomeUnknownError)
FAILED = Expected(ApiError, ATTEMPTS, OutcomeUnknownError)
UNCLEAR = Expected(ApiError, 1, OutcomeUnknownError)
REFUSED = Expected(ApiError, 1, ApiError)
REJECTED = Expected(RejectedError, 1, RejectedError)
UNKNOWN_THING = Expected(NotFoundError, 1, NotFoundError)
AUTHENTICATION = Expected(AuthenticationError, 1, AuthenticationError)
THROTTLED = Expected(RateLimitError, ATTEMPTS, RateLimitError)
FIREWALL = Expected(ApiError, 1, OutcomeUnknownError)
BUSY = Expected(RateLimitError, ATTEMPTS, OutcomeUnknownError)
UNREACHABLE = Expected(NotSentError, ATTEMPTS, NotSentError, ATTEMPTS, seen=False)
UNTRUSTED = Expected(NotSentError, 1, NotSentError, 1, seen=False)
REFUSED_BY_PROXY = UNTRUSTED
BUSY_PROXY = UNREACHABLE
UNREACHED = Expected(DeadlineExceededError, 1, DeadlineExceededError, 1, seen=False, payment=NotSentError)
CLOSED = Expected(ConnectionLostError, 1, OutcomeUnknownError)
CLOSED_UNSENT = Expected(NotSentError, 0, NotSentError, 0, seen=False)
PROXY_OK = "HTTP/1.1 200 Connection established"
HINTED = http(BODY, headers=["Connection: keep-alive", "Keep-Alive: timeout=1"])
KEPT_LONG = http(BODY, headers=["Connection: keep-alive", "Keep-Alive: timeout=30, max=100"])


def early(raw: bytes, *, then: str) -> Behaviour:
    """Answer when the head of an upload is there, before its body is."""

    async def behave(exchange: Exchange) -> None:
        seen = await exchange.head()
        await exchange.send(raw)
        if then == "close":
            exchange.close()
        else:
            await exchange.reader.readexactly(int(seen.header("content-length") or 0))

    return behave


async def only_new(exchange: Exchange) -> None:
    """The first connection has been idle for too long: it is closed at whatever comes on it."""
    if exchange.connection == 1:
        exchange.close()
    else:
        await exchange.request()
        await exchange.send(GOOD)


async def close_after_head(exchange: Exchange) -> None:
    await exchange.head()
    exchange.close()


async def stop_reading(exchange: Exchange) -> None:
    await exchange.head()
    exchange.keep = False
    await asyncio.sleep(3600)


def late(seconds: float) -> Behaviour:
    """A good answer after so long."""

    async def behave(exchange: Exchange) -> None:
        await exchange.request()
        await asyncio.sleep(seconds)
        await exchange.send(GOOD)

    return behave


def waiting(status: str, asked: str | float, expected: Expected, header: str = "Retry-After") -> Pair:
    """A throttle that asks for a pause: in its own words, or with the date so many seconds ahead."""

    async def behave(exchange: Exchange) -> None:
        now = 1_700_000_000 + asyncio.get_running_loop().time()
        words = asked if isinstance(asked, str) else formatdate(now + asked, usegmt=True)
        await exchange.request()
        await exchange.send(http(HTML, status, [f"{header}: {words}"]))

    return behave, expected


def said(text: str | bytes) -> Behaviour:
    """An answer with this body."""
    return sent(http(text if isinstance(text, bytes) else text.encode()))


def paused(expected: Expected, seconds: float) -> Expected:
    """The same, with a pause between a read's first two requests."""
    return attrs.evolve(expected, pause=seconds)


Pair = tuple[Behaviour | Fault, Expected]
MANY, BUSY_503 = "429 Too Many Requests", "503 Service Unavailable"
KEPT = ok()

TABLE: dict[str, Pair] = {
    # the connection
    "nobody listens": (Fault(ok(), unreachable=True), UNREACHABLE),
    "TLS: certificate of another name": (Fault(ok(), tls=True, certificate="a.invalid"), UNTRUSTED),
    "TLS: good": (Fault(ok(), tls=True), FINE),
    "TLS: reset before the answer": (Fault(faults.reset_before_answer, tls=True), LOST),
    "reset, nothing read": (faults.reset_unread, LOST),
    "reset in the request": (faults.reset_after_head, LOST),
    "reset before the answer": (faults.reset_before_answer, LOST),
    "reset in the headers": (cut(GOOD, 30, reset=True), LOST),
    "close before the answer": (faults.close_before_answer, LOST),
    "close in the status line": (cut(GOOD, 8), LOST),
    "close in the headers": (cut(GOOD, 30), LOST),
    "close before the body": (cut(GOOD, GOOD.index(b"{")), LOST),
    "close in the body": (cut(GOOD, len(GOOD) - 5), LOST),
    "reset in the body": (cut(GOOD, len(GOOD) - 5, reset=True), LOST),
    "close after the answer": (cut(GOOD, len(GOOD)), FINE),
    "no answer, connection open": (faults.half_open, LATE),
    "half an answer, connection open": (sent(GOOD[:-5]), LATE),
    "answers after 20 s": (late(20), FINE),
    "answers after the deadline": (late(31), LATE),
    "drips past the deadline": (faults.drip, LATE),
    "drips in time": (sent(*(GOOD[at : at + 9] for at in range(0, len(GOOD), 9))), FINE),
    # connections kept alive
    "kept alive: closed while idle": (Fault(ok(), warm=answer(GOOD, close=True)), FINE),
    "kept alive: closed at the request": (Fault(faults.close_before_answer, warm=KEPT), LOST),
    "kept alive: reset at the request": (Fault(faults.reset_unread, warm=KEPT), LOST),
    "kept alive: an answer nobody asked for": (Fault(ok(), warm=sent(GOOD, GOOD)), FINE),
    "kept alive: bytes nobody asked for": (Fault(ok(), warm=sent(GOOD, b"more")), FINE),
    "kept alive: one byte nobody asked for": (Fault(ok(), warm=sent(GOOD, b"H")), FINE),
    "kept alive: longer than the server said": (Fault(only_new, warm=sent(HINTED)), FINE),
    "kept alive: shorter than the server said": (Fault(ok(), warm=sent(KEPT_LONG)), FINE),
    # names, SYNs, proxies
    "names: found after 8 s": (Fault(ok(), network=lambda: slow_names(8)), FINE),
    "names: found after a minute": (Fault(ok(), network=lambda: slow_names(60)), UNREACHED),
    "SYN: answered after 8 s": (Fault(ok(), network=lambda: slow_connects(lambda: 8)), FINE),
    "SYN: never answered": (Fault(ok(), network=lambda: slow_connects(lambda: 999)), UNREACHABLE),
    "proxy: lets it through": (Fault(ok(), tls=True, proxy=PROXY_OK), FINE),
    "proxy: 407": (Fault(ok(), tls=True, proxy="HTTP/1.1 407 Authenticate"), REFUSED_BY_PROXY),
    "proxy: 403": (Fault(ok(), tls=True, proxy="HTTP/1.1 403 Forbidden"), REFUSED_BY_PROXY),
    "proxy: 502": (Fault(ok(), tls=True, proxy="HTTP/1.1 502 Bad"), BUSY_PROXY),
    "proxy: 503": (Fault(ok(), tls=True, proxy="HTTP/1.1 503 Busy"), BUSY_PROXY),
    "proxy: 429": (Fault(ok(), tls=True, proxy="HTTP/1.1 429 Many"), BUSY_PROXY),
    "proxy: no HTTP": (Fault(ok(), tls=True, proxy="hello"), BUSY_PROXY),
    "proxy: says nothing": (Fault(ok(), tls=True, proxy=""), UNREACHED),
    # the client is closed with the call under way
    "closed: before the answer": (Fault(faults.half_open, closed=True), CLOSED),
    "closed: in the answer": (Fault(faults.drip, closed=True), CLOSED),
    "closed: in an upload to a deaf peer": (Fault(stop_reading, large=True, closed=True), CLOSED),
    "closed: while connecting": (
        Fault(ok(), closed=True, network=lambda: slow_connects(lambda: 8)),
        CLOSED_UNSENT,
    ),
    # answers and ends during an upload of a megabyte
    "upload: closed in the body": (Fault(close_after_head, large=True), LOST),
    "upload: reset in the body": (Fault(faults.reset_after_head, large=True), LOST),
    "upload: the server stops reading": (Fault(stop_reading, large=True), LATE),
    "upload: answered early, then read": (Fault(early(GOOD, then="read"), large=True), FINE),
    "upload: 413 early, then read": (
        Fault(early(http(HTML, "413 Too Large"), then="read"), large=True),
        FIREWALL,
    ),
    "upload: 413 early, then closed": (
        Fault(early(http(HTML, "413 Too Large", ["Connection: close"]), then="close"), large=True),
        FIREWALL,
    ),
    # HTTP
    "body longer than its length": (sent(GOOD + b"more"), GARBAGE),
    "more after the answer, later": (sent(GOOD, b"more"), FINE),
    "negative length": (says(http(BODY, headers=["Content-Length: -5"], length=False)), GARBAGE),
    "length no number": (says(http(BODY, headers=["Content-Length: x"], length=False)), GARBAGE),
    "two lengths": (says(http(BODY, headers=["Content-Length: 5"])), GARBAGE),
    "two equal lengths": (says(http(BODY, headers=[f"Content-Length: {len(BODY)}"])), GARBAGE),
    "length too great": (says(http(BODY, headers=["Content-Length: 9000"], length=False)), LOST),
    "length too small": (
        says(http(BODY, headers=[f"Content-Length: {len(BODY) - 9}"], length=False)),
        GARBAGE,
    ),
    "length and chunks": (says(http(BODY, headers=["Transfer-Encoding: chunked"])), GARBAGE),
    "no length, ends by close": (says(http(BODY, length=False)), FINE),
    "no length, cut": (says(http(BODY[:-9], length=False)), NO_ENVELOPE),
    "chunks": (sent(chunked(chunk(BODY[:20]), chunk(BODY[20:]))), FINE),
    "bad chunk size": (says(chunked(b"zz\r\nabc\r\n")), GARBAGE),
    "negative chunk size": (says(chunked(b"-5\r\nabcde\r\n")), GARBAGE),
    "chunk longer than its size": (says(chunked(b"5\r\nabcdefgh\r\n")), GARBAGE),
    "last chunk missing": (says(chunked(chunk(BODY), end=b"")), LOST),
    "chunk cut": (says(chunked(b"50\r\n" + BODY[:20], end=b"")), LOST),
    "garbage": (says(b"\x00\x01garbage\r\n\r\n"), GARBAGE),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), GARBAGE),
    "body without head": (says(BODY + b"\r\n\r\n"), GARBAGE),
    "status no number": (says(http(BODY, "abc OK")), GARBAGE),
    "huge header": (says(http(BODY, headers=["X: " + "y" * 200_000])), GARBAGE),
    "5000 headers": (says(http(BODY, headers=["X: y"] * 5000)), GARBAGE),
    "100, then the answer": (sent(b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD), FINE),
    "100, then closed": (says(b"HTTP/1.1 100 Continue\r\n\r\n"), LOST),
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
    "gzip twice, told as two": (
        sent(http(gzip.compress(gzip.compress(BODY)), headers=["Content-Encoding: gzip, gzip"])),
        NO_ENVELOPE,
    ),
    "deflate that is none": (says(http(b"\xff" * 80, headers=["Content-Encoding: deflate"])), LOST),
    "gzip bomb": (says(faults.bomb(32 << 20)), LARGE),
    "too long, plain": (says(http(b" " * 70_000 + BODY)), LARGE),
    "too long, in chunks": (says(chunked(*[chunk(b" " * 10_000)] * 7, chunk(BODY))), LARGE),
    "without end": (says(http(b" " * 200_000, headers=["Content-Length: 99999999"], length=False)), LARGE),
    # content
    "HTML 200": (said(HTML), NO_ENVELOPE),
    "empty 200": (said(b""), NO_ENVELOPE),
    "204": (sent(http(status="204 No Content", length=False)), NO_ENVELOPE),
    "null": (said("null"), NO_ENVELOPE),
    "an array": (said("[]"), NO_ENVELOPE),
    "a text": (said('"ok"'), NO_ENVELOPE),
    "a number": (said("200"), NO_ENVELOPE),
    "an empty object": (said("{}"), NO_ENVELOPE),
    "JSON cut": (said(BODY[:-9]), NO_ENVELOPE),
    "two documents": (said(BODY + BODY), NO_ENVELOPE),
    "invalid UTF-8": (said(b'{"code":200,"data":"\xff\xfe"}'), NO_ENVELOPE),
    "GBK": (said('{"code":200,"data":"退款"}'.encode("gbk")), NO_ENVELOPE),
    "UTF-16": (said('{"code":200}'.encode("utf-16")), NO_ENVELOPE),
    "byte order mark": (said(b"\xef\xbb\xbf" + BODY), NO_ENVELOPE),
    "half a surrogate": (said('{"code":200,"data":"\\ud83d"}'), NO_ENVELOPE),
    "NaN": (said('{"code":200,"data":{"fee":NaN}}'), NO_ENVELOPE),
    "infinity": (said('{"code":200,"data":{"fee":-Infinity}}'), NO_ENVELOPE),
    "a number beyond all bounds": (said('{"code":200,"data":1e400}'), NO_ENVELOPE),
    "a number of 5000 digits": (said('{"code":200,"data":' + "9" * 5000 + "}"), NO_ENVELOPE),
    "an id beyond 64 bits": (said(envelope({"success": True, "id": 2**70})), FINE),
    "the code twice": (said('{"code":500,"data":null,"code":200}'), NO_ENVELOPE),
    "a field twice": (said('{"code":200,"data":{"fee":1,"fee":2}}'), NO_ENVELOPE),
    "nested without end": (said('{"code":200,"data":' + "[" * 20_000 + "]" * 20_000 + "}"), NO_ENVELOPE),
    "code null": (said(envelope({}, None)), NO_ENVELOPE),
    "code as text": (said(envelope({}, "200")), NO_ENVELOPE),
    "code true": (said(envelope({}, True)), NO_ENVELOPE),
    "code 200.0": (said('{"code":200.0,"data":{}}'), NO_ENVELOPE),
    "data null": (said(envelope(None)), FINE),
    "fields nobody knows": (said(envelope({"success": True}, new={"a": [1]})), FINE),
    "inside: success false": (said(envelope({"success": False, "errorCode": "X"})), REJECTED),
    "inside: success as text": (said(envelope({"success": "false"})), GARBAGE),
    "inside: success 1": (said(envelope({"success": 1})), GARBAGE),
    # status
    "HTML 500": (sent(http(HTML, "500 Error")), NO_ENVELOPE),
    "HTML 502": (sent(http(HTML, "502 Bad Gateway")), NO_ENVELOPE),
    "HTML 504": (sent(http(HTML, "504 Gateway Timeout")), NO_ENVELOPE),
    "HTML 408": (sent(http(HTML, "408 Request Timeout")), NO_ENVELOPE),
    "HTML 400": (sent(http(HTML, "400 Bad Request")), FIREWALL),
    "HTML 401": (sent(http(HTML, "401 Unauthorized")), AUTHENTICATION),
    "HTML 403": (sent(http(HTML, "403 Forbidden")), AUTHENTICATION),
    "HTML 404": (sent(http(HTML, "404 Not Found")), FIREWALL),
    "envelope 404": (said(envelope(None, 404)), UNKNOWN_THING),
    "envelope 500": (sent(http(envelope(None, 500), "500 Error")), FAILED),
    "500 in a 200": (said(envelope(None, 500)), FAILED),
    "200 in a 500": (sent(http(BODY, "500 Error")), FAILED),
    "200 in a 404": (sent(http(BODY, "404 Not Found")), UNCLEAR),
    "429": (sent(http(HTML, MANY)), paused(THROTTLED, 1)),
    "429, good body": (sent(http(BODY, MANY)), BUSY),
    "503": (sent(http(HTML, BUSY_503)), paused(BUSY, 1)),
    "503, good body": (sent(http(BODY, BUSY_503)), BUSY),
    "429 in a 200": (said(envelope(None, 429)), BUSY),
    **{
        f"{status[:3]}, Retry-After {name}": waiting(status, asked, paused(expected, pause))
        for status, expected in ((MANY, THROTTLED), (BUSY_503, BUSY))
        for name, asked, pause in (
            ("in seconds", "4", 4),
            ("in seconds with a fraction", "4.5", 4.5),
            ("a date", 10.0, 9),
            ("a date that is past", -500.0, 0),
            ("negative", "-5", 1),
            ("junk", "soon", 1),
            ("empty", "", 1),
        )
    },
    "429, Retry-After-Ms": waiting(MANY, "2500", paused(THROTTLED, 2.5), "Retry-After-Ms"),
    "503, Retry-After-Ms": waiting(BUSY_503, "2500", paused(BUSY, 2.5), "Retry-After-Ms"),
    "429, Retry-After huge": waiting(MANY, "86400", Expected(RateLimitError, 1, RateLimitError)),
    "503, Retry-After huge": waiting(BUSY_503, "86400", Expected(RateLimitError, 1, OutcomeUnknownError)),
    "429, Retry-After past the deadline": waiting(
        MANY, "40", Expected(DeadlineExceededError, 1, RateLimitError)
    ),
    "503, Retry-After past the deadline": waiting(BUSY_503, "40", LATE),
    # redirects
    **{
        f"{status} with envelope": (sent(http(BODY, f"{status} Moved", ["Location: /other"])), UNCLEAR)
        for status in (301, 307)
    },
    **{
        f"{status} to {where}": (moved(status, to), REDIRECT)
        for status in (301, 302, 303, 307, 308)
        for where, to in (("itself", "/thing"), ("another host", "elsewhere"))
    },
    "302 from https to http": (Fault(moved(302, "elsewhere"), tls=True), REDIRECT),
    "304": (sent(http(status="304 Not Modified", length=False)), REDIRECT),
}
UNKNOWN = (OutcomeUnknownError, ConnectionLostError, MalformedResponseError, ResponseTooLargeError)


def fault_of(name: str) -> Fault:
    """The fault of one line of the table."""
    behaviour = TABLE[name][0]
    return behaviour if isinstance(behaviour, Fault) else Fault(behaviour)


def kinds_for(name: str) -> list[str]:
    """The kinds that are columns of the page; of those that must be as they are all at night, one by day."""
    others = list(ALIKE)
    turn = list(TABLE).index(name) % len(others)
    return COLUMNS + (others if examples(1, len(others)) > 1 else [others[turn]])


@pytest.mark.parametrize("name", TABLE)
def test_fault(name: str) -> None:
    expected = TABLE[name][1]
    cells = matrix.cells(fault_of(name), kinds_for(name))
    for kind, cell in cells.items():
        repeatable = KINDS[kind].safety.repeatable
        wanted = expected.read if repeatable else expected.write
        if kind == "payment":
            wanted = expected.payment or wanted
        attempts = (
            expected.reads
            if repeatable
            else min(1, expected.writes)
            if kind == "payment"
            else expected.writes
        )
        assert cell.name == ("succeeds" if wanted is None else wanted.__name__), kind
        assert (cell.attempts, cell.seen) == (attempts, attempts if expected.seen else 0), kind
        assert cell.nonces_repeated == 0, kind
        assert cell.elsewhere == 0, "a redirect was followed"
        if wanted in UNKNOWN:
            assert cell.error is not None
            assert cell.error.outcome is Outcome.UNKNOWN, kind
        open_intent = cell.error is not None and cell.error.outcome is Outcome.UNKNOWN and not repeatable
        assert (getattr(cell.error, "intent_id", None) is not None) is open_intent, kind
        if expected.pause is not None and repeatable:
            assert expected.pause <= cell.waits[0] < expected.pause + 1.5, kind
    assert row(name, cells) in PAGE.read_text("utf-8"), STALE


def test_the_page_has_no_other_faults() -> None:
    section = PAGE.read_text("utf-8").partition("<!-- faults -->")[2].partition("<!-- end of faults -->")[0]
    lines = [line.split("|")[1].strip() for line in section.strip().splitlines() if line.startswith("|")]
    assert lines[2:] == list(TABLE), STALE
