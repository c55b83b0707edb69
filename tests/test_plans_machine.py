"""Any schedule of faults, crashes and resumes: nothing lands twice, and no row is without a state.

A crash is in this process: from one moment on nothing that the run does reaches its files any more, its
tasks are cancelled, and the sandbox stays. The moment is a commit of the journal or of the plan (just
before it, or just after) or the arrival of a request.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pandapon_async import Client, Clock, Settings, plans
from pandapon_async.errors import JournalUnavailableError
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import JournalStore
from pandapon_async.plans import ApplyOptions, RowState
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.virtual import LoopClock, VirtualLoop

ROWS = 5
WEATHER = (
    "",
    "reset_after:0.4",
    "reset_before:0.3,reset_after:0.3",
    "error_500_after:0.3,error_500:0.2,error_502_html:0.1",
    "truncated:0.3,reset_after:0.2,throttle_429:0.1:retry_after=0.2",
    "reset_after:0.2,reset_before:0.1,error_500:0.1,refuse:0.1,error_503:0.1,throttle_code:0.1",
    "reset_after:1.0:endpoint=*.create,reset_after:1.0:endpoint=*.return_goods",
    "reset_before:1.0:endpoint=*.create,reset_before:1.0:endpoint=*.return_goods",
)
MOMENTS = ("journal before", "journal after", "plan before", "plan after", "request")


class FreshClock(LoopClock):
    """The loop's clock with real nonces: every run is another client."""

    def nonce(self) -> str:
        return Clock.nonce(self)


class Death(sqlite3.OperationalError):
    """What a dead process's commits come to."""


