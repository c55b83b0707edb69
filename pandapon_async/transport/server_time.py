"""The time in signatures: this machine's, until the server has shown that it is wrong.

Nothing is measured while calls succeed. After an authentication error, if the refused timestamp is far from
the Date of the answer, later attempts are signed with the server's time. Everything else (waits, deadlines,
the rate) uses a clock that nobody can set and is not affected.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Final

from pandapon_async.clock import Clock
from pandapon_async.core.clock_skew import Skew, date_of, measure
from pandapon_async.errors import AuthenticationError

__all__ = ["ServerTime"]

log: Final = logging.getLogger("pandapon_async")

REST = 60.0  # seconds between two corrections, so servers that contradict each other do not make it oscillate


class ServerTime:
    """The wall clock of one client and its copies; `correction` is added to this machine's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = -math.inf
        self.wall: Callable[[], float] = clock.wall
        self.correction: float = 0.0
        self._heard: tuple[Mapping[str, str], float] | None = None

    def heard(self, headers: Mapping[str, str]) -> None:
        """Remember the time information of an answer; it is parsed only on demand."""
        self._heard = headers, self._clock.now()

    def told(self) -> float | None:
        """The server's time now, in seconds since 1970, from its last answer; None if that had none."""
        if self._heard is None:
            return None
        headers, at = self._heard
        date = date_of(headers)
        return None if date is None else date + self._clock.now() - at

    def explain(
        self,
        error: AuthenticationError,
        headers: Mapping[str, str],
        signed: float,
        sent: float,
        *,
        correct: bool,
    ) -> bool:
        """Add the clock's part to the error; return whether a newly signed attempt may succeed.

        `signed` is the timestamp of the refused request (seconds since 1970), `sent` the time it was sent (in
        `Clock.now` seconds). Nothing is corrected unless `correct`.
        """
        date = date_of(headers)
        if date is None:
            return False
        took = self._clock.now() - sent
        now = self._clock.wall()
        if not measure(date, signed, signed + took).matters:
            return False  # the signed time was right
        machine = measure(date, now - took, now)
        error.clock_skew = machine.seconds
        right = correct and machine.believable and self._correct(machine)
        if machine.matters:
            then = "later calls are signed with the server's time" if right else "set it (NTP)"
            _add(error, f"this machine's clock is {machine}; {then}")
        else:
            _add(error, "this machine's clock was set meanwhile")
        return right

    def _correct(self, machine: Skew) -> bool:
        """Whether timestamps are right from now on."""
        wanted = machine.seconds if machine.matters else 0.0
        if not Skew(wanted - self.correction, machine.doubt).matters:
            return True  # another call with the same refusal corrected it already
        now = self._clock.now()
        if now - self._changed < REST:
            return False
        self._changed = now
        self.correction = wanted
        clock = self._clock
        self.wall = (lambda: clock.wall() + wanted) if wanted else clock.wall
        if wanted:
            log.warning(
                "this machine's clock is %s: calls are signed with the server's time. Set the clock (NTP)",
                machine,
            )
        else:
            log.warning("this machine's clock is right again: calls are signed with its time")
        return True


def _add(error: AuthenticationError, text: str) -> None:
    error.args = (f"{error.args[0]}; {text}",)
