"""Every error the client raises, as one tree.

Catch `PandaponError` for all of them. No message carries a secret or personal data, every class
survives pickling (queues and process pools need that), and each one answers the four questions
an operator asks at night: which call (`endpoint`), how often it was tried (`attempts`), which
request the vendor should look up (`request_id`), and whether trying again is sensible (`retryable`).
"""

from __future__ import annotations

import enum
import json
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
    """Whether the server carried out the operation: certainly not, it answered, or nobody knows."""

    NOT_SENT = "not_sent"
    """Certainly not carried out: no byte of the request was written."""
    ANSWERED = "answered"
    """The server answered; the error says what."""
    UNKNOWN = "unknown"
    """Nobody knows. A read may be repeated; after a write, read the state first."""


class Attempt(NamedTuple):
    """One request of a call, and how it ended."""

    # A NamedTuple, because every call creates one and a frozen attrs class takes seven times as long.

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
    """The HTTP status, if the server answered."""
    code: int | None = None
    """The envelope's code, if the answer had one."""
    request_id: str | None = None
    """The vendor's id of the request, if the answer had one."""

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return the fields by name, ready for JSON; none of them is personal."""
        return self._asdict()

    def to_json(self, *, personal: bool = False) -> str:
        """Return the same as `to_dict`, as JSON text."""
        return json.dumps(self.to_dict(personal=personal), ensure_ascii=False)


_PERSONAL = frozenset({"msg", "error_info", "data"})


class NextStep(enum.StrEnum):
    """What to do about a write that was held back; nothing of it was sent."""

    RESOLVE = "resolve"
    """Find out how the earlier write ended: `Client.resolve`, `pandapon journal resolve`."""
    WAIT = "wait"
    """The earlier write may not be visible yet: try again after `retry_after` seconds."""
    LATER_RUN = "later_run"
    """This process did not find the earlier write; only a later process may send it again."""
    ALLOW_REPEAT = "allow_repeat"
    """The same write was carried out before; `Settings.allow_repeat` permits it again."""
    ALLOW_SECOND = "allow_second"
    """Another write about the same thing is open; `Settings.allow_second` permits both."""
    RESEND_THROTTLED = "resend_throttled"
    """No read shows whether a throttled write was carried out; `Settings.resend_throttled` sends it again."""


class PandaponError(Exception):
    """The base of every error of this client."""

    retryable: bool = False
    """Whether the same call can be made again safely."""
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
        """The name of the call, such as "alibaba.refunds.get", or "METHOD /path" for an undeclared one."""
        self.attempts = attempts
        """How many requests the call made."""
        self.request_id = request_id
        """The vendor's id of the last request; its support asks for it."""
        self.history = history
        """How each attempt ended."""
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

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return the attributes by name, ready for JSON, with `error` (the class), `kind` and `message`.

        Args:
            personal: Include what the vendor wrote (`msg`, `error_info`, `data`), which may name people.
        """
        facts = {
            name: value.value if isinstance(value, enum.Enum) else value
            for name, value in vars(self).items()
            if name[0] != "_" and (personal or name not in _PERSONAL)
        }
        facts["history"] = [attempt.to_dict() for attempt in self.history]
        named = {"error": type(self).__name__, "kind": error_kind_of(self).value, "message": str(self)}
        shared = {"retryable": self.retryable, "outcome": self.outcome.value, "safety": self.safety}
        return named | shared | facts

    def to_json(self, *, personal: bool = False) -> str:
        """Return the same as `to_dict`, as JSON text."""
        return json.dumps(self.to_dict(personal=personal), ensure_ascii=False)


class ConfigurationError(PandaponError, ValueError):
    """Credentials or settings cannot work; raised before anything is sent."""


class InvalidArgumentError(PandaponError, ValueError):
    """An argument was refused before anything was sent."""

    def __init__(self, message: str, *, argument: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.argument = argument
        """The name of the refused argument."""


class NotSentError(PandaponError):
    """The request certainly never reached the server: name lookup, connect or TLS failed."""

    retryable = True
    """True: nothing was carried out."""
    retry_after: float | None = None
    """Seconds that a proxy asked to wait, if it refused the connection and named a time."""


class ConnectionLostError(PandaponError):
    """A read was sent and no complete answer came back. (A write raises `OutcomeUnknownError` instead.)"""

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: the request was sent."""
    retryable = True
    """True: only reads raise this error."""


class OutcomeUnknownError(PandaponError):
    """A write was sent and may have been carried out. Never send it again without a check.

    Read the state (the refund, the order) to see whether it was. `__cause__` is the failure that lost the
    answer.
    """

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: read the state before anything else."""

    def __init__(self, message: str, *, intent_id: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.intent_id = intent_id
        """The id of the write's intent in the journal."""

    def __str__(self) -> str:
        return f"{super().__str__()} [intent {self.intent_id}]" if self.intent_id else super().__str__()


class DuplicateIntentError(PandaponError):
    """The same write is open or was carried out before; nothing was sent."""

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
        """The id of the earlier write's intent in the journal."""
        self.state = state
        """The earlier write's state, as in `IntentState`."""
        self.result = result
        """The id that the vendor gave the earlier write, if any."""
        self.next_step = next_step
        """What to do next."""
        self.retry_after = retry_after
        """Seconds to wait first, if waiting helps."""


