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
