"""How the sandbox answers: the envelope around every answer, and refusals.

The vendor's page of error codes could not be read; only code 200 is attested. The others are this
sandbox's choice, after the HTTP status of the same meaning: 400 argument, 401 authentication, 404
unknown, 409 a state that does not allow it, 413 and 415 body, 429 rate, 500 fault. Refused refund forms
carry the upstream's own codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

__all__ = ["Refusal", "SandboxResponse", "envelope"]

DEVELOPER = 1021090911993463110


@attrs.define
class SandboxResponse:
    """What goes back: the HTTP status, the envelope's code, the bytes."""

    status: int
    code: int | str
    body: bytes
    headers: dict[str, str] | None = None


class Refusal(Exception):
    """A refusal of the sandbox, with an envelope code and a reason."""

    def __init__(
        self, code: int | str, msg: str, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.status = status
        self.headers = headers


def envelope(
    request_id: str,
    path: str,
    *,
    data: Any = None,
    refusal: Refusal | None = None,
    codes: Mapping[int | str, int] | None = None,
) -> SandboxResponse:
    """The answer that carries `data`, or the refusal. 1688's developId is a number, Taobao's a text.

    `codes` are those that go out in place of the sandbox's own.
    """
    code, msg = (refusal.code, refusal.msg) if refusal else (200, "成功")
    code = (codes or {}).get(code, code)
    body = orjson.dumps(
        {
            "requestId": request_id,
            "code": code,
            "developId": DEVELOPER if "/alibaba/" in path else str(DEVELOPER),
            "msg": msg,
            "data": data,
        }
    )
    return SandboxResponse(
        refusal.status if refusal else 200, code, body, refusal.headers if refusal else None
    )
