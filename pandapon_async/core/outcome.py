"""What became of a request: not sent, answered, or unknown; and what may be done about it.

The success of a call has three layers, and all three are looked at here: the HTTP status, the
envelope's `code`, and the inner flag that some operations carry (`success`, `cancelSuccess`).
"""

from __future__ import annotations

from typing import Any

import attrs

from pandapon_async.core.codes import Codes
from pandapon_async.core.envelope import Envelope, read_envelope
from pandapon_async.endpoint import Endpoint, Safety
from pandapon_async.errors import (
    ApiError,
    AuthenticationFailed,
    DeadlineExceeded,
    MalformedResponse,
    NotFound,
    Outcome,
    OutcomeUnknown,
    PandaponError,
    Rejected,
    Throttled,
)

__all__ = ["Answer", "for_operation", "may_repeat", "read_answer"]


@attrs.define
class Answer:
    """What came over the wire: status, bounded body, and what the server said about waiting."""

    http_status: int
    body: bytes = attrs.field(repr=False)
    retry_after: float | None = None


def read_answer(answer: Answer, endpoint: Endpoint, codes: Codes) -> Envelope:
    """The envelope of a call that succeeded in all three layers; raises what it was otherwise.

    An error's `outcome` says whether the server surely did or did not carry out the operation;
    `for_operation` then makes of it what the caller of this operation must see.
    """
    status = answer.http_status
    try:
        envelope = read_envelope(answer.body)
    except ValueError as reason:
        raise _without_envelope(answer, str(reason)) from None
    if status == 429:
        raise _throttled(answer, envelope, before_execution=True)
    if envelope.code in codes.success and 200 <= status < 300:
        _check_inside(envelope, endpoint, codes)
        return envelope
    raise _refusal(answer, envelope, codes)


def _without_envelope(answer: Answer, reason: str) -> PandaponError:
    status = answer.http_status
    if status == 429:
        return _throttled(answer, None, before_execution=True)
    if status == 503:
        return _throttled(answer, None, before_execution=False)
    if status in (401, 403):
        return AuthenticationFailed(f"refused with HTTP {status}; {_CHECK_KEY}", http_status=status)
    if 300 <= status < 400:
        return MalformedResponse(
            f"HTTP {status}: redirects are not followed; check base_url", http_status=status, retryable=False
        )
    if 400 <= status < 500 and status != 408:
        return ApiError(f"refused with HTTP {status}, without an envelope ({reason})", http_status=status)
    return MalformedResponse(f"HTTP {status}: {reason}", http_status=status)


_CHECK_KEY = (
    "check access key, secret, user id, the timestamp unit and this machine's clock (`pandapon doctor`)"
)


def _refusal(answer: Answer, envelope: Envelope, codes: Codes) -> PandaponError:
    status, code = answer.http_status, envelope.code
    facts: dict[str, Any] = {
        "code": code,
        "msg": envelope.msg,
        "http_status": status,
        "request_id": envelope.request_id,
    }
    if status == 503:
        return _throttled(answer, envelope, before_execution=False)
    if code in codes.throttle or code in codes.refused:
        return _throttled(answer, envelope, before_execution=code in codes.refused)
    if code in codes.authentication or status in (401, 403):
        return AuthenticationFailed(f"the vendor refused with code {code}; {_CHECK_KEY}", **facts)
    if status >= 500 or 500 <= code < 600 or 300 <= status < 400 or status == 408:
        error = ApiError(f"the server failed with HTTP {status}, code {code}", **facts, retryable=True)
        error.outcome = Outcome.UNKNOWN
        return error
    if code in codes.not_found:
        return NotFound(f"the vendor knows no such thing (code {code})", **facts)
    return ApiError(f"the vendor refused with code {code} (its words are in .msg)", **facts)


def _throttled(answer: Answer, envelope: Envelope | None, *, before_execution: bool) -> Throttled:
    code = envelope.code if envelope else None
    wait = f", asked to wait {answer.retry_after:g} s" if answer.retry_after is not None else ""
    error = Throttled(
        f"too many calls (HTTP {answer.http_status}, code {code}{wait})",
        retry_after=answer.retry_after,
        code=code,
        msg=envelope.msg if envelope else None,
        http_status=answer.http_status,
        request_id=envelope.request_id if envelope else None,
    )
    error.before_execution = before_execution
    if answer.http_status == 503:
        error.outcome = Outcome.UNKNOWN
    return error


def _check_inside(envelope: Envelope, endpoint: Endpoint, codes: Codes) -> None:
    """The third layer: the data itself may say that the operation was refused."""
    data = envelope.data
    fields: dict[str, Any] = data if isinstance(data, dict) else {}
    where = endpoint.confirmed_by
    said = data if where == "data" else fields.get(where) if where else fields.get("success", True)
    if said is True or (
        where and where != "data" and isinstance(said, str | int) and said and said is not True
    ):
        return
    if said is not False:
        if where is None and said is None:
            return  # not every call has the flag; a null one says nothing
        error = MalformedResponse(
            f"code {envelope.code}, but {where or 'success'} does not say whether it was accepted",
            http_status=200,
            request_id=envelope.request_id,
        )
        raise error
    error_code = _plain(fields.get("errorCode"))
    rejected = Rejected(
        f"the platform refused inside a successful answer (error code {error_code or 'not given'}; "
        "its words are in .error_info)",
        error_code=error_code,
        error_info=_plain(fields.get("errorInfo")) or _plain(fields.get("errorMsg")),
        code=envelope.code,
        msg=envelope.msg,
        http_status=200,
        request_id=envelope.request_id,
    )
    if error_code in endpoint.unclear_codes:
        rejected.outcome = Outcome.UNKNOWN
    if error_code in codes.refused:
        raise _throttled(Answer(200, b""), envelope, before_execution=True) from rejected
    raise rejected


def _plain(value: Any) -> str | None:
    return str(value) if value.__class__ in (str, int) and value != "" else None


def may_repeat(error: PandaponError, safety: Safety) -> bool:
    """Whether the same call may be sent again after this failure, as far as safety goes."""
    if safety is Safety.NEVER_AUTOMATIC or not error.retryable or isinstance(error, DeadlineExceeded):
        return False
    if error.outcome is Outcome.NOT_SENT or safety.repeatable:
        return True
    return isinstance(error, Throttled) and error.before_execution


def for_operation(error: PandaponError, safety: Safety, intent_id: str | None) -> PandaponError:
    """The error the caller sees: an unknown outcome of anything that must not be repeated says so."""
    if error.outcome is not Outcome.UNKNOWN or safety.repeatable:
        return error
    unknown = OutcomeUnknown(
        "the answer was lost or unclear and the operation may have been carried out: "
        f"read the state before doing anything ({type(error).__name__})",
        intent_id=intent_id,
        request_id=error.request_id,
    )
    unknown.__cause__ = error
    return unknown
