"""Checks that the tests would notice if a rule about money were wrong: `python -m tests.mutation`.

Each mutant changes one place of the money path (tests/support/money_path.py): of the rules that decide
whether a write is sent, what it came to, and what an amount or a state is. It runs against the tests that
hold the rule, and survives if no test notices it. The known survivors stand in
tests/mutation_survivors.toml, each with the reason why it does no harm; any other ends the run with 1.

There are some 3,000 mutants. A seed draws 150 of them, at least one of each entry; they run in two processes.
`--seed` draws others, `--only TEXT` takes all whose name contains a text. mutmut and cosmic-ray know no SQL,
and most of the journal's rules are SQL.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import json
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from tests.support import fork_server
from tests.support.money_path import RULES, Rules
from tests.support.mutants import Mutant, mutants_of

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
PACKAGE = "pandapon_async"
SURVIVORS = ROOT / "tests" / "mutation_survivors.toml"
MOST = 150
LEAST_OF_EACH = 1
"""How many mutants of each entry of the rules are drawn in any case."""
SEED = 1
PATIENCE = 180.0
"""Seconds after which a mutant whose tests do not end counts as noticed."""
NO_END = f"no end within {PATIENCE:g} s"
MINUTES = 19.0
"""After so long no further mutant is begun, and the run fails."""


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


def chosen(cases: Sequence[Case], most: int = MOST, seed: int = SEED) -> Sequence[Case]:
    """At most so many of them, some of each entry of the rules; the same for the same seed.

    Each mutant has its own rank, so that a change of one rule draws no others elsewhere.
    """

    def rank(case: Case) -> bytes:
        return hashlib.sha256(f"{seed} {case.name}".encode()).digest()

    taken: dict[Rules, int] = {}
    first: list[Case] = []
    others: list[Case] = []
    for case in sorted(cases, key=rank):
        taken[case.rules] = taken.get(case.rules, 0) + 1
        (first if taken[case.rules] <= LEAST_OF_EACH else others).append(case)
    kept = {case.name for case in [*first, *others][:most]}
    return [case for case in cases if case.name in kept]


def known_survivors() -> dict[str, str]:
    """The survivors that are known, and why each of them does no harm."""
    survivors: dict[str, str] = tomllib.loads(SURVIVORS.read_text("utf-8"))["survivors"]
    return survivors


class Copy:
    """A copy of the package in a folder of its own, in which one module at a time is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "pytest_pandapon.py"):
            shutil.copy(ROOT / name, folder)
        for name in ("tests", "docs", "README.md"):
            (folder / name).symlink_to(ROOT / name)
        self._server = subprocess.Popen(
            [sys.executable, fork_server.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """End the process that runs the tests."""
        self._server.communicate()

    def noticed_by(self, case: Case) -> str | None:
        """The test that fails with a mutant, or how else it is noticed; None if it is not."""
        path = self.folder / PACKAGE / case.rules.module
        right = (ROOT / PACKAGE / case.rules.module).read_text("utf-8")
        try:
            self._put(path, case.mutant.source)
            return self.failing(case.rules.tests)
        finally:
            self._put(path, right)

    def failing(self, tests: Iterable[str]) -> str | None:
        """The first test of these files that fails; None if all pass."""
        output = self.folder / "output"
        arguments = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-p", "no:schemathesis", "--no-header"]
        arguments += ["--hypothesis-seed=0", f"--timeout={PATIENCE:g}", *(f"tests/{test}" for test in tests)]
        facts = {
            "folder": str(self.folder),
            "arguments": arguments,
            "seconds": PATIENCE,
            "output": str(output),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(facts) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        if code == 0:
            return None
        if code == -1:
            return NO_END
        found = re.search(
            r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", output.read_text("utf-8", "replace"), re.MULTILINE
        )
        return found[1] if found else f"exit code {code}"

    def _put(self, path: Path, source: str) -> None:
        path.write_text(source, "utf-8")
        # Bytecode is told from its source by second and size only, and mutants come faster than that.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _by_file(cases: Iterable[Case]) -> list[list[str]]:
    """The tests of these mutants, each once, one list for each file."""
    found: dict[str, list[str]] = {}
    for test in dict.fromkeys(test for case in cases for test in case.rules.tests):
        found.setdefault(test.partition("::")[0], []).append(test)
    return [[file] if file in tests else tests for file, tests in found.items()]


@attrs.define
class Run:
    """Runs mutants in several processes, and collects what became of them."""

    processes: int
    end: float
    """When no further one is begun, in monotonic seconds."""
    broken: list[str] = attrs.field(factory=list)
    """Tests that fail without any mutant."""
    noticed: list[str] = attrs.field(factory=list)
    hung: list[str] = attrs.field(factory=list)
    """Those whose tests did not end in time: on a busy machine that says nothing against a known survivor."""
    survived: list[str] = attrs.field(factory=list)
    not_run: list[str] = attrs.field(factory=list)

    def all(self, cases: Sequence[Case]) -> None:
        """First the tests as they are, each file once; if they pass, the mutants."""
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            copies = [Copy(Path(folder) / str(number)) for number in range(self.processes)]
            try:
                self._share(copies, _by_file(cases), self._as_is)
                if not self.broken:
                    self._share(copies, cases, self._one)
                    ended = {*self.noticed, *self.hung, *self.survived}
                    self.not_run = [case.name for case in cases if case.name not in ended]
            finally:
                for copy in copies:
                    copy.close()

    def _share(self, copies: Sequence[Copy], jobs: Iterable[T], work: Callable[[Copy, T], None]) -> None:
        waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)

        def until_none_is_left(copy: Copy) -> None:
            while True:
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                work(copy, job)

        threads = [threading.Thread(target=until_none_is_left, args=(copy,)) for copy in copies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _as_is(self, copy: Copy, tests: Sequence[str]) -> None:
        begun = time.monotonic()
        why, file = copy.failing(tests), tests[0].partition("::")[0]
        if why is not None:
            self.broken.append(f"{file}: {why}")
        seconds = time.monotonic() - begun
        print(f"{'passes ' if why is None else 'FAILS  '}   {file}, {seconds:.0f} s", flush=True)

    def _one(self, copy: Copy, case: Case) -> None:
        if time.monotonic() > self.end:
            return
        by = copy.noticed_by(case)
        ended = self.survived if by is None else self.hung if by == NO_END else self.noticed
        ended.append(case.name)
        print(f"SURVIVED  {case.name}" if by is None else f"noticed   {case.name}  [{by}]", flush=True)


def main() -> int:
    """Run the mutants; 0 if all ran and all survivors are known, 2 if tests fail by themselves, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description="Mutants of the money path."
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED, help="draw others")
    parser.add_argument("--most", type=int, default=MOST, help="how many are drawn at most")
    parser.add_argument("--only", default="", help="all whose name contains this, instead of a draw")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long mutants are begun")
    asked = parser.parse_args()
    begun = time.monotonic()
    cases, known = all_cases(), known_survivors()
    lost = sorted(set(known) - {case.name for case in cases})
    if asked.only:
        cases = tuple(case for case in cases if asked.only in case.name)
    drawn = chosen(cases, len(cases) if asked.only else asked.most, asked.seed)
    run = Run(asked.processes, begun + asked.minutes * 60)
    run.all(drawn)
    for test in run.broken:
        print(f"fails without any mutant: {test}", file=sys.stderr)
    if run.broken:
        return 2
    new = sorted(set(run.survived) - set(known))
    told = {
        "no test notices, and no reason is given": new,
        f"is noticed, and need not be in {SURVIVORS.name}": sorted(set(run.noticed) & set(known)),
        f"is in {SURVIVORS.name}, but no longer a mutant": lost,
        "was not run to its end": run.not_run,
    }
    for what, names in told.items():
        for name in names:
            print(f"{what}: {name}")
    print(
        f"{len(drawn)} of {len(all_cases())} mutants drawn by seed {asked.seed}: "
        f"{len(run.noticed)} noticed, {len(run.hung)} without an end, "
        f"{len(run.survived)} survived ({len(run.survived) - len(new)} with a known reason), "
        f"{len(run.not_run)} not run; {time.monotonic() - begun:.0f} s"
    )
    return 1 if any(told.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
