"""Runs tests in forks of one process that has loaded what they stand on: `python fork_server.py`.

Most of a short test run is loading pytest, aiohttp and hypothesis. Here that is done once, and each run is a
fork. Nothing of this package is loaded before the fork, so each run may take another version of it.

One line of JSON on standard input is one run: `folder`, `arguments`, `seconds`, `output`. One line on
standard output says how it ended: pytest's exit code, or -1 after `seconds`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import select
import signal
import sys
from typing import Any

LOADED = (
    *("aiohttp", "aiohttp.web", "aiohttp.test_utils", "asyncpg", "attrs", "blockbuster", "cattrs", "dotenv"),
    *("filelock", "hypothesis", "hypothesis.stateful", "hypothesis.strategies", "msgspec", "orjson"),
    *("platformdirs", "psutil", "pybase64", "pytest", "rich.console", "rich.table", "tenacity", "typer"),
    *("typer.testing", "xlsxwriter"),
)
NOT_LOADED = ("pandapon", "schemathesis")
POLITE_SECONDS = 20.0


def load() -> None:
    """Load what is the same for all runs, pytest's plugins included; whatever is missing is left out."""
    for name in LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        if plugin.name not in NOT_LOADED:
            with contextlib.suppress(ImportError):
                plugin.load()


def run(folder: str, arguments: list[str], seconds: float, output: str) -> int:
    """Run pytest in a fork that stands in this folder."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be_pytest(folder, arguments, output)
    # Nothing is written to us while a run lasts: what can be read then is the end of who asked for it.
    if (code := _ended(child, seconds, sys.stdin.fileno())) is not None:
        return code
    for number in (signal.SIGINT, signal.SIGKILL):  # asked first, because fixtures have servers to stop
        os.killpg(child, number)
        if _ended(child, POLITE_SECONDS) is not None:
            break
    return -1


def _ended(child: int, seconds: float, *others: int) -> int | None:
    """How a fork ended; None if it has not within these seconds, or before one of the others can be read."""
    pidfd = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([pidfd, *others], [], [], seconds)
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if pidfd in ready else None


def _be_pytest(folder: str, arguments: list[str], output: str) -> None:
    code: Any = 1
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((nothing, file, file)):
            os.dup2(descriptor, number)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = folder
        sys.path[0] = folder
        import pytest

        code = pytest.main([*arguments, "-W", "ignore::pytest.PytestAssertRewriteWarning"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))


def main() -> None:
    """Serve until the end of standard input."""
    load()
    for line in sys.stdin:
        print(run(**json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
