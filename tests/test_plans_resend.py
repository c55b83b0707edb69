"""Sending again: whose key it is, what was absent, what was throttled; the state is read first."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import ConfigurationError, Credentials, OutcomeUnknownError
from pandapon_async.plans import RowState
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.bench import bench
from tests.support.virtual import virtual_time

ROTATED = Credentials("ROTATED00000000000000", "another-secret", Sandbox().credentials.user_id)
COLLEAGUE = Credentials("COLLEAGUE000000000000", "a-third-secret", "2100000000077")


@virtual_time
async def _rotated(folder: Path) -> None:
    async with bench(folder, "refunds", rows=4, accounts=[ROTATED, COLLEAGUE]) as made:
        plan_files.misbehave(made.server, "reset_after:1.0:endpoint=*.create:after=1:times=1")
        await made.apply(wait=False, concurrency=1, stop_after_failures=1)
        assert len(made.succeeded) == 2
        plan_files.misbehave(made.server, "")
        with pytest.raises(ConfigurationError, match=f"PANDAPON_USER_ID={ROTATED.user_id}"):
            await made.apply(settings={"credentials": COLLEAGUE})
        result = await made.apply(settings={"credentials": ROTATED})
        assert (result.exit_code, made.states) == (0, {"confirmed": 3, "settled_done": 1})
        assert list(made.succeeded.values()) == [1] * 4


def test_a_plan_goes_on_with_a_rotated_key(tmp_path: Path) -> None:
    _rotated(tmp_path)


@virtual_time
async def _appears_later(folder: Path, resend: bool) -> None:
    """Carried out ten minutes after it was found absent."""
    async with bench(folder, "refunds", rows=3) as made:
        plan_files.misbehave(made.server, "lands_late:1.0:endpoint=*.create:delay=600")
        first = await made.apply()
        assert (first.exit_code, made.states) == (1, {"settled_absent": 3})
        reason = first.problems[0].reason or ""
        assert reason.startswith("not found at 2023-11-14 22:")
        assert "s after the write; it may have arrived since" in reason
        plan_files.misbehave(made.server, "")
        await asyncio.sleep(700)
        again = await made.apply(resend_absent=resend)
        assert (again.exit_code, made.states) == (0, {"settled_done": 3})
        assert list(made.succeeded.values()) == [1] * 3


@pytest.mark.parametrize("resend", [False, True])
def test_what_was_absent_is_looked_for_again(tmp_path: Path, resend: bool) -> None:
    _appears_later(tmp_path, resend)


@virtual_time
async def _not_in_the_same_run(folder: Path) -> None:
    async with bench(folder, rows=3) as made:
        plan_files.misbehave(made.server, "reset_before:1.0:endpoint=*.return_goods:times=3")
        first = await made.apply(resend_absent=True)
        assert made.states == {"settled_absent": 3}
        assert (first.exit_code, len(made.succeeded)) == (1, 0)
        second = await made.apply(resend_absent=True)
        assert (second.exit_code, made.states) == (0, {"confirmed": 3})


def test_the_run_that_found_it_absent_does_not_send_it_again(tmp_path: Path) -> None:
    _not_in_the_same_run(tmp_path)


@virtual_time
async def _found_absent_at_its_start(folder: Path) -> None:
    async with bench(folder, rows=2) as made:
        plan_files.misbehave(made.server, "reset_before:1.0:endpoint=*.return_goods:times=2")
        await made.apply(wait=False)
        assert made.states == {"unknown": 2}
        await asyncio.sleep(61)
        result = await made.apply(resend_absent=True)
        assert (result.exit_code, made.states) == (1, {"settled_absent": 2})
        assert all((one.reason or "").startswith("not found at ") for one in result.problems)
        async with made.client() as client:
            assert len(await client.journal.find()) == 2, "no second write is even begun"
        assert (await made.apply(resend_absent=True)).exit_code == 0
        assert list(made.succeeded.values()) == [1] * 2


def test_a_run_that_begins_by_finding_it_absent_leaves_it_to_the_next(tmp_path: Path) -> None:
    _found_absent_at_its_start(tmp_path)


@virtual_time
async def _throttled(folder: Path, after: bool) -> None:
    async with bench(folder, rows=2) as made:
        kind = "refusal_after" if after else "refusal"
        plan_files.misbehave(made.server, f"{kind}:1.0:endpoint=*.return_goods:status=429:body=html:times=2")
        first = await made.apply(wait=False)
        states = made.states
        assert len(made.succeeded) == (2 if after else 0)
        assert set(states) <= {"not_sent", "unknown", "settled_done"}, states
        assert first.exit_code in (0, 1, 3)
        result = await made.apply()
        assert result.exit_code == 0, made.results
        assert list(made.succeeded.values()) == [1] * 2


@pytest.mark.parametrize("after", [False, True])
def test_a_throttled_row_is_looked_for_before_it_is_sent_again(tmp_path: Path, after: bool) -> None:
    _throttled(tmp_path, after)


def _blind(server: Sandbox) -> None:
    """Let orders show no refund forms."""
    handlers = server._pipeline.handlers

    def bare(*args: Any) -> Any:
        order = handlers["alibaba.orders.get"](*args)
        for line in order["productItems"]:
            line.pop("refundId", None)
            line.pop("refundIdForAs", None)
        return order

    server._pipeline.handlers = {**handlers, "alibaba.orders.get": bare}


@virtual_time
async def _failing_again(folder: Path) -> None:
    async with bench(folder, rows=3) as made:
        plan_files.misbehave(made.server, "throttle_429:1.0:endpoint=*.return_goods:retry_after=1")
        result = await made.apply(stop_after_failures=4, concurrency=1)
        assert result.stopped == "4 rows failed; the limit is 4"
        assert (made.states, made.succeeded) == ({"not_sent": 3}, {})


def test_what_is_sent_once_more_counts_as_failed_too(tmp_path: Path) -> None:
    _failing_again(tmp_path)


@virtual_time
async def _throttled_and_blind(folder: Path) -> None:
    async with bench(folder, "refunds", rows=2) as made:
        _blind(made.server)
        plan_files.misbehave(made.server, "throttle_429:1.0:endpoint=*.create:retry_after=3600:times=2")
        await made.apply(wait=False)
        plan_files.misbehave(made.server, "")
        begun = asyncio.get_running_loop().time()
        result = await made.apply()
        assert asyncio.get_running_loop().time() - begun < 30, "nothing is worth waiting for"
        assert (result.exit_code, made.states) == (1, {"not_sent": 2})
        assert "--resend-throttled" in (result.problems[0].reason or "")
        assert not made.succeeded
        result = await made.apply(resend_throttled=True)
        assert (result.exit_code, result.states[RowState.CONFIRMED]) == (0, 2)
        assert list(made.succeeded.values()) == [1] * 2


def test_what_was_throttled_and_cannot_be_seen_needs_an_option(tmp_path: Path) -> None:
    _throttled_and_blind(tmp_path)


@virtual_time
async def _written_by_a_colleague(folder: Path) -> None:
    """The same write was begun by another sub-account, and lost: that one alone can find it absent."""
    async with bench(folder, rows=2, accounts=[COLLEAGUE]) as made:
        plan_files.misbehave(made.server, "reset_before:1.0:endpoint=*.return_goods:times=2")
        async with made.client(credentials=COLLEAGUE) as colleague:
            for row in plan_files.rows_of(made.plan):
                arguments = json.loads(row["arguments"])
                with pytest.raises(OutcomeUnknownError):
                    await colleague.alibaba.refunds.return_goods(**arguments)
        first = await made.apply()
        assert (first.exit_code, made.states) == (3, {"unknown": 2}), "this account may not see it"
        believed = await made.apply(any_account=True)
        assert (believed.exit_code, made.states) == (1, {"settled_absent": 2})
        assert f"read as user {ROTATED.user_id}, as_account was set" in (believed.problems[0].reason or "")
        held = await made.apply(resend_absent=True)
        assert (held.exit_code, made.states) == (1, {"settled_absent": 2})
        assert "any_account=True (--any-account)" in (held.problems[0].reason or "")
        assert not made.succeeded
        result = await made.apply(resend_absent=True, any_account=True)
        assert (result.exit_code, made.states) == (0, {"confirmed": 2})
        assert list(made.succeeded.values()) == [1] * 2


def test_a_colleagues_write_is_found_absent_only_by_the_operators_word(tmp_path: Path) -> None:
    _written_by_a_colleague(tmp_path)
