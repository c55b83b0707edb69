"""`pandapon clean`: old reports and states go, by their mark, and nothing else does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pandapon_async.journal.store import JournalStore
from pandapon_async.reconcile.outputs import FILES
from pandapon_async.sandbox import Sandbox
from pandapon_async.storage.files import only_writer
from tests.support.command import Shell

YEARS_AGO = 1_000_000_000


@pytest.fixture
async def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    """A folder with an old report and an old state in it, and files of others that look like them."""
    shell = Shell(monkeypatch, capsys, tmp_path)
    async with Sandbox(refunds=30, seed=7) as server:
        shell.use(server)
        ids = list(server.refund_ids("1688"))[:3]
        (tmp_path / "ledger.csv").write_text("refund_id,amount_fen\n" + "".join(f"{one},5\n" for one in ids))
        await shell.beside("reconcile", "ledger.csv", "--out", "runs/one")
    shutil.copytree("runs/one", "runs/young")
    mine = tmp_path / "runs" / "mine"
    mine.mkdir()
    for name in FILES:
        (mine / name).write_text("mine")
    (mine / "state-0123456789ab.sqlite").write_text("mine")
    JournalStore(str(mine / "journal.sqlite")).close()
    (mine / "link.csv").symlink_to(tmp_path / "runs" / "one" / "rows.csv")
    shutil.copytree("runs/one", "elsewhere")
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "runs" / "one" / "state-0123456789ab.sqlite.damaged-01234567").write_text("x" * 99)
    for folder in ("runs/one", "runs/mine", "elsewhere"):
        for file in Path(folder).iterdir():
            os.utime(file, (YEARS_AGO, YEARS_AGO), follow_symlinks=False)
    return shell


def files() -> set[Path]:
    found = {path for path in Path().rglob("*") if path.is_symlink() or path.is_file()}
    return {path for path in found if not path.name.startswith(".")}


def test_old_files_of_runs_are_told_and_deleted(shell: Shell) -> None:
    before = files()
    ours = {path for path in before if path.parent == Path("runs/one")}
    assert {path.name for path in ours} > FILES.keys() - {"missing.csv"}  # only with --find-missing
    asked = shell("clean", "--older-than", "400d", "runs")
    assert asked.code == 2
    assert f"{len(ours)} files of reconciliations are older than 400d" in asked.err
    assert "add --yes" in asked.err
    assert files() == before
    done = shell("clean", "--older-than", "400d", "runs", "--yes")
    assert done.code == 0
    assert f"{len(ours)} deleted." in done.err
    assert before - files() == ours
    again = shell("clean", "--older-than", "400d", "runs")
    assert (again.code, "nothing was deleted" in again.err) == (0, True)


def test_a_folder_that_a_run_writes_into_is_left_alone(shell: Shell) -> None:
    before = files()
    with only_writer(Path("runs/one")):
        ended = shell("clean", "--older-than", "400d", "runs", "--yes")
    assert ended.code == 2
    assert "is being written by another process" in ended.err
    assert files() == before


def test_what_is_not_an_age_or_a_folder_is_refused(shell: Shell) -> None:
    assert shell("clean", "--older-than", "old").code == 2
    assert shell("clean", "--older-than", "1d", "nowhere").code == 2
