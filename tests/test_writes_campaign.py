"""Thousands of writes through lost answers, late landings, late sight and kill -9: each is done once."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.campaign import KINDS, MOMENTS, Campaign
from tests.support.campaign_vendor import Weather

ENDED = {"confirmed", "settled_done", "rejected", "settled_absent", "duplicate"}
MOST_RUNS = 12


def kill_again_and_again(campaign: Campaign, kills: int) -> None:
    chance = random.Random(campaign.seed)
    for number in range(kills):
        kind = KINDS[number % 2]
        share = campaign.rows // (kills // 2 + 1)
        die = MOMENTS[number % len(MOMENTS)], chance.randint(share // 3, share * 2 // 3)
        ended = campaign.run(kind, {}, die)
        assert ended.killed, (die, ended)


def finish(campaign: Campaign) -> None:
    for kind in KINDS:
        for number in range(MOST_RUNS):
            ended = campaign.run(kind, {"resend_absent": number % 2 == 1})
            assert ended.error is None, ended
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
        "fates": dict(truth.fates),
        "carried out": sum(truth.executed.values()),
        "runs": campaign.runs,
        "kills": campaign.kills,
    }


def carried_out(folder: Path, rows: int, kills: int, seed: int = 1) -> dict[str, Any]:
    campaign = Campaign(folder, rows, Weather(), seed)
    for kind in KINDS:
        assert campaign.run(kind, None).error is None
    kill_again_and_again(campaign, kills)
    finish(campaign)
    return check(campaign)


def test_a_small_campaign(tmp_path: Path) -> None:
    counts = carried_out(tmp_path, 40, 4)
    assert counts["kills"] == 4
    assert counts["carried out"] == 80


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_three_thousand_of_each(tmp_path: Path) -> None:
    counts = carried_out(tmp_path, 3_000, 10)
    print(counts)
    assert counts["kills"] == 10
    assert counts["carried out"] == 6_000
    assert counts["fates"]["late"] > 100
