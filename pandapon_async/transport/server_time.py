"""The time that signatures carry: this machine's, until the server has shown that it is wrong.

Nothing is measured while all goes well. A refusal for authentication is looked at: if the timestamp that was
refused is far from the Date of the answer, later attempts are signed with the server's time. Everything else
(waits, deadlines, the rate) runs on a clock that nobody sets, and is not touched.
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

REST = 60.0  # seconds between two corrections: servers that contradict each other do not make it swing


class ServerTime:
    """The wall clock of one client and its copies; `correction` is what is added to this machine's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = -math.inf
        self.wall: Callable[[], float] = clock.wall
        self.correction: float = 0.0
        self._heard: tuple[Mapping[str, str], float] | None = None

    def heard(self, headers: Mapping[str, str]) -> None:
        """Remember what an answer says of the time; it is read only when somebody asks."""
        self._heard = headers, self._clock.now()

    def told(self) -> float | None:
        """The server's time now, in seconds since 1970, by its last answer; None if it told none."""
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
        """Say in the error if a clock explains it; True if an attempt signed anew stands a chance.

        `signed` is the timestamp the refused request carried (seconds since 1970), `sent` when it went out
        (in `Clock.now` seconds). Nothing is corrected unless `correct`.
        """
        date = date_of(headers)
        if date is None:
            return False
        took = self._clock.now() - sent
        now = self._clock.wall()
        if not measure(date, signed, signed + took).matters:
            return False  # the time it was signed with was right
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
            return True  # another call was refused for the same reason, and saw to it
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
