"""The mutants that `python -m tests.mutation` runs: what they are made of, and that the known ones exist."""

from __future__ import annotations

import textwrap

import pytest

from tests.mutation import MOST, all_cases, chosen, known_survivors
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


def test_all_mutants_compile_have_names_of_their_own_and_are_the_same_each_time() -> None:
    cases = all_cases()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    for case in cases:
        compile(case.mutant.source, case.rules.module, "exec")
    picked = chosen(cases)
    assert len(picked) == min(MOST, len(cases)) > 100
    assert [case.name for case in picked] == [case.name for case in chosen(all_cases())]


def test_every_known_survivor_is_there_and_has_a_reason() -> None:
    known = known_survivors()
    assert set(known) <= {case.name for case in all_cases()}
    assert all(len(reason) > 20 for reason in known.values())
