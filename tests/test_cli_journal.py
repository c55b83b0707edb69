"""`pandapon journal`: what is in it, what became of it, and an operator's word."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, OutcomeUnknownError, Settings
from pandapon_async.journal.journal import Journal
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.command import Ended, Shell
from tests.support.journals import noted

LOST = "reset_after:1:endpoint=*.return_goods:times=1:after=1,reset_before:1:endpoint=*.return_goods:after=1"
NOTED = "a colleague read it in the console"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.setenv("LOGNAME", "mei")
    return Shell(monkeypatch, capsys, tmp_path)


@pytest.fixture
async def server(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox, and a journal with a confirmed return, a landed one and one that did not land."""
    async with Sandbox(refunds=400, faults=LOST) as sandbox:
        shell.use(sandbox)
        monkeypatch.setenv("PANDAPON_JOURNAL", str(tmp_path / "journal.sqlite"))
        settings = Settings(base_url=sandbox.base_url, rate=None, journal=tmp_path / "journal.sqlite")
        async with Client(sandbox.credentials, settings) as client:
            for number, refund_id in enumerate(plan_files.returnable(sandbox, 3)):
                call = client.v1.alibaba.refunds.return_goods(
                    refund_id=refund_id,
                    logistics_company_no="SF",
                    freight_bill=f"SF{number}",
                    description="ring Mrs Wang at 13800138000",
                )
                with contextlib.suppress(OutcomeUnknownError):
                    await call
        yield sandbox


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


async def test_list_and_export(shell: Shell, server: Sandbox) -> None:
    listed, exported = await shell.beside("journal", "list"), await shell.beside("journal", "export")
    assert (listed.code, exported.code, listed.out) == (0, 0, exported.out)
    assert [line["state"] for line in lines(listed)] == ["confirmed", "unknown", "unknown"]
    unknown = await shell.beside("journal", "list", "--state", "unknown", "--json")
    assert lines(unknown) == lines(listed)[1:]
    wrong = await shell.beside("journal", "list", "--state", "lost")
    assert wrong.code == 2
    first = lines(listed)[0]
    assert first["natural_key"].keys() == {"refundId"}
    assert first["facts"] == {"freightBill": "SF0", "logisticsCompanyNo": "SF"}


async def test_nothing_personal_and_nothing_secret_is_shown(shell: Shell, server: Sandbox) -> None:
    shown = await shell.beside("journal", "export")
    identity = lines(shown)[0]["id"]
    shown_too = await shell.beside("journal", "show", identity)
    for text in (shown.out, shown_too.out):
        assert "Wang" not in text
        assert "138001" not in text
        assert server.credentials.access_secret not in text
        assert server.credentials.access_key not in text


async def test_show_takes_the_beginning_of_an_id(shell: Shell, server: Sandbox) -> None:
    every = lines(await shell.beside("journal", "list"))
    shown = await shell.beside("journal", "show", every[1]["id"][:10])
    assert lines(shown) == [every[1]]
    absent = await shell.beside("journal", "show", "zzz")
    several = await shell.beside("journal", "show", "")
    assert absent.code == several.code == 2
    assert "no intent id begins with zzz; `pandapon journal list` shows all of them" in absent.err
    assert f"{len(every)} intent ids begin with '': {every[0]['id'][:8]}, " in several.err
    assert lines(await shell.beside("journal", "list", "--limit", "1")) == every[-1:]


