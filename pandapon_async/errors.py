"""Every error the client raises, as one tree.

Catch `PandaponError` for all of them. No message carries a secret or personal data, every class
survives pickling (queues and process pools need that), and each one answers the four questions
an operator asks at night: which call (`endpoint`), how often it was tried (`attempts`), which
request the vendor should look up (`request_id`), and whether trying again is sensible (`retryable`).
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from pandapon_async.plain_text import one_line

__all__ = [
    "ApiError",
    "Attempt",
    "AuthenticationError",
    "CallbackReason",
    "CallbackRefusedError",
    "ConfigurationError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "DecodeError",
    "DuplicateIntentError",
    "ErrorKind",
    "InvalidArgumentError",
    "JournalUnavailableError",
    "MalformedResponseError",
    "NextStep",
    "NotFoundError",
    "NotSentError",
    "Outcome",
    "OutcomeUnknownError",
    "PandaponError",
    "RateLimitError",
    "RejectedError",
    "ResponseTooLargeError",
    "TryLaterError",
    "error_kind_of",
]


class Outcome(enum.StrEnum):
    """Whether the server carried the operation out: surely not, it answered, or nobody knows."""

    NOT_SENT = "not_sent"
    """Surely not carried out: no byte of the request was written."""
    ANSWERED = "answered"
    """The server answered; the error says what."""
    UNKNOWN = "unknown"
    """Nobody knows. A read may be repeated; of a write the state is read."""


class Attempt(NamedTuple):
    """One request that was tried, and how it ended."""

    # Every call makes one, and a frozen attrs class would take seven times as long.

    number: int
    """The number of the request, from 1."""
    outcome: str
    """How it ended: "ok", "not_sent", "answered" or "unknown"."""
    seconds: float
    """How long it took, in seconds."""
    waited: float = 0.0
    """Seconds spent before it, in back-off and in the limiter."""
    reason: str | None = None
    """The name of the error's class, if it failed."""
    http_status: int | None = None
    """The HTTP status, if an answer came."""
    code: int | None = None
    """The envelope's code, if one came."""
    request_id: str | None = None
    """The vendor's id of the request, if one came."""


class NextStep(enum.StrEnum):
    """What helps a write that was held back; nothing of it was sent."""

    RESOLVE = "resolve"
    """Find out what became of the earlier write: `Client.resolve`, `pandapon journal resolve`."""
    WAIT = "wait"
    """The earlier write is too young to be believed absent: try again after `retry_after` seconds."""
    LATER_RUN = "later_run"
    """This process found the earlier write absent; only a later one may send it again."""
    ALLOW_REPEAT = "allow_repeat"
    """The same was carried out before: `Settings.allow_repeat`, if it is meant again."""
    ALLOW_SECOND = "allow_second"
    """Another write is about the same thing: `Settings.allow_second`, if both are meant."""
    RESEND_THROTTLED = "resend_throttled"
    """No read can tell whether a throttled write was carried out;
    `Settings.resend_throttled` sends it again."""


