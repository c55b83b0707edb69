"""The mutants that `python -m tests.mutation` runs: what they are made of, and that the known ones exist."""

from __future__ import annotations

import textwrap

import pytest

from tests.mutation import MOST, ROOT, all_cases, chosen, known_survivors
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
        "`(State.DONE, f'{a}/{fen}', a.upper())` -> `(f'{a}/{fen}', a.upper())`",
        "`(State.DONE, f'{a}/{fen}', a.upper())` -> `(State.DONE, a.upper())`",
        "`(State.DONE, f'{a}/{fen}', a.upper())` -> `(State.DONE, f'{a}/{fen}')`",
        "`State.DONE` -> `State.LOST`",
        "`f'{a}/{fen}'` -> `f'/{fen}'`",
        "`f'{a}/{fen}'` -> `f'{a}/'`",
        "`a.upper()` -> `a`",
        "`(State.LOST, fen * 100)` -> `(fen * 100,)`",
        "`(State.LOST, fen * 100)` -> `(State.LOST,)`",
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
            assert f"def {name.partition('[')[0]}(" in text or not name, test


def test_every_known_survivor_is_there_and_has_a_reason() -> None:
    known = known_survivors()
    assert set(known) <= {case.name for case in all_cases()}
    assert all(len(reason) > 20 for reason in known.values())
