"""What the sandbox remembers of its callers: requests, changes of state, counters."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import MutableSequence
from typing import Any

import attrs

from pandapon_async.core.json_values import Result

__all__ = ["Counters", "Effect", "RequestRecord", "request_log"]


@attrs.define(eq=False)
class RequestRecord(Result):
    """One request that the server saw."""

    number: int
    """Its number, from 1."""
    endpoint: str | None
    """The name of the call; None for an unknown path."""
    method: str
    """The HTTP method."""
    path: str
    """The path."""
    time: float
    """The wall clock in seconds since 1970."""
    arrived: float
    """The monotonic clock in seconds, on which the rate is measured."""
    nonce: str | None
    """Its nonce, if it had one."""
    connection: int
    """The number of the connection, from 1; two requests of one number came over the same one."""
    port: int
    """The client's port."""
    digest: str | None = None
    """The SHA-256 of the body in hex; None if the body was never read."""
    status: int | None = None
    """The HTTP status of the answer, also of one that a fault withheld; None where nothing was processed."""
    code: int | str | None = None
    """The envelope's code of that answer."""
    fault: str | None = None
    """The planted fault, if any."""
    user_id: str | None = None
    """The sub-account that its header named."""


@attrs.define(frozen=True)
class Effect(Result):
    """One change of state: a write that was carried out, even if its answer was lost."""

    time: float
    """When, in seconds since 1970."""
    endpoint: str | None
    """The call that caused it; None for a move of the platform's own."""
    kind: str
    """What was done."""
    key: str
    """The natural key: the id of what changed, the order's key for a new refund, the image's digest for a
    voucher, the buyer's own number for a Taobao order; where the wish has no name, its digest."""
    digest: str
    """The SHA-256 of the wish. Two effects of one kind with the same key and digest are one wish carried out
    twice."""
    refund_id: str | None = None
    """The refund that changed or came to be, if any."""
    order_id: str | None = None
    """The order that changed or came to be, if any."""
    user_id: str | None = None
    """The sub-account whose call it was; None for a move of the platform's own."""


@attrs.define(eq=False)
class Counters(Result):
    """Exact numbers, however short the log is kept."""

    requests: int = 0
    """The number of received requests."""
    rate_refused: int = 0
    """Requests over the rate; not counted among `faults`."""
    nonces_repeated: int = 0
    """Requests with a nonce that was seen before."""
    connections: int = 0
    """Connections that were opened."""
    in_flight: int = 0
    """Requests in flight now."""
    most_in_flight: int = 0
    """The most requests in flight at once."""
    busiest_second: int = 0
    """The most arrivals in any sliding second, refused ones included."""
    faults: Counter[str] = attrs.field(factory=Counter)
    """Planted faults that were played, by kind."""

    def as_dict(self) -> dict[str, Any]:
        """All numbers by name."""
        return self.to_dict()


def request_log(limit: int | None) -> MutableSequence[RequestRecord]:
    """A log of the last `limit` requests, or of all."""
    return [] if limit is None else deque(maxlen=limit)
