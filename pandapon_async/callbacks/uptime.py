"""Record when a store was receiving: only then does a missing push mean that nothing was pushed.

A reconciliation may skip a lookup because nothing was pushed about the refund since the last one. That is
true only while a receiver was running. So a receiver records intervals: it begins one when it starts and
extends it every half a minute. A killed receiver leaves an interval that ends at its last extension, and a
machine that slept begins a new one. Several receivers of one store each record their own; a time counts if
one of them was running.

Four more things break the silence: a push that was refused or could not be stored, as the vendor gives up
after some retries; messages that were deleted for their age; messages that do not say which refund they are
about; and a clock that was set back, as times from before and after do not compare. What this cannot see is a
proxy in front that lets nothing through: so a platform of which no message has come at all does not count as
silent.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any, Final

from pandapon_async.clock import Clock
from pandapon_async.plain_text import LOGGER

if TYPE_CHECKING:
    from pandapon_async.storage.batch_writer import BatchWriter

__all__ = ["HEARTBEAT", "LATE", "SCHEMA", "Uptime", "extend", "mark"]

HEARTBEAT: Final = 30.0
"""Seconds between two extensions of an interval."""
LATE: Final = 3 * HEARTBEAT
"""Seconds after which an extension comes too late: the process did not run meanwhile."""
KEPT: Final = 60 * 86_400.0
"""Seconds for which intervals are kept."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS receiving (id TEXT PRIMARY KEY, since REAL NOT NULL, until REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, moment REAL NOT NULL) STRICT;
"""
"""`receiving` has the intervals, `marks` the last moments at which something was "refused" or "forgotten", or
that the "clock" showed before it was set back."""

log: Final = logging.getLogger(LOGGER)


def extend(connection: Any, interval: str, now: float) -> float | None:
    """Extend an interval up to now, or begin it.

    Returns: None; but if the clock was set back, the latest time that it had shown. Times from before and
    after do not compare, so silence counts only from that time.
    """
    (latest,) = connection.execute("SELECT max(until) FROM receiving").fetchone()
    known = "UPDATE receiving SET until = ? WHERE id = ? AND until <= ?"
    if connection.execute(known, (now, interval, now)).rowcount == 0:
        begin = "INSERT INTO receiving (id, since, until) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
        connection.execute(begin, (interval, now, now))
        connection.execute("DELETE FROM receiving WHERE until < ?", (now - KEPT,))
    return None if latest is None or latest <= now + HEARTBEAT else float(latest)


def mark(connection: Any, name: str, moment: float) -> None:
    """Note that something breaks the silence up to this moment."""
    connection.execute(
        "INSERT INTO marks (name, moment) VALUES (?, ?) ON CONFLICT (name) DO UPDATE"
        " SET moment = excluded.moment WHERE excluded.moment > marks.moment",
        (name, moment),
    )


class Uptime:
    """Keeps the intervals of one receiver, from `start` to `aclose`."""

    def __init__(self, writer: BatchWriter[Any], clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._interval = ""
        self._last = 0.0
        self._refused = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin an interval."""
        self._interval, now = uuid.uuid4().hex, self._clock.wall()
        await self._writer.run(lambda store: store.extend_receiving(self._interval, now), durable=True)
        self._last = self._clock.now()
        self._wait()

    def _wait(self) -> None:
        self._timer = self._clock.call_later(HEARTBEAT, self._beat)

    def _beat(self) -> None:
        self._wait()
        self._extend()

    def _extend(self) -> asyncio.Future[Any] | None:
        if not self._writer.is_open:
            return None
        now = self._clock.now()
        if now - self._last > LATE:
            self._interval = uuid.uuid4().hex
        interval, wall = self._interval, self._clock.wall()
        kept = self._writer.submit(lambda store: store.extend_receiving(interval, wall))
        kept.add_done_callback(self._ended)
        self._last = now
        return kept

    def _ended(self, kept: asyncio.Future[Any]) -> None:
        if not kept.cancelled() and kept.exception() is not None:
            self._interval = uuid.uuid4().hex  # what came meanwhile may not have been stored either
            log.debug("callbacks: the record of receiving could not be extended", exc_info=kept.exception())

    def refused(self) -> None:
        """A push was not taken: silence does not count before now."""
        now = self._clock.wall()
        if now < self._refused or not self._writer.is_open:
            return
        self._refused = now + 1.0  # for a flood of them one change per second is enough
        self._writer.submit(lambda store: store.mark_refused(now + 1.0))

    async def aclose(self) -> None:
        """End the interval."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            kept = self._extend()
            if kept is not None:
                await asyncio.wait([kept])