class Mortal:
    """One run that may die: after so many moments of one kind nothing of it reaches a file any more."""

    def __init__(self, moment: str | None, after: int) -> None:
        self.moment, self.left = moment, after
        self.dead = False
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[Any] | None = None

    def pass_moment(self, moment: str) -> None:
        if moment == self.moment and not self.dead:
            self.left -= 1
            if self.left < 0:
                self.dead = True
                if self.task is not None:
                    self.loop.call_soon_threadsafe(self.task.cancel)
        if self.dead and moment.endswith("before"):
            raise Death("the process is dead")

    def watch(self, patch: pytest.MonkeyPatch, kind: type[Any], name: str, moment: str) -> None:
        original: Callable[..., Any] = getattr(kind, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.pass_moment(f"{moment} before")
            result = original(*args, **kwargs)
            self.pass_moment(f"{moment} after")
            return result

        patch.setattr(kind, name, watched)


class Log(list[Any]):
    """The sandbox's log, which tells of every arrival."""

    mortal: Mortal | None = None

    def append(self, entry: Any) -> None:
        super().append(entry)
        if self.mortal is not None:
            self.mortal.pass_moment("request")


class Applying(RuleBasedStateMachine):
    """A plan, a sandbox, and runs that may die."""

    @initialize(
        kind=st.sampled_from(["returns", "refunds"]),
        seed=st.integers(0, 10_000),
        images=st.booleans(),
        concurrency=st.integers(1, 4),
    )
    def begin(self, kind: str, seed: int, images: bool, concurrency: int) -> None:
        self.loop = VirtualLoop()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.kind, self.concurrency = kind, concurrency
        self.plan = self.folder / "plan.db"
        self.loop.run_until_complete(self._begin(seed, images))

    async def _begin(self, seed: int, images: bool) -> None:
        clock = FreshClock()
        self.server = Sandbox(refunds=60 * ROWS, seed=seed, clock=clock, sleep=asyncio.sleep)
        self.log = Log()
        self.server._pipeline.log = self.log
        await self.server.start()
        names = plan_files.write_images(self.folder, 2) if images else None
        if self.kind == "returns":
            rows = plan_files.return_rows(plan_files.returnable(self.server, ROWS), names)
        else:
            rows = plan_files.refund_rows(ROWS, names)
        table = plan_files.write_table(self.folder / "table.csv", rows)
        async with self._client() as client:
            summary = await plans.plan(client, self.kind, table, self.plan)
        assert summary.states[RowState.PLANNED] == ROWS

    def _client(self) -> Client:
        clock = FreshClock()
        journal = Journal(self.folder / "journal.sqlite", clock=clock)
        self.journal = journal
        return Client(
            self.server.credentials,
            Settings(base_url=self.server.base_url, rate=None, clock=clock, journal=journal),
        )

    @rule(faults=st.sampled_from(WEATHER))
    def weather(self, faults: str) -> None:
        plan_files.misbehave(self.server, faults)

    @rule(seconds=st.sampled_from([1.0, 59.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(wait=st.booleans(), resend=st.booleans())
    def apply(self, wait: bool, resend: bool) -> None:
        self._run(None, 0, ApplyOptions(concurrency=self.concurrency, wait=wait, resend_absent=resend))

    @rule(
        moment=st.sampled_from(MOMENTS),
        after=st.integers(0, 4 * ROWS),
        resend=st.booleans(),
        repeat=st.booleans(),
    )
    def apply_and_die(self, moment: str, after: int, resend: bool, repeat: bool) -> None:
        options = ApplyOptions(concurrency=self.concurrency, resend_absent=resend, allow_repeat=repeat)
        self._run(moment, after, options)

    def _run(self, moment: str | None, after: int, options: ApplyOptions) -> None:
        with pytest.MonkeyPatch.context() as patch:
            self.loop.run_until_complete(self._apply(patch, moment, after, options))

    async def _apply(
        self, patch: pytest.MonkeyPatch, moment: str | None, after: int, options: ApplyOptions
    ) -> None:
        mortal = self.log.mortal = Mortal(moment, after)
        mortal.watch(patch, JournalStore, "commit", "journal")
        for name in ("change", "uploaded", "set"):
            mortal.watch(patch, PlanFile, name, "plan")
        try:
            async with self._client() as client:
                mortal.task = asyncio.create_task(plans.apply(client, self.plan, options=options))
                await asyncio.wait([mortal.task])
        except (Death, JournalUnavailableError):
            assert mortal.dead
        finally:
            self.log.mortal = None
            if self.journal.path != ":memory:":
                await self.journal.aclose()
        assert mortal.task is not None
        if not mortal.task.cancelled() and (error := mortal.task.exception()) is not None and not mortal.dead:
            raise error

    @invariant()
    def nothing_landed_twice(self) -> None:
        if hasattr(self, "server"):
            kind = "return_goods" if self.kind == "returns" else "create"
            succeeded = plan_files.effects_per_key(self.server, kind)
            assert [key for key, count in succeeded.items() if count > 1] == []

    @invariant()
    def every_row_has_a_state(self) -> None:
        if hasattr(self, "server"):
            states = plan_files.states_of(self.plan)
            assert sum(states.values()) == ROWS
            assert set(states) <= {state.value for state in RowState}

    @invariant()
    def what_is_done_was_done(self) -> None:
        if hasattr(self, "server"):
            succeeded = sum(effect.kind in ("return_goods", "create") for effect in self.server.effects)
            states = plan_files.states_of(self.plan)
            done = states["confirmed"] + states["settled_done"]
            assert done <= succeeded <= done + states["applying"] + states["unknown"]

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            plan_files.misbehave(self.server, "")
            for resend in (False, True):
                for _ in range(3):
                    self._run(None, 0, ApplyOptions(concurrency=self.concurrency, resend_absent=resend))
                    states = plan_files.states_of(self.plan)
                    if set(states) <= plan_files.ENDED:
                        break
                self.nothing_landed_twice()
                self.what_is_done_was_done()
                assert set(states) <= plan_files.ENDED, states
            assert states["settled_absent"] == 0
        finally:
            self.loop.run_until_complete(self.server.aclose())
            self.loop.close()
            shutil.rmtree(self.folder)


def run_machine(schedules: int) -> None:
    run_state_machine_as_test(
        Applying,
        settings=settings(
            max_examples=schedules,
            stateful_step_count=5,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_fifty_schedules() -> None:
    run_machine(50)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_five_hundred_schedules() -> None:
    run_machine(500)
