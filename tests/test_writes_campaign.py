"""Thousands of writes through lost answers, late landings, late sight and kill -9: each is done once.

Two backups are restored on the way: an older journal, which `apply` refuses until it is adopted, and an older
plan with its journal, which nothing can notice, so that every row is read first. The key is rotated once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.campaign import KINDS, MOMENTS, Campaign
from tests.support.campaign_vendor import Weather

JOURNAL = "journal.sqlite"
PLANS = ("returns.db", "refunds.db")
MOST_RUNS = 12
REFUSED = "authentication"
"""How a run ends that meets a page with 403: which may have come after the write was carried out."""


class Killer:
    """Runs that are killed, each at another kind of moment."""

    def __init__(self, campaign: Campaign, kills: int) -> None:
        self._campaign = campaign
        self._chance = random.Random(campaign.seed)
        self._share = campaign.rows // (kills // 2 + 1)

    def kill(self, times: int, options: Mapping[str, Any] | None = None) -> None:
        """So many runs that are killed, of returns and refunds by turns."""
        for _ in range(times):
            number = self._campaign.kills
            after = self._chance.randint(self._share // 3, self._share * 2 // 3)
            for tried in range(MOST_RUNS):
                # A page with 403 may end the run first: then the next is killed sooner.
                die = MOMENTS[number % len(MOMENTS)], after >> tried
                ended = self._campaign.run(KINDS[number % 2], options or {}, die)
                if ended.killed:
                    break
                assert ended.error == REFUSED, (die, ended)
            assert ended.killed, "it was over before it could be killed"


def restore_an_older_journal(campaign: Campaign, backup: Path) -> None:
    """It knows less than the plans: nothing is sent until it is adopted, and then every row is read first."""
    before = sum(campaign.truth.fates.values())
    campaign.restore(backup)
    for kind in KINDS:
        assert campaign.run(kind, {}).error == "configuration"
    assert sum(campaign.truth.fates.values()) == before, "an older journal was written with"


def finish(campaign: Campaign, first: Mapping[str, Any]) -> None:
    for kind in KINDS:
        for number in range(MOST_RUNS):
            options = {**first, "resend_absent": number % 2 == 1, "resend_throttled": number % 2 == 1}
            ended = campaign.run(kind, options)
            assert ended.error in (None, REFUSED), ended
            if set(ended.states) <= {"confirmed", "settled_done"}:
                break


def check(campaign: Campaign) -> dict[str, Any]:
    """Every final state is true or unknown, and nothing was carried out twice; the counts."""
    truth = campaign.truth
    assert truth.doubled == []
    assert truth.nonces_repeated == 0
    states = Counter[str]()
    for kind in KINDS:
        for key, row in zip(campaign.names[kind], campaign.rows_of(kind), strict=True):
            state, done = row["state"], truth.executed[key]
            states[state] += 1
            if state in ("confirmed", "settled_done"):
                assert done == truth.accepted[key] == 1, (key, row)
                assert row["result"] == truth.results.get(key)
            elif state != "unknown":
                assert done == 0, (key, row)
    return {
        "states": dict(states),
        "requests": dict(truth.fates),
        "carried out": sum(truth.executed.values()),
        "doubled": len(truth.doubled),
        "runs": campaign.runs,
        "killed": campaign.kills,
        "restored": campaign.restored,
    }


def carried_out(folder: Path, rows: int, kills: int, seed: int = 1) -> dict[str, Any]:
    """A whole campaign; its counts."""
    campaign, part = Campaign(folder, rows, Weather(refused_after=0.01), seed), kills // 4
    for kind in KINDS:
        assert campaign.run(kind, None).error is None
    killer = Killer(campaign, kills)
    killer.kill(kills - 2 - 2 * part)
    journal = campaign.back_up(JOURNAL, whole=False)
    killer.kill(part)
    campaign.rotate()
    restore_an_older_journal(campaign, journal)
    killer.kill(2, {"adopt_journal": True})  # one of each kind
    everything = campaign.back_up(JOURNAL, *PLANS)
    killer.kill(part)
    campaign.restore(everything)
    finish(campaign, {"check_first": True})
    return check(campaign)


def test_a_small_campaign(tmp_path: Path) -> None:
    counts = carried_out(tmp_path, 40, 5)
    assert (counts["killed"], counts["restored"]) == (5, 2)
    assert counts["carried out"] == 80


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_three_thousand_of_each(tmp_path: Path) -> None:
    counts = carried_out(tmp_path, 3_000, 10)
    print(counts)
    assert (counts["killed"], counts["restored"]) == (10, 2)
    assert counts["carried out"] == 6_000
    assert counts["requests"]["late"] > 100
