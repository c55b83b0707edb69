"""The mutants that `python -m tests.mutation` runs: what they are made of, and that the known ones exist."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests import mutation
from tests.mutation import MOST, ROOT, all_cases, chosen, known_survivors
from tests.support import fork_server
from tests.support.money_path import RULES
from tests.support.mutants import mutants_of


def changes(source: str, *targets: str) -> list[str]:
    """What the mutants of a target change."""
    return [mutant.change for mutant in mutants_of(textwrap.dedent(source), targets)]


def test_every_condition_of_a_function_is_changed_in_each_way() -> None:
    source = """
    def f(a, b):
        "A docstring IN which nothing is wrong."
        if not a or b >= 3:
            raise ValueError(f"no {a}")
        return a in (1, 2)
    """
    assert changes(source, "f") == [
        "`not a or b >= 3` -> `b >= 3`",
        "`not a or b >= 3` -> `not a`",
        "`not a` -> `a`",
        "`b >= 3` -> `b > 3`",
        "`3` -> `4`",
        "`raise ValueError(f'no {a}')` -> `pass`",
        "`a in (1, 2)` -> `a not in (1, 2)`",
        "`(1, 2)` -> `(2,)`",
        "`(1, 2)` -> `(1,)`",
        "`1` -> `2`",
        "`2` -> `3`",
    ]


def test_another_member_or_part_is_taken_and_what_only_words_an_answer_is_left() -> None:
    source = """
    def f(a, fen, state):
        assert a is not None, f"{a + 1}"
        log.warning("not %s", a == 1)
        if any(a):
            raise ValueError(f"the amount is {fen + 1} fen")
        if state is State.OPEN:
            return State.DONE, f"{a}/{fen}", a.upper()
        return State.LOST, fen * 100
    """
    assert changes(source, "f") == [
        "`if any(a): raise ValueError(f` -> `if not any(a): raise ValueError(f`",
        "`any(a)` -> `all(a)`",
        "`raise ValueError(f'the amount is {fen + 1} fen')` -> `pass`",
        "`state is State.OPEN` -> `state is not State.OPEN`",
        "`State.OPEN` -> `State.DONE`",
        "`State.DONE` -> `State.LOST`",
        "`f'{a}/{fen}'` -> `f'/{fen}'`",
        "`f'{a}/{fen}'` -> `f'{a}/'`",
        "`a.upper()` -> `a`",
        "`State.LOST` -> `State.OPEN`",
        "`fen * 100` -> `fen + 100`",
        "`100` -> `101`",
    ]


def texts(source: str, target: str) -> list[str]:
    """What a constant is in each of its mutants."""
    found = []
    for mutant in mutants_of(source, [target]):
        names: dict[str, str] = {}
        exec(mutant.source, names)
        found.append(names[target])
    return found


def test_conditions_of_a_statement_are_changed_and_its_assignments_are_not() -> None:
    source = """SQL = "UPDATE t SET a = ?1 WHERE id = ?2 AND a NOT IN ('x', 'y')" """
    assert texts(source, "SQL") == [
        "UPDATE t SET a = ?1 WHERE id = ?2 AND a IN ('x', 'y')",
        "UPDATE t SET a = ?1 WHERE id = ?2 OR a NOT IN ('x', 'y')",
        "UPDATE t SET a = ?1 WHERE id <> ?2 AND a NOT IN ('x', 'y')",
        "UPDATE t SET a = ?1 WHERE id = ?2 AND a NOT IN ('y')",
        "UPDATE t SET a = ?1 WHERE id = ?2 AND a NOT IN ('x')",
    ]
    source = """SQL = "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a, b)" """
    assert texts(source, "SQL") == ["CREATE  INDEX IF NOT EXISTS i ON t (a, b)"]


def test_only_the_target_is_changed_and_the_module_stays_whole() -> None:
    source = "class A:\n    def f(self):\n        return 1 < 2\n\ndef g():\n    return 1 < 2\n"
    (mutant, *_) = mutants_of(source, ["A.f"])
    assert mutant.source.replace("\n", "") == source.replace("1 < 2", "1 <= 2", 1).replace("\n", "")
    with pytest.raises(LookupError, match="no h"):
        list(mutants_of(source, ["h"]))


def test_a_change_that_comes_twice_is_numbered() -> None:
    names = changes("def f(a):\n    return a == 1 and (a == 1)\n", "f")
    assert "`a == 1` -> `a != 1`" in names
    assert "`a == 1` -> `a != 1` (#2)" in names


def test_mutants_have_names_of_their_own_and_compile() -> None:
    cases = all_cases()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    for case in {case.rules: case for case in cases}.values():
        compile(case.mutant.source, case.rules.module, "exec")


def test_the_draw_takes_some_of_each_entry_and_a_change_elsewhere_draws_no_others() -> None:
    cases = all_cases()
    picked = [case.name for case in chosen(cases)]
    assert len(picked) == MOST
    assert {case.rules for case in cases if case.name in picked} == set(RULES)
    assert picked == [case.name for case in chosen(tuple(reversed(cases)))][::-1]
    others = [case for case in cases if case.rules.module != "money.py"]
    kept = {case.name for case in chosen(others)}
    assert len(kept.intersection(picked)) >= MOST - 5
    assert [case.name for case in chosen(cases, seed=2)] != picked


def test_every_entry_names_tests_that_exist() -> None:
    for rules in RULES:
        for test in rules.tests:
            file, _, name = test.partition("::")
            text = (ROOT / "tests" / file).read_text("utf-8")
            assert f"def {name}(" in text or not name, test


def test_every_known_survivor_is_there_and_has_a_reason() -> None:
    known = known_survivors()
    assert set(known) <= {case.name for case in all_cases()}
    assert all(len(reason) > 20 for reason in known.values())


def ends(monkeypatch: pytest.MonkeyPatch, known: list[str], survived: list[str], **facts: list[str]) -> int:
    """How a run ends in which these mutants survive, and those of `facts` end otherwise."""

    def run_none(run: mutation.Run, cases: object) -> None:
        names = [case.name for case in chosen(all_cases())[:3]]
        run.survived, run.noticed = survived, [name for name in names if name not in survived]
        for name, values in facts.items():
            setattr(run, name, values)

    monkeypatch.setattr(mutation.Run, "all", run_none)
    monkeypatch.setattr(mutation, "known_survivors", lambda: dict.fromkeys(known, "a reason"))
    monkeypatch.setattr("sys.argv", ["mutation"])
    return mutation.main()


def test_a_run_ends_well_only_if_all_were_run_and_those_that_survive_are_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (case.name for case in chosen(all_cases())[:2])
    assert ends(monkeypatch, [], []) == 0
    assert ends(monkeypatch, [one], [one]) == 0
    assert (
        "drawn by seed 1: 2 noticed, 0 without an end, 1 survived (1 with a known reason), 0 not run"
        in capsys.readouterr().out
    )
    assert ends(monkeypatch, [one], [one, two]) == 1
    assert f"no test notices, and no reason is given: {two}\n" in capsys.readouterr().out
    assert ends(monkeypatch, [one], []) == 1
    assert f"is noticed, and need not be in mutation_survivors.toml: {one}\n" in capsys.readouterr().out
    assert ends(monkeypatch, [one], [], noticed=[two], hung=[one]) == 0
    assert "1 noticed, 1 without an end, 0 survived" in capsys.readouterr().out
    assert ends(monkeypatch, ["money.py f: gone"], []) == 1
    assert "but no longer a mutant: money.py f: gone\n" in capsys.readouterr().out
    assert ends(monkeypatch, [], [], not_run=[two]) == 1
    assert f"was not run to its end: {two}\n" in capsys.readouterr().out
    assert ends(monkeypatch, [], [], broken=["test_x.py::test_y"]) == 2
    assert "fails without any mutant: test_x.py::test_y\n" in capsys.readouterr().err


@pytest.mark.nightly
def test_each_run_of_tests_takes_the_module_as_it_is_then(tmp_path: Path) -> None:
    (tmp_path / "test_rule.py").write_text(
        "from rule import rule\n\ndef test_it():\n    assert rule() == 1\n"
    )
    server = subprocess.Popen(
        [sys.executable, fork_server.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    codes = []
    for number, body in enumerate(("return 1", "return 2", "import time; time.sleep(600)", "return 1")):
        # Python compares cached bytecode with the size of its source, so each version has a size of its own.
        (tmp_path / "rule.py").write_text(f"def rule():\n    {body}{' ' * number}\n")
        facts = {
            "folder": str(tmp_path),
            "arguments": ["-q", "-n0"],
            "seconds": 10,
            "output": str(tmp_path / "out"),
        }
        server.stdin.write(json.dumps(facts) + "\n")
        server.stdin.flush()
        codes.append(int(server.stdout.readline()))
    server.communicate()
    assert codes == [0, 1, -1, 0]
