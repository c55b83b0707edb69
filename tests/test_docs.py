"""What the documentation names exists, and the reference is complete. `test_docs_pages.py` runs the pages."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import typer.main

import pandapon_async
from pandapon_async import (
    AdaptiveRate,
    CallbackReason,
    Codes,
    Credentials,
    ImageLimits,
    ListFacts,
    Override,
    PandaponError,
    RetryPolicy,
    Safety,
    Settings,
    VendorProfile,
    callbacks,
    cli,
)
from pandapon_async.api.registry import endpoints
from pandapon_async.cli.callbacks import _configured
from pandapon_async.cli.lazy import with_value
from pandapon_async.client import _SHARED
from pandapon_async.core.signing import signature
from pandapon_async.journal.intent import IntentState
from pandapon_async.plans import RowState
from pandapon_async.reconcile import Verdict
from pandapon_async.sandbox import FaultKind
from pandapon_async.settings.sources import OTHER_NAMES, environment_names
from tests.support.pages import PAGES, ROOT, Block, blocks, calls_of, typed


@functools.cache
def pandapon_command() -> Any:
    return typer.main.get_command(cli.app)


def parse(arguments: list[str]) -> Mapping[str, Any]:
    """The options of a command as it would read them; raises for what it would refuse."""
    command = pandapon_command()
    if arguments == ["--help"]:
        return {}
    while hasattr(command, "commands"):
        assert arguments, "no command is named"
        both = " ".join(arguments[:2])  # a command's name may be two words
        name, arguments = (both, arguments[2:]) if both in command.commands else (arguments[0], arguments[1:])
        assert name in command.commands, f"there is no command {name}"
        place = getattr(command, "places", {}).get(name)
        if place is not None and place.optional_value is not None:
            arguments = with_value(arguments, *place.optional_value)
        command = command.commands[name]
    if "--help" in arguments:
        return {}
    # As below the root: a command remembers the names of its help from the first context that it is used in.
    names = ["-h", "--help"]
    made = command.make_context(command.name, list(arguments), help_option_names=names)
    with made as context:  # closed: options set variables
        parameters: Mapping[str, Any] = context.params
    return parameters


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_names_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language in ("console", "sh"):
            commands = (
                [line for line, _ in typed(block)] if block.language == "console" else block.text.splitlines()
            )
            for line in commands:
                for arguments in calls_of(line) if "pandapon" in line else ():
                    parse(arguments)
            if block.language == "sh":
                subprocess.run(["sh", "-n"], input=block.text, text=True, check=True)
        elif block.language == "python":
            check_names(block)


def check_names(block: Block) -> None:
    """What a block imports of ours exists, and so do the calls and the keywords that it uses."""
    block.code()
    ours: dict[str, Any] = {name: getattr(pandapon_async, name) for name in pandapon_async.__all__}
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pandapon_async"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{module.__name__}.{alias.name}")
                ours[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Attribute):
            name = re.search(r"\bv[12]\.\w+\.\w+\.(?!pages)\w+$", ast.unparse(node))
            assert name is None or name[0] in endpoints(), (
                f"{block.page}: there is no call {name and name[0]}"
            )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ours:
            known = inspect.signature(ours[node.func.id]).parameters
            for keyword in node.keywords:
                assert keyword.arg in known, f"{block.page}: {node.func.id} takes no {keyword.arg}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text("utf-8")):
            if not target.startswith("https://"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


REFERENCE = ROOT / "docs" / "reference.md"


@functools.cache
def tables() -> dict[str, dict[str, dict[str, str]]]:
    """The rows of every section of the reference: by heading, by name, by column."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for section in re.split(r"^##+ ", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
        names = [row[0].strip("`") for row in lines[2:]]
        assert len(set(names)) == len(names), f"{title} names something twice"
        found[title] = {
            name: dict(zip(lines[0], row, strict=False)) for name, row in zip(names, lines[2:], strict=True)
        }
    return found


@functools.cache
def public_names() -> set[str]:
    """The names of all public packages; each is loaded, as it may be imported on first access only."""
    rooms = ("", ".journal", ".reconcile", ".plans", ".bulk", ".callbacks", ".sandbox", ".errors")
    packages = [importlib.import_module(f"pandapon_async{room}") for room in rooms]
    return {name for package in packages for name in package.__all__ if hasattr(package, name)}


def _is_public(error: type[PandaponError]) -> bool:
    return error.__name__ in public_names()


def all_errors(kind: type[PandaponError] = PandaponError) -> Iterator[type[PandaponError]]:
    public_names()
    for one in kind.__subclasses__():
        if one.__module__.startswith("pandapon_async") and _is_public(one):
            yield one
            yield from all_errors(one)


