"""The page on many machines: its manifest and its DAG are read, and what they start is run here."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pandapon_async.reconcile.outputs import VARYING
from pandapon_async.sandbox import Sandbox
from tests.support.pages import HOW_TOS, ROOT, blocks
from tests.support.plan_files import environment
from tests.test_docs_pages import read  # noqa: F401  # a fixture
from tests.test_reconcile_job import write_ledger

PAGE = next(page for page in HOW_TOS if page.name == "many-machines.md")
FILES = {block.title: block.text for block in blocks(PAGE) if block.title}


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(FILES["pandapon-parts.yaml"]))


class Operator:
    """Airflow's BashOperator, as far as the page uses it: it remembers what it would run."""

    made: list[list[str]] = []  # noqa: RUF012

    def __init__(self, *, bash_command: str | list[str], **given: Any) -> None:
        assert set(given) <= {"task_id", "retries", "retry_delay", "cwd", "max_active_tis_per_dag"}
        self.made.append([bash_command] if isinstance(bash_command, str) else bash_command)

    @classmethod
    def partial(cls, **given: Any) -> types.SimpleNamespace:
        return types.SimpleNamespace(expand=lambda bash_command: cls(bash_command=bash_command, **given))

    def __rshift__(self, after: Operator) -> Operator:
        return after


class Dag:
    """A DAG, in which tasks are made."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> Dag:
        return self

    def __exit__(self, *_: object) -> None: ...


def airflow(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the page's DAG, task by task. Airflow itself is not installed here: 200 MB."""
    standard = types.SimpleNamespace(BashOperator=Operator)
    for name, module in {
        "airflow": types.SimpleNamespace(),
        "airflow.sdk": types.SimpleNamespace(DAG=Dag),
        "airflow.providers.standard.operators.bash": standard,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("providers", "providers.standard", "providers.standard.operators"):
        monkeypatch.setitem(sys.modules, f"airflow.{name}", types.SimpleNamespace())
    Operator.made = []
    exec(compile(FILES["pandapon_nightly.py"], "pandapon_nightly.py", "exec"), {})
    return Operator.made


def run(folder: Path, server: Sandbox, command: list[str], **more: str) -> int:
    """Run a command line as a container or a worker would, with `pandapon` on its path."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "pandapon").write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pandapon_async "$@"\n'
    )
    (tools / "pandapon").chmod(0o755)
    given = environment(server, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}", **more)
    ended = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    return ended.returncode


def lasting(path: Path) -> list[list[str]]:
    lines = path.read_text("utf-8").splitlines()
    return [line.split(",")[:-VARYING] for line in lines]


@pytest.mark.nightly
async def test_the_manifest_and_the_dag_come_to_what_one_run_comes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of their command lines is run as it stands; the rate is raised, so that nobody waits."""
    job, merge = manifests()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (last,) = merge["spec"]["template"]["spec"]["containers"]
    split, parts, merged = airflow(monkeypatch)
    assert len(parts) == job["spec"]["completions"] == 8
    quick = [command.replace("--rate 5", "--rate 5000") for command in parts]
    assert quick != parts
    folder = tmp_path / "data"
    folder.mkdir()
    async with Sandbox(refunds=60, seed=7) as server:
        await asyncio.to_thread(write_ledger, folder / "ledger.csv", server)
        whole = ["pandapon", "reconcile", "ledger.csv", "--out", "whole"]
        as_of = ["--as-of", "2026-01-01T00:00:00+08:00"]
        assert await asyncio.to_thread(run, folder, server, [*whole, *as_of]) == 1
        seen = server.counters.requests
        assert (
            await asyncio.to_thread(run, folder, server, ["sh", "-c", f"{split[0]} {' '.join(as_of)}"]) == 0
        )
        for index in (0, 1, 2):
            command = [word.replace("--rate 5", "--rate 5000") for word in container["command"]]
            numbered = {"JOB_COMPLETION_INDEX": str(index)}
            assert await asyncio.to_thread(lambda: run(folder, server, command, **numbered)) == 0  # noqa: B023
        for command_line in quick[3:]:
            assert await asyncio.to_thread(run, folder, server, ["sh", "-c", command_line]) == 0
        summary = json.loads((folder / "whole" / "summary.json").read_text("utf-8"))
        assert server.counters.requests - seen == summary["run"]["lookups"]
        assert await asyncio.to_thread(run, folder, server, last["command"]) == 1
        assert lasting(folder / "report" / "rows.csv") == lasting(folder / "whole" / "rows.csv")
        (folder / "report" / "rows.csv").unlink()
        assert await asyncio.to_thread(run, folder, server, ["sh", "-c", merged[0]]) == 0  # 1 is a result
        assert lasting(folder / "report" / "rows.csv") == lasting(folder / "whole" / "rows.csv")


def test_what_the_manifest_says_of_failures() -> None:
    job, merge = manifests()
    spec = job["spec"]
    assert (spec["completionMode"], spec["parallelism"]) == ("Indexed", 4)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # a policy of failures needs it
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert set(rule["onExitCodes"]["values"]) == {1, 2, 3, 4, 70} - {1, 3}  # a part never ends with 1
    (rule,) = merge["spec"]["podFailurePolicy"]["rules"]
    assert set(rule["onExitCodes"]["values"]) == {1, 2, 4, 70}


@pytest.mark.nightly
@pytest.mark.timeout(170)
@pytest.mark.may_block("what a reader types reads files")
@pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU parallel is not installed")
async def test_the_page_runs_as_typed(read: Callable[..., Awaitable[None]]) -> None:  # noqa: F811
    pytest.importorskip("distributed")
    await read(PAGE)
