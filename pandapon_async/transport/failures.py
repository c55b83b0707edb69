"""What a failure of the transport says of the request: surely not sent, or unknown.

Only the kind of a failure is told: aiohttp's own texts can carry the url and what the server sent.
"""

from __future__ import annotations

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

__all__ = ["explain", "late"]


def explain(failure: Exception) -> PandaponError:
    """Our error for a failure of the transport. What is not surely unsent is unknown."""
    if (unsent := _unsent(failure)) is not None:
        return unsent
    if isinstance(failure, aiohttp.ClientResponseError | HttpProcessingError):
        # It says 400 here for any garbage the server sends: that is no refusal.
        return MalformedResponseError("the server's answer is no valid HTTP")
    if isinstance(failure, TimeoutError) and failure.errno is None:
        return late()
    kind = type(failure).__name__
    if isinstance(failure, aiohttp.ClientPayloadError):
        return ConnectionLostError(f"the answer broke off or could not be unpacked ({kind})")
    if isinstance(failure, aiohttp.ClientError | OSError):
        reason = f", {failure.strerror}" if isinstance(failure, OSError) and failure.errno else ""
        return ConnectionLostError(f"the connection was lost before the answer ({kind}{reason})")
    lost = ConnectionLostError(f"the transport failed in an unforeseen way ({kind})", retryable=False)
    lost.__cause__ = failure
    return lost


def late() -> DeadlineExceededError:
    """The error of a request whose time was up on the wire."""
    error = DeadlineExceededError("the deadline passed before the whole answer was there")
    error.outcome = Outcome.UNKNOWN
    return error


def _unsent(failure: Exception) -> NotSentError | None:
    """The error for a failure that surely came before the request."""
    if isinstance(failure, aiohttp.ClientSSLError):
        reason = _tls_reason(failure)
        return NotSentError(
            f"TLS failed: the server's certificate or protocol was refused{reason}", retryable=False
        )
    if isinstance(failure, aiohttp.ServerFingerprintMismatch):
        return NotSentError("TLS failed: the server's certificate is not the expected one", retryable=False)
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return NotSentError("the host name of base_url could not be resolved (network, DNS?)")
    if isinstance(failure, aiohttp.ClientConnectorError):
        cause = failure.os_error
        return NotSentError(f"no connection to the server ({cause.strerror or type(cause).__name__})")
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return NotSentError("no connection to the server in time (Settings.connect_timeout)")
    if isinstance(failure, aiohttp.InvalidURL):
        return NotSentError("the url is not valid; check base_url", retryable=False)
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        return NotSentError(f"the proxy refused with HTTP {failure.status}", retryable=False)
    return None


def _tls_reason(failure: aiohttp.ClientSSLError) -> str:
    """OpenSSL's own message, such as ": self-signed certificate"."""
    cause = getattr(failure, "certificate_error", failure.os_error)
    message = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return f": {message}" if message else ""
