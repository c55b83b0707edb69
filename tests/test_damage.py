"""120 random damages of a journal and of a plan: each is named or without effect, and nothing is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import ConfigurationError, DuplicateIntentError, JournalUnavailableError, plans
from pandapon_async.plans import PlanOptions
from tests.support import plan_files
from tests.support.bench import bench
from tests.support.damage import BATCHES, spoil
from tests.support.virtual import outcome, virtual_time

FIRST = BATCHES[0]
every_night = pytest.mark.parametrize(
    "first",
    [first if first == FIRST else pytest.param(first, marks=pytest.mark.nightly) for first in BATCHES],
)


def creations(server: Any) -> int:
    return sum((request.endpoint or "").endswith("refunds.create") for request in server.log)


@virtual_time
async def _journals(folder: Path, seeds: range) -> None:
    """Every application was carried out. Each is tried again, by a call, with a damaged journal."""
    rows = 12
    async with bench(folder, "refunds", rows=rows) as made:
        assert (await made.apply()).exit_code == 0
        journal = folder / "journal.sqlite"
        content, sent = journal.read_bytes(), creations(made.server)
        again = [json.loads(row["arguments"]) for row in plan_files.rows_of(made.plan)]
        named = 0
        for seed in seeds:
            journal.write_bytes(content)
            spoilt = spoil(journal, seed)
            assert spoilt != content
            kinds = set()
            async with made.client() as client:
                for arguments in again:
                    kinds.add(type(await outcome(client.v1.alibaba.refunds.create(**arguments))))
            assert kinds <= {DuplicateIntentError, JournalUnavailableError}, (seed, kinds)
            named += JournalUnavailableError in kinds
            applied = await outcome(made.apply())
            assert applied is None or isinstance(applied, JournalUnavailableError | ConfigurationError), seed
        assert creations(made.server) == sent, "no application went out again"
        assert list(made.succeeded.values()) == [1] * rows
        assert named > len(seeds) * 0.7, "the others hit free room"


@every_night
def test_a_damaged_journal_is_named_and_nothing_is_sent(tmp_path: Path, first: int) -> None:
    _journals(tmp_path, range(first, first + 12))


@virtual_time
async def _plans(folder: Path, seeds: range) -> None:
    """Nothing of the plan was sent. Applied with damage, it is named; or all of it is right."""
    async with bench(folder, "refunds", rows=8) as made:
        content = made.plan.read_bytes()
        wanted = [row["arguments"] for row in plan_files.rows_of(made.plan)]
        named = 0
        for seed in seeds:
            for file in (*folder.glob("journal.sqlite*"), *folder.glob("plan.db*")):
                file.unlink()
            made.plan.write_bytes(content)
            spoil(made.plan, seed)
            sent = creations(made.server)
            ended = await outcome(made.apply(adopt_journal=True, never_applied=True, dry_run=True))
            if ended is not None:
                named += 1
                assert isinstance(ended, ConfigurationError), (seed, ended)
                assert str(made.plan) in str(ended)
                with pytest.raises(ConfigurationError):  # what cannot be applied is not summed up either
                    plans.summarize(made.plan)
                ended = await outcome(made.apply(adopt_journal=True))
                assert isinstance(ended, ConfigurationError)
            else:
                assert [row["arguments"] for row in plan_files.rows_of(made.plan)] == wanted
            assert creations(made.server) == sent
        assert named > len(seeds) * 0.7


@every_night
def test_a_damaged_plan_is_named_and_nothing_is_sent(tmp_path: Path, first: int) -> None:
    _plans(tmp_path, range(first, first + 12))


@virtual_time
async def _made_anew(folder: Path) -> None:
    """The advice for a damaged plan, followed: what it sent is not sent again."""
    async with bench(folder, "refunds", rows=6) as made:
        plan_files.misbehave(made.server, "error_500:1.0:endpoint=*.refunds.create:after=3")
        await made.apply(wait=False, concurrency=1, stop_after_failures=1)
        plan_files.misbehave(made.server, "")
        done = dict(made.succeeded)
        assert len(done) >= 3
        made.plan.write_bytes(made.plan.read_bytes().replace(b"confirmed", b"cancelled"))
        with pytest.raises(
            ConfigurationError, match="Create the plan again from its table: the journal knows"
        ):
            await made.apply()
        made.plan.unlink()
        async with made.client() as client:
            await plans.create(client, "refunds", folder / "table.csv", made.plan, options=PlanOptions())
        await made.apply()
        assert set(made.succeeded.values()) == {1}
        await made.apply(resend_absent=True)  # the one whose answer was an error, which the journal knows
        assert len(made.succeeded) == 6
        assert set(made.succeeded.values()) == {1}


def test_a_plan_that_is_made_anew_sends_nothing_twice(tmp_path: Path) -> None:
    _made_anew(tmp_path)
