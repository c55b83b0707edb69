"""`pandapon endpoints`: every filter, both forms, and the calls whose paths are not known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.api.registry import endpoints, operations
from pandapon_async.cli.endpoints import COLUMNS
from pandapon_async.openapi.catalogue import section_of, undocumented
from tests.support.command import Shell

DECLARED = endpoints()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def listed(shell: Shell, *options: str) -> list[dict[str, Any]]:
    ended = shell("endpoints", *options)
    assert (ended.code, ended.err) == (0, "")
    return [json.loads(line) for line in ended.out.splitlines()]


def test_every_call_is_one_line(shell: Shell) -> None:
    rows = listed(shell)
    assert [f"{row['generation']}.{row['name']}" for row in rows] == list(DECLARED)
    endpoint = DECLARED["v1.taobao.refunds.cancel"]
    assert next(row for row in rows if row["path"] == endpoint.path) == {
        "name": "taobao.refunds.cancel",
        "generation": "v1",
        "method": "GET",
        "path": "/open/order/refund/cancel/{refundId}",
        "safety": "checked",
        "stage": "in development",
        "evidence": "documented",
        "summary": endpoint.summary,
        "page": endpoint.page,
        "chosen": False,  # the plain name means the second generation, which is released
    }


def test_each_operation_has_one_generation_that_its_plain_name_means(shell: Shell) -> None:
    chosen = {row["name"]: row["generation"] for row in listed(shell) if row["chosen"]}
    assert chosen == {name: one.ranked[0].generation for name, one in operations().items()}
    assert chosen["alibaba.refunds.get"] == "v1"  # the second generation's path is inferred
    assert chosen["alibaba.refunds.create"] == "v2"


FILTERS: list[tuple[tuple[str, ...], Any]] = [
    (("--group", "refunds"), lambda one: section_of(one).group == "refunds"),
    (("--platform", "1688"), lambda one: one.name.startswith("alibaba.")),
    (("--platform", "taobao"), lambda one: one.name.startswith("taobao.")),
    (("--generation", "v2"), lambda one: one.generation == "v2"),
    (("--stage", "to be deprecated"), lambda one: one.stage == "to be deprecated"),
    (("--evidence", "public client"), lambda one: one.evidence == "public client"),
    (("--safety", "never_automatic"), lambda one: one.safety == "never_automatic"),
    (
        ("--group", "refunds", "--platform", "1688", "--generation", "v1", "--evidence", "inferred"),
        lambda one: one.pin == "v1.alibaba.refunds.upload_voucher",
    ),
]


@pytest.mark.parametrize(("options", "wanted"), FILTERS, ids=[" ".join(options) for options, _ in FILTERS])
def test_filters(shell: Shell, options: tuple[str, ...], wanted: Any) -> None:
    names = [f"{row['generation']}.{row['name']}" for row in listed(shell, *options)]
    assert names == [name for name, one in DECLARED.items() if wanted(one)]
    assert 0 < len(names) < len(DECLARED)


@pytest.mark.parametrize("options", [("--platform", "amazon"), ("--safety", "safe"), ("--stage", "alpha")])
def test_a_filter_that_does_not_exist_is_refused(shell: Shell, options: tuple[str, ...]) -> None:
    ended = shell("endpoints", *options)
    assert (ended.code, ended.out) == (2, "")


def test_a_group_that_does_not_exist_is_told_which_there_are(shell: Shell) -> None:
    ended = shell("endpoints", "--group", "refund")
    assert (ended.code, ended.out) == (2, "")
    assert "there is no group refund; known: addresses, callbacks, carts," in ended.err


def test_calls_without_a_path_are_shown_if_asked_for(shell: Shell) -> None:
    rows = listed(shell, "--undocumented")
    missing = [row for row in rows if row["evidence"] == "path not known"]
    assert len(missing) == len(undocumented()) > 50
    assert len(rows) == len(missing) + len(DECLARED)
    assert {(row["name"], row["method"], row["path"]) for row in missing} == {(None, None, None)}
    some = listed(shell, "--undocumented", "--group", "refunds", "--platform", "1688", "--generation", "v1")
    assert some[-1]["summary"] == "1688 refunds: List of logistics companies - all logistics companies"
    assert listed(shell, "--undocumented", "--safety", "read") == listed(shell, "--safety", "read")


def test_a_call_without_a_path_is_no_call(shell: Shell) -> None:
    """They are nowhere as code: what has no known path has no name."""
    titles = {row.title.lower() for row in undocumented()}
    assert not {one.summary.lower() for one in DECLARED.values()} & titles
    assert all(row.page is None or ".pandapon.com/" in row.page for row in undocumented())


def test_a_person_gets_a_table(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = shell("endpoints", "--group", "refunds", "--undocumented", "--no-json")
    head, *rows = ended.out.splitlines()
    assert re.findall(r"[a-z]+", head) == list(COLUMNS)
    assert any(row.startswith("alibaba.refunds.get") for row in rows)
    assert any("path not known" in row for row in rows)
    assert listed(shell, "--group", "refunds", "--json")[0]["name"] == "alibaba.refunds.get"