async def test_resolve_reads_and_settles(shell: Shell, server: Sandbox) -> None:
    looked = await shell.beside("journal", "resolve", "--all", "--dry-run")
    assert (looked.code, [line["state"] for line in lines(looked)]) == (3, ["settled_done", "unknown"])
    again = await shell.beside("journal", "list", "--state", "unknown")
    assert len(lines(again)) == 2, "a dry run keeps nothing"
    first = await shell.beside("journal", "resolve", "--all")
    assert (first.code, [line["state"] for line in lines(first)]) == (3, ["settled_done", "unknown"])
    assert lines(first)[1]["resolution"] == "absent"
    last = await shell.beside("journal", "resolve", "--all", "--wait", "--settle-after", "0.2")
    assert (last.code, [line["state"] for line in lines(last)]) == (0, ["settled_absent"])
    nothing = await shell.beside("journal", "resolve", "--all")
    assert (nothing.code, nothing.out) == (0, "")
    assert "nothing is open" in nothing.err
    assert len(plan_files.effects_per_key(server, "return_goods")) == 2, "resolving sends no write"


async def test_one_intent_is_resolved_by_its_id(shell: Shell, server: Sandbox) -> None:
    identity = lines(await shell.beside("journal", "list", "--state", "unknown"))[0]["id"]
    ended = await shell.beside("journal", "resolve", identity[:12])
    assert (ended.code, lines(ended)[0]["state"]) == (0, "settled_done")
    assert (await shell.beside("journal", "resolve", identity)).code == 0, "a settled one stays so"


@pytest.mark.parametrize(("word", "state"), [("done", "settled_done"), ("absent", "settled_absent")])
async def test_an_operators_word(shell: Shell, server: Sandbox, word: str, state: str) -> None:
    identity = lines(await shell.beside("journal", "list", "--state", "unknown"))[0]["id"]
    asked = ["journal", "resolve", identity, "--as", word, "--note", NOTED]
    if word == "absent":
        young = await shell.beside(*asked, "--yes")
        assert (young.code, "believed 1 min 0 s after the write at the earliest" in young.err) == (2, True)
        asked += ["--settle-after", "0.2", "--wait"]
    tried = await shell.beside(*asked, "--dry-run")
    assert (tried.code, lines(tried)[-1]["state"]) == (0, state)
    assert len(lines(await shell.beside("journal", "list", "--state", "unknown"))) == 2
    ended = await shell.beside(*asked, "--yes")
    settled = lines(ended)[-1]
    assert (ended.code, settled["state"]) == (0, state)
    assert settled["remarks"][-1].startswith("mei at 20")
    assert settled["remarks"][-1].endswith(f"said {word}: {NOTED}")
    again = await shell.beside("journal", "resolve", identity, "--as", "absent", "--note", NOTED, "--yes")
    assert again.code == 2
    assert "only an intent with unknown outcome can be settled by hand" in again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name one intent, or use --all"),
        (("abc", "--all"), "name one intent, or use --all"),
        (("--all", "--as", "done", "--note", "x"), "--as settles one intent"),
        (("ID", "--as", "done"), "add --note with the place where you saw it"),
        (("ID", "--as", "done", "--note", "x"), "add --yes"),
        (("ID", "--as", "perhaps", "--note", "x"), "--as 'perhaps' must be one of done, absent"),
    ],
)
async def test_what_a_word_needs(
    shell: Shell, server: Sandbox, arguments: tuple[str, ...], message: str
) -> None:
    identity = lines(await shell.beside("journal", "list", "--state", "unknown"))[0]["id"]
    given = [identity if argument == "ID" else argument for argument in arguments]
    ended = await shell.beside("journal", "resolve", *given)
    assert ended.code == 2
    assert message in " ".join(ended.err.replace("│", " ").split())
    assert len(lines(await shell.beside("journal", "list", "--state", "unknown"))) == 2


async def test_a_state_that_cannot_be_read_settles_nothing(shell: Shell, server: Sandbox) -> None:
    plan_files.misbehave(server, "throttle_429:1.0:retry_after=3600")
    ended = await shell.beside("journal", "resolve", "--all")
    assert (ended.code, [line["state"] for line in lines(ended)]) == (3, ["unknown", "unknown"])
    assert lines(ended)[0]["remarks"][-1].startswith("the state was not read: too many calls")


