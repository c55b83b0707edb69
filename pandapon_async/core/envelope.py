"""The envelope that every answer comes in: requestId, code, developId, msg, data."""

from __future__ import annotations

from typing import Any

import attrs

from pandapon_async.core.json_codec import loads

__all__ = ["Envelope", "read_envelope", "text_of"]


@attrs.define
class Envelope:
    """One answer, read but not yet structured. `data` stays out of the repr: it can be personal."""

    request_id: str | None
    code: int
    develop_id: str | None
    msg: str | None
    data: Any = attrs.field(repr=False)


def read_envelope(body: bytes) -> Envelope:
    """The envelope of an answer's body.

    Raises ValueError (which says what was wrong, without repeating it) if it is none: no JSON, no
    object, or a `code` that is not a whole number. A null code is neither success nor refusal.
    """
    try:
        document = loads(body)
    except ValueError:
        raise ValueError(f"the body is no JSON ({len(body)} bytes)") from None
    if not isinstance(document, dict):
        raise ValueError(f"the body is a JSON {type(document).__name__}, not an envelope")
    code = document.get("code")
    if type(code) is not int:
        raise ValueError(f"the envelope's code is {type(code).__name__}, not a whole number")
    return Envelope(
        text_of(document.get("requestId")),
        code,
        text_of(document.get("developId")),
        text_of(document.get("msg")),
        document.get("data"),
    )


def text_of(value: Any) -> str | None:
    """Text as it is, a number as text; developId comes as either."""
    if value is None or value.__class__ is str:
        return value
    return str(value) if value.__class__ is int else None
