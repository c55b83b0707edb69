"""Any schedule of faults, crashes, restores and second machines: nothing is done twice, no row lacks a state.

A restore puts the journal of one machine back to an earlier copy, alone or with its plan, and others may
write with it before the plan is applied again. Two machines apply copies of one plan, which may belong to no
journal yet. Keys are rotated, wall clocks step by hours, machines are started again. As the guide says, the
operator gives --adopt-journal or --check-first after a restore and on a second machine.

A crash is in this process: from one moment on nothing that the run does reaches its files any more, its
tasks are cancelled, and the sandbox stays. The moment is a commit of the journal or of the plan (just
before it, or just after) or the arrival of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pandapon_async import Client, Clock, Credentials, PandaponError, Settings, plans
from pandapon_async.errors import ConfigurationError, JournalUnavailableError
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import JournalStore
from pandapon_async.plans import ApplyOptions, PlanOptions, RowState
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.sandbox import Effect, Sandbox
from tests.support import plan_files
from tests.support.virtual import LoopClock, VirtualLoop

ROWS = 5
WEATHER = (
    "",
    "lands_late:0.5:endpoint=*.create:delay=20,lands_late:0.5:endpoint=*.return_goods:delay=20",
    "visible_late:0.5:visible_after=30,reset_after:0.3:visible_after=30",
    "reset_after:0.4",
    "reset_before:0.3,reset_after:0.3",
    "error_500_after:0.3,error_500:0.2,error_502_html:0.1",
    "truncated:0.3,reset_after:0.2,throttle_429:0.1:retry_after=0.2",
    "reset_after:0.2,reset_before:0.1,error_500:0.1,refuse:0.1,error_503:0.1,throttle_code:0.1",
    "reset_after:1.0:endpoint=*.create,reset_after:1.0:endpoint=*.return_goods",
    "reset_before:1.0:endpoint=*.create,reset_before:1.0:endpoint=*.return_goods",
)
AT = st.sampled_from([0, 0, 0, 1])
MOMENTS = ("journal before", "journal after", "plan before", "plan after", "request")


ROTATED = Credentials("ROTATED00000000000000", "another-secret", Sandbox().credentials.user_id)


class FreshClock(LoopClock):
    """The loop's clock with real nonces: every run is another client. Its wall steps, its machine reboots."""

    def __init__(self, ahead: float = 0.0, boots: int = 0) -> None:
        super().__init__()
        self.ahead, self.boots = ahead, boots

    def wall(self) -> float:
        return super().wall() + self.ahead

    def boot(self) -> tuple[str, float] | None:
        return f"boot {self.boots}", self.now() - 100.0 * self.boots

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


