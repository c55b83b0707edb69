"""The guard of bulk work: no call that releases money, unless the user allows it."""

from __future__ import annotations

import contextvars

from pandapon_async.errors import InvalidArgumentError

__all__ = ["check_payments_allowed", "payments_refused"]

payments_refused: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "pandapon_payments_refused", default=False
)
"""True inside bulk work without `allow_payments=True`."""


def check_payments_allowed(name: str) -> None:
    """Raise InvalidArgumentError if `name`, a call that releases money, runs in guarded bulk work."""
    if payments_refused.get():
        raise InvalidArgumentError(
            "this call releases money; in bulk work pass allow_payments=True to permit it", endpoint=name
        )
