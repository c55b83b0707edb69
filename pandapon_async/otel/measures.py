"""The instruments of one meter provider, and what is read at each collection.

A provider has each instrument once: a second one of the same name is dropped, so all observers share them. A
collection runs in a thread of the SDK. It reads only numbers in memory, and asks the journal and the store of
callbacks to count for the next one.

Clients and receivers come and go, and several may have the same attributes. So values of the same attributes
are added up, a limiter or a file that is shared counts once, and what is gone stays in the counters, which
must never fall.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

import attrs
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from pandapon_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pandapon_async.callbacks.statistics import Statistics
    from pandapon_async.callbacks.store import Backlog

__all__ = ["Measures"]

SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
)  # fmt: skip
IN_MEMORY: Final = ":memory:"
OPEN_STATES: Final = ("intended", "sent", "unknown")
BACKLOG_STATES: Final = ("pending", "handling", "dead")

Attributes = tuple[tuple[str, str], ...]
Point = tuple[str, Attributes]
"""The name of an instrument, and attributes."""


@runtime_checkable
class _Client(Protocol):
    closed: bool
    limiter: Any
    journal: Any


@runtime_checkable
class _Receiver(Protocol):
    path: str
    statistics: Any

    def count_open_soon(self, told: Callable[[Backlog | None], object]) -> None: ...


@attrs.define(eq=False)
class _Watched:
    """What is watched of a client or a receiver, which is not kept alive."""

    owner: weakref.ref[Any]
    attributes: Attributes
    place: str
    """Where its journal or store is."""
    source: Any
    """What its counters are read from: a limiter, or the statistics of a receiver."""
    seen: dict[Point, float]
    """The counters when they were last added up; one for all clients that share the limiter."""
    counted: Any = None
    """What was counted last in its journal or store; None: nothing yet, or it is closed."""

    def told(self, counted: Any) -> None:
        self.counted = counted


class Measures:
    """The instruments, and the clients and receivers that are read; see `of`."""

    _of_provider: ClassVar[weakref.WeakKeyDictionary[Any, Measures]] = weakref.WeakKeyDictionary()
    _global: ClassVar[Measures | None] = None
    _making: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def of(cls, provider: metrics.MeterProvider | None, scope: tuple[str, str, str]) -> Measures:
        """Return those of a meter provider; None: the global one, also if the program sets it later."""
        with cls._making:
            if provider is None or provider is metrics.get_meter_provider():
                if cls._global is None:
                    cls._global = cls(None, scope)
                return cls._global
            if provider not in cls._of_provider:
                cls._of_provider[provider] = cls(provider, scope)
            return cls._of_provider[provider]

    def __init__(self, provider: metrics.MeterProvider | None, scope: tuple[str, str, str]) -> None:
        name, version, schema = scope
        meter = metrics.get_meter(name, version, provider, schema)
        self._lock = threading.Lock()
        self._clients: list[_Watched] = []
        self._receivers: list[_Watched] = []
        self._totals: dict[Point, float] = {}
        self._seen: weakref.WeakKeyDictionary[Any, dict[Point, float]] = weakref.WeakKeyDictionary()

        def seconds(name: str, description: str) -> metrics.Histogram:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=list(SECONDS)
            )

        self.calls: metrics.Histogram = seconds(
            "pandapon.client.call.duration", "Calls with all their waits and attempts"
        )
        self.waits: metrics.Histogram = seconds(
            "pandapon.client.wait.duration", "What calls waited for slots, permits, back-off"
        )
        self.requests: metrics.Histogram = seconds("http.client.request.duration", "Single attempts")
        self.unknown: metrics.Counter = meter.create_counter(
            "pandapon.client.outcome_unknown", "{write}", "Writes with an unknown outcome"
        )
        self.rows: metrics.Counter = meter.create_counter(
            "pandapon.reconcile.rows", "{row}", "Rows of ledgers by verdict"
        )
        for name, unit, description, read in (
            ("quota.limit", "{call}/s", "Calls a second that are allowed now", self._limits),
            ("quota.waiting", "{call}", "Calls that wait for a permit", self._waiting),
            ("journal.intents", "{intent}", "Open writes of the journal by state", self._intents),
            ("callbacks.pending", "{message}", "Callbacks that are not done with by state", self._pending),
            ("callbacks.oldest", "s", "Age of the oldest callback that waits or is handled", self._oldest),
        ):
            meter.create_observable_gauge(f"pandapon.{name}", [self._gauge(read)], unit, description)
        for name, unit, description in (
            ("quota.permits", "{permit}", "Permits given"),
            ("quota.paused", "s", "Time for which throttles held all calls"),
            ("callbacks.received", "{message}", "Callbacks that came, by result"),
            ("callbacks.handled", "{message}", "Attempts to handle callbacks, by result"),
        ):
            meter.create_observable_counter(f"pandapon.{name}", [self._counter(name)], unit, description)

    def watch(self, watched: object, name: str | None) -> None:
        """Read a client or a receiver at each collection, until it is closed or gone."""
        attributes = () if name is None else (("pandapon.name", name),)
        with self._lock:
            self._add_up()
            if isinstance(watched, _Client):
                place, limiter = watched.journal.path, watched.limiter
                one = _Watched(weakref.ref(watched), attributes, place, limiter, self._seen_of(limiter))
                self._clients.append(one)
            elif isinstance(watched, _Receiver):
                place, source = watched.path, watched.statistics
                one = _Watched(weakref.ref(watched), attributes, place, source, self._seen_of(watched))
                self._receivers.append(one)
            else:
                raise ConfigurationError(
                    f"watch() takes a Client or a callback Receiver, not {type(watched).__name__}"
                )

    def _seen_of(self, source: object) -> dict[Point, float]:
        return self._seen.setdefault(source, {})

    def _add_up(self) -> None:
        """Add what the counters gained to the totals, and forget who is gone or closed."""
        for watched in self._clients:
            self._gain(watched, _counters_of_limiter(watched.source))
        for watched in self._receivers:
            self._gain(watched, _counters_of_receiver(watched.source))
        self._clients = [one for one in self._clients if not getattr(one.owner(), "closed", True)]
        self._receivers = [one for one in self._receivers if one.owner() is not None]

    def _gain(self, watched: _Watched, counters: Iterable[tuple[Point, float]]) -> None:
        for (name, more), value in counters:
            point = name, watched.attributes + more
            gained = value - watched.seen.get(point, 0)
            self._totals[point] = self._totals.get(point, 0) + gained
            watched.seen[point] = value

    def _counter(self, name: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def read(_: CallbackOptions) -> Iterator[Observation]:
            with self._lock:
                self._add_up()
                points = list(self._totals.items())
            for (instrument, attributes), value in points:
                if instrument == name:
                    yield Observation(value, dict(attributes))

        return read

    def _gauge(
        self, read: Callable[[], Iterable[tuple[Attributes, float]]]
    ) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def summed(_: CallbackOptions) -> Iterator[Observation]:
            with self._lock:
                self._add_up()
                points: dict[Attributes, float] = {}
                for attributes, value in read():
                    points[attributes] = points.get(attributes, 0) + value
            for attributes, value in points.items():
                yield Observation(value, dict(attributes))

        return summed

    def _limits(self) -> Iterator[tuple[Attributes, float]]:
        for watched in _once(self._clients, lambda one: id(one.source)):
            if (rate := watched.source.rate) is not None:
                yield watched.attributes, rate

    def _waiting(self) -> Iterator[tuple[Attributes, float]]:
        for watched in _once(self._clients, lambda one: id(one.source)):
            yield watched.attributes, watched.source.waiting

    def _intents(self) -> Iterator[tuple[Attributes, float]]:
        """What was counted last: no file is read in the thread that collects."""
        for watched in _counted(self._clients):
            for state in OPEN_STATES:
                yield (*watched.attributes, ("pandapon.state", state)), watched.counted.get(state, 0)
        for watched in self._clients:
            if (client := watched.owner()) is not None:
                client.journal.count_open_soon(watched.told)

    def _pending(self) -> Iterator[tuple[Attributes, float]]:
        for watched in _counted(self._receivers):
            for state in BACKLOG_STATES:
                count = getattr(watched.counted, state)
                yield (*watched.attributes, ("pandapon.state", state)), count
        for watched in self._receivers:
            if (receiver := watched.owner()) is not None:
                receiver.count_open_soon(watched.told)

    def _oldest(self) -> Iterator[tuple[Attributes, float]]:
        oldest: dict[Attributes, float] = {}
        for watched in _counted(self._receivers):
            came = watched.counted.oldest
            age = 0.0 if came is None else max(0.0, time.time() - came)
            oldest[watched.attributes] = max(oldest.get(watched.attributes, 0.0), age)
        yield from oldest.items()


def _counters_of_limiter(limiter: Any) -> Iterator[tuple[Point, float]]:
    yield ("quota.permits", ()), limiter.permits
    yield ("quota.paused", ()), limiter.paused_seconds


def _counters_of_receiver(statistics: Statistics) -> Iterator[tuple[Point, float]]:
    def result(name: str, value: str, count: int) -> tuple[Point, float]:
        return (f"callbacks.{name}", (("pandapon.result", value),)), count

    yield result("received", "stored", statistics.stored)
    yield result("received", "duplicate", statistics.duplicates)
    yield result("received", "refused", sum(statistics.refused.values()))
    yield result("received", "unavailable", statistics.unavailable)
    yield result("handled", "done", statistics.handled - statistics.unhandled)
    yield result("handled", "no_handler", statistics.unhandled)
    yield result("handled", "failed", statistics.failed)
    yield result("handled", "dead", statistics.dead)


def _once(every: Iterable[_Watched], key: Callable[[_Watched], object]) -> Iterator[_Watched]:
    """Of those with the same attributes and the same key, the first."""
    found: dict[Any, _Watched] = {}
    for watched in every:
        found.setdefault((watched.attributes, key(watched)), watched)
    yield from found.values()


def _counted(every: Iterable[_Watched]) -> Iterator[_Watched]:
    """Those whose journal or store was counted; one for each file, as several may have the same open."""
    counted = (one for one in every if one.counted is not None)
    yield from _once(counted, lambda one: id(one) if one.place == IN_MEMORY else one.place)
