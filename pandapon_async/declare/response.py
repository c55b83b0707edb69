"""The result of a call with everything known about its answer."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.errors import Attempt

__all__ = ["Response"]

T_co = TypeVar("T_co", covariant=True)


@attrs.define
class Response(Result, Generic[T_co]):
    """What `.with_response()` returns: the typed result, its envelope, and the attempts."""

    value: T_co = attrs.field(repr=False)
    """The call's typed result."""
    request_id: str | None
    """The envelope's request id."""
    code: int
    """The envelope's code."""
    msg: str | None = attrs.field(repr=False, metadata={"personal": True})
    """The envelope's message, unchanged."""
    develop_id: str | None = attrs.field(repr=False)
    """The envelope's developer id."""
    data: Any = attrs.field(repr=False, metadata={"personal": True})
    """The envelope's data, unchanged. It may hold personal data."""
    http_status: int
    """The HTTP status of the last answer."""
    attempts: int
    """How many requests the call made."""
    history: tuple[Attempt, ...] = attrs.field(repr=False)
    """How each request ended."""
    seconds: float
    """Seconds that the whole call took."""
    waited: float
    """Seconds of it spent waiting for permits and in back-off."""
