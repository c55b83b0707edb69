"""The command inside an archive, without metadata, and without docstrings, as frozen programs have it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

import pandapon_async
from pandapon_async.sandbox import Sandbox

PACKAGE = Path(pandapon_async.__file__).parent
MAIN = """\
import importlib.metadata, sys
known = importlib.metadata.distribution
def distribution(name):
    if name.replace("_", "-") == "pandapon-async":
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)
importlib.metadata.distribution = distribution
sys.path[:] = [one for one in sys.path if one != %r]
sys.meta_path[:] = [one for one in sys.meta_path if "editable" not in repr(one)]
from pandapon_async.cli import main
import pandapon_async
assert ".pyz" in pandapon_async.__file__
codes = []
for command in " ".join(sys.argv[1:]).split(" + "):
    sys.argv[1:] = command.split()
    try:
        main()
    except SystemExit as end:
        codes.append(end.code or 0)
sys.exit(max(codes))
"""
"""Several commands in one process, with a plus between them: an archive keeps nothing that was compiled."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as one file."""
    folder = tmp_path_factory.mktemp("frozen")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "app" / PACKAGE.name, ignore=ignored)
    (folder / "app" / "__main__.py").write_text(MAIN % str(PACKAGE.parent))
    zipapp.create_archive(folder / "app", folder / "pandapon.pyz")
    return folder / "pandapon.pyz"


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {
        name: value for name, value in os.environ.items() if not name.startswith(("PANDAPON_", "PYTHONPATH"))
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=given | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_data_files_and_versions_are_found_in_an_archive(archive: Path, tmp_path: Path) -> None:
    commands = "openapi --out api.json + endpoints --undocumented + doctor --no-online"
    ended = run(tmp_path, str(archive), *commands.split())
    assert "Traceback" not in ended.stderr
    assert ended.returncode in (0, 1), ended.stderr
    assert json.loads((tmp_path / "api.json").read_text())["info"]["version"] == pandapon_async.__version__
    checks = {
        check["name"]: check for check in map(json.loads, re.findall(r'^{"name".*', ended.stdout, re.M))
    }
    assert checks["versions"]["state"] == "warning"
    assert "without the metadata" in checks["versions"]["found"]


async def test_a_reconciliation_from_an_archive(archive: Path, tmp_path: Path) -> None:
    async with Sandbox(refunds=20, seed=7) as server:
        (refund_id, *_) = server.refund_ids("1688")
        (tmp_path / "ledger.csv").write_text(f"refund_id,amount_fen\n{refund_id},5\n")
        variables = {
            "PANDAPON_ACCESS_KEY": server.credentials.access_key,
            "PANDAPON_ACCESS_SECRET": server.credentials.access_secret,
            "PANDAPON_USER_ID": server.credentials.user_id,
            "PANDAPON_BASE_URL": server.base_url,
        }
        command = (str(archive), "reconcile", "ledger.csv", "--out", "o")
        ended = await asyncio.to_thread(run, tmp_path, *command, **variables)
    assert ended.returncode == 1, ended.stderr
    assert (tmp_path / "o" / "report.html").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ("call", "taobao.refunds.get", "--help"),
        pytest.param((), marks=pytest.mark.nightly),
        pytest.param(("--help",), marks=pytest.mark.nightly),
        pytest.param(("reconcile", "--help"), marks=pytest.mark.nightly),
    ],
)
def test_without_docstrings_it_says_what_is_missing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    variables = {"PYTHONPATH": str(PACKAGE.parent), "COLUMNS": "120"}
    without = run(tmp_path, "-OO", "-m", "pandapon_async", *arguments, **variables)
    assert "note: python -OO removes the descriptions of commands and calls" in without.stderr
    assert without.stdout + without.stderr.partition("\n")[2] != ""
    with_them = run(tmp_path, "-m", "pandapon_async", *arguments, **variables)
    assert "-OO" not in with_them.stderr
    assert without.returncode == with_them.returncode
