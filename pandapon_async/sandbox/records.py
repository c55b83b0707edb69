"""What the sandbox remembers of its callers: requests, changes of state, counters."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import MutableSequence
from typing import Any

import attrs

__all__ = ["Counters", "Effect", "RequestRecord", "request_log"]


@attrs.define(eq=False)
class RequestRecord:
    """One request that the server saw.

    `time` is the wall clock in seconds, `arrived` the monotonic one that the rate is measured on;
    `digest` is the SHA-256 of the body in hex, None if the body was never read. `status` and `code`
    are those of the answer, also of one that a planted `fault` then withheld: both are None where
    nothing was processed. `connection` numbers the connections from 1 (two requests of one number
    came over the same one), `port` is the client's, `user_id` what the header of that name said.
    """

    number: int
    endpoint: str | None
    method: str
    path: str
    time: float
    arrived: float
    nonce: str | None
    connection: int
    port: int
    digest: str | None = None
    status: int | None = None
    code: int | str | None = None
    fault: str | None = None
    user_id: str | None = None


@attrs.define(frozen=True)
class Effect:
    """One change of state: what landed, whatever became of the answer.

    `key` is the natural key: the id of what changed, the order's key for a new refund, the image's digest
    for a voucher, the buyer's own number for a Taobao order; where the wish has no name, its digest. Two
    effects of one kind with the same key and digest are the same wish carried out twice. `endpoint` is
    None for the platform's own moves, and so is `user_id`, the sub-account whose call it was. `refund_id` and
    `order_id` are what changed or came to be, if any.
    """

    time: float
    endpoint: str | None
    kind: str
    key: str
    digest: str
    refund_id: str | None = None
    order_id: str | None = None
    user_id: str | None = None


@attrs.define(eq=False)
class Counters:
    """Exact numbers, however short the log is kept.

    `rate_refused` are the requests over the rate, never counted among the planted `faults`.
    `nonces_repeated` are requests with a nonce seen before. `busiest_second` is the largest number of
    arrivals in any sliding second, refused ones included.
    """

    requests: int = 0
    rate_refused: int = 0
    nonces_repeated: int = 0
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    busiest_second: int = 0
    faults: Counter[str] = attrs.field(factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """All numbers by name."""
        return {**attrs.asdict(self, recurse=False), "faults": dict(self.faults)}


def request_log(limit: int | None) -> MutableSequence[RequestRecord]:
    """A log of the last `limit` requests, or of all."""
    return [] if limit is None else deque(maxlen=limit)
