"""What a client tells whoever watches it: a call started, an attempt of it ended, it ended.

A plain function hears of attempts. An object hears of what it has methods for; besides those of calls these
are `message_started(message)` and `message_ended(message, failures)` of a receiver of callbacks, and
`reconciled(summary)` of a reconciliation. The errors of an observer are logged once and change nothing about
the call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol, Self

import attrs

from pandapon_async.errors import Attempt, ConfigurationError
from pandapon_async.plain_text import LOGGER

__all__ = [
    "AttemptObserver", "CallEnded", "CallStarted", "EndObserver", "Observed", "Observer", "StartObserver",
]  # fmt: skip

log: Final = logging.getLogger(LOGGER)


@attrs.define(eq=False)
class CallStarted:
    """A call, from its start to its end: the same object comes with each of its events."""

    name: str
    """Such as "alibaba.refunds.get"; "METHOD /path" of what is not declared."""
    method: str
    """The HTTP method."""
    path: str
    """The path as it is declared, without any id; of what is not declared, as it was given."""
    declared: bool
    """Whether it is a call of this package; else name and path are the caller's, and may hold ids."""
    safety: str
    """The safety class: "read", "repeatable", "checked", "once", "never_automatic"."""
    server_address: str
    """The host of `base_url`."""
    server_port: int
    """Its port."""
    context: Any = None
    """Yours: what an observer wants to find again at the next event of this call."""


@attrs.define(frozen=True)
class CallEnded:
    """How a call ended, with all its attempts and waits."""

    outcome: str
    """"ok"; else "not_sent", "answered" or "unknown": whether the server may have carried it out."""
    reason: str | None
    """The name of the error's class, if any."""
    seconds: float
    """From its start to its end."""
    waited: float
    """Seconds of that in back-off, in the limiter and for a slot."""
    attempts: int
    """How many requests were tried."""
    intent_id: str | None
    """The write in the journal; None for a read."""
    request_id: str | None
    """The vendor's id of the request, if it told one."""


class StartObserver(Protocol):
    """Hears of every call as it starts."""

    def started(self, call: CallStarted, /) -> object:
        """A call starts: nothing was waited for or sent."""
        ...


class AttemptObserver(Protocol):
    """Hears of every attempt as it ends."""

    def attempt(self, call: CallStarted, attempt: Attempt, /) -> object:
        """An attempt ended."""
        ...


class EndObserver(Protocol):
    """Hears of every call as it ends."""

    def ended(self, call: CallStarted, end: CallEnded, /) -> object:
        """A call ended; comes exactly once after `started`, also when the call was cancelled."""
        ...


Observer = Callable[[str, Attempt], object] | StartObserver | AttemptObserver | EndObserver
"""A function of a call's name and an `Attempt`, or an object with any of `started`, `attempt` and `ended`.
It is called in the event loop, so it must not block."""

_CALLS = ("started", "attempt", "ended")
_JOBS = ("message_started", "message_ended", "reconciled")


class Observed:
    """An observer, behind what keeps its errors away from calls."""

    __slots__ = ("_failed", "_hears", "observer")

    def __init__(self, observer: Any) -> None:
        self.observer: Any = observer
        self._failed: set[str] = set()
        self._hears = {
            name: heard for name in (*_CALLS, *_JOBS) if callable(heard := getattr(observer, name, None))
        }
        if not self._hears:
            if not callable(observer):
                raise ConfigurationError(
                    f"observer must be a function or have a method {', '.join(_CALLS[:2])} or {_CALLS[2]}; "
                    f"{type(observer).__name__} has none of them"
                )
            self._hears["attempt"] = lambda call, attempt: observer(call.name, attempt)

    @classmethod
    def of(cls, observer: Any, earlier: Self | None = None) -> Self | None:
        """The observer of some settings; `earlier` if it is the same one, which knows what was logged."""
        if observer is None:
            return None
        return earlier if earlier is not None and earlier.observer is observer else cls(observer)

    def tell(self, event: str, *facts: Any) -> None:
        """Call one method of the observer; an error of it is logged the first time."""
        heard = self._hears.get(event)
        if heard is None:
            return
        try:
            heard(*facts)
        except Exception:
            if event not in self._failed:
                self._failed.add(event)
                log.exception("the observer failed at `%s`; this is logged once, the call goes on", event)
