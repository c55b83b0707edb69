"""The book of one quota in the shared database, where processes book slots in advance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from pandapon_async.clock import Clock
from pandapon_async.shared.database import Connection, Database
from pandapon_async.shared.schema import PAUSES

__all__ = ["Booking", "QuotaBook", "SlotBook"]

BOOK_SECONDS = 1.0
"""Seconds that a booking may take."""
FIRST_ANSWERS = 4
"""How many times the database's clock is read before the first booking."""


@attrs.frozen
class Booking:
    """The result of a booking. Times are those of this process's `Clock.now`."""

    first: float
    """The time of the first slot; without a booking, of the first free one."""
    count: int
    """The number of booked slots."""
    gap: float
    """Seconds between two of them."""
    paused_until: float
    """The end of a pause: nothing may be sent before."""


class SlotBook(Protocol):
    """The interface of a book for `SharedLimiter`."""

    def on_pause(self, heard: Callable[[float], None]) -> None:
        """Call `heard` with the end of each announced pause; call this before the first use."""

    async def book(
        self, wanted: int, *, gap: float, span: float, ahead: float, returning: bool = False
    ) -> Booking:
        """Book slots; see `QuotaBook.book`."""
        ...

    async def pause(self, seconds: float, *, gap: float, span: float) -> None:
        """Block bookings of all processes for this many seconds."""

    async def aclose(self) -> None:
        """Release the book."""


class QuotaBook:
    """The book of the quota with this name."""

    def __init__(self, database: Database, name: str, clock: Clock) -> None:
        self._database = database
        self._name = name
        self._clock = clock
        self._offset: float | None = None
        """Our monotonic seconds minus the database's seconds since 1970."""
        self._answers = 0
        self._heard: Callable[[float], None] | None = None
        database.listen(PAUSES, self._hear)

    def on_pause(self, heard: Callable[[float], None]) -> None:
        """Call `heard` with the end of each announced pause; call this before the first use."""
        self._heard = heard

    async def book(
        self, wanted: int, *, gap: float, span: float, ahead: float, returning: bool = False
    ) -> Booking:
        """Book slots.

        Args:
            wanted: How many, at most.
            gap: Seconds between two, as this process is configured; a longer one of somebody else holds.
            span: The length of the window that may hold as many slots as the rate says, in seconds.
            ahead: How far from now the last one may be, in seconds.
            returning: Whether this process sent without the book in the last window.

        Raises:
            DatabaseUnavailableError: The database is away; slots that it booked all the same are lost.
            ConfigurationError: The database cannot be used.
        """
        sent = 0.0

        async def ask(connection: Connection) -> Any:
            nonlocal sent
            while self._answers < FIRST_ANSWERS:  # the first one is slow, because it is prepared
                self._answers += 1
                sent = self._clock.now()
                moment = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
                self._learn(moment, sent, self._clock.now())
            sent = self._clock.now()
            return await connection.fetchrow(
                "SELECT * FROM pandapon.book_slots($1, $2, $3, $4, $5, $6)",
                self._name, wanted, gap, span, ahead, returning,
            )  # fmt: skip

        moment, first, count, shared_gap, paused_until = await self._database.run(ask, seconds=BOOK_SECONDS)
        offset = self._learn(moment, sent, self._clock.now())
        return Booking(first + offset, count, shared_gap, paused_until + offset)

    async def pause(self, seconds: float, *, gap: float, span: float) -> None:
        """Block bookings of all processes for this many seconds, and notify them."""
        await self._database.run(
            lambda connection: connection.execute(
                "SELECT pandapon.pause_quota($1, $2, $3, $4)", self._name, seconds, gap, span
            ),
            seconds=BOOK_SECONDS,
        )

    async def aclose(self) -> None:
        """Release the connection."""
        await self._database.aclose()

    def _learn(self, moment: float, sent: float, received: float) -> float:
        """Update the offset between the clocks from an answer made between `sent` and `received`.

        The fastest answer so far gives the best upper bound. But the offset must also satisfy this answer, or
        a database whose clock was set back would seem to return slots in the distant past.
        """
        latest, earliest = received - moment, sent - moment
        before = latest if self._offset is None else self._offset
        self._offset = max(earliest, min(latest, before))
        return self._offset

    def _hear(self, payload: str) -> None:
        name, _, until = payload.rpartition(" ")
        if name == self._name and self._offset is not None and self._heard is not None:
            self._heard(float(until) + self._offset)
