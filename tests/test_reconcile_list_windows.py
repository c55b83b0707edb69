"""Windows of lists: they cover every moment once, and what one does not show is found in its parts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandapon_async.models.taobao.refunds import RefundDetail, listed_refund_id
from pandapon_async.reconcile.list_reading import ListPages, ListReader
from pandapon_async.reconcile.list_store import WindowState
from pandapon_async.reconcile.list_windows import (
    DAY_MS,
    SECOND_MS,
    Window,
    day_of,
    start_of,
    windows_of,
)
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.sandbox import ListShape, Sandbox
from tests.support.examples import examples
from tests.support.virtual import LoopClock
from tests.support.virtual import run as run_virtually
from tests.test_reconcile_job import client

DAYS = st.dictionaries(
    st.integers(0, 60).map(lambda days: date(2023, 6, 20) + timedelta(days=days)),
    st.integers(0, 900),
    max_size=40,
)


@given(DAYS, st.integers(1, 1000), st.sets(st.integers(0, 60)))
def test_windows_cover_each_day_once_and_no_other(days: dict[date, int], most: int, edges: set[int]) -> None:
    cuts = {date(2023, 6, 20) + timedelta(days=one) for one in edges}
    windows = windows_of(days, most, cuts)
    covered = [moment for window in windows for moment in range(window.first, window.last, DAY_MS)]
    assert covered == [start_of(day) for day in sorted(days)]
    for window in windows:
        inside = [day for day in days if window.holds(day)]
        assert sum(days[day] for day in inside) <= most or len(inside) == 1
        assert not any(window.first < start_of(cut) < window.last for cut in cuts)


@given(st.integers(0, 10**9), st.integers(1, 10**7), st.integers(1, 40))
def test_the_parts_of_a_window_are_the_window(first: int, seconds: int, parts: int) -> None:
    window = Window(first * SECOND_MS, (first + seconds) * SECOND_MS)
    split = window.split(parts)
    assert len(split) == min(parts, seconds)
    assert (split[0].first, split[-1].last) == (window.first, window.last)
    assert all(one.last == other.first for one, other in itertools.pairwise(split))
    assert all(one.first < one.last and one.first % SECOND_MS == 0 for one in split)


def test_a_day_is_one_of_beijing() -> None:
    assert day_of("2023-07-01T00:00:00+08:00") == day_of("2023-06-30T16:00:00+00:00") == date(2023, 7, 1)
    assert day_of("2023-07-01T23:59:59") == date(2023, 7, 1)
    assert start_of(date(2023, 7, 1)) == 1_688_140_800_000


SHAPES = st.builds(
    ListShape,
    answer=st.sampled_from(["object", "array"]),
    total=st.sampled_from(["true", "none", "low", "capped"]),
    deepest=st.sampled_from([None, 40, 60, 100]),
    beyond=st.sampled_from(["empty", "repeat", "refuse"]),
    largest_asked=st.sampled_from([None, 20, 50]),
)


@settings(
    max_examples=examples(8, 120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(SHAPES, st.integers(1, 7), st.booleans())
def test_whatever_the_form_of_a_list_every_refund_is_found(
    tmp_path: Path, shape: ListShape, pieces: int, cut: bool
) -> None:
    """A list of 300 refunds that shows 40 at most of any query: its windows are split until they show all."""

    async def read() -> tuple[set[str | None], set[str]]:
        seen: set[str | None] = set()

        async def take(items: Sequence[RefundDetail], request_id: str | None, window: Window) -> int:
            before = len(seen)
            seen.update(map(listed_refund_id, items))
            return len(seen) - before

        async def here(work: Any) -> Any:
            return work()

        async with (
            Sandbox(refunds=600, lists=shape, clock=LoopClock(), sleep=asyncio.sleep) as server,
            client(server) as pandapon,
        ):
            path = tmp_path / "state.sqlite"
            path.unlink(missing_ok=True)
            with closing(RunStore.open(path)) as state:
                whole = Window(start_of(date(2023, 6, 25)), start_of(date(2023, 8, 25)))
                state.set_windows(None, whole.split(pieces), WindowState.PLANNED)
                reader = ListReader(
                    pages=ListPages(pandapon), state=state, account=None, in_thread=here, take=take,
                    thorough=True, concurrency=4,
                )  # fmt: skip
                if cut:  # killed somewhere on the way, and read on by another
                    running = asyncio.ensure_future(reader.run())
                    while len(server.log) < 12 and not running.done():  # noqa: ASYNC110 (virtual time)
                        await asyncio.sleep(0)
                    running.cancel()
                    await asyncio.wait([running])
                    seen.clear()
                    state.forget_lists()
                    state.set_windows(None, whole.split(pieces), WindowState.PLANNED)
                await reader.run()
                assert state.windows(None, WindowState.PLANNED, WindowState.FAILED) == []
            return seen, set(server.refund_ids("taobao"))

    found, existing = run_virtually(read())
    assert existing - found == set(), (shape, pieces, cut)
    assert found == existing
