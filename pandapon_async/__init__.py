"""An async client for PandaPon OpenAPI: typed, paced, and careful with other people's money."""

from typing import TYPE_CHECKING, Any

from pandapon_async import errors
from pandapon_async.client import Client
from pandapon_async.clock import Clock
from pandapon_async.core.adaptive import AdaptiveRate
from pandapon_async.core.backoff import RetryPolicy
from pandapon_async.core.codes import Codes
from pandapon_async.endpoint import Call, Safety, Stage
from pandapon_async.errors import (
    ApiError,
    Attempt,
    AuthenticationFailed,
    CallbackReason,
    CallbackRefused,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    DecodeError,
    DuplicateIntent,
    InvalidArgument,
    JournalUnavailable,
    MalformedResponse,
    NotFound,
    NotSent,
    Outcome,
    OutcomeUnknown,
    PandaponError,
    Rejected,
    ResponseTooLarge,
    Throttled,
)
from pandapon_async.images import Image
from pandapon_async.money import Fen
from pandapon_async.response import Response
from pandapon_async.settings import Credentials, Override, Settings
from pandapon_async.transport.limiter import Limiter
from pandapon_async.transport.waiters import Priority, priority

if TYPE_CHECKING:
    from pandapon_async import bulk

__version__ = "0.1.0"

__all__ = [
    "AdaptiveRate",
    "ApiError",
    "Attempt",
    "AuthenticationFailed",
    "Call",
    "CallbackReason",
    "CallbackRefused",
    "Client",
    "Clock",
    "Codes",
    "ConfigurationError",
    "ConnectionLost",
    "Credentials",
    "DeadlineExceeded",
    "DecodeError",
    "DuplicateIntent",
    "Fen",
    "Image",
    "InvalidArgument",
    "JournalUnavailable",
    "Limiter",
    "MalformedResponse",
    "NotFound",
    "NotSent",
    "Outcome",
    "OutcomeUnknown",
    "Override",
    "PandaponError",
    "Priority",
    "Rejected",
    "Response",
    "ResponseTooLarge",
    "RetryPolicy",
    "Safety",
    "Settings",
    "Stage",
    "Throttled",
    "__version__",
    "bulk",
    "errors",
    "priority",
]


def __getattr__(name: str) -> Any:
    """`bulk` and all that it stands on are loaded when they are first asked for."""
    if name == "bulk":
        import pandapon_async.bulk

        return pandapon_async.bulk
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
