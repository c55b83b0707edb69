"""An async client for PandaPon OpenAPI: typed, rate-limited, and careful with other people's money.

A name is imported from its module on first access, so `import pandapon_async` is fast, and code that only
needs the errors or the sandbox does not load the client. Type checkers read the imports below.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from pandapon_async.core.later import later

if TYPE_CHECKING:
    from pandapon_async import bulk, errors
    from pandapon_async.accounts import Accounts
    from pandapon_async.client import Client
    from pandapon_async.clock import Clock
    from pandapon_async.core.adaptive import AdaptiveRate
    from pandapon_async.core.codes import Codes
    from pandapon_async.core.outcome import Safety, retry_if_safe
    from pandapon_async.core.rate_limiter import RateLimiter
    from pandapon_async.core.retry import RetryPolicy
    from pandapon_async.declare.call import Call
    from pandapon_async.declare.endpoint import Stage
    from pandapon_async.declare.response import Response
    from pandapon_async.errors import (
        ApiError,
        Attempt,
        AuthenticationError,
        CallbackReason,
        CallbackRefusedError,
        ConfigurationError,
        ConnectionLostError,
        DeadlineExceededError,
        DecodeError,
        DuplicateIntentError,
        InvalidArgumentError,
        JournalUnavailableError,
        MalformedResponseError,
        NotFoundError,
        NotSentError,
        Outcome,
        OutcomeUnknownError,
        PandaponError,
        RateLimitError,
        RejectedError,
        ResponseTooLargeError,
        TryLaterError,
    )
    from pandapon_async.events import CallEnded, CallStarted
    from pandapon_async.images import Image
    from pandapon_async.money import Fen
    from pandapon_async.settings import (
        Credentials,
        ImageLimits,
        ListFacts,
        Override,
        Settings,
        VendorProfile,
    )
    from pandapon_async.transport.rate_limiter import Limiter
    from pandapon_async.transport.wait_queue import Priority, priority

__version__ = "0.2.0"

__all__ = [
    "Accounts",
    "AdaptiveRate",
    "ApiError",
    "Attempt",
    "AuthenticationError",
    "Call",
    "CallEnded",
    "CallStarted",
    "CallbackReason",
    "CallbackRefusedError",
    "Client",
    "Clock",
    "Codes",
    "ConfigurationError",
    "ConnectionLostError",
    "Credentials",
    "DeadlineExceededError",
    "DecodeError",
    "DuplicateIntentError",
    "Fen",
    "Image",
    "ImageLimits",
    "InvalidArgumentError",
    "JournalUnavailableError",
    "Limiter",
    "ListFacts",
    "MalformedResponseError",
    "NotFoundError",
    "NotSentError",
    "Outcome",
    "OutcomeUnknownError",
    "Override",
    "PandaponError",
    "Priority",
    "RateLimitError",
    "RateLimiter",
    "RejectedError",
    "Response",
    "ResponseTooLargeError",
    "RetryPolicy",
    "Safety",
    "Settings",
    "Stage",
    "TryLaterError",
    "VendorProfile",
    "__version__",
    "bulk",
    "errors",
    "priority",
    "retry_if_safe",
]

_HOMES: Final = {
    "accounts": "Accounts",
    "client": "Client",
    "clock": "Clock",
    "core.adaptive": "AdaptiveRate",
    "core.codes": "Codes",
    "core.outcome": "Safety retry_if_safe",
    "core.rate_limiter": "RateLimiter",
    "core.retry": "RetryPolicy",
    "declare.call": "Call",
    "declare.endpoint": "Stage",
    "declare.response": "Response",
    "events": "CallEnded CallStarted",
    "images": "Image",
    "money": "Fen",
    "settings": "Credentials ImageLimits ListFacts Override Settings VendorProfile",
    "transport.rate_limiter": "Limiter",
    "transport.wait_queue": "Priority priority",
}
"""The module of each public name; all others are in `errors`. A test compares it with the imports above."""

if not TYPE_CHECKING:
    _find = later(
        __name__, {**_HOMES, "errors": " ".join(set(__all__) - set(" ".join(_HOMES.values()).split()))}
    )

    def __getattr__(name: str) -> Any:
        """Import a public name or subpackage on first access, and keep it."""
        return importlib.import_module(f"{__name__}.{name}") if name in ("bulk", "errors") else _find(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
