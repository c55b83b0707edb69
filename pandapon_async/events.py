"""The events of a client: a call started, an attempt ended, the call ended.

An observer that is a function gets attempts. An observer that is an object gets the events that it has
methods for. Other parts of the package have events too: `reconciled(summary)` of a reconciliation, and
`message_started(message)` and `message_ended(message, failures)` of a callback receiver. The first error of
an observer is logged; its errors never affect the call.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol, Self

import attrs

from pandapon_async.errors import Attempt, ConfigurationError
from pandapon_async.plain_text import LOGGER

__all__ = [
    "CALLS", "MESSAGES", "AttemptObserver", "CallEnded", "CallStarted", "EndObserver", "Observed", "Observer",
    "StartObserver",
]  # fmt: skip

log: Final = logging.getLogger(LOGGER)


@attrs.define(eq=False)
class CallStarted:
    """A call, from its start to its end: each of its events has the same object."""

    name: str
    """The name, such as "alibaba.refunds.get"; "METHOD /path" for an undeclared call."""
    method: str
    """The HTTP method."""
    path: str
    """The declared path, without any id; for an undeclared call, the path that was passed."""
    declared: bool
    """Whether the call is declared; if not, name and path are the caller's and may contain ids."""
    safety: str
    """The safety class: "read", "repeatable", "checked", "once", "never_automatic"."""
    server_address: str
    """The host of `base_url`."""
    server_port: int
    """Its port."""
    context: Any = None
    """Free for observers: data to keep until the next event of this call."""


@attrs.define(frozen=True)
class CallEnded:
    """The end of a call, with all its attempts and waits."""

    outcome: str
    """"ok" for success; else "not_sent", "answered" or "unknown", the outcome of the failure."""
    reason: str | None
    """The name of the error's class, if any."""
    seconds: float
    """Seconds from its start to its end."""
    waited: float
    """Seconds of that spent in back-off, in the limiter and waiting for a slot."""
    attempts: int
    """How many requests the call made."""
    intent_id: str | None
    """The id of the write's intent in the journal; None for a read."""
    request_id: str | None
    """The vendor's id of the request, if the answer had one."""


class StartObserver(Protocol):
    """An observer of every call's start."""

    def started(self, call: CallStarted, /) -> object:
        """Called when a call starts, before any wait or request."""
        ...


class AttemptObserver(Protocol):
    """An observer of every attempt's end."""

    def attempt(self, call: CallStarted, attempt: Attempt, /) -> object:
        """Called when an attempt has ended."""
        ...


class EndObserver(Protocol):
    """An observer of every call's end."""

    def ended(self, call: CallStarted, end: CallEnded, /) -> object:
        """Called when a call has ended, exactly once after `started`, even if the call was cancelled."""
        ...


Observer = Callable[[str, Attempt], object] | StartObserver | AttemptObserver | EndObserver
"""A function that takes a call's name and an `Attempt`, or an object with any of `started`, `attempt` and
`ended`. It runs in the event loop, so it must not block.
"""

CALLS: Final = ("started", "attempt", "ended", "reconciled")
"""What an observer of `Settings` may hear."""
MESSAGES: Final = ("message_started", "message_ended")
"""What an observer of a callback receiver may hear."""


class Observed:
    """A wrapper of an observer that keeps its errors away from calls."""

    __slots__ = ("_failed", "_hears", "observer")

    def __init__(self, observer: Any, events: tuple[str, ...] = CALLS) -> None:
        self.observer: Any = observer
        self._failed: set[str] = set()
        self._hears = _heard_by(observer, events)

    @classmethod
    def of(
        cls, observer: Any, earlier: Self | None = None, *, events: tuple[str, ...] = CALLS
    ) -> Self | None:
        """Wrap the observer of the settings; return `earlier` for the same one, to log an error once.

        Raises:
            ConfigurationError: The observer cannot hear any of these events.
        """
        if observer is None:
            return None
        return earlier if earlier is not None and earlier.observer is observer else cls(observer, events)

    def tell(self, event: str, *facts: Any) -> None:
        """Call one method of the observer; its first error is logged."""
        heard = self._hears.get(event)
        if heard is None:
            return
        ours = sys.exception()
        try:
            heard(*facts)
        except (Exception, asyncio.CancelledError) as error:  # a cancellation never comes from outside here
            if event not in self._failed:
                self._failed.add(event)
                _forget_context(error, ours)
                log.exception(
                    "the observer failed in `%s`; this is logged once, and the call continues", event
                )


def _heard_by(observer: Any, events: tuple[str, ...]) -> dict[str, Callable[..., object]]:
    """The functions to call, by event. Raises ConfigurationError for an observer that would hear nothing."""
    if isinstance(observer, type):
        raise ConfigurationError(
            f"observer must be an object: {observer.__name__}(), not {observer.__name__}"
        )
    hears: dict[str, Callable[..., object]] = {
        name: heard for name in events if callable(heard := getattr(observer, name, None))
    }
    if not hears and "attempt" in events and callable(observer):
        hears["attempt"] = (
            observer if _is_async(observer) else lambda call, attempt: observer(call.name, attempt)
        )
    if not hears:
        *first, last = events[:3]
        function = "be a function or " if "attempt" in events else ""
        raise ConfigurationError(
            f"observer must {function}have a method {', '.join(first)} or {last}; "
            f"{type(observer).__name__} has none of them"
        )
    if wrong := [name for name, heard in hears.items() if _is_async(heard)]:
        raise ConfigurationError(
            f"observer must not be async: {', '.join(wrong)}; start a task in it, or put the facts in a queue"
        )
    return hears


def _is_async(function: Any) -> bool:
    return any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None))))  # noqa: B004


def _forget_context(error: BaseException, ours: BaseException | None) -> None:
    """Cut off what was handled when the observer was called: its text may name an undeclared path."""
    while error.__context__ is not None:
        if error.__context__ is ours:
            error.__context__ = None
            return
        error = error.__context__
