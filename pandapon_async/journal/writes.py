"""A write in flight: its intent is recorded before the first byte is sent, its outcome afterwards.

Every call except reads and repeatable calls passes through here, including undeclared calls.
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
"""Awaited with the journal's mark and the intent's id after a write is recorded as sent, before its first
byte is sent.

If it raises, nothing is sent. A plan uses it to keep its own copy of the mark.
"""


class EarlierWriteError(PandaponError):
    """An earlier write of the key must be checked first. Nothing was sent; the new intent blocks others."""

    def __init__(self) -> None:
        super().__init__("an earlier write must be checked first")


@attrs.define(eq=False)
class Write:
    """One write and its row in the journal, which stays open until the end of the write."""

    journal: Journal
    intent: Intent
    endpoint: Endpoint
    once: bool
    subjects: tuple[str, ...]
    allow_second: bool
    served: Callable[[], float | None]
    """The server's time, if known."""
    written: bool = False
    """Whether the journal may have a row."""
    earlier: Intent | None = None
    """An earlier write of the key that must be checked before this one is sent."""
    noted: tuple[float, float] | None = None
    """The clock reading before the sending was recorded."""

    async def begin(self) -> None:
        """Record the intent now, because it may wait before it is sent."""
        await self._add(sending=False)

    async def sending(self) -> None:
        """Record the sending, right before the bytes are sent. Raises EarlierWriteError if they must wait."""
        self.noted = self.journal.clocks()
        if self.written:
            await self.journal.sending(self.intent, served=self.served())
        else:
            await self._add(sending=True)
            if self.earlier is not None:
                raise EarlierWriteError()
        if (hook := before_sending.get()) is not None:
            await hook(self.journal.committed_mark, self.intent.id)

    def check_lease(self) -> None:
        """Called right before the first byte. Raises NotSentError if the record of the sending is too old.

        Another process may have found the write absent by then and sent it itself.
        """
        lease, noted = self.journal.lease, self.noted
        if lease is None or noted is None:
            return
        if max(now - then for now, then in zip(self.journal.clocks(), noted, strict=True)) > lease:
            raise NotSentError(
                f"more than {lease:g} s passed between recording a write and its first byte; not sent"
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
        # A throttle that certainly comes before the write is carried out leaves no doubt.
        known = isinstance(error, RateLimitError) and error.before_execution
        return self._ended(
            state,
            request_id=error.request_id,
            error_kind=error_kind_of(error),
            resolution=Resolution.ABSENT if known else None,
            served=self.served(),
        )

    def abandoned(self, *, perhaps_done: bool) -> None:
        """Record that the call was cancelled, without awaiting anything.

        `perhaps_done`: a byte of a request may have left, and no answer said what came of it.
        """
        state = IntentState.UNKNOWN if perhaps_done else IntentState.NOT_SENT
        self._ended(state, error_kind=ErrorKind.CANCELLED)

    def _ended(self, state: IntentState, **facts: Any) -> asyncio.Future[bool] | None:
        try:
            return self.journal.resolve_soon(self.intent.id, state, **facts) if self.written else None
        finally:
            self.journal.release()


def draft_of(journal: Journal, writer: Writer, endpoint: Endpoint, fields: Mapping[str, Any]) -> Intent:
    """Create the intent of a write with these encoded arguments; records nothing."""
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
    """Record the intent. Raises DuplicateIntentError or JournalUnavailableError, with nothing sent.

    With `at_once` the write will not wait: then one change of the journal, in `Write.sending`, records the
    intent and the sending together, and nothing is recorded here.
    """
    intent = draft_of(journal, writer, endpoint, fields)
    if (told := served()) is not None:
        intent.created = told  # forms have the server's time, which decides whether one is older
    keyed = PAYLOAD not in intent.natural_key
    write = Write(
        journal,
        intent,
        endpoint,
        once=endpoint.safety is Safety.ONCE and keyed and not settings.allow_repeat,
        subjects=subjects_of(endpoint, intent.natural_key),
        # A second payment or receipt is never intended.
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