class PandaponError(Exception):
    """The root of the tree."""

    retryable: bool = False
    """Whether making the same call again is sensible and safe."""
    outcome: Outcome = Outcome.NOT_SENT
    """Whether the server may have carried the operation out."""
    safety: str | None = None
    """The safety class of the call, such as "once"; None if it failed before it was a call."""

    def __init__(
        self,
        message: str,
        *,
        endpoint: str | None = None,
        attempts: int = 0,
        request_id: str | None = None,
        retryable: bool | None = None,
        history: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        """The name of the call, such as "alibaba.refunds.get", or "METHOD /path" of an undeclared one."""
        self.attempts = attempts
        """How many requests were tried."""
        self.request_id = request_id
        """The vendor's id of the last request, for its support."""
        self.history = history
        """What became of each attempt."""
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else type(self).__name__
        facts = [
            f"{name}={value}"
            for name, value in (
                ("endpoint", self.endpoint),
                ("attempts", self.attempts if self.attempts > 1 else None),
                ("request_id", self.request_id),
            )
            if value is not None
        ]
        return one_line(f"{text} ({', '.join(facts)})" if facts else text)


class ConfigurationError(PandaponError, ValueError):
    """Credentials or settings that cannot work; raised before anything is sent."""


class InvalidArgumentError(PandaponError, ValueError):
    """An argument was refused before anything was sent."""

    def __init__(self, message: str, *, argument: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.argument = argument
        """The argument that was refused."""


class NotSentError(PandaponError):
    """The request surely never reached the server: name lookup, connect or TLS failed."""

    retryable = True
    """True: nothing was carried out."""
    retry_after: float | None = None
    """Seconds that a proxy asked to wait, if it refused the connection and said so."""


class ConnectionLostError(PandaponError):
    """A read was sent and no whole answer came back. (A write raises `OutcomeUnknownError` instead.)"""

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: the request was sent."""
    retryable = True
    """True: it was a read."""


class OutcomeUnknownError(PandaponError):
    """A write was sent and may or may not have landed. Never send it again blindly.

    Read the state (the refund, the order) to learn what became of it. `__cause__` is the failure that hid
    the answer.
    """

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: read the state before you do anything else."""

    def __init__(self, message: str, *, intent_id: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.intent_id = intent_id
        """The write's intent in the journal."""

    def __str__(self) -> str:
        return f"{super().__str__()} [intent {self.intent_id}]" if self.intent_id else super().__str__()


class DuplicateIntentError(PandaponError):
    """The same write is open already, or was carried out before; nothing was sent."""

    def __init__(
        self,
        message: str,
        *,
        intent_id: str | None = None,
        state: str | None = None,
        result: str | None = None,
        next_step: NextStep | None = None,
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.intent_id = intent_id
        """The earlier write's intent in the journal."""
        self.state = state
        """The earlier write's state, as in `IntentState`."""
        self.result = result
        """The id that the vendor gave the earlier write, if any."""
        self.next_step = next_step
        """What helps."""
        self.retry_after = retry_after
        """Seconds to wait first, where waiting helps."""


class JournalUnavailableError(PandaponError):
    """The journal of writes cannot be used (disk full, locked, no permission); nothing was sent."""


class DeadlineExceededError(PandaponError):
    """The call's own deadline passed, or a wait would have crossed it (then nothing was waited for)."""

    retryable = True
    """True, with a longer timeout or less load."""


class MalformedResponseError(PandaponError):
    """The server answered with something that is not an envelope of PandaPon."""

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: a gateway may have answered in the vendor's place."""
    retryable = True
    """True for a read; of a write `OutcomeUnknownError` is raised."""

    def __init__(self, message: str, *, http_status: int | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.http_status = http_status
        """The HTTP status of the answer."""


class ResponseTooLargeError(PandaponError):
    """The answer passed `Settings.max_response_bytes`, counted after decompression."""

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: the answer was not read to its end."""


class DecodeError(PandaponError):
    """The call succeeded, but its data does not fit the model.

    `data` has all that came, so that an accepted side effect is not lost with it.
    """

    outcome = Outcome.ANSWERED
    """`Outcome.ANSWERED`: the vendor said yes, in a form that is not known."""

    def __init__(self, message: str, *, path: str | None = None, data: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path
        """Where it does not fit, such as "$.data.refundOrder.refundFee"."""
        self.data = data
        """The decoded JSON as it came. It may hold personal data."""


class ApiError(PandaponError):
    """The vendor answered and said no."""

    outcome = Outcome.ANSWERED
    """`Outcome.ANSWERED`, unless the refusal may have come after the deed."""

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        msg: str | None = None,
        http_status: int | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.code = code
        """The envelope's code, as it came."""
        self.msg = msg
        """The envelope's message, as it came."""
        self.http_status = http_status
        """The HTTP status of the answer."""


class AuthenticationError(ApiError):
    """Key, secret, signature, user id or clock were refused."""

    clock_skew: float | None = None
    """Seconds that the server's clock is ahead of this machine's, where that explains the refusal."""
    intent_id: str | None = None
    """Of a write whose outcome is unknown all the same, its intent in the journal."""


class NotFoundError(ApiError):
    """The vendor knows no such thing: it said so by code, or gave a successful answer without data."""

    def __init__(self, message: str, *, empty: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.empty = empty
        """Whether a successful answer without data said so. That does not prove that there is no such thing:
        a vendor that looks for an argument in another place may answer so to everything."""


class RateLimitError(ApiError):
    """Too many calls."""

    retryable = True
    """True: the same call may go through later."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        next_step: NextStep | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after
        """Seconds that the server asked for, if it said."""
        self.next_step = next_step
        """What helps, where nothing was sent because an earlier attempt was throttled."""
        self.before_execution = False
        """Whether it was surely refused before anything was carried out, so that even a write may be
        repeated."""


class RejectedError(ApiError):
    """The envelope says 200, its inside says no."""

    def __init__(
        self, message: str, *, error_code: str | None = None, error_info: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.error_code = error_code
        """The inner error code."""
        self.error_info = error_info
        """The inner message, as it came."""


class TryLaterError(RejectedError):
    """The platform could not check what was sent, or refused it: its code says either. Nothing was done.

    It may be tried again later; the client reads the state first.
    """


class CallbackReason(enum.StrEnum):
    """What was wrong with a callback."""

    NOT_BYTES = "not_bytes"
    """Text or an object was given where the bytes that came belong."""
    TOO_LARGE = "too_large"
    """The body has more bytes than `CallbackSettings.maximum_bytes`."""
    UNSIGNED = "unsigned"
    """There is no Authorization header."""
    MALFORMED_SIGNATURE = "malformed_signature"
    """The signature is not 64 hex digits; nothing was computed."""
    WRONG_SIGNATURE = "wrong_signature"
    """The signature does not fit the body and any of the secrets."""
    SIGNED_OTHERWISE = "signed_otherwise"
    """The secret is right, but the form is not the one that the settings name."""
    UNREADABLE = "unreadable"
    """It is signed, but it is not a message."""
    OUTSIDE_WINDOW = "outside_window"
    """It is signed, but its time is too far from now."""


class CallbackRefusedError(PandaponError):
    """What was pushed is not a genuine message. The text holds nothing of it."""

    def __init__(self, message: str, *, reason: CallbackReason | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.reason = reason
        """What was wrong with it."""


class ErrorKind(enum.StrEnum):
    """What ended a write, as the journal, plans and reports store it. The codes never change their meaning.

    Most stand for a class of this module; the last four are ends that no error describes.
    """

    CONFIGURATION = "configuration"
    """`ConfigurationError`."""
    INVALID_ARGUMENT = "invalid_argument"
    """`InvalidArgumentError`."""
    NOT_SENT = "not_sent"
    """`NotSentError`."""
    CONNECTION_LOST = "connection_lost"
    """`ConnectionLostError`."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """`OutcomeUnknownError`."""
    DUPLICATE_INTENT = "duplicate_intent"
    """`DuplicateIntentError`."""
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    """`JournalUnavailableError`."""
    DEADLINE = "deadline"
    """`DeadlineExceededError`."""
    MALFORMED_RESPONSE = "malformed_response"
    """`MalformedResponseError`."""
    RESPONSE_TOO_LARGE = "response_too_large"
    """`ResponseTooLargeError`."""
    DECODE = "decode"
    """`DecodeError`."""
    AUTHENTICATION = "authentication"
    """`AuthenticationError`."""
    NOT_FOUND = "not_found"
    """`NotFoundError`."""
    RATE_LIMIT = "rate_limit"
    """`RateLimitError`."""
    REJECTED = "rejected"
    """`RejectedError`."""
    TRY_LATER = "try_later"
    """`TryLaterError`."""
    API = "api"
    """`ApiError`."""
    CALLBACK_REFUSED = "callback_refused"
    """`CallbackRefusedError`."""
    OTHER = "other"
    """Any other exception."""
    CANCELLED = "cancelled"
    """The call was cancelled."""
    PROCESS_ENDED = "process_ended"
    """The process ended while the write was under way."""
    IMAGE = "image"
    """A proof image could not be read or sent."""
    EMPTY = "empty"
    """A lookup succeeded with nothing in it."""


_KINDS: tuple[tuple[type[Exception], ErrorKind], ...] = (
    # A class stands before those that it derives from.
    (ConfigurationError, ErrorKind.CONFIGURATION),
    (InvalidArgumentError, ErrorKind.INVALID_ARGUMENT),
    (NotSentError, ErrorKind.NOT_SENT),
    (ConnectionLostError, ErrorKind.CONNECTION_LOST),
    (OutcomeUnknownError, ErrorKind.OUTCOME_UNKNOWN),
    (DuplicateIntentError, ErrorKind.DUPLICATE_INTENT),
    (JournalUnavailableError, ErrorKind.JOURNAL_UNAVAILABLE),
    (DeadlineExceededError, ErrorKind.DEADLINE),
    (MalformedResponseError, ErrorKind.MALFORMED_RESPONSE),
    (ResponseTooLargeError, ErrorKind.RESPONSE_TOO_LARGE),
    (DecodeError, ErrorKind.DECODE),
    (AuthenticationError, ErrorKind.AUTHENTICATION),
    (NotFoundError, ErrorKind.NOT_FOUND),
    (RateLimitError, ErrorKind.RATE_LIMIT),
    (TryLaterError, ErrorKind.TRY_LATER),
    (RejectedError, ErrorKind.REJECTED),
    (ApiError, ErrorKind.API),
    (CallbackRefusedError, ErrorKind.CALLBACK_REFUSED),
)


def error_kind_of(error: BaseException) -> ErrorKind:
    """The code of an error. Of an `OutcomeUnknownError` it is the code of the failure that hid the answer."""
    cause = error.__cause__
    shown = cause if isinstance(error, OutcomeUnknownError) and isinstance(cause, PandaponError) else error
    return next((kind for known, kind in _KINDS if isinstance(shown, known)), ErrorKind.OTHER)
