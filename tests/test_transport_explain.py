"""Failures of the transport in our words: those that a loopback server cannot play."""

from __future__ import annotations

import errno
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from pandapon_async import (
    ConnectionLostError,
    DeadlineExceededError,
    MalformedResponseError,
    NotSentError,
    Outcome,
    Settings,
)
from pandapon_async.transport.exchange import STALE_CONNECTIONS
from pandapon_async.transport.failures import explain as _explain
from pandapon_async.transport.session import Session, _StaleConnection

KEY = ConnectionKey("api.example", 443, True, True, None, None, None)
SECRET = CIMultiDictProxy(CIMultiDict({"signature": "canary"}))
REQUEST = RequestInfo(URL("https://api.example/canary"), "POST", SECRET, URL("https://api.example/canary"))


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def tls_error() -> ssl.SSLError:
    error = ssl.SSLError(1, "wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


TABLE: list[tuple[Exception, type[Exception], bool, str]] = [
    (aiohttp.ClientConnectorCertificateError(KEY, certificate_error()), NotSentError, False, "self-signed"),
    (aiohttp.ClientConnectorSSLError(KEY, tls_error()), NotSentError, False, "WRONG_VERSION_NUMBER"),
    (aiohttp.ServerFingerprintMismatch(b"1", b"2", "h", 1), NotSentError, False, "expected one"),
    (aiohttp.ClientConnectorDNSError(KEY, OSError("canary")), NotSentError, True, "resolved"),
    (
        aiohttp.ClientConnectorError(KEY, OSError(errno.ENETUNREACH, "unreachable")),
        NotSentError,
        True,
        "unreachable",
    ),
    (
        aiohttp.ClientProxyConnectionError(KEY, OSError(errno.ECONNREFUSED, "refused")),
        NotSentError,
        True,
        "refused",
    ),
    (aiohttp.ConnectionTimeoutError("canary"), NotSentError, True, "in time"),
    (aiohttp.InvalidURL("https://canary"), NotSentError, False, "url"),
    (aiohttp.ClientHttpProxyError(REQUEST, (), status=407, message="canary"), NotSentError, False, "407"),
    (
        aiohttp.ClientResponseError(REQUEST, (), status=400, message="canary"),
        MalformedResponseError,
        True,
        "HTTP",
    ),
    (TimeoutError(), DeadlineExceededError, True, "deadline"),
    (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), ConnectionLostError, True, "timed out"),
    (aiohttp.SocketTimeoutError("canary"), DeadlineExceededError, True, "deadline"),
    (aiohttp.ServerDisconnectedError("canary"), ConnectionLostError, True, "ServerDisconnectedError"),
    (aiohttp.ClientOSError(errno.EPIPE, "Broken pipe"), ConnectionLostError, True, "Broken pipe"),
    (
        aiohttp.ClientOSError(None, "Can not write request body for https://canary"),
        ConnectionLostError,
        True,
        "lost",
    ),
    (aiohttp.ClientPayloadError("canary"), ConnectionLostError, True, "broke off"),
    (ssl.SSLError(1, "bad record mac"), ConnectionLostError, True, "bad record mac"),
    (ConnectionResetError(errno.ECONNRESET, "reset by peer"), ConnectionLostError, True, "reset by peer"),
    (RuntimeError("canary"), ConnectionLostError, False, "RuntimeError"),
]


@pytest.mark.parametrize(
    ("failure", "kind", "retryable", "says"), TABLE, ids=lambda value: type(value).__name__
)
def test_in_our_words(failure: Exception, kind: type[Exception], retryable: bool, says: str) -> None:
    error = _explain(failure)
    assert type(error) is kind
    assert error.retryable is retryable
    assert error.outcome is (Outcome.NOT_SENT if kind is NotSentError else Outcome.UNKNOWN)
    assert says in str(error)
    assert "canary" not in str(error)
    assert (error.__cause__ is failure) is (type(failure) is RuntimeError)


async def test_a_server_that_always_talks_first_is_given_up() -> None:
    tries = 0

    class Pool:
        closed = False

        async def request(self, *_: Any, **__: Any) -> Any:
            nonlocal tries
            tries += 1
            raise _StaleConnection

    pool: Any = Pool()
    settings = Settings()
    with pytest.raises(NotSentError):
        await Session(pool).send(settings, "POST", REQUEST.url, {}, b"{}", settings.clock.now() + 9)
    assert tries == STALE_CONNECTIONS
