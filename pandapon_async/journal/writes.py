"""A write on its way: its intent in the journal before the first byte leaves, its outcome after.

Everything but reads and harmless repeats passes through here, undeclared calls included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import attrs

from pandapon_async.core.envelope import Envelope
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import (
    DuplicateIntentError,
    ErrorKind,
    NotSentError,
    Outcome,
    PandaponError,
    RateLimitError,
    error_kind_of,
)
from pandapon_async.journal.identity import PAYLOAD, Writer, digest_of, natural_key, plain_of, subjects_of
from pandapon_async.journal.intent import Intent, IntentState, Resolution
from pandapon_async.journal.journal import Journal
from pandapon_async.settings import Settings

__all__ = ["EarlierWriteError", "Write", "before_sending", "begin_write", "draft_of", "natural_key"]

before_sending: ContextVar[Callable[[int, str], Awaitable[None]] | None] = ContextVar(
    "before_sending", default=None
)
"""Awaited with the journal's mark and the intent's id after a write is noted as sent, and before its first
byte leaves.

Where it raises, nothing is sent. A plan keeps its own copy of the mark by it.
"""


class EarlierWriteError(PandaponError):
    """An earlier write of the key has to be looked at first. Nothing was sent; the new intent is the lock."""

    def __init__(self) -> None:
        super().__init__("an earlier write has to be looked at first")


@attrs.define(eq=False)
class Write:
    """One write and its row in the journal, which stays open until the write's end."""

    journal: Journal
    intent: Intent
    endpoint: Endpoint
    once: bool
    subjects: tuple[str, ...]
    allow_second: bool
    served: Callable[[], float | None]
    """The server's own time, where it has told it."""
    written: bool = False
    """Whether there may be a row."""
    on_wire: bool = False
    """Whether it was sent and its outcome is not known yet."""
    earlier: Intent | None = None
    """An earlier write of the key that has to be looked at before this one is sent."""
    noted: tuple[float, float] | None = None
    """What the clocks said before the sending was noted."""

    async def begin(self) -> None:
        """Write the intent down now, as it may have to wait before it is sent."""
        await self._add(sending=False)

    async def sending(self) -> None:
        """To be awaited right before the bytes leave. Raises EarlierWriteError if they must not leave yet."""
        self.noted = self.journal.clocks()
        if self.written:
            await self.journal.sending(self.intent, served=self.served())
        else:
            await self._add(sending=True)
            if self.earlier is not None:
                raise EarlierWriteError()
        if (hook := before_sending.get()) is not None:
            await hook(self.journal.committed_mark, self.intent.id)
        self.on_wire = True

    def check_lease(self) -> None:
        """To be called with the first byte in hand. Raises NotSentError if its note is too old for that.

        Others may have found the write absent by then, and sent it themselves.
        """
        lease, noted = self.journal.lease, self.noted
        if lease is None or noted is None:
            return
        if max(now - then for now, then in zip(self.journal.clocks(), noted, strict=True)) > lease:
            raise NotSentError(
                f"more than {lease:g} s passed between the note of a write and its first byte; not sent"
            )

    async def _add(self, *, sending: bool) -> None:
        self.written = True
        self.intent.served = self.served()
        try:
            self.earlier = await self.journal.add(
                self.intent,
                once=self.once,
                subjects=self.subjects,
                allow_second=self.allow_second,
                sending=sending,
            )
        except DuplicateIntentError:
            self.written = False
            raise

    def answered(self, error: PandaponError | None) -> None:
        """An attempt ended; only an unknown outcome leaves the write on the wire."""
        self.on_wire = error is not None and error.outcome is Outcome.UNKNOWN

    def confirmed(self, envelope: Envelope) -> asyncio.Future[bool] | None:
        """Record that the vendor said yes; gives a future to wait for the record, if one is made."""
        where, data = self.endpoint.confirmed_by, envelope.data
        said = data.get(where) if where and isinstance(data, dict) else None
        result = str(said) if isinstance(said, str | int) and not isinstance(said, bool) else None
        return self._ended(IntentState.CONFIRMED, request_id=envelope.request_id, result=result)

    def failed(self, error: PandaponError) -> asyncio.Future[bool] | None:
        """Record the outcome of a call that failed; gives a future to wait for the record, if one is made."""
        state = {
            Outcome.NOT_SENT: IntentState.NOT_SENT,
            Outcome.ANSWERED: IntentState.REJECTED,
            Outcome.UNKNOWN: IntentState.UNKNOWN,
        }[error.outcome]
        # A throttle that is known to come before the deed leaves no doubt.
        known = isinstance(error, RateLimitError) and error.before_execution
        return self._ended(
            state,
            request_id=error.request_id,
            error_kind=error_kind_of(error),
            resolution=Resolution.ABSENT if known else None,
            served=self.served(),
        )

    def abandoned(self) -> None:
        """The call was cancelled; nothing may be awaited any more."""
        state = IntentState.UNKNOWN if self.on_wire else IntentState.NOT_SENT
        self._ended(state, error_kind=ErrorKind.CANCELLED)

    def _ended(self, state: IntentState, **facts: Any) -> asyncio.Future[bool] | None:
        try:
            return self.journal.resolve_soon(self.intent.id, state, **facts) if self.written else None
        finally:
            self.journal.release()


def draft_of(journal: Journal, writer: Writer, endpoint: Endpoint, fields: Mapping[str, Any]) -> Intent:
    """The intent of a write with these encoded arguments; nothing is written down."""
    key, plain = writer.key_of(endpoint, fields), plain_of(fields)
    return journal.draft(
        key,
        writer=writer,
        facts={name: plain[name] for name in endpoint.facts if name in plain},
        digest=key.natural_key.get(PAYLOAD) or digest_of(fields),
    )


async def begin_write(
    journal: Journal,
    writer: Writer,
    endpoint: Endpoint,
    fields: Mapping[str, Any],
    settings: Settings,
    *,
    served: Callable[[], float | None] = lambda: None,
    at_once: bool = False,
) -> Write:
    """Note the intent. Raises DuplicateIntentError or JournalUnavailableError; nothing was sent then.

    `at_once` says that nothing will have to be waited for: then one change of the journal, at
    `Write.sending`, notes the intent and the sending together, and nothing is written down here.
    """
    intent = draft_of(journal, writer, endpoint, fields)
    if (told := served()) is not None:
        intent.created = told  # forms carry the server's time: whether one is older is judged by that
    keyed = PAYLOAD not in intent.natural_key
    write = Write(
        journal,
        intent,
        endpoint,
        once=endpoint.safety is Safety.ONCE and keyed and not settings.allow_repeat,
        subjects=subjects_of(endpoint, intent.natural_key),
        # A second payment or receipt is never what is meant.
        allow_second=settings.allow_second and not endpoint.releases_money,
        served=served,
    )
    journal.hold()
    if not at_once:
        try:
            await write.begin()
        except BaseException:
            journal.release()
            raise
    return write
