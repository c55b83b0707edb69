"""The demo and the doctor: the first commands of a new user, and of one whose night went wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pandapon_async.sandbox import Sandbox
from tests.support.command import Shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def test_the_demo_finds_what_was_planted(shell: Shell) -> None:
    for _ in range(2):  # the second time it replaces its own files
        ended = shell("demo", "--refunds", "200", "--rate", "2000", "--faults", "0.02")
        assert ended.code == 0
        assert "every row has the planted verdict" in ended.out
    assert (shell.folder / "demo" / "report" / "report.html").is_file()


def test_the_demo_leaves_other_folders_alone(shell: Shell) -> None:
    (shell.folder / "mine.txt").write_text("precious")
    ended = shell("demo", "--out", str(shell.folder), "--refunds", "20")
    assert ended.code == 2
    assert "not from an earlier demo" in ended.err
    assert [path.name for path in shell.folder.iterdir()] == ["mine.txt"]


def findings(text: str) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in map(json.loads, text.splitlines())}


async def test_the_doctor_finds_nothing_wrong_with_the_sandbox(shell: Shell) -> None:
    async with Sandbox(refunds=5) as sandbox:
        shell.use(sandbox)
        ended = await shell.beside("doctor")
    found = findings(ended.out)
    assert ended.code == 0
    assert {name for name, check in found.items() if check["state"] != "ok"} == {"rate"}  # none is set
    assert set(found) == {"versions", "dns", "tls", "clock", "key", "rate", "journal", "disk"}


@pytest.mark.parametrize(("variable", "value"), [("ACCESS_SECRET", "wrong"), ("ACCESS_KEY", "other")])
async def test_the_doctor_names_a_wrong_key(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    async with Sandbox(refunds=5) as sandbox:
        shell.use(sandbox)
        monkeypatch.setenv(f"PANDAPON_{variable}", value)
        ended = await shell.beside("doctor")
    key = findings(ended.out)["key"]
    assert (ended.code, key["state"]) == (1, "bad")
    assert "check key, secret" in key["advice"]
    assert value not in ended.out


async def test_the_doctor_sees_a_clock_that_is_off(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    async with Sandbox(refunds=5) as sandbox:
        shell.use(sandbox)
        monkeypatch.setattr("pandapon_async.cli.doctor.time.time", lambda: now() + 700)
        ended = await shell.beside("doctor", "--no-online")
    clock = findings(ended.out)["clock"]
    assert (ended.code, clock["state"]) == (1, "bad")
    assert "ahead of the server" in clock["found"]


def test_the_doctor_without_a_network_or_a_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANDAPON_BASE_URL", "https://pandapon.invalid")
    ended = shell("doctor")
    found = findings(ended.out)
    assert ended.code == 1
    assert {found[name]["state"] for name in ("dns", "tls", "key")} == {"bad"}
    assert "PANDAPON_ACCESS_KEY" in found["key"]["found"]
