"""The house keeps its shape: imports go down only, core stays pure, files stay small and are explained."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib.metadata
import itertools
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import FILES, ROOT, trees

PACKAGE = ROOT.name

# Who stands where, from the ground up. A unit (a package or a module of the top level) has a floor of its own
# and may import only what stands below it. So there can be no circle between two of them.
FLOORS = [
    "plain_text", "errors", "events", "otel", "money", "clock", "images", "core", "declare", "models", "api",
    "environment", "config_file", "settings", "storage", "shared", "callbacks", "openapi", "recording",
    "sandbox", "journal", "transport", "bulk", "client", "calibration", "accounts", "progress", "tables",
    "reconcile", "follow", "plans", "cli", "__main__", "__init__",
]  # fmt: skip
STANDALONE = {"sandbox", "callbacks", "openapi"}  # they check or describe the client: it must not be in them
FORBIDDEN_THERE = {"client", "transport", "bulk", "reconcile", "journal", "cli"}
IMPURE = {
    "aiohttp", "asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket",
    "sqlite3", "tempfile", "threading", "time", "yarl",
}  # fmt: skip


def module_of(file: Path) -> str:
    return ".".join((PACKAGE, *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(file): file for file in FILES}


@functools.cache
def imported_by(file: Path) -> frozenset[str]:
    """What a file imports at run time."""
    return frozenset(imports(trees()[file]))


def unit_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported at run time, inside functions too; `if TYPE_CHECKING` is none."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from imports(ast.Module([other], []))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            # `from package import name` may mean a module of that name.
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from named & MODULES.keys()
            if not named <= MODULES.keys():
                yield node.module or ""
        else:
            yield from imports(node)


def own_units(file: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported_by(file) if name.startswith(f"{PACKAGE}.")}
    return {name for name in names if (ROOT / name).is_dir() or (ROOT / f"{name}.py").is_file()}


def floor_of(unit: str) -> int:
    assert unit in FLOORS, f"say in FLOORS where {unit} stands"
    return FLOORS.index(unit)


def test_every_room_is_a_package() -> None:
    """Without the file a folder is a namespace: type checkers see nothing in it."""
    assert {file.parent for file in FILES} == {file.parent for file in FILES if file.name == "__init__.py"}


def test_imports_go_down_only() -> None:
    up = []
    for file in FILES:
        unit = unit_of(file)
        up += [(str(file), one) for one in own_units(file) - {unit} if floor_of(one) >= floor_of(unit)]
    assert up == [], "each file with a unit that it must not import, as that stands above it"


def test_no_module_imports_itself_through_others() -> None:
    """Inside a room too: whoever reads one file must not have to read its readers first."""
    arrows = {module: imported_by(file) & MODULES.keys() - {module} for module, file in MODULES.items()}
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_what_checks_the_client_does_not_stand_on_it() -> None:
    standalone = [file for file in FILES if unit_of(file) in STANDALONE]
    assert standalone
    assert [str(file) for file in standalone if own_units(file) & FORBIDDEN_THERE] == []


def test_core_is_pure() -> None:
    core = [file for file in FILES if unit_of(file) == "core"]
    assert core
    for file in core:
        assert not {name.split(".")[0] for name in imported_by(file)} & IMPURE, file
        assert "open(" not in ast.unparse(trees()[file]), file


def test_declarations_only_declare() -> None:
    """No call in `api` has a body: what it does is told elsewhere, once."""
    calls = [
        (file, node)
        for file in FILES
        if unit_of(file) == "api"
        for node in ast.walk(trees()[file])
        if isinstance(node, ast.FunctionDef)
        and any("call(" in ast.unparse(one) for one in node.decorator_list)
    ]
    assert calls
    for file, node in calls:
        assert [type(line) for line in node.body] == [ast.Expr, ast.Expr], f"{file}: {node.name}"
        assert ast.unparse(node.body[1]) == "...", f"{file}: {node.name}"


def test_every_module_says_why_it_exists() -> None:
    assert [str(file) for file in FILES if not ast.get_docstring(trees()[file])] == []


def test_every_module_stays_small() -> None:
    lengths = {str(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {file: length for file, length in lengths.items() if length > 500} == {}


def test_the_arrows_are_really_drawn() -> None:
    """The checks above would pass on an empty house."""
    assert "transport" in own_units(ROOT / "client.py")
    assert "errors" in own_units(ROOT / "core" / "outcome.py")
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c.d import e\n"
    )
    assert set(imports(tree)) == {"b", "c.d"}
    package = ast.parse(f"from {PACKAGE} import bulk, errors")
    assert set(imports(package)) == {f"{PACKAGE}.bulk", f"{PACKAGE}.errors"}
    room = ast.parse(f"from {PACKAGE}.plans import apply, PlanKind")
    assert set(imports(room)) == {f"{PACKAGE}.plans", f"{PACKAGE}.plans.apply"}


def test_what_is_imported_is_a_dependency() -> None:
    """A library that is there by chance, as another one's dependency, is missing on somebody's machine."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    said = [*project["dependencies"], *itertools.chain(*extras.values())]
    declared = {re.split("[><=\\[; ]", one)[0].lower() for one in said}
    declared.add("yarl")  # a part of aiohttp's own interface
    owners = importlib.metadata.packages_distributions()
    for file in FILES:
        for module in imported_by(file):
            name = module.partition(".")[0]
            if name != PACKAGE and name not in sys.stdlib_module_names:
                assert declared & {one.lower() for one in owners.get(name, [name])}, f"{file}: {name}"
