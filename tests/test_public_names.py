"""What users import: everything that docs and examples use is public, and everything public is there."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import pandapon_async
from tests.support.sources import trees

ROOT = Path(pandapon_async.__file__).parents[1]
PUBLIC = (
    "",
    ".bulk",
    ".callbacks",
    ".follow",
    ".journal",
    ".otel",
    ".plans",
    ".reconcile",
    ".sandbox",
    ".models",
)
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*.py")),
]


def programs(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".py":
        yield text
        return
    for block in re.findall(r"```(?:python|pycon)\n(.*?)```", text, re.DOTALL):
        yield textwrap.dedent(re.sub(r"^(>>>|\.\.\.) ?", "", block, flags=re.MULTILINE))


def imported(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of every import of ours."""
    found = re.findall(r"^\s*from (pandapon_async[\w.]*) import (\([^)]*\)|[^\n]*)", source, re.MULTILINE)
    for module, names in found:
        for name in re.findall(r"(\w+)(?: as \w+)?", names.partition("#")[0]):
            yield module, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_docs_and_examples_import_public_names_only(page: Path) -> None:
    for program in programs(page):
        assert not re.search(r"^\s*import pandapon_async\.", program, re.MULTILINE)
        assert not re.search(r"\._[a-z]\w*", program), "a private attribute"
        for module, name in imported(program):
            place = module.removeprefix("pandapon_async")
            assert place in PUBLIC or place.startswith(".models."), f"{module} is internal"
            public = importlib.import_module(module)
            known = {*public.__all__, *(one[1:] for one in PUBLIC if not place)}
            assert name in known, f"{module}.{name} is internal"


@pytest.mark.parametrize("place", PUBLIC[:-1])
def test_public_modules_say_what_they_have(place: str) -> None:
    module = importlib.import_module(f"pandapon_async{place}")
    assert module.__doc__
    for name in module.__all__:
        assert getattr(module, name) is not None, name
        assert not name.startswith("_") or name == "__version__"


def test_nobody_outside_reads_the_pipeline_of_a_client() -> None:
    """Product code and examples; tests of the client look inside, and a recording is made by a subclass."""
    others = [*(ROOT / "examples").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    parsed = {file: ast.parse(file.read_text(encoding="utf-8")) for file in others}
    for file, tree in {**trees(), **parsed}.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "_pipeline":
                owner = ast.unparse(node.value)
                assert file.name in ("client.py", "server.py", "record.py"), f"{file}: {owner}"
                assert owner in ("self", "other")
