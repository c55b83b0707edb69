"""The demo: the first command of a new user."""

from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", ["ledger.csv", "report/rows.csv", "report/notes.txt"])
def test_the_demo_replaces_nothing_of_the_users(shell: Shell, name: str) -> None:
    """A folder with the same names in it, or one whose ledger was changed since, is not the demo's."""
    mine = shell.folder / "demo" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("refund_id,amount_fen\nTQ1,5\n")
    ended = shell("demo", "--refunds", "20", "--faults", "0")
    assert (ended.code, mine.read_text()) == (2, "refund_id,amount_fen\nTQ1,5\n")
    assert "choose another --out" in ended.err


def test_a_ledger_that_was_changed_is_kept(shell: Shell) -> None:
    options = ("--refunds", "20", "--rate", "2000", "--faults", "0")
    assert shell("demo", *options).code == 0
    ledger, mine = shell.folder / "demo" / "ledger.csv", shell.folder / "demo" / "report" / "mine.txt"
    mine.write_text("precious")
    assert shell("demo", *options, "--seed", "8").code == 0
    assert mine.read_text() == "precious"
    ledger.write_text(changed := ledger.read_text() + "TQ1,5\n")
    ended = shell("demo", *options)
    assert (ended.code, ledger.read_text()) == (2, changed)
    assert "was changed since the demo made it" in ended.err
