"""Refusals that say nothing of a row: the account is to be authorised anew, or the platform's check broke."""

from __future__ import annotations

from pathlib import Path

import pytest

from pandapon_async import AuthenticationError
from pandapon_async.plans import RowState
from tests.support import plan_files
from tests.support.bench import bench
from tests.support.virtual import virtual_time

INNER = "refusal:1.0:endpoint=*.return_goods:body=inner:status=200:error_code="


@virtual_time
async def authorised_anew(folder: Path) -> None:
    async with bench(folder, rows=30) as made:
        plan_files.misbehave(made.server, f"{INNER}4001")
        with pytest.raises(AuthenticationError, match="new authorisation"):
            await made.apply(concurrency=2)
        states = made.states
        assert states["planned"] >= 26, "only what was on its way was refused"
        assert states.keys() == {"planned", "not_sent"}
        refused = next(line for line in made.results if line["state"] == "not_sent")
        assert refused["error"] == "authentication 4001"
        assert "new authorisation" in refused["reason"]
        plan_files.misbehave(made.server, "")
        ended = await made.apply()
        assert (ended.exit_code, ended.done) == (0, 30)
        assert list(made.succeeded.values()) == [1] * 30


def test_an_account_to_be_authorised_anew_burns_no_row(tmp_path: Path) -> None:
    authorised_anew(tmp_path)


@virtual_time
async def put_off(folder: Path) -> None:
    async with bench(folder, rows=5) as made:
        plan_files.misbehave(made.server, f"{INNER}4004:times=2")
        first = await made.apply()
        assert (first.exit_code, first.done) == (1, 3)
        assert first.states[RowState.NOT_SENT] == 2, "this run does not send them again"
        later = [line for line in made.results if line["state"] == "not_sent"]
        assert {line["error"] for line in later} == {"try_later 4004"}
        assert all("next apply reads the form and tries again" in line["reason"] for line in later)
        seen = len(made.server.log)
        second = await made.apply()
        assert (second.exit_code, second.done) == (0, 5)
        asked = [record.endpoint for record in list(made.server.log)[seen:]]
        sent = [place for place, name in enumerate(asked) if str(name).endswith("refunds.return_goods")]
        assert len(sent) == 2
        reads = sum(str(name).endswith("refunds.get") for name in asked[: sent[1]])
        assert reads >= 2, "each is read before it is sent"
        assert list(made.succeeded.values()) == [1] * 5


def test_what_the_platform_put_off_goes_out_with_a_later_apply_behind_a_read(tmp_path: Path) -> None:
    put_off(tmp_path)


@virtual_time
async def carried_out_all_the_same(folder: Path) -> None:
    async with bench(folder, rows=2) as made:
        plan_files.misbehave(made.server, f"{INNER.replace('refusal', 'refusal_after')}4004:times=1")
        await made.apply()
        assert sorted(made.states) == ["confirmed", "not_sent"]
        ended = await made.apply()
        assert (ended.exit_code, ended.done) == (0, 2)
        assert list(made.succeeded.values()) == [1, 1], "the read found it: nothing was sent twice"


def test_what_was_put_off_and_carried_out_is_found_by_the_read(tmp_path: Path) -> None:
    carried_out_all_the_same(tmp_path)
