"""Which function plays which declared call.

`@handles("some.call")` adds one, for all generations of it. A handler takes the upstream, the endpoint
and the checked arguments by wire name, and returns the envelope's data or raises a Refusal. A declared call
without a handler gets an answer made from its response type, see `pandapon_async.sandbox.answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.upstream import Upstream

__all__ = ["HANDLERS", "Handler", "handles"]

Handler = Callable[[Upstream, Endpoint, dict[str, Any]], Any]

HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of these calls."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register