async def test_a_wrong_secret(shell: Shell, server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "not-the-secret")
    assert (await shell.beside("journal", "resolve", "--all")).code == 4


async def test_where_there_is_no_journal(
    shell: Shell, server: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = await shell.beside("journal", "list", "--journal", "nowhere.sqlite")
    assert (missing.code, (tmp_path / "nowhere.sqlite").exists()) == (2, False)
    assert "the journal nowhere.sqlite does not exist" in missing.err
    monkeypatch.delenv("PANDAPON_JOURNAL")
    memory = await shell.beside("journal", "list")
    assert memory.code == 2
    assert "name a file with --journal" in memory.err


async def test_an_intent_of_a_living_process_is_left_to_it(
    shell: Shell, server: Sandbox, tmp_path: Path
) -> None:
    other = Journal(tmp_path / "journal.sqlite")
    intent = await noted(other,
        operation="alibaba.refunds.return_goods", natural_key={"refundId": "TQ1"},
        facts={}, once=False,
    )  # fmt: skip
    await other.sending(intent)
    ended = await shell.beside("journal", "resolve", intent.id)
    assert (ended.code, lines(ended)[0]["state"]) == (3, "sent")
    word = await shell.beside("journal", "resolve", intent.id, "--as", "absent", "--note", "x", "--yes")
    assert word.code == 2
    await other.aclose()
    shown = await shell.beside("journal", "show", intent.id)
    assert lines(shown)[0]["state"] == "unknown", "its process ended without noting an answer"


async def test_a_narrow_terminal_shows_ids_and_states_whole_and_says_what_to_do(
    shell: Shell, server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    journal = os.environ["PANDAPON_JOURNAL"]
    listed = await shell.beside("journal", "list", "--journal", journal)
    plain = re.sub(r"\x1b\[[0-9;]*m", " ", listed.out)
    assert len(re.findall(r"\b[0-9a-f]{12}\b", plain)) == 3
    assert len(re.findall(r"confirmed|unknown", plain)) == 5, "three rows and the sum"
    assert "the answer was lost or unclear (connection_lost)" in " ".join(plain.split())
    assert f"pandapon journal resolve --all --wait --journal {journal}" in listed.err
    looked = await shell.beside("journal", "resolve", "--all", "--dry-run", "--settle-after", "1000")
    assert "absent:" in looked.out
    assert "1 not found yet; absence is believed 16 min" in looked.err


async def test_people_see_tables(shell: Shell, server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    every = await shell.beside("journal", "list")
    assert "3 intents" in every.out
    assert "1 confirmed, 2 unknown" in every.out
    assert every.out.count("alibaba.refunds.return_goods") == 3, "open ones are always shown"
    newest = await shell.beside("journal", "list", "--limit", "1")
    assert newest.out.count("alibaba.refunds.return_goods") == 1
    assert "3 intents; 1 " in newest.out
    unknown = await shell.beside("journal", "list", "--state", "unknown")
    assert "2 intents" in unknown.out
    (identity,) = re.findall(r"\b[0-9a-f]{12}\b", re.sub(r"\x1b\[[0-9;]*m", " ", unknown.out))[:1]
    shown = await shell.beside("journal", "show", identity)
    assert '"freightBill"' in shown.out
    assert f"resolve it by reading: pandapon journal resolve {identity} --wait" in shown.err
    resolved = await shell.beside("journal", "resolve", identity)
    assert f"{identity} alibaba.refunds.return_goods refundId=TQ" in resolved.out


@pytest.mark.parametrize("command", [("check",), ("salvage",), ("adopt", "--user-id", "1")])
def test_the_address_of_a_database_is_not_shown(shell: Shell, command: tuple[str, ...]) -> None:
    ended = shell("journal", command[0], "postgresql://u:canary@h/db", *command[1:])
    assert (ended.code, ended.out) == (2, "")
    assert "not the address of a database" in ended.err
    assert "canary" not in ended.err
