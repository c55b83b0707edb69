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
    "error_kind_of",
]


class Outcome(enum.StrEnum):
    """Whether the server carried the operation out: surely not, it answered, or nobody knows."""

    NOT_SENT = "not_sent"
    ANSWERED = "answered"
    UNKNOWN = "unknown"


class Attempt(NamedTuple):
    """One request that was tried: `number` from 1, `seconds` it took, how it ended.

    `outcome` is "ok", "not_sent", "answered" or "unknown"; `waited` is the time in seconds spent
    before it in back-off and in the limiter; `reason` is the name of the error, if any.
    """

    # Every call makes one, and a frozen attrs class would take seven times as long.

    number: int
    outcome: str
    seconds: float
    waited: float = 0.0
    reason: str | None = None
    http_status: int | None = None
    code: int | None = None
    request_id: str | None = None


class NextStep(enum.StrEnum):
    """What helps a write that was held back; nothing of it was sent."""

    RESOLVE = (
        "resolve"  # find out what became of the earlier one: `Client.resolve`, `pandapon journal resolve`
    )
    WAIT = "wait"  # the earlier one is too young to be believed absent: try again after `retry_after` seconds
    LATER_RUN = "later_run"  # this process found the earlier one absent: only another one may send it again
    ALLOW_REPEAT = "allow_repeat"  # the same was carried out: `Settings.allow_repeat`, if it is meant again
    ALLOW_SECOND = "allow_second"  # another one is about the same thing: `Settings.allow_second`, if meant
    RESEND_THROTTLED = "resend_throttled"  # no read can tell: `Settings.resend_throttled` is the word for it


