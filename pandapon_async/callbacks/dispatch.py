"""Pass messages from the store to the handlers: at least once, in order if there is one, with a limit.

A failed handler is called again after a while; handlers that succeeded are not. A message that fails every
attempt becomes a dead letter, which is kept and can be replayed. No decision is in memory only: a process
that is killed at any moment leaves everything that the next one needs in the file.
"""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import UTC, datetime
from typing import Final

import attrs

from pandapon_async.callbacks.handlers import Handlers, Registered
from pandapon_async.callbacks.messages import Message, read
from pandapon_async.callbacks.settings import CallbackSettings
from pandapon_async.callbacks.statistics import Statistics
from pandapon_async.callbacks.store import NO_HANDLER, MessageState, MessageStore, Record
from pandapon_async.callbacks.timing import Alarm
from pandapon_async.clock import Clock, time_limit
from pandapon_async.errors import CallbackRefusedError
from pandapon_async.events import Observed
from pandapon_async.storage.batch_writer import BatchWriter

__all__ = ["Dispatcher"]

POLL = 1.0
"""Seconds between two checks for messages of another process, or for its lock."""

FORGET_EVERY = 3600.0
RECOVER_EVERY = 2.0
"""Seconds between two checks for ended receivers, if there are several."""

log: Final = logging.getLogger("pandapon_async")


