"""The guard of bulk work: no call that releases money, unless it was allowed."""

from __future__ import annotations

import contextvars

from pandapon_async.errors import InvalidArgumentError

__all__ = ["check_payments_allowed", "payments_refused"]

payments_refused: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "pandapon_payments_refused", default=False
)
"""True inside bulk work that was not told `allow_payments=True`."""


def check_payments_allowed(name: str) -> None:
    """Raise InvalidArgumentError if the call `name`, which releases money, is part of such bulk work."""
    if payments_refused.get():
        raise InvalidArgumentError(
            "this call releases money: bulk work makes it only with allow_payments=True", endpoint=name
        )
