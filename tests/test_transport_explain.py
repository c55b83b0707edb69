"""What is said of failures of the transport: those that a loopback server cannot play."""

from __future__ import annotations

import errno
import pickle
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from pandapon_async import (
    Clock,
    ConnectionLostError,
    DeadlineExceededError,
    Limiter,
    MalformedResponseError,
    NotSentError,
    Outcome,
    Settings,
)
from pandapon_async.api.registry import endpoints
from pandapon_async.clock import time_limit
from pandapon_async.transport.calls import CallContext, CallRegistry
from pandapon_async.transport.exchange import Exchange
from pandapon_async.transport.failures import explain
from pandapon_async.transport.requests import PreparedRequest
from pandapon_async.transport.server_time import ServerTime
from tests.support.clients import CREDENTIALS

LOST, LATE, MALFORMED = ConnectionLostError, DeadlineExceededError, MalformedResponseError
PROXY_PLACE = "the proxy http://proxy.example:3128"
KEY = ConnectionKey("api.example", 443, True, True, None, None, None)
SECRET = CIMultiDictProxy(CIMultiDict({"signature": "canary"}))
REQUEST = RequestInfo(URL("https://api.example/canary"), "POST", SECRET, URL("https://api.example/canary"))


def unreachable() -> OSError:
    return OSError(errno.ENETUNREACH, "unreachable")


def refused() -> OSError:
    """As asyncio raises it, with a text of its own."""
    return ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('canary', 9)")


def proxy_error(status: int) -> aiohttp.ClientHttpProxyError:
    return aiohttp.ClientHttpProxyError(REQUEST, (), status=status, message="canary")


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def tls_error() -> ssl.SSLError:
    error = ssl.SSLError(1, "wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


# What is said before the first byte of the request, whether it may be tried again, and what is said after it.
TABLE: list[tuple[Exception, bool, str, type[Exception], str]] = [
    (aiohttp.ClientConnectorCertificateError(KEY, certificate_error()), False, "self-signed", LOST, "lost"),
    (aiohttp.ClientConnectorSSLError(KEY, tls_error()), False, "WRONG_VERSION_NUMBER", LOST, "lost"),
    (aiohttp.ServerFingerprintMismatch(b"1", b"2", "h", 1), False, "expected one", LOST, "lost"),
    (aiohttp.ClientConnectorDNSError(KEY, OSError("canary")), True, "resolved", LOST, "lost"),
    (aiohttp.ClientConnectorError(KEY, unreachable()), True, "unreachable", LOST, "unreachable"),
    (aiohttp.ClientConnectorError(KEY, refused()), True, "(Connection refused)", LOST, "Connection refused"),
    (aiohttp.ClientProxyConnectionError(KEY, unreachable()), True, PROXY_PLACE, LOST, "unreachable"),
    (aiohttp.ConnectionTimeoutError("canary"), True, "within", LATE, "deadline"),
    (aiohttp.InvalidURL("https://canary"), False, "url", LOST, "lost"),
    (proxy_error(407), False, "proxy=", MALFORMED, "HTTP"),
    (proxy_error(403), False, f"{PROXY_PLACE} refused the connection with HTTP 403", MALFORMED, "HTTP"),
    (proxy_error(503), True, "HTTP 503", MALFORMED, "HTTP"),
    (proxy_error(502), True, "HTTP 502", MALFORMED, "HTTP"),
    (proxy_error(429), True, "HTTP 429", MALFORMED, "HTTP"),
    (aiohttp.ClientResponseError(REQUEST, (), status=400, message="canary"), True, "lost", MALFORMED, "HTTP"),
    (TimeoutError(), True, "within", LATE, "deadline"),
    (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), True, "timed out", LOST, "timed out"),
    (aiohttp.SocketTimeoutError("canary"), True, "within", LATE, "deadline"),
    (aiohttp.ServerDisconnectedError("canary"), True, "lost", LOST, "ServerDisconnectedError"),
    (aiohttp.ClientOSError(errno.EPIPE, "Broken pipe"), True, "Broken pipe", LOST, "Broken pipe"),
    (
        aiohttp.ClientOSError(None, "Can not write request body for https://canary"),
        True,
        "lost",
        LOST,
        "lost",
    ),
    (aiohttp.ClientPayloadError("canary"), True, "lost", LOST, "cut off"),
    (ssl.SSLError(1, "bad record mac"), True, "bad record mac", LOST, "bad record mac"),
    (ConnectionResetError(errno.ECONNRESET, "reset by peer"), True, "reset by peer", LOST, "reset by peer"),
]


def exchange(*, on_wire: bool, proxy: str | None = None) -> Exchange:
    clock = Clock()
    settings, context = Settings(proxy=proxy), CallContext(time_limit(clock, 9), clock.now() + 9, clock.now())
    context.on_wire = on_wire
    prepared = PreparedRequest(endpoints()["v1.taobao.refunds.get"], REQUEST.url, "", None, {})
    registry, limiter = CallRegistry(clock), Limiter(None, clock)
    return Exchange(
        settings, CREDENTIALS, prepared, context, registry, limiter, ServerTime(clock), prepared.payload()
    )


@pytest.mark.parametrize(
    ("failure", "retryable", "before", "kind", "after"), TABLE, ids=lambda value: type(value).__name__
)
def test_whether_a_byte_was_written_decides(
    failure: Exception, retryable: bool, before: str, kind: type[Exception], after: str
) -> None:
    unsent = explain(failure, exchange(on_wire=False, proxy="http://canary:canary@proxy.example:3128"))
    assert type(unsent) is NotSentError
    assert unsent.outcome is Outcome.NOT_SENT
    assert unsent.retryable is retryable
    assert before in str(unsent)
    unknown = explain(failure, exchange(on_wire=True))
    assert type(unknown) is kind
    assert unknown.outcome is Outcome.UNKNOWN
    assert after in str(unknown)
    for error in (unsent, unknown):
        assert "canary" not in str(error)
        assert error.__cause__ is None


@pytest.mark.parametrize(("said", "asked"), [("3", 3.0), ("soon", None), (None, None)])
def test_a_busy_proxy_says_for_how_long(said: str | None, asked: float | None) -> None:
    failure = proxy_error(503)
    failure.headers = CIMultiDict({} if said is None else {"Retry-After": said})
    error = explain(failure, exchange(on_wire=False, proxy="http://proxy.example:3128"))
    assert isinstance(error, NotSentError)
    assert error.retry_after == asked
    assert pickle.loads(pickle.dumps(error)).retry_after == asked


@pytest.mark.parametrize("on_wire", [True, False])
def test_what_nobody_has_foreseen_is_not_tried_again(on_wire: bool) -> None:
    failure = RuntimeError("canary")
    error = explain(failure, exchange(on_wire=on_wire))
    assert type(error) is (LOST if on_wire else NotSentError)
    assert not error.retryable
    assert error.__cause__ is failure
    assert "canary" not in str(error)


def test_without_a_proxy_none_is_named() -> None:
    error = explain(aiohttp.ClientConnectorDNSError(KEY, OSError("canary")), exchange(on_wire=False))
    assert "base_url" in str(error)
    assert "proxy" not in str(explain(TimeoutError(), exchange(on_wire=False)))
