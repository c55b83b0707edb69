"""Turn failures of the transport into errors: the request was certainly not sent, or its outcome is unknown.

Whether a byte was written decides between the two, never the type of an exception. The type only selects the
message. The message names only the kind of failure, because aiohttp's own texts can contain the url and the
server's data.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError

from pandapon_async.errors import (
    ConnectionLostError,
    DeadlineExceededError,
    MalformedResponseError,
    NotSentError,
    Outcome,
    PandaponError,
)
from pandapon_async.transport.exchange import Exchange, retry_after

__all__ = ["explain"]

_BUSY_PROXY = (429, 502, 503, 504)


def explain(failure: Exception, exchange: Exchange) -> PandaponError:
    """Return our error for a failure of the transport."""
    if not exchange.context.on_wire:
        error = _unsent(failure, exchange.settings.proxy_in_use)
        if isinstance(failure, aiohttp.ClientHttpProxyError) and failure.headers:
            error.retry_after = retry_after(failure.headers, exchange.settings)
        return error
    if isinstance(failure, aiohttp.ClientResponseError | HttpProcessingError):
        # aiohttp reports any invalid HTTP from the server as status 400; that is not a refusal.
        return MalformedResponseError("the server's answer is not valid HTTP")
    if isinstance(failure, TimeoutError) and failure.errno is None:
        late = DeadlineExceededError("the deadline passed before the complete answer arrived")
        late.outcome = Outcome.UNKNOWN
        return late
    kind = type(failure).__name__
    if isinstance(failure, aiohttp.ClientPayloadError):
        return ConnectionLostError(f"the answer was cut off or could not be decompressed ({kind})")
    if isinstance(failure, aiohttp.ClientError | OSError):
        return ConnectionLostError(
            f"the connection was lost before the answer arrived ({kind}{_reason(failure)})"
        )
    lost = ConnectionLostError(f"the transport failed unexpectedly ({kind})", retryable=False)
    lost.__cause__ = failure
    return lost


def _unsent(failure: Exception, proxy: str | None) -> NotSentError:
    """Return the error for a failure before the first byte of the request."""
    through = f" through {_place(proxy)}" if proxy else ""
    if isinstance(failure, aiohttp.ClientSSLError):
        return NotSentError(
            f"TLS failed{through}: the server's certificate or protocol was refused{_tls_reason(failure)}",
            retryable=False,
        )
    if isinstance(failure, aiohttp.ServerFingerprintMismatch):
        return NotSentError("TLS failed: the server's certificate is not the expected one", retryable=False)
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(failure.status, proxy)
    if isinstance(failure, aiohttp.ClientProxyConnectionError):
        cause = failure.os_error
        return NotSentError(f"no connection to {_place(proxy)} ({_system_reason(cause)})")
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        whose = f"of {_place(proxy)}" if proxy else "of base_url"
        return NotSentError(f"the host name {whose} could not be resolved; check the network and DNS")
    if isinstance(failure, aiohttp.ClientConnectorError):
        cause = failure.os_error
        return NotSentError(f"no connection to the server{through} ({_system_reason(cause)})")
    if isinstance(failure, aiohttp.InvalidURL):
        return NotSentError("the url is not valid; check base_url", retryable=False)
    if isinstance(failure, TimeoutError) and failure.errno is None:
        return NotSentError(f"no connection to the server{through} within Settings.connect_timeout")
    kind = type(failure).__name__
    if isinstance(failure, aiohttp.ClientError | OSError | HttpProcessingError):
        return NotSentError(
            f"the connection{through} was lost before the request was written ({kind}{_reason(failure)})"
        )
    lost = NotSentError(f"the transport failed unexpectedly ({kind})", retryable=False)
    lost.__cause__ = failure
    return lost


def _refused_by_proxy(status: int, proxy: str | None) -> NotSentError:
    hint = ""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        hint = "; check its user and password in Settings(proxy=...)"
    return NotSentError(
        f"{_place(proxy)} refused the connection with HTTP {status}{hint}", retryable=status in _BUSY_PROXY
    )


def _place(proxy: str | None) -> str:
    """The address of the proxy without user and password."""
    if not proxy:
        return "the proxy"
    parts = urlsplit(proxy)
    return f"the proxy {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _reason(failure: Exception) -> str:
    return f", {_system_reason(failure)}" if isinstance(failure, OSError) and failure.errno else ""


def _system_reason(failure: OSError) -> str:
    """Return the system's own word for an error: asyncio writes another text over it, with an address."""
    foreign = isinstance(failure, ssl.SSLError | socket.gaierror)  # their numbers are not the system's
    if failure.errno is not None and failure.errno in errno.errorcode and not foreign:
        return os.strerror(failure.errno)
    return failure.strerror or type(failure).__name__


def _tls_reason(failure: aiohttp.ClientSSLError) -> str:
    """OpenSSL's message, such as ": self-signed certificate"."""
    cause = getattr(failure, "certificate_error", failure.os_error)
    message = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return f": {message}" if message else ""
