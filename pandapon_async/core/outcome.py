"""The outcome of a request: not sent, answered, or unknown, and what the client may do about each.

A connection can die after the server has read a request and before its answer arrives. The caller then sees
an error, although the server may have refunded or ordered. Measured with four popular clients, such a POST
was sent 2, 3, 3 and 4 times; a fifth raised an error that its documentation explains as "not received by
the server", although the server had received it. Sending a refund application twice costs money, and so
does reporting it as failed.

So an outcome has three values. *Not sent*: no byte of the request was written, and the call may be made
again. *Answered*: the server answered, and this module judges the answer. *Unknown*: bytes were written and
no complete answer came. A read is then repeated; after a write, the state is read before anything else.
Whether bytes were written decides between *not sent* and *unknown*, never the type of an exception.

Even an answer may mislead, so its success has three layers, and all three are checked: the HTTP status, the
envelope's `code`, and the inner flag that some operations have (`success`, `cancelSuccess`). A refusal by
a firewall, a throttle or a 4xx page may come after the vendor carried out the operation; then the outcome
of a write is unknown.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from pandapon_async.core.codes import Codes
from pandapon_async.core.envelope import Envelope, read_envelope
from pandapon_async.core.json_codec import loads
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    DeadlineExceededError,
    MalformedResponseError,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    PandaponError,
    RateLimitError,
    RejectedError,
    TryLaterError,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = [
    "DATA_IF_ANY",
    "Operation", "RawResponse", "Safety", "for_operation", "may_repeat", "read_response", "retry_if_safe",
]  # fmt: skip


class Safety(enum.StrEnum):
    """What the client may do if an answer is lost: a property of the operation, not of the HTTP verb."""

    READ = "read"
    """Changes nothing and may be repeated freely."""
    REPEATABLE = "repeatable"
    """A repeat is harmless (a voucher upload leaves an unused image)."""
    CHECKED = "checked"
    """Read the state before a repeat (return goods, cancel, modify)."""
    ONCE = "once"
    """Never repeated by this library (create a refund, create an order, a message)."""
    NEVER_AUTOMATIC = "never_automatic"
    """Releases money (pay, confirm receipt): never sent by a job."""

    @property
    def repeatable(self) -> bool:
        """Whether an attempt with an unknown outcome may be sent again."""
        return self in (Safety.READ, Safety.REPEATABLE)


class Operation(Protocol):
    """The facts that decide how an answer is judged; every declared call has them."""

    @property
    def confirmed_by(self) -> str | None:
        """The field of the data that says whether the operation was accepted, or "data"."""
        ...

    @property
    def unclear_codes(self) -> frozenset[str]:
        """Inner error codes after which the operation may have been carried out nevertheless."""
        ...

    @property
    def authorisation_codes(self) -> frozenset[str]:
        """Inner error codes that refuse the account itself, and so all of its calls."""
        ...

    @property
    def later_codes(self) -> frozenset[str]:
        """Inner error codes of a check that may succeed later; nothing was carried out."""
        ...


@attrs.define
class RawResponse:
    """The raw answer: status, bounded body, and how long the server asks to wait."""

    http_status: int
    body: bytes = attrs.field(repr=False)
    retry_after: float | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False, eq=False)


def read_response(response: RawResponse, operation: Operation, codes: Codes) -> Envelope:
    """Return the envelope of a call that succeeded in all three layers; raise the matching error otherwise.

    The error's `outcome` says whether the server certainly did or did not carry out the operation;
    `for_operation` then turns it into the error for the caller of this operation.
    """
    status = response.http_status
    try:
        envelope = read_envelope(response.body)
    except ValueError as reason:
        raise _without_envelope(response, codes, str(reason)) from None
    succeeded = envelope.code in codes.success
    if status == 429:
        # The status refuses, the code says 200: a throttle, but the operation may have been carried out.
        outcome = Outcome.UNKNOWN if succeeded else Outcome.ANSWERED
        known = not succeeded and (envelope.code in codes.refused or _HTTP_429 in codes.refused)
        raise _throttled(response, envelope, before_execution=known, outcome=outcome)
    if succeeded and 200 <= status < 300:
        _check_inside(response, envelope, operation, codes)
        return envelope
    raise _refusal(response, envelope, operation, codes)


_HTTP_429 = "http 429"
_PERHAPS_AFTER = frozenset({400, 401, 403, 404, 405, 408, 409, 413, 499})
"""A firewall or a proxy may answer this by itself, even after the vendor carried out the operation."""


def _without_envelope(response: RawResponse, codes: Codes, reason: str) -> PandaponError:
    status = response.http_status
    if status == 429:
        known = _HTTP_429 in codes.refused
        return _throttled(response, None, before_execution=known, outcome=Outcome.ANSWERED)
    if status == 503:
        return _throttled(response, None)
    if status in (401, 403):
        unauthenticated = AuthenticationError(f"refused with HTTP {status}; {_CHECK_KEY}", http_status=status)
        unauthenticated.outcome = Outcome.UNKNOWN
        return unauthenticated
    if 300 <= status < 400:
        return MalformedResponseError(
            f"HTTP {status}: redirects are not followed; check base_url", http_status=status, retryable=False
        )
    if 400 <= status < 500 and status != 408:
        refused = ApiError(f"refused with HTTP {status}, without an envelope ({reason})", http_status=status)
        if status in _PERHAPS_AFTER:
            refused.outcome = Outcome.UNKNOWN
        return refused
    return MalformedResponseError(f"HTTP {status}: {reason}", http_status=status)


_CHECK_KEY = (
    "check access key, secret, user id, the timestamp unit and this machine's clock (`pandapon doctor`)"
)


def _refusal(response: RawResponse, envelope: Envelope, operation: Operation, codes: Codes) -> PandaponError:
    status, code = response.http_status, envelope.code
    facts = _facts(response, envelope)
    meaning, said = codes.meaning({code, *_causes(response, envelope, codes)})
    redirected = 300 <= status < 400
    broken = status >= 500 or redirected or status == 408
    if status == 503 and not said:
        return _throttled(response, envelope)
    if meaning in ("throttle", "refused"):
        return _throttled(response, envelope, before_execution=meaning == "refused")
    unauthorised = str(code) in operation.authorisation_codes and not said
    if meaning == "authentication" or unauthorised or (status in (401, 403) and not said):
        advice = _AUTHORISE if unauthorised else _CHECK_KEY
        unauthenticated = AuthenticationError(f"the vendor refused with code {code}; {advice}", **facts)
        if broken:
            unauthenticated.outcome = Outcome.UNKNOWN
        return unauthenticated
    if meaning == "not_found" and (said or not (broken or 500 <= code < 600)):
        missing = NotFoundError(f"the vendor does not know it (code {code})", **facts)
        if broken or 500 <= code < 600 or str(code) in operation.unclear_codes:
            missing.outcome = Outcome.UNKNOWN  # harmless for a read, but a write may have been carried out
        return missing
    if broken or 500 <= code < 600:
        failed = ApiError(
            f"the server failed with HTTP {status}, code {code}", **facts, retryable=not redirected
        )
        failed.outcome = Outcome.UNKNOWN
        return failed
    text = f"the vendor refused with code {code} (the vendor's message is in .msg)"
    if str(code) in operation.later_codes:
        return TryLaterError(text, error_code=str(code), **facts)
    refused = ApiError(text, **facts)
    if code in codes.success or str(code) in operation.unclear_codes:
        refused.outcome = (
            Outcome.UNKNOWN
        )  # status and code contradict each other, or the meaning of the code is unclear
    return refused


def _causes(response: RawResponse, envelope: Envelope, codes: Codes) -> set[str]:
    """The causes in the fields of a refusal, in the data or next to the code."""
    places = [envelope.data, loads(response.body)]
    found = {_plain(one.get(name)) for one in places if isinstance(one, dict) for name in codes.cause_fields}
    return {one for one in found if one is not None}


_AUTHORISE = "the account may need a new authorisation in the vendor's console (`pandapon doctor`)"


def _facts(response: RawResponse, envelope: Envelope) -> dict[str, Any]:
    return {
        "code": envelope.code,
        "msg": envelope.msg,
        "http_status": response.http_status,
        "request_id": envelope.request_id,
    }


def _throttled(
    response: RawResponse,
    envelope: Envelope | None,
    *,
    before_execution: bool = False,
    outcome: Outcome = Outcome.UNKNOWN,
) -> RateLimitError:
    code = envelope.code if envelope else None
    wait = f", asked to wait {response.retry_after:g} s" if response.retry_after is not None else ""
    error = RateLimitError(
        f"too many calls (HTTP {response.http_status}, code {code}{wait})",
        retry_after=response.retry_after,
        code=code,
        msg=envelope.msg if envelope else None,
        http_status=response.http_status,
        request_id=envelope.request_id if envelope else None,
    )
    error.before_execution = before_execution
    if not before_execution:
        error.outcome = outcome
    return error


def _check_inside(response: RawResponse, envelope: Envelope, operation: Operation, codes: Codes) -> None:
    """Check the third layer: the data itself may say that the operation was refused.

    If the data says neither yes nor no, or both, the outcome is unknown.
    """
    fields: dict[str, Any] = envelope.data if isinstance(envelope.data, dict) else {}
    success = fields.get("success")
    confirmed = _confirmation(envelope.data, fields, operation.confirmed_by)
    if confirmed is True and (success is None or success is True):
        return
    if confirmed is not True and (confirmed is False or success is False):
        raise _rejection(response, envelope, fields, operation, codes)
    where = operation.confirmed_by or "success"
    raise MalformedResponseError(
        f"code {envelope.code}, but {where} does not say whether it was accepted",
        http_status=response.http_status,
        request_id=envelope.request_id,
    )


DATA_IF_ANY = "data, if any"
"""The data itself says whether the operation was accepted; without data, the envelope says it."""


def _confirmation(data: Any, fields: dict[str, Any], where: str | None) -> bool | None:
    """True or False if the data accepts or refuses the operation; None if it is unclear ("false", 1)."""
    if where == DATA_IF_ANY and not isinstance(data, dict):
        return True if data is None else data if isinstance(data, bool) else None
    if where is None or where == DATA_IF_ANY:
        said = fields.get("success", True)
        return True if said is None else said if isinstance(said, bool) else None
    said = data if where == "data" else fields.get(where)
    if where == "data" or where.lower().endswith("success"):
        return said if isinstance(said, bool) else None
    # An id or a url: only an operation that was carried out has one.
    return True if isinstance(said, str | int) and not isinstance(said, bool) and said else None


def _rejection(
    response: RawResponse, envelope: Envelope, fields: dict[str, Any], operation: Operation, codes: Codes
) -> PandaponError:
    code = _plain(fields.get("errorCode"))
    info = _plain(fields.get("errorInfo")) or _plain(fields.get("errorMsg"))
    text = (
        f"the platform refused inside a successful answer (error code {code or 'not given'}; "
        "the message is in .error_info)"
    )
    facts = _facts(response, envelope)
    kind = TryLaterError if code in operation.later_codes else RejectedError
    rejected = kind(text, error_code=code, error_info=info, **facts)
    if code in operation.unclear_codes:
        rejected.outcome = Outcome.UNKNOWN
        return rejected
    causes = {_plain(fields.get(name)) for name in codes.cause_fields}
    meaning, _ = codes.meaning({one for one in (code, *causes) if one is not None})
    other: PandaponError | None = None
    if meaning in ("throttle", "refused"):
        other = _throttled(response, envelope, before_execution=meaning == "refused")
    elif meaning == "authentication" or (meaning is None and code in operation.authorisation_codes):
        advice = _CHECK_KEY if meaning else _AUTHORISE
        other = AuthenticationError(f"the platform refused with error code {code}; {advice}", **facts)
    elif meaning == "not_found":
        other = NotFoundError(f"the platform does not know it (error code {code})", **facts)
    if other is None:
        return rejected
    other.__cause__ = rejected
    return other


def _plain(value: Any) -> str | None:
    return str(value) if value.__class__ in (str, int) and value != "" else None


def may_repeat(error: PandaponError, safety: Safety) -> bool:
    """Whether safety permits sending the same call again after this failure."""
    if safety is Safety.NEVER_AUTOMATIC or not error.retryable or isinstance(error, DeadlineExceededError):
        return False
    if error.outcome is Outcome.NOT_SENT or safety.repeatable:
        return True
    return isinstance(error, RateLimitError) and error.before_execution


def retry_if_safe(state: RetryCallState) -> bool:
    """A retry condition for your own tenacity: whether the call may be made again after this failure.

    Use it as `AsyncRetrying(retry=retry_if_safe, ...)` with a client of `RetryPolicy(attempts=1)`, because
    only one layer should retry. Combine it with other conditions by `|` and `&`. It is true if the error is
    `retryable`; for a write, only if the request was certainly not sent, because no answer, not even a
    throttle, proves that nothing was done. It is never true for a call that releases money. Retry one call
    with it, never a function of several: the calls that succeeded would be made again.

    Args:
        state: The state that tenacity passes.

    Returns:
        True if the last attempt failed and may be repeated; False after a success and after foreign errors.
    """
    error = None if state.outcome is None else state.outcome.exception()
    if not isinstance(error, PandaponError) or not error.retryable or error.safety is None:
        return False
    safety = Safety(error.safety)
    if safety is Safety.NEVER_AUTOMATIC:
        return False
    # The history, too: a client that retries by itself may have sent an earlier attempt.
    outcomes = {str(error.outcome), *(attempt.outcome for attempt in error.history)}
    return safety.repeatable or outcomes == {str(Outcome.NOT_SENT)}


def for_operation(error: PandaponError, safety: Safety, intent_id: str | None) -> PandaponError:
    """Return the error that the caller sees; an unknown outcome of a write becomes OutcomeUnknownError."""
    if error.outcome is not Outcome.UNKNOWN or safety.repeatable:
        return error
    if isinstance(error, AuthenticationError):
        error.intent_id = intent_id  # a bulk run must learn that the key or the address is wrong
        return error
    unknown = OutcomeUnknownError(
        "the answer was lost or unclear, and the operation may have been carried out: read the state "
        f"before you do anything else ({type(error).__name__})",
        intent_id=intent_id,
        request_id=error.request_id,
    )
    unknown.__cause__ = error
    return unknown
