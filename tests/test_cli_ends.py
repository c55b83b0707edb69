"""Every way in which a command ends, by the table of docs/exit-codes.md: its code, and what is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command import Shell
from tests.support.ends import ENDS, PAGE, End, House, page
from tests.support.mistakes import COMMANDS, Mistake, common_mistakes, mistakes

pytestmark = [
    pytest.mark.may_block("commands are run"),
    pytest.mark.timeout(120),
]

FOREIGN = re.compile(r"Traceback|Errno|Usage: .*\[OPTIONS\].*\nTry|click|typer|errno|sqlite3\.|aiohttp")
"""Words of libraries."""


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> House:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "work"
    folder.mkdir()
    return House(Shell(monkeypatch, capsys, folder), monkeypatch)


SLOW = {"Ctrl-C: what is on its way ends first"}
"""Ends that take half a minute."""


@pytest.mark.parametrize(
    "end",
    [pytest.param(end, marks=[pytest.mark.nightly] * (end.when in SLOW)) for end in ENDS],
    ids=lambda end: f"{end.typed.split(' && ')[-1][:50]}-{end.code}-{end.when}",
)
async def test_a_command_ends_so(house: House, end: End) -> None:
    async with house.stack:
        ended = await end.scene(house, end.typed)
    where, told = (ended.out, end.told[8:]) if end.told.startswith("stdout: ") else (ended.err, end.told)
    assert ended.code == end.code, ended
    assert told in where, ended
    assert not FOREIGN.search(ended.err), ended.err
    if ended.code == 2 and not ended.err.startswith("Usage") and not end.told.startswith("stdout: "):
        assert "error: " in ended.err or "cannot listen" in ended.err, ended


@pytest.mark.parametrize("mistake", common_mistakes(), ids=lambda one: one.line)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_common_is_told_by_every_command(house: House, mistake: Mistake, command: str) -> None:
    ended = house.shell(*command.split(), *mistake.typed)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: {mistake.told}\nsee `pandapon {command} --help`\n"


@pytest.mark.parametrize(
    "mistake", [one for command in COMMANDS for one in mistakes(command)], ids=lambda one: one.line
)
def test_a_mistake_is_told(house: House, mistake: Mistake) -> None:
    ended = house.shell(*mistake.command.split(), *mistake.typed)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: {mistake.told}\nsee `pandapon {mistake.command} --help`\n"
    assert list(house.folder.iterdir()) == []


def test_the_page_has_every_row() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: python -m tests.support.ends"


def test_every_command_is_in_the_table() -> None:
    assert {end.command for end in ENDS} - {""} == COMMANDS.keys()
