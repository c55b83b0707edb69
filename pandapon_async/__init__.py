"""An async client for PandaPon OpenAPI: typed, paced, and careful with other people's money."""

from typing import TYPE_CHECKING, Any

from pandapon_async import errors
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

if TYPE_CHECKING:
    from pandapon_async import bulk

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


def __getattr__(name: str) -> Any:
    """`bulk` and all that it stands on are loaded when they are first asked for."""
    if name == "bulk":
        import pandapon_async.bulk

        return pandapon_async.bulk
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
