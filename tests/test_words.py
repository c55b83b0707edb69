"""Messages are plain English: no riddle that has crept in before, and no name that was given up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pandapon_async

ROOT = Path(pandapon_async.__file__).parent
FILES = [*sorted(ROOT.rglob("*.py")), ROOT.parent / "pytest_pandapon.py"]

RIDDLES = re.compile(
    r"(?<!there )\bis no (?!longer|more)[a-z]|\bsay --|\bsuch that\b|\bwhat became of\b|\b(some|any)body\b"
    r"|\bnobody\b(?! else)|\banew\b|\ball the same\b|\blanded\b|\b(is|are|was) told\b|\bnot simply\b"
    r"|\bhas no say\b|\bthe moment it\b"
)
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER)\b")
GIVEN_UP = {
    "Answer", "Applied", "Commits", "Desk", "Doorkeeper", "Flag", "Line", "Meter", "Mismatch", "Moment",
    "Outgoing", "Overview", "Patient", "Picture", "Silent", "Sleepers", "Slots", "Trail", "bury", "give_back",
    "shrink", "trouble", "undeclared",
}  # fmt: skip


def messages(file: Path) -> Iterator[str]:
    """The texts of a file that may reach people: neither docstrings nor statements of SQL."""
    tree = ast.parse(file.read_text("utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in statements or not isinstance(node, ast.Constant | ast.JoinedStr):
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        if " " in text and not SQL.search(text):
            yield text


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT.parent)))
def test_a_message_is_what_one_engineer_says_to_another(file: Path) -> None:
    assert [text for text in messages(file) if RIDDLES.search(text)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT.parent)))
def test_names_that_were_given_up_do_not_come_back(file: Path) -> None:
    names = {
        node.name
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not names & GIVEN_UP
