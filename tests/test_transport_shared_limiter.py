"""A limiter whose slots come from a shared book: who gets them, when, and what if the book is away."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

import pytest

from pandapon_async import ConfigurationError, DeadlineExceededError, NotSentError, Priority, priority
from pandapon_async.core.rate import spacing
from pandapon_async.shared.database import DatabaseUnavailableError
from pandapon_async.shared.quota import Booking
from pandapon_async.transport.shared_limiter import ON_THE_WIRE, SharedLimiter
from tests.support.network import most_in_a_second
from tests.support.virtual import LoopClock, virtual_time

SPAN, _, GAP = spacing(20.0)


def now() -> float:
    return asyncio.get_running_loop().time()


class Book:
    """A book in this process, which several limiters may share; each question takes a millisecond."""

    def __init__(self) -> None:
        self.next_slot = -math.inf
        self.paused_until = -math.inf
        self.gap = 0.0
        self.failure: Exception | None = None
        self.returned = 0
        self.pauses: list[float] = []
        self.asked: list[float] = []
        self.closed = 0
        self._heard: list[Callable[[float], None]] = []

    def on_pause(self, heard: Callable[[float], None]) -> None:
        self._heard.append(heard)

    async def book(
        self, wanted: int, *, gap: float, span: float, ahead: float, returning: bool = False
    ) -> Booking:
        self.asked.append(now())
        await asyncio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        self.returned += returning
        gap = max(gap, self.gap)
        first = max(self.next_slot, now(), self.paused_until, now() + span if returning else 0)
        count = max(0, min(wanted, math.floor((now() + ahead - first) / gap + 1e-6) + 1))
        self.next_slot = first + count * gap
        return Booking(first, count, gap, self.paused_until)

    async def pause(self, seconds: float, *, gap: float, span: float) -> None:
        if self.failure is not None:
            raise self.failure
        self.pauses.append(seconds)
        self.paused_until = max(self.paused_until, now() + seconds)
        for heard in self._heard:
            heard(self.paused_until)

    async def aclose(self) -> None:
        self.closed += 1


AWAY = DatabaseUnavailableError(
    "the shared database postgresql://db/x is unreachable: nothing listens at that address"
)


def limiter(book: Book, rate: float = 20.0, fallback: float | None = None) -> SharedLimiter:
    return SharedLimiter(book, rate, LoopClock(), fallback=fallback)


async def take(
    one: SharedLimiter, times: list[float], count: int = 1, level: Priority = Priority.BULK
) -> None:
    with priority(level):
        for _ in range(count):
            await one.acquire()
            times.append(now())


@virtual_time
async def test_many_callers_of_many_processes_get_the_rate_and_no_more() -> None:
    book, times = Book(), list[float]()
    limiters = [limiter(book) for _ in range(3)]
    await asyncio.gather(*(take(one, times, 10) for one in limiters for _ in range(5)))
    assert most_in_a_second(sorted(times)) <= 20
    assert len(times) / (times[-1] - times[0]) > 0.96 * 20
    assert sum(one.permits for one in limiters) == sum(one.booked for one in limiters) == 150
    for one in limiters:
        await one.aclose()
    assert book.closed == 3


@virtual_time
async def test_one_question_books_for_all_who_wait() -> None:
    book, times = Book(), list[float]()
    one = limiter(book, 200.0)
    await asyncio.gather(*(take(one, times, level=Priority.INTERACTIVE) for _ in range(15)))
    assert one.questions <= 3
    await one.aclose()


@virtual_time
async def test_a_person_goes_before_the_bulk_work_of_another_process() -> None:
    book, bulk_times, times = Book(), list[float](), list[float]()
    bulk, person = limiter(book), limiter(book)
    working = [asyncio.ensure_future(take(bulk, bulk_times, 50)) for _ in range(8)]
    await asyncio.sleep(3)
    for _ in range(10):
        begun = now()
        await take(person, times, level=Priority.INTERACTIVE)
        assert now() - begun < 3 * GAP
        await asyncio.sleep(0.3)
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    for one in (bulk, person):
        await one.aclose()


@virtual_time
async def test_a_person_does_not_wait_until_bulk_work_of_its_own_process_asks_again() -> None:
    book, times = Book(), list[float]()
    one = limiter(book, 1.0)
    working = asyncio.ensure_future(take(one, times, 5))
    await asyncio.sleep(0.5)  # it waits until its slot may be booked, half a second from now
    with priority(Priority.INTERACTIVE):
        waiting = asyncio.ensure_future(one.acquire())
    await asyncio.sleep(0.002)
    assert book.asked[-1] > now() - 0.003, "asked at once"
    working.cancel()
    await waiting
    await one.aclose()


@virtual_time
async def test_a_slot_that_comes_up_late_is_thrown_away() -> None:
    book, times = Book(), list[float]()
    one = limiter(book)
    book.next_slot = now() + 0.08
    waiting = asyncio.ensure_future(take(one, times, level=Priority.INTERACTIVE))
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().stall(0.5)  # type: ignore[attr-defined]
    await waiting
    assert one.late == 1
    assert one.booked == 2
    permit = times[0]
    assert not one.is_stale(permit, permit + ON_THE_WIRE - 0.001)
    assert one.is_stale(permit, permit + 0.03), (
        "its place in the book is fixed, and the server counts what arrives"
    )
    await one.aclose()


@virtual_time
async def test_a_pause_of_one_process_holds_all_and_drops_their_booked_slots() -> None:
    book, times = Book(), list[float]()
    one, other = limiter(book), limiter(book)
    working = [asyncio.ensure_future(take(each, times, 40)) for each in (one, other)]
    await asyncio.sleep(1)
    told = now()
    assert one.throttled(3.0, told) is False
    await asyncio.gather(*working)
    assert not [time for time in times if told + 0.002 < time < told + 3]
    assert one.paused_seconds > 2.9
    assert other.paused_seconds > 2.9
    for each in (one, other):
        await each.aclose()


@virtual_time
async def test_a_pause_that_was_not_heard_is_learnt_from_the_next_booking() -> None:
    book = Book()
    one = limiter(book)
    book.paused_until = now() + 5
    begun = now()
    await one.acquire()
    assert now() - begun >= 5
    await one.aclose()


@virtual_time
async def test_the_lower_rate_of_another_process_holds_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book, times = Book(), list[float]()
    book.gap = 2 * GAP
    one = limiter(book)
    await take(one, times, 30)
    assert most_in_a_second(times) <= 10
    assert one.rate == pytest.approx(10)
    assert [record.getMessage() for record in caplog.records] == [
        "another process uses this quota with 10 calls a second; that rate applies, not 20"
    ]
    book.gap = 0.0
    await take(one, times, 5)
    assert one.rate == 20
    await one.aclose()


@virtual_time
async def test_nothing_is_sent_while_the_book_is_away_and_the_error_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = Book()
    one = limiter(book)
    book.failure = AWAY
    begun = now()
    with pytest.raises(
        DeadlineExceededError, match=r"shared.*db/x is unreachable: nothing listens at that address"
    ):
        await one.acquire(deadline=now() + 5)
    assert 4.9 < now() - begun <= 5
    assert len(book.asked) < 20, "it does not hammer"
    book.failure = None
    await one.acquire(deadline=now() + 5)
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [f"{AWAY}; until it is reachable, nothing is sent", "the shared quota is reachable again"]
    await one.aclose()


@virtual_time
async def test_with_a_fallback_each_process_sends_its_share_and_the_change_overs_wait_a_window() -> None:
    book, times = Book(), list[float]()
    limiters = [limiter(book, fallback=0.25) for _ in range(4)]
    working = [asyncio.ensure_future(take(one, times, 1000)) for one in limiters for _ in range(4)]
    await asyncio.sleep(3)
    book.failure = AWAY
    await asyncio.sleep(10)
    book.failure = None
    came_back = now()
    await asyncio.sleep(5)
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    assert most_in_a_second(times) <= 20
    away = [time for time in times if came_back - 8 < time <= came_back]
    assert len(away) / 8 > 0.9 * 20, "four quarters"
    assert sum(one.alone for one in limiters) > 100
    assert book.returned >= 4
    for one in limiters:
        await one.aclose()


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ConfigurationError("a pooler in transaction mode stands before it"), ConfigurationError),
        (RuntimeError("a secret"), NotSentError),
    ],
)
@virtual_time
async def test_what_waiting_cannot_cure_reaches_every_caller_at_once(
    failure: Exception, kind: type[Exception]
) -> None:
    book = Book()
    book.failure = failure
    one = limiter(book)
    ended = await asyncio.gather(*(one.acquire() for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in ended] == [kind] * 3
    assert len({id(error) for error in ended}) == 3, "each caller gets its own"
    assert all("secret" not in str(error) and "nothing was sent" in str(error) for error in ended)
    await one.aclose()


@virtual_time
async def test_a_turn_after_the_deadline_is_refused_at_once() -> None:
    book, times = Book(), list[float]()
    one = limiter(book)
    working = [asyncio.ensure_future(take(one, times, 5)) for _ in range(20)]
    await asyncio.sleep(0.5)
    begun = now()
    with priority(Priority.BULK), pytest.raises(DeadlineExceededError):
        await one.acquire(deadline=now() + 0.5)
    assert now() == begun
    await asyncio.gather(*working)
    await one.aclose()


@virtual_time
async def test_a_cancelled_caller_costs_at_most_its_slot_and_leaves_nothing() -> None:
    book, times = Book(), list[float]()
    one = limiter(book)
    working = [asyncio.ensure_future(take(one, times)) for _ in range(10)]
    await asyncio.sleep(0.1)
    for task in working[::2]:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    assert one.waiting == 0
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) == 1, "nobody waits, so nobody asks"
    await one.aclose()


@virtual_time
async def test_closing_ends_what_goes_on_in_the_background() -> None:
    book = Book()
    book.failure = AWAY
    one = limiter(book, fallback=0.5)
    one.pause(60)
    waiting = asyncio.ensure_future(one.acquire())
    await asyncio.sleep(2)
    await one.aclose()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1
    assert book.closed == 1


def test_the_fallback_is_logged_with_its_rate(caplog: pytest.LogCaptureFixture) -> None:
    @virtual_time
    async def scene() -> None:
        book = Book()
        book.failure = AWAY
        one = limiter(book, fallback=0.25)
        await one.acquire()
        await one.aclose()

    with caplog.at_level(logging.WARNING):
        scene()
    assert "this process sends 5 calls a second" in caplog.text
