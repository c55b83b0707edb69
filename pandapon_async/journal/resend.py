"""Read the state before a write is sent again: an earlier one may have been carried out.

The new intent is in the journal already and blocks all others. It is sent only if the earlier write is
absent, long enough after it was sent; any other result ends the new one unsent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from pandapon_async.clock import Clock, duration
from pandapon_async.errors import (
    AuthenticationError,
    DeadlineExceededError,
    DuplicateIntentError,
    ErrorKind,
    JournalUnavailableError,
    NextStep,
    NotSentError,
    Outcome,
    PandaponError,
    RateLimitError,
    error_kind_of,
)
from pandapon_async.journal.ages import Ages, seconds_left
from pandapon_async.journal.intent import Intent, IntentState, Resolution, duplicate_of
from pandapon_async.journal.resolve import Reader, ResolvedOutcome, resolve_outcome
from pandapon_async.journal.writes import Write
from pandapon_async.settings import Settings

__all__ = ["look_first"]


async def look_first(
    write: Write, within: Callable[[float], Reader], deadline: float, ages: Ages, settings: Settings
) -> None:
    """Return if the write may be sent after `write.earlier`; otherwise raise, with nothing sent.

    Args:
        write: The write to send.
        within: Returns a reader whose calls take at most this many seconds.
        deadline: The end of the whole call, in `Clock.now` seconds.
        ages: The ages of writes.
        settings: The settings of the call.

    Raises:
        DuplicateIntentError: The earlier one was carried out (`result` has its id), or no read shows it.
        RateLimitError: the earlier one was throttled, and is too young or cannot be seen.
        AuthenticationError: The read was refused.
        NotSentError: The state could not be read.
    """
    earlier, write.earlier = write.earlier, None
    if earlier is None:
        return
    if earlier.state is IntentState.SETTLED_ABSENT and earlier.resolver == write.journal.run_id:
        why = "this run did not find it, and only a later run may repeat it"
        raise _held(write, earlier, why, NextStep.LATER_RUN, "run the program again")
    outcome = await _read(write, _DeadlineReader(within, deadline, settings.clock), earlier)
    if outcome.resolution is Resolution.SUCCEEDED:
        await write.journal.resolve(
            earlier.id,
            IntentState.SETTLED_DONE,
            result=outcome.result,
            resolution=Resolution.SUCCEEDED,
            remark=outcome.note,
        )
        done = await write.journal.get(earlier.id)
        raise duplicate_of(done or earlier, write.intent)
    foreign = earlier.user_id != write.intent.user_id and not settings.any_account
    if outcome.resolution is Resolution.UNDECIDED or foreign:
        at_the_door = earlier.state is IntentState.REJECTED
        if settings.resend_throttled if at_the_door else settings.allow_repeat:
            return  # the operator's statement
        raise _unseen(write, earlier, outcome)
    if left := seconds_left(ages.of(earlier), settings.settle_after):
        why = f"it may still arrive; its absence can be believed in {duration(left)} ({outcome.note})"
        raise _held(write, earlier, why, NextStep.WAIT, "try again then", left)


@attrs.frozen
class _DeadlineReader:
    """The calls of a rule, one after the other, all within the deadline."""

    within: Callable[[float], Reader]
    deadline: float
    clock: Clock

    def _hurried(self) -> Reader:
        left = self.deadline - self.clock.now()
        if left <= 0:
            raise DeadlineExceededError("the deadline passed while an earlier write was checked")
        return self.within(left)

    @property
    def alibaba(self) -> Any:
        """The calls of 1688."""
        return self._hurried().alibaba

    @property
    def taobao(self) -> Any:
        """The calls of Taobao."""
        return self._hurried().taobao


async def _read(write: Write, reader: Reader, earlier: Intent) -> ResolvedOutcome:
    """Return what the vendor shows of the earlier write. If the read fails, nothing is sent."""
    try:
        return await resolve_outcome(reader, write.journal, earlier)
    except (JournalUnavailableError, DeadlineExceededError):
        raise
    except AuthenticationError as error:
        error.outcome = Outcome.NOT_SENT  # of the write; only a read was refused
        raise
    except PandaponError as error:
        raise NotSentError(
            f"an earlier {earlier.operation} (intent {earlier.id[:12]}) must be checked first, but the "
            f"state could not be read ({error_kind_of(error)}); nothing was sent"
        ) from error


def _unseen(write: Write, earlier: Intent, outcome: ResolvedOutcome) -> PandaponError:
    """Return the error if no read by this account shows the result of the earlier write."""
    if outcome.resolution is Resolution.ABSENT:  # another sub-account may not see it
        if earlier.user_id:
            who = f"user id {earlier.user_id}"
            how = f"set PANDAPON_USER_ID={earlier.user_id}, or pass any_account=True (--any-account)"
        else:
            who, how = (
                "a user id that an earlier version did not record",
                "pass any_account=True (--any-account)",
            )
        why = f"it was written by {who}, which may see more than this sub-account"
        return _held(write, earlier, why, NextStep.RESOLVE, how)
    why = f"no read shows whether it was carried out: {outcome.note}"
    if earlier.state is IntentState.REJECTED:
        how = "pass resend_throttled=True (--resend-throttled) to send it nevertheless"
        return _held(write, earlier, why, NextStep.RESEND_THROTTLED, how)
    how = "pass allow_repeat=True (--allow-repeat) to send it nevertheless"
    return _held(write, earlier, why, NextStep.ALLOW_REPEAT, how)


_ENDED = {
    ErrorKind.RATE_LIMIT: "was throttled",
    ErrorKind.AUTHENTICATION: "was refused by the login",
    ErrorKind.TRY_LATER: "was postponed by the platform",
}


def _held(
    write: Write, earlier: Intent, why: str, step: NextStep, how: str, retry_after: float | None = None
) -> PandaponError:
    """Return the error for a write that an earlier one blocks; `how` is the advice."""
    at_the_door = earlier.state is IntentState.REJECTED
    throttled = at_the_door and earlier.error_kind is ErrorKind.RATE_LIMIT
    kind = earlier.error_kind or ErrorKind.OTHER
    ended = _ENDED.get(kind, "was refused") if at_the_door else f"ended as {earlier.state}"
    named = f"the same {earlier.operation} {ended} before (intent {earlier.id[:12]})"
    text = f"{named} and {why}; nothing was sent; {how}"
    if throttled:
        limited = RateLimitError(text, retry_after=retry_after, next_step=step, retryable=False)
        limited.outcome = Outcome.NOT_SENT
        return limited
    return DuplicateIntentError(
        text,
        intent_id=earlier.id,
        state=str(earlier.state),
        result=earlier.result,
        next_step=step,
        retry_after=retry_after,
    )
