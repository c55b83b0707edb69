"""A call's result together with everything that is known about how it came."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from pandapon_async.errors import Attempt

__all__ = ["Response"]

T_co = TypeVar("T_co", covariant=True)


@attrs.define
class Response(Generic[T_co]):
    """What `.with_response()` gives: the typed result, the envelope around it, and the attempts it took."""

    value: T_co = attrs.field(repr=False)
    """The call's typed result."""
    request_id: str | None
    """The envelope's request id."""
    code: int
    """The envelope's code."""
    msg: str | None = attrs.field(repr=False)
    """The envelope's message, as it came."""
    develop_id: str | None = attrs.field(repr=False)
    """The envelope's developer id."""
    data: Any = attrs.field(repr=False)
    """The envelope's data as it came. It may hold personal data."""
    http_status: int
    """The HTTP status of the last answer."""
    attempts: int
    """How many requests were made."""
    history: tuple[Attempt, ...] = attrs.field(repr=False)
    """What became of each of them."""
    seconds: float
    """The time of the whole call, in seconds."""
    waited: float
    """Of that, the seconds spent waiting for permits and in back-off."""
