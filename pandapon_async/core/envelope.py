"""The envelope around every answer: requestId, code, developId, msg, data."""

from __future__ import annotations

from typing import Any

import attrs

from pandapon_async.core.json_codec import loads

__all__ = ["Envelope", "read_envelope", "text_of"]


@attrs.define
class Envelope:
    """One answer, parsed but not yet structured. `data` is not in the repr because it may be personal."""

    request_id: str | None
    code: int
    develop_id: str | None
    msg: str | None
    data: Any = attrs.field(repr=False)


def read_envelope(body: bytes) -> Envelope:
    """Read the envelope from the body of an answer.

    Raises ValueError if the body is not JSON, not an object, or its `code` is not a whole number; a null code
    is neither success nor refusal. The message names the problem without quoting the body.
    """
    try:
        document = loads(body)
    except ValueError:
        raise ValueError(f"the body is not JSON ({len(body)} bytes)") from None
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
    """Return text unchanged and a number as text; developId may be either."""
    if value is None or value.__class__ is str:
        return value
    return str(value) if value.__class__ is int else None