class JournalUnavailableError(PandaponError):
    """The journal of writes cannot be used (disk full, locked, no permission); nothing was sent."""


class DeadlineExceededError(PandaponError):
    """The call's deadline passed, or the next wait would have crossed it (such a wait is not begun)."""

    retryable = True
    """True, with a longer timeout or less load."""


class MalformedResponseError(PandaponError):
    """The server's answer is not a PandaPon envelope."""

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: a gateway may have answered in the vendor's place."""
    retryable = True
    """True for a read; a write raises `OutcomeUnknownError` instead."""

    def __init__(self, message: str, *, http_status: int | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.http_status = http_status
        """The HTTP status of the answer."""


class ResponseTooLargeError(PandaponError):
    """The answer is longer than `Settings.max_response_bytes`, counted after decompression."""

    outcome = Outcome.UNKNOWN
    """`Outcome.UNKNOWN`: the rest of the answer was not read."""


class DecodeError(PandaponError):
    """The call succeeded, but its data does not match the model.

    `data` holds everything that came, so the result of an accepted write is not lost.
    """

    outcome = Outcome.ANSWERED
    """`Outcome.ANSWERED`: the vendor accepted the call; the data has an unknown form."""

    def __init__(self, message: str, *, path: str | None = None, data: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path
        """The place that does not match, such as "$.data.refundOrder.refundFee"."""
        self.data = data
        """The decoded JSON, unchanged. It may hold personal data."""


class ApiError(PandaponError):
    """The vendor refused the call."""

    outcome = Outcome.ANSWERED
    """`Outcome.ANSWERED`, unless the vendor may have acted before it refused."""

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
        """The envelope's code, unchanged."""
        self.msg = msg
        """The envelope's message, unchanged."""
        self.http_status = http_status
        """The HTTP status of the answer."""


class AuthenticationError(ApiError):
    """The vendor refused the key, the secret, the signature, the user id or the clock."""

    clock_skew: float | None = None
    """Seconds by which the server's clock is ahead of this machine's, if that explains the refusal."""
    intent_id: str | None = None
    """The id of the write's intent in the journal, if its outcome is unknown despite the refusal."""


class NotFoundError(ApiError):
    """The vendor does not know what was asked for: its code says so, or its successful answer has no data."""

    def __init__(self, message: str, *, empty: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.empty = empty
        """Whether the reason is a successful answer without data.

        That does not prove absence: a vendor that expects the argument in another place may answer every call
        this way.
        """


class RateLimitError(ApiError):
    """The vendor throttled the call."""

    retryable = True
    """True: the same call may succeed later."""

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
        """Seconds that the server asked to wait, if it named a time."""
        self.next_step = next_step
        """What to do, if nothing was sent because an earlier attempt was throttled."""
        self.before_execution = False
        """Whether nothing was carried out for certain; then even a write may be repeated."""


class RejectedError(ApiError):
    """The envelope says 200, but the data inside refuses the call."""

    def __init__(
        self, message: str, *, error_code: str | None = None, error_info: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.error_code = error_code
        """The inner error code."""
        self.error_info = error_info
        """The inner message, unchanged."""


class TryLaterError(RejectedError):
    """The platform could not check the request or refused it; its code covers both. Nothing was done.

    The call may be tried again later; the client reads the state first.
    """


class CallbackReason(enum.StrEnum):
    """What was wrong with a callback."""

    NOT_BYTES = "not_bytes"
    """The body is text or an object; pass the bytes as they were received."""
    TOO_LARGE = "too_large"
    """The body has more bytes than `CallbackSettings.maximum_bytes`."""
    UNSIGNED = "unsigned"
    """There is no Authorization header."""
    MALFORMED_SIGNATURE = "malformed_signature"
    """The signature is not 64 hex digits; no secret was tried."""
    WRONG_SIGNATURE = "wrong_signature"
    """The signature does not match the body under any of the secrets."""
    SIGNED_OTHERWISE = "signed_otherwise"
    """The secret is right, but the signature has another form than the settings name."""
    UNREADABLE = "unreadable"
    """The body is signed, but it is not a message."""
    OUTSIDE_WINDOW = "outside_window"
    """The body is signed, but its time is too far from now."""


class CallbackRefusedError(PandaponError):
    """A pushed body is not a genuine message. The error's text quotes nothing of it."""

    def __init__(self, message: str, *, reason: CallbackReason | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.reason = reason
        """The reason for the refusal."""


class ErrorKind(enum.StrEnum):
    """Why a write ended, as the journal, plans and reports store it. A code never changes its meaning.

    Most codes stand for a class of this module; the last four have no error of their own.
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
    """The process ended while the write was running."""
    IMAGE = "image"
    """A proof image could not be read or sent."""
    EMPTY = "empty"
    """A lookup succeeded and its answer was empty."""


_KINDS: tuple[tuple[type[Exception], ErrorKind], ...] = (
    # Subclasses come before their base classes.
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
    """Return the code of an error, or of the failure behind an `OutcomeUnknownError`."""
    cause = error.__cause__
    shown = cause if isinstance(error, OutcomeUnknownError) and isinstance(cause, PandaponError) else error
    return next((kind for known, kind in _KINDS if isinstance(shown, known)), ErrorKind.OTHER)