def all_commands(command: Any, name: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for one, inner in command.commands.items():
            yield from all_commands(inner, f"{name} {one}")
    else:
        yield name


def test_every_variable_that_is_spoken_of_exists() -> None:
    files = [*(ROOT / "pandapon_async").rglob("*.py"), *PAGES]
    said = {name for path in files for name in re.findall(r"PANDAPON_[A-Z_]*[A-Z]", path.read_text("utf-8"))}
    coming = {"PANDAPON_SHARED"}  # refused in a folder that somebody else made; nothing reads it so far
    known = environment_names(Settings).keys() | OTHER_NAMES.keys() | coming
    unknown = {name for name in said if name not in known and not name.startswith("PANDAPON_OVERRIDES__")}
    assert not unknown


NAMED: dict[str, Callable[[], Iterable[str]]] = {
    "Environment variables": lambda: OTHER_NAMES,
    "Errors": lambda: [one.__name__ for one in all_errors()],
    "Safety classes": lambda: Safety,
    "Commands": lambda: all_commands(pandapon_command(), "pandapon"),
    "Exit codes": lambda: [str(int(code)) for code in cli.ExitCode],
    "Verdicts": lambda: Verdict,
    "States of the journal": lambda: IntentState,
    "States of a row of a plan": lambda: RowState,
    "States of a stored message": lambda: callbacks.MessageState,
    "Reasons of refused callbacks": lambda: CallbackReason,
    "Faults of the sandbox": lambda: FaultKind,
}
CLASSES: tuple[Any, ...] = (
    Settings,
    VendorProfile,
    ImageLimits,
    ListFacts,
    RetryPolicy,
    AdaptiveRate,
    Codes,
    Override,
    Credentials,
    callbacks.CallbackSettings,
)


def unknowns() -> list[list[str]]:
    """The rows of the README's table of what is not known."""
    text = (ROOT / "README.md").read_text("utf-8").partition("## What is not known about the vendor")[2]
    table = text.partition("\n## ")[0].splitlines()
    return [line.strip("| ").split(" | ") for line in table if line.startswith("|")][2:]


def spelled(cell: str) -> str | None:
    """The code of a cell; None if it is a dash."""
    found = re.match(r"`(.+?)`", cell)
    return found[1] if found else None


@pytest.mark.parametrize("row", unknowns(), ids=lambda row: row[0][:40])
def test_what_is_not_known_is_said_the_same_way_everywhere(
    row: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Python, in the file and in the environment, each as the README spells it."""
    _, _, *cells = row
    python, toml, variable = map(spelled, cells)
    if python is None:
        assert (toml, variable) == (None, None)
        return
    said = eval(python, {**vars(pandapon_async), "CallbackSettings": callbacks.CallbackSettings})
    assert variable is not None
    name, _, value = variable.partition("=")
    if isinstance(said, callbacks.CallbackSettings):
        monkeypatch.setenv("PANDAPON_ACCESS_KEY", "k")
        monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "s")
        monkeypatch.setenv(name, value)
        assert _configured(False)[1] == said
        return
    wanted = said if isinstance(said, Settings) else Settings(vendor=said)
    assert wanted != Settings(clock=wanted.clock), "it says nothing"
    monkeypatch.setenv(name, value)
    assert attrs.evolve(Settings.from_env(None), clock=wanted.clock) == wanted
    monkeypatch.delenv(name)
    assert toml is not None
    section, _, line = toml.partition(" ")
    (tmp_path / "named.toml").write_text(f"{section}\n{line}\n")
    monkeypatch.setenv("PANDAPON_CONFIG", str(tmp_path / "named.toml"))
    assert attrs.evolve(Settings.from_env(None), clock=wanted.clock) == wanted


def test_every_field_of_the_profile_stands_in_the_readme() -> None:
    said = " ".join(row[2] for row in unknowns())
    for field in attrs.fields(VendorProfile):
        assert f"VendorProfile({field.name}=" in said, field.name


@pytest.mark.parametrize("section", NAMED)
def test_the_reference_names_what_there_is(section: str) -> None:
    assert set(tables()[section]) == set(NAMED[section]())


def test_the_reference_has_every_verdict_in_its_place() -> None:
    assert list(tables()["Verdicts"]) == list(Verdict)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_reference_names_every_field_and_its_default(kind: Any) -> None:
    rows = tables()[kind.__name__]
    assert set(rows) == {field.name for field in attrs.fields(kind) if field.init}
    if kind is Credentials:
        return
    given = {**vars(pandapon_async), "signature": signature}
    for name, row in rows.items():
        said, real = eval(row["default"].strip("`"), given), getattr(kind(), name)
        assert said == real or (name == "clock" and type(said) is type(real)), f"{kind.__name__}.{name}"


def test_the_reference_tells_errors_as_they_are() -> None:
    for error in all_errors():
        row = tables()["Errors"][error.__name__]
        assert row["when"], f"{error.__name__}: no cause is given"
        assert row["what to do"], f"{error.__name__}: no remedy is given"
        assert row["retryable"] == ("yes" if error.retryable else "no"), error
        assert row["kind of"].replace("`", "").split(", ") == [base.__name__ for base in error.__bases__]


def test_the_settings_that_copies_share_are_marked() -> None:
    marked = {name for name, row in tables()["Settings"].items() if "*Shared*" in row["meaning"]}
    assert marked == _SHARED


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "README.md" or f"]({name})" in index, f"docs/README.md does not name {name}"
        assert f": {name}\n" in site, f"mkdocs.yml does not name {name}"