class Machine:
    """One machine: a copy of the plan, and a journal of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.plan = folder / "plan.db"
        self.journal = folder / "journal.sqlite"
        self.copies: dict[str, bytes] = {}
        self.check_first = False
        self.ahead = 0.0
        self.boots = 0

    @property
    def files(self) -> dict[str, list[Path]]:
        return {name: sorted(self.plan.parent.glob(f"{name}*")) for name in ("journal.sqlite", "plan.db")}

    def copy(self) -> None:
        """A backup, made while nothing runs."""
        self.copies = {
            path.name: path.read_bytes()
            for paths in self.files.values()
            for path in paths
            if path.suffix not in (".lock", ".jsonl")
        }

    def restore(self, *kinds: str) -> None:
        for kind in kinds:
            for path in self.files[kind]:
                if path.suffix not in (".lock", ".jsonl"):
                    path.unlink()
            for name, content in self.copies.items():
                if name.startswith(kind):
                    (self.plan.parent / name).write_bytes(content)


class Applying(RuleBasedStateMachine):
    """A plan, a sandbox, and runs that may die."""

    @initialize(
        kind=st.sampled_from(["returns", "refunds"]),
        seed=st.integers(0, 10_000),
        images=st.booleans(),
        concurrency=st.integers(1, 4),
        bind=st.booleans(),
    )
    def begin(self, kind: str, seed: int, images: bool, concurrency: int, bind: bool) -> None:
        self.loop = VirtualLoop()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.kind, self.concurrency, self.bind, self.key = kind, concurrency, bind, 0
        self.machines = [Machine(self.folder / "a"), Machine(self.folder / "b")]
        self.loop.run_until_complete(self._begin(seed, images))
        shutil.copy(self.machines[0].plan, self.machines[1].plan)
        self.machines[0].copy()

    async def _begin(self, seed: int, images: bool) -> None:
        clock = FreshClock()
        self.server = Sandbox(
            refunds=60 * ROWS, seed=seed, clock=clock, sleep=asyncio.sleep, accounts=[ROTATED]
        )
        self.log = Log()
        self.server._pipeline.log = self.log
        await self.server.start()
        names = plan_files.write_images(self.folder, 2) if images else None
        if self.kind == "returns":
            rows = plan_files.return_rows(plan_files.returnable(self.server, ROWS), names)
        else:
            rows = plan_files.refund_rows(ROWS, names)
        table = plan_files.write_table(self.folder / "table.csv", rows)
        first = self.machines[0]
        async with self._client(first) as client:
            options = PlanOptions(bind=self.bind)
            summary = await plans.create(client, self.kind, table, first.plan, options=options)
        assert summary.states[RowState.PLANNED] == ROWS

    def _client(self, machine: Machine) -> Client:
        clock = FreshClock(machine.ahead, machine.boots)
        self.journal = Journal(machine.journal, clock=clock)
        return Client(
            (self.server.credentials, ROTATED)[self.key],
            Settings(base_url=self.server.base_url, rate=None, clock=clock, journal=self.journal),
        )

    @rule(faults=st.sampled_from(WEATHER))
    def weather(self, faults: str) -> None:
        plan_files.misbehave(self.server, faults)

    @rule(seconds=st.sampled_from([1.0, 59.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(at=AT, ahead=st.sampled_from([-7200.0, 3600.0, 0.0]), reboot=st.booleans(), rotate=st.booleans())
    def change(self, at: int, ahead: float, reboot: bool, rotate: bool) -> None:
        machine = self.machines[at]
        machine.ahead = ahead
        machine.boots += reboot
        self.key = (self.key + rotate) % 2

    @rule(at=AT, count=st.integers(1, 3 * ROWS))
    def others_write(self, at: int, count: int) -> None:
        """With the machine's journal, whose mark they raise."""

        async def write() -> None:
            async with self._client(self.machines[at]) as client:
                await client.alibaba.refunds.get(refund_id=self.server.refund(0).refund_id)
                for number in range(count):
                    refund_id = self.server.refund(2 * number + 1).refund_id
                    with contextlib.suppress(PandaponError):
                        await client.taobao.refunds.post_message(refund_id=refund_id, refund_message="hello")
            await self.journal.aclose()

        plan_files.misbehave(self.server, "")
        self.loop.run_until_complete(write())

    @rule(at=AT)
    def copy(self, at: int) -> None:
        self.machines[at].copy()

    def restore_the_journal(self, at: int) -> None:
        if self.machines[at].copies:
            self.machines[at].restore("journal.sqlite")

    def restore_both(self, at: int) -> None:
        if self.machines[at].copies:
            self.machines[at].restore("journal.sqlite", "plan.db")
            self.machines[at].check_first = True

    @rule(at=AT, wait=st.booleans(), resend=st.booleans())
    def apply(self, at: int, wait: bool, resend: bool) -> None:
        self._run(at, None, 0, ApplyOptions(concurrency=self.concurrency, wait=wait, resend_absent=resend))

    @rule(
        at=AT,
        moment=st.sampled_from(MOMENTS),
        after=st.integers(0, 4 * ROWS),
        resend=st.booleans(),
        repeat=st.booleans(),
        then=st.sampled_from(["nothing", "journal", "both"]),
    )
    def apply_and_die(self, at: int, moment: str, after: int, resend: bool, repeat: bool, then: str) -> None:
        options = ApplyOptions(concurrency=self.concurrency, resend_absent=resend, allow_repeat=repeat)
        self._run(at, moment, after, options)
        if then == "journal":
            self.restore_the_journal(at)
        elif then == "both":
            self.restore_both(at)

    def _run(self, at: int, moment: str | None, after: int, options: ApplyOptions) -> None:
        """As an operator does who follows the guide."""
        machine, other = self.machines[at], self.machines[1 - at]
        other.check_first = True  # this one may send what the other does not know of
        options = attrs.evolve(options, check_first=machine.check_first)
        try:
            died = self._run_once(machine, moment, after, options)
        except ConfigurationError as refused:
            if "--adopt-journal" not in str(refused):
                raise
            died = self._run_once(machine, moment, after, attrs.evolve(options, adopt_journal=True))
        machine.check_first = machine.check_first and died

    def _run_once(self, machine: Machine, moment: str | None, after: int, options: ApplyOptions) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            return self.loop.run_until_complete(self._apply(machine, patch, moment, after, options))

    async def _apply(
        self,
        machine: Machine,
        patch: pytest.MonkeyPatch,
        moment: str | None,
        after: int,
        options: ApplyOptions,
    ) -> bool:
        mortal = self.log.mortal = Mortal(moment, after)
        mortal.watch(patch, JournalStore, "commit", "journal")
        for name in ("change", "uploaded", "set", "doubt"):
            mortal.watch(patch, PlanFile, name, "plan")
        try:
            async with self._client(machine) as client:
                mortal.task = asyncio.create_task(plans.apply(client, machine.plan, options=options))
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
        return mortal.dead

    def _effects(self) -> list[Effect]:
        """What was carried out so far; looked at in the loop, whose time it is by which late writes land."""

        async def look() -> list[Effect]:
            return list(self.server.effects)

        return self.loop.run_until_complete(look())

    @invariant()
    def nothing_landed_twice(self) -> None:
        if hasattr(self, "server"):
            kind = "return_goods" if self.kind == "returns" else "create"
            succeeded = Counter(effect.key for effect in self._effects() if effect.kind == kind)
            assert [key for key, count in succeeded.items() if count > 1] == []

    @invariant()
    def every_row_has_a_state(self) -> None:
        if hasattr(self, "server"):
            for machine in self.machines:
                states = plan_files.states_of(machine.plan)
                assert sum(states.values()) == ROWS
                assert set(states) <= {state.value for state in RowState}

    @invariant()
    def what_is_done_was_done(self) -> None:
        if hasattr(self, "server"):
            succeeded = sum(effect.kind in ("return_goods", "create") for effect in self._effects())
            for machine in self.machines:
                states = plan_files.states_of(machine.plan)
                assert states["confirmed"] + states["settled_done"] <= succeeded

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            plan_files.misbehave(self.server, "")
            for at, machine in enumerate(self.machines):
                for _ in range(4):
                    self._run(at, None, 0, ApplyOptions(concurrency=self.concurrency, resend_absent=True))
                    states = plan_files.states_of(machine.plan)
                    if set(states) <= plan_files.ENDED - {"settled_absent"}:
                        break
                self.nothing_landed_twice()
                assert set(states) <= plan_files.ENDED - {"settled_absent"}, states
                succeeded = sum(effect.kind in ("return_goods", "create") for effect in self._effects())
                assert states["confirmed"] + states["settled_done"] == succeeded
        finally:
            self.loop.run_until_complete(self.server.aclose())
            self.loop.close()
            shutil.rmtree(self.folder)


def run_machine(schedules: int, *, shrink: bool = False) -> None:
    """`shrink` looks for a shorter schedule that fails, which takes minutes."""
    phases = tuple(phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain))
    run_state_machine_as_test(
        Applying,
        settings=settings(
            max_examples=schedules,
            phases=phases,
            stateful_step_count=5,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    gc.collect()


# A run that dies leaves its file open, as a dead process does; Python 3.13 and later warn of that.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")


def test_a_few_schedules() -> None:
    run_machine(8)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_five_hundred_schedules() -> None:
    run_machine(500, shrink=True)
