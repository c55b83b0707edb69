"""What a release says about itself: version, formats of files, changed names."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import pandapon_async
from pandapon_async import recording
from pandapon_async.callbacks import store as callbacks
from pandapon_async.follow import store as follow
from pandapon_async.journal import file_format as journal
from pandapon_async.plans import plan_format as plans
from pandapon_async.reconcile import lookup_store, run_store
from pandapon_async.shared import schema
from tests.api_changes import changes, untold

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
VERSIONS = (ROOT / "docs" / "versions.md").read_text("utf-8")


def test_the_changelog_begins_with_this_version() -> None:
    (newest,) = re.findall(r"^## \[(.+?)\] - ", CHANGELOG, flags=re.MULTILINE)[:1]
    assert newest == pandapon_async.__version__


def test_the_page_of_versions_has_the_formats_and_bounds_that_hold() -> None:
    numbers = {
        name: int(number)
        for name, number in re.findall(r"^\| ([a-z ]+?)(?: \(.*?\))? \| (\d+) \|", VERSIONS, re.M)
    }
    assert numbers == {
        "journal": journal.FILE_FORMAT.number,
        "plan": plans.FORMAT.number,
        "state of a run": run_store.FORMAT.number,
        "lookups for later runs": lookup_store.FORMAT.number,
        "store of callbacks": callbacks.FILE_FORMAT.number,
        "followed refunds": follow.FORMAT.number,
        "recording": recording.FORMAT,
        "shared database": schema.VERSION,
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (aiohttp,) = [one for one in project["dependencies"] if one.startswith("aiohttp")]
    assert f"{aiohttp.removeprefix('aiohttp>=')} and later" in VERSIONS
    named = re.findall(
        r"3\.\d+", next(line for line in VERSIONS.splitlines() if line.startswith("| Python |"))
    )
    assert [one.rpartition(" ")[2] for one in project["classifiers"] if "Python :: 3." in one] == named


def test_a_changed_name_must_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("griffe")
    package = tmp_path / "pandapon_async"
    package.mkdir()
    for name in ("bulk", "callbacks", "errors", "planning", "plans", "reconcile", "sandbox"):
        (package / f"{name}.py").write_text("__all__ = []\n")
    (package / "bulk.py").write_text("__all__ = ['run']\ndef run(jobs, pace): ...\n")
    (package / "errors.py").write_text(
        "__all__ = ['Lost', 'Late']\nclass Lost: ...\nclass Late:\n    def wait(self): ...\n"
    )
    (package / "__init__.py").write_text("from pandapon_async.errors import Lost\n__all__ = ['Lost']\n")

    def git(*words: str) -> str:
        author = ("-c", "user.name=n", "-c", "user.email=e@example.invalid")
        ended = subprocess.run(
            ["git", *author, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return ended.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "before")
    (package / "bulk.py").write_text("__all__ = ['run']\ndef run(jobs): ...\n")
    (package / "errors.py").write_text("__all__ = ['Late']\nclass Late: ...\n")
    (package / "__init__.py").write_text("__all__ = []\n")
    found = dict(changes(git("rev-parse", "HEAD"), tmp_path))
    assert found == {
        "Lost: no longer there": ("Lost",),
        "bulk.run(pace): parameter was removed": ("run", "pace"),
        "errors.Late.wait: no longer there": ("wait",),
        "errors.Lost: no longer there": ("Lost",),
        "planning: no longer there": ("planning", "plans"),
    }
    section = "# Changelog\n\n## [2]\n\n`run(pace=...)` is gone\n\n## [1]\n\n`Lost`, `run`\n"
    assert [untold(names, section) for names in found.values()] == [True, False, True, True, True]
