"""A call's result together with everything that is known about how it came."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from pandapon_async.errors import Attempt

__all__ = ["Response"]

T_co = TypeVar("T_co", covariant=True)


@attrs.define
class Response(Generic[T_co]):
    """What `.with_response()` gives: `value` is the call's typed result.

    `request_id`, `code`, `msg` and `develop_id` are the envelope's, `data` its content as it came (it
    may hold personal data and stays out of the repr). `attempts` counts the requests, `history` says
    what became of each; `seconds` is the time of the whole call, `waited` what of it went into
    waiting for permits and in back-off.
    """

    value: T_co = attrs.field(repr=False)
    request_id: str | None
    code: int
    msg: str | None = attrs.field(repr=False)
    develop_id: str | None = attrs.field(repr=False)
    data: Any = attrs.field(repr=False)
    http_status: int
    attempts: int
    history: tuple[Attempt, ...] = attrs.field(repr=False)
    seconds: float
    waited: float
