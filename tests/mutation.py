"""Checks that the tests would notice if a rule about writes were wrong: `python -m tests.mutation`.

Each mutant changes one place of the rules that keep a write from happening twice, and runs against the test
files that hold the rule. A mutant survives if no test notices it. The known survivors stand in
tests/mutation_survivors.toml, each with the reason why it does no harm; any other ends the run with 1.
At most 150 mutants run, in two processes. mutmut and cosmic-ray know no SQL, and most of the journal's
rules are SQL.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from tests.support.mutants import Mutant, mutants_of

ROOT = Path(__file__).parent.parent
PACKAGE = "pandapon_async"
SURVIVORS = ROOT / "tests" / "mutation_survivors.toml"
MOST = 150
SEED = 1
PATIENCE = 180.0
"""Seconds after which a mutant that hangs counts as noticed."""


@attrs.frozen
class Rules:
    """Rules that stand in one module, and the test files that hold them."""

    module: str
    targets: tuple[str, ...]
    tests: tuple[str, ...]


RULES = (
    Rules("core/outcome.py", ("may_repeat",), ("test_core_outcome.py", "test_transport_errors.py")),
    Rules("core/vendor.py", ("vendor_id",), ("test_writes_rules.py",)),
    Rules(
        "journal/identity.py",
        ("Writer.scope", "Writer.key_of", "natural_key", "subjects_of", "_sorted"),
        ("test_writes_rules.py",),
    ),
    Rules(
        "journal/resolve.py",
        ("judge", "carries_waybill", "is_ours", "_lines_tell", "Resolver.take_word"),
        ("test_writes_rules.py", "test_journal_resolve.py", "test_journal_word.py"),
    ),
    Rules(
        "journal/store.py",
        (
            *("_SAME_KEY", "JournalStore.add", "JournalStore._earlier", "JournalStore._same_key"),
            *("JournalStore.sending", "JournalStore.resolve", "JournalStore._has_open"),
        ),
        ("test_writes_rules.py", "test_journal_identity.py", "test_journal_store.py"),
    ),
    Rules(
        "journal/queries.py",
        tuple(
            f"JournalQueries.{name}"
            for name in ("with_key", "_about", "about_any", "claimed", "newest_sent", "was_sent")
        ),
        ("test_writes_rules.py", "test_journal_upkeep.py", "test_callbacks_settle.py", "test_plans_past.py"),
    ),
    Rules(
        "journal/file_format.py",
        ("_EXTRA_SQL", "COUNTS_SQL", "_INDEXES"),
        ("test_writes_rules.py", "test_journal_store.py", "test_storage_formats.py"),
    ),
    Rules(
        "journal/intent.py",
        ("OPEN", "IntentState.open", "IntentState.succeeded", "Intent.doubtful", "Intent.may_become"),
        ("test_writes_rules.py", "test_journal_store.py"),
    ),
    Rules("journal/ages.py", ("seconds_left", "Ages.of"), ("test_writes_rules.py", "test_journal_resend.py")),
    Rules("journal/resend.py", ("look_first", "_unseen"), ("test_journal_resend.py", "test_journal_word.py")),
    Rules(
        "plans/binding.py",
        ("Binding.is_of", "check_binding", "check_writer"),
        ("test_plans_journal.py", "test_plans_past.py", "test_plans_resend.py"),
    ),
    Rules(
        "plans/line_rule.py",
        ("LineRule.holds_back", "LineRule._earlier_form"),
        ("test_plans_lines.py",),
    ),
)


@attrs.frozen
class Case:
    """One mutant of one module."""

    rules: Rules
    mutant: Mutant

    @property
    def name(self) -> str:
        """What the list of survivors calls it."""
        return f"{self.rules.module} {self.mutant.name}"


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every mutant there is."""
    return tuple(
        Case(rules, mutant)
        for rules in RULES
        for mutant in mutants_of((ROOT / PACKAGE / rules.module).read_text("utf-8"), rules.targets)
    )


def chosen(cases: Sequence[Case], most: int = MOST) -> Sequence[Case]:
    """At most so many of them, always the same."""
    if len(cases) <= most:
        return cases
    kept = set(random.Random(SEED).sample(range(len(cases)), most))
    return [case for number, case in enumerate(cases) if number in kept]


def known_survivors() -> dict[str, str]:
    """The survivors that are known, and why each of them does no harm."""
    survivors: dict[str, str] = tomllib.loads(SURVIVORS.read_text("utf-8"))["survivors"]
    return survivors


class Copy:
    """A copy of the package in a folder of its own, in which one module at a time is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for name in ("tests", "docs", "README.md"):
            (folder / name).symlink_to(ROOT / name)

    def noticed(self, rules: Rules, source: str | None) -> bool:
        """Whether one of the tests fails with this module; with None, as it is."""
        path = self.folder / PACKAGE / rules.module
        right = (ROOT / PACKAGE / rules.module).read_text("utf-8")
        try:
            self._put(path, right if source is None else source)
            return self._run(rules.tests) != 0
        finally:
            self._put(path, right)

    def _put(self, path: Path, source: str) -> None:
        path.write_text(source, "utf-8")
        # Bytecode is told from its source by second and size only, and mutants come faster than that.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)

    def _run(self, tests: Iterable[str]) -> int:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider"]
        command += ["-p", "no:schemathesis", "--no-header", "--hypothesis-seed=0"]
        command += [f"tests/{test}" for test in tests]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        with tempfile.TemporaryFile() as output:
            try:
                return subprocess.run(
                    command,
                    cwd=self.folder,
                    env=environment,
                    stdout=output,
                    stderr=output,
                    stdin=subprocess.DEVNULL,
                    timeout=PATIENCE,
                ).returncode
            except subprocess.TimeoutExpired:
                return -1


def survivors_of(cases: list[Case], processes: int) -> list[str]:
    """The names of those that no test notices."""
    waiting: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    survivors: list[str] = []

    def work(folder: Path) -> None:
        copy = Copy(folder)
        while True:
            try:
                case = waiting.get_nowait()
            except queue.Empty:
                return
            noticed = copy.noticed(case.rules, case.mutant.source)
            print(f"{'noticed ' if noticed else 'SURVIVED'}  {case.name}", flush=True)
            if not noticed:
                survivors.append(case.name)

    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        threads = [
            threading.Thread(target=work, args=(Path(folder) / str(number),)) for number in range(processes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sorted(survivors)


def main() -> int:
    """Run the mutants; 0 if all that survive are known, 1 otherwise, 2 if the tests fail by themselves."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description="Mutants of the write rules."
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="only those whose name contains this")
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Copy(Path(folder) / "right")
        for rules in RULES:
            if asked.only in rules.module and copy.noticed(rules, None):
                print(f"the tests of {rules.module} fail without any mutant", file=sys.stderr)
                return 2
    cases = [case for case in chosen(all_cases()) if asked.only in case.name]
    found, known = survivors_of(cases, asked.processes), known_survivors()
    new = [name for name in found if name not in known]
    noticed = [case.name for case in cases if case.name in known and case.name not in found]
    print(f"{len(cases)} mutants, {len(found)} survived, {time.monotonic() - begun:.0f} s")
    for name in new:
        print(f"no test notices, and no reason is given: {name}")
    for name in noticed:
        print(f"is noticed, and need not be in {SURVIVORS.name}: {name}")
    return 1 if new or noticed else 0


if __name__ == "__main__":
    raise SystemExit(main())