class Dispatcher:
    """Passes messages to handlers until it is closed."""

    def __init__(
        self,
        writer: BatchWriter[MessageStore],
        handlers: Handlers,
        settings: CallbackSettings,
        statistics: Statistics,
        clock: Clock,
        observed: Observed | None = None,
    ) -> None:
        self._writer = writer
        self._handlers = handlers
        self._settings = settings
        self._statistics = statistics
        self._clock = clock
        self._observed = observed
        self._alarm = Alarm(clock)
        self._running: dict[asyncio.Task[None], int] = {}
        self._loop: asyncio.Task[None] | None = None
        self._closing = False
        self._leads = False
        self._forget_at = 0.0
        self._recover_at = 0.0

    def start(self) -> None:
        """Start, with the messages that an earlier process left."""
        self._closing = self._leads = False
        self._recover_at = 0.0
        self._loop = asyncio.create_task(self._run(), name="pandapon-callbacks")

    def wake(self) -> None:
        """Report a new message."""
        self._alarm.ring()

    async def aclose(self) -> None:
        """Claim no more messages, let handlers finish within the grace time, and return the rest."""
        if self._loop is None:
            return
        self._closing = True
        self._alarm.ring()
        loop, self._loop = self._loop, None
        await loop
        if self._running:
            alarm = Alarm(self._clock)
            for task in self._running:
                task.add_done_callback(lambda _: None if self._running else alarm.ring())
            await alarm.wait(self._settings.grace)
        broken_off = dict(self._running)
        for task in broken_off:
            task.cancel()
        if broken_off:
            await asyncio.wait(broken_off)
            now = self._clock.wall()
            try:
                await self._writer.run(lambda store: store.release(broken_off.values(), now))
            except Exception as error:
                # Who handles next gives them back: it sees that this process has ended.
                log.error(
                    "callbacks: %d messages cannot be given back (%s)", len(broken_off), type(error).__name__
                )

    async def _run(self) -> None:
        while not self._closing:
            try:
                wait = await self._hand_out_due()
            except Exception as error:
                # The disk may be full or the file locked for a while; its messages are not lost.
                log.error("callbacks: messages cannot be claimed (%s)", type(error).__name__)
                log.debug("callbacks: traceback", exc_info=error)
                wait = POLL
            if not self._closing and wait > 0:
                await self._alarm.wait(wait)

    async def _hand_out_due(self) -> float:
        """Pass due messages to handlers; return the seconds until the next check."""
        settings, now = self._settings, self._clock.wall()
        if not self._leads:
            self._leads = await self._writer.run(lambda store: store.lead())
            if not self._leads:
                return POLL
        if now >= self._recover_at:
            most = settings.retry.attempts
            left, several = await self._writer.run(lambda store: (store.recover(most, now), store.several))
            self._recover_at = now + RECOVER_EVERY if several else math.inf
            if left:
                log.warning("callbacks: %d messages of an ended process are handled again", left)
        if now >= self._forget_at:
            more = await self._writer.run(lambda store: store.forget(now - settings.remember))
            self._forget_at = now if more else now + FORGET_EVERY
        free = settings.concurrency - len(self._running)
        if free <= 0:
            return POLL
        records, due = await self._writer.run(lambda store: store.claim(now, free))
        for record in records:
            task = asyncio.create_task(self._handle(record), name=f"pandapon-callback-{record.id[:12]}")
            self._running[task] = record.seq
            task.add_done_callback(self._ended)
        if len(records) == free or due is None:
            return POLL
        # A due message that was not claimed waits for another of its key, which rings when it ends.
        return min(POLL, due - now) if due > now else POLL

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._alarm.ring()

    async def _handle(self, record: Record) -> None:
        settings = self._settings
        try:
            message = message_of(record)
        except Exception as error:
            reason = str(error.reason) if isinstance(error, CallbackRefusedError) else type(error).__name__
            self._statistics.dead += 1
            log.error("callback %s is a dead letter: it cannot be read (%s)", record.id[:12], reason)
            await self._finish(record, MessageState.DEAD, set(), reason)
            return
        finished = set(record.finished)
        handlers = self._handlers.of(message)
        failures = await self._call_all(handlers, message, finished)
        if not failures:
            self._statistics.handled += 1
            self._statistics.unhandled += not handlers
            note = None if handlers else NO_HANDLER
            await self._finish(record, MessageState.DONE, finished, note, unhandled=not handlers)
        elif record.attempts >= settings.retry.attempts:
            self._statistics.dead += 1
            log.error("callback %s is a dead letter: %s", record.id[:12], "; ".join(failures))
            await self._finish(record, MessageState.DEAD, finished, "; ".join(failures))
        else:
            self._statistics.failed += 1
            delay = settings.retry.delay(record.attempts, None, self._clock.random())
            await self._finish(record, MessageState.PENDING, finished, "; ".join(failures), delay)

    async def _call_all(self, handlers: list[Registered], message: Message, finished: set[str]) -> list[str]:
        """Call the remaining handlers; return the failures, and add the others to `finished`."""
        failures: list[str] = []
        kinds: list[str] = []
        if self._observed is not None:
            self._observed.tell("message_started", message)
        try:
            for handler in handlers:
                if handler.name in finished:
                    continue
                failure = await self._call(handler, message)
                if failure is None:
                    finished.add(handler.name)
                else:
                    kinds.append(failure)
                    failures.append(f"{failure} in {handler.name}")
        except asyncio.CancelledError:
            kinds.append("CancelledError")
            raise
        finally:
            if self._observed is not None:
                self._observed.tell("message_ended", message, tuple(kinds))
        return failures

    async def _call(self, handler: Registered, message: Message) -> str | None:
        """Call one handler; return the class name of its error, if it fails."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            with time_limit(self._clock, self._settings.handler_timeout):
                await handler(message)
        except asyncio.CancelledError:
            if task.cancelling() > before:
                raise  # we ourselves are cancelled
            return "CancelledError"
        except Exception as error:
            # The text of an error may quote the message, so it is not kept.
            log.warning(
                "callback %s: %s in %s, attempt %d of %d",
                message.id[:12],
                type(error).__name__,
                handler.name,
                message.attempt,
                self._settings.retry.attempts,
            )
            log.debug("callback %s: traceback", message.id[:12], exc_info=error)
            return type(error).__name__
        return None

    async def _finish(
        self,
        record: Record,
        state: MessageState,
        finished: set[str],
        note: str | None,
        delay: float = 0.0,
        *,
        unhandled: bool = False,
    ) -> None:
        """Record the result of an attempt as soon as the file can be written."""
        while True:
            now = self._clock.wall()
            try:
                await self._writer.run(
                    lambda store, now=now: store.finish(  # type: ignore[misc]  # a default has no type
                        record.seq,
                        state,
                        now,
                        due=now + delay,
                        finished=finished,
                        note=note,
                        unhandled=unhandled,
                    )
                )
                return
            except Exception as error:
                log.error(
                    "callback %s: cannot be recorded as %s (%s)", record.id[:12], state, type(error).__name__
                )
            await Alarm(self._clock).wait(POLL)


def message_of(record: Record) -> Message:
    """Convert a stored message for handlers; raises CallbackRefusedError if it cannot be read."""
    return attrs.evolve(
        read(record.body),
        id=record.id,
        access_key=record.access_key,
        received=datetime.fromtimestamp(record.received, UTC),
        attempt=record.attempts,
        order=record.order,
    )