class PandaponError(Exception):
    """The root of the tree.

    `endpoint` is the name of the call ("v1.alibaba.refunds.get") or "METHOD /path" for an
    undeclared one, `attempts` how many requests were tried, `history` what became of each, `outcome`
    whether the server may have carried the operation out.
    """

    retryable: bool = False
    outcome: Outcome = Outcome.NOT_SENT

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
        self.attempts = attempts
        self.request_id = request_id
        self.history = history
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
    """An argument was refused before anything was sent; `argument` names it."""

    def __init__(self, message: str, *, argument: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.argument = argument


class NotSentError(PandaponError):
    """The request surely never reached the server: name lookup, connect or TLS failed."""

    retryable = True


class ConnectionLostError(PandaponError):
    """A read was sent and no whole answer came back. (A write raises `OutcomeUnknownError` instead.)"""

    outcome = Outcome.UNKNOWN
    retryable = True


class OutcomeUnknownError(PandaponError):
    """A write was sent and may or may not have landed. Never send it again blindly.

    `intent_id` is this write's number in the client's books; read the state (the refund, the
    order) to learn what became of it. `__cause__` is the failure that hid the answer.
    """

    outcome = Outcome.UNKNOWN

    def __init__(self, message: str, *, intent_id: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.intent_id = intent_id

    def __str__(self) -> str:
        return f"{super().__str__()} [intent {self.intent_id}]" if self.intent_id else super().__str__()


class DuplicateIntentError(PandaponError):
    """The same write is open already, or was carried out before; nothing was sent.

    `intent_id` and `state` are the earlier one's, `result` the id the vendor gave it, if any. `next_step`
    says what helps; `retry_after` are the seconds to wait first, where waiting does.
    """

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
        self.state = state
        self.result = result
        self.next_step = next_step
        self.retry_after = retry_after


class JournalUnavailableError(PandaponError):
    """The journal of writes cannot be used (disk full, locked, no permission); nothing was sent."""


class DeadlineExceededError(PandaponError):
    """The call's own deadline passed, or a wait would have crossed it (then nothing was waited for)."""

    retryable = True


class MalformedResponseError(PandaponError):
    """The server answered with something that is no PandaPon envelope."""

    outcome = Outcome.UNKNOWN
    retryable = True

    def __init__(self, message: str, *, http_status: int | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.http_status = http_status


class ResponseTooLargeError(PandaponError):
    """The answer passed `Settings.max_response_bytes`, counted after decompression."""

    outcome = Outcome.UNKNOWN


class DecodeError(PandaponError):
    """The call succeeded, but its data does not fit the model.

    `path` says where ("$.data.refundOrder.refundFee"), never what. `data` is the decoded JSON as it
    came, so that an accepted side effect is not lost with it; it may hold personal data.
    """

    outcome = Outcome.ANSWERED

    def __init__(self, message: str, *, path: str | None = None, data: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path
        self.data = data


class ApiError(PandaponError):
    """The vendor answered and said no. `code` and `msg` are the envelope's, as they came."""

    outcome = Outcome.ANSWERED

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
        self.msg = msg
        self.http_status = http_status


class AuthenticationError(ApiError):
    """Key, secret, signature, user id or clock were refused.

    `clock_skew` is how many seconds the server's clock is ahead of this machine's, where that explains it.
    Of a write whose `outcome` is unknown all the same, `intent_id` is its intent in the journal.
    """

    clock_skew: float | None = None
    intent_id: str | None = None


class NotFoundError(ApiError):
    """The vendor knows no such thing: it said so by code, or gave a successful answer without data.

    `empty` says that it was the latter, which does not prove that there is no such thing: a vendor that looks
    for an argument in the query where it came in the body may answer so to everything.
    """

    def __init__(self, message: str, *, empty: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.empty = empty


class RateLimitError(ApiError):
    """Too many calls. `retry_after` is what the server asked for, in seconds, if it said.

    `next_step` is set where nothing was sent because an earlier attempt was throttled, and says what helps.
    """

    retryable = True

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
        self.next_step = next_step
        # Whether it was surely refused before anything was carried out; then even a write may be repeated.
        self.before_execution = False


class RejectedError(ApiError):
    """The envelope says 200, its inside says no: `error_code` and `error_info` are the inner ones."""

    def __init__(
        self, message: str, *, error_code: str | None = None, error_info: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.error_code = error_code
        self.error_info = error_info


class CallbackReason(enum.StrEnum):
    """What was wrong with a callback."""

    NOT_BYTES = "not_bytes"  # text or an object was given where the bytes that came belong
    TOO_LARGE = "too_large"
    UNSIGNED = "unsigned"
    MALFORMED_SIGNATURE = "malformed_signature"  # no 64 hex digits: nothing was computed
    WRONG_SIGNATURE = "wrong_signature"
    SIGNED_OTHERWISE = "signed_otherwise"  # with the right secret, but not as the settings say
    UNREADABLE = "unreadable"  # signed, and no message
    OUTSIDE_WINDOW = "outside_window"  # signed, and its time is too far from now


class CallbackRefusedError(PandaponError):
    """What was pushed is no genuine message; `reason` says why, and the text holds nothing of it."""

    def __init__(self, message: str, *, reason: CallbackReason | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.reason = reason


class ErrorKind(enum.StrEnum):
    """What ended a write, as the journal, plans and reports store it. The codes never change their meaning.

    Most stand for a class of this module; the last four are ends that no error describes.
    """

    CONFIGURATION = "configuration"
    INVALID_ARGUMENT = "invalid_argument"
    NOT_SENT = "not_sent"
    CONNECTION_LOST = "connection_lost"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DUPLICATE_INTENT = "duplicate_intent"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    DEADLINE = "deadline"
    MALFORMED_RESPONSE = "malformed_response"
    RESPONSE_TOO_LARGE = "response_too_large"
    DECODE = "decode"
    AUTHENTICATION = "authentication"
    NOT_FOUND = "not_found"
    RATE_LIMIT = "rate_limit"
    REJECTED = "rejected"
    API = "api"
    CALLBACK_REFUSED = "callback_refused"
    OTHER = "other"
    CANCELLED = "cancelled"
    PROCESS_ENDED = "process_ended"
    IMAGE = "image"
    EMPTY = "empty"


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
    (RejectedError, ErrorKind.REJECTED),
    (ApiError, ErrorKind.API),
    (CallbackRefusedError, ErrorKind.CALLBACK_REFUSED),
)


def error_kind_of(error: BaseException) -> ErrorKind:
    """The code of an error. Of an `OutcomeUnknownError` it is the code of the failure that hid the answer."""
    cause = error.__cause__
    shown = cause if isinstance(error, OutcomeUnknownError) and isinstance(cause, PandaponError) else error
    return next((kind for known, kind in _KINDS if isinstance(shown, known)), ErrorKind.OTHER)
