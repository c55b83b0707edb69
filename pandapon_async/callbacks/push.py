"""A push and its answer, independent of any web framework."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.errors import CallbackReason

__all__ = ["Push", "ReceiverResponse"]


@attrs.define(frozen=True)
class ReceiverResponse(Result):
    """The answer to a push."""

    status: int
    """The HTTP status to answer with."""
    text: str
    """The body to answer with: one word of a fixed set."""
    close: bool = False
    """Whether to close the connection afterwards."""


OK = ReceiverResponse(200, "ok")
BUSY = ReceiverResponse(503, "busy")
NOT_STORED = ReceiverResponse(503, "not stored")
METHOD = ReceiverResponse(405, "method", close=True)
ENCODED = ReceiverResponse(415, "encoded", close=True)
SLOW = ReceiverResponse(408, "slow", close=True)
BROKEN = ReceiverResponse(400, "broken", close=True)

STATUS_OF = {
    CallbackReason.NOT_BYTES: 400,
    CallbackReason.TOO_LARGE: 413,
    CallbackReason.UNSIGNED: 401,
    CallbackReason.MALFORMED_SIGNATURE: 401,
    CallbackReason.WRONG_SIGNATURE: 401,
    CallbackReason.SIGNED_OTHERWISE: 401,
    CallbackReason.UNREADABLE: 400,
    CallbackReason.OUTSIDE_WINDOW: 400,
}
SIGNED = (CallbackReason.SIGNED_OTHERWISE, CallbackReason.UNREADABLE, CallbackReason.OUTSIDE_WINDOW)


@attrs.define(eq=False, kw_only=True)
class Push:
    """The interface of a request, for any web framework."""

    method: str
    """The HTTP method, such as "POST"."""
    authorization: str | bytes | None
    """Return the header of that name; several of them joined by commas."""
    length: int | None = None
    """The announced number of bytes, if any."""
    encoding: str | None = None
    """The Content-Encoding, if any."""
    chunks: AsyncGenerator[bytes, None]
    """The body, piece by piece."""
