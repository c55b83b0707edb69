"""`pandapon openapi`: the document in both notations, on stdout and in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.cli.openapi import yaml_lines
from pandapon_async.openapi import document
from tests.support.command import Shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def test_json_is_the_default(shell: Shell) -> None:
    assert json.loads(shell("openapi").out) == document()
    assert json.loads(shell("openapi", "--inferred").out) == document(inferred=True)


def test_yaml_says_the_same(shell: Shell) -> None:
    text = shell("openapi", "--format", "yaml", "--inferred").out
    assert yaml.load(text, Loader=yaml.CSafeLoader) == document(inferred=True)


def test_a_file_and_another_server(shell: Shell) -> None:
    ended = shell("openapi", "--out", "api.json", "--server", "http://127.0.0.1:8080")
    assert (ended.code, ended.out) == (0, "")
    found = json.loads((shell.folder / "api.json").read_text(encoding="utf-8"))
    assert found == document(server="http://127.0.0.1:8080")


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8"))
NAMES = st.text(st.characters(codec="utf-8"))
VALUES: Any = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=9)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3))
def test_any_json_survives_as_yaml(value: Any) -> None:
    assert yaml.safe_load("\n".join(yaml_lines(value)) + "\n") == value
