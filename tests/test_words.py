"""Messages are plain English: no riddle that has crept in before, and no name that was given up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.support.sources import trees

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


def messages(tree: ast.Module) -> Iterator[str]:
    """The texts of a file that may reach people: neither docstrings nor statements of SQL."""
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in statements or not isinstance(node, ast.Constant | ast.JoinedStr):
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        if " " in text and not SQL.search(text):
            yield text


def test_a_message_is_what_one_engineer_says_to_another() -> None:
    found = [
        (str(file), text) for file, tree in trees().items() for text in messages(tree) if RIDDLES.search(text)
    ]
    assert found == []


def test_names_that_were_given_up_do_not_come_back() -> None:
    names = {
        (str(file), node.name)
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {(file, name) for file, name in names if name in GIVEN_UP} == set()
