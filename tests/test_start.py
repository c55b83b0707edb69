"""What a start costs: names and commands are loaded when they are asked for, and say the same as before."""

from __future__ import annotations

import ast
import asyncio
import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest
import typer.main

import pandapon_async
from pandapon_async import callbacks, cli, journal, reconcile
from pandapon_async.journal import Journal

INIT = Path(pandapon_async.__file__)


def loaded_by(program: str) -> set[str]:
    """The modules that a fresh interpreter has after a program."""
    program = f"import sys\n{program}\nprint(*sys.modules, file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(INIT.parents[1])},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return set(ended.stderr.split())


@pytest.mark.parametrize(
    "package", [pandapon_async, callbacks, journal, reconcile], ids=lambda one: one.__name__
)
def test_every_public_name_is_where_checkers_are_told(package: types.ModuleType) -> None:
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: node.module
        for node in [*block.body, *tree.body]
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in package.__all__
    }
    assert told.keys() | {"__version__"} == {*package.__all__, "__version__"}
    for name, module in told.items():
        assert module is not None
        home = importlib.import_module(module)
        expected = getattr(home, name, None) or importlib.import_module(f"pandapon_async.{name}")
        assert getattr(package, name) is expected
    with pytest.raises(AttributeError, match="has no attribute 'Clinet'"):
        package.Clinet  # noqa: B018


def test_names_that_are_imported_later_are_listed() -> None:
    assert set(pandapon_async.__all__) <= set(dir(pandapon_async))


def test_the_package_alone_loads_no_client() -> None:
    loaded = loaded_by("import pandapon_async\npandapon_async.errors.PandaponError")
    assert not loaded & {"aiohttp", "attrs", "sqlite3", "pandapon_async.client"}
    assert "pandapon_async.client" in loaded_by("from pandapon_async import Client")


def test_the_client_alone_loads_no_call_and_making_one_loads_all() -> None:
    """What a first call still had to import would block the loop."""
    whole = {
        "sqlite3",
        "pandapon_async.api",
        "pandapon_async.journal.journal",
        "pandapon_async.transport.session",
    }
    whole |= {"pandapon_async.declare.fields", "pandapon_async.transport.direct"}
    program = "from pandapon_async import Client, Credentials, Settings"
    assert not loaded_by(program) & whole
    program += "\nClient(Credentials('key', 'secret', '1'), Settings(base_url='http://127.0.0.1:1'))"
    assert whole <= loaded_by(program)


def loaded_by_command(folder: Path, *arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    settings = {
        "ACCESS_KEY": "key",
        "ACCESS_SECRET": "secret",
        "USER_ID": "1",
        "BASE_URL": "http://127.0.0.1:1",
    }
    program = f"""
import os
os.chdir({str(folder)!r})
for name, value in {settings!r}.items():
    os.environ[f"PANDAPON_{{name}}"] = value
from pandapon_async.cli import main
sys.argv = ["pandapon", *{arguments!r}]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
"""
    return loaded_by(program)


CLIENT = {"aiohttp", "pandapon_async.client", "pandapon_async.transport.pipeline", "rich.console"}


def test_help_loads_no_command(tmp_path: Path) -> None:
    loaded = loaded_by_command(tmp_path, "--help")
    assert "pandapon_async.cli.lazy" in loaded
    assert not loaded & (CLIENT | {"asyncio", "attrs", "pandapon_async.cli.call", "rich", "typer.testing"})


@pytest.mark.parametrize(
    "command",
    [
        "call --help",
        "call alibaba.refunds.get --help",
        "callbacks list --help",
        "journal resolve --help",
        "reconcile --help",
        "reconcile part --help",
        "refunds apply --help",
        "refunds watch --help",
        "returns plan --help",
        "vouchers upload --help",
    ],
)
def test_the_help_of_a_command_loads_no_client(tmp_path: Path, command: str) -> None:
    work = {"bulk", "plans", "follow", "reconcile.job", "callbacks.receiver"}
    assert not loaded_by_command(tmp_path, *command.split()) & (
        CLIENT | {f"pandapon_async.{one}" for one in work}
    )


async def test_the_journal_is_read_without_a_client(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    await journal.open()
    await journal.aclose()
    loaded = await asyncio.to_thread(
        loaded_by_command, tmp_path, "journal", "list", "--journal", "journal.sqlite"
    )
    assert "pandapon_async.journal.store" in loaded
    assert not loaded & (CLIENT | {"pandapon_async.api", "pandapon_async.bulk", "pandapon_async.plans"})


def test_help_says_of_each_command_what_the_command_says() -> None:
    root = typer.main.get_command(cli.app)
    context = root.make_context("pandapon", ["doctor"])
    for name, place in cli._Root.places.items():
        command = root.get_command(context, name)  # type: ignore[attr-defined]
        first = " ".join((command.help or "").partition("\n\n")[0].split())
        assert place.summary == first, name
        assert command.name == name
