"""A push as it arrives and what it is answered, in no web framework's terms."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import attrs

from pandapon_async.errors import CallbackReason

__all__ = ["Push", "ReceiverResponse"]


@attrs.define(frozen=True)
class ReceiverResponse:
    """What is answered: an HTTP status, one word of a fixed set, and whether the connection ends with it."""

    status: int
    text: str
    close: bool = False


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
    """One request, as any web framework can give it.

    `authorization` is the header as it came (several of that name joined by commas), `length` the announced
    number of bytes, `encoding` the Content-Encoding, `chunks` the body.
    """

    method: str
    authorization: str | bytes | None
    length: int | None = None
    encoding: str | None = None
    chunks: AsyncGenerator[bytes, None]
